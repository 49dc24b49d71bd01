//! Requests with equal results share one render and one file; renditions of damaged originals are marked for as long as they
//! are cached.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::common::in_process::{Answer, InProcess};
use crate::common::need::needs;
use crate::common::{cases, folder, testdata};
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tintype::config::Config;
use tintype::config::live::Damaged;

const AVIF: &str = "image/avif,image/webp,*/*";

async fn get(server: &InProcess, uri: &str) -> Answer {
    server.get_with(uri, &[("accept", AVIF)]).await
}

fn renders(server: &InProcess) -> u64 {
    server.service.stats().renders.load(Ordering::Relaxed)
}

/// The files of renditions in the cache.
fn stored(server: &InProcess) -> Vec<PathBuf> {
    server.service.flush();
    let folders = std::fs::read_dir(server.cache.path().join("v2"))
        .expect("the cache")
        .map(|entry| entry.expect("an entry").path());
    let is_fan_out = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 2) && path.is_dir();
    let files = folders.filter(is_fan_out).flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    files.map(|entry| entry.expect("an entry").path()).collect()
}

/// A folder with these files.
fn originals(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let folder = folder();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).expect("a file"));
    folder
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(testdata().join(name)).expect("a file of testdata")
}

#[tokio::test(flavor = "multi_thread")]
async fn widths_above_the_original_share_one_rendition() {
    let root = originals(&[("tom.jpg", read("photos/rocket.jpg"))]);
    let server = InProcess::new(root.path(), |_| {});
    let mut etags = std::collections::HashSet::new();
    // concurrently at first, before the header of the original is known
    let first = futures(&server, (0..8).map(|step| format!("/tom.jpg?width={}&format=webp", 3000 + step))).await;
    etags.extend(first.iter().map(|answer| answer.header("etag").to_owned()));
    for width in 2000..3000 {
        let answer = get(&server, &format!("/tom.jpg?width={width}&format=webp")).await;
        assert_eq!((answer.status, answer.header("cache-status")), (StatusCode::OK, "tintype; hit"), "{width}");
        etags.insert(answer.header("etag").to_owned());
    }
    for query in [
        "height=5000",
        "w=1280&h=854&fit=fill",
        "fit=cover&w=6400&h=4270&g=smart",
        "w=700&dpr=5",
        "animated=0",
        "bg=red",
    ] {
        let answer = get(&server, &format!("/tom.jpg?{query}&format=webp")).await;
        etags.insert(answer.header("etag").to_owned());
    }
    assert_eq!((etags.len(), renders(&server), stored(&server).len()), (1, 1, 1));
}

async fn futures(server: &InProcess, uris: impl Iterator<Item = String>) -> Vec<Answer> {
    let tasks: Vec<_> = uris
        .map(|uri| {
            let app = server.app.clone();
            tokio::spawn(async move {
                let request = Request::get(uri).header("accept", AVIF).body(Body::empty()).expect("a request");
                let (parts, body) = app.answer(request).await.into_parts();
                let body = body.collect().await.expect("a body").to_bytes().to_vec();
                Answer { status: parts.status, headers: parts.headers, body }
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("an answer"));
    }
    answers
}

#[tokio::test]
async fn negotiated_and_named_format_share_one_rendition() {
    for (name, original) in [("tom.png", "photos/chelsea.png"), ("tom.jpg", "photos/rocket.jpg")] {
        share_one_rendition(name, original).await;
    }
}

async fn share_one_rendition(name: &str, original: &str) {
    for size in ["width=200&", ""] {
        let root = originals(&[(name, read(original))]);
        let server = InProcess::new(root.path(), |_| {});
        let auto = get(&server, &format!("/{name}?{size}format=auto")).await;
        let named = get(&server, &format!("/{name}?{size}format=avif")).await;
        assert_eq!((auto.header("content-type"), auto.header("etag")), ("image/avif", named.header("etag")));
        assert_eq!((named.header("cache-status"), renders(&server)), ("tintype; hit", 1), "{size}");
        // a picture that may be a drawing has two names of one file
        let inodes: BTreeSet<u64> = stored(&server).iter().map(|path| path.metadata().expect("there").ino()).collect();
        assert_eq!(inodes.len(), 1);
        // in memory after the second use, under either name
        for _ in 0..3 {
            assert_eq!(get(&server, &format!("/{name}?{size}format=auto")).await.body, named.body);
        }
        assert_eq!(renders(&server), 1);
    }
}

#[tokio::test]
async fn smallest_original_is_sent_for_equal_formats() {
    let small = {
        let server = InProcess::new(&testdata(), |_| {});
        get(&server, "/photos/coffee.png?width=200&q=10&format=jpeg").await.body
    };
    let root = originals(&[("small.jpg", small.clone())]);
    let server = InProcess::new(root.path(), |_| {});
    for uri in ["/small.jpg?format=auto&q=100", "/small.jpg?format=auto&q=100&width=900", "/small.jpg?q=100&w=201"] {
        for _ in 0..3 {
            let answer = get(&server, uri).await;
            assert_eq!((answer.header("content-type"), answer.body == small), ("image/jpeg", true), "{uri}");
        }
    }
    let named = get(&server, "/small.jpg?format=avif&q=100").await;
    assert_eq!((named.header("content-type"), named.body.len() > small.len()), ("image/avif", true));
}

#[tokio::test]
async fn enlarged_results_are_bounded() {
    let server = InProcess::new(&testdata(), |config| config.live.limits.max_enlarged = 250_000);
    for (query, expected) in [
        ("w=4000&h=4000&fit=fill&enlarge", (500, 500)),
        ("w=4000&enlarge", (613, 407)),
        ("w=600&h=400&fit=pad", (600, 400)),
        ("w=8000&h=2000&fit=pad", (1000, 250)),
    ] {
        let answer = get(&server, &format!("/generated/checker.png?{query}&format=png")).await;
        let size = tintype::render::probe(&answer.body).expect("an image").size;
        let pixels = size.pixels();
        assert!(pixels <= 250_000 && pixels > 200_000, "{query}: {size}");
        if expected.0 == expected.1 || query.contains("pad") {
            assert_eq!((size.width, size.height), expected, "{query}");
        }
    }
    // a result that is not larger than its original is not bounded
    let answer = get(&server, "/photos/coffee.png?w=1200&format=jpeg").await;
    assert_eq!(tintype::render::probe(&answer.body).expect("an image").size.width, 600);
}

/// Files whose pixel data ends early.
fn truncated() -> Vec<(&'static str, Vec<u8>)> {
    let cut = |name: &str, tenths: usize| {
        let mut file = read(name);
        file.truncate(file.len() * tenths / 10);
        file
    };
    vec![
        ("cut.jpg", cut("photos/rocket.jpg", 6)),
        ("cut.png", cut("photos/chelsea.png", 6)),
        ("cut.gif", cut("generated/animated.gif", 7)),
        ("cut.webp", cut("generated/alpha.webp", 8)),
    ]
}

fn strict(config: &mut Config) {
    config.live.source.damaged = Damaged::Refuse;
}

#[tokio::test]
async fn damaged_original_is_shown_and_marked_until_replaced() {
    let files = truncated();
    let root = originals(&files);
    let cache = folder();
    let shared = |config: &mut Config| config.fixed.cache.dir = cache.path().to_owned();
    let mut seen = Vec::new();
    // rendered, from disk or memory, and after a restart
    for round in 0..2 {
        let server = InProcess::new(root.path(), shared);
        for _ in 0..3 {
            for (name, _) in &files {
                let answer = get(&server, &format!("/{name}?width=50&format=webp&v=1")).await;
                assert_eq!(answer.status, StatusCode::OK, "{name}: {}", String::from_utf8_lossy(&answer.body));
                assert_eq!(answer.header("cache-control"), "public, max-age=60", "{name}");
                let status = answer.header("cache-status");
                assert!(status.starts_with("tintype; ") && status.ends_with("; detail=damaged"), "{name}: {status}");
                assert!(round == 0 || status.contains("; hit"), "{name}: {status}");
                seen.push((*name, answer.header("etag").to_owned()));
                let tag = answer.header("etag").to_owned();
                let unchanged =
                    server.get_with(&format!("/{name}?width=50&format=webp&v=1"), &[("if-none-match", &tag)]).await;
                assert_eq!((unchanged.status.as_u16(), unchanged.header("cache-control")), (304, "public, max-age=60"));
            }
        }
        let json = get(&server, &format!("/{}?format=json", files[0].0)).await;
        let json: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON");
        assert_eq!(json["damaged"], true);
        let damaged = server.service.stats().damaged.load(Ordering::Relaxed);
        assert_eq!(damaged, if round == 0 { files.len() as u64 + 1 } else { 0 });
        server.service.flush();
    }
    let distinct: std::collections::HashSet<_> = seen.iter().collect();
    assert_eq!(distinct.len(), files.len(), "an ETag changed");

    let server = InProcess::new(root.path(), shared);
    std::fs::write(root.path().join("cut.jpg"), read("photos/rocket.jpg")).expect("a file");
    let whole = get(&server, "/cut.jpg?width=50&format=webp").await;
    assert!(whole.header("cache-control").contains("max-age=86400"), "{}", whole.header("cache-control"));
    assert_eq!(whole.header("cache-status"), "tintype; fwd=uri-miss; stored");
}

#[tokio::test]
async fn damaged_original_is_refused_by_setting() {
    let files = truncated();
    let root = originals(&files);
    let server = InProcess::new(root.path(), strict);
    for (name, _) in &files {
        // the first frame of the animation is whole
        let still = if name.ends_with(".gif") { "format=gif" } else { "width=20&format=png" };
        for query in ["width=50&format=webp", "format=json", still] {
            let answer = get(&server, &format!("/{name}?{query}")).await;
            assert_eq!(answer.status.as_u16(), 422, "{name}?{query}");
            assert!(String::from_utf8_lossy(&answer.body).contains("damaged"), "{name}");
        }
        // the original itself is sent as by a static server
        assert_eq!(get(&server, &format!("/{name}")).await.status.as_u16(), 200, "{name}");
    }
}

#[tokio::test]
async fn files_of_public_reports_are_shown() {
    needs!(Cases);
    let cases = cases().expect("the test needs them");
    let server = InProcess::new(&cases, |_| {});
    let damaged = ["g_lastframe_garbage.gif", "j_rst_lastmissing.jpg"];
    for entry in std::fs::read_dir(&cases).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("a name");
        let answer = get(&server, &format!("/{name}?width=64&format=png")).await;
        assert_eq!(answer.status.as_u16(), 200, "{name}: {}", String::from_utf8_lossy(&answer.body));
        assert_not_uniform(&name, &answer.body);
        // as an animation
        let answer = get(&server, &format!("/{name}?width=64&format=webp")).await;
        let is_marked = answer.header("cache-status").contains("detail=damaged");
        assert_eq!((answer.status.as_u16(), is_marked), (200, damaged.contains(&name.as_str())), "{name}");
    }
}

/// An image whose alpha was lost was once rendered all black.
fn assert_not_uniform(name: &str, png: &[u8]) {
    let picture = image::load_from_memory_with_format(png, image::ImageFormat::Png).expect("a PNG").to_rgba8();
    let seen = picture.pixels().map(|pixel| pixel.0).collect::<std::collections::HashSet<_>>();
    assert!(seen.len() > 1, "{name} is one colour: {seen:?}");
}
