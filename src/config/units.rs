//! Values in human-readable form: sizes, durations, file modes; and lists that may be one string.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes, such as `64MiB`, `10GB` or `1024`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl std::str::FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let (number, unit) = split_unit(text);
        let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|&(_, factor)| factor);
        let factor = if number.len() == text.trim().len() { Some(1) } else { unit };
        let bytes = factor.and_then(|factor| number.parse::<u64>().ok()?.checked_mul(factor));
        bytes.map(Bytes).ok_or_else(|| format!("{text:?} is not a size such as 64MiB or 10GiB"))
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let binary = UNITS[..4].iter().find(|&&(_, factor)| self.0 >= factor && self.0.is_multiple_of(factor));
        match binary {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A duration, such as `500ms`, `30s`, `5m`, `1h` or `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let (number, unit) = split_unit(text);
        let milliseconds = match unit {
            "ms" => Some(1),
            "s" => Some(1000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000),
            _ if text.trim() == "0" => Some(1),
            _ => None,
        };
        let span = milliseconds.and_then(|factor: u64| number.parse::<u64>().ok()?.checked_mul(factor));
        span.map(Duration::from_millis)
            .map(Span)
            .ok_or_else(|| format!("{text:?} is not a duration such as 500ms or 30s"))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

/// CPU time a day: a share of that of all workers, such as `10%`, or a duration, such as `2h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuTime {
    /// 0 to 100 percent.
    Share(u8),
    /// So much.
    Span(Span),
}

impl CpuTime {
    /// The CPU time of a day with so many workers.
    pub fn per_day(self, workers: usize) -> Duration {
        const DAY: Duration = Duration::from_secs(86_400);
        match self {
            CpuTime::Share(percent) => DAY.mul_f64(workers as f64 * f64::from(percent) / 100.0),
            CpuTime::Span(span) => span.0,
        }
    }
}

impl std::str::FromStr for CpuTime {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuTime, String> {
        let share = |percent: &str| percent.trim_end().parse().ok().filter(|percent| *percent <= 100);
        let time = match text.trim().strip_suffix('%') {
            Some(percent) => share(percent).map(CpuTime::Share),
            None => text.parse().ok().map(CpuTime::Span),
        };
        time.ok_or_else(|| format!("{text:?} is neither a share such as 10% nor a duration such as 2h"))
    }
}

impl std::fmt::Display for CpuTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CpuTime::Share(percent) => write!(f, "{percent}%"),
            CpuTime::Span(span) => span.fmt(f),
        }
    }
}

/// Permissions of a file, in octal digits as for `chmod`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Mode, String> {
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|&mode| mode <= 0o777);
        mode.map(Mode).ok_or_else(|| format!("{text:?} is not a mode such as 0660"))
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// All of these are strings in TOML; sizes may be numbers as well.
macro_rules! as_text {
    ($type:ty, $number:expr) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use serde::de::Error;
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Written {
                    Number(u64),
                    Text(String),
                }
                match Written::deserialize(deserializer)? {
                    Written::Text(text) => text.parse().map_err(D::Error::custom),
                    Written::Number(number) => $number(number).map_err(D::Error::custom),
                }
            }
        }
    };
}

as_text!(Bytes, |number| Ok::<_, String>(Bytes(number)));
as_text!(Span, |number: u64| Err(format!("{number} has no unit; write {number}s or {number}ms")));
as_text!(CpuTime, |number| Err(format!("{number} has no unit; write \"{number}%\" or \"{number}s\"")));
// 0o660 and 660 would both be numbers
as_text!(Mode, |number: u64| Err(format!(
    "{number} is a number; write the octal digits as a string, such as \"0660\""
)));

/// Strings, written as a list or as one string with commas; an empty string is an empty list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StringList(pub Vec<String>);

impl From<&str> for StringList {
    fn from(text: &str) -> StringList {
        let items = text.split(',').map(str::trim).map(str::to_owned);
        StringList(if text.trim().is_empty() { Vec::new() } else { items.collect() })
    }
}

impl Serialize for StringList {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [] => serializer.serialize_str(""),
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for StringList {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a string or a list of strings")]
        enum Written {
            One(String),
            Several(Vec<String>),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::One(text) => StringList::from(text.as_str()),
            Written::Several(texts) => StringList(texts),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_parsed() {
        let bytes = |text: &str| text.parse::<Bytes>().ok().map(|bytes| bytes.0);
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("10 gib"), Some(10 << 30));
        assert_eq!(bytes("1kB"), Some(1000));
        assert_eq!(bytes("17"), Some(17));
        assert_eq!(bytes("MiB"), None);
        assert_eq!(bytes("-1MiB"), None);
        assert_eq!(bytes("99999999999TiB"), None);
        let span = |text: &str| text.parse::<Span>().ok().map(|span| span.0.as_millis());
        assert_eq!(span("30s"), Some(30_000));
        assert_eq!(span("500ms"), Some(500));
        assert_eq!(span("2h"), Some(7_200_000));
        assert_eq!(span("0"), Some(0));
        assert_eq!(span("30"), None);
        let time = |text: &str| text.parse::<CpuTime>().ok();
        assert_eq!(time("10%"), Some(CpuTime::Share(10)));
        assert_eq!(time(" 100 % "), Some(CpuTime::Share(100)));
        assert_eq!(time("2h").map(|time| time.per_day(4)), Some(Duration::from_secs(7200)));
        assert_eq!(time("25%").map(|time| time.per_day(4)), Some(Duration::from_secs(86_400)));
        for invalid in ["", "%", "101%", "-1%", "1.5%", "10", "10%s"] {
            assert_eq!(time(invalid), None, "{invalid}");
        }
        for time in [CpuTime::Share(0), CpuTime::Span(Span(Duration::from_secs(60)))] {
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for bytes in [Bytes(0), Bytes(1), Bytes(1 << 10), Bytes(3 << 30)] {
            assert_eq!(bytes.to_string().parse(), Ok(bytes));
        }
    }
}
