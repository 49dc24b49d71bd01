//! Connections: accepted, bounded in number and time, drained at the end.

mod connection;
mod listener;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::app::App;
pub use super::stream::Timeouts;
pub use listener::{Listener, max_connections};

/// Serves until `stop` completes, then waits at most `grace` for the requests in flight; returns whether all were finished.
/// A connection holds one of `permits`, which several listeners may share.
pub async fn serve(
    listener: Listener, app: App, permits: Arc<Semaphore>, timeouts: Timeouts, stop: impl Future<Output = ()>,
    grace: Duration,
) -> bool {
    let (end, ended) = watch::channel(false);
    let mut stop = std::pin::pin!(stop);
    let next = async || {
        let permit = Arc::clone(&permits).acquire_owned().await;
        (listener.accept(&timeouts).await, permit)
    };
    let spawn = |(accepted, permit)| {
        let Some((socket, peer)) = accepted else { return };
        let connection = connection::serve(socket, app.for_peer(peer), timeouts, ended.clone());
        tokio::spawn(async move {
            let _permit = permit;
            connection.await;
        });
    };
    loop {
        tokio::select! {
            next = next() => spawn(next),
            () = &mut stop => break,
        }
    }
    // clients whose connections are in the kernel's queue are served here, or by the next process if it has the socket, too
    while !listener.is_inherited()
        && let Ok(next) = tokio::time::timeout(Duration::ZERO, next()).await
    {
        spawn(next);
    }
    drop(listener);
    drop(ended);
    // fails if there are no connections
    let _ = end.send(true);
    tokio::time::timeout(grace, end.closed()).await.is_ok()
}
