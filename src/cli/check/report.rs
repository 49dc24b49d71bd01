//! What a check found: each finding with how bad it is, its cause, and what mends it.

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// It is as it should be.
    Ok,
    /// Good to know.
    Info,
    /// It works, and not as well as it could or not for long.
    Warning,
    /// It does not work.
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

/// One thing that was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// The setting or the part that it is about.
    pub(super) about: &'static str,
    pub(super) cause: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

/// Everything that was found.
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

    pub(super) fn warning(&mut self, about: &'static str, cause: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Warning, about, cause.into(), Some(mend.into()));
    }

    pub(super) fn error(&mut self, about: &'static str, cause: impl Into<String>, mend: impl Into<String>) {
        self.add(Level::Error, about, cause.into(), Some(mend.into()));
    }

    fn add(&mut self, level: Level, about: &'static str, cause: String, mend: Option<String>) {
        self.findings.push(Finding { level, about, cause, mend });
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        use std::fmt::Write;
        let mut text = String::new();
        // writing to a String does not fail
        for Finding { level, about, cause, mend } in &self.findings {
            let _ = writeln!(text, "{:<8} {about}: {cause}", level.name());
            if let Some(mend) = mend {
                let _ = writeln!(text, "         mend: {mend}");
            }
        }
        let _ = writeln!(text, "{}", self.sum());
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "errors": self.count(Level::Error),
            "warnings": self.count(Level::Warning),
            "findings": self.findings,
        })
    }

    /// How many errors and warnings there are, in words.
    pub(super) fn sum(&self) -> String {
        let counted = |count: usize, what: &str| match count {
            0 => format!("no {what}s"),
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        format!("{}, {}", counted(self.count(Level::Error), "error"), counted(self.count(Level::Warning), "warning"))
    }
}
