//! The line of an answer whose body is read while it is sent: it is written at the end of the body, and its `bytes` are
//! those that were sent until then.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{AccessLog, Line, RequestId};

/// A body with the line that is written when it ends, however it ends.
pub(super) struct Logged {
    body: Body,
    line: Line,
    id: RequestId,
    status: StatusCode,
    fields: HeaderMap,
    /// How long it took to begin the answer, as in other lines.
    spent: Duration,
    sent: u64,
    log: Option<Arc<AccessLog>>,
}

/// That answer, whose line is written after its body.
pub(super) fn log_at_end(response: Response, line: Line, id: &RequestId, log: Option<&Arc<AccessLog>>) -> Response {
    let (status, fields) = (response.status(), response.headers().clone());
    let (id, log, spent) = (id.clone(), log.cloned(), line.started.elapsed());
    response.map(|body| Body::new(Logged { body, line, id, status, fields, spent, sent: 0, log }))
}

impl HttpBody for Logged {
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

impl Drop for Logged {
    fn drop(&mut self) {
        self.fields.insert(header::CONTENT_LENGTH, self.sent.into());
        let entry = self.line.entry(&self.id, self.status, &self.fields, self.spent);
        entry.write(self.log.as_deref());
    }
}
