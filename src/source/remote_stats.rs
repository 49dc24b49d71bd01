//! Counters of remote originals, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use tintype_store::Usage;

use super::Error;
use super::transport::Answer;

/// The kinds of requests to an origin: for an original, and whether one has changed.
const KINDS: [&str; 2] = ["get", "revalidate"];

/// The outcomes of requests.
const RESULTS: [&str; 8] = ["200", "304", "404", "4xx", "5xx", "timeout", "refused", "error"];

/// The requests to an origin, by kind and outcome.
#[derive(Default)]
pub(super) struct Requests([[AtomicU64; RESULTS.len()]; KINDS.len()]);

impl Requests {
    pub(super) fn count(&self, is_conditional: bool, answer: &Result<Answer, Error>) {
        let name = match answer {
            Ok(Answer::Whole(_)) | Err(Error::TooLarge { .. }) => "200",
            Ok(Answer::NotModified(_)) => "304",
            Err(Error::NotFound) => "404",
            Err(Error::Credentials | Error::Forbidden) => "4xx",
            Err(Error::Status(status)) if (400..500).contains(status) => "4xx",
            Err(Error::Status(status)) if *status >= 500 => "5xx",
            Err(Error::TimedOut) => "timeout",
            Err(Error::Refused(_)) => "refused",
            Err(Error::Status(_) | Error::Unavailable(_) | Error::Changing) => "error",
        };
        let result = RESULTS.iter().position(|result| *result == name).unwrap_or(RESULTS.len() - 1);
        self.0[usize::from(is_conditional)][result].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn snapshot(&self) -> RequestCounts {
        let counts = self.0.each_ref().map(|results| results.each_ref().map(|count| count.load(Ordering::Relaxed)));
        RequestCounts(counts)
    }
}

/// Numbers of requests to an origin.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestCounts([[u64; RESULTS.len()]; KINDS.len()]);

impl RequestCounts {
    /// Each kind and result, with their number.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let of_kind = |(kind, counts): (&'static str, &[u64; RESULTS.len()])| {
            let counts = *counts;
            RESULTS.into_iter().zip(counts).map(move |(result, count)| (kind, result, count))
        };
        KINDS.into_iter().zip(self.0.iter()).flat_map(of_kind).collect::<Vec<_>>().into_iter()
    }
}

/// How a remote source does.
#[derive(Clone, Debug, Default)]
pub struct RemoteStats {
    /// Requests to the origin since the start.
    pub requests: RequestCounts,
    /// Requests that wait because too many are under way.
    pub waiting: u64,
    /// Whether the origin fails, so that it is asked only now and then.
    pub is_sick: bool,
    /// Originals on disk.
    pub cached: Usage,
    /// The most bytes that they may take.
    pub max_cached_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_kind_and_outcome() {
        let requests = Requests::default();
        let answers = [
            (Ok(Answer::NotModified(None)), "304"),
            (Err(Error::TooLarge { bytes: 2, limit: 1 }), "200"),
            (Err(Error::NotFound), "404"),
            (Err(Error::Credentials), "4xx"),
            (Err(Error::Status(429)), "4xx"),
            (Err(Error::Status(503)), "5xx"),
            (Err(Error::Status(206)), "error"),
            (Err(Error::TimedOut), "timeout"),
            (Err(Error::Refused(String::new())), "refused"),
        ];
        for (answer, expected) in answers {
            let count = |kind| {
                let all = requests.snapshot().all().find(|(of, result, _)| (*of, *result) == (kind, expected));
                all.expect("it is listed").2
            };
            let before = [count("get"), count("revalidate")];
            requests.count(true, &answer);
            assert_eq!([count("get"), count("revalidate")], [before[0], before[1] + 1], "{answer:?}");
        }
    }
}
