//! The dialects that the settings mount.

mod keyed;
mod plain;

use std::sync::Arc;

use super::dialects::Dialects;
use super::live::LiveSettings;
use crate::dialect::foreign::{Sources, next, templates};
use crate::dialect::{Dialect, Mount, Mounts};

/// An invalid setting of a dialect, or a combination that would let clients go around signatures.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is invalid: {why}")]
pub struct InvalidDialect {
    /// The setting, as `section.key`.
    pub setting: String,
    /// The reason.
    pub why: String,
}

fn invalid(setting: impl Into<String>, why: impl std::fmt::Display) -> InvalidDialect {
    InvalidDialect { setting: setting.into(), why: why.to_string() }
}

impl LiveSettings {
    /// The mounts of all dialects.
    ///
    /// # Errors
    /// [`InvalidDialect`].
    pub fn mounts(&self) -> Result<Mounts, InvalidDialect> {
        let dialects = &self.dialects;
        let sources =
            Sources::new(dialects.bases.0.iter().map(String::as_str)).map_err(|why| invalid("dialects.bases", why))?;
        let mut foreign = plain::mounts(self, &sources);
        foreign.extend(keyed::mounts(dialects, &sources, &self.overlay_names())?);
        let mut add = |prefix: &str, dialect: Arc<dyn Dialect>| {
            foreign.push(Mount { prefix: prefix.to_owned(), dialect });
        };
        // the other sections are read in `keyed` and `plain`
        let Dialects { native, paths, next, .. } = dialects;
        if !next.mount.is_empty() {
            let (mount, widths, qualities) = (next.mount.clone(), next.widths.clone(), next.qualities.clone());
            add(&next.mount, Arc::new(next::Next { mount, sources: sources.clone(), widths, qualities }));
        }
        let templates = (!paths.is_empty()).then(|| {
            let pairs = paths.iter().map(|template| (template.path.as_str(), template.query.as_str()));
            templates::Templates::new(pairs, sources)
        });
        let templates = templates.transpose().map_err(|why| invalid("dialects.paths", why))?;
        let mounts = Mounts::new(native, foreign, templates).map_err(|why| invalid("dialects", why))?;
        self.check_unsigned(&mounts)?;
        Ok(mounts)
    }

    /// Refuses dialects without signatures where native URLs need one, unless the settings allow them.
    fn check_unsigned(&self, mounts: &Mounts) -> Result<(), InvalidDialect> {
        if !self.security.require_signature || self.dialects.unsigned {
            return Ok(());
        }
        let is_open =
            |dialect: &dyn Dialect| dialect.is_unsigned() && !keyed::waits_for_keys(&self.dialects, dialect.name());
        match mounts.foreign().find(|(_, dialect)| is_open(*dialect)) {
            Some((_, dialect)) => {
                let why = "its URLs are not signed, and security.require_signature holds; dialects.unsigned = true allows that";
                Err(invalid(format!("dialects.{}", dialect.name()), why))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
