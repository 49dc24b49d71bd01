//! A promised score, and what renders say of the kind of a picture.

use crate::golden::{decode, make, policy, score, testdata};
use tintype::render::{Settings, render};

#[test]
fn target_is_reached_within_a_point_and_a_half() {
    for photo in ["photos/astronaut.png", "photos/chelsea.png", "photos/coffee-444.jpg", "photos/rocket.jpg"] {
        let exact = decode(&make(photo, "width=240&format=png&lossless=true"));
        for (format, target) in [("webp", 65), ("webp", 75), ("webp", 82), ("avif", 75), ("jpeg", 75)] {
            let made = make(photo, &format!("width=240&format={format}&target={target}"));
            let score = score(&exact, &decode(&made));
            assert!((score - f64::from(target)).abs() <= 1.5, "{photo} {format} {target}: {score:.1}");
        }
    }
}

#[test]
fn result_larger_than_the_largest_original_is_compared() {
    // 1600 pixels may be read, and 10,000 are made
    let original = make("photos/astronaut.png", "width=40&height=40&fit=fill&format=png&lossless=true");
    let settings = Settings { max_pixels: 1600, smallest_wins: false, ..Settings::default() };
    for query in ["format=avif&target=75", "format=webp&target=75", "format=webp"] {
        let query = format!("width=100&enlarge&{query}");
        let recipe = policy().target("/a", Some(&query), "", 0).expect("valid").recipe.expect("a recipe");
        let made = render(&original, &recipe, &settings, &mut |_| true);
        assert!(made.is_ok(), "{query}: {:?}", made.err());
    }
}

#[test]
fn target_is_the_only_statement_of_quality() {
    let recipe = |query: &str| policy().target("/a", Some(query), "", 0).map(|target| target.recipe.expect("a recipe"));
    assert_eq!(recipe("quality=auto").expect("valid"), recipe("target=75").expect("valid"));
    assert_ne!(recipe("target=76").expect("valid"), recipe("target=75").expect("valid"));
    assert_eq!(recipe("quality=auto&lossless=true").expect("valid"), recipe("lossless=true").expect("valid"));
    for query in ["target=39", "target=91", "target=x", "target=75&quality=80", "target=75&lossless=true", "target="] {
        assert!(recipe(query).is_err(), "{query}");
    }
}

#[test]
fn description_and_render_state_the_kind() {
    let kinds = [
        ("photos/astronaut.png", "photo"),
        ("photos/coffee.png", "photo"),
        ("photos/rocket.jpg", "photo"),
        ("generated/thin-lines.png", "drawing"),
        ("generated/p3.png", "drawing"),
        ("generated/zone-plate.png", "photo"),
    ];
    for (path, kind) in kinds {
        let json: serde_json::Value = serde_json::from_slice(&make(path, "format=json")).expect("JSON");
        assert_eq!(json["kind"], kind, "{path}");
        let original = std::fs::read(testdata().join(path)).expect("a file of testdata");
        let recipe =
            policy().target("/a", Some("width=300&format=webp"), "", 0).expect("valid").recipe.expect("a recipe");
        let made = render(&original, &recipe, &Settings::default(), &mut |_| true).expect("a picture");
        assert_eq!(made.kind.map(|kind| kind.name()), Some(kind), "{path}");
    }
}
