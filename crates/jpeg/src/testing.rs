//! Files for the tests of the decoders, and how their images compare with the reference.

use std::path::PathBuf;

use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use proptest::prelude::*;
use proptest::sample::Index;
use turbojpeg::{Transform, TransformOp, Transformer};

use crate::SCALES;
use crate::reference::decode_reference;
use crate::request::DecodeRequest;
use tintype_pixels::{ChromaSubsampling, DctScale, Planes, Rect, Size};

/// The mean and the maximum of the absolute differences between two images' samples.
pub(crate) fn difference(a: &Planes, b: &Planes) -> (f64, u8) {
    assert_eq!((a.size, a.subsampling), (b.size, b.subsampling));
    let (mut sum, mut count, mut max) = (0, 0, 0);
    for (a, b) in a.all().into_iter().zip(b.all()) {
        for (a, b) in a.data.iter().zip(b.data) {
            let difference = a.abs_diff(*b);
            (sum, count, max) = (sum + u64::from(difference), count + 1, max.max(difference));
        }
    }
    (sum as f64 / f64::from(count), max)
}

/// Whether a difference to the reference is as small as the two IDCTs allow. At 1/8 both use the DC coefficients alone and are equal.
/// At 3/8, 6/8 and 8/8 both use the IDCT of that size. At 4/8 and 2/8 libjpeg-turbo uses another one, which shows where every pixel
/// differs from its neighbours, and most of all where there are few.
pub(crate) fn is_close(scale: DctScale, size: Size, (mean, max): (f64, u8)) -> bool {
    let is_small = size.width.min(size.height) < 64;
    match scale.eighths() {
        1 => max == 0,
        2 | 4 => mean <= if is_small { 16.0 } else { 8.0 },
        _ => mean <= 0.5 && max <= 4,
    }
}

/// Whether two images are equal to the bit.
pub(crate) fn is_same(a: &Planes, b: &Planes) -> bool {
    let data = |planes: &Planes| planes.all().map(|plane| plane.data.to_vec());
    (a.size, a.subsampling) == (b.size, b.subsampling) && data(a) == data(b)
}

/// The JPEG files of testdata, and of the corpus where it is there.
pub(crate) fn originals() -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    tintype_testing::originals(|bytes| bytes.starts_with(&[0xFF, 0xD8]))
}

/// Regions of an image of that size, at its edges and within, whose origins are aligned as requests want them.
pub(crate) fn regions(size: Size, scale: DctScale) -> impl Iterator<Item = Rect> {
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

/// Checks that a region of a file, damaged or not, is decoded where the whole image is, and equals that of the whole.
pub(crate) fn check_region(
    size: Size, scale: DctScale, which: Index, decode: impl Fn(Option<Rect>) -> Option<Planes>,
) -> Result<(), TestCaseError> {
    let all: Vec<Rect> = regions(size.scaled(scale), scale).collect();
    let region = all[which.index(all.len())];
    let (whole, part) = (decode(None), decode(Some(region)));
    prop_assert_eq!(part.is_some(), whole.is_some());
    if let (Some(part), Some(whole)) = (part, whole) {
        prop_assert!(is_same(&part, &whole.cut(region)), "{:?}", region);
    }
    Ok(())
}

/// A decoder of one kind of file.
pub(crate) type Decoder = fn(&[u8], &DecodeRequest<'_>) -> Option<Vec<(DctScale, Planes)>>;

/// The image at one scale.
pub(crate) fn decode_one(
    decoder: Decoder, original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scale: DctScale,
    region: Option<Rect>,
) -> Option<Planes> {
    let decoded = decoder(original, &DecodeRequest { scales: &[scale], region, size, subsampling })?;
    let [(found, planes)] = <[(DctScale, Planes); 1]>::try_from(decoded).expect("one was requested");
    assert_eq!(found, scale);
    Some(planes)
}

/// Scales in any order, each once.
pub(crate) fn scales() -> impl Strategy<Value = Vec<DctScale>> {
    prop::sample::subsequence(&SCALES[..], 1..=SCALES.len()).prop_shuffle()
}

/// Checks that images at several scales of one pass equal those decoded alone. Returns how many there are.
pub(crate) fn check_several(
    decoder: Decoder, original: &[u8], size: Size, subsampling: Option<ChromaSubsampling>, scales: &[DctScale],
) -> Result<usize, TestCaseError> {
    let request = DecodeRequest { scales, region: None, size, subsampling };
    let several = decoder(original, &request).unwrap_or_default();
    prop_assert!(several.first().is_none_or(|(first, _)| *first == scales[0]));
    for (scale, planes) in &several {
        let alone = decode_one(decoder, original, size, subsampling, *scale, None);
        prop_assert!(alone.is_some_and(|alone| is_same(&alone, planes)), "{} of {:?}", scale, scales);
    }
    Ok(several.len())
}

/// The same of a file with changes; without changes, all scales are decoded.
pub(crate) fn check_several_changed(
    decoder: Decoder, file: Vec<u8>, scales: &[DctScale], changes: Vec<(Index, u8, u8)>,
) -> Result<(), TestCaseError> {
    let is_undamaged = changes.is_empty();
    let file = changed(file, changes);
    if let Some((size, subsampling, _)) = decode_reference(&file, DctScale::FULL)
        && size.pixels() < 1 << 18
    {
        let count = check_several(decoder, &file, size, subsampling, scales)?;
        prop_assert!(!is_undamaged || count == scales.len(), "{} of {:?}", count, scales);
    }
    Ok(())
}

/// Pixels with smooth parts, edges and texture.
fn test_image(width: u16, height: u16, channels: usize) -> Vec<u8> {
    let sample = |x: u32, y: u32, channel: u32| {
        let slope = 2 * x + 3 * y + 60 * channel;
        let edge = if (x + 2 * y) % 40 < 20 { 0 } else { 70 };
        (slope + edge + (x * y) % 7) as u8 / 2 + 40
    };
    let pixels = (0..u32::from(height)).flat_map(|y| (0..u32::from(width)).map(move |x| (x, y)));
    pixels.flat_map(|(x, y)| (0..channels as u32).map(move |channel| sample(x, y, channel))).collect()
}

/// A sequential file; without sampling factors it is grey.
pub(crate) fn encode(
    width: u16, height: u16, sampling: Option<SamplingFactor>, restart_interval: u16, quality: u8,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    encoder.set_restart_interval(restart_interval);
    let (channels, kind) = match sampling {
        None => (1, ColorType::Luma),
        Some(sampling) => {
            encoder.set_sampling_factor(sampling);
            (3, ColorType::Ycbcr)
        }
    };
    encoder.encode(&test_image(width, height, channels), width, height, kind).expect("encoded");
    file
}

/// A progressive file with the coefficients of a sequential one.
pub(crate) fn to_progressive(sequential: &[u8]) -> Vec<u8> {
    let mut transform = Transform::op(TransformOp::None);
    transform.progressive = true;
    Transformer::new().expect("memory").transform_to_vec(&transform, sequential).expect("an undamaged file")
}

/// The sampling factors that are usual.
pub(crate) const SAMPLINGS: [Option<SamplingFactor>; 5] = [
    None,
    Some(SamplingFactor::F_1_1),
    Some(SamplingFactor::F_2_1),
    Some(SamplingFactor::F_1_2),
    Some(SamplingFactor::F_2_2),
];

/// Changes to a file: a place, a byte, and the kind of change.
pub(crate) fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..4), 1..6)
}

/// The file with changes.
pub(crate) fn changed(mut file: Vec<u8>, changes: Vec<(Index, u8, u8)>) -> Vec<u8> {
    for (at, byte, kind) in changes {
        let at = at.index(file.len());
        match kind {
            0 => file.insert(at, byte),
            1 if file.len() > 4 => drop(file.remove(at)),
            2 => file[at] ^= 1 << (byte % 8),
            _ => file[at] = byte,
        }
    }
    file
}
