//! Rules that no vector is for, and the sizes of ipx 3.1.1.

use std::sync::Arc;

use super::*;
use crate::dialect::policy::tests::config;
use crate::dialect::{Config, Mount, Mounts, Policy, Target};
use crate::render::Size;

fn policy(reject_unknown: bool) -> Policy {
    let sources = Sources::new(["https://www.example.com"]).expect("a base");
    let ipx = Mount { prefix: "/_ipx".into(), dialect: Arc::new(Ipx { sources, reject_unknown }) };
    let mounts = Mounts::new("/", vec![ipx], None).expect("good mounts");
    Policy::new(Config { mounts, max_dimension: 8192, ..config() }).expect("no presets")
}

fn target(url: &str) -> Result<Target, Error> {
    policy(false).target(url, None, "image/webp", 0)
}

/// The error of modifiers, as text.
fn refusal(modifiers: &str) -> String {
    target(&format!("/_ipx/{modifiers}/a.jpg")).expect_err(modifiers).to_string()
}

/// Asserts that modifiers mean a native query.
fn same(modifiers: &str, query: &str) {
    let ipx = target(&format!("/_ipx/{modifiers}/a.jpg")).unwrap_or_else(|error| panic!("{modifiers}: {error}"));
    let native = policy(false).target("/a.jpg", Some(query), "image/webp", 0).expect(query);
    assert_eq!(ipx.recipe, native.recipe, "{modifiers}");
    assert_eq!(ipx.negotiable, native.negotiable, "{modifiers}");
}

#[test]
fn modifiers_mean_native_parameters() {
    for (modifiers, query) in [
        ("width_300", "width=300"),
        ("w:300,q=80&f_webp", "animated=false&format=webp&quality=80&width=300"),
        ("w_300,width_200", "width=200"),
        ("width_200,w_300", "width=200"),
        ("w_abc,width_200", "width=200"),
        ("w_300,h_100,s_10x10,fit_bogus,pos_bogus", "width=300"),
        ("h_100,s_30x20", "fit=cover&height=20&width=30"),
        ("h_100,s_0x20", "height=100"),
        ("height_100", "height=100"),
        ("s_300", "fit=cover&height=300&width=300"),
        ("resize_300x", "fit=cover&height=300&width=300"),
        ("s_300x100,fit_contain,enlarge", "canvas=000000&enlarge=true&fit=pad&height=100&width=300"),
        ("s_300x100,fit_inside,enlarge", "enlarge=true&height=100&width=300"),
        ("s_9x9,fit_contain,b_transparent", "canvas=00000000&fit=pad&height=9&limit=box&width=9"),
        ("s_9x9,fit_contain,b_%230f08", "canvas=00ff0088&fit=pad&height=9&limit=box&width=9"),
        ("s_9x9,fit_contain,pos_top", "canvas=000000&fit=pad&height=9&limit=box&position=top&width=9"),
        ("s_9x9,fit_contain,pos_entropy", "canvas=000000&fit=pad&height=9&limit=box&width=9"),
        ("s_9x9,fit_fill,pos_top", "fit=fill&height=9&width=9"),
        ("s_9x9,pos_right-top", "fit=cover&height=9&position=top-right&width=9"),
        ("s_9x9,pos_southwest", "fit=cover&height=9&position=bottom-left&width=9"),
        ("s_9x9,pos_8", "fit=cover&height=9&position=top-left&width=9"),
        ("enlarge", "format=original"),
        ("b_ff0000", "format=original"),
        ("a,,utm_1", "format=original"),
        ("a_false,f_avif", "format=avif"),
        ("f_gif", "format=gif"),
        ("f_auto", "animated=false&format=auto"),
        ("extract_1_2_30_40", "rect=1%2C2%2C30%2C40"),
        ("w_9,crop_0_0_1_1", "rect=0%2C0%2C1%2C1&width=9"),
        ("rotate_360", "format=original"),
        ("rotate_450,s_30x20", "fit=cover&height=20&rotate=90&width=30"),
        ("rotate_180,resize_30x20", "fit=cover&height=20&rotate=180&width=30"),
        ("rotate_90,w_30,h_20", "rotate=90&width=30"),
        ("flip", "flip=v"),
        ("flop_false", "flip=h"),
        ("flip,flop,rotate_270", "flip=hv&rotate=270"),
        ("flip,rotate_180", "flip=v&rotate=180"),
        ("extend_10", "canvas=000000&padding=10%2C0%2C0%2C0"),
        ("extend_1_2_3_4,b_white", "canvas=ffffff&padding=1%2C2%2C3%2C4"),
        ("extend", "format=original"),
        ("blur_0.3", "blur=0.3"),
        ("sharpen_1.5_2_3", "sharpen=1.5"),
        ("flatten", "background=000000"),
        ("flatten,b_transparent", "background=000000"),
        ("trim", "trim=4"),
        ("trim_0", "trim=2"),
        ("trim_255", "trim=100"),
        ("grayscale_false", "greyscale=true"),
        ("q_1,kernel_cubic", "quality=1"),
        ("tint_f00", "format=original&tint=f00"),
        ("tint_%23ff0000,w_30", "tint=red&width=30"),
    ] {
        same(modifiers, query);
    }
}

#[test]
fn modifiers_that_are_not_offered_are_refused_by_name() {
    for modifiers in [
        "negate",
        "gamma_2",
        "normalize",
        "threshold_9",
        "median_3",
        "modulate_1",
        "dilate_1",
        "erode_1",
        "clahe_1",
        "kernel_nearest",
    ] {
        let name = modifiers.split('_').next().expect("a name");
        let refusal = refusal(modifiers);
        assert!(refusal.contains(&format!("{name} is not an operation of this server")), "{modifiers}: {refusal}");
    }
    assert!(refusal("gamma_2").contains("native URLs have `gamma`"));
}

#[test]
fn invalid_values_are_refused_by_name() {
    for modifiers in [
        "w",
        "w_0",
        "w_-5",
        "w_12.5",
        "h_0",
        "s_",
        "s_x200",
        "s_3x4x5",
        "s_axb",
        "resize_-1x2",
        "f",
        "f_tiff",
        "f_JPEG",
        "f_heic",
        "q_0",
        "q_101",
        "q_80.5",
        "blur",
        "blur_0.2",
        "blur_101",
        "sharpen",
        "sharpen_11",
        "trim_256",
        "trim_-1",
        "rotate",
        "rotate_45",
        "crop_1_2_3",
        "crop_1_2_0_4",
        "extract_1_2_3_4_5",
        "extend_-1",
        "extend_a",
        "w_%zz",
    ] {
        let name = modifiers.split('_').next().expect("a name");
        assert!(refusal(modifiers).starts_with(&format!("{name}=")), "{modifiers}");
    }
    for (modifiers, name) in [
        ("s_9x9,fit_bogus", "fit"),
        ("s_9x9,pos_bogus", "position"),
        ("s_9x9,fit_contain,b_bogus", "background"),
        ("flatten,b_12345", "background"),
        ("h_9,rotate_90", "rotate"),
        ("resize_9x9,rotate_-90", "rotate"),
    ] {
        assert!(refusal(modifiers).starts_with(&format!("{name}=")), "{modifiers}");
    }
}

#[test]
fn segments_are_modifiers_and_id() {
    for url in ["/_ipx", "/_ipx/", "/_ipx//a.jpg", "/_ipx/w_300", "/_ipx/w_300/", "/_ipx/_"] {
        assert!(matches!(target(url), Err(Error::InvalidParams(_))), "{url}");
    }
    for (url, id) in [
        ("/_ipx/_/https://www.example.com/a%2520b.jpg", "a b.jpg"),
        ("/_ipx/_/photos%2Ftom+1.jpg", "photos/tom+1.jpg"),
        ("/_ipx/_//photos/tom.jpg", "photos/tom.jpg"),
    ] {
        assert_eq!(target(url).map(|target| target.id.as_str().to_owned()), Ok(id.into()), "{url}");
    }
    assert_eq!(target("/_ipx/_/https://evil.example/a.jpg").err(), Some(Error::ForeignSource));
    for url in ["/_ipx/_/a/../b.jpg", "/_ipx/_/%zz.jpg", "/_ipx/_/a%2F%2E%2E%2Fb.jpg"] {
        assert_eq!(target(url).err(), Some(Error::InvalidName), "{url}");
    }
}

#[test]
fn unknown_modifiers_are_refused_where_the_setting_says_so() {
    let target = |url: &str| policy(true).target(url, None, "", 0);
    let error = target("/_ipx/w_300,widht_200/a.jpg").expect_err("unknown").to_string();
    assert!(error.contains("widht") && error.contains("did you mean \"width\""), "{error}");
    assert!(target("/_ipx/_/a.jpg").is_ok() && target("/_ipx/,w_1,,/a.jpg").is_ok());
}

#[test]
fn refusals_of_a_format_that_is_left_open_vary_by_accept() {
    let policy = policy(false);
    for (modifiers, expected) in [
        ("w_abc,f_auto", true),
        ("f_auto,f_webp", false),
        ("format_auto,f_webp", true),
        ("f_webp", false),
        ("_", false),
    ] {
        assert_eq!(policy.negotiates_format(&format!("/_ipx/{modifiers}/a.jpg"), None), expected, "{modifiers}");
    }
}

/// The handlers of ipx 3 and 4.
#[test]
fn every_modifier_of_ipx_has_a_row() {
    for name in [
        "quality",
        "q",
        "format",
        "f",
        "fit",
        "position",
        "pos",
        "background",
        "b",
        "enlarge",
        "kernel",
        "width",
        "w",
        "height",
        "h",
        "resize",
        "s",
        "trim",
        "extend",
        "extract",
        "crop",
        "rotate",
        "flip",
        "flop",
        "sharpen",
        "median",
        "blur",
        "flatten",
        "gamma",
        "negate",
        "normalize",
        "threshold",
        "modulate",
        "tint",
        "grayscale",
        "animated",
        "a",
        "dilate",
        "erode",
        "clahe",
    ] {
        assert!(options::Index::new(OPTIONS).find(name).is_some(), "{name}");
    }
}

/// The size of the rendition of an original of that size.
fn size_of(modifiers: &str, original: (u32, u32)) -> String {
    let recipe = target(&format!("/_ipx/{modifiers}/a.png")).expect(modifiers).recipe.expect("a rendition");
    let upright = Size::new(original.0, original.1);
    let part = recipe.geometry.part(upright).map_or(upright, |part| Size::new(part.width, part.height));
    let Size { width, height } = recipe.geometry.turn.apply(part);
    recipe.geometry.sizing().fit_within(width.into(), height.into(), 8192, 4_000_000).outer().to_string()
}

/// ipx 3.1.1 was run for each.
#[test]
fn sizes_are_those_of_ipx() {
    const ORIGINALS: [(u32, u32); 4] = [(600, 400), (400, 600), (100, 80), (1001, 667)];
    let file = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/dialects/ipx-sizes.tsv"));
    let mut wrong = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#')).skip(1) {
        let (modifiers, sizes) = line.split_once('\t').expect("sizes");
        for (original, expected) in ORIGINALS.into_iter().zip(sizes.split('\t')).filter(|(_, size)| *size != "-") {
            let size = size_of(modifiers, original);
            if size != expected {
                wrong.push(format!("{modifiers} of {original:?}: {size}, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
