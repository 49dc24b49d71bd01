//! Connections: accepted, bounded in time, drained at the end.
//!
//! hyper's own builder is driven here because the shorter way has no time limit for headers; and its own limit counts
//! from the answer before, so that it would close idle connections as well. [`timed`] tells the two apart.

mod timed;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use timed::{Phase, Timed};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;

use super::{App, Peer};

/// The most bytes of a request's head: a URL of 8 KiB, its headers, and room to answer 414 for a longer one.
const HEAD_BYTES: usize = 64 * 1024;

/// How long a connection may stay with nothing going over it. nginx keeps its own for 60 seconds by default, and it
/// should be the one who closes.
const IDLE: Duration = Duration::from_secs(75);

/// File descriptors that are not for connections: listeners, the log, the cache's folder and its writers, originals that
/// are being read by workers.
const RESERVED_FILES: u64 = 32;

/// How many connections there can be at a time: each may have a file of the cache open beside its own. What the system
/// allows a process by default is raised to what it allows at all first. Whoever comes beyond waits in the kernel's queue,
/// which costs nothing, where without files every answer would fail.
pub fn connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // below what it is already it cannot fall
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::from(u32::MAX));
    usize::try_from((files.saturating_sub(RESERVED_FILES) / 2).max(4)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// Where connections come in.
pub enum Listener {
    /// From the network.
    Tcp(TcpListener),
    /// Through a socket in the file system, removed at the end.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds `host:port`, or `unix:/path` with mode 0660.
    ///
    /// # Errors
    /// Where the address is taken, wrong or not ours to bind.
    pub async fn bind(address: &str) -> std::io::Result<Listener> {
        let Some(path) = address.strip_prefix("unix:") else {
            return Ok(Listener::Tcp(TcpListener::bind(address).await?));
        };
        let path = PathBuf::from(path);
        // a socket that nobody listens on is what a killed process leaves behind
        if std::os::unix::net::UnixStream::connect(&path)
            .is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
        {
            std::fs::remove_file(&path)?;
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o660))?;
        Ok(Listener::Unix(listener, path))
    }

    /// The address to show: a URL for TCP, `unix:/path` for a socket.
    pub fn shown(&self) -> String {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|e| e.to_string(), |at| format!("http://{at}/"))
            }
            Listener::Unix(_, path) => format!("http://unix:{}", path.display()),
        }
    }
}

/// Serves until `stop` ends, then waits for the requests in flight, at most `patience`. Says whether all ended in time.
/// There are never more connections than `places`, which several listeners may share.
pub async fn serve(
    listener: Listener, app: App, places: Arc<Semaphore>, header_timeout: Duration, stop: impl Future<Output = ()>,
    patience: Duration,
) -> bool {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES).half_close(false);
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (accept(&listener).await, place)
        };
        let (stream, place) = tokio::select! {
            next = next => next,
            () = &mut stop => break,
        };
        let Some((stream, peer)) = stream else { continue };
        let phase = Phase::default();
        let stream = Timed::new(stream, phase.clone(), header_timeout, IDLE);
        let app = app.for_peer(peer);
        let service = service_fn(move |request| {
            phase.begin_answer();
            let (app, phase) = (app.clone(), phase.clone());
            async move {
                let response = app.answer(request).await;
                phase.end_answer();
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _place = place;
            // a client that breaks off is no event
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    if let Listener::Unix(_, path) = &listener {
        // whoever comes next makes its own
        let _ = std::fs::remove_file(path);
    }
    drop(listener);
    tokio::time::timeout(patience, graceful.shutdown()).await.is_ok()
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The next connection; `None` after a failure that may pass.
async fn accept(listener: &Listener) -> Option<(Box<dyn Stream>, Peer)> {
    let accepted: std::io::Result<(Box<dyn Stream>, Peer)> = match listener {
        Listener::Tcp(listener) => listener.accept().await.map(|(stream, from)| {
            // answers are written whole; waiting to fill a packet only delays the last one
            let _ = stream.set_nodelay(true);
            (Box::new(stream) as _, Peer::Ip(from.ip()))
        }),
        Listener::Unix(listener, _) => listener.accept().await.map(|(stream, _)| (Box::new(stream) as _, Peer::Unix)),
    };
    match accepted {
        Ok(accepted) => Some(accepted),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // out of file descriptors, most likely: turning at full speed would not bring any back
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
