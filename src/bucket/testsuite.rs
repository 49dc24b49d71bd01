//! The suite of tests that every bucket passes, whatever keeps its objects.

use tintype_testing::object_store::{self, ObjectStore};

use super::memory::MemoryBucket;
use super::{Bucket, Condition, Config, Error, NewObject};

fn object(bytes: &'static [u8]) -> NewObject {
    let metadata = vec![("ttkey", "0123".to_owned())];
    NewObject { bytes: bytes.into(), media_type: "image/webp", cache_control: Some("public, max-age=60"), metadata }
}

/// Runs the suite below a folder of its own.
pub(crate) async fn run(bucket: &dyn Bucket, folder: &str) {
    let name = |name: &str| format!("{folder}/{name}");
    let get = async |object: &str| bucket.get(&name(object), None, 1000).await;
    let missing = get("missing").await;
    assert!(matches!(missing, Err(Error::NotFound)), "{missing:?}");

    // an object is what was put, with its metadata
    let put = bucket.put(&name("a.jpg"), object(b"one"), Condition::Absent).await.expect("put");
    let first = get("a.jpg").await.expect("an object");
    assert_eq!(&first.bytes[..], b"one");
    assert!(first.etag.is_some() && (put.is_none() || put == first.etag), "{put:?} {:?}", first.etag);
    assert!(first.metadata.contains(&("ttkey".into(), "0123".into())), "{:?}", first.metadata);
    let age = std::time::SystemTime::now().duration_since(first.modified).unwrap_or_default();
    assert!(age.as_secs() < 100, "{age:?}");

    // conditions of reads and writes
    let etag = first.etag.as_deref();
    eventually("the ETag is compared", async || {
        matches!(bucket.get(&name("a.jpg"), etag, 1000).await, Err(Error::Unmodified))
    })
    .await;
    let exists = bucket.put(&name("a.jpg"), object(b"two"), Condition::Absent).await;
    assert!(matches!(exists, Err(Error::Exists)), "{exists:?}");
    assert_eq!(&get("a.jpg").await.expect("an object").bytes[..], b"one");
    let changed = bucket.put(&name("a.jpg"), object(b"two"), Condition::Unchanged("\"0123\"")).await;
    assert!(matches!(changed, Err(Error::Changed)), "{changed:?}");
    let revision = first.revision.as_deref().expect("a revision");
    let replaced = bucket.put(&name("a.jpg"), object(b"one"), Condition::Unchanged(revision)).await;
    assert!(replaced.is_ok(), "{replaced:?}");
    let gone = bucket.put(&name("never"), object(b"two"), Condition::Unchanged("\"0123\"")).await;
    assert!(matches!(gone, Err(Error::Changed)), "{gone:?}");
    bucket.put(&name("a.jpg"), object(b"two"), Condition::None).await.expect("put");
    eventually("the other version is read", async || {
        let second = bucket.get(&name("a.jpg"), etag, 1000).await;
        second.is_ok_and(|second| &second.bytes[..] == b"two" && second.etag != first.etag)
    })
    .await;

    // limits
    let large = bucket.get(&name("a.jpg"), None, 2).await;
    assert!(matches!(large, Err(Error::TooLarge { bytes: 3, limit: 2 })), "{large:?}");
    bucket.put(&name("empty"), object(b""), Condition::None).await.expect("put");
    assert!(get("empty").await.expect("an object").bytes.is_empty());

    // names
    let odd = ["café a+b%25~&=#?.jpg", "sub/ü/=x", "%2e%2e", "a:b@c,d;e'f(g)[h]{i}|j"];
    for odd in odd {
        bucket.put(&name(odd), object(b"odd"), Condition::None).await.expect("put");
        assert_eq!(&get(odd).await.expect(odd).bytes[..], b"odd");
    }
    for invalid in ["../x", "a//b", "./a", "a\nb"] {
        assert!(matches!(get(invalid).await, Err(Error::NotFound)), "{invalid:?}");
    }

    // listings are in the order of names, and continue after one
    for number in 0..5 {
        bucket.put(&name(&format!("list/{number}")), object(b"x"), Condition::None).await.expect("put");
    }
    let list = async |after: Option<&str>, limit| {
        let after = after.map(&name);
        let listed = bucket.list(&name("list"), after.as_deref(), limit).await.expect("listed");
        let short = |name: String| name.rsplit('/').next().unwrap_or_default().to_owned();
        listed.into_iter().map(|object| short(object.name)).collect::<Vec<String>>().join(" ")
    };
    eventually("all are listed", async || list(None, 100).await == "0 1 2 3 4").await;
    assert_eq!(list(None, 2).await, "0 1");
    assert_eq!(list(Some("list/2"), 100).await, "3 4");
    assert_eq!(list(Some("list/9"), 100).await, "");
    assert!(bucket.list(&name("none"), None, 10).await.expect("listed").is_empty());
    let expected = name(odd[0]);
    eventually("an odd name is listed", async || {
        let listed = bucket.list(folder, None, 100).await.expect("listed");
        listed.iter().any(|object| object.name == expected && object.length == 3)
    })
    .await;

    // of several writers one wins
    let race = name("race");
    let put = || bucket.put(&race, object(b"mine"), Condition::Absent);
    let (a, b, c, d) = tokio::join!(put(), put(), put(), put());
    assert_eq!([a, b, c, d].iter().filter(|put| put.is_ok()).count(), 1);

    for name in bucket.list(folder, None, 100).await.expect("listed") {
        bucket.delete(&name.name).await.expect("deleted");
    }
    bucket.delete(&name("missing")).await.expect("nothing to delete");
    eventually("all are gone", async || bucket.list(folder, None, 100).await.expect("listed").is_empty()).await;
}

/// Waits for what a store of several servers may show some milliseconds late.
async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "{what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn bucket_in_memory_passes_the_suite() {
    run(&MemoryBucket::default(), "suite").await;
}

#[tokio::test]
async fn bucket_of_a_real_store_passes_the_suite() {
    if cfg!(not(feature = "buckets")) {
        return;
    }
    let Some(store) = ObjectStore::start_or_skip() else { return };
    let config = Config {
        location: format!("s3://{}/a prefix", object_store::BUCKET).parse().expect("a location"),
        endpoint: store.endpoint(),
        region: "us-east-1".into(),
        access_key: object_store::ACCESS_KEY.into(),
        secret_key: object_store::SECRET_KEY.into(),
        skip_signature: false,
    };
    let bucket = config.open().expect("a bucket");
    // a store that others use, too, may have objects of an earlier run
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    run(&*bucket, &format!("suite-{}", since.as_nanos())).await;
    let wrong = Config { secret_key: "wrong".into(), ..config.clone() }.open().expect("a bucket");
    let refused = wrong.get("a.jpg", None, 10).await;
    assert!(matches!(&refused, Err(Error::Credentials(code)) if code == "SignatureDoesNotMatch"), "{refused:?}");
    let missing =
        Config { location: "s3://never-made".parse().expect("a location"), ..config }.open().expect("a bucket");
    let missing = missing.get("a.jpg", None, 10).await;
    // not a 404 for every original
    assert!(
        matches!(&missing, Err(Error::Unavailable(error)) if error.kind() == std::io::ErrorKind::NotFound),
        "{missing:?}"
    );
}
