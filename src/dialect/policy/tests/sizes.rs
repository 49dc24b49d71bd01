//! Sizes that other systems give, asked for with native parameters: each was measured with that system, or worked out from its source.

use super::*;
use crate::render::Size;

/// The originals of the tables below.
const ORIGINALS: [(u32, u32); 4] = [(600, 400), (400, 600), (100, 80), (1001, 667)];

/// The size of the rendition of an original of that size.
fn size(query: &str, original: (u32, u32)) -> Size {
    let geometry = recipe(query).geometry;
    let upright = Size::new(original.0, original.1);
    let part = geometry.part(upright).map_or(upright, |rect| {
        Size::new(rect.width.min(upright.width - rect.x), rect.height.min(upright.height - rect.y))
    });
    let Size { width, height } = geometry.turn.apply(part);
    geometry.sizing().fit_within(width.into(), height.into(), 8192, 4_000_000).outer()
}

/// Compares rows of a query and the sizes that it gives of [`ORIGINALS`].
fn check(table: &[(&str, [&str; 4])]) {
    for (query, sizes) in table {
        for (original, expected) in ORIGINALS.into_iter().zip(sizes) {
            assert_eq!(size(query, original).to_string(), *expected, "{query} of {original:?}");
        }
    }
}

/// ipx 3.1.1.
#[test]
fn sizes_of_ipx() {
    check(&[
        ("w=300", ["300x200", "300x450", "100x80", "300x200"]),
        ("h=300", ["450x300", "200x300", "100x80", "450x300"]),
        ("w=1200&enlarge=true", ["1200x800", "1200x1800", "1200x960", "1200x800"]),
        ("w=300&h=100&fit=cover", ["300x100", "300x100", "100x33", "300x100"]),
        ("w=300&h=100&fit=pad&limit=box", ["300x100", "300x100", "100x33", "300x100"]),
        ("w=300&h=100&fit=fill", ["300x100", "300x100", "100x33", "300x100"]),
        ("w=300&h=100&limit=box", ["150x100", "67x100", "41x33", "150x100"]),
        ("w=300&h=100&fit=outside", ["300x200", "300x450", "100x80", "300x200"]),
        ("w=1200&h=300&fit=cover", ["600x150", "400x100", "100x25", "1001x250"]),
        ("w=1200&h=300&fit=pad&limit=box", ["600x150", "400x100", "100x25", "1001x250"]),
        ("w=1200&h=300&fit=fill", ["600x150", "400x100", "100x25", "1001x250"]),
        ("w=1200&h=300&limit=box", ["225x150", "67x100", "31x25", "375x250"]),
        ("w=333&h=777&limit=box", ["171x114", "257x386", "34x27", "286x191"]),
        ("w=1200&h=300&fit=cover&enlarge=true", ["1200x300"; 4]),
        ("w=100&h=300&fit=cover", ["100x300", "100x300", "27x80", "100x300"]),
        ("padding=10,20,30,40&w=300", ["360x240", "360x490", "160x120", "360x240"]),
        ("w=300&rotate=90", ["300x450", "300x200", "80x100", "300x450"]),
    ]);
}

/// imgproxy v4, by the formulas of its `calcScale`.
#[test]
fn sizes_of_imgproxy() {
    check(&[
        ("w=300&h=300", ["300x200", "200x300", "100x80", "300x200"]),
        ("w=1200&h=1200&enlarge=true", ["1200x800", "800x1200", "1200x960", "1200x800"]),
        ("w=500&h=500&fit=cover&limit=sides", ["500x400", "400x500", "100x80", "500x500"]),
        ("w=1200&h=300&fit=cover&limit=sides", ["600x300", "400x300", "100x80", "1001x300"]),
        ("w=1200&h=300&fit=cover", ["600x150", "400x100", "100x25", "1001x250"]),
        ("w=1200&h=200&fit=fill", ["600x100", "400x67", "100x17", "1001x167"]),
        ("w=300&h=200&fit=auto&limit=sides", ["300x200", "133x200", "100x80", "300x200"]),
        ("w=300&h=300&dpr=3", ["600x400", "400x600", "100x80", "900x600"]),
        ("w=200&h=200&fit=cover&limit=sides&dpr=3", ["400x400", "400x400", "100x80", "600x600"]),
        ("w=500&h=500&fit=cover&limit=sides&dpr=2", ["500x400", "400x500", "100x80", "667x667"]),
        ("w=400&padding=10,10,10,10&dpr=2", ["630x430", "420x620", "120x100", "840x573"]),
        ("w=300&h=300&fit=pad&dpr=2", ["600x600", "600x600", "300x300", "600x600"]),
    ]);
}

/// thumbor 7.8.
#[test]
fn sizes_of_thumbor() {
    check(&[
        ("w=300&h=200&fit=cover&enlarge=true", ["300x200"; 4]),
        ("w=300&enlarge=true", ["300x200", "300x450", "300x240", "300x200"]),
        ("h=200&enlarge=true", ["300x200", "133x200", "250x200", "300x200"]),
        ("w=300&h=100", ["150x100", "67x100", "100x80", "150x100"]),
        ("w=300&h=100&fit=outside&enlarge=true", ["300x200", "300x450", "300x240", "300x200"]),
        ("w=300&h=300&fit=pad&canvas=ff0000", ["300x300"; 4]),
        ("w=1200&h=300&fit=cover&limit=sides", ["600x300", "400x300", "100x80", "1001x300"]),
        ("w=50&h=100&fit=cover&enlarge=true&rotate=270", ["50x100"; 4]),
    ]);
    let part = "rect=100,50,200,100&w=100&h=100";
    assert_eq!(size(part, (600, 400)), Size::new(100, 50));
}

/// Cloudflare Images, by its documentation.
#[test]
fn sizes_of_cloudflare() {
    assert_eq!(size("w=1920&h=1120&fit=cover", (612, 613)), Size::new(612, 357));
    // smaller originals stay as they are, larger ones are covered, and where one side is smaller that side stays
    for (original, expected) in [((300, 200), (300, 200)), ((1600, 1600), (800, 600)), ((700, 900), (700, 600))] {
        assert_eq!(size("w=800&h=600&fit=cover&limit=sides", original), Size::new(expected.0, expected.1));
    }
}

#[test]
fn limits_that_cannot_matter_are_dropped() {
    let same = |one: &str, other: &str| assert_eq!(recipe(one), recipe(other), "{one}");
    same("w=300&limit=sides", "w=300");
    same("w=300&h=200&limit=sides", "w=300&h=200");
    same("w=300&h=200&fit=cover&limit=box", "w=300&h=200&fit=cover");
    same("w=300&fit=cover&limit=sides", "w=300");
    same("w=300&h=200&fit=cover&limit=sides&enlarge", "w=300&h=200&fit=cover&enlarge");
    same("w=300&h=200&fit=cover&limit=sides&enlarge&dpr=2", "w=600&h=400&fit=cover&enlarge");
    same("w=300&h=200&limit=box&dpr=2", "w=600&h=400&limit=box");
    same("w=300&fit=auto", "w=300");
    same("w=300&canvas=red", "w=300");
}

#[test]
fn parts_of_an_original() {
    for (query, expected) in [
        ("rect=25p,50p,50p,50p", "300x200"),
        ("window=400x300@center", "400x300"),
        ("window=0.5x0.25@bottom-right", "300x100"),
        ("window=x100@top", "600x100"),
        ("window=200x100@top%2B10%2B20&orient=6", "200x100"),
        ("inset=20,30,20,0", "570x360"),
        ("inset=20,30,20,0&rotate=90", "360x570"),
    ] {
        assert_eq!(size(query, (600, 400)).to_string(), expected, "{query}");
    }
    assert_eq!(recipe("window=9x9@left 1 2").geometry, recipe("window=9x9@left%2B1%2B2").geometry);
    for query in ["rect=0,0,1,1&inset=1,1,1,1", "window=1x1&rect=0,0,1,1", "window=1x1&inset=1,0,0,0"] {
        assert!(target(config(), query).is_err(), "{query}");
    }
    assert!(target(config(), "w=9&h=9&fit=cover&offset=1,1&position=smart").is_err());
    assert_eq!(recipe("rect=0,0,9,9&inset=0,0,0,0"), recipe("rect=0,0,9,9"));
}

#[test]
fn dpr_is_part_of_the_canonical_url_where_the_original_reduces_it() {
    let policy = Policy::new(config()).expect("valid settings");
    let canonical = |query: &str| policy.canonical(&query::parse(query).expect("a good query").params);
    for (query, expected) in [
        ("w=300&dpr=2", "width=600"),
        ("w=300&h=200&fit=cover&dpr=2", "fit=cover&height=400&width=600"),
        ("w=300&h=200&fit=cover&limit=sides&dpr=2", "dpr=2&fit=cover&height=200&limit=sides&width=300"),
        ("w=300&h=200&fit=pad&dpr=2", "dpr=2&fit=pad&height=200&width=300"),
        ("w=300&h=200&fit=pad&dpr=1", "fit=pad&height=200&width=300"),
        ("w=300&h=200&fit=pad&dpr=2&enlarge", "enlarge=true&fit=pad&height=400&width=600"),
    ] {
        assert_eq!(canonical(query), expected, "{query}");
    }
    for query in
        ["dpr=2&padding=10%2C10%2C10%2C10&width=200", "dpr=2&fit=cover&height=9&offset=0%2C10&position=top&width=9"]
    {
        assert_eq!(canonical(query), query);
    }
    assert_eq!(canonical("w=200&padding=10,3,0,0&dpr=1.5&enlarge"), "enlarge=true&padding=15%2C4%2C0%2C0&width=300");
    // allowed widths are those of results
    let config = Config { widths: vec![600], snap: Snap::Up, ..config() };
    let target = target(config, "w=250&h=200&fit=pad&dpr=2").expect("a good query");
    assert_eq!(target.snapped.as_deref(), Some("fit=pad&height=480&width=600"));
}
