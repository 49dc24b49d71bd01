//! The findings of a check, each with its level, cause and fix.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Info,
    /// Works, but badly or not for long.
    Warning,
    /// Does not work.
    Error,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Error => "error",
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The setting or the part concerned.
    pub(super) about: &'static str,
    pub(super) cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(&mut self, about: &'static str, cause: impl Into<String>) {
        self.add(Level::Ok, about, cause.into(), None);
    }

    pub(super) fn info(&mut self, about: &'static str, cause: impl Into<String>) {
        self.add(Level::Info, about, cause.into(), None);
    }

    pub(super) fn warning(&mut self, about: &'static str, cause: impl Into<String>, fix: impl Into<String>) {
        self.add(Level::Warning, about, cause.into(), Some(fix.into()));
    }

    pub(super) fn error(&mut self, about: &'static str, cause: impl Into<String>, fix: impl Into<String>) {
        self.add(Level::Error, about, cause.into(), Some(fix.into()));
    }

    fn add(&mut self, level: Level, about: &'static str, cause: String, fix: Option<String>) {
        self.findings.push(Finding { level, about, cause, fix });
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// Lines for a terminal.
    pub(super) fn text(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        // writing to a String does not fail
        for Finding { level, about, cause, fix } in &self.findings {
            let _ = writeln!(text, "{:<8} {about}: {cause}", level.name());
            if let Some(fix) = fix {
                let _ = writeln!(text, "         fix: {fix}");
            }
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    /// The object of `--json`.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "errors": self.count(Level::Error),
            "warnings": self.count(Level::Warning),
            "findings": self.findings,
        })
    }

    /// The numbers of errors and warnings, in words.
    pub(super) fn summary(&self) -> String {
        let counted = |count: usize, noun: &str| match count {
            0 => format!("no {noun}s"),
            1 => format!("1 {noun}"),
            count => format!("{count} {noun}s"),
        };
        format!("{}, {}", counted(self.count(Level::Error), "error"), counted(self.count(Level::Warning), "warning"))
    }
}
