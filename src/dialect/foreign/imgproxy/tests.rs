//! URLs of imgproxy: paths, options, presets, sizes, signatures, refusals.

use std::collections::BTreeMap;

use super::*;
use crate::dialect::native::query;

const SALT: &str = "68656c6c6f";
const KEY: &str = "736563726574";

fn imgproxy() -> Imgproxy {
    Imgproxy::new(Sources::new(["https://www.example.com"]).expect("a base"))
}

fn signed(size: u8) -> Imgproxy {
    Imgproxy { keys: Keys::new(&[KEY.into()], &[SALT.into()], size).expect("good keys"), ..imgproxy() }
}

fn presets(texts: &[(&str, &str)]) -> Result<Presets, InvalidPreset> {
    let texts: BTreeMap<String, String> = texts.iter().map(|&(name, text)| (name.into(), text.into())).collect();
    Presets::new(&texts, ":")
}

/// The name of the original and the canonical query of a URL, or its status.
fn read(dialect: &Imgproxy, rest: &str) -> Result<String, u16> {
    match dialect.read(rest, None, 1_800_000_000) {
        Ok(Statement { id, params, .. }) => Ok(format!("{id}?{}", query::canonical(&params, &[]))),
        Err(error) => Err(crate::dialect::foreign::tests::status(&error)),
    }
}

/// The canonical query of options, without the metadata that nearly all have, or the status.
fn options_of(options: &str) -> Result<String, u16> {
    let read = read(&imgproxy(), &format!("/_/{options}/plain/local:///a.jpg"))?;
    let query = read.strip_prefix("a.jpg?").expect("its name");
    let query = query.replace("metadata=copyright&", "").replace("&metadata=copyright", "");
    Ok([("%2C", ","), ("%40", "@"), ("%2B", "+")].iter().fold(query, |query, (from, to)| query.replace(from, to)))
}

fn check(table: &[(&str, Result<&str, u16>)]) {
    for (options, expected) in table {
        let got = options_of(options);
        assert_eq!(got.as_deref().map_err(|status| *status), *expected, "{options}");
    }
}

#[test]
fn sizes_have_their_native_equals() {
    check(&[
        ("rs:fill-down:300:200", Ok("fit=cover&height=200&position=center&width=300")),
        ("rs:force:300:200", Ok("fit=fill&height=200&width=300")),
        ("rs:force:300", Err(400)),
        ("rt:force", Ok("metadata=copyright")),
        ("rs:auto:300:200:1", Ok("enlarge=true&fit=auto&height=200&position=center&width=300")),
        ("s:300:200:1", Ok("enlarge=true&height=200&width=300")),
        ("w:300/w:200/w:", Ok("width=200")),
        ("w:300/h:0/z:1.5", Ok("width=450")),
        ("w:300/z:2:2/dpr:2.625", Ok("width=1575")),
        ("w:300/z:1:2", Err(400)),
        ("w:300/z:0", Err(400)),
        ("w:1/dpr:0.1", Ok("width=1")),
        ("w:99999999999", Ok("width=4294967295")),
        ("dpr:0.5", Err(400)),
        ("dpr:2/el:1", Err(400)),
        ("dpr:5.5/w:3", Err(400)),
        ("rs:fill:300:200/dpr:2", Ok("dpr=2&fit=cover&height=200&limit=sides&position=center&width=300")),
        ("rs:fill:300:200/dpr:2.625", Err(400)),
        ("rs:fill-down:300:200/dpr:2", Ok("fit=cover&height=400&position=center&width=600")),
        ("rs:fit:300:200::1/dpr:2", Ok("dpr=2&fit=pad&height=200&position=center&width=300")),
        ("w:300/pd:1::3", Ok("padding=1,1,3,1&width=300")),
        ("w:300/pd:1:2", Ok("padding=1,2,1,2&width=300")),
        ("w:300:200", Err(400)),
        ("rs:fit:1:1:1:1:no:1:1:1", Err(400)),
        ("rs:bogus:1:1", Err(400)),
    ]);
}

#[test]
fn extending_is_refused_where_the_canvas_would_have_another_size() {
    check(&[
        ("ex:1", Ok("metadata=copyright")),
        ("ex:1/w:300", Err(400)),
        ("ex:1/w:300/el:1", Ok("enlarge=true&width=300")),
        ("ex:1/rs:fill-down:300:200", Err(400)),
        ("ex:1/rs:auto:300:200:1", Err(400)),
        ("ex:1:sm/rs:fit:300:200", Err(400)),
        ("ex:1:fp:0.5:0.5/rs:fit:300:200", Err(400)),
        ("ex:1:soea:5:-0.1/rs:fit:300:200", Ok("fit=pad&height=200&offset=5,-0.1&position=bottom-right&width=300")),
        ("exar:1/rs:fill:300:200", Err(400)),
        ("exar:1/rs:fill:300:200:1", Ok("enlarge=true&fit=cover&height=200&position=center&width=300")),
        ("exar:1/rs:fill-down:300:200", Ok("fit=cover&height=200&position=center&width=300")),
        ("exar:1/w:300", Ok("width=300")),
        ("exar:0/rs:fit:300:200", Ok("height=200&width=300")),
    ]);
}

#[test]
fn crops_are_windows() {
    check(&[
        ("c:100", Ok("window=100x0@center")),
        ("c:0:0", Ok("metadata=copyright")),
        ("c:100.7:0.25", Ok("window=100x0.25@center")),
        ("c:100:0.99999", Ok("window=100x0.9999@center")),
        ("c:100:100/g:sm", Err(400)),
        ("c:100:100/g:noea:5:0.5", Ok("window=100x100@top-right+5+0.5")),
        ("c:100:100:ce:-3:-0.5/g:noea:5:0.5", Ok("window=100x100@center-3-0.5")),
        ("c:100:100:fp:0.25:0.75", Ok("window=100x100@0.25x0.75")),
        ("c:100:100:fp:0.25", Err(400)),
        ("c:100:100/rot:90", Err(400)),
        ("c:100:100/fl:1", Err(400)),
        ("c:100:100/rot:360", Ok("window=100x100@center")),
        ("g:sm/rs:fill:3:3", Ok("fit=cover&height=3&limit=sides&position=smart&width=3")),
        ("g:sm:1:1/rs:fill:3:3", Err(400)),
        ("g:objw:face:2", Err(400)),
        ("g:no:1:1:1", Err(400)),
        ("g:bogus", Err(400)),
    ]);
}

#[test]
fn pictures_have_their_native_equals() {
    check(&[
        ("t:10", Ok("trim=4")),
        ("t:0", Ok("trim=2")),
        ("t:999", Ok("trim=100")),
        ("t:10/t:", Ok("metadata=copyright")),
        ("t:10:ff00ff", Err(400)),
        ("t:10::1", Err(400)),
        ("ar:0", Ok("orient=1")),
        ("rot:-90", Ok("rotate=270")),
        ("rot:45", Err(400)),
        ("fl::1", Ok("flip=v")),
        ("bg:f00", Ok("background=ff0000")),
        ("bg:f00/bg:", Ok("metadata=copyright")),
        ("bg:ff000080", Err(400)),
        ("bg:256:0:0", Err(400)),
        ("bg:1:2", Err(400)),
        ("bl:0/sh:0/pix:1/mb:0", Ok("metadata=copyright")),
        ("wm:0:soea", Ok("overlay=none")),
        ("wm:0.5:noea:3", Ok("overlay=watermark&overlay_offset=3,0&overlay_opacity=50&overlay_position=top-right")),
        // pixels times dpr are not a share of the picture
        (
            "wm:1:nowe:1:9/w:3/dpr:0.5",
            Ok("overlay=watermark&overlay_offset=0,4&overlay_opacity=100&overlay_position=top-left&width=2"),
        ),
        ("wm:1:nowe:1:-1/w:3/dpr:0.5", Ok("overlay=watermark&overlay_opacity=100&overlay_position=top-left&width=2")),
        (
            "wm:1:nowe:1.5:0.5/w:3",
            Ok("overlay=watermark&overlay_offset=2,0.5&overlay_opacity=100&overlay_position=top-left&width=3"),
        ),
        ("bl:0.1", Err(400)),
        ("bl:-1", Err(400)),
        ("wm:-1", Err(400)),
        ("skp:svg", Ok("metadata=copyright")),
        ("skp:svg:gif", Err(400)),
    ]);
}

#[test]
fn encoding_and_delivery_have_their_native_equals() {
    let plain = "metadata=copyright";
    check(&[
        ("kcr:0", Ok("metadata=none")),
        ("sm:0/kcr:0", Ok("metadata=keep")),
        ("q:0", Ok(plain)),
        ("fq:webp:50:jpg:60/f:webp", Ok("format=webp&quality=50")),
        ("fq:webp:50:webp:40/f:webp", Ok("format=webp&quality=40")),
        ("fq:webp:50/f:png", Ok("format=png")),
        ("fq:webp:50/f:webp/q:70", Ok("format=webp&quality=70")),
        ("fq:webp:50", Err(400)),
        ("fq:webp", Err(400)),
        ("fq:bogus:50/f:webp", Err(400)),
        ("f:ico", Err(400)),
        ("raw:1/w:300/rt:force", Ok("")),
        ("raw:1/cb:1/exp:2000000000/att:1", Ok("download=a&expires=2000000000&v=1")),
        ("cb:", Ok(plain)),
        ("exp:1700000000", Err(410)),
        ("exp:-1", Err(400)),
        ("att:1/fn:a%20b", Ok("download=a%20b")),
        ("att:1/fn:YSBi:1", Ok("download=a%20b")),
        ("att:1/fn:%zz", Err(400)),
        ("att:1/fn:..", Err(400)),
        ("fn:x", Ok(plain)),
    ]);
    let long = options_of(&format!("cb:{}", "x".repeat(100))).expect("cut");
    assert_eq!(long, format!("v={}", "x".repeat(64)));
}

#[test]
fn negotiation_is_a_setting() {
    let auto = |auto, options: &str| {
        let dialect = Imgproxy { auto, ..imgproxy() };
        let rest = format!("/_/{options}/plain/a.jpg");
        let is_auto = read(&dialect, &rest).is_ok_and(|read| read.contains("format=auto"));
        assert_eq!(dialect.negotiates_format(&rest, None), is_auto, "{options}");
        is_auto
    };
    assert!(auto(Negotiation::Prefer, "w:3"));
    assert!(!auto(Negotiation::Prefer, "w:3/f:png"));
    assert!(!auto(Negotiation::Prefer, "raw:1"));
    assert!(auto(Negotiation::Enforce, "w:3/f:png"));
    assert!(!auto(Negotiation::Off, "w:3"));
    let enforced = Imgproxy { auto: Negotiation::Enforce, ..imgproxy() };
    assert_eq!(read(&enforced, "/_/fq:webp:50/f:webp/plain/a.jpg"), Err(400));
    assert!(enforced.negotiates_format("/_/bogus:1/plain/a.jpg", None));
}

#[test]
fn sources_are_plain_or_encoded() {
    for (rest, expected) in [
        ("/_/plain/a%2540b.jpg", Ok("a%40b.jpg")),
        ("/_/plain/a+b.jpg@png", Ok("a+b.jpg")),
        ("/_/plain/a.jpg@", Ok("a.jpg")),
        ("/_/plain/a@b@png", Err(400)),
        ("/_/plain/@png", Err(400)),
        ("/_/plain/", Err(400)),
        ("/_/plain/a%zz", Err(404)),
        ("/_/plain/local:/a/b.jpg", Ok("a/b.jpg")),
        ("/_/plain/https:/www.example.com/a.jpg", Ok("a.jpg")),
        ("/_/w%3A300/plain/a.jpg?x=1", Ok("a.jpg")),
        ("/_/w%3a300/plain/a.jpg", Err(400)),
        // photos/tom.jpg, in pieces, with padding, and with a format
        ("/_/w:3/cGhv/dG9zL3RvbS5q/cGc", Ok("photos/tom.jpg")),
        ("/_/w:3/cGhvdG9zL3RvbS5qcGc=", Ok("photos/tom.jpg")),
        ("/_/w:3/cGhvdG9zL3RvbS5qcGc=.png", Ok("photos/tom.jpg")),
        ("/_/w:3/cGhvdG9zL3RvbS5qcGc.", Ok("photos/tom.jpg")),
        ("/_/w:3/cGhvdG9zL3RvbS5qcGc.png.webp", Err(400)),
        ("/_/w:3/cGhv*", Err(400)),
        ("/_/w:3/_w", Err(404)),
        // a/../b and a\0b
        ("/_/w:3/YS8uLi9i", Err(404)),
        ("/_/w:3/YQBi", Err(404)),
        ("/_/w:3/.png", Err(400)),
        ("/_/raw/plain/a.jpg", Err(400)),
        ("/_/w:3", Err(400)),
        ("/_", Err(400)),
        ("/", Err(404)),
        ("", Err(404)),
        ("/_/enc/abc", Err(400)),
        ("/info/_/plain/a.jpg", Err(400)),
        ("/_/fill/300/300/sm/0/plain/a.jpg", Err(400)),
        ("/w:300/plain/a.jpg", Err(403)),
        ("/_/plain/s3://bucket/a.jpg", Err(403)),
        ("/_/plain/https://evil.example/a.jpg", Err(403)),
    ] {
        let got = read(&imgproxy(), rest).map(|read| read.split('?').next().unwrap_or_default().to_owned());
        assert_eq!(got.as_deref().map_err(|status| *status), expected, "{rest}");
    }
    let based = Imgproxy { base_url: "https://www.example.com/".into(), ..imgproxy() };
    assert_eq!(read(&based, "/_/plain/a.jpg"), read(&based, "/_/plain/https://www.example.com/a.jpg"));
}

#[test]
fn separator_is_a_setting() {
    let dialect = Imgproxy { separator: ";".into(), ..imgproxy() };
    assert_eq!(read(&dialect, "/_/rs;fit;3;4/plain/a.jpg"), Ok("a.jpg?height=4&metadata=copyright&width=3".into()));
}

#[test]
fn presets_are_expanded_once() {
    let presets_of = |texts| presets(texts).expect("good presets");
    let dialect = Imgproxy {
        presets: presets_of(&[("default", "q:70"), ("big", "w:900/pr:sharp:big"), ("sharp", "sh:1/pr:big/h:5")]),
        ..imgproxy()
    };
    let base = "metadata=copyright&quality=70";
    for (options, expected) in [
        ("w:3", Ok(format!("a.jpg?{base}&width=3"))),
        ("q:50", Ok("a.jpg?metadata=copyright&quality=50".into())),
        ("pr:big/w:3", Ok(format!("a.jpg?height=5&{base}&sharpen=1&width=3"))),
        ("pr:sharp", Ok(format!("a.jpg?height=5&{base}&sharpen=1&width=900"))),
        ("pr:bigg", Err(400)),
        (&format!("pr{}", ":big".repeat(1000)), Err(400)),
    ] {
        assert_eq!(read(&dialect, &format!("/_/{options}/plain/a.jpg")), expected, "{options}");
    }
    let only = Imgproxy { only_presets: true, ..dialect };
    assert_eq!(read(&only, "/_/sharp/plain/a.jpg"), Ok(format!("a.jpg?height=5&{base}&sharpen=1&width=900")));
    assert_eq!(read(&only, "/_/w:3/plain/a.jpg"), Err(400));
    for texts in [
        &[("a", "w")][..],
        &[("a", "w:x")],
        &[("a", "bogus:1")],
        &[("a", "pr:b")],
        &[("a", "pr:b:b:b:b:b:b:b:b:b:b"), ("b", "pr:c:c:c:c:c:c:c:c:c:c"), ("c", "w:1/w:1/w:1/w:1")],
    ] {
        assert!(presets(texts).is_err(), "{texts:?}");
    }
}

#[test]
fn signatures_are_those_of_the_clients() {
    let vectors = [
        (32, "/rs:fit:800:600/bG9jYWw6Ly8vcGhvdG9zL3RvbS5qcGc", "ia-43KHosefygYr0O82gv_7elL0vY7KvJfMSzQCxw_c"),
        (
            32,
            "/w:800/aHR0cHM6Ly93d3cuZXhhbXBsZS5jb20vcGhvdG9zL3RvbS5qcGc",
            "G0koFtFqZcXPw55PtGAT4uivpj0u_WwM6Gy7MAToVxY",
        ),
        (16, "/w:300/bG9jYWw6Ly8vcGhvdG9zL3RvbS5qcGc", "2GDJHXNR2EctfJiTSkZRiQ"),
    ];
    for (size, path, signature) in vectors {
        let dialect = signed(size);
        assert_eq!(dialect.sign(path), Some(format!("/{signature}{path}")));
        assert!(read(&dialect, &format!("/{signature}{path}")).is_ok());
        for wrong in ["", "unsafe", &signature[..signature.len() - 1], &format!("{signature}=")] {
            assert_eq!(read(&dialect, &format!("/{wrong}{path}")), Err(403), "{wrong}");
        }
        assert_eq!(read(&dialect, &format!("/{signature}/q:1{path}")), Err(403));
    }
    assert_eq!(read(&signed(16), &format!("/{}{}", vectors[0].2, vectors[0].1)), Err(403));
    // before any option is read
    assert_eq!(read(&signed(32), "/wrong/bogus:1/plain/a.jpg"), Err(403));
    let merged =
        signed(32).sign("/w:3/plain/local:///a.jpg").expect("a key").replace(":///", ":/").replace("w:3", "w%3A3");
    assert!(read(&signed(32), &merged).is_ok());
    assert!(imgproxy().is_unsigned() && !signed(32).is_unsigned());
    assert_eq!(imgproxy().sign("/w:3/plain/a.jpg"), None);
}

#[test]
fn health_check_needs_no_signature() {
    let mount = crate::dialect::Mount { prefix: "/imgproxy".into(), dialect: std::sync::Arc::new(signed(32)) };
    let mounts = crate::dialect::Mounts::new("/", vec![mount], None).expect("a prefix");
    let paths = ["/imgproxy/health", "/health", "/imgproxy/_/health", "/imgproxy/health/a.jpg"];
    assert_eq!(paths.map(|path| mounts.is_health_check(path)), [true, false, false, false]);
}

#[test]
fn any_of_several_keys_verifies() {
    let both = Keys::new(&["aa".into(), KEY.into()], &["bb".into(), SALT.into()], 32).expect("good keys");
    let old = signed(32).sign("/w:3/plain/a.jpg").expect("a key");
    assert!(read(&Imgproxy { keys: both, ..imgproxy() }, &old).is_ok());
    let keys = |keys: &[&str], salts: &[&str], size| {
        let list = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Keys::new(&list(keys), &list(salts), size).expect_err("bad")
    };
    assert_eq!(keys(&["aa"], &[], 32), InvalidKeys::Count);
    assert_eq!(keys(&["a"], &["bb"], 32), InvalidKeys::Key);
    assert_eq!(keys(&[""], &["bb"], 32), InvalidKeys::Key);
    assert_eq!(keys(&["aa"], &["zz"], 32), InvalidKeys::Salt);
    assert_eq!(keys(&["aa"], &["bb"], 0), InvalidKeys::Size);
    assert_eq!(keys(&["aa"], &["bb"], 33), InvalidKeys::Size);
}

/// The names in imgproxy's documentation of its processing options.
const VENDOR: &str = "resize rs size s resizing_type rt resizing_algorithm ra width w height h min-width mw min-height mh zoom z dpr \
    enlarge el extend ex extend_aspect_ratio extend_ar exar gravity g objects_position obj_pos op crop c crop_aspect_ratio crop_ar car \
    trim t padding pd auto_rotate ar rotate rot flip fl background bg background_alpha bga adjust a brightness br contrast co \
    saturation sa monochrome mc duotone dt blur bl sharpen sh pixelate pix unsharp_masking ush blur_areas ba progressive_blur pbl \
    blur_detections bd draw_detections dd crop_objects colorize col gradient gr watermark wm watermark_url wmu watermark_text wmt \
    watermark_size wms watermark_rotate wm_rot wmr watermark_shadow wmsh style st strip_metadata sm keep_copyright kcr dpi \
    strip_color_profile scp preserve_hdr ph color_profile cp icc enforce_thumbnail eth quality q format_quality fq autoquality aq \
    max_bytes mb jpeg_options jpgo png_options pngo webp_options webpo avif_options avifo format f ext page pg pages pgs \
    disable_animation da video_thumbnail_second vts video_thumbnail_keyframes vtk video_thumbnail_tile vtt video_thumbnail_animation \
    vta fallback_image_url fiu skip_processing skp raw cachebuster cb bypass_cache bc cache_tags ct expires exp filename fn \
    return_attachment att preset pr hashsum hs max_src_resolution msr max_src_file_size msfs max_animation_frames maf \
    max_animation_frame_resolution mafr max_result_dimension mrd";

#[test]
fn every_option_of_the_vendor_has_one_row() {
    let names: Vec<&str> =
        OPTIONS.iter().flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied())).collect();
    for name in VENDOR.split_whitespace() {
        assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{name}");
    }
}

#[test]
fn refused_options_name_themselves() {
    for row in OPTIONS.iter().filter(|row| !matches!(row.treatment, options::Treatment::Read(_))) {
        for name in std::iter::once(row.name).chain(row.aliases.iter().copied()) {
            let read = imgproxy().read(&format!("/_/{name}:12/plain/a.jpg"), None, 0);
            match (&row.treatment, read) {
                (options::Treatment::Ignored, read) => assert!(read.is_ok(), "{name}"),
                (_, Err(Error::InvalidParams(params))) => assert_eq!(params[0].name, name),
                (_, read) => panic!("{name}: {read:?}"),
            }
        }
    }
    let unknown = imgproxy().read("/_/widht:3/plain/a.jpg", None, 0).expect_err("unknown").to_string();
    assert!(unknown.contains("did you mean \"width\""), "{unknown}");
}
