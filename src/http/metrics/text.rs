//! Prometheus' text format, version 0.0.4.
//!
//! Written here because the libraries for it each lack something: the official one writes OpenMetrics instead, and keeps
//! histograms behind a lock; others look counters up by their labels where they are counted.

use std::fmt::Write;

use crate::service::stats::{BOUNDS, Histogram};

/// Metrics as they are read by Prometheus. Every name begins with `tintype_`.
#[derive(Default)]
pub(super) struct Text(String);

/// What one line counts: pairs of a name and a value.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// A number that only rises.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.counters(name, help).sample(&[], value);
    }

    /// A number that rises and falls.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.gauges(name, help).sample(&[], value);
    }

    /// Numbers that only rise, told apart by labels.
    pub(super) fn counters(&mut self, name: &str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.family(name, "counter", help)
    }

    /// Numbers that rise and fall, told apart by labels.
    pub(super) fn gauges(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Times, told apart by labels.
    pub(super) fn histograms(&mut self, name: &str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_seconds"), "{name}");
        self.family(name, "histogram", help)
    }

    /// The whole text.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        // writing to a String does not fail
        let _ = writeln!(self.0, "# HELP tintype_{name} {help}\n# TYPE tintype_{name} {kind}");
        Family { text: &mut self.0, name: format!("tintype_{name}") }
    }
}

/// The lines of one name.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: String,
}

impl Family<'_> {
    /// One number.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl std::fmt::Display) {
        self.line("", labels, value);
    }

    /// The buckets, the sum and the count of one histogram.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, histogram: &Histogram) {
        let (counts, sum) = histogram.cumulative();
        for (bound, count) in BOUNDS.iter().zip(&counts) {
            let bound = (*bound as f64 / 1e6).to_string();
            self.line("_bucket", &[labels, &[("le", bound.as_str())]].concat(), count);
        }
        let all = counts[BOUNDS.len()];
        self.line("_bucket", &[labels, &[("le", "+Inf")]].concat(), all);
        self.line("_sum", labels, sum);
        self.line("_count", labels, all);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let braces = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{suffix}{braces} {value}", self.name);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
