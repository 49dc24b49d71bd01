//! Untrusted input without libFuzzer: the inputs of `fuzz/corpus`, signed URLs with each byte changed, and random paths that
//! try to leave the root.
//!
//! `TINTYPE_FAULTS=1000000` sets the number of paths.

#[path = "../../fuzz/src/targets.rs"]
mod targets;

use std::path::Path;

use crate::common::folder;
use crate::common::in_process::InProcess;
use crate::common::random::Random;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tintype::dialect::{Params, native::query};
use tintype::render::probe;

#[test]
fn corpus_inputs_of_every_target_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, target) in targets::TARGETS.iter().chain(targets::parsers::TARGETS) {
        let kept = std::fs::read_dir(root.join("fuzz/corpus").join(name));
        let kept: Vec<_> = kept.unwrap_or_else(|error| panic!("{name}: {error}")).flatten().collect();
        assert!(!kept.is_empty(), "{name} has no inputs");
        for input in kept {
            let bytes = std::fs::read(input.path()).expect("an input");
            let done = std::panic::catch_unwind(|| target(&bytes));
            assert!(done.is_ok(), "{name} does not hold for {}", input.path().display());
        }
    }
}

impl InProcess {
    /// The answer to a GET; `None` where hyper would refuse the URL itself.
    async fn try_get(&self, url: &[u8]) -> Option<(StatusCode, Vec<u8>)> {
        let uri: http::Uri = url.try_into().ok()?;
        let request = Request::get(uri).body(Body::empty()).ok()?;
        let (parts, body) = self.app.answer(request).await.into_parts();
        Some((parts.status, body.collect().await.expect("a body").to_bytes().to_vec()))
    }
}

const KEY: &str = "a key of more than sixteen bytes";

/// The path and the parameters of a URL, the signature included.
fn parsed(url: &[u8]) -> Option<(String, Params)> {
    let (path, query) = std::str::from_utf8(url).ok()?.split_once('?')?;
    Some((path.to_owned(), query::parse(query).ok()?.params))
}

#[tokio::test]
async fn signed_url_with_a_changed_byte_is_refused() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/generated");
    let server = InProcess::new(&root, |config| {
        config.live.security.keys = vec![KEY.into(), "another key for the rotation".into()];
        config.live.security.require_signature = true;
        config.live.presets.insert("avatar".into(), "width=24&height=24&fit=cover&quality=50".into());
    });
    let policy = server.config.live.policy().expect("good presets");
    let mut random = Random(7);
    let (mut tried, mut equivalent) = (0, 0);
    for number in 0..100 {
        let path = random.of(&["/alpha.png", "/grey.png", "/orient-6.jpg", "/checker.png", "/alpha.webp"]);
        let width = 8 + random.below(40);
        let rest =
            random.of(&["", "&f=png", "&fit=cover&h=20&g=ne", "&preset=avatar", "&expires=99999999999", "&dl=a%20b"]);
        let query = if number % 10 == 0 { String::new() } else { format!("w={width}{rest}") };
        let url = policy.sign(path, &query).expect("a good query").expect("a key");
        let (status, signed) = server.try_get(url.as_bytes()).await.expect("a URL");
        assert_eq!(status, StatusCode::OK, "{url}");
        for at in 0..url.len() {
            // one bit, the other case, another letter, and a reserved character of URLs
            let byte = url.as_bytes()[at];
            for new in [byte ^ 1, byte ^ 0x20, b'A' + (byte + number) % 26, b"&=%/?+.-"[random.below(8) as usize]] {
                if new == byte {
                    continue;
                }
                let mut changed = url.clone().into_bytes();
                changed[at] = new;
                if let Some((status, body)) = server.try_get(&changed).await {
                    // Top,right is top-right: other spellings of the same parameters get the same answer
                    let same = status == StatusCode::OK && body == signed && parsed(&changed) == parsed(url.as_bytes());
                    let refused = matches!(status.as_u16(), 400 | 403 | 404 | 410);
                    assert!(refused || same, "{url} as {}: {status}", String::from_utf8_lossy(&changed));
                    equivalent += u32::from(same);
                }
                tried += 1;
            }
        }
        let (start, signature) = url.rsplit_once("s=").expect("a signature");
        let expect = async |url: String, expected: &[u16]| {
            let (status, _) = server.try_get(url.as_bytes()).await.expect("a URL");
            assert!(expected.contains(&status.as_u16()), "{url}: {status}");
        };
        for more in ["blur=3", "w=7", "preset=avatar", "v=1", "download=x", "expires=99999999998", "format=json", "q=1"]
        {
            expect(format!("{url}&{more}"), &[400, 403]).await;
        }
        // unknown parameters are not signed; order and aliases are free
        expect(format!("{url}&utm_source=x"), &[200]).await;
        expect(format!("{path}?s={signature}&{}", start.split_once('?').expect("a query").1), &[200]).await;
        expect(format!("{path}?sig={signature}&{}", start.split_once('?').expect("a query").1), &[200]).await;
        expect(format!("{url}&s={signature}"), &[400]).await;
        expect(format!("/{url}"), &[403, 404]).await;
        expect(format!("{url}="), &[400, 403]).await;
        expect(format!("{url}%3d"), &[400, 403]).await;
        for cut in 0..signature.len() {
            expect(format!("{start}s={}", &signature[..cut]), &[400, 403]).await;
        }
    }
    println!("{tried} changes; {equivalent} were other spellings of the same parameters, all others were refused");
    assert!(tried > 15_000 && equivalent < tried / 50, "{tried} {equivalent}");
}

#[tokio::test]
async fn wrong_signature_is_refused_before_the_lookup() {
    let place = folder();
    let required = InProcess::new(place.path(), |config| {
        config.live.security.keys = vec![KEY.into()];
        config.live.security.require_signature = true;
    });
    let free = InProcess::new(place.path(), |_| {});
    // the answer does not tell that the file does not exist
    let refused =
        async |server: &InProcess, url: &str| server.try_get(url.as_bytes()).await.map(|answer| answer.0.as_u16());
    assert_eq!(refused(&required, "/none.png").await, Some(403));
    assert_eq!(refused(&required, "/none.png?w=1&s=AAAA").await, Some(403));
    assert_eq!(refused(&required, "/../none.png?s=AAAA").await, Some(403));
    assert_eq!(refused(&free, "/none.png?s=AAAA").await, Some(403));
    assert_eq!(refused(&free, "/none.png").await, Some(404));
}

#[tokio::test]
async fn random_path_stays_below_the_root() {
    use std::os::unix::fs::symlink;
    const CANARY: &[u8] = b"canary";
    let count = std::env::var("TINTYPE_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let place = folder();
    let root = place.path().join("root");
    std::fs::create_dir_all(root.join("a/b")).expect("a folder");
    let picture =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/generated/grey.png")).expect("a file");
    // an image, since another file would be refused for its format
    let mut canary = Vec::new();
    image::GrayImage::new(64, 8)
        .write_to(&mut std::io::Cursor::new(&mut canary), image::ImageFormat::Png)
        .expect("a picture");
    canary.extend(CANARY);
    for path in ["canary.png", "root/.canary.png", "root/a/.b/canary.png"] {
        let path = place.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, &canary).expect("written");
    }
    for path in ["x.png", "a/x.png", "a/b/x.png", "a%2fx.png", "caf\u{e9}.png", "...png"] {
        std::fs::write(root.join(path), &picture).expect("written");
    }
    symlink("../canary.png", root.join("out.png")).expect("a link");
    symlink(place.path(), root.join("a/out")).expect("a link");
    symlink(place.path().join("canary.png"), root.join("a/absolute.png")).expect("a link");
    symlink("../../root/a", root.join("a/around")).expect("a link");
    symlink(".", root.join("a/b/here")).expect("a link");
    let server = InProcess::new(&root, |config| config.fixed.limits.workers = 1);

    let parts = [
        "a",
        "b",
        "x.png",
        "canary.png",
        ".canary.png",
        "out",
        "out.png",
        "absolute.png",
        "around",
        "here",
        "root",
        "..",
        ".",
        "",
        "...",
        "%2e%2e",
        "%2E.",
        ".%2e",
        "%252e%252e",
        "..%2f",
        "..%5c",
        "..\\",
        "%00",
        "x.png%00",
        "%c0%ae%c0%ae",
        "%e0%80%ae",
        "%ff",
        "\u{e9}",
        "caf%C3%A9.png",
        "%2f",
        "%5c",
        "~",
        "etc",
        "passwd",
        "proc",
        "self",
        "-",
        "con",
        ":",
        "x.png.",
        "x.png%20",
        "x.png;a",
        ".git",
        "%u002e",
        "a%2fx.png",
        "a%252fx.png",
        "...png",
    ];
    let words = [
        "w=8",
        "w=9&f=json",
        "w=0",
        "f=original",
        "dl=../a",
        "dl=%00",
        "s=A",
        "v",
        "preset=../../a",
        "&&",
        "=",
        "%",
        "fm",
    ];
    let mut random = Random(11);
    let mut counts = std::collections::BTreeMap::<u16, u64>::new();
    for _ in 0..count {
        let mut url = String::new();
        for _ in 0..1 + random.below(6) {
            url.push_str(match random.below(3) {
                0 => random.of(&["//", "/./", "/../", "\\", "%2f", "/%2e%2e/", ""]),
                _ => "/",
            });
            url.push_str(match random.below(2) {
                0 => random.of(&parts),
                _ => random.of(&["a", "a", "b", "x.png", "x.png", "out.png", "out", "around", "here", "absolute.png"]),
            });
        }
        if random.below(3) == 0 {
            url.push('?');
            for _ in 0..random.below(4) {
                url.push_str(random.of(&words));
                url.push_str(random.of(&["&", "&", "&&", ";", ""]));
            }
        }
        let mut url = url.into_bytes();
        if random.below(4) == 0 && !url.is_empty() {
            let at = random.below(url.len() as u64) as usize;
            url[at] = random.below(256) as u8;
        }
        let shown = String::from_utf8_lossy(&url).into_owned();
        let Some((status, body)) = server.try_get(&url).await else {
            *counts.entry(0).or_default() += 1;
            continue;
        };
        // problem documents hold no path, so no canary either
        assert!(!body.windows(CANARY.len()).any(|window| window == CANARY), "{shown}: {status}");
        // the canary alone is so flat, whatever is rendered from it
        assert!(probe(&body).is_ok_and(|info| info.size.width < 4 * info.size.height) || !body.starts_with(b"\x89PNG"));
        assert!(!body.starts_with(b"{\"format\"") || !body.windows(10).any(|window| window == b"\"width\":64"));
        assert!(matches!(status.as_u16(), 200 | 400 | 403 | 404 | 414 | 415), "{shown}: {status}");
        *counts.entry(status.as_u16()).or_default() += 1;
    }
    println!("{count} paths by status (0: no URL): {counts:?}");
    assert!(counts.get(&200).is_some_and(|&good| good * 200 > count), "hardly any was a picture: {counts:?}");
}
