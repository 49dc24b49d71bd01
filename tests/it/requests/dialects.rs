//! URLs of other systems: their answers are those of native URLs, or refusals that name what is not offered.

use super::{CHROMIUM, Server};
use crate::common::{folder, testdata};
use http::{Method, StatusCode};
use tintype::config::read_text;

/// Path templates and Next.js, beside native URLs.
const SETTINGS: &str = r#"
[dialects]
bases = ["https://www.example.com"]
[dialects.next]
mount = "/_next/image"
[[dialects.paths]]
match = "/resize/{size}/{path}"
query = "fit=contain"
[[dialects.paths]]
match = "/w{width}/{path}.webp"
query = "format=webp"
"#;

fn server(settings: &str) -> Server {
    let dialects = read_text(settings).expect("good settings").config.live.dialects;
    Server::new(&testdata(), move |config| config.live.dialects = dialects)
}

#[tokio::test]
async fn answers_are_those_of_native_urls() {
    let server = server(SETTINGS);
    let accept = [("Accept", CHROMIUM)];
    for (foreign, native) in [
        ("/resize/60x/photos/coffee.png", "/photos/coffee.png?width=60"),
        ("/resize/60x40/photos/coffee.png?x=1", "/photos/coffee.png?width=60&height=40"),
        ("/w60/photos/coffee.png.webp", "/photos/coffee.png?width=60&format=webp"),
        ("/_next/image?url=%2Fphotos%2Fcoffee.png&w=64&q=75", "/photos/coffee.png?width=64&format=auto"),
        (
            "/_next/image?url=https%3A%2F%2Fwww.example.com%2Fphotos%2Fcoffee.png&w=96&q=75",
            "/photos/coffee.png?width=96&format=auto&quality=75",
        ),
    ] {
        let (mut one, mut other) =
            (server.ask(Method::GET, foreign, &accept).await, server.ask(Method::GET, native, &accept).await);
        assert_eq!((one.status, other.status), (StatusCode::OK, StatusCode::OK), "{foreign}");
        assert!(one.body == other.body, "{foreign}");
        for answer in [&mut one, &mut other] {
            answer.headers.remove("x-request-id");
            answer.headers.remove("cache-status");
        }
        assert_eq!(one.headers, other.headers, "{foreign}");
        let etag = one.header("etag").to_owned();
        let again = server.ask(Method::HEAD, foreign, &[accept[0], ("If-None-Match", &etag)]).await;
        assert_eq!(again.status, 304, "{foreign}");
    }
}

#[tokio::test]
async fn refusals_name_what_is_wrong() {
    let server = server(SETTINGS);
    for (url, status, text) in [
        ("/resize/60x40/photos/none.png", 404, ""),
        ("/resize/-x-/photos/coffee.png", 400, "size"),
        ("/resize/60x40/../coffee.png", 404, ""),
        ("/_next/image?url=%2Fphotos%2Fcoffee.png&w=65&q=75", 400, "640, 750"),
        ("/_next/image?url=%2Fphotos%2Fcoffee.png&w=64", 400, "\"q\""),
        ("/_next/image?url=http%3A%2F%2F169.254.169.254%2Flatest&w=64&q=75", 403, "not allowed"),
        ("/_next/image?url=%2F..%2Fetc%2Fpasswd&w=64&q=75", 404, ""),
        ("/_next/image/x?url=%2Fphotos%2Fcoffee.png&w=64&q=75", 404, ""),
    ] {
        let answer = server.get(url).await;
        assert_eq!(answer.status, status, "{url}");
        assert!(String::from_utf8_lossy(&answer.body).contains(text), "{url}: {}", answer.json());
        let varies = url.starts_with("/_next/image");
        assert_eq!(answer.header("vary").contains("Accept"), varies, "{url}");
    }
}

#[tokio::test]
async fn svg_is_refused_by_next_alone() {
    let originals = folder();
    let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>"#;
    std::fs::write(originals.path().join("a.svg"), svg).expect("a file");
    let dialects = read_text(SETTINGS).expect("good settings").config.live.dialects;
    let server = Server::new(originals.path(), move |config| config.live.dialects = dialects);
    assert_eq!(server.get("/resize/60x/a.svg").await.header("content-type"), "image/svg+xml");
    assert_eq!(server.get("/a.svg?width=64&format=auto").await.status, 200);
    for _ in 0..2 {
        let answer = server.get("/_next/image?url=%2Fa.svg&w=64&q=75").await;
        assert_eq!(answer.status, 415, "{}", answer.json());
    }
}

#[tokio::test]
async fn native_urls_may_have_a_mount_or_none() {
    let moved = server("[dialects]\nnative = \"/images\"\n");
    assert_eq!(moved.get("/images/photos/coffee.png?width=60").await.status, 200);
    assert_eq!(moved.get("/photos/coffee.png?width=60").await.status, 404);
    assert_eq!(moved.get("/imagesphotos/coffee.png").await.status, 404);
    let off = server(&SETTINGS.replace("[dialects]\n", "[dialects]\nnative = \"\"\n"));
    assert_eq!(off.get("/photos/coffee.png?width=60").await.status, 404);
    assert_eq!(off.get("/resize/60x/photos/coffee.png").await.status, 200);
}

#[tokio::test]
async fn requests_are_counted_by_dialect() {
    let server = server(SETTINGS);
    server.get("/resize/60x/photos/coffee.png").await;
    server.get("/resize/-/photos/coffee.png").await;
    server.get("/photos/coffee.png?width=60").await;
    let metrics = String::from_utf8(server.get("/-/metrics").await.body).expect("UTF-8");
    assert!(metrics.contains("tintype_foreign_requests_total{dialect=\"paths\"} 2\n"), "{metrics}");
    assert!(metrics.contains("tintype_foreign_requests_total{dialect=\"next\"} 0\n"), "{metrics}");
}

#[tokio::test]
async fn purge_takes_a_foreign_url() {
    let dialects = read_text(SETTINGS).expect("good settings").config.live.dialects;
    let server = Server::new(&testdata(), move |config| {
        config.live.dialects = dialects;
        config.live.security.admin_token = "0123456789abcdef".into();
    });
    server.get("/photos/coffee.png?width=60").await;
    let token = [("Authorization", "Bearer 0123456789abcdef")];
    for (query, status, purged) in [
        ("url=%2F_next%2Fimage%3Furl%3D%252Fphotos%252Fcoffee.png%26w%3D64%26q%3D75", 200, Some(1)),
        ("url=%2Fresize%2F60x%2Fphotos%2Fcoffee.png", 200, Some(0)),
        ("url=%2Fphotos%2Fcoffee.png%3Fwidth%3D60%26expires%3D1", 200, Some(0)),
        ("url=%2Fresize%2F-%2Fphotos%2Fcoffee.png", 400, None),
        ("url=%2Fa&url=%2Fb", 400, None),
    ] {
        let answer = server.ask(Method::POST, &format!("/-/purge?{query}"), &token).await;
        assert_eq!(answer.status, status, "{query}");
        assert_eq!(answer.json()["purged"].as_u64(), purged, "{query}");
    }
}

#[test]
fn mounts_that_let_clients_go_around_signatures_are_refused() {
    for (settings, expected) in [
        ("[security]\nkeys = [\"0123456789abcdef\"]\n[dialects.next]\nmount = \"/n\"\n", Some("dialects.next")),
        (
            "[security]\nkeys = [\"0123456789abcdef\"]\n[dialects]\nunsigned = true\n[dialects.next]\nmount = \"/n\"\n",
            None,
        ),
        ("[dialects.next]\nmount = \"/-/x\"\n", Some("/-/")),
        ("[dialects.next]\nmount = \"next/\"\n", Some("prefix")),
        ("[dialects.next]\nmount = \"/\"\n", Some("two dialects")),
        ("[dialects]\nnative = \"\"\n[dialects.next]\nmount = \"/\"\n", None),
        ("[dialects]\nbases = [\"example.com\"]\n", Some("dialects.bases")),
        ("[[dialects.paths]]\nmatch = \"/a/{x}/{path}\"\n", Some("{x}")),
        ("[[dialects.paths]]\nmatch = \"/a/{width}\"\n", Some("{path}")),
        ("[[dialects.paths]]\nmatch = \"/a/{path}\"\nquery = \"widht=1\"\n", Some("widht")),
        ("[dialects.nxt]\nmount = \"/n\"\n", Some("did you mean next")),
        ("[dialects.next]\nmont = \"/n\"\n", Some("mont")),
    ] {
        let message = read_text(settings).err().map(|wrong| wrong.to_string());
        match (&message, expected) {
            (Some(message), Some(expected)) => assert!(message.contains(expected), "{settings}: {message}"),
            (message, expected) => assert_eq!(message.is_some(), expected.is_some(), "{settings}: {message:?}"),
        }
    }
}
