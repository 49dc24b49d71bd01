//! Tables of options: one row for each option of a dialect, from which come its parser, its suggestions and its documentation.

use std::collections::HashMap;

use super::meaning::unsupported;
use crate::dialect::{Error, InvalidParam, nearest};

/// One option of a dialect that reads its options into a `D`.
pub struct ForeignOption<D: 'static> {
    /// The name in the vendor's documentation.
    pub name: &'static str,
    /// Its other names.
    pub aliases: &'static [&'static str],
    /// The values that are taken, for people.
    pub allowed: &'static str,
    /// Its meaning here, for people: the native parameter, why it is ignored, or why it is refused.
    pub about: &'static str,
    /// How it is treated.
    pub treatment: Treatment<D>,
}

/// How an option is treated.
pub enum Treatment<D: 'static> {
    /// It is read: the name as the URL has it, and the value.
    Read(fn(&mut D, &str, &str) -> Result<(), Error>),
    /// It has no effect, since it cannot change the picture.
    Ignored,
    /// It is a 400: it would change the picture, and there is no such operation.
    Refused,
    /// As [`Treatment::Refused`], but for the values that change nothing.
    RefusedUnless(fn(&str) -> bool),
}

/// An option as it is documented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionDoc {
    /// Its names, the vendor's first.
    pub names: Vec<&'static str>,
    /// The values that are taken.
    pub allowed: &'static str,
    /// Its meaning.
    pub about: &'static str,
    /// `read`, `ignored` or `refused`.
    pub treatment: &'static str,
}

impl<D> ForeignOption<D> {
    /// An option that is read.
    pub const fn read(
        name: &'static str, aliases: &'static [&'static str], allowed: &'static str, about: &'static str,
        read: fn(&mut D, &str, &str) -> Result<(), Error>,
    ) -> Self {
        ForeignOption { name, aliases, allowed, about, treatment: Treatment::Read(read) }
    }

    /// An option without effect; `about` says why.
    pub const fn ignored(name: &'static str, aliases: &'static [&'static str], about: &'static str) -> Self {
        ForeignOption { name, aliases, allowed: "any", about, treatment: Treatment::Ignored }
    }

    /// An option that is not offered; `about` is the native equal or the reason, or empty.
    pub const fn refused(name: &'static str, aliases: &'static [&'static str], about: &'static str) -> Self {
        ForeignOption { name, aliases, allowed: "none", about, treatment: Treatment::Refused }
    }

    /// An option that is not offered but for `allowed`, the values that change nothing.
    pub const fn refused_unless(
        name: &'static str, aliases: &'static [&'static str], allowed: &'static str, about: &'static str,
        is_neutral: fn(&str) -> bool,
    ) -> Self {
        ForeignOption { name, aliases, allowed, about, treatment: Treatment::RefusedUnless(is_neutral) }
    }

    fn doc(&self) -> OptionDoc {
        let treatment = match self.treatment {
            Treatment::Read(_) => "read",
            Treatment::Ignored => "ignored",
            Treatment::Refused | Treatment::RefusedUnless(_) => "refused",
        };
        let names = std::iter::once(self.name).chain(self.aliases.iter().copied()).collect();
        OptionDoc { names, allowed: self.allowed, about: self.about, treatment }
    }

    /// Reads one option into `draft`.
    ///
    /// # Errors
    /// Where the option is refused, or its value is invalid.
    pub fn apply(&self, draft: &mut D, name: &str, value: &str) -> Result<(), Error> {
        match self.treatment {
            Treatment::Read(read) => read(draft, name, value),
            Treatment::Ignored => Ok(()),
            Treatment::RefusedUnless(is_neutral) if is_neutral(value) => Ok(()),
            Treatment::Refused | Treatment::RefusedUnless(_) => {
                Err(unsupported(name, value, Some(self.about).filter(|about| !about.is_empty())))
            }
        }
    }
}

/// The rows of a table by name: some have two hundred, and a URL has several options.
pub struct Index<D: 'static>(HashMap<&'static str, &'static ForeignOption<D>>);

impl<D> Index<D> {
    /// The index of a table.
    pub fn new(options: &'static [ForeignOption<D>]) -> Index<D> {
        let named = |option: &'static ForeignOption<D>| {
            let names = std::iter::once(option.name).chain(option.aliases.iter().copied());
            names.map(move |name| (name, option))
        };
        // the first row of a name, as a search would find it
        Index(options.iter().rev().flat_map(named).collect())
    }

    /// The option of that name.
    pub fn find(&self, name: &str) -> Option<&'static ForeignOption<D>> {
        self.0.get(name).copied()
    }
}

/// The documentation of a table.
pub fn docs<D>(options: &'static [ForeignOption<D>]) -> Vec<OptionDoc> {
    options.iter().map(ForeignOption::doc).collect()
}

/// The 400 for an option that no row has.
pub fn unknown<D>(options: &'static [ForeignOption<D>], name: &str, value: &str) -> Error {
    let names = options.iter().flat_map(|option| std::iter::once(option.name).chain(option.aliases.iter().copied()));
    let suggestion = nearest(name, names).map(str::to_owned);
    Error::InvalidParams(InvalidParam::new(name, value, "an option of this dialect", suggestion).into())
}
