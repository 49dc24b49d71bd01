//! Checks the fallback picture.

use super::Subject;
use super::report::Report;

const ABOUT: &str = "fallback";

pub(super) fn check(subject: &Subject, report: &mut Report) {
    match subject.config.fallback() {
        Ok(None) => {}
        Ok(Some(fallback)) => {
            let path = subject.config.live.output.fallback.display();
            report.ok(ABOUT, format!("{path} can be rendered ({} bytes)", fallback.bytes.len()));
        }
        Err(invalid) => report.error(ABOUT, invalid.to_string(), "set output.fallback to a picture, or to \"\""),
    }
}
