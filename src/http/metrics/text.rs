//! The text format of Prometheus, version 0.0.4.
//!
//! Written here because the official library writes OpenMetrics and keeps histograms behind a lock, and others look up
//! counters by their labels on every increment.

use std::fmt::Write;

use crate::service::stats::{BOUNDS, Histogram};

/// A text of metrics. Every name is prefixed with `tintype_`.
#[derive(Default)]
pub(super) struct Text(String);

/// Labels of a sample: pairs of a name and a value.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// A counter without labels.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.counters(name, help).sample(&[], value);
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl std::fmt::Display) {
        self.gauges(name, help).sample(&[], value);
    }

    /// Counters with labels.
    pub(super) fn counters(&mut self, name: &str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_total"), "{name}");
        self.family(name, "counter", help)
    }

    /// Gauges with labels.
    pub(super) fn gauges(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    /// Histograms of times, with labels.
    pub(super) fn histograms(&mut self, name: &str, help: &str) -> Family<'_> {
        debug_assert!(name.ends_with("_seconds"), "{name}");
        self.family(name, "histogram", help)
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        // writing to a String does not fail
        let _ = writeln!(self.0, "# HELP tintype_{name} {help}\n# TYPE tintype_{name} {kind}");
        Family { text: &mut self.0, name: format!("tintype_{name}") }
    }
}

/// A metric family: the samples of one name.
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: String,
}

impl Family<'_> {
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
