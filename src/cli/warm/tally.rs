//! What became of the requests.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::cli::client::Answer;

/// How many answers there were of each kind.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) made: u64,
    /// Made, and on disk: the others were made and not kept.
    pub(super) stored: u64,
    pub(super) there: u64,
    /// Originals, which pass through.
    pub(super) as_they_are: u64,
    /// A cache in front answered, or took out what tintype says of its own.
    pub(super) untold: u64,
    /// The server was gone before it was their turn.
    pub(super) unasked: u64,
    failed: BTreeMap<(u16, String), (u64, String)>,
}

/// What an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It was made for us.
    Made,
    /// It was there, or passed through.
    Quick,
    /// It failed.
    Failed,
}

impl Tally {
    pub(super) fn count(&mut self, target: &str, answer: &Answer) -> Told {
        if !answer.status.is_success() {
            self.fail(answer.status.as_u16(), &reason(answer), target);
            return Told::Failed;
        }
        let said = answer.header("cache-status");
        let own = said.split(',').map(str::trim).rfind(|entry| entry.starts_with("tintype")).unwrap_or_default();
        if own.contains("; hit") {
            self.there += 1;
        } else if own.contains("fwd=uri-miss") {
            self.made += 1;
            self.stored += u64::from(own.contains("stored"));
            return Told::Made;
        } else if own.contains("fwd=bypass") {
            self.as_they_are += 1;
        } else {
            self.untold += 1;
        }
        Told::Quick
    }

    /// A failure; 0 where there was no answer at all.
    pub(super) fn fail(&mut self, status: u16, reason: &str, target: &str) {
        self.failed.entry((status, reason.to_owned())).or_insert_with(|| (0, target.to_owned())).0 += 1;
    }

    pub(super) fn failures(&self) -> u64 {
        self.failed.values().map(|(count, _)| count).sum()
    }

    fn successes(&self) -> u64 {
        self.made + self.there + self.as_they_are + self.untold
    }

    /// Why the command as a whole has failed, if it has: what one URL gets wrong is its own affair.
    pub(super) fn verdict(&self) -> Option<String> {
        let failed = |matches: &dyn Fn(u16) -> bool| {
            self.failed.iter().filter(|((status, _), _)| matches(*status)).map(|(_, (count, _))| count).sum::<u64>()
        };
        let (unreached, broken) = (failed(&|status| status == 0), failed(&|status| status == 429 || status >= 500));
        if unreached > 0 {
            Some("the server could not be reached".into())
        } else if broken > 0 {
            Some(format!("{broken} requests failed in the server"))
        } else if self.successes() == 0 && self.failures() > 0 {
            Some("every request failed".into())
        } else {
            None
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{} made, {} already there", self.made, self.there);
        // writing to a String does not fail
        if self.stored < self.made {
            let _ = write!(text, ", {} of those made were not kept", self.made - self.stored);
        }
        for (count, what) in
            [(self.as_they_are, "originals as they are"), (self.untold, "answered without a word on the cache")]
        {
            if count > 0 {
                let _ = write!(text, ", {count} {what}");
            }
        }
        let _ = write!(text, ", {} failed", self.failures());
        if self.unasked > 0 {
            let _ = write!(text, ", {} not asked", self.unasked);
        }
        text.push('\n');
        for ((status, reason), (count, example)) in &self.failed {
            let status = if *status == 0 { "---".into() } else { status.to_string() };
            let _ = writeln!(text, "{status} {count:>6}  {reason}, such as {example}");
        }
        text
    }
}

/// What a problem says of itself (RFC 9457), or its status.
fn reason(answer: &Answer) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let told = problem.as_ref().and_then(|problem| problem.get("detail").or_else(|| problem.get("title"))?.as_str());
    told.unwrap_or_else(|| answer.status.canonical_reason().unwrap_or("no reason")).to_owned()
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
    fn answers_are_told_apart() {
        let mut tally = Tally::default();
        for (cache, expected) in [
            ("tintype; hit", Told::Quick),
            ("tintype; fwd=uri-miss; stored", Told::Made),
            ("tintype; fwd=uri-miss", Told::Made),
            ("tintype; fwd=uri-miss; stored, cdn; fwd=miss", Told::Made),
            ("tintype; fwd=bypass", Told::Quick),
            ("cdn; hit", Told::Quick),
        ] {
            assert_eq!(tally.count("/a", &answer(200, cache, "")), expected, "{cache}");
        }
        assert_eq!((tally.made, tally.stored, tally.there, tally.as_they_are, tally.untold), (3, 2, 1, 1, 1));
        assert_eq!(tally.verdict(), None);
        tally.count("/b", &answer(404, "", "{\"detail\":\"no such original\"}"));
        assert_eq!(tally.verdict(), None);
        assert!(tally.text().contains("404      1  no such original, such as /b"), "{}", tally.text());
        tally.count("/c", &answer(504, "", "not JSON"));
        assert!(tally.verdict().is_some());
        let mut alone = Tally::default();
        alone.count("/b", &answer(404, "", ""));
        assert!(alone.verdict().is_some());
    }
}
