//! Originals in a bucket of a real object store: renditions equal those from a folder, the store's failures stay its own, and
//! uploads keep the promises of those to a folder.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tintype::bucket::{self, Condition, NewObject};
use tintype_testing::object_store::{ACCESS_KEY, BUCKET, ObjectStore, SECRET_KEY};

use crate::common::need::needs;
use crate::common::{Answer, Server, folder, poll, testdata, tintype};

const PHOTO: &str = "photos/coffee.png";

/// Names that URLs and signatures encode, with their paths.
const ODD: [(&str, &str); 4] = [
    ("a b/ü+1.png", "/a%20b/%C3%BC+1.png"),
    ("100%.png", "/100%25.png"),
    ("sub/x&y=z~(1).png", "/sub/x&y=z~(1).png"),
    ("猫/🐈 #1?.png", "/%E7%8C%AB/%F0%9F%90%88%20%231%3F.png"),
];

const TOKEN: (&str, &str) = ("Authorization", "Bearer a token for tests");

/// A store, and the bucket in it.
struct Store {
    store: ObjectStore,
    runtime: tokio::runtime::Runtime,
}

/// The settings of the bucket.
pub(crate) fn config(store: &ObjectStore) -> bucket::Config {
    bucket::Config {
        location: format!("s3://{BUCKET}/img").parse().expect("a location"),
        endpoint: store.endpoint(),
        region: "us-east-1".into(),
        access_key: ACCESS_KEY.into(),
        secret_key: SECRET_KEY.into(),
        skip_signature: false,
    }
}

impl Store {
    fn start() -> Store {
        let store = ObjectStore::start().expect("it is installed");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Store { store, runtime: runtime.expect("a runtime") }
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let bytes = bytes.to_vec().into();
        let object = NewObject { bytes, media_type: "image/png", cache_control: None, metadata: Vec::new() };
        let bucket = config(&self.store).open().expect("a bucket");
        self.runtime.block_on(bucket.put(name, object, Condition::None)).expect("put");
    }

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        let bucket = config(&self.store).open().expect("a bucket");
        match self.runtime.block_on(bucket.get(name, None, 1 << 30)) {
            Ok(object) => Some(object.bytes.to_vec()),
            Err(bucket::Error::NotFound) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// `tintype serve` with the bucket and more settings.
    fn serve(&self, cache: &Path, settings: &[(&str, &str)]) -> Server {
        let mut command = tintype();
        command.arg("serve").arg("--cache-dir").arg(cache).args(["--listen", "127.0.0.1:0"]);
        command.envs(environment(&self.store)).envs(settings.iter().copied());
        Server::spawn(command).unwrap_or_else(|log| panic!("tintype did not say where it listens:\n{log}"))
    }
}

/// The settings as environment variables.
pub(crate) fn environment(store: &ObjectStore) -> [(&'static str, String); 4] {
    [
        ("TINTYPE_SOURCE_BUCKET", format!("s3://{BUCKET}/img")),
        ("TINTYPE_SOURCE_ENDPOINT", store.endpoint()),
        ("TINTYPE_SOURCE_ACCESS_KEY", ACCESS_KEY.into()),
        ("TINTYPE_SOURCE_SECRET_KEY", SECRET_KEY.into()),
    ]
}

/// The bytes of a test picture.
fn picture(name: &str) -> Vec<u8> {
    std::fs::read(testdata().join(name)).expect("a picture")
}

#[test]
fn renditions_of_a_bucket_equal_those_of_a_folder() {
    needs!(ObjectStore);
    let (store, root, caches) = (Store::start(), folder(), [folder(), folder()]);
    let photo = picture(PHOTO);
    for name in ODD.map(|(name, _)| name).iter().chain(&[PHOTO]) {
        store.put(name, &photo);
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, &photo).expect("written");
    }
    let remote = store.serve(caches[0].path(), &[]);
    let local = Server::start(root.path(), caches[1].path());
    let mut tags = HashSet::new();
    for path in ODD.map(|(_, path)| path).into_iter().chain([&*format!("/{PHOTO}")]) {
        for query in ["?width=100&format=webp", "?width=60&format=jpeg", "", "?format=json"] {
            let target = format!("{path}{query}");
            let [answer, expected] = [&remote, &local].map(|server| server.get(&target, &[]));
            assert_eq!((answer.status, expected.status), (200, 200), "{target}: {}", answer.text());
            assert!(answer.body == expected.body, "{target}");
            let etag = answer.header("etag");
            assert_eq!(etag, expected.header("etag"), "{target}");
            assert!(answer.try_header("last-modified").is_some(), "{target}");
            assert_eq!(remote.get(&target, &[("If-None-Match", &etag)]).status, 304, "{target}");
            tags.insert(etag);
        }
    }
    assert!(tags.len() >= 4);
    for path in ["/photos/missing.png?width=50", "/100%25/a.png", "/img/photos/coffee.png"] {
        let missing = remote.get(path, &[]);
        missing.assert_problem(404);
        assert_eq!(missing.header("cache-control"), "max-age=30");
    }
    let log = remote.log();
    assert!(log.contains(&format!("s3://{BUCKET}/img")) && !log.contains(SECRET_KEY), "{log}");
}

#[test]
fn wrong_credentials_are_a_502_and_stay_secret() {
    needs!(ObjectStore);
    let (store, cache) = (Store::start(), folder());
    store.put(PHOTO, &picture(PHOTO));
    let target = format!("/{PHOTO}?width=50");
    for wrong in ["TINTYPE_SOURCE_SECRET_KEY", "TINTYPE_SOURCE_ACCESS_KEY"] {
        let server = store.serve(cache.path(), &[(wrong, "another secret"), ("RUST_LOG", "trace")]);
        for _ in 0..3 {
            let answer = server.get(&target, &[]);
            answer.assert_problem(502);
            assert_eq!(answer.header("cache-control"), "no-store");
            for secret in ["another secret", SECRET_KEY] {
                assert!(!answer.text().contains(secret), "{}", answer.text());
            }
        }
        // an access key is a name, and no secret
        let secret = if wrong.ends_with("SECRET_KEY") { "another secret" } else { SECRET_KEY };
        let log = poll("the code of the store is logged", || {
            let log = server.log();
            (log.contains("SignatureDoesNotMatch") || log.contains("InvalidAccessKeyId")).then_some(log)
        });
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn store_that_stops_costs_no_cached_picture() {
    needs!(ObjectStore);
    let (mut store, cache) = (Store::start(), folder());
    for name in [PHOTO, "other.png", "third.png"] {
        store.put(name, &picture(PHOTO));
    }
    let settings = [
        ("TINTYPE_SOURCE_REVALIDATE", "1ms"),
        ("TINTYPE_SOURCE_STALE_WHILE_REVALIDATE", "0s"),
        ("TINTYPE_SOURCE_PATIENCE", "300ms"),
        ("TINTYPE_LIMITS_DEADLINE", "3s"),
    ];
    let server = store.serve(cache.path(), &settings);
    let target = format!("/{PHOTO}?width=50&format=webp");
    let first = server.get(&target, &[]);
    assert_eq!(first.status, 200);
    let is_cached = || {
        let answer = server.get(&target, &[]);
        assert!(answer.status == 200 && answer.body == first.body, "{}", answer.text());
    };

    // frozen: nothing is refused, and nothing is answered
    store.store.signal("STOP");
    let began = Instant::now();
    is_cached();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let began = Instant::now();
    let answer = server.get("/other.png?width=50", &[]);
    answer.assert_problem(504);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    store.store.signal("CONT");
    let get = |path: &str| server.get(&format!("{path}?width=50"), &[]);
    poll("the store is asked again", || (get("/other.png").status == 200).then_some(()));

    store.store.kill();
    is_cached();
    let answer = get("/third.png");
    answer.assert_problem(502);
    assert_eq!(answer.header("cache-control"), "no-store");
    store.store.restart();
    poll("the store is asked again", || (get("/third.png").status == 200).then_some(()));
    is_cached();
}

/// Uploads a file.
fn upload(server: &Server, name: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let length = body.len().to_string();
    let all: Vec<_> = headers.iter().copied().chain([TOKEN, ("Content-Length", length.as_str())]).collect();
    let mut connection = server.connect();
    connection.send_request("PUT", &format!("/-/upload/{name}"), &all);
    connection.send(body);
    connection.receive("PUT")
}

const OPEN: [(&str, &str); 3] = [
    ("TINTYPE_SECURITY_ADMIN_TOKEN", "a token for tests"),
    ("TINTYPE_SECURITY_UPLOAD", "true"),
    ("TINTYPE_SOURCE_MAX_BYTES", "500000"),
];

#[test]
fn upload_is_in_the_bucket_and_replaced_only_if_matched() {
    needs!(ObjectStore);
    let (store, cache) = (Store::start(), folder());
    let server = store.serve(cache.path(), &OPEN);
    let (first, second) = (picture("photos/coffee.png"), picture("photos/rocket.jpg"));
    let (name, object) = ("new/folder/caf%C3%A9%20one.jpg", "new/folder/café one.jpg");

    // that there was none is forgotten
    server.get(&format!("/{name}"), &[]).assert_problem(404);
    let created = upload(&server, name, &[("If-None-Match", "*")], &first);
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.header("location"), format!("/{name}"));
    assert!(store.get(object) == Some(first.clone()));
    let got = server.get(&format!("/{name}"), &[]);
    assert!(got.status == 200 && got.body == first);
    let etag = got.header("etag");
    assert_eq!(created.header("etag"), etag);
    let before = server.get(&format!("/{name}?width=30"), &[]);

    for (more, status) in [
        (&[][..], 409),
        (&[("If-Match", "\"0000\"")], 409),
        (&[("If-None-Match", "*")], 412),
        (&[("If-None-Match", etag.as_str())], 412),
    ] {
        upload(&server, name, more, &second).assert_problem(status);
    }
    upload(&server, "absent.jpg", &[("If-Match", "*")], &second).assert_problem(412);
    upload(&server, "broken.jpg", &[], &first[..first.len() / 2]).assert_problem(422);
    upload(&server, "large.jpg", &[], &[0; 500_001]).assert_problem(413);
    assert!(store.get(object) == Some(first.clone()), "a refused upload changed something");
    assert!(["absent.jpg", "broken.jpg", "large.jpg"].iter().all(|name| store.get(name).is_none()));

    let replaced = upload(&server, name, &[("If-Match", &etag)], &second);
    assert_eq!((replaced.status, replaced.try_header("location")), (200, None), "{}", replaced.text());
    assert!(store.get(object) == Some(second.clone()));
    assert!(server.get(&format!("/{name}"), &[]).body == second);
    assert_ne!(server.get(&format!("/{name}?width=30"), &[]).body, before.body);
    // an ETag is valid for one replacement only
    upload(&server, name, &[("If-Match", &etag)], &first).assert_problem(409);
    assert_eq!(upload(&server, name, &[("If-Match", "*")], &first).status, 200);
    assert_eq!(server.metric("tintype_uploads_total"), 3.0);

    // an object that others put there since it was read is not replaced, although the original is fresh here
    assert!(server.get(&format!("/{name}"), &[]).body == first);
    store.put(object, &second);
    upload(&server, name, &[("If-Match", &etag)], &first).assert_problem(409);
    store.put("others.jpg", &second);
    upload(&server, "others.jpg", &[], &first).assert_problem(409);
    assert!(store.get("others.jpg") == Some(second));
    let left: Vec<_> = std::fs::read_dir(cache.path()).expect("a folder").flatten().collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().contains("upload")), "{left:?}");
}

#[test]
fn of_concurrent_uploads_to_two_servers_one_wins() {
    needs!(ObjectStore);
    let store = Store::start();
    let caches = [folder(), folder()];
    let servers = caches.each_ref().map(|cache| store.serve(cache.path(), &OPEN));
    let pictures = [picture("photos/coffee.png"), picture("photos/rocket.jpg")];
    for round in 0..5 {
        let name = format!("race/{round}.jpg");
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let uploads: Vec<_> = servers
                .iter()
                .zip(&pictures)
                .map(|(server, picture)| scope.spawn(|| upload(server, &name, &[], picture).status))
                .collect();
            uploads.into_iter().map(|upload| upload.join().expect("no panic")).collect()
        });
        let won: Vec<usize> = (0..2).filter(|&index| statuses[index] == 201).collect();
        assert!(won.len() == 1 && statuses.contains(&409), "{statuses:?}");
        assert!(store.get(&name).as_ref() == Some(&pictures[won[0]]), "the winner's picture is there");
    }
}

#[test]
fn upload_fails_while_the_store_is_down() {
    needs!(ObjectStore);
    let (mut store, cache) = (Store::start(), folder());
    let server = store.serve(cache.path(), &OPEN);
    store.store.kill();
    upload(&server, "a.jpg", &[], &picture(PHOTO)).assert_problem(502);
    store.store.restart();
    assert!(store.get("a.jpg").is_none(), "an upload that failed is not there");
    poll("the store is asked again", || (upload(&server, "a.jpg", &[], &picture(PHOTO)).status == 201).then_some(()));
    assert!(store.get("a.jpg") == Some(picture(PHOTO)), "an acknowledged upload is there");
    // the power fails after the acknowledgement
    store.store.kill();
    store.store.restart();
    assert!(store.get("a.jpg") == Some(picture(PHOTO)), "an acknowledged upload is durable");
}
