//! Permits, deadlines and refusals, with threads that really block.

use super::*;

const SMALL: Need = Need { class: Class::Light, bytes: 1, time: None };

impl Workers {
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, WorkError> {
        self.admission().permit(SMALL).await?.run(|_| work()).await
    }
}

fn workers(workers: usize, queue: usize, deadline: Duration) -> Arc<Workers> {
    Arc::new(Workers::new(Config { workers, queue, memory: 100, deadline, decode_cache: 0 }))
}

/// Blocks a worker until the sender is dropped.
async fn occupy(
    workers: &Arc<Workers>,
) -> (std::sync::mpsc::Sender<()>, tokio::task::JoinHandle<Result<Result<(), std::sync::mpsc::RecvError>, WorkError>>) {
    let busy = workers.busy();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let first = tokio::spawn({
        let workers = Arc::clone(workers);
        async move { workers.run(move || wait.recv()).await }
    });
    while workers.busy() == busy || workers.longest().is_none() {
        tokio::task::yield_now().await;
    }
    (go, first)
}

#[tokio::test]
async fn render_beyond_the_queue_is_refused_at_once() {
    let workers = workers(1, 1, Duration::from_secs(60));
    let (go, first) = occupy(&workers).await;
    let second = tokio::spawn({
        let workers = Arc::clone(&workers);
        async move { workers.run(|| 2).await }
    });
    while workers.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(workers.run(|| 3).await, Err(WorkError::Overloaded { .. })));
    go.send(()).expect("the first waits for it");
    assert_eq!(second.await.expect("no panic"), Ok(2));
    assert!(first.await.expect("no panic").is_ok());
    assert_eq!((workers.busy(), workers.waiting(), workers.memory(), workers.refused()), (0, 0, 0, 1));
}

#[tokio::test]
async fn wait_ends_at_the_deadline() {
    let workers = workers(1, 1, Duration::from_millis(200));
    let (go, first) = occupy(&workers).await;
    assert_eq!(workers.run(|| 2).await, Err(WorkError::DeadlineExceeded));
    assert_eq!(workers.waiting(), 0);
    drop(go);
    assert!(first.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn cancelled_wait_leaves_the_queue() {
    let workers = workers(1, 2, Duration::from_secs(60));
    let (go, first) = occupy(&workers).await;
    let cancelled = tokio::spawn({
        let workers = Arc::clone(&workers);
        async move { workers.run(|| unreachable!("nobody waits for this")).await }
    });
    while workers.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    cancelled.abort();
    assert!(cancelled.await.is_err());
    assert_eq!(workers.waiting(), 0);
    drop(go);
    assert!(first.await.expect("no panic").is_ok());
    assert_eq!(workers.run(|| 1).await, Ok(1));
}

#[tokio::test]
async fn render_that_needs_more_waits_at_its_old_position() {
    let workers = workers(2, 4, Duration::from_secs(60));
    let mut first = workers.admission();
    let permit = first.permit(Need { bytes: 60, ..SMALL }).await.expect("free");
    let mut second = workers.admission();
    let need = |bytes| Need { bytes, ..SMALL };
    let small = second.permit(need(10)).await.expect("free");
    assert!(!small.run(move |grant| grant.try_resize(need(50))).await.expect("no panic"));
    assert_eq!(workers.memory(), 60);
    let again = tokio::spawn({
        let workers = Arc::clone(&workers);
        async move {
            let mut admission = workers.admission();
            let permit = admission.permit(need(50)).await.expect("in the end");
            permit.run(move |grant| grant.try_resize(need(40))).await
        }
    });
    while workers.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let mut waiting = std::pin::pin!(second.permit(need(50)));
    assert!(tokio::time::timeout(Duration::from_millis(10), waiting.as_mut()).await.is_err());
    assert_eq!(workers.waiting(), 2);
    drop(permit);
    let large = waiting.await.expect("free");
    // the later one waits for the rest
    assert_eq!((workers.memory(), workers.busy()), (100, 2));
    drop(large);
    assert_eq!(again.await.expect("no panic"), Ok(true));
    assert_eq!((workers.busy(), workers.memory()), (0, 0));
}

#[tokio::test]
async fn panic_releases_its_permit() {
    let workers = workers(1, 1, Duration::from_secs(60));
    assert_eq!(workers.run(|| panic!("a bug")).await, Err::<(), _>(WorkError::Panicked));
    assert_eq!(workers.run(|| 1).await, Ok(1));
    assert_eq!(workers.longest(), None);
}

#[tokio::test]
async fn idle_work_waits_for_renders_and_has_its_own_thread() {
    let workers = workers(1, 1, Duration::from_millis(50));
    let (go, first) = occupy(&workers).await;
    let idle = tokio::spawn({
        let workers = Arc::clone(&workers);
        async move {
            let permit = workers.idle_permit(SMALL).await.expect("it is small");
            permit.run_idle(|_| (0..1_000_000).fold(0_u64, |sum, number| std::hint::black_box(sum + number))).await
        }
    });
    // beyond the deadline of requests
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!idle.is_finished());
    assert_eq!((workers.waiting(), workers.pressure().is_short()), (0, true));
    drop(go);
    assert!(first.await.expect("no panic").is_ok());
    let (sum, cpu) = idle.await.expect("no panic").expect("it runs");
    assert_eq!(sum, 499_999_500_000);
    assert!(cpu > Duration::ZERO);
    assert!(workers.idle_permit(Need { bytes: 26, ..SMALL }).await.is_none(), "of a hundred");
    let panicked = workers.idle_permit(SMALL).await.expect("free").run_idle(|_| panic!("a bug")).await;
    assert_eq!(panicked, Err::<((), Duration), _>(WorkError::Panicked));
    assert_eq!((workers.memory(), workers.refused()), (0, 0));
}

#[tokio::test]
async fn longest_shows_a_render_that_hangs() {
    let workers = workers(2, 1, Duration::from_secs(60));
    let (go, stuck) = occupy(&workers).await;
    let then = workers.longest();
    assert_eq!(workers.run(|| 1).await, Ok(1));
    assert!(workers.longest() > then, "others end, and it still runs");
    drop(go);
    assert!(stuck.await.expect("no panic").is_ok());
    assert_eq!(workers.longest(), None);
}
