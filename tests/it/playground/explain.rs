//! `/-/explain`: what it says of a URL is what a request for it then does.

use serde_json::Value;

use super::{TOKEN, ask, encoded, explain, get, playground, playground_with, with_dialects};
use crate::common::in_process::InProcess;
use crate::common::{folder, testdata};

const CHROMIUM: &str = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";

#[tokio::test]
async fn miss_and_hit_are_told_apart_without_a_render() {
    let server = playground();
    let url = "/photos/coffee.png?w=300&format=webp";
    let explained = explain(&server, url, "").await;
    assert_eq!(explained["cache"]["state"], "absent");
    assert_eq!((&explained["plan"]["width"], &explained["plan"]["height"]), (&300.into(), &200.into()));
    assert_eq!((&explained["original"]["width"], &explained["original"]["format"]), (&600.into(), &"png".into()));
    assert_eq!(explained["original"]["damaged"], Value::Null);
    assert!(explained["estimate"]["memory_bytes"].as_u64().expect("bytes") > 600 * 400);
    let renders = || server.service.stats().renders.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(renders(), 0);
    let made = get(&server, url).await;
    server.service.flush();
    for _ in 0..3 {
        let explained = explain(&server, url, "").await;
        assert_eq!((&explained["cache"]["state"], &explained["problem"]), (&"disk".into(), &Value::Null));
        assert_eq!(explained["cache"]["etag"], made.header("etag"));
        assert_eq!(explained["cache"]["bytes"], made.body.len());
        assert_eq!(explained["original"]["damaged"], false);
    }
    // a look is no use: the next request is the first that disk answers, and the one after it is answered from memory
    get(&server, url).await;
    assert_eq!(explain(&server, url, "").await["cache"]["state"], "memory");
    assert_eq!(renders(), 1);
}

/// URLs of every class, with the status of a request.
const CLASSES: &[(&str, u16)] = &[
    ("/photos/rocket.jpg", 200),
    ("/photos/rocket.jpg?w=100&format=auto", 200),
    ("/photos/rocket.jpg?w=0", 400),
    ("/photos/rocket.jpg?fit=covr&h=5", 400),
    ("/photos/rocket.jpg?w=100&format=jpeg&lossless", 400),
    ("/photos/none.jpg?w=100", 404),
    ("/photos/?w=100", 404),
    ("/../etc/passwd?w=1", 404),
    ("/hostile/text.txt?w=100", 415),
    ("/hostile/html-named.jpg?w=100", 415),
    ("/hostile/text.txt", 415),
    ("/hostile/png-header-100000.png?w=100", 422),
    ("/hostile/truncated.jpg?w=100", 200),
    ("/photos/coffee.png?rect=5000,5000,10,10", 422),
    ("/generated/svg.svg?w=100", 200),
    ("/generated/svg.svg?w=100&format=png", 200),
    ("/generated/svg.svg?format=json", 200),
    ("/generated/animated.gif?w=20&format=auto", 200),
    ("/generated/alpha.png?w=20&format=auto", 200),
    ("/generated/rgb.tif?w=20", 200),
    ("/generated/orient-6.jpg?w=20&format=original", 200),
    ("/photos/coffee.png?format=json", 200),
    ("/photos/coffee.png?expires=5", 410),
    ("/photos/coffee.png?s=wrong", 403),
    ("/photos/coffee.png?preset=small", 200),
    ("/photos/coffee.png?preset=smal", 400),
    ("/-/metrics", 404),
];

#[tokio::test]
async fn explained_answers_are_those_of_requests() {
    let server = playground_with(|config| {
        config.live.presets.insert("small".into(), "width=64&format=webp".into());
    });
    for (url, status) in CLASSES {
        for accept in ["", CHROMIUM] {
            let before = explain(&server, url, accept).await;
            let answer = ask(&server, "GET", url, &[("accept", accept)], "").await;
            if *url != "/-/metrics" {
                assert_eq!(answer.status, *status, "{url}: {}", answer.text());
            }
            server.service.flush();
            for explained in [&before, &explain(&server, url, accept).await] {
                let problem = &explained["problem"];
                assert_eq!(problem["status"].as_u64().unwrap_or(200), u64::from(*status), "{url}: {explained}");
                if *status == 200 {
                    check_format(url, explained, answer.header("content-type"));
                } else if *url != "/-/metrics" {
                    let answered = answer.json();
                    for member in ["type", "title", "detail", "invalid_params"] {
                        assert_eq!(problem[member], answered[member], "{url}");
                    }
                }
            }
        }
    }
}

/// The format that is explained is the one that is answered, unless the pixels decide.
fn check_format(url: &str, explained: &Value, content_type: &str) {
    let chosen = explained["format"]["chosen"].as_str();
    let plan = &explained["plan"];
    let is_open = plan["may_be_original"] == true || plan["tries"].as_array().is_some_and(|tries| !tries.is_empty());
    if content_type == "application/json" {
        return assert_eq!(chosen, None, "{url}");
    }
    let named = chosen.map(|name| if name == "svg" { "image/svg+xml".to_owned() } else { format!("image/{name}") });
    let is_cached = explained["cache"]["content"].is_string();
    if is_cached || !is_open {
        assert_eq!(named.as_deref(), Some(content_type), "{url}: {explained}");
    }
    assert!(!explained["format"]["why"].as_array().expect("reasons").is_empty(), "{url}");
}

#[tokio::test]
async fn reasons_are_named() {
    let server = playground();
    let why = async |url: &str, accept: &str| explain(&server, url, accept).await["format"]["why"].to_string();
    for (url, accept, reason) in [
        ("/photos/coffee.png?w=9&f=webp", "", "the URL names format=webp"),
        ("/photos/rocket.jpg?w=9", "", "the original's is kept"),
        ("/photos/rocket.jpg?w=9&f=auto", CHROMIUM, "names image/avif"),
        ("/photos/rocket.jpg?w=9&f=auto", "", "no Accept header"),
        ("/photos/rocket.jpg?w=9&f=auto", "*/*", "no modern format by name"),
        ("/generated/rgb.tif?w=9", "", "tiff is read and not written"),
        ("/generated/animated.gif?w=9&f=auto", CHROMIUM, "frames, which webp keeps"),
        ("/generated/svg.svg?w=9", "", "an SVG scales by itself"),
        ("/photos/rocket.jpg", "", "sent as it is"),
    ] {
        let reasons = why(url, accept).await;
        assert!(reasons.contains(reason), "{url}: {reasons}");
    }
}

#[tokio::test]
async fn damage_is_known_after_the_first_render() {
    let server = playground();
    let url = "/hostile/truncated.jpg?w=50";
    assert_eq!(explain(&server, url, "").await["original"]["damaged"], Value::Null);
    let answer = get(&server, url).await;
    assert!(answer.header("cache-status").contains("damaged"), "{}", answer.header("cache-status"));
    server.service.flush();
    assert_eq!(explain(&server, url, "").await["original"]["damaged"], true);
}

#[tokio::test]
async fn passthrough_has_the_validator_of_the_original() {
    let server = playground();
    let url = "/photos/rocket.jpg";
    let explained = explain(&server, url, "").await;
    assert_eq!((&explained["cache"], &explained["plan"]), (&Value::Null, &Value::Null));
    let answer = get(&server, url).await;
    let cache = &explain(&server, url, "").await["cache"];
    assert_eq!((&cache["state"], &cache["etag"]), (&"original".into(), &answer.header("etag").into()));
}

#[tokio::test]
async fn parameters_are_shown_as_asked_and_as_they_count() {
    let server = playground_with(|config| {
        config.live.presets.insert("small".into(), "width=64&format=webp".into());
        config.live.output.widths = vec![100, 200];
        config.live.output.snap = tintype::dialect::Snap::Up;
    });
    let explained = explain(&server, "/photos/coffee.png?preset=small&w=40&dpr=2&q=75&utm_source=x", "").await;
    let params = &explained["params"];
    assert_eq!((&params["asked"]["width"], &params["asked"]["preset"]), (&"40".into(), &"small".into()));
    assert_eq!(params["effective"], serde_json::json!({ "width": "100", "format": "webp" }));
    assert_eq!(params["ignored"], serde_json::json!(["utm_source"]));
    let steps: Vec<&str> =
        explained["steps"].as_array().expect("steps").iter().filter_map(|step| step["step"].as_str()).collect();
    for step in ["dialect", "preset", "ignored", "answer", "width", "original", "recipe", "size", "cache", "format"] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    assert_eq!(explained["urls"]["native"], "/photos/coffee.png?format=webp&width=100");
}

#[tokio::test]
async fn signature_is_not_repeated_and_a_wrong_one_explains_nothing() {
    let server = playground_with(|config| {
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        config.live.security.require_signature = true;
    });
    for url in ["/photos/coffee.png?w=10", "/photos/coffee.png?w=10&s=AAAA"] {
        let explained = explain(&server, url, "").await;
        assert_eq!(explained["problem"]["status"], 403, "{explained}");
        assert_eq!((&explained["original"], &explained["cache"]), (&Value::Null, &Value::Null));
        assert_eq!(explained["params"]["asked"]["s"], Value::Null);
    }
}

#[tokio::test]
async fn urls_of_other_systems_mean_the_same_picture() {
    let server = with_dialects();
    let mut written = std::collections::BTreeMap::<String, usize>::new();
    for query in [
        "w=200",
        "w=200&format=webp",
        "w=200&h=100&fit=cover&format=webp",
        "w=200&h=100&fit=fill&q=60",
        "w=200&h=150&fit=pad&format=jpeg&bg=fff",
        "h=90&format=avif",
        "w=640&format=auto&q=75",
        "w=200&h=100&fit=cover&position=0.3x0.4",
        "w=200&blur=3",
        "w=200&trim&sharpen=2&metadata=keep",
    ] {
        let native = format!("/photos/coffee.png?{query}");
        let expected = explain(&server, &native, CHROMIUM).await;
        for (dialect, url) in expected["urls"].as_object().expect("URLs") {
            let explained = explain(&server, url.as_str().expect("a URL"), CHROMIUM).await;
            assert_eq!(explained["problem"], Value::Null, "{dialect} {url}: {explained}");
            assert_eq!(explained["dialect"], dialect.as_str(), "{url}");
            assert_eq!(explained["cache"]["key"], expected["cache"]["key"], "{native} is not {url}");
            *written.entry(dialect.clone()).or_default() += 1;
        }
    }
    for (dialect, least) in [
        ("native", 10),
        ("imgproxy", 4),
        ("cloudflare", 3),
        ("ipx", 2),
        ("thumbor", 2),
        ("imgix", 3),
        ("next", 1),
        ("wsrv", 1),
    ] {
        assert!(written.get(dialect).copied().unwrap_or(0) >= least, "{dialect}: {written:?}");
    }
    // a foreign URL is explained in native terms, too
    let explained = explain(&server, "/imgproxy/unsafe/rs:fit:200:0/plain/local:///photos/coffee.png@webp", "").await;
    assert_eq!(explained["dialect"], "imgproxy");
    assert_eq!(explained["params"]["effective"]["width"], "200", "{explained}");
    let refused = explain(&server, "/imgproxy/unsafe/nonsense:1/plain/local:///photos/coffee.png", "").await;
    assert_eq!(refused["problem"]["status"], 400, "{refused}");
}

#[tokio::test]
async fn limits_are_problems() {
    let server = playground_with(|config| config.live.limits.max_pixels = 1000);
    let explained = explain(&server, "/photos/coffee.png?w=10", "").await;
    assert_eq!((&explained["problem"]["status"], &explained["original"]["width"]), (&422.into(), &600.into()));
    let long = format!("/photos/coffee.png?w=10&v={}", "x".repeat(9000));
    // the URL of the explanation itself is not longer than any other
    let answer = get(&server, &format!("/-/playground/explain?url={}", encoded(&long))).await;
    assert_eq!(answer.json()["problem"]["status"], 414);
}

#[tokio::test]
async fn admin_path_needs_the_token() {
    let url = format!("/-/explain?url={}", encoded("/photos/coffee.png?w=10"));
    let without = InProcess::new(&testdata(), |_| {});
    assert_eq!(get(&without, &url).await.status, 404);
    assert_eq!(get(&without, "/-/playground/explain?url=%2Fa").await.status, 404);
    let server = InProcess::new(&testdata(), |config| config.live.security.admin_token = TOKEN.into());
    let refused = get(&server, &url).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    let bearer = format!("Bearer {TOKEN}");
    let answer = ask(&server, "GET", &url, &[("authorization", &bearer)], "").await;
    assert_eq!((answer.status, &answer.json()["plan"]["width"]), (200, &10.into()));
    assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), ("no-store", "nosniff"));
    for wrong in ["/-/explain", "/-/explain?url=", "/-/explain?url=x", "/-/explain?url=%ff", "/-/explain?url=/a&url=/b"]
    {
        let refused = ask(&server, "GET", wrong, &[("authorization", &bearer)], "").await;
        assert_eq!((refused.status, &refused.json()["invalid_params"][0]["name"]), (400, &"url".into()), "{wrong}");
    }
    assert_eq!(ask(&server, "POST", &url, &[("authorization", &bearer)], "").await.status, 405);
}

#[tokio::test]
async fn name_with_markup_is_json_text() {
    let originals = folder();
    let hostile = "<img src=x onerror=alert(1)>.png";
    std::fs::copy(testdata().join("generated/grey.png"), originals.path().join(hostile)).expect("copied");
    let server = InProcess::new(originals.path(), |config| config.fixed.server.playground = true);
    let url = format!("/{}?w=5", encoded(hostile));
    let target = format!("/-/playground/explain?url={}", encoded(&url));
    let answer = get(&server, &target).await;
    assert_eq!((answer.header("content-type"), &answer.json()["path"]), ("application/json", &hostile.into()));
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let with_origin = format!("https://img.example{url}#fragment");
    assert_eq!(explain(&server, &with_origin, "").await["path"], hostile);
}
