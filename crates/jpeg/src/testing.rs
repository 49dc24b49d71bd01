//! Files for the tests of our decoders, and how their pictures compare with the library's.

use std::path::PathBuf;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::SCALES;
use crate::library::planes_alone;
use crate::views::Pictures;
use tintype_pixels::DctScale;
use tintype_pixels::{ChromaSubsampling, Planes};
use tintype_pixels::{Rect, Size};

/// The mean and the largest difference of two pictures' samples.
pub(crate) fn difference(a: &Planes, b: &Planes) -> (f64, u8) {
    assert_eq!((a.size, a.subsampling), (b.size, b.subsampling));
    let (mut sum, mut count, mut worst) = (0, 0, 0);
    for (a, b) in a.all().into_iter().zip(b.all()) {
        for (one, other) in a.data.iter().zip(b.data) {
            let off = one.abs_diff(*other);
            (sum, count, worst) = (sum + u64::from(off), count + 1, worst.max(off));
        }
    }
    (sum as f64 / f64::from(count), worst)
}

/// The JPEG files of testdata, and of the corpus where it is there.
pub(crate) fn originals() -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    tintype_testing::originals(|bytes| bytes.starts_with(&[0xFF, 0xD8]))
}

/// Parts of a picture of that size as plans want them: here and there, to its edges and within.
pub(crate) fn parts(size: Size, scale: DctScale) -> impl Iterator<Item = Rect> {
    let starts = |all: u32, step: u32| [0, all / 2, all - 1].map(|at| at / step * step);
    let lengths = |from: u32, all: u32| [8, all].map(|length| length.min(all - from));
    let across = move |x: u32| lengths(x, size.width).map(|width| (x, width));
    let down = move |y: u32| lengths(y, size.height).map(|height| (y, height));
    let columns: Vec<_> = starts(size.width, 32 * scale.eighths()).into_iter().flat_map(across).collect();
    let rows: Vec<_> = starts(size.height, 4 * scale.eighths()).into_iter().flat_map(down).collect();
    columns
        .into_iter()
        .flat_map(move |(x, width)| rows.clone().into_iter().map(move |(y, height)| Rect { x, y, width, height }))
}

/// Holds a part of a file, damaged or not, to be read where the whole is, and to be that of the whole. `read` reads it.
pub(crate) fn check_part(
    size: Size, scale: DctScale, which: Index, read: impl Fn(Option<Rect>) -> Option<Planes>,
) -> Result<(), TestCaseError> {
    let all: Vec<Rect> = parts(size.scaled(scale), scale).collect();
    let part = all[which.index(all.len())];
    let (whole, ours) = (read(None), read(Some(part)));
    prop_assert_eq!(ours.is_some(), whole.is_some());
    if let (Some(ours), Some(whole)) = (ours, whole) {
        prop_assert!(same(&ours, &whole.cut(part)), "{:?}", part);
    }
    Ok(())
}

/// What decodes pictures of one kind of file.
pub(crate) type Decoder = fn(&[u8], &Pictures<'_>) -> Option<Vec<(DctScale, Planes)>>;

/// One picture, by a decoder.
pub(crate) fn one(
    decoder: Decoder, original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale,
    shown: Option<Rect>,
) -> Option<Planes> {
    let made = decoder(original, &Pictures { scales: &[scale], shown, size, subsampling })?;
    let [(at, planes)] = <[(DctScale, Planes); 1]>::try_from(made).expect("one was asked for");
    assert_eq!(at, scale);
    Some(planes)
}

/// Scales in any order, each once.
pub(crate) fn scales() -> impl Strategy<Value = Vec<DctScale>> {
    prop::sample::subsequence(&SCALES[..], 1..=SCALES.len()).prop_shuffle()
}

/// Holds pictures at several scales made together to be those made alone. Gives out how many are made.
pub(crate) fn check_several(
    decoder: Decoder, original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scales: &[DctScale],
) -> Result<usize, TestCaseError> {
    let together = decoder(original, &Pictures { scales, shown: None, size, subsampling }).unwrap_or_default();
    prop_assert!(together.first().is_none_or(|(first, _)| *first == scales[0]));
    for (at, planes) in &together {
        let alone = one(decoder, original, size, subsampling, *at, None);
        prop_assert!(alone.is_some_and(|alone| same(&alone, planes)), "{} of {:?}", at, scales);
    }
    Ok(together.len())
}

/// The same of a file with changes; where there are none, all are made.
pub(crate) fn check_several_changed(
    decoder: Decoder, file: Vec<u8>, scales: &[DctScale], changes: Vec<(Index, u8, u8)>,
) -> Result<(), TestCaseError> {
    let is_sound = changes.is_empty();
    let file = changed(file, changes);
    if let Some((size, subsampling, _)) = planes_alone(&file, DctScale::FULL)
        && size.pixels() < 1 << 18
    {
        let made = check_several(decoder, &file, size, subsampling, scales)?;
        prop_assert!(!is_sound || made == scales.len(), "{} of {:?}", made, scales);
    }
    Ok(())
}

/// Whether two pictures are the same to the bit.
pub(crate) fn same(a: &Planes, b: &Planes) -> bool {
    let data = |planes: &Planes| planes.all().map(|plane| plane.data.to_vec());
    (a.size, a.subsampling) == (b.size, b.subsampling) && data(a) == data(b)
}

/// Whether a picture is what the library shows. At an eighth both have nothing but the means, which are the same. At
/// three, six and eight of them both do the transform of that size. At a half and a quarter it does other ones, which shows
/// where every pixel differs from its neighbours, and most of all where there are few.
pub(crate) fn near(scale: DctScale, size: Size, (mean, worst): (f64, u8)) -> bool {
    let few = size.width.min(size.height) < 64;
    match scale.eighths() {
        1 => worst == 0,
        2 | 4 => mean <= if few { 16.0 } else { 8.0 },
        _ => mean <= 0.5 && worst <= 4,
    }
}

/// A picture with smooth parts, edges and texture.
pub(crate) fn picture(width: u16, height: u16, channels: usize) -> Vec<u8> {
    let sample = |x: u32, y: u32, channel: u32| {
        let slope = 2 * x + 3 * y + 60 * channel;
        let edge = if (x + 2 * y) % 40 < 20 { 0 } else { 70 };
        (slope + edge + (x * y) % 7) as u8 / 2 + 40
    };
    let pixels = (0..u32::from(height)).flat_map(|y| (0..u32::from(width)).map(move |x| (x, y)));
    pixels.flat_map(|(x, y)| (0..channels as u32).map(move |channel| sample(x, y, channel))).collect()
}

/// A file of such a picture; no sampling is one without colour.
pub(crate) fn encoded(
    width: u16, height: u16, sampling: Option<SamplingFactor>, interval: u16, quality: u8,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_restart_interval(interval);
    let (channels, kind) = match sampling {
        None => (1, ColorType::Luma),
        Some(sampling) => {
            encoder.set_sampling_factor(sampling);
            (3, ColorType::Ycbcr)
        }
    };
    encoder.encode(&picture(width, height, channels), width, height, kind).expect("encoded");
    file
}

/// The ways to share chroma that are met.
pub(crate) const SAMPLINGS: [Option<SamplingFactor>; 5] = [
    None,
    Some(SamplingFactor::F_1_1),
    Some(SamplingFactor::F_2_1),
    Some(SamplingFactor::F_1_2),
    Some(SamplingFactor::F_2_2),
];

/// Changes to a file: where, a byte, and how.
pub(crate) fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..4), 1..6)
}

/// The file with them.
pub(crate) fn changed(mut file: Vec<u8>, changes: Vec<(Index, u8, u8)>) -> Vec<u8> {
    for (at, byte, how) in changes {
        let at = at.index(file.len());
        match how {
            0 => file.insert(at, byte),
            1 if file.len() > 4 => drop(file.remove(at)),
            2 => file[at] ^= 1 << (byte % 8),
            _ => file[at] = byte,
        }
    }
    file
}
