//! A stream with two time limits: one for a request's head from its first byte on, a longer one for silence of either
//! side.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Whether a request is being answered at present, told by the one who answers to the stream under him.
#[derive(Clone, Default)]
pub(super) struct Phase(Arc<AtomicBool>);

impl Phase {
    /// A head has been read.
    pub(super) fn begin_answer(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The answer's own head is made; its body may still be on the way.
    pub(super) fn end_answer(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn answering(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A stream whose reads fail when the other side takes too long.
pub(super) struct Timed<S> {
    stream: S,
    phase: Phase,
    header: Duration,
    idle: Duration,
    /// Whether part of a head has arrived.
    in_head: bool,
    /// Whether a request was being answered when last looked.
    answered: bool,
    limit: Pin<Box<Sleep>>,
}

impl<S> Timed<S> {
    /// `header` counts from the first byte of a head, `idle` from the last sign of life.
    pub(super) fn new(stream: S, phase: Phase, header: Duration, idle: Duration) -> Timed<S> {
        // a connection is opened to send a request, so its first head is awaited from the start
        let limit = Box::pin(tokio::time::sleep(header));
        Timed { stream, phase, header, idle, in_head: true, answered: false, limit }
    }

    fn restart(&mut self, span: Duration) {
        self.limit.as_mut().reset(Instant::now() + span);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        let answering = self.phase.answering();
        if std::mem::replace(&mut self.answered, answering) != answering {
            self.in_head = false;
            let idle = self.idle;
            self.restart(idle);
        }
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before && !answering && !self.in_head {
                    self.in_head = true;
                    let header = self.header;
                    self.restart(header);
                }
                Poll::Ready(result)
            }
            // whoever is being answered may take its time to ask again
            Poll::Pending if answering => Poll::Pending,
            Poll::Pending => {
                ready!(self.limit.as_mut().poll(context));
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "nothing came for too long")))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.sent(written, context)
    }
}

impl<S> Timed<S> {
    /// A client that takes what it is sent, however slowly, is alive; one that takes nothing for too long is not.
    fn sent(&mut self, written: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        if self.in_head {
            // what is sent now answers the head that was read
            self.in_head = false;
            let idle = self.idle;
            self.restart(idle);
        }
        match written {
            Poll::Ready(Ok(count)) => {
                let idle = self.idle;
                self.restart(idle);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                ready!(self.limit.as_mut().poll(context));
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "nothing was taken for too long")))
            }
        }
    }
}
