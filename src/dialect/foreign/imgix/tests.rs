//! Rules that no vector is for.

use std::sync::Arc;

use super::*;
use crate::dialect::policy::tests::config;
use crate::dialect::{Config, Mount, Mounts, Policy, Target};

const NOW: u64 = 1_800_000_000;

fn imgix(token: &str, reject_unknown: bool) -> Imgix {
    Imgix {
        sources: Sources::new(["https://www.example.com"]).expect("a base"),
        overlays: OverlayNames::default(),
        token: token.into(),
        reject_unknown,
    }
}

/// Without a token.
fn unsigned() -> Imgix {
    imgix("", false)
}

fn policy(imgix: Imgix) -> Policy {
    let mount = Mount { prefix: "/ix".into(), dialect: Arc::new(imgix) };
    let mounts = Mounts::new("/", vec![mount], None).expect("good mounts");
    Policy::new(Config { mounts, max_dimension: 8192, ..config() }).expect("no presets")
}

fn target(query: &str) -> Result<Target, Error> {
    policy(unsigned()).target("/ix/a.jpg", Some(query), "image/webp", NOW)
}

/// The error of a query, as text.
fn refusal(query: &str) -> String {
    target(query).expect_err(query).to_string()
}

/// Asserts that a query means a native one.
fn same(query: &str, native: &str) {
    let imgix = target(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let native = policy(unsigned()).target("/a.jpg", Some(native), "image/webp", NOW).expect(native);
    let of = |target: &Target| (target.recipe.clone(), target.negotiable, target.download.clone(), target.expires);
    assert_eq!(of(&imgix), of(&native), "{query}");
}

#[test]
fn options_mean_native_parameters() {
    for (query, native) in [
        ("", ""),
        ("ixlib=js&ixid=1&s=00", ""),
        ("utm=1", ""),
        ("auto=enhance", "format=original"),
        ("cs=srgb", "format=original"),
        ("dl=a.jpg", "download=a.jpg&format=original"),
        ("expires=1900000000", "expires=1900000000&format=original"),
        ("h=300&dpr=1.5", "enlarge=true&height=450"),
        ("dpr=3", "format=original"),
        ("w=1.2", "enlarge=true&width=1"),
        ("fit=crop", "format=original"),
        ("w=300&fit=crop&crop=top", "enlarge=true&width=300"),
        ("w=300&fit=clip&crop=top", "enlarge=true&width=300"),
        ("w=300&h=200&fit=max&crop=bogus", "height=200&width=300"),
        ("w=300&h=200&fit=min&crop=right,bottom", "fit=cover&height=200&position=bottom-right&width=300"),
        ("w=30&h=20&fit=crop&crop=focalpoint", "enlarge=true&fit=cover&height=20&width=30"),
        ("w=30&h=20&fit=crop&crop=faces,top", "enlarge=true&fit=cover&height=20&position=smart&width=30"),
        ("w=30&h=20&fit=crop&crop=edges&flip=h", "enlarge=true&fit=cover&flip=h&height=20&position=smart&width=30"),
        ("w=30&h=20&fit=crop&ar=1:1", "enlarge=true&fit=cover&height=20&width=30"),
        ("w=30&ar=1:1", "enlarge=true&width=30"),
        ("w=300&fit=fill", "enlarge=true&width=300"),
        ("w=30&h=20&fit=fill&fill=solid", "enlarge=true&fit=pad&height=20&width=30"),
        ("w=30&h=20&fit=fill&fill-color=8f00", "background=ff000088&enlarge=true&fit=pad&height=20&width=30"),
        ("w=30&h=20&fit=fill&fill-color=red&bg=blue", "background=blue&enlarge=true&fit=pad&height=20&width=30"),
        ("w=30&fill=blur&fill-color=red", "enlarge=true&width=30"),
        ("w=30&h=20&fit=fillmax&dpr=2", "fit=pad&height=40&width=60"),
        ("bg=80ff0000", "background=ff000080"),
        ("rect=0.25,0.5,0.3333,1.0", "rect=25p%2C50p%2C33.33p%2C100p"),
        ("rect=1,1,300,200", "rect=1%2C1%2C300%2C200"),
        ("auto=format&auto=compress&q=80", "format=auto&quality=80"),
        ("auto=format&fm=jpg", "format=auto"),
        ("fm=pjpg", "format=jpeg"),
        ("fm=png8", "format=png"),
        ("fm=webp&lossless=true", "format=webp&lossless=true"),
        ("lossless=0", "format=original"),
        ("flip=hv&rot=180.0", "flip=hv&rotate=180"),
        ("or=90", "orient=6"),
        ("orient=0", "orient=1"),
        ("orient=270", "orient=8"),
        ("blur=1", "blur=0.3"),
        ("blur=200&sharp=15", "blur=10&sharpen=1.5"),
        ("blur=0&sharp=0&px=0&sat=0&rot=0", "format=original"),
        ("px=10&sat=-100&trim=auto", "greyscale=true&pixelate=10&trim=true"),
        ("w=300&txt=&mark=&bri=0&invert=false&con=0.0&pad=0", "enlarge=true&width=300"),
        ("mark-w=0&mark-h=0&fp-z=1", "format=original"),
        ("fit64=Y3JvcA&w64=MzAw&h=200", "enlarge=true&fit=cover&height=200&width=300"),
        ("dl64=w6kuanBn", "download=%C3%A9.jpg&format=original"),
        ("dl=a+b.jpg", "download=a%20b.jpg&format=original"),
        ("auto64=Zm9ybWF0&ch64=V2lkdGg", ""),
        ("f%69t=max&w=300", "width=300"),
    ] {
        same(query, native);
    }
}

#[test]
fn invalid_values_are_refused_by_name() {
    for query in [
        "w=",
        "w=0",
        "w=1.0",
        "w=-300",
        "h=auto",
        "dpr=0",
        "dpr=5.1",
        "fit=clamp",
        "fit=facearea",
        "fit=facearea,max",
        "f=bogus",
        "ar=1.5",
        "ar=0:1",
        "fp-x=1.1",
        "fp-y=a",
        "fp-z=2",
        "rect=1,2,3",
        "rect=center,top,9,9",
        "rect=0.12345,0,9,9",
        "rect=1,2,0,3",
        "auto=faces",
        "fm=json",
        "fm=blurhash",
        "fm=jp2",
        "fm=jxr",
        "fm=mp4",
        "fm=webm",
        "q=0",
        "q=101",
        "q=high",
        "lossless=2",
        "bg=12345",
        "fill-color=bogus",
        "flip=vh",
        "rot=90",
        "orient=9",
        "blur=2001",
        "sharp=101",
        "trim=color",
        "trim=alpha",
        "trim=colorunlessalpha",
        "trim=",
        "px=101",
        "sat=50",
        "dl=a%2Fb",
        "expires=soon",
        "width64=*",
        "w=%zz",
    ] {
        let name = query.split_once('=').expect("a name").0;
        assert!(refusal(query).starts_with(&format!("{name}=")), "{query}");
    }
    for (query, name) in [
        ("w=9&h=9&fit=crop&crop=middle", "crop"),
        ("w=9&h=9&fit=crop&crop=top,bottom", "crop"),
        ("w=9&h=9&fit=crop&crop=top&flip=h", "crop"),
        ("w=9&h=9&fit=min&crop=focalpoint&rot=180", "crop"),
        ("w=9&h=9&fit=fill&fill=blur", "fill"),
        ("w=9&h=9&fit=fillmax&fill=gen", "fill"),
        ("w=9&h=9&fit=fill&fill=gradient", "fill"),
        ("w=9&fit=fill&ar=1:1", "ar"),
        ("lossless=1", "lossless"),
        ("lossless=1&fm=jpg", "lossless"),
        ("w=9&width=9", "width"),
        ("txt=&txt=", "txt"),
        ("w=9&w64=MzAw", "w64"),
    ] {
        assert!(refusal(query).starts_with(&format!("{name}=")), "{query}: {}", refusal(query));
    }
}

#[test]
fn options_that_are_not_offered_are_refused_by_name() {
    let refused = OPTIONS.iter().filter(|option| matches!(option.treatment, Treatment::RefusedUnless(_)));
    let names: Vec<&str> =
        refused.flat_map(|option| std::iter::once(option.name).chain(option.aliases.iter().copied())).collect();
    assert!(names.len() > 150, "{}", names.len());
    for name in names {
        let refusal = refusal(&format!("w=300&{name}=7"));
        assert!(refusal.contains(&format!("{name} is not an operation of this server")), "{refusal}");
    }
}

#[test]
fn unknown_options_are_refused_where_the_setting_says_so() {
    let policy = policy(imgix("", true));
    let target = |query: &str| policy.target("/ix/a.jpg", Some(query), "", NOW);
    let error = target("widht=300").expect_err("unknown").to_string();
    assert!(error.contains("did you mean \"width\""), "{error}");
    assert!(target("auto64=Zm9ybWF0").is_err());
    assert!(target("w=300&ixlib=js").is_ok());
}

#[test]
fn paths_are_names_or_addresses() {
    let policy = policy(unsigned());
    let target = |path: &str| policy.target(path, None, "", NOW).map(|target| target.id.as_str().to_owned());
    assert_eq!(target("/ix/a%20b+c%2Fd.jpg"), Ok("a b+c/d.jpg".into()));
    assert_eq!(target("/ix/https%3A%2F%2Fwww.example.com%2Fa%2520b.jpg%3Fv%3D1"), Ok("a b.jpg".into()));
    assert_eq!(target("/ix/http%3A%2F%2F169.254.169.254%2Fa"), Err(Error::ForeignSource));
    for path in ["/ix", "/ix/", "/ix/../a.jpg", "/ix/%2e%2e/a.jpg", "/ix/%zz.jpg", "/ix//a.jpg/"] {
        assert_eq!(target(path), Err(Error::InvalidName), "{path}");
    }
}

/// Signatures that js-core makes.
#[test]
fn signatures_are_those_of_imgix() {
    let imgix = imgix("s3cr3t", false);
    for (url, signature) in [
        ("/photos/tom.jpg?w=800&h=600&fit=crop", "28b48eaa1d72089cc613698358825c94"),
        ("/photos/%C3%A9%20%C3%BC.jpg", "0433ce6bf291547e61137d8466804e32"),
        ("/https%3A%2F%2Fwww.example.com%2Fphotos%2Ftom.jpg?w=300", "b835cfa3b0fdf9a3c41559dd236c6453"),
    ] {
        let separator = if url.contains('?') { '&' } else { '?' };
        let signed = format!("{url}{separator}s={signature}");
        assert_eq!(imgix.sign(url).as_deref(), Some(signed.as_str()));
        assert_eq!(imgix.sign(&signed).as_deref(), Some(signed.as_str()), "a signature is replaced");
        let (path, query) = signed.split_once('?').expect("a query");
        assert!(imgix.read(path, Some(query), NOW).is_ok(), "{signed}");
        for at in 0..signature.len() {
            let mut bytes = signature.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let wrong = query.replace(signature, std::str::from_utf8(&bytes).expect("ASCII"));
            assert!(matches!(imgix.read(path, Some(&wrong), NOW), Err(Error::Signature(_))), "{wrong}");
        }
    }
    assert!(!imgix.is_unsigned());
    assert!(unsigned().is_unsigned() && unsigned().sign("/a.jpg").is_none());
    assert!(!format!("{imgix:?}").contains("s3cr3t"));
}

#[test]
fn signature_is_checked_before_options() {
    let imgix = imgix("s3cr3t", true);
    let read = |rest: &str| {
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        imgix.read(path, query, NOW)
    };
    for url in [
        "/a.jpg",
        "/a.jpg?",
        "/a.jpg?w=abc",
        "/a.jpg?w=300&s=",
        "/a.jpg?w=300&s",
        "/a.jpg?s=0433ce6bf291547e61137d8466804e32",
        "/../a.jpg?s=00",
        "/a.jpg?w=300&s=B835CFA3B0FDF9A3C41559DD236C6453",
    ] {
        assert!(matches!(read(url), Err(Error::Signature(_))), "{url}");
    }
    let signed = |url: &str| read(&imgix.sign(url).expect("a token"));
    assert!(matches!(signed("/a.jpg?w=abc"), Err(Error::InvalidParams(_))));
    assert_eq!(signed("/a.jpg?w=300&expires=1799999999"), Err(Error::Expired));
    assert!(signed("/a.jpg?w=300&expires=1800000000").is_ok());
}

#[test]
fn refusals_of_a_format_that_is_left_open_vary_by_accept() {
    let policy = policy(unsigned());
    for (query, expected) in [
        ("w=abc&auto=format", true),
        ("auto=compress&auto=enhance%2Cformat", true),
        ("auto=compress", false),
        ("auto64=Zm9ybWF0", false),
        ("fm=webp", false),
    ] {
        assert_eq!(policy.negotiates_format("/ix/a.jpg", Some(query)), expected, "{query}");
    }
}

/// Options of the contract that have a row of their own.
#[test]
fn every_option_of_imgix_has_a_row() {
    for name in [
        "w",
        "width",
        "h",
        "height",
        "dpr",
        "fit",
        "f",
        "ar",
        "crop",
        "fp-x",
        "fp-y",
        "fp-z",
        "fp-debug",
        "rect",
        "auto",
        "fm",
        "q",
        "lossless",
        "bg",
        "fill-color",
        "fill",
        "flip",
        "rot",
        "orient",
        "or",
        "blur",
        "sharp",
        "trim",
        "px",
        "sat",
        "dl",
        "expires",
        "cs",
        "iptc",
        "dpi",
        "chromasub",
        "colorquant",
        "jpg-progressive",
        "ch",
        "ixlib",
        "ixid",
        "s",
        "svg-sanitize",
        "faces",
        "mark",
        "mark-align",
        "txt",
        "txt-size",
        "blend",
        "blend-mode",
        "border",
        "border-radius",
        "pad",
        "pad-top",
        "mask",
        "mask-bg",
        "bri",
        "con",
        "exp",
        "gam",
        "high",
        "shad",
        "hue",
        "vib",
        "invert",
        "usm",
        "usmrad",
        "nr",
        "nrs",
        "sepia",
        "monochrome",
        "duotone",
        "htn",
        "page",
        "frame",
        "palette",
        "min-w",
        "min-h",
        "max-w",
        "max-h",
        "bg-remove",
        "bg-replace",
        "upscale",
        "facepad",
        "faceindex",
        "trim-tol",
        "trim-md",
        "trim-sd",
        "trim-pad",
        "trim-color",
        "colors",
        "prefix",
        "fill-gen-prompt",
        "corner-radius",
        "loop",
        "fps",
        "transparency",
        "rot-type",
    ] {
        assert!(options::Index::new(OPTIONS).find(name).is_some(), "{name}");
    }
    let names: Vec<&str> =
        OPTIONS.iter().flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied())).collect();
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{name} has two rows");
    }
}
