//! Invalid parameters and the values that are allowed. Only the first few are listed and the rest counted, so that an error
//! is never much longer than its URL.

use std::fmt::{Display, Formatter, Result as Written};

/// The most parameters that one error lists.
const LISTED: usize = 8;

/// The most characters of a name or a value that an error repeats.
const LONGEST: usize = 100;

/// One invalid parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidParam {
    /// The name in the URL, cut to 100 characters.
    pub name: String,
    /// The decoded value in the URL, cut to 100 characters.
    pub value: String,
    /// The allowed values, for people.
    pub allowed: String,
    /// The nearest valid value or name, where one is near.
    pub did_you_mean: Option<String>,
}

impl InvalidParam {
    /// An invalid parameter; long names and values are cut.
    pub fn new(name: &str, value: &str, allowed: impl Into<String>, did_you_mean: Option<String>) -> InvalidParam {
        let cut = |text: &str| text.chars().take(LONGEST).collect();
        InvalidParam { name: cut(name), value: cut(value), allowed: allowed.into(), did_you_mean }
    }
}

impl Display for InvalidParam {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        write!(f, "{}={:?} is not allowed: {}", self.name, self.value, self.allowed)?;
        match &self.did_you_mean {
            Some(better) => write!(f, " (did you mean {better:?}?)"),
            None => Ok(()),
        }
    }
}

/// The invalid parameters of one URL, in its order: the first `LISTED`, and the number of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InvalidParams {
    listed: Vec<InvalidParam>,
    omitted: usize,
}

impl InvalidParams {
    /// Adds one; `make` is called only if it is listed.
    pub(super) fn add(&mut self, make: impl FnOnce() -> InvalidParam) {
        match self.listed.len() < LISTED {
            true => self.listed.push(make()),
            false => self.omitted += 1,
        }
    }

    /// `Err(self)` unless empty.
    pub(super) fn into_result(self) -> Result<(), InvalidParams> {
        if self.listed.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The number of invalid parameters that are not listed.
    pub fn omitted(&self) -> usize {
        self.omitted
    }
}

impl std::ops::Deref for InvalidParams {
    type Target = [InvalidParam];

    fn deref(&self) -> &[InvalidParam] {
        &self.listed
    }
}

impl From<InvalidParam> for InvalidParams {
    fn from(only: InvalidParam) -> InvalidParams {
        InvalidParams { listed: vec![only], omitted: 0 }
    }
}

impl Display for InvalidParams {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        for (index, invalid) in self.listed.iter().enumerate() {
            write!(f, "{}{invalid}", if index > 0 { "; " } else { "" })?;
        }
        match self.omitted {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_params_beyond_eight_are_counted() {
        for (count, omitted) in [(1, 0), (8, 0), (9, 1), (4000, 3992)] {
            let mut all = InvalidParams::default();
            (0..count).for_each(|_| all.add(|| InvalidParam::new("w", "0", "an integer", None)));
            assert_eq!((all.len(), all.omitted()), (count.min(LISTED), omitted));
            assert_eq!(all.to_string().ends_with(&format!("and {omitted} more")), omitted > 0, "{all}");
            assert!(all.into_result().is_err());
        }
        assert!(InvalidParams::default().into_result().is_ok());
    }

    #[test]
    fn long_names_and_values_are_cut_between_characters() {
        let cut = InvalidParam::new(&"\u{1F600}".repeat(5000), &"é".repeat(5000), "nothing", None);
        assert_eq!((cut.name.chars().count(), cut.value.chars().count()), (LONGEST, LONGEST));
    }
}
