//! Hits on disk that nginx sends (`server.x_accel`).

use super::*;

/// The file that nginx is told to send, and its bytes.
fn redirected(server: &Server, answer: &Answer) -> (std::path::PathBuf, Vec<u8>) {
    let location = answer.header("x-accel-redirect");
    let below =
        location.strip_prefix("/_tintype_store/").unwrap_or_else(|| panic!("{location:?}: {:?}", answer.headers));
    let path = server.cache.path().join(below);
    let bytes = std::fs::read(&path).expect("the file is there");
    (path, bytes)
}

#[tokio::test]
async fn hit_on_disk_is_redirected_to_nginx() {
    let server = Server::new(&testdata(), |config| config.fixed.server.x_accel = "/_tintype_store".into());
    let url = "/photos/coffee.png?width=200&format=auto";
    let accept = ("accept", CHROMIUM);
    let made = server.ask(Method::GET, url, &[accept]).await;
    assert!(!made.headers.contains_key("x-accel-redirect"), "it is not on disk yet");
    assert!(!made.body.is_empty());
    server.service.flush();

    let direct = server.ask(Method::GET, url, &[accept, ("x-tintype-direct", "1")]).await;
    assert!(!direct.headers.contains_key("x-accel-redirect"));
    assert_eq!((direct.header("cache-status"), &direct.body), ("tintype; hit", &made.body));
    for method in [Method::GET, Method::HEAD] {
        let left = server.ask(method.clone(), url, &[accept]).await;
        assert_eq!((left.status, left.body.len()), (StatusCode::OK, 0));
        assert_eq!(redirected(&server, &left).1, made.body);
        // all other headers are those of the direct answer
        for (name, value) in &direct.headers {
            if !["content-length", "accept-ranges", "x-request-id"].contains(&name.as_str()) {
                assert_eq!(left.headers.get(name), Some(value), "{method} {name}");
            }
        }
    }

    // conditional requests are not redirected
    let etag = direct.header("etag");
    let unchanged = server.ask(Method::GET, url, &[accept, ("if-none-match", etag)]).await;
    assert_eq!((unchanged.status, unchanged.header("etag")), (StatusCode::NOT_MODIFIED, etag));
    assert!(!unchanged.headers.contains_key("x-accel-redirect"));
    // nginx gets the ranges that it reads as tintype does
    let (date, other) = (direct.header("last-modified"), "\"other\"");
    for (method, headers, left, status) in [
        (Method::GET, vec![("range", "bytes=5-9")], true, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=-9"), ("if-range", etag)], true, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=-9"), ("if-range", other)], true, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=-9"), ("if-range", date)], false, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=0-1,5-9")], false, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=9-1")], false, StatusCode::OK),
        (Method::GET, vec![("range", "bytes=0-99999999999999999999")], false, StatusCode::PARTIAL_CONTENT),
        (Method::GET, vec![("range", "bytes=99999999-")], false, StatusCode::RANGE_NOT_SATISFIABLE),
        (Method::GET, vec![("range", "bytes=99999999-"), ("if-range", other)], true, StatusCode::OK),
        (Method::HEAD, vec![("range", "bytes=5-9")], false, StatusCode::OK),
    ] {
        let all: Vec<(&str, &str)> = std::iter::once(accept).chain(headers.iter().copied()).collect();
        let answer = server.ask(method, url, &all).await;
        assert_eq!((answer.headers.contains_key("x-accel-redirect"), answer.status), (left, status), "{headers:?}");
    }

    // originals are not redirected
    let original = server.get("/photos/coffee.png").await;
    assert!(!original.headers.contains_key("x-accel-redirect") && !original.body.is_empty());
}

#[tokio::test]
async fn redirected_file_is_verified_first() {
    let server = Server::new(&testdata(), |config| config.fixed.server.x_accel = "/_tintype_store".into());
    let url = "/photos/chelsea.png?width=120&format=webp";
    let made = server.get(url).await.body;
    server.service.flush();
    let (path, _) = redirected(&server, &server.get(url).await);
    let damages: [&dyn Fn(); 4] = [
        &|| {
            let mut bytes = made.clone();
            bytes[100] ^= 1;
            std::fs::write(&path, bytes).expect("written");
        },
        &|| std::fs::write(&path, &made[..made.len() - 1]).expect("written"),
        &|| std::fs::remove_file(&path).expect("removed"),
        &|| {
            std::fs::remove_file(&path).expect("removed");
            std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        },
    ];
    for damage in damages {
        damage();
        let again = server.get(url).await;
        assert!(!again.headers.contains_key("x-accel-redirect"));
        assert_eq!((again.status, again.header("cache-status")), (StatusCode::OK, "tintype; fwd=uri-miss; stored"));
        assert!(again.body == made);
        server.service.flush();
        assert!(redirected(&server, &server.get(url).await).1 == made);
    }
}
