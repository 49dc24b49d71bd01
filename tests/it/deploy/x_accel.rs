//! Hits that nginx sends from the cache folder.

use super::*;

/// The sorted headers of an answer without those that differ between equal answers.
fn headers(answer: &Answer) -> Vec<(String, String)> {
    let passing = ["date", "server", "connection", "x-request-id"];
    let lines = answer.head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
    let mut all: Vec<(String, String)> =
        lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    all.retain(|(name, _)| !passing.contains(&name.as_str()));
    all.sort();
    all
}

#[test]
fn x_accel_hit_equals_the_direct_answer() {
    needs!(Nginx);
    let place = SiteFolder::new();
    let settings =
        [("TINTYPE_SERVER_X_ACCEL", STORE), ("TINTYPE_OUTPUT_WIDTHS", "100,200"), ("TINTYPE_OUTPUT_SNAP", "up")];
    let (tintype, nginx) = (place.tintype(&settings), place.nginx());
    let targets = [
        URL,
        "/photos/coffee.png?width=150&format=auto",
        "/photos/coffee.png?width=100&download=a%20%C3%A9.png",
        "/photos/coffee.png?width=100&v=7",
    ];
    for (nth, target) in targets.iter().enumerate() {
        assert!(!nginx.get(target, &[]).body.is_empty());
        // the last two targets share one rendition
        tintype.wait_for("tintype_cache_stored_total", (nth + 1).min(3) as f64);
    }
    for target in targets {
        let direct = |method: &str, more: &[(&str, &str)]| {
            let more: Vec<(&str, &str)> = more.iter().copied().chain([("X-Tintype-Direct", "1")]).collect();
            tintype.connect().ask(method, target, &more)
        };
        let whole = direct("GET", &[]);
        let left = tintype.get(target, &[]);
        assert!(left.header("x-accel-redirect").starts_with(STORE) && left.body.is_empty(), "{}", left.head);

        let (etag, date) = (whole.header("etag"), whole.header("last-modified"));
        let (length, one_more) = (whole.body.len(), format!("bytes={}-", whole.body.len()));
        assert!(length > 300);
        let cases: [&[(&str, &str)]; 18] = [
            &[],
            &[("If-None-Match", &etag)],
            &[("If-None-Match", "\"other\"")],
            &[("If-Modified-Since", &date)],
            &[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")],
            &[("Range", "bytes=0-0")],
            &[("Range", "bytes=100-299")],
            &[("Range", "bytes=100-")],
            &[("Range", "bytes=-100")],
            &[("Range", "bytes=-9999999")],
            &[("Range", "bytes=0-9999999")],
            &[("Range", "bytes=0-99999999999999999999")],
            &[("Range", &one_more)],
            &[("Range", "bytes=0-1,5-9")],
            &[("Range", "bytes=9-1")],
            &[("Range", "bytes=100-299"), ("If-Range", &etag)],
            &[("Range", "bytes=100-299"), ("If-Range", "\"other\"")],
            &[("Range", "bytes=100-299"), ("If-Range", &date)],
        ];
        for case in cases {
            for method in ["GET", "HEAD"] {
                let (ours, its) = (direct(method, case), nginx.ask(method, target, case));
                let what = format!("{method} {target} {case:?}");
                assert_eq!(its.status, ours.status, "{what}");
                if ours.status == 416 {
                    // the problem's body names the request
                    assert_eq!(its.header("content-range"), ours.header("content-range"));
                    continue;
                }
                let mut expected = headers(&ours);
                if its.status == 206 {
                    // nginx sends Accept-Ranges with whole bodies only
                    expected.retain(|(name, _)| name != "accept-ranges");
                }
                let mut got = headers(&its);
                got.retain(|(name, _)| its.status != 206 || name != "accept-ranges");
                assert_eq!(got, expected, "{what}");
                assert!(its.body == ours.body, "{what}");
            }
        }
        assert!(nginx.get(target, &[]).header("x-request-id").len() == 32);
    }
    // the internal location is closed to clients
    let left = tintype.get(URL, &[]).header("x-accel-redirect");
    nginx.get(&left, &[]).assert_problem(404);
    // a purged rendition is rendered again
    let made = nginx.get(URL, &[]);
    std::fs::remove_dir_all(place.cache().join("v2")).expect("it is there");
    assert!(nginx.get(URL, &[]).body == made.body);
}

#[test]
fn x_accel_file_evicted_meanwhile_is_requested_again() {
    needs!(Nginx);
    let place = SiteFolder::new();
    std::fs::create_dir_all(place.cache()).expect("a folder");
    // as tintype answers when the file is evicted right after the lookup
    let _stub = Stub::start(&place, |head| {
        if head.contains("X-Tintype-Direct: 1\r\n") {
            return format!("HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        }
        let gone = format!("X-Accel-Redirect: {STORE}/v2/00/gone.webp\r\nETag: \"gone\"\r\nVary: Gone\r\n");
        format!("HTTP/1.1 200 OK\r\n{gone}Content-Length: 0\r\n\r\n")
    });
    let nginx = place.nginx();
    for path in ["/photos/a%2F%20b.png?w=1&x=%C3%A9", "//a/../b.png?w=2", URL] {
        let answer = nginx.get(path, &[("Accept", CHROMIUM)]);
        assert_eq!((answer.status, answer.header("etag").as_str()), (200, "\"x\""), "{path}");
        assert!(answer.try_header("vary").is_none(), "{}", answer.head);
        assert!(answer.text().starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{}", answer.text());
        assert_eq!(sent(&answer, "Accept").as_deref(), Some("image/avif,image/webp,*/*"));
    }
}

/// With X-Accel-Redirect the body is nginx's, and the headers are tintype's.
#[test]
fn x_accel_hits_grant_listed_origins_only() {
    needs!(Nginx);
    let place = SiteFolder::new();
    let allowed = ("TINTYPE_SERVER_ALLOW_ORIGIN", "https://a.example, https://b.example");
    let tintype = place.tintype(&[("TINTYPE_SERVER_X_ACCEL", STORE), allowed]);
    let nginx = place.nginx_with(|site| {
        // as the comment in the site's file says
        let list = "default \"\"; \"https://a.example\" $http_origin; \"https://b.example\" $http_origin;";
        with(
            site.to_owned(),
            &[
                (
                    "map $http_origin $tintype_allow_origin {\n    default \"*\";",
                    &format!("map $http_origin $tintype_allow_origin {{\n    {list}"),
                ),
                (
                    "map $http_origin $tintype_vary_origin {\n    default \"\";",
                    "map $http_origin $tintype_vary_origin {\n    default Origin;",
                ),
            ],
        )
    });
    assert_eq!(nginx.get(URL, &[]).status, 200);
    tintype.wait_for("tintype_cache_stored_total", 1.0);
    for (origin, granted) in
        [(None, None), (Some("https://a.example"), Some("https://a.example")), (Some("https://c.example"), None)]
    {
        let headers: Vec<_> = origin.map(|origin| ("Origin", origin)).into_iter().collect();
        for target in [URL, "/photos/coffee.png", "/photos/coffee.png?width=0", "/-/metrics"] {
            let answer = nginx.get(target, &headers);
            for name in ["access-control-allow-origin", "timing-allow-origin"] {
                assert_eq!(answer.try_header(name).as_deref(), granted, "{target} {name}\n{}", answer.head);
            }
            assert_eq!(answer.header("vary"), "Origin", "{target}\n{}", answer.head);
        }
    }
}
