//! Rules that no vector is for.

use std::sync::Arc;

use super::*;
use crate::dialect::policy::tests::config;
use crate::dialect::{Config, Mount, Mounts, Policy, Target};

fn policy() -> Policy {
    let sources = Sources::new(["https://www.example.com", "http://img.example:8080/files"]).expect("bases");
    let mount = Mount { prefix: "/wsrv".into(), dialect: Arc::new(Wsrv { sources }) };
    let mounts = Mounts::new("/", vec![mount], None).expect("good mounts");
    Policy::new(Config { mounts, max_dimension: 8192, ..config() }).expect("no presets")
}

fn target(query: &str) -> Result<Target, Error> {
    policy().target("/wsrv/", Some(&format!("{query}&url=www.example.com/a.jpg")), "image/webp", 0)
}

/// The error of a query, as text.
fn refusal(query: &str) -> String {
    target(query).expect_err(query).to_string()
}

#[test]
fn options_mean_native_parameters() {
    for (query, native) in [
        ("", ""),
        ("w=300&w=abc&width=2", "enlarge=true&width=300"),
        ("utm=1&W=9", ""),
        ("h=30&dpr=1.5", "enlarge=true&height=45"),
        ("dpr=2", ""),
        ("w=30&fit=contain&cbg=red&a=t", "enlarge=true&width=30"),
        ("w=30&h=20&fit=contain&we=true&cbg=8f00", "canvas=ff000088&fit=pad&height=20&width=30"),
        ("w=30&h=20&fit=contain&a=attention", "enlarge=true&fit=pad&height=20&width=30"),
        ("w=30&h=20&fit=contain&a=b", "enlarge=true&fit=pad&height=20&position=bottom&width=30"),
        ("w=30&h=20&fit=fill&we", "fit=fill&height=20&limit=sides&width=30"),
        ("w=30&h=20&fit=cover&we=0", "enlarge=true&fit=cover&height=20&width=30"),
        ("w=30&h=20&fit=outside&we&a=left", "fit=outside&height=20&width=30"),
        ("w=30&h=20&t=fit", "height=20&width=30"),
        ("w=30&h=20&t=fit&we=false", "height=20&width=30"),
        ("w=30&h=20&we=false&t=fit", "enlarge=true&height=20&width=30"),
        ("w=30&h=20&t=fitup", "enlarge=true&height=20&width=30"),
        ("w=30&h=20&t=square&align=r", "enlarge=true&fit=cover&height=20&position=right&width=30"),
        ("w=30&h=20&t=squaredown", "fit=cover&height=20&limit=sides&width=30"),
        ("w=30&h=20&t=absolute", "enlarge=true&fit=fill&height=20&width=30"),
        ("w=30&h=20&t=letterbox", "enlarge=true&fit=pad&height=20&width=30"),
        ("w=30&h=20&fit=cover&a=focal&fpx=0", "enlarge=true&fit=cover&height=20&position=0x0.5&width=30"),
        ("w=30&h=20&fit=cover&fpx=0", "enlarge=true&fit=cover&height=20&width=30"),
        ("bg=8f00&cbg=red", "background=ff000088"),
        ("cx=10%25&cw=5&precrop", "rect=10p%2C0%2C5%2C100p"),
        ("cy=9&precrop=true", "rect=0%2C9%2C100p%2C100p"),
        ("precrop", ""),
        ("ro=-90&w=30&h=20", "enlarge=true&height=30&rotate=270&width=20"),
        ("or=180&w=30&h=20&fit=cover&flop", "enlarge=true&fit=cover&flip=h&height=20&rotate=180&width=30"),
        ("ro=360&flip=0&flop=false", ""),
        ("flip&flop", "flip=hv"),
        ("sharp=1,2,1.5&sharpf=3&blur=0.3", "blur=0.3&sharpen=1.5"),
        ("trim=10", "trim=4"),
        ("trim=1", "trim=2"),
        ("filt=none&mask=none&tint=&bri=0&con=0&gam=1&mod=1,1,0&sat=1&hue=360", ""),
        ("output=jpg", "format=jpeg"),
        ("output=webp&ll", "format=webp&lossless=true"),
        ("lossless=false&q=7&level=3", "quality=7"),
        ("n=1&page=0", ""),
    ] {
        let separator = if native.is_empty() { "" } else { "&" };
        let native = format!("{native}{separator}animated=false");
        let wsrv = target(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let native = policy().target("/a.jpg", Some(&native), "image/webp", 0).expect(&native);
        assert_eq!(wsrv.recipe, native.recipe, "{query}");
        assert!(!wsrv.negotiable);
    }
    let all = policy().target("/wsrv", Some("url=www.example.com/a.gif&pages=-1"), "", 0).expect("good");
    assert_eq!(all.recipe, None);
}

#[test]
fn options_that_are_not_offered_are_refused_by_name() {
    for query in [
        "page=1",
        "loop=0",
        "delay=9",
        "encoding=base64",
        "crop=1,2,3,4",
        "mask=circle",
        "shape=circle",
        "bri=10",
        "con=10",
        "gam=2.2",
        "gam",
        "mod=2",
        "mod=1,2",
        "sat=0",
        "hue=90",
    ] {
        let name = query.split('=').next().expect("a name");
        let refusal = refusal(query);
        assert!(refusal.contains(&format!("{name} is not an operation of this server")), "{query}: {refusal}");
    }
}

#[test]
fn invalid_values_are_refused_by_name() {
    for query in [
        "w",
        "w=0",
        "w=-1",
        "w=12.5",
        "w=50%25",
        "width=a",
        "h=",
        "dpr=0",
        "dpr=8.1",
        "fit=bogus",
        "t=crop-left",
        "a=middle",
        "fpx=1.1",
        "fpy=a",
        "cbg=bogus",
        "bg=12345",
        "cx=-1",
        "cw=101%25",
        "ch=a",
        "ro=45",
        "ro",
        "blur",
        "blur=0.2",
        "sharp",
        "sharp=11",
        "sharp=1,2",
        "trim",
        "trim=255",
        "filt=sepia",
        "filt=duotone",
        "filt=negate",
        "output=tiff",
        "output=json",
        "output=JPG",
        "q=0",
        "quality=101",
        "n=0",
        "n=2",
        "w=%zz",
    ] {
        let name = query.split('=').next().expect("a name");
        assert!(refusal(query).starts_with(&format!("{name}=")), "{query}: {}", refusal(query));
    }
    for (query, name) in [
        ("cx=1", "cx"),
        ("ch=1&precrop=false", "ch"),
        ("cw=0&precrop", "cw"),
        ("w=9&fit=fill", "fit"),
        ("w=9&h=9&fit=cover&ro=90", "ro"),
        ("w=9&h=9&fit=contain&ro=270", "ro"),
        ("ll", "ll"),
        ("ll&output=png", "ll"),
    ] {
        assert!(refusal(query).starts_with(&format!("{name}=")), "{query}: {}", refusal(query));
    }
}

#[test]
fn originals_are_addresses_below_bases() {
    let target = |url: &str| {
        policy().target("/wsrv/", Some(&format!("url={url}")), "", 0).map(|target| target.id.as_str().to_owned())
    };
    for (url, id) in [
        ("www.example.com/a.jpg", "a.jpg"),
        ("//www.example.com/a.jpg", "a.jpg"),
        ("WWW.example.com/a.jpg", "a.jpg"),
        ("ssl:www.example.com%2Fa%2520b.jpg", "a b.jpg"),
        ("https://www.example.com/a.jpg%3Fv=1", "a.jpg"),
        ("https:/www.example.com/a.jpg", "a.jpg"),
        ("img.example:8080/files/a.jpg", "a.jpg"),
        ("http://img.example:8080/files/a.jpg", "a.jpg"),
    ] {
        assert_eq!(target(url), Ok(id.into()), "{url}");
    }
    for url in [
        "a.jpg",
        "photos/tom.jpg",
        "/photos/tom.jpg",
        "local:///a.jpg",
        "http://www.example.com/a.jpg",
        "169.254.169.254/a",
        "www.example.com@evil.example/a.jpg",
        "www.example.com.evil.example/a.jpg",
        "ftp://www.example.com/a.jpg",
        "file:///etc/passwd",
        "data:,a",
        "img.example:8080/a.jpg",
    ] {
        assert_eq!(target(url), Err(Error::ForeignSource), "{url}");
    }
    for url in ["www.example.com/", "www.example.com/../a.jpg", "www.example.com/%252e%252e/a.jpg", "%zz", "%ff"] {
        assert_eq!(target(url), Err(Error::InvalidName), "{url}");
    }
}

#[test]
fn url_is_required_at_the_mount_itself() {
    let read = |path: &str, query| policy().target(path, query, "", 0).map(|target| target.id.as_str().to_owned());
    assert!(matches!(read("/wsrv/", Some("w=300")), Err(Error::InvalidParams(_))));
    assert!(matches!(read("/wsrv", None), Err(Error::InvalidParams(_))));
    assert_eq!(read("/wsrv", Some("url=www.example.com/a.jpg")), Ok("a.jpg".into()));
    assert_eq!(read("/wsrv/a.jpg", Some("url=www.example.com/a.jpg")), Err(Error::InvalidName));
}

/// Options of its `query.cpp` and of its nginx module.
#[test]
fn every_option_of_weserv_has_a_row() {
    for name in [
        "w",
        "h",
        "dpr",
        "fit",
        "we",
        "crop",
        "cx",
        "cy",
        "cw",
        "ch",
        "precrop",
        "a",
        "fpx",
        "fpy",
        "mask",
        "mtrim",
        "mbg",
        "ro",
        "flip",
        "flop",
        "bri",
        "mod",
        "sat",
        "hue",
        "con",
        "gam",
        "sharp",
        "sharpf",
        "sharpj",
        "trim",
        "blur",
        "filt",
        "start",
        "stop",
        "bg",
        "cbg",
        "rbg",
        "tint",
        "q",
        "l",
        "output",
        "il",
        "ll",
        "af",
        "page",
        "n",
        "loop",
        "delay",
        "fsol",
        "shape",
        "strim",
        "or",
        "t",
        "pages",
        "width",
        "height",
        "align",
        "level",
        "quality",
        "lossless",
        "url",
        "default",
        "errorredirect",
        "filename",
        "encoding",
        "maxage",
    ] {
        assert!(options::Index::new(OPTIONS).find(name).is_some(), "{name}");
    }
}
