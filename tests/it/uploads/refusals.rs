//! Refused uploads, which leave nothing behind.

use super::*;

#[test]
fn refused_upload_leaves_nothing() {
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[("TINTYPE_LIMITS_MAX_PIXELS", "1000000")]);
    let good = picture("photos/coffee.png");
    let wrong = ("Authorization", "Bearer another");
    for headers in [&[][..], &[wrong], &[("Authorization", "a token for tests")], &[("Authorization", "Bearer ")]] {
        let refused = send(&server, "PUT", "/-/upload/a.png", headers, &good);
        refused.assert_problem(401);
        assert_eq!(refused.header("www-authenticate"), "Bearer");
        send(&server, "POST", "/-/upload", headers, &good).assert_problem(401);
    }
    for (name, status) in [
        ("hostile/truncated.jpg", 422),
        ("hostile/truncated.png", 422),
        ("hostile/truncated.webp", 422),
        ("hostile/truncated.gif", 422),
        ("hostile/png-header-100000.png", 422),
        ("photos/retina.jpg", 422),
        ("hostile/text.txt", 415),
        ("hostile/html-named.jpg", 415),
        ("hostile/empty.jpg", 415),
        ("hostile/one-byte.png", 415),
    ] {
        let refused = put(&server, "a.png", &[], &picture(name));
        assert_eq!(refused.status, status, "{name}: {}", refused.text());
    }
    put(&server, "a.svg", &[], b"<svg><g>").assert_problem(422);
    put(&server, "a.png", &[("Content-Range", "bytes 0-9/10")], &good).assert_problem(400);
    // by Content-Length before the body, otherwise while it arrives
    let mut connection = server.connect();
    connection.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Content-Length", "500001")]);
    connection.receive("PUT").assert_problem(413);
    let mut connection = server.connect();
    connection.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Transfer-Encoding", "chunked")]);
    for _ in 0..6 {
        connection.send(format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000)).as_bytes());
    }
    connection.receive("PUT").assert_problem(413);
    // ten times the limit, sent before the answer is read
    put(&server, "a.png", &[], &vec![0; 5_000_000]).assert_problem(413);
    for (method, target, allow) in [
        ("GET", "/-/upload/a.png", "PUT"),
        ("POST", "/-/upload/a.png", "PUT"),
        ("DELETE", "/-/upload/a.png", "PUT"),
        ("PUT", "/-/upload", "POST"),
        ("GET", "/-/upload", "POST"),
    ] {
        let refused = send(&server, method, target, &[TOKEN], b"");
        refused.assert_problem(405);
        assert_eq!(refused.header("allow"), allow, "{method} {target}");
    }
    assert_eq!(files(root.path()), BTreeMap::new());
    assert_eq!(server.metric("tintype_uploads_total"), 0.0);
}

#[test]
fn uploads_are_off_without_token_or_setting() {
    let (root, cache) = (folder(), folder());
    for (name, value) in [("TINTYPE_SECURITY_ADMIN_TOKEN", ""), ("TINTYPE_SECURITY_UPLOAD", "false")] {
        let server = start(root.path(), cache.path(), &[(name, value)]);
        put(&server, "a.png", &[], &picture("generated/grey.png")).assert_problem(404);
        send(&server, "POST", "/-/upload", &[TOKEN], b"").assert_problem(404);
        assert_eq!(files(root.path()), BTreeMap::new());
    }
}

#[test]
fn upload_names_stay_below_the_root() {
    let (root, cache, outside) = (folder(), folder(), folder());
    std::fs::create_dir(root.path().join("real")).expect("a folder");
    std::fs::write(root.path().join("file.png"), picture("generated/grey.png")).expect("written");
    let link = |target: &Path, name: &str| symlink(target, root.path().join(name)).expect("a link");
    link(outside.path(), "out");
    link(Path::new("../.."), "up");
    link(&outside.path().join("x.png"), "out.png");
    link(Path::new("nowhere"), "dangling");
    link(Path::new("real"), "relative");
    link(&root.path().join("real"), "absolute");
    let server = start(root.path(), cache.path(), &[]);
    let good = picture("generated/grey.png");
    let (long, deep) = (format!("{}.png", "x".repeat(252)), format!("{}a.png", "d/".repeat(2500)));
    for (name, status) in [
        ("../a.png", 404),
        ("a/../../a.png", 404),
        ("%2e%2e/a.png", 404),
        ("a%2Fb.png", 404),
        ("a%5Cb.png", 404),
        ("..%5Ca.png", 404),
        ("a//b.png", 404),
        ("/a.png", 404),
        ("./a.png", 404),
        ("a%00.png", 404),
        ("a%0d%0ab.png", 404),
        ("%ff.png", 404),
        ("%zz.png", 404),
        (".a.png", 404),
        (".git/a.png", 404),
        (".tintype-uploads/a.png", 404),
        ("a/", 404),
        // `/-/` is reserved
        ("-/a.png", 404),
        ("", 404),
        (&long, 404),
        (&deep, 409),
        ("a", 415),
        ("a.html", 415),
        ("a.png.php", 415),
        ("png", 415),
        ("file.png/a.png", 409),
        ("out/a.png", 403),
        ("out/deeper/a.png", 403),
        ("up/a.png", 403),
        ("dangling/a.png", 403),
        ("out.png", 409),
    ] {
        let refused = put(&server, name, &[], &good);
        assert_eq!(refused.status, status, "{name}: {}", refused.text());
    }
    // the target of a link is not written
    assert_eq!(put(&server, "out.png", &[("If-Match", "*")], &good).status, 412);
    assert_eq!(files(outside.path()), BTreeMap::new());
    let before = files(root.path());
    for name in ["relative/a.png", "absolute/b.png", "absolute/deeper/c.png"] {
        assert_eq!(put(&server, name, &[], &good).status, 201, "{name}");
    }
    let added: Vec<_> = files(root.path()).into_keys().filter(|path| !before.contains_key(path)).collect();
    assert_eq!(added, ["real/a.png", "real/b.png", "real/deeper/c.png"].map(PathBuf::from));
}

#[test]
fn planted_staging_link_is_not_followed() {
    let (root, cache, outside) = (folder(), folder(), folder());
    symlink(outside.path(), root.path().join(".tintype-uploads")).expect("a link");
    let server = start(root.path(), cache.path(), &[]);
    put(&server, "a.png", &[], &picture("generated/grey.png")).assert_problem(403);
    assert_eq!(files(outside.path()), BTreeMap::new());
    assert!(server.log().contains("uploads are disabled"), "{}", server.log());
}

#[test]
fn slow_upload_is_ended_by_timeout() {
    let (root, cache) = (folder(), folder());
    let settings = [("TINTYPE_LIMITS_UPLOAD_TIMEOUT", "300ms"), ("TINTYPE_LIMITS_UPLOADS", "1")];
    let server = start(root.path(), cache.path(), &settings);
    let good = picture("generated/grey.png");
    let length = good.len().to_string();
    let mut connection = server.connect();
    connection.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Content-Length", &length)]);
    connection.send(&good[..10]);
    let refused = connection.receive("PUT");
    refused.assert_problem(408);
    assert_eq!(refused.header("connection"), "close");
    drop(connection);
    // its slot is free again
    poll("a free slot", || (put(&server, "a.png", &[], &good).status == 201).then_some(()));
    assert_eq!(files(root.path()).into_keys().collect::<Vec<_>>(), [PathBuf::from("a.png")]);
}

#[test]
fn uploads_above_the_limit_are_refused() {
    let (root, cache) = (folder(), folder());
    let server = start(root.path(), cache.path(), &[("TINTYPE_LIMITS_UPLOADS", "1")]);
    let good = picture("generated/grey.png");
    let length = good.len().to_string();
    let mut first = server.connect();
    first.send_request("PUT", "/-/upload/a.png", &[TOKEN, ("Content-Length", &length)]);
    let staging = root.path().join(".tintype-uploads");
    poll("the first is staged", || (std::fs::read_dir(&staging).ok()?.count() == 1).then_some(()));
    let refused = put(&server, "b.png", &[], &good);
    refused.assert_problem(503);
    refused.header("retry-after");
    first.send(&good);
    assert_eq!(first.receive("PUT").status, 201);
    // a client that leaves half-way frees its slot and leaves no file
    let mut leaving = server.connect();
    leaving.send_request("PUT", "/-/upload/c.png", &[TOKEN, ("Content-Length", &length)]);
    poll("it is staged", || (std::fs::read_dir(&staging).ok()?.count() == 1).then_some(()));
    drop(leaving);
    poll("it is gone", || (std::fs::read_dir(&staging).ok()?.count() == 0).then_some(()));
    poll("a free slot", || (put(&server, "b.png", &[], &good).status == 201).then_some(()));
}
