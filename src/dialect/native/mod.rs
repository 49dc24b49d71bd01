//! tintype's own dialect: parameters in the query, `/photo.jpg?width=800&format=webp`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`params`] | [`Params`]: the parameters of one URL, each optional, and the default of each |
//! | [`table`] | [`PARAMETERS`]: one row for each parameter, the source of the parser, the canonical form and the documentation |
//! | `values` | the text of a value to its type and back |
//! | `colours` | the named colours of CSS |
//! | [`query`] | a query to [`Params`] and back |

pub(super) mod colours;
pub mod params;
pub mod query;
pub mod table;
#[cfg(test)]
mod tests;
mod values;

/// The name of this dialect in settings, logs and metrics.
pub const NAME: &str = "native";

pub use params::Params;
pub use query::UnknownParam;
pub use table::{Control, Group, PARAMETERS, Parameter};
pub use values::is_name;
