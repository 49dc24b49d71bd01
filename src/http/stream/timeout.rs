//! Time limits of a connection: on a request's head from its first byte on, on a client that does not receive its answer,
//! and a longer one on silence between requests.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{Abort, ConnectionState};
use crate::clock;

/// The slowest rate at which a client may receive an answer, in bytes per second, from the moment on when it first stalls:
/// a client that takes a byte now and then would hold an answer for ever.
const MIN_RATE: u64 = 4 * 1024;

/// How long input is read and discarded after the last answer (lingering close). Unread input makes the kernel reset the
/// connection, and the reset can overtake the answer.
pub(in crate::http) const LINGER: Duration = Duration::from_secs(2);

/// The same for a refused client, which may still be sending: its next bytes would reset the connection and drop the answer
/// (RFC 9112 §9.6). It is waited for even if it is silent, up to the first limit; nginx has the same two limits.
const LINGER_SILENT: Duration = Duration::from_secs(5);
const LINGER_REFUSED: Duration = Duration::from_secs(30);

/// Bytes that are discarded at most.
const MAX_LINGER_BYTES: u64 = 64 << 20;

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Limit on a request's head, from its first byte on.
    pub header: Duration,
    /// Limit on a client that receives nothing of its answer.
    pub send: Duration,
    /// Limit on silence between requests.
    pub idle: Duration,
}

/// A stream whose reads and writes fail when the client is too slow.
pub(in crate::http) struct TimeoutStream<S> {
    stream: S,
    state: ConnectionState,
    timeouts: Timeouts,
    /// Whether a part of a head has arrived.
    in_head: bool,
    /// Whether a request was being answered at the last read.
    was_answering: bool,
    sending: Sending,
    /// Bytes that were discarded after the last answer, and the end of the lingering; `None` before the last answer.
    lingering: Option<(u64, Instant)>,
    deadline: Instant,
    /// Fires at the deadline or before, and is then reset if the deadline has moved. Resetting it at every step of every
    /// request costs more than everything else in this layer.
    timer: Pin<Box<Sleep>>,
}

/// The progress of one answer.
#[derive(Default)]
struct Sending {
    /// The number of its request.
    request: u64,
    /// Bytes written since the client first stalled.
    written: u64,
    /// When the client first stalled.
    since: Option<Instant>,
    /// Whether the client is stalled at present.
    stalled: bool,
}

impl<S> TimeoutStream<S> {
    pub(in crate::http) fn new(stream: S, state: ConnectionState, timeouts: Timeouts) -> TimeoutStream<S> {
        // clients connect in order to send a request, so the limit on the first head runs from the start
        let timer = Box::pin(tokio::time::sleep(timeouts.header));
        TimeoutStream {
            stream,
            state,
            timeouts,
            in_head: true,
            was_answering: false,
            sending: Sending::default(),
            lingering: None,
            deadline: timer.deadline(),
            timer,
        }
    }

    /// Restarts the deadline, unless the client is stalled.
    fn restart(&mut self, span: Duration) {
        if !self.sending.stalled {
            self.deadline = Instant::from_std(clock::instant()) + span;
            if self.deadline < self.timer.deadline() {
                self.timer.as_mut().reset(self.deadline);
            }
        }
    }

    fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
        self.timer.as_mut().reset(deadline);
    }

    /// Registers the task with the timer during an answer, when there is no deadline: a pending read is polled again only
    /// when input arrives, not when the answer has left and the idle timeout begins.
    fn stay_awake(&mut self, context: &mut Context<'_>) {
        while self.timer.as_mut().poll(context).is_ready() {
            self.set_deadline(Instant::now() + self.timeouts.idle.max(Duration::from_millis(1)));
        }
    }

    /// Ready at the deadline.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            if self.deadline <= self.timer.deadline() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }
}

impl<S: AsyncRead + Abort + Unpin> AsyncRead for TimeoutStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let answering = this.state.is_answering();
        if std::mem::replace(&mut this.was_answering, answering) != answering {
            this.in_head = false;
            this.restart(this.timeouts.idle);
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(result) => {
                let is_more = buffer.filled().len() > before;
                if is_more && !answering && !this.in_head {
                    this.in_head = true;
                    this.restart(this.timeouts.header);
                }
                Poll::Ready(result)
            }
            // there is no limit on the next request while this one is being answered
            Poll::Pending if answering => {
                this.stay_awake(context);
                Poll::Pending
            }
            Poll::Pending => {
                ready!(this.poll_deadline(context));
                if this.sending.stalled {
                    this.stream.abort();
                }
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client sent nothing for too long")))
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Abort + Unpin> AsyncWrite for TimeoutStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(result, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Ends the sending side, then reads and discards what the client still sends.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let is_refused = this.state.is_refused();
        let (mut read, until) = match this.lingering {
            Some(lingering) => lingering,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
                let now = Instant::now();
                let (first, last) = if is_refused { (LINGER_SILENT, LINGER_REFUSED) } else { (LINGER, LINGER) };
                this.set_deadline(now + first);
                *this.lingering.insert((0, now + last))
            }
        };
        let mut bytes = [std::mem::MaybeUninit::uninit(); 8 * 1024];
        loop {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let count = match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().len() as u64,
                Poll::Ready(Err(_)) => 0,
                // the client has sent nothing beyond its request
                Poll::Pending if read == 0 && !is_refused => 0,
                Poll::Pending => {
                    ready!(this.poll_deadline(context));
                    0
                }
            };
            read += count;
            if count == 0 || read > MAX_LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            this.lingering = Some((read, until));
            if is_refused {
                this.deadline = until.min(Instant::now() + LINGER_SILENT);
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.sent(result, context)
    }
}

impl<S: Abort> TimeoutStream<S> {
    /// Applies the limits to the outcome of a write: a client may receive slowly, but neither stall nor trickle.
    fn sent(&mut self, result: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        let request = self.state.requests();
        if self.sending.request != request {
            self.sending = Sending { request, ..Sending::default() };
        }
        // bytes are sent only once the head was read
        self.in_head = false;
        match result {
            Poll::Ready(Ok(count)) => {
                self.sending.stalled = false;
                self.sending.written += count as u64;
                self.restart(self.timeouts.idle);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if !std::mem::replace(&mut self.sending.stalled, true) {
                    let now = Instant::now();
                    if self.sending.since.is_none() {
                        (self.sending.since, self.sending.written) = (Some(now), 0);
                    }
                    let allowance = Duration::from_millis(self.sending.written.saturating_mul(1000) / MIN_RATE);
                    let since = self.sending.since.unwrap_or(now);
                    let trickle_deadline =
                        since.checked_add(self.timeouts.send.saturating_add(allowance)).unwrap_or(now);
                    self.set_deadline(trickle_deadline.min(now + self.timeouts.send));
                }
                ready!(self.poll_deadline(context));
                // a plain close would leave the kernel retransmitting what it holds
                self.stream.abort();
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client did not receive the answer for too long")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    impl Abort for tokio::io::DuplexStream {
        fn abort(&self) {}
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const MOMENT: Duration = Duration::from_millis(40);

    fn timed_out<T>(result: Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == ErrorKind::TimedOut)
    }

    #[tokio::test]
    async fn stalled_or_trickling_client_times_out() {
        let timeouts = Timeouts { header: HOUR, send: MOMENT, idle: HOUR };
        // receives nothing
        let (server, _client) = duplex(16);
        let mut server = TimeoutStream::new(server, ConnectionState::default(), timeouts);
        assert!(timed_out(server.write_all(&[0; 100]).await));
        // receives a byte now and then, each within the limit
        let (server, mut client) = duplex(16);
        let trickle = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(MOMENT / 8).await;
            }
        });
        let mut server = TimeoutStream::new(server, ConnectionState::default(), timeouts);
        assert!(timed_out(server.write_all(&[0; 1 << 20]).await));
        drop(server);
        trickle.await.expect("it ends");
        // receives everything
        let (server, mut client) = duplex(16);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.map(|_| all.len())
        });
        let mut server = TimeoutStream::new(server, ConnectionState::default(), Timeouts { send: HOUR, ..timeouts });
        server.write_all(&[0; 100_000]).await.expect("received");
        server.shutdown().await.expect("it ends");
        drop(server);
        assert_eq!(reading.await.expect("no panic").expect("a pipe"), 100_000);
    }

    #[tokio::test]
    async fn header_timeout_applies_to_heads_and_not_to_silence() {
        let timeouts = Timeouts { header: MOMENT, send: HOUR, idle: HOUR };
        let (server, mut client) = duplex(1024);
        let state = ConnectionState::default();
        let mut server = TimeoutStream::new(server, state.clone(), timeouts);
        client.write_all(b"GET / HT").await.expect("sent");
        let mut bytes = [0; 8];
        server.read_exact(&mut bytes).await.expect("the beginning");
        assert!(timed_out(server.read_u8().await));

        let (server, mut client) = duplex(1024);
        let state = ConnectionState::default();
        let mut server = TimeoutStream::new(server, state.clone(), timeouts);
        client.write_all(b"GET / HT").await.expect("sent");
        server.read_exact(&mut bytes).await.expect("a head");
        state.begin_answer();
        state.end_answer();
        server.write_all(b"answer").await.expect("received");
        assert!(tokio::time::timeout(3 * MOMENT, server.read_u8()).await.is_err(), "it may stay without asking");
    }

    #[tokio::test]
    async fn idle_timeout_fires_without_another_read() {
        let timeouts = Timeouts { header: MOMENT, send: HOUR, idle: 2 * MOMENT };
        // an answer before the header timeout would have fired, and one after
        for answered_after in [Duration::ZERO, 3 * MOMENT] {
            let (server, mut client) = duplex(1024);
            let state = ConnectionState::default();
            let mut server = TimeoutStream::new(server, state.clone(), timeouts);
            client.write_all(b"GET / HT").await.expect("sent");
            server.read_exact(&mut [0; 8]).await.expect("a head");
            state.begin_answer();
            // as hyper does: it reads once to see whether the client has disconnected, answers, and waits to be woken
            let mut byte = [0];
            let mut polls = 0;
            let mut answer = std::pin::pin!(tokio::time::sleep(answered_after));
            let mut is_answered = false;
            let ended = std::future::poll_fn(|context| {
                let mut buffer = ReadBuf::new(&mut byte);
                polls += 1;
                if let Poll::Ready(result) = Pin::new(&mut server).poll_read(context, &mut buffer) {
                    return Poll::Ready(result);
                }
                if !is_answered && answer.as_mut().poll(context).is_ready() {
                    is_answered = true;
                    state.end_answer();
                    let written = Pin::new(&mut server).poll_write(context, b"answer");
                    assert!(written.is_ready());
                }
                Poll::Pending
            });
            let ended = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it is woken");
            assert!(timed_out(ended), "after {answered_after:?}");
            assert!(polls < 20, "woken {polls} times");
        }
    }

    #[tokio::test]
    async fn input_after_the_last_answer_is_discarded() {
        let timeouts = Timeouts { header: HOUR, send: HOUR, idle: HOUR };
        let (server, mut client) = duplex(64);
        let mut server = TimeoutStream::new(server, ConnectionState::default(), timeouts);
        let sending = tokio::spawn(async move {
            client.write_all(&[0; 10_000]).await?;
            client.shutdown().await?;
            client.read_u8().await
        });
        tokio::task::yield_now().await;
        server.write_u8(7).await.expect("received");
        server.shutdown().await.expect("it ends");
        drop(server);
        assert_eq!(sending.await.expect("no panic").expect("an answer"), 7);
    }
}
