//! The fallback picture: which errors carry it, in which form, and how it is cached.

use tintype::config::live::FallbackStatus;

use super::*;

/// A server of testdata and a picture for what is missing.
fn server(status: FallbackStatus) -> Server {
    Server::new(&testdata(), |config| {
        config.live.output.fallback = testdata().join("photos/coffee.png");
        config.live.output.fallback_status = status;
    })
}

#[tokio::test]
async fn missing_original_is_answered_with_the_picture_as_requested() {
    let server = server(FallbackStatus::Keep);
    let first = server.get("/no/such.jpg?width=90&format=webp").await;
    assert_eq!((first.status, first.format(), first.size()), (StatusCode::NOT_FOUND, Some(Format::WebP), (90, 60)));
    assert_eq!(first.header("cache-control"), "max-age=30");
    assert_eq!(first.header("cache-status"), "tintype; fwd=uri-miss; stored; detail=fallback-404");
    assert_eq!(first.header("content-disposition"), "inline; filename=\"such.webp\"");
    for absent in ["etag", "last-modified", "accept-ranges", "content-location"] {
        assert!(!first.headers.contains_key(absent), "{absent}");
    }
    // all names share one rendition
    let renders = || server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed);
    let before = renders();
    for name in ["a", "b", "c"] {
        let other = server.get(&format!("/{name}.png?w=90&fm=webp")).await;
        assert_eq!((other.status, &other.body), (StatusCode::NOT_FOUND, &first.body));
        assert_eq!(other.header("cache-status"), "tintype; hit; detail=fallback-404");
    }
    assert_eq!(renders(), before);
    let auto = server.ask(Method::GET, "/no.jpg?w=30&format=auto", &[("accept", CHROMIUM)]).await;
    assert_eq!((auto.format(), auto.header("vary")), (Some(Format::Avif), "Accept"));
    let head = server.ask(Method::HEAD, "/no.jpg?width=90&format=webp", &[]).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::NOT_FOUND, 0));
    assert_eq!(head.header("content-length"), first.body.len().to_string());
    // without parameters it is the file
    let whole = server.get("/no.jpg").await;
    assert_eq!(whole.body, std::fs::read(testdata().join("photos/coffee.png")).expect("a file"));
    assert_eq!((whole.status, whole.header("content-type")), (StatusCode::NOT_FOUND, "image/png"));
    // conditions and ranges are for what exists
    let tag = [("if-none-match", "*"), ("range", "bytes=0-3")];
    let conditional = server.ask(Method::GET, "/no.jpg?width=90&format=webp", &tag).await;
    assert_eq!((conditional.status, conditional.body), (StatusCode::NOT_FOUND, first.body));
}

#[tokio::test]
async fn errors_of_the_original_carry_the_picture_and_others_do_not() {
    let server = server(FallbackStatus::Keep);
    for (url, status, age) in [
        ("/no.jpg?width=9", 404, "max-age=30"),
        ("/hostile/png-header-100000.png?width=9", 422, "max-age=60"),
        ("/hostile/text.txt?width=9", 415, "max-age=60"),
        ("/hostile/text.txt", 415, "max-age=60"),
    ] {
        let answer = server.get(url).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (status, age), "{url}");
        assert!(answer.format().is_some(), "{url}: {}", answer.header("content-type"));
    }
    for (url, status) in [
        ("/no.jpg?width=0", 400),
        ("/no.jpg?s=AAAA", 403),
        ("/no.jpg?expires=1&width=9", 410),
        ("/no.jpg?format=json", 404),
        ("/.hidden?width=9", 404),
        ("/-/no", 404),
        // the URL asks for what no original has
        ("/photos/coffee.png?rect=9000,9000,1,1", 422),
    ] {
        let answer = server.get(url).await;
        assert_eq!((answer.status.as_u16(), answer.format()), (status, None), "{url}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{url}");
    }
    // a picture that cannot be shown as requested leaves the error as it was
    let outside = server.get("/no.jpg?rect=9000,9000,1,1").await;
    assert_eq!((outside.status.as_u16(), outside.header("content-type")), (404, "application/problem+json"));
    let metrics = String::from_utf8(server.get("/-/metrics").await.body).expect("text");
    assert!(metrics.contains("tintype_failures_total{kind=\"not-an-image\"} 2"), "{metrics}");
}

#[tokio::test]
async fn status_200_has_validators_of_the_picture() {
    let server = server(FallbackStatus::Ok);
    let url = "/no.jpg?width=90&format=webp";
    let first = server.get(url).await;
    assert_eq!((first.status, first.header("cache-control")), (StatusCode::OK, "max-age=30"));
    assert!(first.header("cache-status").ends_with("; detail=fallback-404"), "{:?}", first.headers);
    let etag = first.header("etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", blake3::hash(&first.body).to_hex()));
    let same = server.ask(Method::GET, url, &[("if-none-match", &etag)]).await;
    assert_eq!((same.status, same.header("cache-control")), (StatusCode::NOT_MODIFIED, "max-age=30"));
    let part = server.ask(Method::GET, url, &[("range", "bytes=0-3")]).await;
    assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &first.body[..4]));
    let metrics = String::from_utf8(server.get("/-/metrics").await.body).expect("text");
    assert!(metrics.contains("code=\"404\""), "the metrics have the status of the error: {metrics}");
}

#[tokio::test]
async fn original_that_appears_replaces_the_picture() {
    let root = folder();
    let server = Server::new(root.path(), |config| {
        config.live.output.fallback = testdata().join("photos/coffee.png");
    });
    let url = "/later.png?width=20&format=webp";
    assert_eq!(server.get(url).await.status, StatusCode::NOT_FOUND);
    std::fs::copy(testdata().join("generated/alpha.png"), root.path().join("later.png")).expect("a file");
    let answer = server.get(url).await;
    assert_eq!((answer.status, answer.header("cache-status")), (StatusCode::OK, "tintype; fwd=uri-miss; stored"));
    std::fs::remove_file(root.path().join("later.png")).expect("removed");
    assert_eq!(server.get(url).await.header("cache-status"), "tintype; hit; detail=fallback-404");
}
