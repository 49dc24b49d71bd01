//! Bodies of images: whole from memory, or read from an original's file while they are sent.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::headers::Head;
use super::state::State;
use super::traffic::{Outcome, Streamed};
use crate::service::Payload;
use crate::source::{Chunks, Error};
use crate::sync;

/// Adds the part of the body that the head announces.
///
/// The first chunk of an original is read before anything is sent, so an original of one chunk is never cut off.
///
/// # Errors
/// If the first chunk cannot be read.
pub(super) async fn attach(head: Head, payload: Payload, state: &State) -> Result<Response, Error> {
    let Head { mut response, part } = head;
    let Some(part) = part else { return Ok(response) };
    match payload {
        Payload::Memory { bytes, memfd } => {
            let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let part = index(part.start)..index(part.end);
            *response.body_mut() = Body::from(bytes.slice(part));
            if let Some(memfd) = memfd {
                // for sendfile
                response.extensions_mut().insert(memfd);
            }
        }
        Payload::Original(opened) => {
            let left = part.end - part.start;
            let mut chunks = opened.read(part);
            let next = chunks.next().await.transpose()?;
            *response.body_mut() = Body::new(OriginalBody { next, chunks, left, state: state.clone() });
            response.extensions_mut().insert(Streamed);
        }
    }
    Ok(response)
}

/// A part of an original.
struct OriginalBody {
    /// A chunk that was read ahead.
    next: Option<Bytes>,
    chunks: Chunks,
    /// Bytes that are still to be sent.
    left: u64,
    state: State,
}

impl HttpBody for OriginalBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let chunk = match this.next.take() {
            Some(chunk) => Some(Ok(chunk)),
            None => ready!(this.chunks.poll_next(context)),
        };
        Poll::Ready(chunk.map(|chunk| {
            let chunk = chunk.inspect_err(|error| this.fail(error))?;
            this.left = this.left.saturating_sub(chunk.len() as u64);
            this.state.traffic.add_bytes(Outcome::Original, chunk.len() as u64);
            Ok(Frame::data(chunk))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl OriginalBody {
    /// Counts and logs the error. The connection is closed, and the answer is shorter than its `Content-Length`.
    fn fail(&self, error: &Error) {
        if matches!(error, Error::Changing) {
            self.state.service.stats().cut_off.fetch_add(1, Ordering::Relaxed);
        }
        tracing::warn!(%error, left = self.left, "the original could not be sent to its end");
    }
}

/// A body that yields a chunk only once the previous one was sent. hyper would buffer as much as the longest head, for each
/// client that reads nothing.
///
/// A consumer that keeps a chunk never gets the next one, so this is for connections only.
pub(super) struct BackpressureBody {
    body: Body,
    in_flight: InFlight,
}

impl BackpressureBody {
    pub(super) fn new(body: Body) -> BackpressureBody {
        BackpressureBody { body, in_flight: InFlight::default() }
    }
}

/// Whether a chunk is in flight, and the task that waits for its end.
#[derive(Clone, Default)]
struct InFlight(Arc<Mutex<(bool, Option<Waker>)>>);

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, (bool, Option<Waker>)> {
        sync::lock(&self.0)
    }
}

/// A chunk in flight.
struct Chunk {
    bytes: Bytes,
    in_flight: InFlight,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let waiting = std::mem::take(&mut *self.in_flight.lock()).1;
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl HttpBody for BackpressureBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>, context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        {
            let mut in_flight = this.in_flight.lock();
            if in_flight.0 {
                in_flight.1 = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            Ok(frame?.map_data(|bytes| {
                this.in_flight.lock().0 = true;
                Bytes::from_owner(Chunk { bytes, in_flight: this.in_flight.clone() })
            }))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::task::Wake;

    use super::*;

    /// A body of that many chunks of one byte.
    struct Numbers(u8);

    impl HttpBody for Numbers {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>, _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
            self.0 = left;
            Poll::Ready(Some(Ok(Frame::data(vec![left].into()))))
        }
    }

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn next_chunk_waits_until_the_previous_one_is_dropped() {
        let woken = Arc::new(Woken::default());
        let waker = Arc::clone(&woken).into();
        let mut body = BackpressureBody::new(Body::new(Numbers(2)));
        let mut poll = || Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker));
        for expected in [1, 0] {
            let Poll::Ready(Some(Ok(frame))) = poll() else { panic!("no chunk {expected}") };
            let chunk = frame.into_data().expect("bytes");
            assert_eq!(chunk, [expected].as_slice());
            // a slice keeps the chunk
            let part = chunk.slice(..);
            drop(chunk);
            assert!(poll().is_pending());
            assert!(!woken.0.swap(false, Ordering::Relaxed));
            drop(part);
            assert!(woken.0.swap(false, Ordering::Relaxed));
        }
        assert!(matches!(poll(), Poll::Ready(None)));
    }
}
