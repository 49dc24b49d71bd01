//! Listening sockets: bound here, or inherited from the service manager.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::http::clients::Peer;
use crate::http::stream::{LINGER, Timeouts};

/// Unsent bytes of a connection in the kernel at most (TCP_NOTSENT_LOWAT): its own default grows to megabytes for each
/// client that reads nothing. The socket becomes writable when half of them were sent. A slow client must reach that within
/// `send_timeout`, or it looks stalled.
const NOTSENT_LOWAT: u32 = 128 * 1024;

/// Connections in the kernel's accept queue at most.
const BACKLOG: i32 = 1024;

/// File descriptors that are not for connections: listeners, the log, the cache folder and its writers, originals that
/// workers read.
const RESERVED_FILES: u64 = 32;

/// The number of connections that the limit on file descriptors allows, which is raised to its maximum first. Each
/// connection may have a file of the cache or an original open in addition to its socket, and renditions in memory have descriptors,
/// too. More connections wait in the kernel's queue; without descriptors every answer would fail.
pub fn max_connections() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // if it fails the limit stays as it was
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::from(u32::MAX));
    let files = files.saturating_sub(RESERVED_FILES + crate::cache::max_memfds() as u64);
    usize::try_from((files / 2).max(4)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)
}

/// A listening socket.
pub struct Listener {
    socket: ListeningSocket,
    /// Whether the service manager holds the socket as well: connections that are not accepted wait for the next process.
    is_inherited: bool,
}

enum ListeningSocket {
    Tcp(TcpListener),
    /// The file is removed first, while the socket listens: no other process can take its place before.
    Unix(SocketFile, UnixListener),
}

/// A socket's file, which is removed when it is dropped, if this process made it and nothing took its place.
struct SocketFile {
    path: PathBuf,
    /// `None` for an inherited socket.
    inode: Option<u64>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_some() && self.inode == inode(&self.path) {
            // a file that stays is replaced at the next start
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Listener {
    /// Binds `host:port`, or `unix:/path` with the permissions `mode`.
    ///
    /// # Errors
    /// If the address is in use, invalid or not permitted.
    pub async fn bind(address: &str, mode: u32) -> std::io::Result<Listener> {
        let Some(path) = address.strip_prefix("unix:") else {
            let socket = ListeningSocket::Tcp(TcpListener::bind(address).await?);
            return Ok(Listener { socket, is_inherited: false });
        };
        let path = Path::new(path);
        if is_stale(path) {
            std::fs::remove_file(path)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // before it listens, so that there is no moment with other permissions
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = UnixListener::from_std(socket.into())?;
        let file = SocketFile { path: path.to_owned(), inode: inode(path) };
        Ok(Listener { socket: ListeningSocket::Unix(file, listener), is_inherited: false })
    }

    /// Uses a listening socket that the service manager keeps open.
    ///
    /// # Errors
    /// If it is not a listening stream socket of TCP or Unix.
    pub fn inherited(socket: OwnedFd) -> std::io::Result<Listener> {
        let wrong = |what: &'static str| Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, what));
        let socket = Socket::from(socket);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return wrong("it is not a listening stream socket (ListenStream= with Accept=no)");
        }
        socket.set_nonblocking(true)?;
        let socket = match socket.domain()? {
            Domain::IPV4 | Domain::IPV6 => ListeningSocket::Tcp(TcpListener::from_std(socket.into())?),
            Domain::UNIX => {
                let path = socket.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
                let file = SocketFile { path, inode: None };
                ListeningSocket::Unix(file, UnixListener::from_std(socket.into())?)
            }
            _ => return wrong("it is neither a TCP nor a Unix socket"),
        };
        Ok(Listener { socket, is_inherited: true })
    }

    /// The address as a URL, for the log.
    pub fn shown(&self) -> String {
        match &self.socket {
            ListeningSocket::Tcp(listener) => {
                listener.local_addr().map_or_else(|e| e.to_string(), |at| format!("http://{at}/"))
            }
            ListeningSocket::Unix(file, _) => format!("http://unix:{}", file.path.display()),
        }
    }

    /// Whether the service manager holds the socket as well.
    pub(super) fn is_inherited(&self) -> bool {
        self.is_inherited
    }

    /// Accepts a connection; `None` after an error, which is logged.
    pub(super) async fn accept(&self, timeouts: &Timeouts) -> Option<(Accepted, Peer)> {
        let accepted = match &self.socket {
            ListeningSocket::Tcp(listener) => listener.accept().await.map(|(socket, from)| {
                configure(&socket, timeouts);
                (Accepted::Tcp(socket), Peer::Ip(from.ip()))
            }),
            ListeningSocket::Unix(_, listener) => {
                listener.accept().await.map(|(socket, _)| (Accepted::Unix(socket), Peer::Unix))
            }
        };
        match accepted {
            Ok(accepted) => Some(accepted),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // most likely out of file descriptors: retrying in a busy loop would not free any
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

/// The socket of a connection.
pub(super) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

fn configure(socket: &TcpStream, timeouts: &Timeouts) {
    // answers are written whole; waiting to fill a packet only delays the last one
    let _ = socket.set_nodelay(true);
    let socket = SockRef::from(socket);
    // Drops what is unacknowledged for too long, also after the connection was closed on this side. To the kernel a slow
    // client, whose window opens late, looks like a stalled one; while the connection is open, `TimeoutStream` tells them
    // apart, hence the longer limit here.
    let _ = socket.set_tcp_user_timeout(Some(timeouts.send.saturating_mul(4).saturating_add(LINGER)));
    let _ = socket.set_tcp_notsent_lowat(NOTSENT_LOWAT);
}

/// Whether there is a socket that no process listens on, as a killed process leaves it. Connecting to a file that is not a
/// socket is refused in the same way, so its type is checked.
fn is_stale(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|metadata| metadata.ino())
}
