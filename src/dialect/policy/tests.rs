//! Queries lowered to recipes, allowed widths, signatures.

use super::*;
use crate::dialect::Mounts;
use crate::dialect::native::PARAMETERS;
use crate::render::Recipe;
use crate::render::recipe::{Choice, Output};

mod mounted;
mod sizes;

/// A policy without limits of its own, for the tests of all modules.
pub(crate) fn config() -> Config {
    Config {
        quality: Quality::default(),
        target: Default::default(),
        formats: vec![Format::Avif, Format::WebP],
        client_hints: false,
        save_data_quality: None,
        max_dimension: 8192,
        widths: Vec::new(),
        snap: Snap::Off,
        reject_unknown: false,
        presets: BTreeMap::new(),
        overlays: Default::default(),
        overlay: String::new(),
        keys: Keys::default(),
        require_signature: false,
        mounts: Mounts::default(),
    }
}

fn target(config: Config, query: &str) -> Result<Target, Error> {
    Policy::new(config).expect("valid settings").target("/a.jpg", Some(query), "", 1000)
}

fn recipe(query: &str) -> Recipe {
    target(config(), query).unwrap_or_else(|error| panic!("{query}: {error}")).recipe.expect("a recipe")
}

#[test]
fn equal_queries_are_one_recipe() {
    let check = |queries: &[&str]| {
        for query in queries {
            assert_eq!(recipe(query), recipe(queries[0]), "{query}");
        }
    };
    check(&["width=800", "w=800", "w=400&dpr=2", "w=800&fit=contain", "w=800&q=75", "w=800&utm_source=x", "w=800&v=1"]);
    check(&["w=800&fit=cover", "w=800&fit=contain", "w=800&fit=outside", "w=800&fit=fill"]);
    check(&["w=8&h=9&fit=cover", "w=8&h=9&fit=crop&g=center", "h=9&w=8&fit=min&pos=0.5x0.5", "w=8&h=9&fit=cover&a=c"]);
    check(&["w=99999", "w=8192", "w=9000&dpr=5"]);
    check(&["w=9000&h=4500&fit=cover", "w=8192&h=4096&fit=cover", "w=3000&h=1500&dpr=5&fit=cover"]);
    check(&["h=9999&ar=2:1", "h=4096&ar=2:1", "w=9999&ar=2:1"]);
    check(&["w=1600&ar=16:9", "w=1600&h=900&fit=cover", "w=1600&ar=1.7777777"]);
    check(&["w=100&lossless", "w=100&lossless=1&q=20"]);
    check(&["rotate=180", "flip=hv"]);
    check(&["f=json", "f=json&w=100&q=3"]);
}

#[test]
fn query_without_rendering_params_is_the_original() {
    for query in ["", "utm_source=x", "v=3", "download=a.jpg", "v=3&expires=2000"] {
        assert!(target(config(), query).expect("good").recipe.is_none(), "{query}");
    }
    for query in ["dpr=1", "q=80", "auto=compress", "format=original"] {
        assert!(target(config(), query).expect("good").recipe.is_some(), "{query}");
    }
}

#[test]
fn contradicting_params_are_refused() {
    for query in ["ar=1:1&w=1&h=1", "lossless&f=jpeg", "lossless&f=avif", "lossless&f=gif", "preset=none"] {
        assert!(matches!(target(config(), query), Err(Error::InvalidParams(_))), "{query}");
    }
}

#[test]
fn params_override_their_preset() {
    let presets = [("avatar".to_owned(), "w=96&h=96&fit=cover".to_owned())].into();
    let config = Config { presets, ..config() };
    let with = |query| target(config.clone(), query).expect("good").recipe.expect("a recipe");
    assert_eq!(with("preset=avatar"), recipe("w=96&h=96&fit=cover"));
    assert_eq!(with("preset=avatar&w=48"), recipe("w=48&h=96&fit=cover"));
    let Err(Error::InvalidParams(invalid)) = target(config.clone(), "preset=avatr") else { panic!("refused") };
    assert_eq!(invalid[0].did_you_mean.as_deref(), Some("avatar"));
    for bad in ["w=0", "colour=red", "preset=avatar"] {
        let presets = [("bad".to_owned(), bad.to_owned())].into();
        assert!(Policy::new(Config { presets, ..self::config() }).is_err(), "{bad}");
    }
}

#[test]
fn widths_snap_to_allowed_ones() {
    let allowed = |snap| Config { widths: vec![640, 320, 1280], snap, ..config() };
    let up = |query| target(allowed(Snap::Up), query).expect("good");
    assert_eq!(up("w=300").recipe, Some(recipe("w=320")));
    assert_eq!(up("w=300").snapped.as_deref(), Some("width=320"));
    assert_eq!(up("w=320").snapped, None);
    assert_eq!(up("w=321&dpr=2").recipe, Some(recipe("w=1280")));
    assert_eq!(up("w=5000").recipe, Some(recipe("w=1280")));
    assert_eq!(up("w=300&h=150&fit=cover").recipe, Some(recipe("w=320&h=160&fit=cover")));
    assert!(target(allowed(Snap::Reject), "w=300").is_err());
    assert!(target(allowed(Snap::Reject), "w=640").is_ok());
}

#[test]
fn explicit_formats_are_not_negotiated() {
    let auto = target(config(), "auto=format,compress").expect("good");
    assert!(auto.negotiable);
    assert_eq!(auto.recipe.map(|recipe| recipe.encode.output), Some(Output::Auto(Choice::Baseline)));
    assert!(!target(config(), "f=webp").expect("good").negotiable);
    assert!(!target(config(), "f=webp&auto=format").expect("good").negotiable);
}

#[test]
fn signature_is_good_for_one_url_only() {
    let keys = Keys::new(["0123456789abcdef"]).expect("long enough");
    let presets = [("avatar".to_owned(), "width=96&fit=cover&quality=50".to_owned())].into();
    let config = Config { keys, require_signature: true, presets, ..config() };
    let policy = Policy::new(config.clone()).expect("valid settings");
    let signed = policy.sign("/a.jpg", "w=400&dpr=2&f=webp&expires=2000").expect("good").expect("a key");
    let (path, query) = signed.split_once('?').expect("a query");
    assert!(query.starts_with("expires=2000&format=webp&width=800&s="), "{query}");
    assert!(policy.target(path, Some(query), "", 1000).is_ok());
    assert!(matches!(policy.target(path, Some(query), "", 3000), Err(Error::Expired)));
    assert!(matches!(policy.target("/b.jpg", Some(query), "", 1000), Err(Error::Signature(_))));
    let more = format!("{query}&rotate=90");
    assert!(matches!(policy.target(path, Some(&more), "", 1000), Err(Error::Signature(_))));
    assert!(matches!(policy.target("/a.jpg", None, "", 1000), Err(Error::Signature(_))));
    // a parameter at its default would still ask for another answer
    for (query, other) in [
        ("", "quality=80"),
        ("", "auto=compress"),
        ("quality=80", ""),
        ("v=1", "v=1&dpr=2"),
        ("preset=avatar", "preset=avatar&fit=contain"),
        ("preset=avatar", "preset=avatar&dpr=2"),
        ("preset=avatar", "preset=avatar&quality=80"),
    ] {
        let signed = policy.sign("/a.jpg", query).expect("good").expect("a key");
        let (_, signature) = signed.split_once("s=").expect("a signature");
        let with = |query: &str| policy.target("/a.jpg", Some(&format!("{query}&s={signature}")), "", 1000);
        assert!(with(query).is_ok(), "{query}");
        assert!(matches!(with(other), Err(Error::Signature(_))), "{other} is good with the signature of {query}");
    }
    // the canonical URL of a snapped one is valid until the same `expires`
    let (widths, snap) = (vec![320, 640], Snap::Up);
    let snapping = Policy::new(Config { widths, snap, ..config.clone() }).expect("valid settings");
    let signed = snapping.sign("/a.jpg", "w=500&v=3&expires=2000").expect("good").expect("a key");
    let (path, query) = signed.split_once('?').expect("a query");
    let snapped = snapping.target(path, Some(query), "", 1000).expect("good").snapped.expect("another width");
    assert!(snapped.starts_with("expires=2000&width=640&s="), "{snapped}");
    assert!(snapping.target(path, Some(&snapped), "", 1000).is_ok());
    assert!(matches!(snapping.target(path, Some(&snapped), "", 3000), Err(Error::Expired)));
    let lenient = Policy::new(Config { require_signature: false, ..config }).expect("valid settings");
    assert!(lenient.target("/a.jpg", None, "", 1000).is_ok());
    assert!(matches!(lenient.target("/a.jpg", Some("s=AAAA"), "", 1000), Err(Error::Signature(_))));
}

/// The text that is signed depends on settings: a reload that changed them made every published URL with such a value a 403.
#[test]
fn signed_url_stays_valid_when_settings_change() {
    let keys = Keys::new(["0123456789abcdef"]).expect("long enough");
    let policy = |(quality, max_dimension): (u8, u32)| {
        let quality = Quality::new(quality).expect("a quality");
        let settings = Config { keys: keys.clone(), require_signature: true, quality, max_dimension, ..config() };
        Policy::new(settings).expect("valid settings")
    };
    for (query, before, after) in [
        ("w=800&q=80", (75, 8192), (80, 8192)),
        ("w=800&q=75", (75, 8192), (80, 8192)),
        ("q=80", (75, 8192), (80, 8192)),
        ("w=8000", (75, 8192), (75, 4096)),
        ("w=9000", (75, 8192), (75, 65_535)),
        ("w=3000&h=1500&fit=cover&dpr=2&v=1&expires=2000", (75, 8192), (75, 400)),
        ("w=800&q=80&f=webp&download=a.webp", (75, 8192), (80, 400)),
    ] {
        let signed = policy(before).sign("/a.jpg", query).expect("good").expect("a key");
        let (path, signed) = signed.split_once('?').expect("a query");
        for settings in [before, after] {
            let read = policy(settings).target(path, Some(signed), "", 1000);
            assert!(read.is_ok(), "{signed} under {settings:?}: {read:?}");
        }
        let more = format!("{signed}&rotate=90");
        assert!(matches!(policy(after).target(path, Some(&more), "", 1000), Err(Error::Signature(_))), "{more}");
    }
    // another signer may sign the canonical text of a URL, or its parameters as they are
    for (query, text) in [("w=400&dpr=2", "width=800"), ("w=400&dpr=2", "dpr=2&width=400"), ("w=9&q=75", "width=9")] {
        let signature = keys.sign("/a.jpg", text).expect("a key");
        let query = format!("{query}&s={signature}");
        assert!(policy((75, 8192)).target("/a.jpg", Some(&query), "", 1000).is_ok(), "{query}");
    }
}

/// `dpr` multiplied the offset beyond what a URL may state: the signed URL was a 400, and a required overlay lost the offset.
#[test]
fn largest_offset_is_one_that_urls_may_state() {
    let query = "w=9&h=9&fit=cover&enlarge&offset=20000,-30000&dpr=5";
    let keys = Keys::new(["0123456789abcdef"]).expect("long enough");
    let policy = Policy::new(Config { keys, ..config() }).expect("valid settings");
    let signed = policy.sign("/a.jpg", query).expect("good").expect("a key");
    assert!(signed.contains("offset=65535%2C-65535"), "{signed}");
    let (path, signed) = signed.split_once('?').expect("a query");
    let recipe = policy.target(path, Some(signed), "", 0).expect("good").recipe.expect("a recipe");
    let offset = recipe.geometry.options.offset;
    assert_eq!((offset.x, offset.y), (655_350_000, -655_350_000));
    let overlays = [("logo".to_owned(), OverlayId { digest: [1; 32], width: 8, height: 8 })].into();
    let required = target(Config { overlays, overlay: "overlay=logo".into(), ..config() }, query).expect("good");
    assert_eq!(required.recipe.expect("a recipe").geometry.options.offset, offset);
}

#[test]
fn unknown_params_are_refused_with_a_suggestion() {
    let config = Config { reject_unknown: true, ..config() };
    for (query, suggestion) in [("widht=3", "width"), ("width=100&amp;height=50", "height")] {
        let Err(Error::InvalidParams(invalid)) = target(config.clone(), query) else { panic!("refused") };
        assert_eq!(invalid[0].did_you_mean.as_deref(), Some(suggestion), "{query}");
    }
    let Err(Error::InvalidParams(invalid)) = target(config, &"zz&".repeat(2700)) else { panic!("refused") };
    assert_eq!((invalid.len(), invalid.omitted()), (8, 2692));
}

#[test]
fn stated_defaults_change_nothing() {
    for parameter in PARAMETERS.iter().filter(|parameter| parameter.renders) {
        let query = format!("w=800&h=600&{}={}", parameter.name, parameter.default());
        if let Ok(parsed) = query::parse(&query) {
            assert_eq!(recipe(&query), recipe("w=800&h=600"), "{query}");
            let policy = Policy::new(config()).expect("valid settings");
            assert_eq!(policy.canonical(&parsed.params), "height=600&width=800", "{query}");
        }
    }
}

#[test]
fn canonical_form_has_the_same_recipe() {
    let policy = Policy::new(config()).expect("valid settings");
    for query in [
        "lossless&quality=auto&format=webp",
        "quality=auto&format=webp",
        "target=80&width=100",
        "auto=format&q=low&w=50&dpr=2",
        "lossless&format=auto&width=9",
        "ar=16:9&w=100&g=smart",
        "rect=1,2,3,4&rotate=90&flip=h&bg=f00",
    ] {
        let canonical = policy.canonical(&query::parse(query).expect("valid").params);
        assert_eq!(recipe(&canonical), recipe(query), "{query} and {canonical}");
    }
}

#[test]
fn statement_of_quality_in_the_url_replaces_that_of_the_preset() {
    let presets = [("score", "target=80"), ("number", "quality=50"), ("exact", "lossless=true")];
    let presets = presets.map(|(name, query)| (name.to_owned(), query.to_owned())).into();
    let policy = Policy::new(Config { presets, ..config() }).expect("valid presets");
    let encode = |query: &str| {
        let recipe = policy.target("/a", Some(query), "", 0).expect("valid").recipe.expect("a recipe");
        (recipe.encode.quality.get(), recipe.encode.target.map(|target| target.get()), recipe.encode.lossless)
    };
    let default = Quality::default().get();
    for (query, expected) in [
        ("preset=score", (default, Some(80), false)),
        ("preset=score&quality=60", (60, None, false)),
        ("preset=score&lossless=true&format=png", (default, None, true)),
        ("preset=number&target=70", (default, Some(70), false)),
        ("preset=number&quality=auto", (default, Some(75), false)),
        ("preset=exact&target=70&format=webp", (default, Some(70), false)),
    ] {
        assert_eq!(encode(query), expected, "{query}");
    }
}

/// They were left as the preset has them where the URL states them by another parameter.
#[test]
fn format_and_part_in_the_url_replace_those_of_the_preset() {
    let presets = [
        ("webp", "format=webp&width=96"),
        ("rect", "rect=1,2,30,40&width=9"),
        ("window", "window=5x6@top"),
        ("inset", "inset=1,2,3,4"),
    ];
    let presets = presets.map(|(name, query)| (name.to_owned(), query.to_owned())).into();
    let policy = Policy::new(Config { presets, ..config() }).expect("valid presets");
    for (query, same) in [
        ("preset=webp&auto=format", "preset=webp&format=auto"),
        ("preset=webp&auto=compress", "preset=webp"),
        ("preset=rect&window=50x40@top", "window=50x40@top&width=9"),
        ("preset=rect&inset=4,3,2,1", "inset=4,3,2,1&width=9"),
        ("preset=rect&inset=0,0,0,0", "preset=rect"),
        ("preset=window&rect=4,3,2,1", "rect=4,3,2,1"),
        ("preset=inset&window=50x40@top", "window=50x40@top"),
    ] {
        let read = |query: &str| {
            let target = policy.target("/a.jpg", Some(query), "image/webp", 0);
            target.unwrap_or_else(|error| panic!("{query}: {error}"))
        };
        assert_eq!(read(query), read(same), "{query}");
    }
    assert!(policy.target("/a.jpg", Some("preset=webp&auto=format"), "", 0).expect("good").negotiable);
}
