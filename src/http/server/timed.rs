//! A stream with time limits: one for a request's head from its first byte on, one for a client that does not take its
//! answer, a longer one for silence between requests.

use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::line::FirstLine;
use crate::clock;

/// Bytes a second that a client takes at the least, after its first moment of not taking any: whoever takes one byte
/// now and then would hold an answer for ever.
const SLOWEST: u64 = 4 * 1024;

/// How long what a client still sends is read at the end, and thrown away. Bytes that nobody reads make the end a reset,
/// which can overtake the answer that says what was wrong.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// The same for a client that was refused, and need not know it yet: what it sends next would reset the connection, and with
/// it the answers that it has not taken (RFC 9112 §9.6). It is waited for even if it sends nothing; nginx does so for as long.
const LINGER_SILENT: Duration = Duration::from_secs(5);
const LINGER_REFUSED: Duration = Duration::from_secs(30);

/// The most bytes that are read at the end.
const LINGER_BYTES: u64 = 64 << 20;

/// A stream that can be ended without regard to what is still to be sent.
pub(super) trait Abort {
    /// From now on closing it drops what the other side has not taken, and tells it so.
    fn abort(&self);
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// A request's head, from its first byte on.
    pub header: Duration,
    /// A client that takes nothing of its answer.
    pub send: Duration,
    /// Silence between requests.
    pub idle: Duration,
}

/// How far a connection is, told by the one who answers to the stream under him, and the other way round.
#[derive(Clone, Default)]
pub(super) struct Phase(Arc<State>);

#[derive(Default)]
struct State {
    answering: AtomicBool,
    /// How many requests there have been.
    requests: AtomicU64,
    /// How many answers have been handed over to be sent, to their last byte.
    bodies: AtomicU64,
    /// Whether the server ends.
    leaving: AtomicBool,
    /// Whether the connection ends for something that came over it.
    refused: AtomicBool,
}

impl Phase {
    /// A head has been read.
    pub(super) fn begin_answer(&self) {
        self.0.answering.store(true, Ordering::Relaxed);
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer's own head is made; its body may still be on the way.
    pub(super) fn end_answer(&self) {
        self.0.answering.store(false, Ordering::Relaxed);
    }

    /// All of an answer's body has been taken over by whoever sends it.
    pub(super) fn end_body(&self) {
        self.0.bodies.fetch_add(1, Ordering::Relaxed);
    }

    /// How many requests there have been.
    pub(super) fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// How many answers have been handed over to be sent, to their last byte.
    pub(super) fn bodies(&self) -> u64 {
        self.0.bodies.load(Ordering::Relaxed)
    }

    /// The server ends: the next answer is the last of this connection.
    pub(super) fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether the next answer is the last.
    pub(super) fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Relaxed)
    }

    /// The connection ends after this answer, whatever else the client has sent.
    pub(super) fn refuse(&self) {
        self.0.refused.store(true, Ordering::Relaxed);
    }

    /// Whether the connection ends for something that came over it.
    pub(super) fn is_refused(&self) -> bool {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Whether a request is being answered.
    pub(super) fn answering(&self) -> bool {
        self.0.answering.load(Ordering::Relaxed)
    }
}

/// A stream whose reads and writes fail when the other side takes too long.
pub(super) struct Timed<S> {
    stream: S,
    phase: Phase,
    patience: Patience,
    line: FirstLine,
    /// Whether part of a head has arrived.
    in_head: bool,
    /// Whether a request was being answered when last looked.
    answered: bool,
    sending: Sending,
    /// Bytes that were read and thrown away at the end, and until when that goes on; `None` before it.
    leaving: Option<(u64, Instant)>,
    /// When it is too long.
    due: Instant,
    /// Ends then or before; then it is seen whether `due` has moved on. Telling it at once, at every step of every request,
    /// costs more than all else that is done here.
    limit: Pin<Box<Sleep>>,
}

/// How one answer leaves.
#[derive(Default)]
struct Sending {
    /// Of which request, counted.
    request: u64,
    /// Bytes taken since the client first did not take any.
    taken: u64,
    /// When that was.
    since: Option<Instant>,
    /// Whether it takes none at present.
    stuck: bool,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, phase: Phase, patience: Patience) -> Timed<S> {
        // a connection is opened to send a request, so its first head is awaited from the start
        let limit = Box::pin(tokio::time::sleep(patience.header));
        Timed {
            stream,
            phase,
            patience,
            line: FirstLine::default(),
            in_head: true,
            answered: false,
            sending: Sending::default(),
            leaving: None,
            due: limit.deadline(),
            limit,
        }
    }

    /// Counts anew, unless the client is waited for to take something.
    fn restart(&mut self, span: Duration) {
        if !self.sending.stuck {
            self.due = Instant::from_std(clock::instant()) + span;
            if self.due < self.limit.deadline() {
                self.limit.as_mut().reset(self.due);
            }
        }
    }

    /// Counts to that moment.
    fn count_to(&mut self, due: Instant) {
        self.due = due;
        self.limit.as_mut().reset(due);
    }

    /// Has this task woken when it is too long, though it is not yet: who waits to read is not asked to wait again when
    /// the answer has left, only when something comes.
    fn stay_awake(&mut self, context: &mut Context<'_>) {
        while self.limit.as_mut().poll(context).is_ready() {
            self.count_to(Instant::now() + self.patience.idle.max(Duration::from_millis(1)));
        }
    }

    /// Ready when it is too long.
    fn poll_due(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.limit.as_mut().poll(context));
            if self.due <= self.limit.deadline() {
                return Poll::Ready(());
            }
            self.limit.as_mut().reset(self.due);
        }
    }
}

impl<S: AsyncRead + Abort + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let answering = this.phase.answering();
        if std::mem::replace(&mut this.answered, answering) != answering {
            this.in_head = false;
            this.restart(this.patience.idle);
        }
        let before = buffer.filled().len();
        loop {
            match Pin::new(&mut this.stream).poll_read(context, buffer) {
                Poll::Ready(result) => {
                    let more = buffer.filled().len() > before;
                    if more && !answering && !this.in_head {
                        this.in_head = true;
                        this.restart(this.patience.header);
                    }
                    if more && !this.line.cut(buffer, before) {
                        continue;
                    }
                    return Poll::Ready(result);
                }
                // whoever is being answered may take its time to ask again
                Poll::Pending if answering => {
                    this.stay_awake(context);
                    return Poll::Pending;
                }
                Poll::Pending => {
                    ready!(this.poll_due(context));
                    if this.sending.stuck {
                        this.stream.abort();
                    }
                    return Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "nothing came for too long")));
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Abort + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Says that nothing more will come, and then reads what the client still sends, if it does.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let is_refused = this.phase.is_refused();
        let (mut read, until) = match this.leaving {
            Some(leaving) => leaving,
            None => {
                ready!(Pin::new(&mut this.stream).poll_shutdown(context))?;
                let now = Instant::now();
                let (first, last) = if is_refused { (LINGER_SILENT, LINGER_REFUSED) } else { (LINGER, LINGER) };
                this.count_to(now + first);
                *this.leaving.insert((0, now + last))
            }
        };
        let mut bytes = [std::mem::MaybeUninit::uninit(); 8 * 1024];
        loop {
            let mut buffer = ReadBuf::uninit(&mut bytes);
            let count = match Pin::new(&mut this.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().len() as u64,
                Poll::Ready(Err(_)) => 0,
                // it has said what it had to say
                Poll::Pending if read == 0 && !is_refused => 0,
                Poll::Pending => {
                    ready!(this.poll_due(context));
                    0
                }
            };
            read += count;
            if count == 0 || read > LINGER_BYTES {
                return Poll::Ready(Ok(()));
            }
            this.leaving = Some((read, until));
            if is_refused {
                this.due = until.min(Instant::now() + LINGER_SILENT);
            }
        }
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

impl<S: Abort> Timed<S> {
    /// A client may take its answer slowly, but neither stop nor trickle.
    fn sent(&mut self, written: Poll<Result<usize>>, context: &mut Context<'_>) -> Poll<Result<usize>> {
        let request = self.phase.requests();
        if self.sending.request != request {
            self.sending = Sending { request, ..Sending::default() };
        }
        // what is sent now answers the head that was read
        self.in_head = false;
        match written {
            Poll::Ready(Ok(count)) => {
                self.sending.stuck = false;
                self.sending.taken += count as u64;
                self.restart(self.patience.idle);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                if !std::mem::replace(&mut self.sending.stuck, true) {
                    let now = Instant::now();
                    if self.sending.since.is_none() {
                        (self.sending.since, self.sending.taken) = (Some(now), 0);
                    }
                    let earned = Duration::from_millis(self.sending.taken.saturating_mul(1000) / SLOWEST);
                    let since = self.sending.since.unwrap_or(now);
                    let trickled = since.checked_add(self.patience.send.saturating_add(earned)).unwrap_or(now);
                    self.count_to(trickled.min(now + self.patience.send));
                }
                ready!(self.poll_due(context));
                // the kernel would go on offering it what it holds, and not even say that nobody is there any more
                self.stream.abort();
                Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the answer was not taken for too long")))
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
    async fn an_answer_is_neither_waited_for_nor_trickled() {
        let patience = Patience { header: HOUR, send: MOMENT, idle: HOUR };
        // takes nothing
        let (server, _client) = duplex(16);
        let mut server = Timed::new(server, Phase::default(), patience);
        assert!(timed_out(server.write_all(&[0; 100]).await));
        // takes a byte now and then, which is always in time and would take for ever
        let (server, mut client) = duplex(16);
        let trickle = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(MOMENT / 8).await;
            }
        });
        let mut server = Timed::new(server, Phase::default(), patience);
        assert!(timed_out(server.write_all(&[0; 1 << 20]).await));
        drop(server);
        trickle.await.expect("it ends");
        // takes all of it
        let (server, mut client) = duplex(16);
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.map(|_| all.len())
        });
        let mut server = Timed::new(server, Phase::default(), Patience { send: HOUR, ..patience });
        server.write_all(&[0; 100_000]).await.expect("it is taken");
        server.shutdown().await.expect("it ends");
        drop(server);
        assert_eq!(reading.await.expect("no panic").expect("a pipe"), 100_000);
    }

    #[tokio::test]
    async fn a_head_is_not_waited_for_and_silence_is() {
        let patience = Patience { header: MOMENT, send: HOUR, idle: HOUR };
        let (server, mut client) = duplex(1024);
        let phase = Phase::default();
        let mut server = Timed::new(server, phase.clone(), patience);
        client.write_all(b"GET / HT").await.expect("sent");
        let mut bytes = [0; 8];
        server.read_exact(&mut bytes).await.expect("the beginning");
        assert!(timed_out(server.read_u8().await));

        let (server, mut client) = duplex(1024);
        let phase = Phase::default();
        let mut server = Timed::new(server, phase.clone(), patience);
        client.write_all(b"GET / HT").await.expect("sent");
        server.read_exact(&mut bytes).await.expect("a head");
        phase.begin_answer();
        phase.end_answer();
        server.write_all(b"answer").await.expect("taken");
        assert!(tokio::time::timeout(3 * MOMENT, server.read_u8()).await.is_err(), "it may stay without asking");
    }

    #[tokio::test]
    async fn silence_ends_although_nobody_waits_to_read_again() {
        let patience = Patience { header: MOMENT, send: HOUR, idle: 2 * MOMENT };
        // an answer that is there before the first head is late, and one that is not
        for answered_after in [Duration::ZERO, 3 * MOMENT] {
            let (server, mut client) = duplex(1024);
            let phase = Phase::default();
            let mut server = Timed::new(server, phase.clone(), patience);
            client.write_all(b"GET / HT").await.expect("sent");
            server.read_exact(&mut [0; 8]).await.expect("a head");
            phase.begin_answer();
            // as hyper does: it looks once whether the client has gone, answers, and waits to be woken
            let mut byte = [0];
            let mut looks = 0;
            let mut answer = std::pin::pin!(tokio::time::sleep(answered_after));
            let mut is_answered = false;
            let ended = std::future::poll_fn(|context| {
                let mut buffer = ReadBuf::new(&mut byte);
                looks += 1;
                if let Poll::Ready(result) = Pin::new(&mut server).poll_read(context, &mut buffer) {
                    return Poll::Ready(result);
                }
                if !is_answered && answer.as_mut().poll(context).is_ready() {
                    is_answered = true;
                    phase.end_answer();
                    let written = Pin::new(&mut server).poll_write(context, b"answer");
                    assert!(written.is_ready());
                }
                Poll::Pending
            });
            let ended = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("it is woken");
            assert!(timed_out(ended), "after {answered_after:?}");
            assert!(looks < 20, "woken {looks} times");
        }
    }

    #[tokio::test]
    async fn what_is_still_sent_is_read_at_the_end() {
        let patience = Patience { header: HOUR, send: HOUR, idle: HOUR };
        let (server, mut client) = duplex(64);
        let mut server = Timed::new(server, Phase::default(), patience);
        let sending = tokio::spawn(async move {
            client.write_all(&[0; 10_000]).await?;
            client.shutdown().await?;
            client.read_u8().await
        });
        tokio::task::yield_now().await;
        server.write_u8(7).await.expect("taken");
        server.shutdown().await.expect("it ends");
        drop(server);
        assert_eq!(sending.await.expect("no panic").expect("an answer"), 7);
    }
}
