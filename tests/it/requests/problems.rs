//! Failures: their status, their problem document, and how they are counted.

use super::*;

#[tokio::test]
async fn failures_have_their_status_and_problem() {
    let server = Server::of_testdata();
    let check = async |uri: &str, status: u16, sentence: &str| {
        let answer = server.get(uri).await;
        assert_eq!(answer.status.as_u16(), status, "{uri}: {}", String::from_utf8_lossy(&answer.body));
        assert_eq!(answer.header("content-type"), "application/problem+json", "{uri}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{uri}");
        let detail = problem["detail"].as_str().expect("a text");
        assert!(detail.contains(sentence), "{uri}: {detail}");
        assert!(!detail.contains("/testdata"), "{uri}: {detail}");
        answer
    };
    let wrong = check("/photos/rocket.jpg?width=0&fromat=x&format=wepb", 400, "an integer from 1").await;
    assert_eq!(wrong.json()["invalid_params"][1]["did_you_mean"], "webp");
    assert_eq!(wrong.header("cache-control"), "max-age=60");
    let absent = check("/photos/nothing.jpg?width=10", 404, "no such original").await;
    assert_eq!(absent.header("cache-control"), "max-age=30");
    check("/photos", 404, "no such original").await;
    check("/photos/?width=10", 404, "names no original").await;
    check("/", 404, "names no original").await;
    check("/photos/../Cargo.toml", 404, "names no original").await;
    check("/photos/%2e%2e/x.png", 404, "names no original").await;
    check("/photos//rocket.jpg?width=3", 404, "names no original").await;
    check("/hostile/text.txt", 415, "not an image").await;
    check("/hostile/text.txt?width=10", 415, "not an image").await;
    check("/hostile/png-header-100000.png?width=10", 422, "limit").await;
    check("/-/nothing", 404, "nothing").await;
    let long = format!("/photos/rocket.jpg?v={}", "x".repeat(9000));
    check(&long, 414, "8192").await;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let answer = server.ask(method, "/photos/rocket.jpg", &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD"));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn original_above_max_bytes_is_refused() {
    let server = Server::new(&testdata(), |config| config.fixed.source.max_bytes = tintype::config::Bytes(1000));
    assert_eq!(server.get("/photos/rocket.jpg").await.status.as_u16(), 413);
    assert_eq!(server.get("/photos/rocket.jpg?w=10").await.status.as_u16(), 413);
}

#[tokio::test]
async fn pixel_limit_is_checked_before_decoding() {
    let server = Server::new(&testdata(), |config| config.live.limits.max_pixels = 10_000);
    let answer = server.get("/photos/rocket.jpg?w=10").await;
    assert_eq!(answer.status.as_u16(), 422);
    assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.contains("10000 are allowed")));
}

#[tokio::test]
async fn problem_lists_eight_parameters_and_counts_the_rest() {
    let server = Server::new(&testdata(), |config| {
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        config.live.security.require_signature = true;
        config.live.output.unknown_params = tintype::config::live::UnknownParams::Reject;
    });
    let began = std::time::Instant::now();
    for (query, listed, omitted) in [
        ("w=0".to_owned(), 1, 0),
        ("w=0&h=0&q=0&dpr=0&ar=0&rect=0&blur=0&trim=x".to_owned(), 8, 0),
        ("w=0&h=0&q=0&dpr=0&ar=0&rect=0&blur=0&trim=x&flip=x".to_owned(), 8, 1),
        ("w&".repeat(4000), 8, 3992),
        ("zz&".repeat(2700), 8, 2692),
        (format!("w={}", "%01".repeat(2700)), 1, 0),
        (format!("{}=1", "a".repeat(8000)), 1, 0),
        (format!("bg={}", "a".repeat(8000)), 1, 0),
    ] {
        let shown = &query[..query.len().min(60)];
        let answer = server.get(&format!("/photos/rocket.jpg?{query}")).await;
        // unknown parameters are checked after the signature, which is missing
        let status = if query.starts_with(['a', 'z']) { 403 } else { 400 };
        assert_eq!(answer.status.as_u16(), status, "{shown}");
        assert!(answer.body.len() <= 8 * 1024, "{shown}: {}", answer.body.len());
        if status == 400 {
            let problem = answer.json();
            assert_eq!(problem["invalid_params"].as_array().map(Vec::len), Some(listed), "{shown}");
            assert_eq!(problem["invalid_params_omitted"].as_u64().unwrap_or(0), omitted, "{shown}");
        }
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn html_entity_in_a_query_is_named_or_counted() {
    let lenient = Server::of_testdata();
    let metric = async |server: &Server, name: &str| {
        let metrics = server.get("/-/metrics").await;
        let text = String::from_utf8(metrics.body).expect("UTF-8");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse::<u64>().expect("a number")
    };
    let entity = "tintype_unknown_params_total{kind=\"html_entity\"}";
    let other = "tintype_unknown_params_total{kind=\"other\"}";
    let url = "/photos/coffee.png?width=100&amp;height=50";
    // also where the parsed URL is cached
    for count in 1..=3 {
        assert_eq!(lenient.get(url).await.size(), (100, 67));
        assert_eq!((metric(&lenient, entity).await, metric(&lenient, other).await), (count, 0));
    }
    lenient.get("/photos/coffee.png?width=100&utm_source=x").await;
    assert_eq!((metric(&lenient, entity).await, metric(&lenient, other).await), (3, 1));
    let strict = Server::new(&testdata(), |config| {
        config.live.output.unknown_params = tintype::config::live::UnknownParams::Reject
    });
    let refused = strict.get(url).await;
    let wrong = &refused.json()["invalid_params"][0];
    assert_eq!((&wrong["name"], &wrong["did_you_mean"]), (&"amp;height".into(), &"height".into()));
    assert_eq!((refused.status.as_u16(), metric(&strict, entity).await), (400, 0));
}

/// A body that never arrives.
struct Never;

impl hyper::body::Body for Never {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>, _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

/// Every kind of failure is produced, but for a few that are tested elsewhere.
#[tokio::test]
async fn failures_are_counted_by_kind_wherever_they_happen() {
    const ELSEWHERE: [&str; 9] = [
        // a bug in the program
        "internal-error",
        // over a socket only: tests/it/wire.rs
        "invalid-request",
        // faults of the machine, as those of originals below: tests/it/faults/
        "no-space-left",
        // sources whose originals cannot be listed: tests/it/playground/
        "not-supported",
        "original-is-changing",
        "original-unavailable",
        // several servers: tests/it/cluster.rs
        "purge-incomplete",
        // faults of codecs in worker processes: tests/it/isolation/
        "render-crashed",
        // over a socket as well
        "request-head-too-large",
    ];
    let root = folder();
    let put = |from: &str, to: &str| {
        std::fs::copy(testdata().join(from), root.path().join(to)).expect("a copy");
    };
    put("photos/coffee.png", "coffee.png");
    put("photos/large-12mp.jpg", "large.jpg");
    put("hostile/png-header-100000.png", "huge.png");
    put("hostile/text.txt", "text.txt");
    let original = std::fs::read(testdata().join("photos/coffee.png")).expect("a picture");
    std::fs::write(root.path().join("damaged.png"), &original[..40]).expect("written");
    std::fs::write(root.path().join("photo.heic"), b"\0\0\0\x18ftypheic\0\0\0\0heicmif1").expect("written");
    std::fs::File::create(root.path().join("sparse.jpg")).and_then(|file| file.set_len(1 << 30)).expect("a file");
    let open = |config: &mut Config| {
        config.live.security.admin_token = "let me in".into();
        config.fixed.security.upload = true;
        config.fixed.security.log_beacons = true;
    };
    let server = Server::new(root.path(), |config| {
        open(config);
        config.fixed.limits.upload_timeout = tintype::config::Span(std::time::Duration::from_millis(50));
        (config.fixed.limits.rate, config.fixed.limits.burst) = (1, 30);
    });
    let signed = Server::new(root.path(), |config| {
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        config.live.security.require_signature = true;
    });
    let hurried = Server::new(root.path(), |config| {
        config.fixed.limits.deadline = tintype::config::Span(std::time::Duration::from_millis(1));
    });
    let full = Server::new(&testdata(), |config| (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 0));
    let bearer = ("authorization", "Bearer let me in");
    let png = || Body::from(original.clone());
    let text = ("content-type", "text/plain");
    let far = server.for_client("192.0.2.9");

    let get = async |server: &Server, url: &str| drop(server.get(url).await);
    get(&server, "/damaged.png?w=10").await;
    get(&server, "/huge.png?w=10").await;
    get(&server, "/coffee.png?w=0").await;
    get(&server, "/coffee.png?expires=1").await;
    get(&server, "/text.txt").await;
    get(&server, "/none.png").await;
    get(&server, "/sparse.jpg").await;
    get(&server, "/photo.heic?w=10").await;
    get(&server, &format!("/coffee.png?v={}", "x".repeat(9000))).await;
    get(&server, "/coffee.png?rect=9999,9999,10,10").await;
    server.ask(Method::GET, "/coffee.png", &[("range", "bytes=9999999-")]).await;
    server.ask(Method::GET, "/coffee.png", &[("if-match", "\"x\"")]).await;
    server.ask(Method::POST, "/coffee.png", &[]).await;
    send(&far, Method::POST, "/-/log", &[text], Body::from("x".repeat(9000))).await;
    send(&far, Method::POST, "/-/log", &[("content-type", "application/json")], Body::from("{")).await;
    send(&far, Method::POST, "/-/log", &[("content-type", "image/png")], Body::from("{")).await;
    for _ in 0..60 {
        send(&far, Method::POST, "/-/log", &[text], Body::from("a")).await;
    }
    send(&far, Method::PUT, "/-/upload/new.png", &[], png()).await;
    send(&far, Method::PUT, "/-/upload/coffee.png", &[bearer], png()).await;
    send(&far, Method::PUT, "/-/upload/slow.png", &[bearer], Body::new(Never)).await;
    for width in 100..140 {
        send(&far, Method::GET, &format!("/coffee.png?w={width}&f=jpeg"), &[], Body::empty()).await;
    }
    get(&signed, "/coffee.png?w=10").await;
    get(&hurried, "/large.jpg?w=1000&f=avif").await;
    let busy = occupy(&full).await;
    get(&full, "/photos/chelsea.png?width=91&format=webp").await;
    busy.await.expect("it was rendered");

    let mut seen = std::collections::BTreeMap::new();
    for server in [&server, &signed, &hurried, &full] {
        let metrics = String::from_utf8(server.get("/-/metrics").await.body).expect("UTF-8");
        for line in metrics.lines().filter_map(|line| line.strip_prefix("tintype_failures_total{kind=\"")) {
            let (kind, count) = line.split_once("\"} ").expect("a count");
            *seen.entry(kind.to_owned()).or_insert(0) += count.parse::<u64>().expect("a number");
        }
    }
    let never: Vec<&str> = seen.iter().filter(|(_, count)| **count == 0).map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(never, ELSEWHERE, "{seen:?}");
}

#[tokio::test]
async fn refusals_of_negotiable_urls_vary() {
    let server = Server::of_testdata();
    for query in ["format=auto&w=0", "w=0&auto=format,compress", "fm=AUTO&expires=1"] {
        assert_eq!(server.get(&format!("/photos/rocket.jpg?{query}")).await.header("vary"), "Accept", "{query}");
    }
    assert_eq!(server.get("/photos/rocket.jpg?w=0&f=webp").await.header("vary"), "");
    let post = server.ask(Method::POST, "/photos/rocket.jpg?format=auto", &[]).await;
    assert_eq!((post.status.as_u16(), post.header("vary")), (405, "Accept"));
    let long = server.get(&format!("/photos/rocket.jpg?format=auto&x={}", "x".repeat(9000))).await;
    assert_eq!((long.status.as_u16(), long.header("vary")), (414, "Accept"));
    let signed = Server::new(&testdata(), |config| {
        config.live.security.keys = vec!["a key of sixteen bytes".into()];
        config.live.security.require_signature = true;
        config.live.presets.insert("open".into(), "format=auto&width=100".into());
        config.live.presets.insert("closed".into(), "format=webp&width=100".into());
    });
    for (query, vary) in [("preset=open", "Accept"), ("preset=open&s=x", "Accept"), ("preset=closed", "")] {
        let answer = signed.get(&format!("/photos/rocket.jpg?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.header("vary")), (403, vary), "{query}");
    }
}
