//! Client hints and Save-Data: the sizes and qualities that they choose, and `Vary` on every kind of answer.

use super::*;

const WIDTHS: &str = "Sec-CH-Width, Width, Sec-CH-Viewport-Width, Sec-CH-DPR";

fn server() -> Server {
    Server::new(&testdata(), |config| {
        config.live.output.client_hints = true;
        config.live.output.save_data_quality = 30;
    })
}

#[tokio::test]
async fn auto_width_follows_the_hints() {
    let server = server();
    // 600 pixels wide
    let url = "/photos/coffee.png?width=auto&format=webp&quality=75";
    for (headers, width) in [
        (&[][..], 600),
        (&[("sec-ch-width", "150")], 200),
        (&[("width", "90")], 100),
        (&[("sec-ch-viewport-width", "120"), ("sec-ch-dpr", "2")], 300),
        (&[("sec-ch-width", "bogus")], 600),
        (&[("sec-ch-width", "9000")], 600),
    ] {
        let answer = server.ask(Method::GET, url, headers).await;
        assert_eq!((answer.status, answer.size().0), (StatusCode::OK, width), "{headers:?}");
        assert_eq!((answer.header("vary"), answer.header("content-location")), (WIDTHS, ""), "{headers:?}");
        assert_eq!(answer.header("accept-ch"), "Sec-CH-Width, Sec-CH-Viewport-Width, Sec-CH-DPR");
    }
    // the same width is the same rendition, by whatever hint or number
    let made = server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed);
    let by_number = server.get("/photos/coffee.png?width=200&format=webp&quality=75").await;
    let by_hint = server.ask(Method::GET, url, &[("sec-ch-width", "101")]).await;
    assert_eq!((by_number.header("etag"), by_number.header("vary")), (by_hint.header("etag"), ""));
    assert_eq!(server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed), made);
}

#[tokio::test]
async fn save_data_lowers_the_quality() {
    let server = server();
    let on = [("save-data", "on")];
    let url = "/photos/coffee.png?width=200&format=jpeg";
    let (usual, saving) = (server.get(url).await, server.ask(Method::GET, url, &on).await);
    assert_eq!((usual.header("vary"), saving.header("vary")), ("Save-Data", "Save-Data"));
    assert!(saving.body.len() * 3 < usual.body.len() * 2, "{} {}", saving.body.len(), usual.body.len());
    let stated = server.get("/photos/coffee.png?width=200&format=jpeg&quality=30").await;
    assert_eq!((stated.header("etag"), stated.header("vary")), (saving.header("etag"), ""));
    // the original itself is sent as it is
    let original = server.ask(Method::GET, "/photos/coffee.png", &on).await;
    assert_eq!((original.header("content-type"), original.header("vary")), ("image/png", ""));
}

#[tokio::test]
async fn vary_names_what_was_consulted_on_every_answer() {
    let server = server();
    let off = Server::of_testdata();
    for (query, vary, without) in [
        ("width=auto&format=auto", format!("Accept, {WIDTHS}, Save-Data"), None),
        ("width=auto&format=webp&quality=70", WIDTHS.to_owned(), None),
        ("width=auto&dpr=2&q=70&format=webp", WIDTHS.replace(", Sec-CH-DPR", ""), None),
        ("width=90&format=auto", "Accept, Save-Data".to_owned(), Some("Accept")),
        ("width=90&format=auto&q=70", "Accept".to_owned(), Some("Accept")),
        ("width=90&format=png", String::new(), Some("")),
        ("format=json", String::new(), Some("")),
        ("width=90&format=webp", "Save-Data".to_owned(), Some("")),
    ] {
        let url = format!("/photos/coffee.png?{query}");
        let hints = [("sec-ch-width", "80"), ("save-data", "on"), ("accept", CHROMIUM)];
        let first = server.ask(Method::GET, &url, &hints).await;
        assert_eq!((first.status, first.header("vary")), (StatusCode::OK, vary.as_str()), "{query}");
        let etag = first.header("etag").to_owned();
        let conditional = [&hints[..], &[("if-none-match", &etag)]].concat();
        let range = [&hints[..], &[("range", "bytes=999999999-")]].concat();
        for (method, headers, status) in [
            (Method::GET, &hints[..], StatusCode::OK),
            (Method::HEAD, &hints, StatusCode::OK),
            (Method::GET, &conditional, StatusCode::NOT_MODIFIED),
            (Method::GET, &range, StatusCode::RANGE_NOT_SATISFIABLE),
            (Method::GET, &[], StatusCode::OK),
        ] {
            let answer = server.ask(method, &url, headers).await;
            assert_eq!((answer.status, answer.header("vary")), (status, vary.as_str()), "{query}");
        }
        let missing = server.get(&format!("/no.png?{query}")).await;
        assert_eq!((missing.status, missing.header("vary")), (StatusCode::NOT_FOUND, vary.as_str()), "{query}");
        let answer = off.ask(Method::GET, &url, &hints).await;
        match without {
            Some(vary) => assert_eq!((answer.status, answer.header("vary")), (StatusCode::OK, vary), "{query}"),
            None => assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}"),
        }
    }
}

#[tokio::test]
async fn presets_and_other_systems_have_auto_width() {
    let server = Server::new(&testdata(), |config| {
        config.live.output.client_hints = true;
        config.live.output.widths = vec![320, 640];
        config.live.presets.insert("fluid".into(), "width=auto&format=webp".into());
        config.live.dialects.cloudflare.mount = "/cdn-cgi/image".into();
    });
    let hint = [("sec-ch-width", "100")];
    for url in ["/photos/coffee.png?preset=fluid", "/cdn-cgi/image/width=auto,format=webp/photos/coffee.png"] {
        let answer = server.ask(Method::GET, url, &hint).await;
        assert_eq!((answer.status, answer.size().0, answer.header("vary")), (StatusCode::OK, 320, WIDTHS), "{url}");
    }
    let number = server.ask(Method::GET, "/photos/coffee.png?preset=fluid&width=50", &hint).await;
    assert_eq!((number.size().0, number.header("vary")), (50, ""));
}
