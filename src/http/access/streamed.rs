//! The log line of a streamed answer: it is written at the end of the body, with the number of bytes that were sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{AccessLog, Line};
use crate::http::request_id::RequestId;

/// A body whose log line is written when it is dropped.
pub(super) struct LoggedBody {
    body: Body,
    line: Line,
    id: RequestId,
    status: StatusCode,
    headers: HeaderMap,
    /// The time until the answer's head, as in other lines.
    duration: Duration,
    sent: u64,
    log: Option<Arc<AccessLog>>,
}

/// Wraps the body of an answer, which logs it.
pub(super) fn log_at_end(response: Response, line: Line, id: &RequestId, log: Option<&Arc<AccessLog>>) -> Response {
    let (status, headers) = (response.status(), response.headers().clone());
    let (id, log, duration) = (id.clone(), log.cloned(), line.started.elapsed());
    response.map(|body| Body::new(LoggedBody { body, line, id, status, headers, duration, sent: 0, log }))
}

impl HttpBody for LoggedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>, context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for LoggedBody {
    fn drop(&mut self) {
        self.headers.insert(header::CONTENT_LENGTH, self.sent.into());
        let entry = self.line.entry(&self.id, self.status, &self.headers, self.duration);
        entry.write(self.log.as_deref());
    }
}
