//! Rate limits, a full queue, abandoned requests, and the memory limit.

use super::*;

#[tokio::test]
async fn renders_are_rate_limited_by_client_and_hits_are_not() {
    // so low that the test is shorter than the refill of one token
    let server = Server::new(&testdata(), |config| {
        (config.fixed.limits.rate, config.fixed.limits.burst) = (1, 2);
        config.fixed.server.real_ip_from = vec!["127.0.0.0/8".into()];
        config.live.output.smallest_wins = false;
    });
    let ask = async |from: &str, forwarded: &str, width: u32| {
        let uri = format!("/generated/grey.png?w={width}");
        send(&server.for_client(from), Method::GET, &uri, &[("x-forwarded-for", forwarded)], Body::empty()).await
    };
    let (mut refused, mut width) = (None, 10);
    // on a slow machine the bucket is refilled meanwhile, and takes longer to empty
    while refused.is_none() && width < 1000 {
        width += 1;
        let (status, wait) = ask("192.0.2.1", "203.0.113.1", width).await;
        assert!(matches!(status, 200 | 429), "{status}");
        refused = (status == 429).then_some(wait);
    }
    assert_eq!(refused, Some(Some("1".into())));
    assert!(width >= 13, "two at once are allowed");
    for _ in 0..50 {
        assert_eq!(ask("192.0.2.1", "", 11).await.0, 200, "hits are free");
    }
    // each client has its own bucket, also behind a trusted proxy
    assert_eq!(ask("192.0.2.2", "", 1001).await.0, 200);
    assert_eq!(ask("127.0.0.1", "203.0.113.1", 1002).await.0, 200);
    assert_eq!(ask("127.0.0.1", "203.0.113.2", 1003).await.0, 200);
}

#[tokio::test]
async fn waiter_is_not_limited_for_the_leader() {
    let server = Server::new(&testdata(), |config| (config.fixed.limits.rate, config.fixed.limits.burst) = (1, 1));
    let ask =
        async |from: &str, uri: &str| send(&server.for_client(from), Method::GET, uri, &[], Body::empty()).await.0;
    for round in 0..20 {
        let (limited, other) = (format!("192.0.2.{round}"), format!("198.51.100.{round}"));
        ask(&limited, &format!("/generated/grey.png?w={}", 100 + round)).await;
        let uri = format!("/generated/grey.png?w={}", 200 + round);
        // the limited client leads the flight, and the other one joins it
        let (_, answered) = tokio::join!(ask(&limited, &uri), ask(&other, &uri));
        assert_eq!(answered, 200, "round {round}");
    }
}

#[tokio::test]
async fn full_queue_is_refused_at_once() {
    let server = Server::new(&testdata(), |config| (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 0));
    assert_eq!(server.get("/photos/chelsea.png?width=90&format=webp").await.status, 200);
    let busy = occupy(&server).await;
    let refused = server.get("/photos/chelsea.png?width=91&format=webp").await;
    assert_eq!((refused.status.as_u16(), refused.header("cache-control")), (503, "no-store"));
    assert!((1..=30).contains(&refused.header("retry-after").parse::<u64>().expect("seconds")));
    assert!(refused.json()["type"].as_str().expect("a type").ends_with("overloaded"), "{:?}", refused.json());
    // hits and originals need no worker
    assert_eq!(server.get("/photos/chelsea.png?width=90&format=webp").await.header("cache-status"), "tintype; hit");
    assert_eq!(server.get("/photos/chelsea.png").await.status, 200);
    busy.await.expect("it was rendered");
    assert_eq!(server.get("/photos/chelsea.png?width=91&format=webp").await.status, 200);
}

#[tokio::test]
async fn overload_fallback_sends_the_original() {
    let without_room = |config: &mut Config| {
        (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 0);
        config.fixed.limits.overload = tintype::config::fixed::Overload::Original;
        config.live.output.widths = vec![50, 100];
    };
    let server = Server::new(&testdata(), without_room);
    let original = server.get("/photos/chelsea.png").await;
    let busy = occupy(&server).await;
    for uri in [
        "/photos/chelsea.png?width=90&format=webp",
        "/photos/chelsea.png?width=50&format=auto",
        "/photos/chelsea.png?v=1&width=60&format=avif",
    ] {
        let fallback = server.get(uri).await;
        assert_eq!((fallback.status, fallback.header("content-type")), (StatusCode::OK, "image/png"), "{uri}");
        assert!(fallback.body == original.body);
        assert_eq!(fallback.header("cache-control"), "public, max-age=10, no-transform");
        assert_eq!(fallback.header("cache-status"), "tintype; fwd=bypass; detail=overloaded");
        assert_eq!(fallback.headers.contains_key("vary"), uri.contains("auto"));
        for absent in ["last-modified", "content-location"] {
            assert!(!fallback.headers.contains_key(absent), "{absent}");
        }
        let again = server.ask(Method::GET, uri, &[("if-none-match", fallback.header("etag"))]).await;
        assert_eq!((again.status.as_u16(), again.header("cache-control")), (304, fallback.header("cache-control")));
    }
    // too large, not an image, and absent
    assert_eq!(server.get("/photos/large-12mp.jpg?width=80&format=webp").await.status, 503);
    assert_eq!(server.get("/photos/chelsea.png?format=json").await.status, 503);
    assert_eq!(server.get("/photos/none.png?width=80").await.status, 404);
    busy.await.expect("it was rendered");
    let rendered = server.get("/photos/chelsea.png?width=90&format=webp").await;
    assert_eq!((rendered.format(), rendered.size().0), (Some(Format::WebP), 90));

    // a signature for a small rendition does not allow the original
    let mut policy = None;
    let signed = Server::new(&testdata(), |config| {
        without_room(config);
        (config.live.security.keys, config.live.security.require_signature) = (vec!["0123456789abcdef".into()], true);
        policy = Some(config.live.policy().expect("good presets"));
    });
    let sign = |path: &str, query: &str| {
        let policy = policy.as_ref().expect("a policy");
        policy.sign(path, query).expect("a good query").expect("a key")
    };
    let long = sign("/photos/large-12mp.jpg", "width=2400&format=avif");
    let short = sign("/photos/chelsea.png", "width=90");
    let app = signed.app.clone();
    let busy = tokio::spawn(async move { send(&app, Method::GET, &long, &[], Body::empty()).await.0 });
    while signed.service.workers().longest().is_none() && !busy.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(signed.get(&short).await.status, 503);
    assert_eq!(busy.await.expect("no panic"), 200);
}

#[tokio::test]
async fn abandoned_request_starts_no_render() {
    let server = Server::new(&testdata(), |config| (config.fixed.limits.workers, config.fixed.limits.queue) = (1, 8));
    let busy = occupy(&server).await;
    let ask = |width: u32| {
        let app = server.app.clone();
        let uri = format!("/photos/chelsea.png?width={width}&format=webp");
        tokio::spawn(async move { send(&app, Method::GET, &uri, &[], Body::empty()).await.0 })
    };
    let (leaving, staying): (Vec<_>, Vec<_>) =
        ((0..4).map(|n| ask(60 + n)).collect(), (0..4).map(|n| ask(70 + n)).collect());
    // two requests for one rendition, and one of the two stays
    let second = ask(60);
    while server.service.workers().waiting() < 8 {
        tokio::task::yield_now().await;
    }
    leaving.iter().for_each(tokio::task::JoinHandle::abort);
    while server.service.workers().waiting() > 5 {
        tokio::task::yield_now().await;
    }
    busy.await.expect("it was rendered");
    for one in staying.into_iter().chain([second]) {
        assert_eq!(one.await.expect("no panic"), 200);
    }
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
    let stats = server.service.stats();
    assert_eq!((count(&stats.renders), count(&stats.cancelled)), (6, 3));
    assert_eq!((server.service.workers().waiting(), server.service.workers().memory()), (0, 0));
}

#[tokio::test]
async fn concurrent_renders_stay_within_the_memory_limit() {
    // enough for one 12 MP photograph at full size, not for two
    let server = Server::new(&testdata(), |config| {
        (config.fixed.limits.workers, config.fixed.limits.queue) = (4, 64);
        config.fixed.limits.memory = tintype::config::Bytes(128 << 20);
        // debug builds take longer than the default
        config.fixed.limits.deadline = tintype::config::Span(std::time::Duration::from_secs(300));
    });
    let requests: Vec<_> = (0..8)
        .map(|n| {
            let app = server.app.clone();
            let uri = format!("/photos/large-12mp.jpg?width={}&format=jpeg", 3000 + n);
            tokio::spawn(async move { send(&app, Method::GET, &uri, &[], Body::empty()).await.0 })
        })
        .collect();
    let mut peak = 0;
    while !requests.iter().all(tokio::task::JoinHandle::is_finished) {
        peak = peak.max(server.service.workers().memory());
        tokio::task::yield_now().await;
    }
    for request in requests {
        assert_eq!(request.await.expect("no panic"), 200);
    }
    assert!((1 << 20..=128 << 20).contains(&peak), "{peak}");
    assert_eq!(server.service.workers().memory(), 0);
}
