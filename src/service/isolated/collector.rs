//! The answers to one request as they come: each is checked before it counts.

use std::ops::ControlFlow;

use tintype_isolation::Caller;

use super::protocol::{self, Answer};
use crate::render::{self, Progress};
use crate::service::Error;

/// Takes the answers to one request.
pub(super) struct Collector<'a, T> {
    progress: &'a mut dyn Progress,
    accept: &'a dyn Fn(Answer, Vec<u8>) -> Option<T>,
    results: Vec<T>,
    failure: Option<render::Error>,
}

impl<'a, T> Collector<'a, T> {
    pub(super) fn new(
        progress: &'a mut dyn Progress, accept: &'a dyn Fn(Answer, Vec<u8>) -> Option<T>,
    ) -> Collector<'a, T> {
        Collector { progress, accept, results: Vec::new(), failure: None }
    }

    /// The results that were accepted, or why there are none.
    pub(super) fn finish(self) -> Result<Vec<T>, Error> {
        self.failure.map_or(Ok(self.results), |failure| Err(failure.into()))
    }

    fn take(&mut self, mut body: Vec<u8>) -> Option<()> {
        let (answer, length) = protocol::decode(&body)?;
        match answer {
            // answers of a cancelled worker are dropped before this
            Answer::Failed(render::Error::Cancelled) => return None,
            Answer::Failed(error) => self.failure = Some(error),
            answer => {
                body.truncate(length);
                self.results.push((self.accept)(answer, body)?);
            }
        }
        Some(())
    }
}

impl<T> Caller for Collector<'_, T> {
    fn answer(&mut self, answer: Vec<u8>) -> ControlFlow<()> {
        self.take(answer).map_or(ControlFlow::Break(()), ControlFlow::Continue)
    }

    fn keep_going(&mut self) -> bool {
        self.progress.keep_going()
    }
}
