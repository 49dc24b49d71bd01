//! The status page: who may see it, what it shows, and purges from it.

use super::{TOKEN, ask, get, playground};
use crate::common::in_process::InProcess;
use crate::common::{Server, folder, poll, testdata};

fn with_token() -> InProcess {
    InProcess::new(&testdata(), |config| config.live.security.admin_token = TOKEN.into())
}

fn basic(password: &str) -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("any:{password}")))
}

#[tokio::test]
async fn page_needs_the_token() {
    let none = InProcess::new(&testdata(), |_| {});
    let server = with_token();
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/-/status", "/-/status/data"] {
        assert_eq!(get(&none, path).await.status, 404, "{path}");
        // a playground that is set, and not for this machine only, opens nothing
        assert_eq!(get(&playground(), path).await.status, 404, "{path}");
        let refused = get(&server, path).await;
        assert_eq!(refused.status, 401, "{path}");
        let challenges: Vec<&str> =
            refused.headers.get_all("www-authenticate").iter().map(|value| value.to_str().expect("text")).collect();
        assert!(challenges[0] == "Bearer" && challenges[1].starts_with("Basic realm="), "{challenges:?}");
        for wrong in ["Bearer wrong", &basic("wrong"), &basic(""), "Basic x", "Digest x"] {
            assert_eq!(ask(&server, "GET", path, &[("authorization", wrong)], "").await.status, 401, "{wrong}");
        }
        for right in [&bearer, &basic(TOKEN)] {
            let answer = ask(&server, "GET", path, &[("authorization", right)], "").await;
            assert_eq!(answer.status, 200, "{path} {right}");
            assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    let wrong_method = ask(&server, "PUT", "/-/status", &[("authorization", &bearer)], "").await;
    assert_eq!((wrong_method.status, wrong_method.header("allow")), (405, "GET, HEAD, POST"));
}

#[test]
fn page_is_open_on_this_machine_beside_the_playground() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    let under = |host: &str, path: &str| {
        let mut connection = server.connect();
        connection.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        connection.receive("GET")
    };
    assert_eq!((under("localhost", "/-/status").status, under("evil.example", "/-/status").status), (200, 404));
    // samples are taken from the start on
    poll("a sample", || {
        let data: serde_json::Value = serde_json::from_str(&under("127.0.0.1", "/-/status/data").text()).expect("JSON");
        data["samples"].as_array().filter(|samples| !samples.is_empty()).map(drop)
    });
}

#[tokio::test]
async fn numbers_are_those_of_requests() {
    let server = with_token();
    get(&server, "/photos/coffee.png?w=30").await;
    get(&server, "/photos/coffee.png?w=30").await;
    get(&server, "/photos/rocket.jpg").await;
    get(&server, "/photos/%3Cimg%20src=x%20onerror=alert(1)%3E.png?w=1").await;
    get(&server, "/photos/coffee.png?w=%3Cb%3E").await;
    let token = basic(TOKEN);
    let authorized = [("authorization", token.as_str())];
    let data = ask(&server, "GET", "/-/status/data", &authorized, "").await.json();
    for (name, value) in
        [("requests", 5), ("hits", 1), ("misses", 1), ("originals", 1), ("failures", 2), ("renders", 1)]
    {
        assert_eq!(data[name], value, "{name}: {data}");
    }
    assert_eq!(data["hit_ratio"], 0.5);
    assert_eq!(data["slowest"][0]["path"], "photos/coffee.png");
    assert_eq!((&data["errors"][0]["status"], &data["errors"][1]["status"]), (&400.into(), &404.into()));
    for bound in ["workers", "queue", "memory", "disk", "files"] {
        assert!(data[bound]["bound"].as_u64().expect("a bound") > 0, "{bound}");
    }
    let page = ask(&server, "GET", "/-/status", &authorized, "").await.text();
    for part in ["photos/coffee.png", "there is no such original", "w=&quot;&lt;b&gt;&quot;", "50.0 %", "<svg "] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for hostile in ["<b>", "<img", " style=", "<script>", " onerror=x"] {
        assert!(!page.contains(hostile), "{hostile}");
    }
}

#[tokio::test]
async fn purge_needs_token_and_own_page() {
    let server = with_token();
    let (token, form) = (basic(TOKEN), format!("path=photos%2Fcoffee.png&token={}", TOKEN.replace(' ', "+")));
    let post = async |headers: &[(&str, &str)], form: &str| ask(&server, "POST", "/-/status", headers, form).await;
    let own = [("authorization", token.as_str()), ("sec-fetch-site", "same-origin")];
    get(&server, "/photos/coffee.png?w=30").await;
    assert_eq!(post(&[("sec-fetch-site", "same-origin")], &form).await.status, 401);
    for site in ["cross-site", "same-site", "none"] {
        let refused = post(&[("authorization", &token), ("sec-fetch-site", site)], &form).await;
        assert_eq!(refused.status, 403, "{site}");
    }
    assert_eq!(post(&[("authorization", &token)], &form).await.status, 403, "without any sign of its page");
    let other = [("authorization", token.as_str()), ("host", "a.example"), ("origin", "http://b.example")];
    assert_eq!(post(&other, &form).await.status, 403);
    let is_hit = async || get(&server, "/photos/coffee.png?w=30").await.header("cache-status") == "tintype; hit";
    assert!(is_hit().await, "nothing was purged");
    for (path, text) in [("", "Nothing was purged"), ("..%2F", "Nothing was purged"), ("%3Cb%3E.png", "&lt;b&gt;.png")]
    {
        let answer = post(&own, &format!("path={path}")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text().contains(text) && !answer.text().contains("<b>"), "{path}: {}", answer.text());
    }
    assert!(is_hit().await, "nothing was purged");
    let purged = post(&own, "path=photos%2Fcoffee.png").await;
    assert!(purged.text().contains("1 rendition of photos/coffee.png was purged"), "{}", purged.text());
    assert!(!is_hit().await);
    let origin = [("authorization", token.as_str()), ("host", "a.example:80"), ("origin", "http://a.example:80")];
    assert!(post(&origin, "path=photos%2F").await.text().contains("was purged"));
    assert_eq!(post(&own, &"x".repeat(20_000)).await.status, 413);
}

#[test]
fn open_page_purges_with_the_token_of_its_form() {
    let cache = folder();
    let settings = [("TINTYPE_SECURITY_ADMIN_TOKEN", "a token for tests")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    server.get("/generated/alpha.png?width=20", &[]);
    let post = |form: &str| {
        let mut connection = server.connect();
        let head = format!(
            "POST /-/status HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: same-origin\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        );
        connection.send(head.as_bytes());
        connection.receive("POST")
    };
    assert_eq!(post("path=generated/&token=wrong").status, 403);
    assert_eq!(post("path=generated/").status, 403);
    let purged = post("path=generated/&token=a+token+for+tests");
    assert!(purged.text().contains("1 rendition of generated/ was purged"), "{}", purged.text());
}
