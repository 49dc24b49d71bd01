//! The URLs of `testdata/dialects/`, of real clients and of the contract: each has the rendition of its native URL, or the refusal.

use std::sync::Arc;

use super::{OverlayNames, Sources, cloudflare, imgix, imgproxy, ipx, next, templates, thumbor, wsrv};
use crate::dialect::policy::tests::config;
use crate::dialect::{Config, Dialect, Error, Mount, Mounts, Policy, Target};
use crate::render::recipe::OverlayId;

macro_rules! vectors_of {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/dialects/", $file))
    };
}

/// The URLs that clients printed, and those of the dialects' documentation.
const FILES: &[&str] = &[
    vectors_of!("vectors.tsv"),
    vectors_of!("contract-ipx.tsv"),
    vectors_of!("contract-imgix.tsv"),
    vectors_of!("contract-wsrv.tsv"),
    vectors_of!("contract-next.tsv"),
    vectors_of!("contract-paths.tsv"),
    vectors_of!("contract-imgproxy.tsv"),
    vectors_of!("contract-thumbor.tsv"),
    vectors_of!("contract-cloudflare.tsv"),
];

/// The dialects that the vectors of these names are for.
const BUILT: &[&str] = &["next", "paths", "ipx", "imgix", "wsrv", "imgproxy", "thumbor", "cloudflare"];

const TEMPLATES: [(&str, &str); 5] = [
    ("/resize/{size}/{path}", "fit=contain"),
    ("/crop/{size}/{path}", "fit=cover&limit=sides"),
    ("/thumb/{width}/{path}", "quality=70"),
    ("/img/{width}x{height}/{format}/{path}", "fit=cover"),
    ("/w{width}/{path}.webp", "format=webp"),
];

struct Vector<'a> {
    dialect: &'a str,
    url: &'a str,
    status: u16,
    meaning: &'a str,
    config: &'a str,
}

fn vectors() -> impl Iterator<Item = Vector<'static>> {
    let rows = |file: &'static str| file.lines().filter(|line| !line.starts_with('#')).skip(1);
    FILES.iter().copied().flat_map(rows).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [dialect, _client, url, status, meaning, _needs, config, _note] = fields[..] else { panic!("{line}") };
        Vector { dialect, url, status: status.parse().expect("a status"), meaning, config }
    })
}

/// A policy with every dialect, with the keys that a vector's configuration names.
fn policy(name: &str) -> Policy {
    let sources = Sources::new(["https://www.example.com"]).expect("a base");
    let widths = vec![640, 750, 828, 1080, 1200, 1920, 2048, 3840, 32, 48, 64, 96, 128, 256, 384];
    let next = next::Next { mount: "/_next/image".into(), sources: sources.clone(), widths, qualities: vec![75] };
    let foreign: Vec<(&str, Arc<dyn Dialect>)> = vec![
        ("/_next/image", Arc::new(next)),
        ("/imgproxy", Arc::new(like_imgproxy(name, &sources))),
        ("/thumbor", Arc::new(like_thumbor(name, &sources))),
        ("/cdn-cgi/image", Arc::new(cloudflare::Cloudflare { sources: sources.clone() })),
        ("/ix", Arc::new(like_imgix("", &sources))),
        ("/ixs", Arc::new(like_imgix("s3cr3t", &sources))),
        ("/wsrv", Arc::new(wsrv::Wsrv { sources: sources.clone() })),
        ("/_ipx", Arc::new(ipx::Ipx { sources: sources.clone(), reject_unknown: false })),
    ];
    let foreign = foreign.into_iter().map(|(prefix, dialect)| Mount { prefix: prefix.into(), dialect }).collect();
    let templates = templates::Templates::new(TEMPLATES, sources).expect("good templates");
    let mounts = Mounts::new("/", foreign, Some(templates)).expect("good mounts");
    let id = OverlayId { digest: [7; 32], width: 100, height: 50 };
    let overlays = ["logo", "watermark"].map(|name| (name.to_owned(), id)).into();
    Policy::new(Config { mounts, max_dimension: 8192, overlays, ..config() }).expect("no presets")
}

fn like_imgproxy(name: &str, sources: &Sources) -> imgproxy::Imgproxy {
    let size = if name == "signed16" { 16 } else { 32 };
    let keys = match name {
        "signed" | "signed16" => imgproxy::Keys::new(&["736563726574".into()], &["68656c6c6f".into()], size),
        _ => Ok(imgproxy::Keys::default()),
    };
    let presets = [("thumb".to_owned(), "rs:fill:96:96".to_owned())].into();
    imgproxy::Imgproxy {
        keys: keys.expect("good keys"),
        presets: imgproxy::Presets::new(&presets, ":").expect("good presets"),
        ..imgproxy::Imgproxy::new(sources.clone())
    }
}

/// An overlay and its file.
fn overlays() -> OverlayNames {
    ["logo", "logo.png"].map(|known| (known.to_owned(), "logo".to_owned())).into_iter().collect()
}

fn like_imgix(token: &str, sources: &Sources) -> imgix::Imgix {
    imgix::Imgix { sources: sources.clone(), overlays: overlays(), token: token.into(), reject_unknown: false }
}

fn like_thumbor(name: &str, sources: &Sources) -> thumbor::Thumbor {
    thumbor::Thumbor {
        sources: sources.clone(),
        overlays: overlays(),
        keys: thumbor::Keys::new(&["my-security-key".into()], thumbor::Hash::Sha1, 0).expect("a key"),
        allows_unsafe: name != "strict",
        flavour: thumbor::Flavour::Thumbor,
    }
}

fn target(policy: &Policy, url: &str) -> Result<Target, Error> {
    let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
    policy.target(path, query, "image/avif,image/webp", 1_800_000_000)
}

pub(in crate::dialect::foreign) fn status(error: &Error) -> u16 {
    match error {
        Error::InvalidName => 404,
        Error::InvalidParams(_) => 400,
        Error::Signature(_) | Error::ForeignSource => 403,
        Error::Expired => 410,
    }
}

#[test]
fn foreign_urls_have_the_renditions_of_native_ones() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for vector in vectors().filter(|vector| BUILT.contains(&vector.dialect)) {
        checked += 1;
        let policy = policy(vector.config);
        let Vector { url, meaning, .. } = vector;
        let got = target(&policy, url);
        let is_right = match (&got, vector.status) {
            (Ok(got), 200) => match target(&policy, meaning) {
                Ok(native) => {
                    let Target { id, recipe, negotiable, snapped: _, download, immutable, expires: _, .. } = native;
                    (&id, &recipe, negotiable, &download, immutable)
                        == (&got.id, &got.recipe, got.negotiable, &got.download, got.immutable)
                }
                Err(_) => false,
            },
            (Err(error), expected) => status(error) == expected,
            // outside of the folders of templates a path is a native one, of an original that does not exist
            (Ok(got), 404) if vector.dialect == "paths" => got.dialect == "native",
            (Ok(_), _) => false,
        };
        if !is_right {
            wrong.push(format!(
                "{url}\n    {} {meaning}\n    {:?}",
                vector.status,
                got.map(|got| (got.id, got.recipe))
            ));
        }
    }
    assert!(checked > 0);
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn names_of_attachments_get_the_extension_of_the_result() {
    let policy = policy("open");
    for (url, name, is_completed) in [
        ("/imgproxy/_/att:1/plain/local:///photos/tom.jpg@webp", "tom", true),
        ("/imgproxy/_/raw:1/att:1/plain/local:///photos/tom.jpg", "tom", true),
        ("/thumbor/unsafe/filters:attachment():format(webp)/photos/tom.jpg", "tom.jpg", true),
        ("/ix/photos/tom.jpg?dl=tom", "tom", false),
        ("/photos/tom.jpg?download=tom", "tom", false),
    ] {
        let target = target(&policy, url).expect(url);
        assert_eq!((target.download.as_deref(), target.completes_name), (Some(name), is_completed), "{url}");
    }
}

#[test]
fn refusals_vary_by_accept_where_the_url_leaves_the_format_open() {
    let policy = policy("open");
    for (url, varies) in [
        ("/a.jpg?w=0&format=auto", true),
        ("/a.jpg?w=0", false),
        ("/img/0x9/auto/a.jpg", true),
        ("/img/0x9/AUTO/a.jpg", true),
        ("/img/0x9/webp/a.jpg", false),
        ("/resize/-/a.jpg", false),
        ("/_next/image?url=%2Fa.jpg&w=1&q=75", true),
        ("/ix/a.jpg?w=0&auto=format", true),
        ("/ix/a.jpg?w=0&fm=webp", false),
        ("/_ipx/f_auto,w_0/a.jpg", true),
        ("/_ipx/f_webp,w_0/a.jpg", false),
        ("/cdn-cgi/image/f=auto,w=0/a.jpg", true),
        ("/cdn-cgi/image/f=webp,w=0/a.jpg", false),
        ("/wsrv/?url=www.example.com/a.jpg&w=-1", false),
        ("/imgproxy/_/w:x/plain/a.jpg", false),
        ("/thumbor/unsafe/filters:bogus()/a.jpg", false),
    ] {
        assert!(target(&policy, url).is_err(), "{url}");
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        assert_eq!(policy.negotiates_format(path, query), varies, "{url}");
    }
}

#[test]
fn answers_vary_by_accept_where_the_url_leaves_the_format_open() {
    let policy = policy("open");
    for vector in vectors().filter(|vector| BUILT.contains(&vector.dialect)) {
        let (path, query) = vector.url.split_once('?').map_or((vector.url, None), |(path, query)| (path, Some(query)));
        if let Ok(target) = target(&policy, vector.url) {
            assert_eq!(target.negotiable, policy.negotiates_format(path, query), "{}", vector.url);
        }
    }
}

proptest::proptest! {
    /// No text reaches a file outside of the root, or panics.
    #[test]
    fn no_url_names_a_file_outside_of_the_root(at in 0..usize::MAX, edits in proptest::collection::vec((0_usize..200, "[/.%:,&=_@a-z0-9]{0,4}"), 0..6)) {
        let all: Vec<&str> = vectors().map(|vector| vector.url).collect();
        let mut url = all[at % all.len()].to_owned();
        for (place, text) in edits {
            let place = (0..=place.min(url.len())).rev().find(|&place| url.is_char_boundary(place)).unwrap_or(0);
            url.insert_str(place, &text);
        }
        if let Ok(target) = target(&policy("open"), &url) {
            let is_safe = |segment: &str| !segment.is_empty() && !segment.starts_with('.') && !segment.contains('\\');
            assert!(target.id.as_str().split('/').all(is_safe), "{url}");
        }
    }
}
