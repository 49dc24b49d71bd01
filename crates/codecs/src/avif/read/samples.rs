//! The sample table of a track (ISO/IEC 14496-12, 8.6.1 and 8.7): where its samples are, and how long each is shown.
//!
//! AV1 has one shown frame in each sample, in the order of presentation, so that composition offsets (`ctts`) have no effect.

use super::track::child;
use crate::boxes::Reader;

type Result<T> = std::result::Result<T, String>;

/// The samples of a track.
#[derive(Clone, Copy)]
pub(super) struct SampleTable<'a> {
    /// The samples in chunks, as many as `stsz` states.
    pub(super) count: u32,
    /// Offset and length of the first one.
    pub(super) first: (u64, u64),
    /// The end of the last one in the file.
    pub(super) end: u64,
    locations: Locations<'a>,
    durations: Durations<'a>,
}

impl<'a> SampleTable<'a> {
    /// Parses `stbl`: sample sizes (`stsz`), chunk offsets (`stco`, `co64`), samples a chunk (`stsc`) and durations (`stts`) in
    /// ticks, of which there are `timescale` a second. Takes no memory, and time by the length of the tables.
    pub(super) fn parse(table: Reader<'a>, timescale: u32) -> Result<Self> {
        let mut sizes = child(table, b"stsz")?;
        sizes.version_and_flags()?;
        let (common, stated) = (sizes.u32()?, sizes.u32()?);
        let locations = Locations { chunks: Chunks::parse(table)?, common, sizes, position: 0, left: 0 };
        let mut samples = Self {
            count: 0,
            first: (0, 0),
            end: 0,
            locations,
            durations: Durations::parse(table, timescale).unwrap_or_default(),
        };
        samples.add_chunks(stated)?;
        Ok(samples)
    }

    /// Finds the number of samples, the first and the end of the last.
    fn add_chunks(&mut self, stated: u32) -> Result<()> {
        let Locations { mut chunks, common, mut sizes, .. } = self.locations;
        let mut count = 0_u64;
        while let Some((offset, in_chunk)) = chunks.next()? {
            // every size read is in the file, so this ends with the table
            let first = if common == 0 { sizes.u32()? } else { common };
            let others = match common {
                0 => (1..in_chunk).try_fold(0, |sum, _| Ok::<_, String>(sum + u64::from(sizes.u32()?)))?,
                _ => u64::from(common) * u64::from(in_chunk - 1),
            };
            if count == 0 {
                self.first = (offset, first.into());
            }
            count += u64::from(in_chunk);
            let end = offset.checked_add(u64::from(first) + others).ok_or("a chunk is too long")?;
            self.end = self.end.max(end);
        }
        self.count = u32::try_from(count).unwrap_or(u32::MAX).min(stated.max(1));
        if count == 0 { Err("a track has no samples".into()) } else { Ok(()) }
    }

    /// Offset and length of each sample in the file, and milliseconds for which it is shown.
    pub(super) fn iter(&self) -> Samples<'a> {
        let Self { count, locations, durations, .. } = *self;
        Samples { left: count, locations, durations }
    }
}

/// Iterates over the samples of a track.
pub(super) struct Samples<'a> {
    left: u32,
    locations: Locations<'a>,
    durations: Durations<'a>,
}

impl Iterator for Samples<'_> {
    type Item = Result<((u64, u64), u32)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let location = self.locations.next();
        Some(location.map(|location| (location, self.durations.next())))
    }
}

/// The locations of samples from one on.
#[derive(Clone, Copy)]
struct Locations<'a> {
    chunks: Chunks<'a>,
    /// The size of every sample in bytes; 0 where `sizes` has one for each.
    common: u32,
    sizes: Reader<'a>,
    /// The offset of the next sample of the chunk.
    position: u64,
    /// Further samples of the chunk.
    left: u32,
}

impl Locations<'_> {
    fn next(&mut self) -> Result<(u64, u64)> {
        if self.left == 0 {
            (self.position, self.left) = self.chunks.next()?.ok_or("a track has fewer samples than it states")?;
        }
        let length = if self.common == 0 { self.sizes.u32()? } else { self.common };
        let offset = self.position;
        self.position = offset.checked_add(length.into()).ok_or("a chunk is too long")?;
        self.left -= 1;
        Ok((offset, length.into()))
    }
}

/// The chunks of a track from one on.
#[derive(Clone, Copy)]
struct Chunks<'a> {
    offsets: Reader<'a>,
    /// Whether offsets have 64 bits (`co64`).
    is_wide: bool,
    /// The number of the next chunk, from 1 on, and that of the last one.
    next: u32,
    last: u32,
    lengths: ChunkLengths<'a>,
}

impl<'a> Chunks<'a> {
    fn parse(table: Reader<'a>) -> Result<Self> {
        let (mut offsets, is_wide) = match child(table, b"stco") {
            Ok(offsets) => (offsets, false),
            Err(_) => (child(table, b"co64")?, true),
        };
        offsets.version_and_flags()?;
        let last = offsets.u32()?;
        Ok(Self { offsets, is_wide, next: 1, last, lengths: ChunkLengths::parse(table)? })
    }

    /// Offset and samples of the next chunk.
    fn next(&mut self) -> Result<Option<(u64, u32)>> {
        if self.next > self.last {
            return Ok(None);
        }
        let offset = if self.is_wide { self.offsets.u64()? } else { self.offsets.u32()?.into() };
        let samples = self.lengths.of(self.next)?;
        self.next = self.next.checked_add(1).ok_or("a track has too many chunks")?;
        Ok(Some((offset, samples)))
    }
}

/// `stsc` (14496-12, 8.7.4): runs of chunks with the same number of samples.
#[derive(Clone, Copy)]
struct ChunkLengths<'a> {
    runs: Reader<'a>,
    /// Samples a chunk of the current run.
    samples: u32,
    /// The first chunk of the next run.
    next: Option<u32>,
}

impl<'a> ChunkLengths<'a> {
    fn parse(table: Reader<'a>) -> Result<Self> {
        let mut runs = child(table, b"stsc")?;
        runs.version_and_flags()?;
        let _count = runs.u32()?;
        let next = runs.u32().ok();
        Ok(Self { runs, samples: 0, next })
    }

    /// Samples of a chunk, at least one. To be called for each chunk in order, from 1 on.
    fn of(&mut self, chunk: u32) -> Result<u32> {
        while self.next.is_some_and(|next| next <= chunk) {
            let (samples, _description) = (self.runs.u32()?, self.runs.u32()?);
            self.samples = samples;
            self.next = self.runs.u32().ok();
        }
        if self.samples == 0 { Err("a chunk has no samples".into()) } else { Ok(self.samples) }
    }
}

/// `stts` (14496-12, 8.6.1.2): runs of samples with the same duration. Without one, durations are 0.
#[derive(Clone, Copy)]
struct Durations<'a> {
    runs: Reader<'a>,
    /// Ticks of a second; 0 where the file states none.
    timescale: u32,
    /// Further samples of the current run.
    left: u32,
    /// Ticks of each of them.
    ticks: u32,
    /// Ticks before the next sample.
    elapsed: u64,
}

impl Default for Durations<'_> {
    fn default() -> Self {
        Self { runs: Reader::new(&[]), timescale: 0, left: 0, ticks: 0, elapsed: 0 }
    }
}

impl<'a> Durations<'a> {
    fn parse(table: Reader<'a>, timescale: u32) -> Result<Self> {
        let mut runs = child(table, b"stts")?;
        runs.version_and_flags()?;
        let _count = runs.u32()?;
        Ok(Self { runs, timescale, ..Self::default() })
    }

    /// Milliseconds of the next sample, so rounded that their sum is that of the ticks. As in libavif, the last run holds for all
    /// further samples.
    fn next(&mut self) -> u32 {
        while self.left == 0 {
            match (self.runs.u32(), self.runs.u32()) {
                (Ok(samples), Ok(ticks)) => (self.left, self.ticks) = (samples, ticks),
                _ => self.left = u32::MAX,
            }
        }
        self.left -= 1;
        let start = self.milliseconds();
        self.elapsed = self.elapsed.saturating_add(self.ticks.into());
        u32::try_from(self.milliseconds() - start).unwrap_or(u32::MAX)
    }

    /// The milliseconds that have elapsed, to the nearest; 0 without a timescale.
    fn milliseconds(&self) -> u64 {
        let ticks = self.elapsed.saturating_mul(1000).saturating_add(u64::from(self.timescale / 2));
        ticks.checked_div(self.timescale.into()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::full;
    use super::*;

    fn words(kind: &[u8; 4], words: &[u32]) -> Vec<u8> {
        full(kind, 0, &words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
    }

    /// Sizes and counts of a sample table, as the boxes have them: number of samples, and offset, length and duration of each.
    fn samples(
        sizes: &[u32], chunks: &[u32], runs: &[u32], durations: &[u32], timescale: u32,
    ) -> Result<(u32, u64, Vec<((u64, u64), u32)>)> {
        let boxes =
            [words(b"stsz", sizes), words(b"stco", chunks), words(b"stsc", runs), words(b"stts", durations)].concat();
        let table = SampleTable::parse(Reader::new(&boxes), timescale)?;
        let all = table.iter().take(1000).collect::<Result<Vec<_>>>()?;
        assert_eq!(all.first().map(|(location, _)| *location), Some(table.first));
        Ok((table.count, table.end, all))
    }

    #[test]
    fn samples_are_located_by_chunk() {
        // sizes: common one, count, each; chunks: count, each offset; runs: count, first chunk, samples, description
        type Row<'a> = (&'a [u32], &'a [u32], &'a [u32], u64, &'a [(u64, u64)]);
        let table: [Row<'_>; 5] = [
            (&[0, 1, 7], &[1, 100], &[1, 1, 1, 1], 107, &[(100, 7)]),
            (&[0, 3, 7, 8, 9], &[1, 100], &[1, 1, 3, 1], 124, &[(100, 7), (107, 8), (115, 9)]),
            (&[0, 3, 7, 8, 9], &[2, 200, 100], &[2, 1, 2, 1, 2, 1, 1], 215, &[(200, 7), (207, 8), (100, 9)]),
            (&[5, 4], &[3, 10, 30, 20], &[2, 1, 1, 1, 2, 2, 1], 40, &[(10, 5), (30, 5), (35, 5), (20, 5)]),
            // fewer samples are stated than chunks have
            (&[5, 2], &[1, 10], &[1, 1, 4, 1], 30, &[(10, 5), (15, 5)]),
        ];
        for (sizes, chunks, runs, end, locations) in table {
            let (count, found_end, all) = samples(sizes, chunks, runs, &[0], 1000).expect("a table");
            assert_eq!((count as usize, found_end), (locations.len(), end));
            assert_eq!(all.iter().map(|(location, _)| *location).collect::<Vec<_>>(), locations);
        }
    }

    #[test]
    fn durations_are_rounded_without_drift() {
        let delays = |durations: &[u32], timescale| {
            let (_, _, all) = samples(&[1, 6], &[1, 0], &[1, 1, 6, 1], durations, timescale).expect("a table");
            all.into_iter().map(|(_, delay)| delay).collect::<Vec<_>>()
        };
        assert_eq!(delays(&[1, 6, 1], 30), [33, 34, 33, 33, 34, 33]);
        assert_eq!(delays(&[2, 1, 100, 9, 40], 1000), [100, 40, 40, 40, 40, 40]);
        assert_eq!(delays(&[2, 0, 7, 1, 5], 1000), [5; 6]);
        assert_eq!(delays(&[1, 6, 1], 0), [0; 6], "no timescale");
        assert_eq!(delays(&[0], 1000), [0; 6], "no durations");
        assert_eq!(delays(&[1, 6, u32::MAX], 1), [u32::MAX; 6]);
    }

    #[test]
    fn incomplete_sample_table_is_refused() {
        let table: [(&[u32], &[u32], &[u32]); 7] = [
            (&[0, 0], &[0], &[0]),
            (&[0, 1, 7], &[0], &[1, 1, 1, 1]),
            (&[0, 1, 7], &[1, 100], &[0]),
            (&[0, 1, 7], &[1, 100], &[1, 1, 0, 1]),
            (&[0, 1, 7], &[1, 100], &[1, 1, 2, 1]),
            (&[0, 2, 7, 8], &[2, 100], &[1, 1, 1, 1]),
            (&[0, 1, 7], &[u32::MAX, 100], &[1, 1, 1, 1]),
        ];
        for (sizes, chunks, runs) in table {
            assert!(samples(sizes, chunks, runs, &[1, 1, 1], 1).is_err(), "{sizes:?} {chunks:?} {runs:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_tables_never_panic(
            sizes in proptest::collection::vec(any::<u32>(), 0..9), chunks in proptest::collection::vec(any::<u32>(), 0..9),
            runs in proptest::collection::vec(0..5_u32, 0..9), durations in proptest::collection::vec(any::<u32>(), 0..9),
            timescale: u32,
        ) {
            let _ = samples(&sizes, &chunks, &runs, &durations, timescale);
        }
    }
}
