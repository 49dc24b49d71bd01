//! Answers of the site while tintype is down or overloaded.

use super::*;

#[test]
fn original_is_sent_while_tintype_is_down() {
    needs!(Nginx);
    let place = SiteFolder::new();
    let tintype = place.tintype(&[]);
    let nginx = place.nginx();
    let rendition = nginx.get(URL, &[]);
    assert_eq!(rendition.picture().0, Format::WebP);
    assert!(tintype.stop().success());

    let original = std::fs::read(place.root().join("photos/coffee.png")).expect("it is there");
    let as_is = |target: &str, headers: &[(&str, &str)]| {
        let answer = nginx.get(target, headers);
        assert_eq!((answer.status, answer.header("cache-control").as_str()), (200, "no-store"), "{target}");
        assert!(answer.body == original, "{target}");
        for name in ["etag", "last-modified", "accept-ranges"] {
            assert!(answer.try_header(name).is_none(), "{name}:\n{}", answer.head);
        }
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    };
    as_is(URL, &[]);
    as_is("/photos/a%20b%20%C3%A9.png?width=20", &[]);
    // a client must not join parts of the original and the rendition, nor take one for the other
    let (etag, date) = (rendition.header("etag"), rendition.header("last-modified"));
    as_is(URL, &[("Range", "bytes=10-"), ("If-Range", &etag)]);
    as_is(URL, &[("Range", "bytes=10-")]);
    as_is(URL, &[("If-None-Match", &etag)]);
    as_is(URL, &[("If-Modified-Since", &date)]);
    let head = nginx.ask("HEAD", URL, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, original.len().to_string()));
    // no fallback for JSON and for methods that change something
    for (method, target) in [
        ("GET", "/photos/coffee.png?format=json"),
        ("GET", "/photos/coffee.png?width=20&fm=json"),
        ("POST", "/photos/coffee.png?width=20"),
    ] {
        assert_eq!(nginx.ask(method, target, &[("Content-Length", "0")]).status, 503, "{method} {target}");
    }
    // tintype starts again on the same socket
    let _tintype = place.tintype(&[]);
    assert!(nginx.get(URL, &[]).body == rendition.body);
}

/// Percent-encodes all but letters, digits and the dot.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'.' => ".".to_owned(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

#[test]
fn original_of_any_name_is_sent_while_tintype_is_down() {
    needs!(Nginx);
    let place = SiteFolder::new();
    let original = std::fs::read(place.root().join("photos/coffee.png")).expect("it is there");
    let names = [
        "[a].png",
        "it's.png",
        "a&b.png",
        "a;b.png",
        "a:b.png",
        "a$b.png",
        "a*b.png",
        "a#b.png",
        "a?b.png",
        "50%.png",
        "a|b.png",
        "100%25.png",
        "%2e.png",
        "a+b.png",
        "a,b.png",
        "{a}.png",
        "a\"b.png",
        "<a>.png",
        "a^b`.png",
        "~a.png",
    ];
    for name in names {
        std::fs::write(place.root().join("photos").join(name), &original).expect("a file");
    }
    std::fs::create_dir(place.root().join("[x] & 'y'")).expect("a folder");
    std::fs::write(place.root().join("[x] & 'y'/a.png"), &original).expect("a file");
    let encoded_once = names.iter().map(|name| format!("/photos/{}?width=20", encoded(name)));
    let more = [
        format!("/{}/a.png?width=20", encoded("[x] & 'y'")),
        // as clients without encoding send them
        "/photos/[a].png?width=20".into(),
        "/photos/it's.png?width=20".into(),
        "/photos/a&b.png?width=20".into(),
        "/photos/a;b.png?width=20".into(),
        "/photos/a:b.png?width=20".into(),
        "/photos/a$b.png?width=20".into(),
        "/photos/a*b.png?width=20".into(),
        "/photos/a|b.png?width=20".into(),
        "/photos/a%7cb.png?width=20".into(),
    ];
    let targets: Vec<String> = encoded_once.chain(more).collect();
    let nginx = place.nginx();
    for target in &targets {
        let answer = nginx.get(target, &[]);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
        assert!(answer.body == original, "{target}");
    }
    // paths that nginx might read otherwise than tintype, and hidden files
    for target in [
        "/photos/%2Ehidden.png?width=20",
        "/photos/.hidden.png?width=20",
        "/photos/%2e%2e/photos/coffee.png?width=20",
        "/photos%2Fcoffee.png?width=20",
        "/photos/a%5Cb.png?width=20",
        "/photos/a%00.png?width=20",
        "/photos/%252e.png/..%2fcoffee.png?width=20",
        "/photos/a%zz.png?width=20",
        "/photos/out.png?width=20",
    ] {
        let answer = nginx.get(target, &[]);
        assert!(matches!(answer.status, 400 | 503), "{target}: {}", answer.head);
        assert!(answer.body != original, "{target}");
    }
    // tintype finds the same names
    let _tintype = place.tintype(&[]);
    for target in targets.iter().filter(|target| !target.contains(['[', '|'])) {
        assert_eq!(nginx.get(target, &[]).picture().1, 20, "{target}");
    }
}

#[test]
fn original_is_sent_for_502_503_and_504_only() {
    needs!(Nginx);
    for (status, stands_in) in [(502, true), (503, true), (504, true), (500, false), (404, false), (422, false)] {
        let place = SiteFolder::new();
        let _stub = Stub::start(&place, move |_| {
            format!("HTTP/1.1 {status} X\r\nContent-Length: 4\r\nContent-Type: text/x\r\n\r\nours")
        });
        let nginx = place.nginx();
        let answer = nginx.get(URL, &[]);
        if stands_in {
            assert_eq!((answer.picture().0, answer.header("cache-control").as_str()), (Format::Png, "no-store"));
        } else {
            assert_eq!((answer.status, answer.text().as_str()), (status, "ours"));
        }
        // there is no original to fall back on
        let none = nginx.get("/photos/none.png?width=20", &[]);
        assert_eq!(none.status, if stands_in { 503 } else { status });
    }
}

#[test]
fn maintenance_flag_shows_the_page() {
    needs!(Nginx);
    let place = SiteFolder::new();
    let (_tintype, nginx) = (place.tintype(&[]), place.nginx());
    assert_eq!(nginx.get(URL, &[]).status, 200);
    std::fs::write(place.flag(), "").expect("a file");
    for (method, target) in [("GET", URL), ("HEAD", URL), ("GET", "/photos/coffee.png"), ("POST", "/-/upload")] {
        let answer = nginx.ask(method, target, &[("Content-Length", "0")]);
        assert_eq!((answer.status, answer.header("retry-after").as_str()), (503, "600"), "{method} {target}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("content-type"), "text/html");
        assert_eq!(answer.text().contains("will be back soon"), method != "HEAD");
    }
    std::fs::remove_file(place.flag()).expect("it is there");
    assert_eq!(nginx.get(URL, &[]).status, 200);
}
