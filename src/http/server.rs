//! Connections: accepted, bounded in time, drained at the end.
//!
//! hyper's own builder is driven here because the shorter way has no time limit for headers; and its own limit counts
//! from the answer before, so that it would close idle connections as well. [`timed`] tells the two apart. Most requests never
//! get as far as hyper: [`shortcut`] answers them in its place.

mod direct;
mod half_close;
mod line;
mod shortcut;
mod timed;

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use direct::{Direct, Outgoing, Raw};
use half_close::{HalfClose, Probe};
use http::{HeaderValue, Request, Response, header};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use shortcut::Shortcut;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use timed::{Abort, LINGER, Phase, Timed};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use super::payload::{OneAtATime, Streamed};
use super::traffic::Counted;
use super::{App, Peer, host};

pub use timed::Patience;

/// The most bytes of a request's head: a URL of 8 KiB, its headers, and room to answer 414 for a longer one. More, or more
/// headers than hyper's hundred, is a 431.
const HEAD_BYTES: usize = 64 * 1024;

/// Bytes of an answer that the kernel takes before the client's side has asked for them. What it would take by itself
/// grows to megabytes for each client that reads nothing. It says that it takes more when half of them have left, by which
/// a slow client is known from one that takes nothing, so that must not take as long as `send_timeout`.
const AHEAD: u32 = 128 * 1024;

/// Connections in the kernel's queue that were not accepted yet.
const BACKLOG: i32 = 1024;

/// How long the next request of an idle connection is waited for at the end.
const ONE_MORE: Duration = Duration::from_millis(100);

/// File descriptors that are not for connections: listeners, the log, the cache's folder and its writers, originals that
/// are being read by workers.
const RESERVED_FILES: u64 = 32;

/// How many connections there can be at a time: each may have a file of the cache or an original open beside its own, and
/// some are of what is in memory. What the system allows a process by default is raised to what it allows at all first. Whoever comes beyond waits in the kernel's queue,
/// which costs nothing, where without files every answer would fail.
pub fn connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // below what it is already it cannot fall
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::from(u32::MAX));
    let files = files.saturating_sub(RESERVED_FILES + crate::cache::sealed_files() as u64);
    usize::try_from((files / 2).max(4)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// Where connections come in.
pub struct Listener {
    socket: ListeningSocket,
    /// Whether another process holds the socket as well: connections that are not accepted wait there for the next one.
    is_inherited: bool,
}

enum ListeningSocket {
    /// From the network.
    Tcp(TcpListener),
    /// Through a socket in the file system.
    Unix(UnixListener, SocketFile),
}

/// A socket in the file system.
struct SocketFile {
    path: PathBuf,
    /// The one that this process made, and removes at the end.
    inode: Option<u64>,
}

impl Listener {
    /// Binds `host:port`, or `unix:/path` with those permissions.
    ///
    /// # Errors
    /// Where the address is taken, wrong or not ours to bind.
    pub async fn bind(address: &str, mode: u32) -> std::io::Result<Listener> {
        let Some(path) = address.strip_prefix("unix:") else {
            let socket = ListeningSocket::Tcp(TcpListener::bind(address).await?);
            return Ok(Listener { socket, is_inherited: false });
        };
        let path = Path::new(path);
        if is_left_behind(path) {
            std::fs::remove_file(path)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // nobody gets in before it listens
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(socket.into())?;
        let file = SocketFile { path: path.to_owned(), inode: inode(path) };
        Ok(Listener { socket: ListeningSocket::Unix(listener, file), is_inherited: false })
    }

    /// Takes over a socket that listens already and that the service manager keeps open.
    ///
    /// # Errors
    /// Where it is no listening stream socket of TCP or in the file system.
    pub fn inherited(socket: OwnedFd) -> std::io::Result<Listener> {
        let wrong = |what: &'static str| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
        let socket = Socket::from(socket);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return wrong("it is no stream socket that listens (ListenStream=, with Accept=no)");
        }
        socket.set_nonblocking(true)?;
        let socket = match socket.domain()? {
            Domain::IPV4 | Domain::IPV6 => ListeningSocket::Tcp(TcpListener::from_std(socket.into())?),
            Domain::UNIX => {
                let path = socket.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
                let file = SocketFile { path, inode: None };
                ListeningSocket::Unix(UnixListener::from_std(socket.into())?, file)
            }
            _ => return wrong("it is neither a socket of TCP nor one in the file system"),
        };
        Ok(Listener { socket, is_inherited: true })
    }

    /// The address to show: a URL for TCP, `unix:/path` for a socket.
    pub fn shown(&self) -> String {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                listener.local_addr().map_or_else(|e| e.to_string(), |at| format!("http://{at}/"))
            }
            ListeningSocket::Unix(_, file) => format!("http://unix:{}", file.path.display()),
        }
    }
}

/// Whether a socket is there that nobody listens on, which is what a killed process leaves behind. A file is refused in the
/// same way when it is connected to, and is not ours.
fn is_left_behind(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}

/// Serves until `stop` ends, then waits for the requests in flight, at most `patience`. Says whether all ended in time.
/// There are never more connections than `places`, which several listeners may share.
pub async fn serve(
    listener: Listener, app: App, places: Arc<Semaphore>, limits: Patience, stop: impl Future<Output = ()>,
    patience: Duration,
) -> bool {
    let (end, ended) = watch::channel(false);
    let mut stop = std::pin::pin!(stop);
    let next = async || {
        let place = Arc::clone(&places).acquire_owned().await;
        (accept(&listener, &limits).await, place)
    };
    let attend = |(accepted, place): (Option<(Box<dyn Stream>, Peer)>, _)| {
        let Some((stream, peer)) = accepted else { return };
        let connection = connection(stream, app.for_peer(peer), limits, ended.clone());
        tokio::spawn(async move {
            let _place = place;
            connection.await;
        });
    };
    loop {
        tokio::select! {
            next = next() => attend(next),
            () = &mut stop => break,
        }
    }
    // whoever is connected already, as far as he knows, is answered, here or by the next process
    while !listener.is_inherited
        && let Ok(next) = tokio::time::timeout(Duration::ZERO, next()).await
    {
        attend(next);
    }
    if let ListeningSocket::Unix(_, file) = &listener.socket
        && file.inode.is_some()
        && file.inode == inode(&file.path)
    {
        // whoever comes next makes its own
        let _ = std::fs::remove_file(&file.path);
    }
    drop(listener);
    drop(ended);
    // nobody listens where no connection is left
    let _ = end.send(true);
    tokio::time::timeout(patience, end.closed()).await.is_ok()
}

/// One connection, to its end.
async fn connection(stream: Box<dyn Stream>, app: App, limits: Patience, mut ended: watch::Receiver<bool>) {
    let phase = Phase::default();
    let outgoing = stream.outgoing();
    let stream = Counted::new(stream, app.connect());
    let stream = HalfClose::new(stream, phase.clone());
    let stream = Timed::new(stream, phase.clone(), limits);
    let stream = Shortcut::new(stream, app.clone(), phase.clone(), outgoing.clone());
    let service = service_fn(|request| {
        phase.begin_answer();
        let (app, phase, outgoing) = (&app, &phase, &outgoing);
        async move {
            let mut response = answer(app, phase, request).await;
            if response.extensions_mut().remove::<Streamed>().is_some() {
                response = response.map(|body| axum::body::Body::new(OneAtATime::new(body)));
            }
            outgoing.set(response.extensions_mut().remove().as_ref());
            if phase.is_leaving() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            phase.end_answer();
            Ok::<_, std::convert::Infallible>(response.map(|body| Told { body, phase: phase.clone() }))
        }
    });
    let mut builder = http1::Builder::new();
    // a client may end its side once it has asked; whether it has left altogether is for `HalfClose` to find out
    builder.max_buf_size(HEAD_BYTES).half_close(true);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let over = tokio::select! {
        biased;
        done = connection.as_mut() => Some(done),
        // whoever is told to end would be told by the server's end as well
        _ = ended.wait_for(|ended| *ended) => None,
    };
    let done = match over {
        Some(done) => done,
        None => {
            // A connection that is closed in the moment in which its next request is under way loses that request. So it
            // gets a moment for one more, whose answer says that the connection ends (RFC 9112 §9.6)
            phase.leave();
            loop {
                let before = phase.requests();
                match tokio::time::timeout(ONE_MORE, connection.as_mut()).await {
                    Ok(done) => break done,
                    Err(_) if phase.requests() == before && phase.bodies() == before => {
                        connection.as_mut().graceful_shutdown();
                        break connection.await;
                    }
                    Err(_) => {}
                }
            }
        }
    };
    // a client that breaks off is no event
    if let Err(error) = done {
        tracing::debug!(%error, "a connection ended early");
        if error.is_parse() {
            app.log_refusal(&error.to_string());
            if !phase.is_refused() {
                app.count_unanswered_head();
            }
        }
    }
}

/// A body that tells when it has been taken over by whoever sends it.
struct Told {
    body: axum::body::Body,
    phase: Phase,
}

impl hyper::body::Body for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>, context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.phase.end_body();
    }
}

/// The answer to a request, if its head says clearly where it ends and for whom it is.
async fn answer(app: &App, phase: &Phase, request: Request<Incoming>) -> Response<axum::body::Body> {
    let headers = request.headers();
    // a request with two hosts, or one that cannot be, may be read otherwise by whatever stands in front
    if !host::is_valid(request.version(), request.uri(), headers) {
        phase.refuse();
        return app.refuse_host(&request);
    }
    // a Content-Length beside it has been taken out before one can see it; whoever sent both may have meant the other
    // end, and what lies between the two would be a request of his making (RFC 9112 §6.1)
    let ends_in_two_ways = headers.contains_key(header::TRANSFER_ENCODING);
    let mut response = app.answer(request).await;
    if ends_in_two_ways {
        phase.refuse();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

trait Stream: AsyncRead + AsyncWrite + Abort + Probe + Send + Unpin {
    /// Where it is told what is sent.
    fn outgoing(&self) -> Outgoing;
}

impl<S: Raw + Probe> Stream for Direct<S> {
    fn outgoing(&self) -> Outgoing {
        Direct::outgoing(self)
    }
}

impl<S: Abort> Abort for Counted<S> {
    fn abort(&self) {
        self.stream().abort();
    }
}

impl Abort for Box<dyn Stream> {
    fn abort(&self) {
        self.as_ref().abort();
    }
}

impl Abort for TcpStream {
    fn abort(&self) {
        // fails only if it has ended already
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Abort for UnixStream {
    /// Closing it drops what was not taken anyhow.
    fn abort(&self) {}
}

/// The next connection; `None` after a failure that may pass.
async fn accept(listener: &Listener, limits: &Patience) -> Option<(Box<dyn Stream>, Peer)> {
    let accepted: std::io::Result<(Box<dyn Stream>, Peer)> = match &listener.socket {
        ListeningSocket::Tcp(listener) => listener.accept().await.map(|(stream, from)| {
            // answers are written whole; waiting to fill a packet only delays the last one
            let _ = stream.set_nodelay(true);
            let socket = SockRef::from(&stream);
            // ends what is unacknowledged for too long, also after the connection was closed on this side. Whoever takes
            // little now and then has a window that opens late, which the kernel does not tell from one that never does;
            // while the connection is open, that is for `Timed` to tell
            let _ = socket.set_tcp_user_timeout(Some(limits.send.saturating_mul(4).saturating_add(LINGER)));
            let _ = socket.set_tcp_notsent_lowat(AHEAD);
            (Box::new(Direct::new(stream)) as _, Peer::Ip(from.ip()))
        }),
        ListeningSocket::Unix(listener, _) => {
            listener.accept().await.map(|(stream, _)| (Box::new(Direct::new(stream)) as _, Peer::Unix))
        }
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
