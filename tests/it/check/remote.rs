//! The checks of HTTP origins and buckets, which ask them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use tintype_testing::object_store::{ACCESS_KEY, BUCKET, ObjectStore, SECRET_KEY};

use super::{Checked, checked};
use crate::buckets::environment;
use crate::common::need::needs;
use crate::common::{folder, tintype};

/// Answers every request with this head.
fn origin(head: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(stream.try_clone().expect("a socket")).lines().map_while(Result::ok);
            assert!(lines.take_while(|line| !line.is_empty()).count() < 100);
            // the client may have left
            let _ = write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx");
        }
    });
    format!("http://{address}/img")
}

/// A check with these settings, and a cache of its own.
fn check<'a>(settings: impl IntoIterator<Item = (&'a str, String)>) -> Checked {
    let cache = folder();
    let mut command = tintype();
    command.args(["check", "--json"]).env("TINTYPE_SERVER_LISTEN", "127.0.0.1:0");
    command.env("TINTYPE_CACHE_DIR", cache.path()).envs(settings);
    let checked = checked(&mut command);
    assert!(!checked.all.contains(SECRET_KEY) && !checked.all.contains("wrong secret"), "{}", checked.all);
    checked
}

fn of_url(url: impl Into<String>) -> Checked {
    check([("TINTYPE_SOURCE_URL", url.into())])
}

#[test]
fn origin_is_asked_for_an_original_that_does_not_exist() {
    let about = "source.url";
    of_url(origin("404 Not Found")).has_no_error().says("ok", about, &["answers 404 for a missing original"], "");
    of_url(origin("410 Gone")).has_no_error().says("ok", about, &["answers 404"], "");
    of_url(origin("200 OK")).has_no_error().says("warning", about, &["answers 200"], "404");
    of_url(origin("403 Forbidden")).says("error", about, &["401 or 403", "502"], "password");
    of_url(origin("500 Oops")).says("error", about, &["status 500"], "log of the origin");
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    of_url(format!("http://{closed}/")).says("error", about, &["refused"], "start the server");
    of_url("http://host.invalid/").says("error", about, &["host.invalid"], "DNS");
}

#[test]
fn bucket_is_asked_for_an_object_that_does_not_exist() {
    needs!(ObjectStore);
    let store = ObjectStore::start().expect("it is installed");
    let about = "source.bucket";
    let with = |more: &[(&'static str, &str)]| {
        let more: Vec<_> = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        check(environment(&store).into_iter().chain(more))
    };
    let good = with(&[]);
    good.has_no_error().says("ok", about, &["answers 404 for a missing object", " ms"], "");
    assert!(!good.all.contains("writable\""), "nothing is written: {}", good.all);
    with(&[("TINTYPE_SOURCE_SECRET_KEY", "wrong secret")]).says(
        "error",
        about,
        &["SignatureDoesNotMatch"],
        "secret_key",
    );
    with(&[("TINTYPE_SOURCE_ACCESS_KEY", "nobody")]).says("error", about, &["InvalidAccessKeyId"], "access_key");
    with(&[("TINTYPE_SOURCE_BUCKET", "s3://never-made")]).says(
        "error",
        about,
        &["does not exist"],
        "create the bucket",
    );
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    with(&[("TINTYPE_SOURCE_ENDPOINT", &format!("http://{closed}"))]).says("error", about, &["refused"], "endpoint");

    // the objects of the check are removed
    let uploads = [("TINTYPE_SECURITY_UPLOAD", "true"), ("TINTYPE_SECURITY_ADMIN_TOKEN", "0123456789abcdef")];
    let written = with(&uploads);
    written.has_no_error().says("ok", about, &["is writable", "60 kB"], "");
    written.says("ok", about, &["If-None-Match"], "").says("ok", about, &["If-Match"], "");
    written.says("ok", about, &["60 kB are read in"], "");
    let results = [
        ("TINTYPE_SHARED_BUCKET", format!("s3://{BUCKET}/results")),
        ("TINTYPE_SHARED_ENDPOINT", store.endpoint()),
        ("TINTYPE_SHARED_ACCESS_KEY", ACCESS_KEY.to_owned()),
        ("TINTYPE_SHARED_SECRET_KEY", SECRET_KEY.to_owned()),
    ];
    let shared = check(results.into_iter().chain(environment(&store)));
    shared.has_no_error().says("ok", "shared.bucket", &["is writable"], "");
    shared.says("ok", "shared.bucket", &["If-None-Match"], "").says("info", "shared.bucket", &["lifecycle"], "");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for folder in ["img", "results"] {
        let mut config = crate::buckets::config(&store);
        config.location.prefix = folder.into();
        let listed = runtime.block_on(config.open().expect("a bucket").list("", None, 10)).expect("listed");
        assert!(listed.is_empty(), "{listed:?}");
    }
}

/// An S3 store that answers so, whatever it is asked.
fn bucket_of(head: &'static str) -> Checked {
    let url = origin(head).trim_end_matches("/img").to_owned();
    check([
        ("TINTYPE_SOURCE_BUCKET", "s3://shop".to_owned()),
        ("TINTYPE_SOURCE_ENDPOINT", url),
        ("TINTYPE_SOURCE_ACCESS_KEY", "key".to_owned()),
        ("TINTYPE_SOURCE_SECRET_KEY", "secret".to_owned()),
    ])
}

#[test]
fn clock_that_differs_from_the_stores_is_reported() {
    let late = bucket_of("404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT");
    late.says("error", "source.bucket", &["clocks differ by", "refuses all signatures"], "timedatectl");
    let failing = bucket_of("503 Slow Down");
    failing.says("error", "source.bucket", &["status 503"], "log");
}
