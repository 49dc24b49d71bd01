//! Inspections of originals: how many wait, and for whom.

use tokio::task::JoinSet;

use super::*;
use crate::render::Settings;
use crate::service::workers;
use crate::source::Files;

/// A service with so many equal originals.
fn service(root: &std::path::Path, originals: usize) -> (Arc<Service>, Vec<ImageId>) {
    let original = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/generated/grey.png");
    let ids: Vec<ImageId> =
        (0..originals).map(|number| ImageId::of(&format!("{number}.png")).expect("a name")).collect();
    for id in &ids {
        std::fs::copy(original, root.join(id.as_str())).expect("copied");
    }
    let cache = crate::cache::Config { dir: None, max_bytes: 0, max_files: 0, min_free: 0, memory: 0 };
    let deadline = Duration::from_secs(60);
    let workers = workers::Config { workers: 1, queue: 10, memory: 1 << 28, deadline, decode_cache: 0 };
    let source = Files::new(root, 1 << 20).expect("a folder");
    (Service::new(Arc::new(source), &cache, workers, Settings::default()), ids)
}

#[tokio::test]
async fn waiting_inspections_are_bounded_and_end_with_their_clients() {
    const REFUSED: usize = 5;
    let root = tempfile::tempdir().expect("a folder");
    let (service, ids) = service(root.path(), MAX_WAITING + REFUSED);
    let busy = service.inspections.permits.acquire_many(MAX_INSPECTIONS as u32).await.expect("never closed");
    let mut requests = JoinSet::new();
    for id in ids.clone() {
        let service = Arc::clone(&service);
        requests.spawn(async move { service.original(&id).await.map(|answer| answer.digest) });
    }
    for _ in 0..REFUSED {
        let refused = requests.join_next().await.expect("a request").expect("no panic");
        assert!(matches!(refused, Err(Error::Work(WorkError::Overloaded { .. }))), "{refused:?}");
    }
    assert_eq!(service.inspections.places.available_permits(), 0);
    // the clients leave
    requests.shutdown().await;
    while service.inspections.places.available_permits() < MAX_WAITING {
        tokio::task::yield_now().await;
    }
    drop(busy);
    service.originals.run_pending_tasks();
    assert_eq!(service.originals.entry_count(), 0, "none was inspected");
    assert!(service.original(&ids[0]).await.is_ok());
}

#[tokio::test]
async fn concurrent_requests_share_an_inspection_that_outlives_the_first() {
    let root = tempfile::tempdir().expect("a folder");
    let (service, ids) = service(root.path(), 1);
    let busy = service.inspections.permits.acquire_many(MAX_INSPECTIONS as u32).await.expect("never closed");
    let mut requests = Vec::new();
    for _ in 0..3 {
        let (service, id) = (Arc::clone(&service), ids[0].clone());
        requests.push(tokio::spawn(async move { service.original(&id).await.map(|answer| answer.digest) }));
    }
    while service.inspections.places.available_permits() == MAX_WAITING {
        tokio::task::yield_now().await;
    }
    requests.remove(0).abort();
    drop(busy);
    for request in requests {
        request.await.expect("no panic").expect("an original");
    }
    assert_eq!(service.inspections.places.available_permits(), MAX_WAITING);
}
