//! Requests below `/-/`: health, metrics, purge, beacons.

use super::*;

#[tokio::test]
async fn health_metrics_and_request_ids_are_answered() {
    let server = Server::of_testdata();
    assert_eq!(server.get("/-/live").await.status.as_u16(), 200);
    let ready = server.get("/-/ready").await;
    assert_eq!((ready.status.as_u16(), ready.json()["status"].as_str()), (200, Some("ready")));
    assert_eq!(ready.json()["cache"], "open");
    server.get("/photos/coffee.png?w=10").await;
    let metrics = server.get("/-/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("tintype_renders_total 1\n"));
    assert_eq!(server.ask(Method::POST, "/-/live", &[]).await.status.as_u16(), 405);

    let echoed = server.ask(Method::GET, "/photos/none.png", &[("x-request-id", "abc.DEF-1_2")]).await;
    assert_eq!(echoed.header("x-request-id"), "abc.DEF-1_2");
    assert_eq!(echoed.json()["instance"], "urn:request:abc.DEF-1_2");
    let made = server.ask(Method::GET, "/photos/none.png", &[("x-request-id", "not plain!")]).await;
    assert!(!made.header("x-request-id").is_empty() && made.header("x-request-id") != "not plain!");
}

#[tokio::test]
async fn purge_needs_the_token_and_a_path() {
    let off = Server::of_testdata();
    assert_eq!(off.ask(Method::POST, "/-/purge?path=photos/coffee.png", &[]).await.status.as_u16(), 404);
    let server = Server::new(&testdata(), |config| config.live.security.admin_token = "let me in".into());
    server.get("/photos/coffee.png?w=10").await;
    server.get("/photos/coffee.png?w=20").await;
    server.get("/photos/rocket.jpg?w=20").await;
    let purge = async |path: &str, token: &str| {
        let headers = [("authorization", token)];
        server.ask(Method::POST, &format!("/-/purge?path={path}"), &headers).await
    };
    let refused = purge("photos/coffee.png", "Bearer wrong").await;
    assert_eq!((refused.status.as_u16(), refused.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(purge("photos/../x", "Bearer let me in").await.status.as_u16(), 400);
    assert_eq!(purge("/photos/coffee.png", "Bearer let me in").await.json()["purged"], 2);
    assert_eq!(server.get("/photos/coffee.png?w=10").await.header("cache-status"), "tintype; fwd=uri-miss; stored");
    assert_eq!(server.get("/photos/rocket.jpg?w=20").await.header("cache-status"), "tintype; hit");
    // folders: a path matches whole segments
    server.get("/generated/grey.png?w=20").await;
    for (path, purged) in [("phot/", 0), ("photos/", 2), ("/photos/", 0), ("/", 1)] {
        assert_eq!(purge(path, "Bearer let me in").await.json()["purged"], purged, "{path}");
    }
    for path in ["", "//", "///", "//photos/", "photos//", "..%2F", "photos/../"] {
        // an empty variable of a script must not purge everything
        assert_eq!(purge(path, "Bearer let me in").await.status.as_u16(), 400, "{path}");
    }
    for (path, value) in [("photos/%ff.png", "photos/%ff.png"), ("a%2F..", "a/.."), ("a.png&path=b.png", "b.png")] {
        let refused = purge(path, "Bearer let me in").await;
        assert_eq!((refused.status.as_u16(), refused.header("content-type")), (400, "application/problem+json"));
        let wrong = &refused.json()["invalid_params"][0];
        assert_eq!((&wrong["name"], &wrong["value"]), (&"path".into(), &value.into()), "{path}");
    }
    // as another server passes it on
    server.get("/generated/grey.png?w=20").await;
    assert_eq!(purge("/&local=1", "Bearer wrong").await.status.as_u16(), 401);
    assert_eq!(purge("/&local=0", "Bearer let me in").await.json()["invalid_params"][0]["name"], "local");
    assert_eq!(purge("/&local=1", "Bearer let me in").await.json(), serde_json::json!({ "purged": 1 }));
    for (token, status) in [("bearer let me in", 200), ("Basic let me in", 401), ("Bearerlet me in", 401), ("", 401)] {
        assert_eq!(purge("/", token).await.status.as_u16(), status, "{token}");
    }
}

#[tokio::test]
async fn purged_path_keeps_its_plus() {
    let root = folder();
    for name in ["a+b.png", "a b.png"] {
        std::fs::copy(testdata().join("generated/grey.png"), root.path().join(name)).expect("a copy");
    }
    let server = Server::new(root.path(), |config| config.live.security.admin_token = "let me in".into());
    let hit = async |name: &str| server.get(&format!("/{name}?w=20")).await.header("cache-status") == "tintype; hit";
    for (path, plus, blank) in [("a+b.png", 1, 0), ("a%2Bb.png", 1, 0), ("a%20b.png", 0, 1)] {
        hit("a+b.png").await;
        hit("a%20b.png").await;
        let headers = [("authorization", "Bearer let me in")];
        let purged =
            server.ask(Method::POST, &format!("/-/purge?path={path}"), &headers).await.json()["purged"].clone();
        assert_eq!(purged, 1, "{path}");
        assert_eq!((hit("a+b.png").await, hit("a%20b.png").await), (plus == 0, blank == 0), "{path}");
    }
}

#[tokio::test]
async fn beacons_are_limited_in_size_and_rate() {
    let off = Server::of_testdata();
    let text = [("content-type", "text/plain;charset=UTF-8")];
    assert_eq!(send(&off.app, Method::POST, "/-/log", &text, Body::from("a")).await.0, 404);
    let server = Server::new(&testdata(), |config| config.fixed.security.log_beacons = true);
    for (number, (kind, body, status)) in [
        ("text/plain;charset=UTF-8", b"LCP 1200\n{}".to_vec(), 204),
        ("application/json", b"{\"lcp\": 1200}".to_vec(), 204),
        ("application/json", b"[1200]".to_vec(), 400),
        ("application/json", b"{".to_vec(), 400),
        ("text/plain", b"\xff\xfe".to_vec(), 400),
        ("image/png", b"a".to_vec(), 415),
        ("text/plain", vec![b'a'; 8192], 204),
        ("text/plain", vec![b'a'; 8193], 413),
        ("text/plain", vec![b'a'; 10_000_000], 413),
    ]
    .into_iter()
    .enumerate()
    {
        let client = server.for_client(&format!("192.0.2.{number}"));
        let got = send(&client, Method::POST, "/-/log", &[("content-type", kind)], Body::from(body)).await;
        assert_eq!(got.0, status, "{number}");
    }
    assert_eq!(send(&server.app, Method::GET, "/-/log", &[], Body::empty()).await.0, 405);
    let client = server.for_client("203.0.113.1");
    let mut refused = None;
    for _ in 0..1000 {
        let (status, wait) = send(&client, Method::POST, "/-/log", &text, Body::from("a")).await;
        if status == 429 {
            refused = wait;
            break;
        }
    }
    assert_eq!(refused.as_deref(), Some("1"));
    let another = server.for_client("203.0.113.2");
    assert_eq!(send(&another, Method::POST, "/-/log", &text, Body::from("a")).await.0, 204);
}
