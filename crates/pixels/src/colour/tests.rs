//! Profiles and conversions, against known colours.

use std::sync::OnceLock;

use super::hdr::HdrTransfer;
use super::profile::Inner;
use super::*;
use crate::geometry::Size;

fn convert(profile: &ColorProfile, rgb: [u8; 3]) -> [u8; 3] {
    // NaN equals nothing, so that the conversion of another profile is not used
    let profile = Profile::parsed_from(Source::Gamma(f32::NAN, [(0.0, 0.0); 4]), profile.clone());
    let out = to_srgb(Pixels::filled(Size::new(4, 4), &rgb), &profile);
    [out.data[0], out.data[1], out.data[2]]
}

#[test]
fn wide_colours_become_srgb() {
    let check = |profile: &ColorProfile, rgb: [u8; 3], expected: [u8; 3]| {
        let got = convert(profile, rgb);
        let near = got.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 2);
        assert!(near, "{rgb:?} became {got:?}, not {expected:?}");
    };
    check(&ColorProfile::new_srgb(), [10, 120, 250], [10, 120, 250]);
    // the sRGB primaries as Display P3 writes them (CSS Color 4, color-mix examples)
    check(&ColorProfile::new_display_p3(), [234, 51, 35], [255, 0, 0]);
    check(&ColorProfile::new_display_p3(), [128, 128, 128], [128, 128, 128]);
    check(&ColorProfile::new_adobe_rgb(), [219, 0, 0], [255, 0, 0]);
}

#[test]
fn sixteen_bits_are_rounded_to_nearest() {
    for level in 0..=255u16 {
        assert_eq!(u16::from(narrow(level * 257)), level);
    }
    assert_eq!(to_srgb8(&[0, 65535, 32768], 3, None), [0, 255, 128]);
}

#[test]
fn wide_grey_is_converted_at_its_full_precision() {
    // a sample is light
    let profile = Profile::parsed_from(Source::Icc([4, 5, 6].into()), ColorProfile::new_gray_with_gamma(1.0));
    let srgb = |sample: u16| {
        let light = f64::from(sample) / 65535.0;
        let coded = if light <= 0.003_130_8 { light * 12.92 } else { 1.055 * light.powf(1.0 / 2.4) - 0.055 };
        (coded * 255.0).round() as u8
    };
    let mut seen = std::collections::HashSet::new();
    for sample in (0..=2570).chain((0..=u16::MAX).step_by(771)) {
        let [level, ..] = to_srgb8(&[sample; 3], 3, Some(&profile))[..] else { panic!("three samples") };
        assert!(level.abs_diff(srgb(sample)) <= 1, "{sample} became {level}, not {}", srgb(sample));
        seen.insert(level);
    }
    // 8 bits of light have eleven levels where sRGB has 56
    assert!((0..=50).all(|level| seen.contains(&level)), "{seen:?}");
    assert_eq!(to_srgb8(&[0, 0, 0, 257], 4, Some(&profile)), [0, 0, 0, 1]);
}

#[test]
fn conversions_of_all_profiles_are_made_once() {
    let sources = [Profile::from_cicp(12, 13, 0), Profile::from_cicp(9, 16, 0)];
    let chromaticities = [(0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)];
    let grey = Profile::parsed_from(Source::Icc([7, 8, 9].into()), ColorProfile::new_gray_with_gamma(2.2));
    let profiles = sources.into_iter().chain([Profile::from_gamma(0.6, chromaticities), Some(grey)]);
    for (number, profile) in profiles.enumerate() {
        let profile = profile.expect("a profile");
        let pixels = || Pixels::filled(Size::new(2, 2), &[200, 30, 90]);
        let first = to_srgb(pixels(), &profile);
        assert_eq!(to_srgb(pixels(), &sent(&profile)).data, first.data);
        assert_eq!(CONVERSIONS.with_borrow(Vec::len), number + 1, "{profile:?}");
        to_srgb8(&[1, 2, 3], 3, Some(&profile));
        assert_eq!(WIDE_CONVERSIONS.with_borrow(Vec::len), 1);
    }
}

#[test]
fn kept_conversions_are_bounded_by_the_bytes_of_their_profiles() {
    for number in 0..6 {
        let icc: Vec<u8> = vec![number; 1_500_000];
        let profile = Profile::parsed_from(Source::Icc(icc.into()), ColorProfile::new_display_p3());
        to_srgb(Pixels::filled(Size::new(2, 2), &[1, 2, 3]), &profile);
    }
    assert_eq!(CONVERSIONS.with_borrow(Vec::len), 2);
    let large = Profile::parsed_from(Source::Icc(vec![9; 5_000_000].into()), ColorProfile::new_display_p3());
    assert!(!large.is_srgb());
    assert_eq!(CONVERSIONS.with_borrow(Vec::len), 0);
}

#[test]
fn inks_without_a_profile() {
    let check = |inks: [u8; 4], inverted, expected: [u8; 3]| {
        assert_eq!(cmyk_to_rgb(inks.to_vec(), inverted, None), expected, "{inks:?}");
    };
    check([0, 0, 0, 0], false, [255, 255, 255]);
    check([255, 255, 255, 255], true, [255, 255, 255]);
    check([255, 0, 0, 0], false, [0, 255, 255]);
    check([0, 0, 0, 255], false, [0, 0, 0]);
    check([0, 255, 255, 255], true, [0, 255, 255]);
}

#[test]
fn profiles_are_for_pictures_of_their_kind() {
    let icc = |kind: &[u8; 4]| {
        let mut icc = ColorProfile::new_display_p3().encode().expect("written");
        icc[16..20].copy_from_slice(kind);
        icc
    };
    for (kind, grey, rgb, cmyk) in [
        (b"RGB ", true, true, false),
        (b"GRAY", true, false, false),
        (b"CMYK", false, false, true),
        (b"Lab ", false, false, false),
        (b"XYZ ", false, false, false),
    ] {
        let icc = icc(kind);
        let found = [1, 3, 4].map(|components| ColourModel::of(components).is_of(&icc));
        assert_eq!(found, [grey, rgb, cmyk], "{}", String::from_utf8_lossy(kind));
    }
    assert!(!ColourModel::Rgb.is_of(b"") && !ColourModel::Grey.is_of(&[7; 18]));
}

#[test]
fn matrix_profile_uses_xyz_whatever_its_header() {
    let mut icc = ColorProfile::new_display_p3().encode().expect("written");
    let expected = Profile::from_icc(&icc).expect("a profile");
    icc[20..24].copy_from_slice(b"Lab ");
    let profile = Profile::from_icc(&icc).expect("a profile");
    let pixels = || Pixels::filled(Size::new(4, 4), &[234, 51, 35]);
    assert_eq!(to_srgb(pixels(), &profile).data, to_srgb(pixels(), &expected).data);
    assert!(profile.rgb_icc().is_some());
}

#[test]
fn profiles_that_no_transform_can_be_made_from_are_not_passed_on() {
    let mut plain = ColorProfile::new_display_p3();
    (plain.red_trc, plain.green_trc, plain.blue_trc) = (None, None, None);
    let profile = Profile::parsed_from(Source::Icc([1, 2, 3].into()), plain);
    assert!(profile.is_srgb() && profile.rgb_icc().is_none());
    let pixels = Pixels::filled(Size::new(2, 2), &[1, 2, 3]);
    assert_eq!(to_srgb(pixels.clone(), &profile).data, pixels.data);
}

#[test]
fn junk_is_no_profile() {
    assert!(Profile::from_icc(b"").is_none());
    assert!(Profile::from_icc(&[7; 500]).is_none());
    assert!(Profile::from_gamma(0.45, [(0.0, 0.0); 4]).is_none());
    assert!(Profile::from_gamma(0.0, [(0.3127, 0.329), (0.64, 0.33), (0.3, 0.6), (0.15, 0.06)]).is_none());
}

#[test]
fn profile_of_code_points_has_the_same_bytes_each_time() {
    let profile = Profile::from_cicp(12, 13, 0).expect("a profile");
    let icc = profile.rgb_icc().expect("RGB");
    assert_eq!(&icc[24..36], [7, 228, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
    let parsed = Profile::from_icc(&icc).expect("a profile");
    let pixels = || Pixels::filled(Size::new(2, 2), &[234, 51, 35]);
    assert_eq!(to_srgb(pixels(), &parsed).data, to_srgb(pixels(), &profile).data);
}

/// The profile as another process receives it.
fn sent(profile: &Profile) -> Profile {
    let bytes = postcard::to_allocvec(profile).expect("encoded");
    postcard::from_bytes(&bytes).expect("a profile")
}

#[test]
fn profiles_from_another_process_convert_alike() {
    let icc = ColorProfile::new_display_p3().encode().expect("written");
    let chromaticities = [(0.3127, 0.329), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06)];
    let all = [Profile::from_icc(&icc), Profile::from_gamma(0.6, chromaticities), Profile::from_cicp(12, 13, 0)];
    for profile in all {
        let profile = profile.expect("a profile");
        let received = sent(&profile);
        assert!(received.0.parsed.get().is_none(), "parsed on arrival: {received:?}");
        for pixel in [[234, 51, 35], [1, 200, 90]] {
            let pixels = || Pixels::filled(Size::new(4, 4), &pixel);
            assert_eq!(to_srgb(pixels(), &received).data, to_srgb(pixels(), &profile).data, "{profile:?}");
            let wide: Vec<u16> = pixel.iter().map(|&sample| u16::from(sample) * 257).collect();
            assert_eq!(to_srgb8(&wide, 3, Some(&received)), to_srgb8(&wide, 3, Some(&profile)), "{profile:?}");
        }
        assert_eq!(received.name(), profile.name());
        assert_eq!(received.rgb_icc(), profile.rgb_icc());
        assert_eq!(received.is_srgb(), profile.is_srgb());
    }
}

#[test]
fn junk_from_another_process_counts_as_absent() {
    let sources = [
        Source::Icc([7; 500].into()),
        Source::Gamma(f32::NAN, [(f32::INFINITY, -1.0); 4]),
        Source::Gamma(0.0, [(0.3, 0.3); 4]),
        Source::Cicp(255, 255),
        Source::Hdr(HdrTransfer::Pq, 255, u32::MAX),
    ];
    for source in sources {
        let profile = sent(&Profile(Arc::new(Inner { source, parsed: OnceLock::new() })));
        assert!(profile.is_srgb() && profile.rgb_icc().is_none() && profile.name().is_none(), "{profile:?}");
        let pixels = Pixels::filled(Size::new(2, 2), &[1, 2, 3]);
        assert_eq!(to_srgb(pixels.clone(), &profile).data, pixels.data);
        assert_eq!(to_srgb8(&[257, 514, 771], 3, Some(&profile)), [1, 2, 3]);
    }
}
