//! Tracks of an image sequence (ISO/IEC 14496-12, 8.3 to 8.7; 23008-12, 7).
//!
//! Edit lists say how often a sequence plays, and nothing else: browsers show the first sample first, whatever they say.

use super::container::MAX_ASSOCIATIONS;
use super::property::{Property, as_auxiliary_type, find, parse_property};
use super::samples::SampleTable;
use crate::boxes::{Boxes, FourCc, Reader, children};
use tintype_pixels::Loops;

type Result<T> = std::result::Result<T, String>;

/// The most tracks that are parsed.
const MAX_TRACKS: usize = 64;

/// Bytes of a visual sample entry ahead of its boxes (14496-12, 12.1.3).
const VISUAL_SAMPLE_ENTRY: usize = 78;

/// A track of AV1 samples.
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
    pub(super) samples: SampleTable<'a>,
    pub(super) loops: Loops,
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
    let TrackHeader { id, duration, width, height } = parse_track_header(child(track, b"tkhd")?)?;
    let media = child(track, b"mdia")?;
    let table = child(child(media, b"minf")?, b"stbl")?;
    let timescale = child(media, b"mdhd").and_then(parse_timescale).unwrap_or(0);
    let reference = |kind| child(track, b"tref").and_then(|references| child(references, kind)?.u32()).ok();
    Ok(Track {
        id,
        width,
        height,
        auxiliary_for: reference(b"auxl"),
        premultiplied_by: reference(b"prem"),
        properties: parse_sample_entry(child(table, b"stsd")?)?,
        samples: SampleTable::parse(table, timescale)?,
        loops: parse_loops(track, duration).unwrap_or(Loops::Forever),
    })
}

/// The first child of that type.
pub(super) fn child<'a>(body: Reader<'a>, kind: &FourCc) -> Result<Reader<'a>> {
    children(body, kind).next().ok_or_else(|| format!("it has no {} box", kind.escape_ascii()))
}

/// The fields of a track header.
struct TrackHeader {
    id: u32,
    /// In ticks of the movie; `None` is indefinite.
    duration: Option<u64>,
    /// Without fractions.
    width: u32,
    height: u32,
}

/// `tkhd` (14496-12, 8.3.2).
fn parse_track_header(mut body: Reader<'_>) -> Result<TrackHeader> {
    let (version, _) = body.version_and_flags()?;
    // creation and modification time
    body.take(if version == 1 { 16 } else { 8 })?;
    let (id, _reserved) = (body.u32()?, body.u32()?);
    let duration = match version {
        1 => Some(body.u64()?).filter(|&duration| duration != u64::MAX),
        _ => Some(body.u32()?).filter(|&duration| duration != u32::MAX).map(u64::from),
    };
    // reserved words, layer, group and volume, and the matrix
    body.take(52)?;
    Ok(TrackHeader { id, duration, width: body.u32()? >> 16, height: body.u32()? >> 16 })
}

/// `mdhd` (14496-12, 8.4.2): ticks of a second.
fn parse_timescale(mut body: Reader<'_>) -> Result<u32> {
    let (version, _) = body.version_and_flags()?;
    // creation and modification time
    body.take(if version == 1 { 16 } else { 8 })?;
    body.u32()
}

/// How often the track plays, by its edit list (`elst`, 14496-12, 8.6.6), as in libavif: a repeated one as often as it fits into the
/// duration of the track, any other once. Without an edit list, or with an invalid one, it plays without end, as in Chromium.
fn parse_loops(track: Reader<'_>, duration: Option<u64>) -> Result<Loops> {
    let mut list = child(child(track, b"edts")?, b"elst")?;
    let (version, flags) = list.version_and_flags()?;
    let entries = list.u32()?;
    if flags & 1 == 0 {
        return Ok(Loops::Times(1));
    }
    let segment = if version == 1 { list.u64()? } else { list.u32()?.into() };
    let plays = duration.filter(|_| entries == 1 && segment > 0).map(|duration| duration.div_ceil(segment).max(1));
    Ok(plays.and_then(|plays| u16::try_from(plays).ok()).map_or(Loops::Forever, Loops::Times))
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
    let boxes = Boxes::new(body).map_while(Result::ok).take(MAX_ASSOCIATIONS);
    Ok(boxes.map(|property| parse_property(&property)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{boxed, full};
    use super::*;

    /// How often a track plays with the words of an edit list behind its version and flags.
    fn loops(flags: u8, words: &[u32], duration: Option<u64>) -> Option<Loops> {
        let words = words.iter().flat_map(|word| word.to_be_bytes());
        let body = [0, 0, 0, flags].into_iter().chain(words).collect::<Vec<_>>();
        parse_loops(Reader::new(&boxed(b"edts", &boxed(b"elst", &body))), duration).ok()
    }

    #[test]
    fn edit_list_says_how_often_a_track_plays() {
        let table = [
            (0, &[1, 10][..], Some(10), Some(Loops::Times(1))),
            (0, &[], Some(10), None),
            (1, &[1, 10], Some(10), Some(Loops::Times(1))),
            (1, &[1, 10], Some(30), Some(Loops::Times(3))),
            (1, &[1, 10], Some(31), Some(Loops::Times(4))),
            (1, &[1, 10], Some(0), Some(Loops::Times(1))),
            (1, &[1, 10], None, Some(Loops::Forever)),
            (1, &[1, 1], Some(1 << 40), Some(Loops::Forever)),
            (1, &[1, 0], Some(30), Some(Loops::Forever)),
            (1, &[2, 10], Some(30), Some(Loops::Forever)),
            (1, &[1], Some(30), None),
        ];
        for (flags, words, duration, wanted) in table {
            assert_eq!(loops(flags, words, duration), wanted, "{flags} {words:?} {duration:?}");
        }
        assert!(parse_loops(Reader::new(&full(b"tkhd", 0, &[])), Some(1)).is_err());
    }

    proptest! {
        #[test]
        fn hostile_track_is_skipped(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse_movie(Reader::new(&boxed(b"trak", &noise))).is_empty());
        }
    }
}
