//! Tracks of an image sequence (ISO/IEC 14496-12, 8.3 to 8.7; 23008-12, 7), as far as the first frame needs them.
//!
//! Edit lists are ignored: browsers show the first sample first, whatever they say.

use super::boxes::{Boxes, FourCc, Reader, children};
use super::property::{Property, as_auxiliary_type, find, parse_property};

type Result<T> = std::result::Result<T, String>;

/// The most tracks that are parsed.
const MAX_TRACKS: usize = 64;

/// Bytes of a visual sample entry ahead of its boxes (14496-12, 12.1.3).
const VISUAL_SAMPLE_ENTRY: usize = 78;

/// A track of AV1 samples.
#[derive(Debug, PartialEq)]
pub(super) struct Track<'a> {
    pub(super) id: u32,
    /// In pixels, by the track header; 0 where it has none.
    pub(super) width: u32,
    pub(super) height: u32,
    /// The track that this one is auxiliary to.
    auxiliary_for: Option<u32>,
    /// The alpha track by which this one is premultiplied.
    pub(super) premultiplied_by: Option<u32>,
    /// The boxes of the first sample entry.
    pub(super) properties: Vec<Property<'a>>,
    pub(super) samples: Samples,
}

/// The samples of a track in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Samples {
    /// As declared; a hint only.
    pub(super) count: u32,
    /// Offset and length of the first one.
    pub(super) first: (u64, u64),
    /// The end of the last one in the file.
    pub(super) end: u64,
}

impl Track<'_> {
    pub(super) fn is_auxiliary(&self) -> bool {
        self.auxiliary_for.is_some()
    }

    /// Whether it is the alpha of the track with that id. Old writers omit the auxiliary type.
    pub(super) fn is_alpha_of(&self, id: u32) -> bool {
        let is_alpha = |urn: &[u8]| super::ALPHA_URNS.contains(&urn);
        self.auxiliary_for == Some(id) && find(&self.properties, as_auxiliary_type).is_none_or(is_alpha)
    }
}

/// The tracks of a `moov` box with AV1 samples. Other and damaged ones are skipped.
pub(super) fn parse_movie(movie: Reader<'_>) -> Vec<Track<'_>> {
    children(movie, b"trak").take(MAX_TRACKS).filter_map(|track| parse_track(track).ok()).collect()
}

fn parse_track(track: Reader<'_>) -> Result<Track<'_>> {
    let (id, width, height) = parse_track_header(child(track, b"tkhd")?)?;
    let table = [b"mdia", b"minf", b"stbl"].into_iter().try_fold(track, child)?;
    let reference = |kind| child(track, b"tref").and_then(|references| child(references, kind)?.u32()).ok();
    Ok(Track {
        id,
        width,
        height,
        auxiliary_for: reference(b"auxl"),
        premultiplied_by: reference(b"prem"),
        properties: parse_sample_entry(child(table, b"stsd")?)?,
        samples: parse_samples(table)?,
    })
}

/// The first child of that type.
fn child<'a>(body: Reader<'a>, kind: &FourCc) -> Result<Reader<'a>> {
    children(body, kind).next().ok_or_else(|| format!("it has no {} box", kind.escape_ascii()))
}

/// `tkhd` (14496-12, 8.3.2): id, and width and height without their fractions.
fn parse_track_header(mut body: Reader<'_>) -> Result<(u32, u32, u32)> {
    let (version, _) = body.version_and_flags()?;
    // creation and modification time ahead of the id, a reserved word and the duration behind it
    let (before, behind) = if version == 1 { (16, 12) } else { (8, 8) };
    body.take(before)?;
    let id = body.u32()?;
    // reserved words, layer, group and volume, and the matrix
    body.take(behind + 52)?;
    Ok((id, body.u32()? >> 16, body.u32()? >> 16))
}

/// The sample tables (14496-12, 8.7): sample sizes (`stsz`), chunk offsets (`stco`, `co64`) and samples a chunk (`stsc`).
fn parse_samples(table: Reader<'_>) -> Result<Samples> {
    let mut sizes = child(table, b"stsz")?;
    sizes.version_and_flags()?;
    let (common, count) = (sizes.u32()?, sizes.u32()?);
    let (mut offsets, is_wide) = match child(table, b"stco") {
        Ok(offsets) => (offsets, false),
        Err(_) => (child(table, b"co64")?, true),
    };
    offsets.version_and_flags()?;
    let chunks = offsets.u32()?;
    let mut chunk_lengths = ChunkLengths::parse(table)?;
    let mut samples = Samples { count, first: (0, 0), end: 0 };
    for chunk in 1..=chunks {
        let offset = if is_wide { offsets.u64()? } else { offsets.u32()?.into() };
        let in_chunk = chunk_lengths.of(chunk)?;
        // every size read is in the file, so this ends with the table
        let first = if common == 0 { sizes.u32()? } else { common };
        let others = match common {
            0 => (1..in_chunk).try_fold(0, |sum, _| Ok::<_, String>(sum + u64::from(sizes.u32()?)))?,
            _ => u64::from(common) * u64::from(in_chunk - 1),
        };
        if chunk == 1 {
            samples.first = (offset, first.into());
        }
        let end = offset.checked_add(u64::from(first) + others).ok_or("a chunk is too long")?;
        samples.end = samples.end.max(end);
    }
    if chunks == 0 { Err("a track has no samples".into()) } else { Ok(samples) }
}

/// `stsc` (14496-12, 8.7.4): runs of chunks with the same number of samples.
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

/// The boxes of the first sample entry of `stsd` (14496-12, 8.5.2); an error unless it is `av01`.
fn parse_sample_entry(mut body: Reader<'_>) -> Result<Vec<Property<'_>>> {
    body.version_and_flags()?;
    let _count = body.u32()?;
    let entry = Boxes::new(body).next().ok_or("no sample entry")??;
    if entry.kind != *b"av01" {
        return Err(format!("samples of type {}", entry.kind.escape_ascii()));
    }
    let mut body = entry.body;
    body.take(VISUAL_SAMPLE_ENTRY)?;
    Ok(Boxes::new(body).map_while(Result::ok).map(|property| parse_property(&property)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{boxed, full};
    use super::*;

    /// Sizes and counts of a sample table, as the boxes have them.
    fn samples(sizes: &[u32], chunks: &[u32], runs: &[u32]) -> Result<Samples> {
        let table =
            |kind, words: &[u32]| full(kind, 0, &words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>());
        let boxes = [table(b"stsz", sizes), table(b"stco", chunks), table(b"stsc", runs)].concat();
        parse_samples(Reader::new(&boxes))
    }

    #[test]
    fn samples_end_with_the_last_one_of_the_last_chunk() {
        // sizes: common one, count, each; chunks: count, each offset; runs: count, first chunk, samples, description
        let table: [(&[u32], &[u32], &[u32], Samples); 4] = [
            (&[0, 1, 7], &[1, 100], &[1, 1, 1, 1], Samples { count: 1, first: (100, 7), end: 107 }),
            (&[0, 3, 7, 8, 9], &[1, 100], &[1, 1, 3, 1], Samples { count: 3, first: (100, 7), end: 124 }),
            (&[0, 3, 7, 8, 9], &[2, 200, 100], &[2, 1, 2, 1, 2, 1, 1], Samples { count: 3, first: (200, 7), end: 215 }),
            (&[5, 4], &[3, 10, 30, 20], &[2, 1, 1, 1, 2, 2, 1], Samples { count: 4, first: (10, 5), end: 40 }),
        ];
        for (sizes, chunks, runs, wanted) in table {
            assert_eq!(samples(sizes, chunks, runs), Ok(wanted));
        }
    }

    #[test]
    fn incomplete_sample_table_is_refused() {
        let table: [(&[u32], &[u32], &[u32]); 6] = [
            (&[0, 0], &[0], &[0]),
            (&[0, 1, 7], &[0], &[1, 1, 1, 1]),
            (&[0, 1, 7], &[1, 100], &[0]),
            (&[0, 1, 7], &[1, 100], &[1, 1, 0, 1]),
            (&[0, 1, 7], &[1, 100], &[1, 1, 2, 1]),
            (&[0, 2, 7, 8], &[2, 100], &[1, 1, 1, 1]),
        ];
        for (sizes, chunks, runs) in table {
            assert!(samples(sizes, chunks, runs).is_err(), "{sizes:?} {chunks:?} {runs:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_tables_never_panic(
            sizes in proptest::collection::vec(any::<u32>(), 0..9), chunks in proptest::collection::vec(any::<u32>(), 0..9),
            runs in proptest::collection::vec(0..5_u32, 0..9), noise in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = samples(&sizes, &chunks, &runs);
            prop_assert!(parse_movie(Reader::new(&boxed(b"trak", &noise))).is_empty());
        }
    }
}
