//! Round trips of everything that travels, messages that an attacker could have written, and renders by what travelled.

use std::fmt::Debug;
use std::path::PathBuf;

use proptest::prelude::*;
use tintype_pixels::{DctScale, DecoderCaps, Error, Info, Loops, PixelLayout};

use super::*;
use crate::geometry::{Resize, TargetSize};
use crate::progress::Stage;
use crate::recipe::{Choice, Effects, Encode, Quality, Target};
use crate::testing::{recipes, settings};
use crate::{Checked, DecodeKey, GivenDecode, Settings};
use crate::{decode_keys, head, render, render_from};

/// More than any message here.
const LONGEST: usize = 64 << 20;

/// The value as the other process receives it.
fn travelled<T: Serialize + DeserializeOwned>(value: &T) -> T {
    from_bytes(&to_bytes(value).expect("encoded"), LONGEST).expect("the same value")
}

fn survives<T: Serialize + DeserializeOwned + Debug>(value: &T) {
    let arrived = travelled(value);
    assert_eq!(format!("{arrived:?}"), format!("{value:?}"));
    assert_eq!(to_bytes(&arrived).expect("encoded"), to_bytes(value).expect("encoded"));
}

fn returned(decoded: &Decoded) -> Decoded {
    let (header, samples) = decoded_parts(decoded).expect("encoded");
    decoded_from(&header, samples.to_vec(), LONGEST).expect("the same picture")
}

/// The originals with a readable header, and their headers.
fn heads() -> impl Iterator<Item = (PathBuf, Vec<u8>, Info)> {
    tintype_testing::originals(|bytes| Format::sniff(bytes).is_some()).filter_map(|(path, bytes)| {
        let info = head(&bytes, &Settings::default()).ok().flatten()?;
        Some((path, bytes, info))
    })
}

fn recipe(output: Output, width: u32) -> Recipe {
    let target = TargetSize { width, height: 0, enlarge: false };
    Recipe::new(output, Quality::default()).with_resize(Resize::Contain(target))
}

fn rendered(original: &[u8], recipe: &Recipe, settings: &Settings) -> tintype_pixels::Result<Encoded> {
    render(original, recipe, settings, &mut |_: Stage| true)
}

#[test]
fn headers_of_all_originals_survive() {
    let mut formats: Vec<Format> = Vec::new();
    for (path, _, info) in heads() {
        println!("{}", path.display());
        survives(&info);
        assert_valid(&info);
        formats.push(info.format);
    }
    for format in Format::all().filter(|format| !matches!(format, Format::Heic | Format::Svg)) {
        let is_there = formats.contains(&format);
        assert!(is_there || format == Format::Jxl, "no header of {format}");
    }
}

#[test]
fn small_values_survive() {
    let texts = || ("the end is missing".to_owned(), Format::Png);
    let (reason, format) = texts();
    survives(&Error::UnknownFormat);
    survives(&Error::Unsupported { format, reason: reason.clone() });
    survives(&Error::Malformed { format, reason: reason.clone() });
    survives(&Error::Limit(reason.clone()));
    survives(&Error::Impossible(reason.clone()));
    survives(&Error::Cancelled);
    survives(&Error::Encode { format, reason: reason.clone() });
    survives(&Integrity::Damaged(reason.into()));
    survives(&Integrity::Whole);
    for stage in [Stage::Decode, Stage::Resize, Stage::Encode] {
        survives(&stage);
    }
    for scale in 1..=8 {
        for layout in [PixelLayout::Rgb, PixelLayout::YCbCr] {
            survives(&DecodeKey {
                scale: DctScale::new(scale),
                layout,
                skip_loop_filter: scale > 4,
                keeps_profile: scale > 6,
            });
        }
    }
    survives(&Checked { format, size: Some(Size::new(3, 4)), frames: 5 });
}

#[test]
fn long_texts_are_cut() {
    let long = Error::Limit("ü".repeat(5000));
    let Error::Limit(text) = travelled(&long) else { panic!("another error") };
    assert_eq!(text, "ü".repeat(2048));
}

#[test]
fn long_messages_and_trailing_bytes_are_refused() {
    let mut bytes = to_bytes(&Settings::default()).expect("encoded");
    let length = bytes.len();
    assert!(matches!(from_bytes::<Settings>(&bytes, length - 1), Err(WireError::TooLong { .. })));
    bytes.push(0);
    assert!(matches!(from_bytes::<Settings>(&bytes, LONGEST), Err(WireError::TrailingBytes(1))));
    assert!(matches!(from_bytes::<Settings>(&bytes[..length - 1], LONGEST), Err(WireError::Encoding(_))));
}

#[test]
fn values_that_no_constructor_makes_are_refused() {
    let refused = |bytes: &[u8], what: &str| assert!(from_bytes::<Info>(bytes, LONGEST).is_err(), "{what}");
    let info = || Info::new(Format::Jpeg, Size::new(30, 20));
    let changed = |change: fn(&mut Info)| {
        let mut info = info();
        change(&mut info);
        to_bytes(&info).expect("encoded")
    };
    assert!(from_bytes::<Info>(&changed(|_| ()), LONGEST).is_ok());
    refused(&changed(|info| info.frames = 0), "no frames");
    refused(&changed(|info| info.loops = Loops::Times(0)), "no plays");
    refused(&changed(|info| info.profile_name = Some("x".repeat(201))), "a long name");
    refused(&changed(|info| info.caps.time = f64::NAN), "no time");
    refused(&changed(|info| info.caps.scale_margin = -1.0), "a negative factor");
    refused(&changed(|info| info.caps.memory.per_decoded_pixel = f64::INFINITY), "endless memory");
    refused(&changed(|info| info.caps.scales = &const { [DctScale::new(5)] }), "a scale that no decoder has");
    for (quality, is_one) in [(0, false), (1, true), (100, true), (101, false)] {
        assert_eq!(from_bytes::<Quality>(&[quality], 1).is_ok(), is_one, "{quality}");
    }
    for (scale, is_one) in [(0, false), (1, true), (8, true), (9, false)] {
        assert_eq!(from_bytes::<DctScale>(&[scale], 1).is_ok(), is_one, "{scale}");
    }
}

#[test]
fn samples_of_another_length_are_refused() {
    let profile = None;
    for samples in [
        Samples::Packed(Pixels::filled(Size::new(5, 3), &[1, 2, 3])),
        Samples::Planes(Planes::new(Size::new(5, 3), Some(ChromaSubsampling::S420), vec![9; 36])),
        Samples::Planes(Planes::new(Size::new(5, 3), None, vec![9; 15])),
    ] {
        let decoded = Decoded {
            samples,
            profile: profile.clone(),
            scale: DctScale::FULL,
            origin: (0, 0),
            delay: 7,
            integrity: Integrity::Whole,
        };
        let (header, samples) = decoded_parts(&decoded).expect("encoded");
        assert!(decoded_from(&header, samples.to_vec(), LONGEST).is_ok());
        for length in [0, samples.len() - 1, samples.len() + 1] {
            let other = vec![9; length];
            assert!(matches!(decoded_from(&header, other, LONGEST), Err(WireError::Mismatch)));
        }
    }
}

#[test]
fn results_are_what_they_say() {
    let original = tintype_testing::testdata("generated/orient-1.jpg");
    for output in [Output::Exactly(Format::WebP), Output::Json] {
        let recipe = recipe(output, 10);
        let encoded = rendered(&original, &recipe, &Settings::default()).expect("rendered");
        let (header, bytes) = encoded_parts(&encoded).expect("encoded");
        let arrived = encoded_from(&header, bytes.to_vec(), LONGEST).expect("the same");
        assert_eq!(arrived, encoded);
        assert!(can_have(&recipe, Format::Jpeg, arrived.content));
        let junk = b"<script>alert(1)</script>".to_vec();
        assert!(matches!(encoded_from(&header, junk, LONGEST), Err(WireError::Mismatch)));
        assert!(!can_have(&recipe, Format::Jpeg, Content::Image(Format::Svg)));
    }
    let auto = recipe(Output::Auto(Choice::Avif), 10);
    assert!(can_have(&auto, Format::Svg, Content::Image(Format::Svg)));
    assert!(!can_have(&auto, Format::Png, Content::Image(Format::Svg)) && !can_have(&auto, Format::Png, Content::Json));
}

/// Renders by what travelled are those by what was sent: alone, and by a picture that was decoded elsewhere.
#[test]
fn received_values_render_the_same_bytes() {
    let (mut alone, mut shared) = (0, 0);
    let mut kinds = (false, false, false);
    for (path, original, info) in heads().filter(|(_, _, info)| info.size.pixels() <= 40_000) {
        for (number, recipe) in table().into_iter().enumerate() {
            for linear in [false, true].into_iter().take(if number == 0 { 2 } else { 1 }) {
                let settings = Settings { linear, ..Settings::default() };
                let expected = outcome(rendered(&original, &recipe, &settings));
                let (sent, set, known) = (travelled(&recipe), travelled(&settings), travelled(&info));
                assert_eq!(sent.canonical(), recipe.canonical());
                assert_eq!(set.canonical(), settings.canonical());
                let by = |decodes: &dyn crate::SharedDecodes| {
                    outcome(render_from(decodes, &original, Some(&known), &sent, &set, &mut |_: Stage| true))
                };
                assert_eq!(by(&crate::shared::Unshared), expected, "{} {recipe:?}", path.display());
                alone += 1;
                let Some((key, most)) = DecodeKey::wanted(&known, &sent, &set) else { continue };
                let decoded = match decode_keys(&original, Some(&known), &sent, &set, &[]) {
                    Ok(decoded) => decoded.into_iter().next().expect("the picture asked for"),
                    Err(error) => {
                        assert_eq!(Err(error.to_string()), expected, "{} {recipe:?}", path.display());
                        continue;
                    }
                };
                assert_eq!(decoded.0, key);
                let arrived = returned(&decoded.1);
                assert!(key.fits(&known, &arrived), "{} {key:?} {arrived:?}", path.display());
                // some files are decoded at a larger scale than planned
                let fits = arrived.scale != key.scale || arrived.bytes() <= most;
                assert!(fits, "{} {key:?} of at most {most} bytes: {arrived:?}", path.display());
                kinds.0 |= arrived.profile.is_some();
                kinds.1 |= arrived.integrity.is_damaged();
                kinds.2 |= matches!(arrived.samples, Samples::Planes(_));
                assert_eq!(by(&GivenDecode::new(key, arrived)), expected, "{} {recipe:?}", path.display());
                shared += 1;
            }
        }
    }
    println!("{alone} renders alone, {shared} by pictures from elsewhere");
    assert!(alone > 300 && shared > 150, "{alone} {shared}");
    assert_eq!(kinds, (true, true, true), "profiles, damage, planes");
}

fn outcome(made: tintype_pixels::Result<Encoded>) -> Result<Encoded, String> {
    made.map_err(|error| error.to_string())
}

fn table() -> Vec<Recipe> {
    let webp = Output::Exactly(Format::WebP);
    let greyscale = Effects { greyscale: true, ..Effects::default() };
    vec![
        recipe(webp, 40),
        recipe(Output::Exactly(Format::Jpeg), 13),
        recipe(Output::Auto(Choice::Baseline), 60),
        Recipe { effects: greyscale, ..recipe(Output::Exactly(Format::Png), 20) },
        recipe(Output::Json, 0),
    ]
}

/// Pictures of the scales that others wait for come of the same pass, and travel.
#[test]
fn other_scales_come_along() {
    let original = tintype_testing::testdata("generated/orient-1.jpg");
    let settings = Settings::default();
    let info = head(&original, &settings).expect("a JPEG").expect("a header");
    let key = |width| DecodeKey::wanted(&info, &recipe(Output::Exactly(Format::Jpeg), width), &settings);
    let keys: Vec<DecodeKey> = (1..info.size.width).filter_map(|width| Some(key(width)?.0)).collect();
    let smallest = recipe(Output::Exactly(Format::Jpeg), 1);
    let made = decode_keys(&original, Some(&info), &smallest, &settings, &keys).expect("decoded");
    // the pure build asks for one scale of this file only
    assert!(made.len() > 1 || cfg!(not(feature = "native")), "{keys:?}");
    for (key, decoded) in made {
        assert!(key.fits(&info, &returned(&decoded)), "{key:?}");
    }
}

#[test]
fn given_picture_serves_its_own_key_alone() {
    let original = tintype_testing::testdata("generated/orient-1.jpg");
    let (settings, wide) = (Settings::default(), recipe(Output::Exactly(Format::Jpeg), 1));
    let made = decode_keys(&original, None, &wide, &settings, &[]).expect("decoded");
    let (key, decoded) = made.into_iter().next().expect("the picture asked for");
    let other = DecodeKey { skip_loop_filter: !key.skip_loop_filter, ..key };
    let given = GivenDecode::new(other, decoded);
    let failed = render_from(&given, &original, None, &wide, &settings, &mut |_: Stage| true);
    assert!(matches!(failed, Err(Error::Impossible(_))), "{failed:?}");
}

/// Properties of every header that a decoder makes.
fn assert_valid(info: &Info) {
    let DecoderCaps { scales, scale_margin, shared_scales, rows, memory, time, .. } = info.caps;
    assert!(info.frames > 0 && info.loops != Loops::Times(0));
    assert!(scales.is_sorted() && shared_scales.is_sorted());
    for cost in [scale_margin, memory.per_stored_pixel, memory.per_decoded_pixel, time] {
        assert!(cost.is_finite() && cost >= 0.0, "{cost}");
    }
    assert!(rows.is_none_or(|rows| (1..=4).contains(&rows.channels)));
}

/// Reads a message that may be anything; a value that is accepted survives.
fn receive<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8], check: fn(&T)) {
    if let Ok(value) = from_bytes::<T>(bytes, LONGEST) {
        check(&value);
        survives(&value);
    }
}

fn receive_any(bytes: &[u8]) {
    receive::<Recipe>(bytes, |recipe| {
        let Encode { quality, target, .. } = recipe.encode;
        assert!(Quality::new(quality.get()).is_some());
        assert!(target.is_none_or(|target| Target::new(target.get()).is_some()));
        recipe.canonical();
    });
    receive::<Settings>(bytes, |settings| drop(settings.canonical()));
    receive::<Info>(bytes, assert_valid);
    receive::<Error>(bytes, |error| assert!(error.to_string().len() < 5000));
    receive::<Integrity>(bytes, |_| ());
    receive::<Stage>(bytes, |_| ());
    receive::<Checked>(bytes, |_| ());
    receive::<DecodeKey>(bytes, |key| assert!((1..=8).contains(&key.scale.eighths())));
    receive_decoded(bytes, &[7; 45]);
    let _ = encoded_from(bytes, b"{}".to_vec(), LONGEST);
}

/// A picture that is accepted has the samples that its size needs, and every operation can be applied to it.
fn receive_decoded(header: &[u8], samples: &[u8]) -> bool {
    let Ok(decoded) = decoded_from(header, samples.to_vec(), LONGEST) else { return false };
    let size = decoded.samples.size();
    assert!(size.width > 0 && size.height > 0);
    match &decoded.samples {
        Samples::Packed(pixels) => assert_eq!(pixels.data.len() as u64, size.pixels() * pixels.channels as u64),
        Samples::Planes(planes) => assert_eq!(planes.data().len(), Planes::bytes(size, planes.subsampling)),
    }
    assert_eq!(format!("{:?}", returned(&decoded)), format!("{decoded:?}"));
    true
}

/// Every byte of `bytes` changed to every other value, one at a time.
fn changed_everywhere(bytes: &[u8], mut check: impl FnMut(&[u8])) {
    let mut changed = bytes.to_vec();
    for at in 0..bytes.len() {
        for change in 1..=255 {
            changed[at] = bytes[at] ^ change;
            check(&changed);
        }
        changed[at] = bytes[at];
    }
}

#[test]
fn changed_messages_give_valid_values_or_none() {
    let full = Recipe { effects: Effects { blur: Some(300), ..Effects::default() }, ..table().swap_remove(2) };
    changed_everywhere(&to_bytes(&full).expect("encoded"), receive_any);
    changed_everywhere(&to_bytes(&Settings::default()).expect("encoded"), receive_any);
    let damage = Error::malformed(Format::Gif, "it ends in its 3rd frame");
    changed_everywhere(&to_bytes(&damage).expect("encoded"), receive_any);
    for file in ["grey.png", "orient-6.jpg", "lossy.webp", "animated-3.gif", "rgb.tif"] {
        let original = tintype_testing::testdata(&format!("generated/{file}"));
        let info = head(&original, &Settings::default()).expect("an image").expect("a header");
        changed_everywhere(&to_bytes(&info).expect("encoded"), receive_any);
    }
}

/// The header of a picture is changed on its way; the render gives a result or an error.
#[test]
fn renders_by_changed_pictures_do_not_panic() {
    let settings = Settings::default();
    let (mut accepted, mut made) = (0, 0);
    for file in ["orient-6.jpg", "p3.png", "lossy.webp", "alpha.png"] {
        let original = tintype_testing::testdata(&format!("generated/{file}"));
        let info = head(&original, &settings).expect("an image").expect("a header");
        for recipe in table() {
            let Some((key, _)) = DecodeKey::wanted(&info, &recipe, &settings) else { continue };
            let decoded = decode_keys(&original, Some(&info), &recipe, &settings, &[]).expect("decoded");
            let (header, samples) = decoded_parts(&decoded[0].1).expect("encoded");
            for at in 0..header.len() {
                // profiles are long, and parsed by a parser that has its own tests
                for change in [1, 3, 0x80, 0xFF].into_iter().take(if at < 40 { 4 } else { 1 }) {
                    let mut header = header.clone();
                    header[at] ^= change;
                    let Ok(decoded) = decoded_from(&header, samples.to_vec(), LONGEST) else { continue };
                    accepted += 1;
                    let given = GivenDecode::new(key, decoded);
                    let by = render_from(&given, &original, Some(&info), &recipe, &settings, &mut |_: Stage| true);
                    made += usize::from(by.is_ok());
                }
            }
        }
    }
    println!("{accepted} changed pictures were accepted, {made} renders made of them");
    assert!(accepted > 100 && made > 0, "{accepted} {made}");
}

/// A region is cut out of a picture that was decoded whole, and operations look at neighbours: a picture that does not fit the original
/// is refused before either.
#[test]
fn pictures_that_do_not_fit_the_original_are_refused() {
    let original = tintype_testing::testdata("generated/orient-1.jpg");
    let (settings, recipe) = (Settings::default(), recipe(Output::Exactly(Format::Jpeg), 10));
    let info = head(&original, &settings).expect("a JPEG").expect("a header");
    let (key, _) = DecodeKey::wanted(&info, &recipe, &settings).expect("shared");
    let small = Decoded::still(Pixels::filled(Size::new(1, 1), &[1, 2, 3]), None);
    assert!(!key.fits(&info, &small));
    let given = GivenDecode::new(key, small);
    let failed = render_from(&given, &original, Some(&info), &recipe, &settings, &mut |_: Stage| true);
    assert!(matches!(failed, Err(Error::Impossible(_))), "{failed:?}");
}

proptest! {
    #[test]
    fn recipes_and_settings_survive(recipe in recipes(), settings in settings()) {
        prop_assert_eq!(&travelled(&recipe), &recipe);
        prop_assert_eq!(travelled(&recipe).canonical(), recipe.canonical());
        prop_assert_eq!(&travelled(&settings), &settings);
    }

    #[test]
    fn decoded_pictures_survive(
        width in 1_u32..20, height in 1_u32..20, planes: bool, across in 1_u32..5, down in 1_u32..5, grey: bool, alpha: bool,
        scale in 1_u32..9, origin in (0_u32..100, 0_u32..100), delay: u32, seed: u8, damaged in proptest::option::of("[a-z]{0,20}"),
    ) {
        let size = Size::new(width, height);
        let subsampling = (!grey).then_some(ChromaSubsampling { across, down });
        let channels = if alpha { 4 } else { 3 };
        let length = if planes { Planes::bytes(size, subsampling) } else { size.pixels() as usize * channels };
        let data: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect();
        let samples = match planes {
            true => Samples::Planes(Planes::new(size, subsampling, data)),
            false => Samples::Packed(Pixels { size, channels, data }),
        };
        let integrity = damaged.map_or(Integrity::Whole, |text| Integrity::Damaged(text.into()));
        let profile = Profile::from_cicp(9, 13, 0);
        let decoded = Decoded { samples, profile, scale: DctScale::new(scale), origin, delay, integrity };
        let arrived = returned(&decoded);
        prop_assert_eq!(format!("{:?}", &arrived), format!("{:?}", &decoded));
        let (sent, received) = (decoded_parts(&decoded).expect("encoded"), decoded_parts(&arrived).expect("encoded"));
        prop_assert_eq!(sent, received);
    }

    #[test]
    fn random_bytes_give_valid_values_or_none(bytes: Vec<u8>) {
        receive_any(&bytes);
    }
}
