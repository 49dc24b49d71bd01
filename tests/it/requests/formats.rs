//! The format of the answer: negotiation, smallest, animations, SVG.

use super::*;

#[tokio::test]
async fn auto_format_follows_the_accept_header() {
    let server = Server::of_testdata();
    let ask = async |path: &str, accept: &str| {
        let headers = if accept.is_empty() { vec![] } else { vec![("accept", accept)] };
        server.ask(Method::GET, &format!("/{path}?w=50&format=auto"), &headers).await
    };
    for (path, accept, expected) in [
        ("photos/rocket.jpg", CHROMIUM, Format::Avif),
        ("photos/rocket.jpg", "image/avif", Format::Avif),
        ("photos/rocket.jpg", "image/webp,*/*", Format::WebP),
        ("photos/rocket.jpg", "*/*", Format::Jpeg),
        ("photos/rocket.jpg", "", Format::Jpeg),
        ("generated/alpha.png", "*/*", Format::Png),
        ("generated/alpha.png", CHROMIUM, Format::Avif),
        ("generated/opaque-rgba.png", "*/*", Format::Png),
        ("generated/animated.gif", CHROMIUM, Format::WebP),
        ("generated/animated.gif", "image/avif", Format::Gif),
        ("generated/animated.gif", "*/*", Format::Gif),
    ] {
        let answer = ask(path, accept).await;
        assert_eq!((answer.status.as_u16(), answer.format()), (200, Some(expected)), "{path} for {accept:?}");
        assert_eq!(answer.header("vary"), "Accept");
    }
    let etag = ask("photos/rocket.jpg", CHROMIUM).await.header("etag").to_owned();
    let headers = [("accept", CHROMIUM), ("if-none-match", etag.as_str())];
    let unchanged = server.ask(Method::GET, "/photos/rocket.jpg?w=50&format=auto", &headers).await;
    assert_eq!((unchanged.status.as_u16(), unchanged.header("vary")), (304, "Accept"));
    let missing = server.get("/photos/none.jpg?format=auto").await;
    assert_eq!((missing.status.as_u16(), missing.header("vary")), (404, "Accept"));
    assert!(!server.get("/photos/rocket.jpg?w=50&f=webp").await.headers.contains_key("vary"));
}

#[tokio::test]
async fn accept_headers_make_three_renditions_at_most() {
    let server = Server::of_testdata();
    for accept in [
        CHROMIUM,
        "image/avif",
        "image/webp",
        "*/*",
        "",
        "image/avif,image/webp",
        "image/avif;q=0.3,image/webp;q=0.2",
        "x/y",
    ] {
        server.ask(Method::GET, "/photos/rocket.jpg?w=50&format=auto", &[("accept", accept)]).await;
    }
    let renders = server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(renders, 3);
}

#[tokio::test]
async fn original_with_metadata_is_not_sent_as_smallest() {
    let dir = folder();
    let plain = std::fs::read(testdata().join("generated/zone-plate.png")).expect("a file");
    // a text chunk before the end, and bytes behind it
    let mut text = plain[..plain.len() - 12].to_vec();
    text.extend([0, 0, 0, 9]);
    text.extend(b"tEXtAuthor\0me");
    text.extend(0x1da1_9e3d_u32.to_be_bytes());
    text.extend(&plain[plain.len() - 12..]);
    std::fs::write(dir.path().join("plain.png"), &plain).expect("written");
    std::fs::write(dir.path().join("behind.png"), [&plain[..], b"a secret"].concat()).expect("written");
    std::fs::write(dir.path().join("text.png"), &text).expect("written");
    let server = Server::new(dir.path(), |_| {});
    assert!(server.get("/plain.png?format=png").await.body == plain, "nothing was to be removed");
    for name in ["behind.png", "text.png"] {
        for query in ["metadata=none", "q=100", "format=png"] {
            let answer = server.get(&format!("/{name}?{query}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{name}");
            let found = |needle: &[u8]| answer.body.windows(needle.len()).any(|window| window == needle);
            assert!(!found(b"Author") && !found(b"secret"), "{name}?{query}");
        }
    }
}

#[tokio::test]
async fn translucent_background_is_painted_once() {
    let server = Server::of_testdata();
    let answer = server.get("/generated/grey.png?w=50&h=200&fit=pad&bg=00ff0080&f=png").await;
    let pixels = image::load_from_memory(&answer.body).expect("a PNG").into_rgba8();
    assert_eq!(pixels.get_pixel(1, 1).0, [0, 255, 0, 128]);
    assert_eq!(pixels.get_pixel(25, 100).0[3], 255);
}

#[tokio::test]
async fn animated_png_stays_animated() {
    let server = Server::of_testdata();
    for query in ["w=40", "w=40&format=auto", "w=40&format=original"] {
        let answer = server.get(&format!("/generated/animated.png?{query}")).await;
        let info = probe(&answer.body).expect("an image");
        assert_eq!((info.format, info.frames), (Format::Png, 5), "{query}");
    }
    let still = server.get("/generated/animated.png?w=40&format=png").await;
    assert_eq!(probe(&still.body).expect("an image").frames, 1);
}

#[tokio::test]
async fn lossless_keeps_animations() {
    let server = Server::of_testdata();
    for (query, accept, format) in [
        ("w=40&lossless", "", Format::Gif),
        ("w=40&lossless&format=original", "", Format::Gif),
        ("w=40&lossless&format=auto", "*/*", Format::Gif),
        ("w=40&lossless&format=auto", "image/avif,image/webp,*/*", Format::WebP),
        ("w=40&lossless&animated=0", "", Format::Png),
    ] {
        let target = format!("/generated/animated.gif?{query}");
        let answer = server.ask(Method::GET, &target, &[("accept", accept)]).await;
        let info = probe(&answer.body).expect("an image");
        let frames = if query.contains("animated=0") { 1 } else { 5 };
        assert_eq!((info.format, info.frames), (format, frames), "{query}, {accept}");
    }
}

#[tokio::test]
async fn smallest_acceptable_format_is_sent() {
    let dir = folder();
    let server = Server::of_testdata();
    for (name, query) in [("small.webp", "w=200&q=20&f=webp"), ("small.avif", "w=200&q=20&f=avif")] {
        let small = server.get(&format!("/photos/coffee.png?{query}")).await;
        std::fs::write(dir.path().join(name), &small.body).expect("written");
    }
    let server = Server::new(dir.path(), |_| {});
    for (name, query, accept, is_sent) in [
        ("small.webp", "format=auto&q=100", CHROMIUM, true),
        ("small.webp", "format=auto&q=100", "image/webp", true),
        ("small.webp", "format=auto&q=100", "image/avif", false),
        ("small.webp", "format=auto&q=100", "*/*", false),
        ("small.webp", "format=webp&q=100", "*/*", true),
        ("small.avif", "format=avif&q=100", "*/*", true),
        ("small.avif", "format=auto&q=100", "image/avif", true),
        ("small.avif", "format=auto&q=100", "image/webp", false),
        ("small.avif", "format=webp&q=100", "*/*", false),
    ] {
        let answer = server.ask(Method::GET, &format!("/{name}?{query}"), &[("accept", accept)]).await;
        let original = std::fs::read(dir.path().join(name)).expect("a file");
        assert_eq!((answer.status.as_u16(), answer.body == original), (200, is_sent), "{name}?{query} for {accept}");
    }
}

#[tokio::test]
async fn svg_is_sent_for_auto_format() {
    let server = Server::of_testdata();
    let file = std::fs::read(testdata().join("generated/svg.svg")).expect("a file");
    for accept in [CHROMIUM, "image/avif", "image/webp", "*/*"] {
        let answer = server.ask(Method::GET, "/generated/svg.svg?format=auto", &[("accept", accept)]).await;
        assert_eq!((answer.status.as_u16(), answer.body == file), (200, true), "{accept}");
        assert_eq!((answer.header("vary"), answer.header("content-type")), ("Accept", "image/svg+xml"));
    }
    for query in ["w=10", "w=4000&h=10&fit=cover&dpr=2", "q=30", "format=original&rotate=90", "format=auto&w=10&blur=3"]
    {
        let answer = server.get(&format!("/generated/svg.svg?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.body == file), (200, true), "{query}");
        assert_eq!(answer.header("content-type"), "image/svg+xml", "{query}");
    }
    assert_eq!(server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed), 1, "one file for all");
}

#[tokio::test]
async fn svg_is_drawn_for_a_format_of_pixels() {
    let server = Server::of_testdata();
    for (query, format, size) in [
        ("format=png", Format::Png, (120, 80)),
        ("format=webp&w=2400", Format::WebP, (2400, 1600)),
        ("format=jpeg&w=30&h=30&fit=cover", Format::Jpeg, (30, 30)),
        ("format=avif&w=600&dpr=2", Format::Avif, (1200, 800)),
        ("format=gif&rect=0,0,60,40&h=80", Format::Gif, (120, 80)),
        ("format=png&w=4000", Format::Png, (4000, 2667)),
    ] {
        let answer = server.get(&format!("/generated/svg.svg?{query}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
        let info = tintype::render::probe(&answer.body).expect("an image");
        assert_eq!((info.format, (info.size.width, info.size.height)), (format, size), "{query}");
    }
    // to a vector no size is an enlargement, so that both are one rendition
    let renders = || server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed);
    let before = renders();
    for query in ["format=webp&width=2400&enlarge=true", "format=webp&width=1200&dpr=2"] {
        assert_eq!(server.get(&format!("/generated/svg.svg?{query}")).await.status.as_u16(), 200, "{query}");
    }
    assert_eq!(renders(), before);
}

#[tokio::test]
async fn svg_setting_decides_what_is_made_of_it() {
    use tintype::config::live::Svg;
    for (setting, plain, drawn, described) in
        [(Svg::Rasterise, 200, 200, 200), (Svg::Pass, 200, 415, 200), (Svg::Refuse, 415, 415, 415)]
    {
        let server = Server::new(&testdata(), |config| config.live.source.svg = setting);
        for (query, status) in [("", plain), ("?w=9", plain), ("?format=png", drawn), ("?format=json", described)] {
            let answer = server.get(&format!("/generated/svg.svg{query}")).await;
            assert_eq!(answer.status.as_u16(), status, "{setting:?} {query}");
        }
    }
}

#[tokio::test]
async fn format_too_small_for_the_result_is_skipped() {
    let dir = folder();
    image::RgbImage::new(17_000, 4).save(dir.path().join("wide.png")).expect("saved");
    let server = Server::new(dir.path(), |config| {
        config.live.limits.max_dimension = 20_000;
        config.live.output.smallest_wins = false;
    });
    let auto = server.ask(Method::GET, "/wide.png?format=auto", &[("accept", "image/webp")]).await;
    // one colour is smaller as a PNG than as a JPEG
    assert_eq!((auto.format(), auto.size()), (Some(Format::Png), (17_000, 4)));
    assert_eq!(server.get("/wide.png?format=webp").await.status.as_u16(), 422);
}

#[tokio::test]
async fn format_above_the_memory_limit_is_skipped() {
    // 0.27 megapixels: the AVIF encoder takes 32 bytes a pixel, WebP 12 and JPEG 8, in addition to the decoder
    for (kilobytes, expected) in [(64 << 10, Format::Avif), (6 << 10, Format::WebP), (4 << 10, Format::Jpeg)] {
        let server =
            Server::new(&testdata(), |config| config.fixed.limits.memory = tintype::config::Bytes(kilobytes << 10));
        let auto = server.ask(Method::GET, "/photos/rocket.jpg?format=auto&q=50", &[("accept", CHROMIUM)]).await;
        assert_eq!((auto.status.as_u16(), auto.format()), (200, Some(expected)), "{kilobytes} KiB");
        let named = server.get("/photos/rocket.jpg?format=avif&q=50").await.status.as_u16();
        assert_eq!(named, if expected == Format::Avif { 200 } else { 422 });
    }
}
