//! Every row of the table: names, values, suggestions, defaults.

use super::params::Params;
use super::table::{PARAMETERS, Parameter};
use super::values::{BOOLEANS, FITS, FORMATS, OVERLAY_PLACES, POSITIONS};

#[test]
fn names_and_aliases_are_unique() {
    let mut names: Vec<&str> = Parameter::names().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn printed_values_parse_to_the_same() {
    let values: &[(&str, &[&str])] = &[
        ("width", &["1", "800", "99999999999"]),
        ("height", &["1", "600"]),
        ("aspect_ratio", &["16:9", "1.5", "0.5625", "1.85:1", "10:10"]),
        ("dpr", &["1", "2.0", "0.1", "1.25", ".5", "5"]),
        ("fit", FITS),
        ("position", POSITIONS),
        ("position", &["0.5x0.33", "1x0", "ne", "left-top", "northeast", "c", "0.12345x1"]),
        ("limit", &["ratio", "Sides", "box"]),
        ("offset", &["0,0", "10,20", "-1.5,+0.25", "0,-0.0001"]),
        ("orient", &["1", "8"]),
        ("rect", &["0,0,1,1", "10,20,300,400", "25p,0p,50p,33.33p", "10,5p,100p,7"]),
        ("window", &["400x300@center", "200x100@top+10+20", "0.5x0.5@bottom-right", "0.3x@0.3x0.7-10-0.5"]),
        ("window", &["400x300", "x0@left", "0x0", "1x1@top-left 3 4"]),
        ("inset", &["0,0,0,0", "20,30,20,0"]),
        ("format", FORMATS),
        ("auto", &["format", "compress", "compress,format"]),
        ("quality", &["1", "100", "low", "HIGH", "auto"]),
        ("target", &["40", "75", "90"]),
        ("lossless", BOOLEANS),
        ("enlarge", BOOLEANS),
        ("animated", BOOLEANS),
        ("background", &["fff", "FFF8", "336699", "33669980", "RebeccaPurple", "transparent"]),
        ("canvas", &["ffffff", "0000", "red", "transparent"]),
        ("padding", &["0,0,0,0", "20,20,20,20", "65535,0,1,2"]),
        ("rotate", &["0", "90", "180", "270"]),
        ("flip", &["h", "v", "hv", "vh"]),
        ("blur", &["0.3", "100", "2.55"]),
        ("sharpen", &["0", "10", "1.5"]),
        ("pixelate", &["1", "8", "1000"]),
        ("brightness", &["0", "1", "1.25", "10"]),
        ("contrast", &["0.5", "1.0"]),
        ("saturation", &["0", "2"]),
        ("gamma", &["0.1", "2.2"]),
        ("greyscale", BOOLEANS),
        ("tint", &["f00", "336699", "gold", "336699ff"]),
        ("overlay", &["logo", "none", "a-b_c9"]),
        ("overlay_position", OVERLAY_PLACES),
        ("overlay_position", &["0.5x0.33", "north-east", "Repeat"]),
        ("overlay_offset", &["0,0", "10,-20", "0.1,0.2"]),
        ("overlay_opacity", &["1", "100"]),
        ("overlay_scale", &["0.01", "1", "0.25", "0.5x0.5", "0.3x1"]),
        ("trim", &["true", "false", "1", "0", "2", "100"]),
        ("metadata", &["none", "Copyright", "keep"]),
        ("preset", &["avatar", "a-b_c9"]),
        ("download", &["my photo.jpg", "ü.png"]),
        ("v", &["", "2024-01-01"]),
        ("expires", &["0", "1893456000"]),
        ("s", &["AAAA"]),
    ];
    for parameter in PARAMETERS {
        assert!(values.iter().any(|(name, _)| *name == parameter.name), "{} has no values here", parameter.name);
    }
    for (name, values) in values {
        let parameter = Parameter::find(name).expect("a parameter");
        for value in *values {
            let mut first = Params::default();
            assert!(parameter.parse(Some(value), &mut first), "{name}={value}");
            let shown = parameter.value(&first).expect("a value");
            let mut second = Params::default();
            assert!(parameter.parse(Some(&shown), &mut second), "{name}={shown}");
            assert_eq!(first, second, "{name}={value} is printed as {shown}");
        }
    }
}

#[test]
fn decimals_with_many_digits_are_rounded() {
    for (name, raw, shown) in [
        ("aspect_ratio", "1.5", "3:2"),
        ("aspect_ratio", "1.7777777777777777", "17777777:10000000"),
        ("aspect_ratio", "0.6666666666666666:0.5", "3333333:2500000"),
        ("position", "0.3333333333333333x.5", "0.3333x0.5"),
        ("blur", "1.125", "1.13"),
        ("sharpen", "1.2345", "1.23"),
        ("dpr", "1.25", "1.25"),
    ] {
        let parameter = Parameter::find(name).expect("a parameter");
        let mut params = Params::default();
        assert!(parameter.parse(Some(raw), &mut params), "{name}={raw}");
        assert_eq!(parameter.value(&params).as_deref(), Some(shown), "{name}={raw}");
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let values: &[(&str, &[&str])] = &[
        ("width", &["", "0", "-1", "+5", "1.5", "800px", "1e3", " 8", "٣"]),
        ("aspect_ratio", &["", "0", "16:0", "0:9", "16:", ":9", "16x9", "-1", "1e5:1", "99999999999"]),
        ("dpr", &["", "0", "0.05", "5.01", "1.234", "2x", "-1", "1."]),
        ("fit", &["", "contian", "contain "]),
        ("limit", &["", "none", "both"]),
        ("position", &["", "up", "top-top", "left-right", "2x2", "0.5", "0.5x", "top-", "-", "1e0x1"]),
        ("offset", &["", "1", "1,2,3", "a,b", "--1,0", "70000,0", "1,"]),
        ("orient", &["", "0", "9", "left"]),
        (
            "window",
            &["", "@top", "400", "400x300@", "400x300@smart", "1.5x2", "400x300@top+1", "400x300@top+1+2+3", "-1x1"],
        ),
        ("inset", &["", "1", "1,2,3", "1,2,3,4,5", "-1,0,0,0", "1p,2,3,4"]),
        ("padding", &["", "1", "1,2,3", "65536,0,0,0", "1.5,0,0,0"]),
        ("rect", &["101p,0,1,1", "0,0,0p,1", "1pp,0,1,1"]),
        ("rect", &["", "1,2,3", "1,2,3,4,5", "0,0,0,1", "-1,0,1,1", "a,b,c,d"]),
        ("format", &["", "bmp", "jpegxl", "tiff"]),
        ("auto", &["", "format,", "enhance"]),
        ("quality", &["", "0", "101", "medium", "80%"]),
        ("target", &["", "39", "91", "75.5", "auto"]),
        ("lossless", &["", "yes", "2"]),
        ("background", &["", "#fff", "ff", "fffff", "blurple", "1234567"]),
        ("canvas", &["", "#fff", "blurple"]),
        ("rotate", &["", "45", "360", "-90"]),
        ("flip", &["", "x", "hh"]),
        ("blur", &["", "0", "0.2", "0.299", "100.001", "101", "NaN", "1e1"]),
        ("sharpen", &["", "-1", "10.01", "inf"]),
        ("pixelate", &["", "0", "1001", "2.5"]),
        ("brightness", &["", "-1", "10.01"]),
        ("contrast", &["", "x"]),
        ("saturation", &["", "-100"]),
        ("gamma", &["", "0", "0.09"]),
        ("greyscale", &["", "grey"]),
        ("tint", &["", "grau", "ff000080", "transparent"]),
        ("overlay", &["", "Logo", "a/b"]),
        ("overlay_position", &["", "smart", "tiled", "top-top"]),
        ("overlay_offset", &["", "1", "a,b"]),
        ("overlay_opacity", &["", "0", "101", "0.5"]),
        ("overlay_scale", &["", "0", "0.001", "1.1", "0.5x", "0.5x0", "10p"]),
        ("trim", &["", "101", "yes"]),
        ("metadata", &["", "all"]),
        ("preset", &["", "Avatar", "a b", "0123456789012345678901234567890123"]),
        ("download", &["", "a/b.jpg", "..", "a\r\nb"]),
        ("expires", &["", "-1", "tomorrow"]),
    ];
    for (name, values) in values {
        let parameter = Parameter::find(name).expect("a parameter");
        for value in *values {
            assert!(!parameter.parse(Some(value), &mut Params::default()), "{name}={value}");
        }
    }
}

#[test]
fn misspelt_values_get_a_suggestion() {
    let check = |name: &str, value: &str, expected: Option<&str>| {
        let parameter = Parameter::find(name).expect("a parameter");
        assert!(!parameter.parse(Some(value), &mut Params::default()), "{name}={value}");
        let error = parameter.invalid_value(name, Some(value));
        assert_eq!(error.did_you_mean.as_deref(), expected, "{name}={value}");
    };
    check("format", "wepb", Some("webp"));
    check("fit", "contian", Some("contain"));
    check("background", "blu", Some("blue"));
    check("position", "botom", Some("bottom"));
    check("rotate", "-90", Some("270"));
    check("rotate", "450", Some("90"));
    check("rotate", "45", None);
    check("format", "application", None);
    check("width", "wide", None);
}

#[test]
fn defaults_with_a_value_parse() {
    let described = ["fit", "format", "background", "canvas", "orient", "blur", "overlay_scale"];
    for parameter in PARAMETERS {
        let default = parameter.default();
        if default != "–" && !described.contains(&parameter.name) {
            let mut params = Params::default();
            assert!(parameter.parse(Some(&default), &mut params), "{}={default}", parameter.name);
            assert_eq!(parameter.value(&params), Some(default), "{}", parameter.name);
        }
    }
}
