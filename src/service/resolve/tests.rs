//! Renditions as files of the cache.

use std::time::Duration;

use super::*;
use crate::render::recipe::{Choice, Output, Quality};
use crate::service::workers;
use crate::source::Files;

#[tokio::test(flavor = "multi_thread")]
async fn rendition_that_was_compared_with_its_original_is_found_as_a_file() {
    let (root, dir) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let original = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/photos/retina.jpg");
    std::fs::copy(original, root.path().join("a.jpg")).expect("copied");
    let dir = Some(dir.path().to_owned());
    let cache = crate::cache::Config { dir, max_bytes: 100 << 20, max_files: 1000, min_free: 0, memory: 0 };
    let deadline = Duration::from_secs(60);
    let workers = workers::Config { workers: 1, queue: 10, memory: 1 << 28, deadline, decode_cache: 0 };
    let source = Files::new(root.path(), 1 << 24).expect("a folder");
    let service = Service::new(Arc::new(source), &cache, workers, Settings::default());
    let (id, settings) = (ImageId::of("a.jpg").expect("a name"), service.settings());
    // 30 is smaller than the original, and 100 is not, for which the original itself is the file
    for quality in [30, 100] {
        let recipe = Recipe::new(Output::Auto(Choice::WebP), Quality::new(quality).expect("in range"));
        let made = service.rendition(&settings, &id, &recipe, &Default::default(), || None).await.expect("made");
        // a file has its name once it is synced
        tokio::task::block_in_place(|| service.flush());
        let version = service.source.version(&id).await.expect("there");
        let effective = service.effective(version, &settings, &recipe).expect("the header is known");
        assert!(service.compared(version, &settings, &effective).is_some(), "the original may be the smallest");
        let file =
            service.file(&settings, &id, &recipe, &Default::default()).await.expect("an answer").expect("a file");
        assert_eq!(file.stored.digest, made.digest, "quality {quality}");
    }
}
