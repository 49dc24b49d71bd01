//! Results that a limit makes smaller than requested: `X-Clamped` on every kind of answer, and `auto`, which takes a format that can
//! hold the size.

use super::*;

/// A grey picture, black at the left edge and white at the right one.
fn grey(width: u32, height: u32) -> Vec<u8> {
    let row: Vec<u8> = (0..width).map(|x| (x * 255 / width.max(2)) as u8).collect();
    [format!("P5 {width} {height} 255\n").into_bytes(), row.repeat(height as usize)].concat()
}

/// A server of tall.pgm (80x2000) and small.pgm (40x30).
fn server(change: impl FnOnce(&mut Config)) -> (Server, tempfile::TempDir) {
    let root = folder();
    std::fs::write(root.path().join("tall.pgm"), grey(80, 2000)).expect("a file");
    std::fs::write(root.path().join("small.pgm"), grey(40, 30)).expect("a file");
    (Server::new(root.path(), change), root)
}

fn limits(max_dimension: u32, max_enlarged: u64) -> impl Fn(&mut Config) {
    move |config| {
        config.live.limits.max_dimension = max_dimension;
        config.live.limits.max_enlarged = max_enlarged;
    }
}

#[tokio::test]
async fn clamped_result_says_so_on_every_answer() {
    const CLAMPED: &str = "max_dimension=1000;from=\"80x2000\";to=\"40x1000\"";
    let (server, root) = server(limits(1000, 4_000_000));
    let url = "/tall.pgm?format=webp";
    for status in ["tintype; fwd=uri-miss; stored", "tintype; hit", "tintype; hit"] {
        let answer = server.get(url).await;
        assert_eq!((answer.header("cache-status"), answer.size()), (status, (40, 1000)));
        assert_eq!(answer.header("x-clamped"), CLAMPED, "{status}");
    }
    assert_eq!(server.ask(Method::HEAD, url, &[]).await.header("x-clamped"), CLAMPED);
    let range = server.ask(Method::GET, url, &[("range", "bytes=0-9")]).await;
    assert_eq!((range.status, range.header("x-clamped")), (StatusCode::PARTIAL_CONTENT, CLAMPED));
    // a request for that very size gets the same file, and is not clamped
    let exact = server.get("/tall.pgm?format=webp&height=1000").await;
    assert_eq!((exact.header("cache-status"), exact.header("x-clamped")), ("tintype; hit", ""));
    for (url, clamped) in [
        ("/tall.pgm?format=png&width=60", "max_dimension=1000;from=\"60x1500\";to=\"40x1000\""),
        ("/tall.pgm?format=png&width=30", ""),
        ("/tall.pgm?format=png&width=30&trim=5", ""),
        ("/tall.pgm?format=json", ""),
        ("/small.pgm?format=png&width=5000", ""),
        ("/small.pgm?format=png&width=2000&enlarge=true", "max_dimension=1000;from=\"2000x1500\";to=\"1000x750\""),
        ("/small.pgm?format=png&width=400&dpr=5&enlarge=true", "max_dimension=1000;from=\"2000x1500\";to=\"1000x750\""),
        ("/small.pgm?format=png&w=2000&ar=2:1&enlarge=1", "max_dimension=1000;from=\"2000x1000\";to=\"1000x500\""),
    ] {
        assert_eq!(server.get(url).await.header("x-clamped"), clamped, "{url}");
    }
    // after a restart renditions are on disk, and nothing is known of their originals
    server.service.flush();
    let Server { app, service, cache, config } = server;
    drop((app, service));
    let again = Server::with_cache(root.path(), cache, config);
    for _ in 0..3 {
        let answer = again.get(url).await;
        assert_eq!((answer.header("cache-status"), answer.header("x-clamped")), ("tintype; hit", CLAMPED));
        let exact = again.get("/tall.pgm?format=png&width=30").await;
        assert_eq!((exact.header("cache-status"), exact.header("x-clamped")), ("tintype; hit", ""));
    }
}

#[tokio::test]
async fn enlarged_result_over_the_limit_says_so() {
    let (server, _root) = server(limits(8192, 10_000));
    let answer = server.get("/small.pgm?format=png&width=800&enlarge=true").await;
    assert_eq!(answer.header("x-clamped"), "max_enlarged=10000;from=\"800x600\";to=\"115x86\"");
    assert_eq!(answer.size(), (115, 86));
    assert_eq!(server.get("/small.pgm?format=png&width=100&enlarge=true").await.header("x-clamped"), "");
}

#[tokio::test]
async fn auto_takes_a_format_that_can_hold_the_size() {
    let root = folder();
    std::fs::write(root.path().join("strip.pgm"), grey(8, 20_000)).expect("a file");
    let server = Server::new(root.path(), limits(20_000, 4_000_000));
    for (accept, expected) in [("image/webp,*/*", Format::Jpeg), ("*/*", Format::Jpeg)] {
        let answer = server.ask(Method::GET, "/strip.pgm?format=auto", &[("accept", accept)]).await;
        assert_eq!((answer.format(), answer.size(), answer.header("x-clamped")), (Some(expected), (8, 20_000), ""));
    }
    let refused = server.get("/strip.pgm?format=webp").await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.json()["detail"].as_str().is_some_and(|detail| detail.contains("16383")), "{:?}", refused.json());
    let png = server.get("/strip.pgm?format=png").await;
    assert_eq!((png.size(), png.header("x-clamped")), ((8, 20_000), ""));
}
