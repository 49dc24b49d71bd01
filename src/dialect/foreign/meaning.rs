//! The native parameters that a foreign URL means.

use crate::dialect::native::params::RequestedFormat;
use crate::dialect::native::{Parameter, Params};
use crate::dialect::{Error, InvalidParam};

/// Native parameters, set by their names as a native URL would.
///
/// Text is the interface on purpose: a dialect's documentation, its tests and its answers are about native URLs, and each value goes
/// through the parser that those go through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meaning(Params);

impl Meaning {
    /// Sets a native parameter, or replaces it. `option` is the foreign option that asks for it, for the error.
    ///
    /// # Errors
    /// Where the native parameter does not allow the value, or there is none of that name.
    pub fn set(&mut self, option: (&str, &str), name: &'static str, value: &str) -> Result<(), Error> {
        let is_set = Parameter::find(name).is_some_and(|parameter| parameter.parse(Some(value), &mut self.0));
        if is_set {
            return Ok(());
        }
        let allowed = match Parameter::find(name) {
            Some(parameter) => format!("{name}={value} is not possible: {}", parameter.allowed),
            None => format!("{name} is not an operation of this server"),
        };
        Err(invalid(option.0, option.1, allowed))
    }

    /// Sets `flip` where the picture is mirrored, horizontally or vertically.
    ///
    /// # Errors
    /// The errors of [`Meaning::set`].
    pub fn set_flip(&mut self, option: (&str, &str), [horizontal, vertical]: [bool; 2]) -> Result<(), Error> {
        match (horizontal, vertical) {
            (true, true) => self.set(option, "flip", "hv"),
            (true, false) => self.set(option, "flip", "h"),
            (false, true) => self.set(option, "flip", "v"),
            (false, false) => Ok(()),
        }
    }

    /// The parameters.
    pub fn into_params(self) -> Params {
        self.0
    }

    /// The parameters of a URL whose answer is a rendition in any case: without another one they ask for the original's format.
    pub fn into_rendition(self) -> Params {
        let Meaning(mut params) = self;
        if !params.asks_for_rendition() {
            params.format = Some(RequestedFormat::Original);
        }
        params
    }
}

impl From<Params> for Meaning {
    fn from(params: Params) -> Meaning {
        Meaning(params)
    }
}

/// A 400 for one option.
pub fn invalid(option: &str, value: &str, allowed: impl Into<String>) -> Error {
    Error::InvalidParams(InvalidParam::new(option, value, allowed, None).into())
}

/// A 400 for an option that would change the picture in a way that this server does not offer; `instead` is the native equal where there
/// is one.
pub fn unsupported(option: &str, value: &str, instead: Option<&str>) -> Error {
    let allowed = match instead {
        Some(instead) => format!("{option} is not an operation of this server; {instead}"),
        None => format!("{option} is not an operation of this server"),
    };
    invalid(option, value, allowed)
}
