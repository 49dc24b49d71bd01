//! The layers of a connection's byte stream, between the socket and hyper. From the socket up:
//! [`CountedStream`], [`HalfCloseStream`], [`TimeoutStream`], [`RefusalStream`].

mod counted;
mod half_close;
mod refusal;
mod state;
mod timeout;

use std::io::Result;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

pub(super) use counted::CountedStream;
pub(super) use half_close::HalfCloseStream;
pub(super) use refusal::RefusalStream;
pub(super) use state::{ConnectionState, TrackedBody};
pub use timeout::Timeouts;
pub(super) use timeout::{LINGER, TimeoutStream};

/// The lowest layer of a connection.
pub(super) trait Transport: AsyncRead + AsyncWrite + Abort + Probe + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Abort + Probe + Send + Unpin> Transport for S {}

/// A stream that can be reset.
pub(super) trait Abort {
    /// From now on closing the stream drops what the other end has not received, and tells it so.
    fn abort(&self);
}

impl Abort for TcpStream {
    fn abort(&self) {
        // fails only if the connection has ended already
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }
}

impl Abort for UnixStream {
    /// Closing it drops what was not received in any case.
    fn abort(&self) {}
}

impl Abort for Box<dyn Transport> {
    fn abort(&self) {
        self.as_ref().abort();
    }
}

/// A stream that can tell whether its other end is still there, without reading or sending anything.
pub(super) trait Probe {
    /// Waits until there is something to read, which the end of the stream and an error are, too.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Bytes that a read of one byte would return; 0 at the end of the stream. They stay to be read.
    fn peek(&self) -> Result<usize>;

    /// Fails if the other end is gone.
    fn probe(&self) -> Result<()>;
}

/// Forwards [`Probe`] to the inner stream, which the method `$stream` returns.
macro_rules! forward_probe {
    ($stream:ident) => {
        fn poll_readable(&self, context: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
            self.$stream().poll_readable(context)
        }

        fn peek(&self) -> std::io::Result<usize> {
            self.$stream().peek()
        }

        fn probe(&self) -> std::io::Result<()> {
            self.$stream().probe()
        }
    };
}
pub(super) use forward_probe;

impl Probe for Box<dyn Transport> {
    forward_probe!(as_ref);
}
