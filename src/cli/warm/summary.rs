//! The results of all requests, counted.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cli::client::Answer;

#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) rendered: u64,
    /// Of those, the ones that were stored on disk.
    pub(super) stored: u64,
    pub(super) cached: u64,
    /// Originals, which are sent unchanged.
    pub(super) passthrough: u64,
    /// Without tintype's entry in `Cache-Status`, which a cache in front may remove.
    pub(super) unattributed: u64,
    /// The server became unreachable before.
    pub(super) not_sent: u64,
    pub(super) is_unreachable: bool,
    /// By status and reason: the number, and a target as an example.
    failed: BTreeMap<(u16, String), (u64, String)>,
}

/// The result of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Rendered,
    /// Answered without a render.
    Quick,
    Failed,
}

impl Summary {
    pub(super) fn count(&mut self, target: &str, answer: &Answer) -> Outcome {
        if !answer.status.is_success() {
            self.fail(answer.status.as_u16(), &reason(answer), target);
            return Outcome::Failed;
        }
        let status = answer.header("cache-status");
        let own = status.split(',').map(str::trim).rfind(|entry| entry.starts_with("tintype")).unwrap_or_default();
        if own.contains("; hit") {
            self.cached += 1;
        } else if own.contains("fwd=uri-miss") {
            self.rendered += 1;
            self.stored += u64::from(own.contains("stored"));
            return Outcome::Rendered;
        } else if own.contains("fwd=bypass") {
            self.passthrough += 1;
        } else {
            self.unattributed += 1;
        }
        Outcome::Quick
    }

    /// Counts a failure; `status` is 0 without an answer.
    pub(super) fn fail(&mut self, status: u16, reason: &str, target: &str) {
        self.failed.entry((status, reason.to_owned())).or_insert_with(|| (0, target.to_owned())).0 += 1;
    }

    pub(super) fn failures(&self) -> u64 {
        self.failed.values().map(|(count, _)| count).sum()
    }

    fn successes(&self) -> u64 {
        self.rendered + self.cached + self.passthrough + self.unattributed
    }

    /// The reason why the command as a whole fails. Single URLs with a 4xx are not one.
    pub(super) fn verdict(&self) -> Option<String> {
        let failed = |matches: &dyn Fn(u16) -> bool| {
            self.failed.iter().filter(|((status, _), _)| matches(*status)).map(|(_, (count, _))| count).sum::<u64>()
        };
        let refused = failed(&|status| matches!(status, 0 | 429 | 500..));
        if self.is_unreachable {
            Some("the server is unreachable".into())
        } else if refused > 0 {
            Some(format!("{refused} requests failed on the server"))
        } else if self.successes() == 0 && self.failures() > 0 {
            Some("every request failed".into())
        } else {
            None
        }
    }

    /// Lines for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} rendered, {} already cached", self.rendered, self.cached);
        // writing to a String does not fail
        if self.stored < self.rendered {
            let _ = write!(text, ", {} of those rendered were not stored", self.rendered - self.stored);
        }
        for (count, what) in [(self.passthrough, "originals"), (self.unattributed, "without Cache-Status of tintype")] {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        let _ = write!(text, ", {} failed", self.failures());
        if self.not_sent > 0 {
            let _ = write!(text, ", {} not sent", self.not_sent);
        }
        text.push('\n');
        for ((status, reason), (count, example)) in &self.failed {
            let status = if *status == 0 { "---".into() } else { status.to_string() };
            let _ = writeln!(text, "{status} {count:>6}  {reason}, such as {example}");
        }
        text
    }
}

/// The detail or title of a problem document (RFC 9457), or the reason phrase.
fn reason(answer: &Answer) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail").or_else(|| problem.get("title"))?.as_str());
    detail.unwrap_or_else(|| answer.status.canonical_reason().unwrap_or("no reason")).to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn answer(status: u16, cache: &'static str, body: &'static str) -> Answer {
        let headers =
            HeaderMap::from_iter([("cache-status".parse().expect("a name"), HeaderValue::from_static(cache))]);
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            headers,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn answers_are_counted_by_cache_status() {
        let mut summary = Summary::default();
        for (cache, expected) in [
            ("tintype; hit", Outcome::Quick),
            ("tintype; fwd=uri-miss; stored", Outcome::Rendered),
            ("tintype; fwd=uri-miss", Outcome::Rendered),
            ("tintype; fwd=uri-miss; stored, cdn; fwd=miss", Outcome::Rendered),
            ("tintype; fwd=bypass", Outcome::Quick),
            ("cdn; hit", Outcome::Quick),
        ] {
            assert_eq!(summary.count("/a", &answer(200, cache, "")), expected, "{cache}");
        }
        assert_eq!(
            (summary.rendered, summary.stored, summary.cached, summary.passthrough, summary.unattributed),
            (3, 2, 1, 1, 1)
        );
        assert_eq!(summary.verdict(), None);
        summary.count("/b", &answer(404, "", "{\"detail\":\"no such original\"}"));
        assert_eq!(summary.verdict(), None);
        assert!(summary.text().contains("404      1  no such original, such as /b"), "{}", summary.text());
        summary.count("/c", &answer(504, "", "not JSON"));
        assert!(summary.verdict().is_some());
        let mut unanswered = Summary::default();
        unanswered.count("/a", &answer(200, "tintype; hit", ""));
        unanswered.fail(0, "timed out", "/d");
        assert_eq!(unanswered.verdict().as_deref(), Some("1 requests failed on the server"));
        unanswered.is_unreachable = true;
        assert_eq!(unanswered.verdict().as_deref(), Some("the server is unreachable"));
        let mut alone = Summary::default();
        alone.count("/b", &answer(404, "", ""));
        assert!(alone.verdict().is_some());
    }
}
