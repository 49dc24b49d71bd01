//! Presets: options by name, expanded once when the settings are read, so that a URL cannot make them nest.

use std::collections::BTreeMap;

use super::draft::Draft;
use super::table::{INDEX, OPTIONS};
use crate::dialect::Error;
use crate::dialect::foreign::options;

/// The most options of one preset, those of the presets that it names included: a URL may name it as often as it has room.
const MAX_OPTIONS: usize = 256;

/// The preset that applies to every URL first.
pub(super) const DEFAULT: &str = "default";

/// Options by the name of their preset.
#[derive(Clone, Debug, Default)]
pub struct Presets(BTreeMap<String, Vec<(String, String)>>);

/// An invalid preset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPreset {
    /// A part is no option.
    #[error("preset {0}: {1:?} is not an option with its arguments")]
    Option(String, String),
    /// An option is refused.
    #[error("preset {0}: {1}")]
    Value(String, Error),
    /// It names a preset that does not exist.
    #[error("preset {0}: there is no preset {1:?}")]
    Unknown(String, String),
    /// It is too long.
    #[error("preset {0}: it has more than {MAX_OPTIONS} options, those of the presets that it names included")]
    TooLong(String),
}

impl Presets {
    /// Presets by name, each with options that slashes separate.
    ///
    /// # Errors
    /// [`InvalidPreset`].
    pub fn new(texts: &BTreeMap<String, String>, separator: &str) -> Result<Presets, InvalidPreset> {
        let mut presets = BTreeMap::new();
        for name in texts.keys() {
            let options = expanded(texts, separator, name)?;
            let mut draft = Draft::new(separator);
            options
                .iter()
                .try_for_each(|(option, value)| apply(&mut draft, option, value))
                .map_err(|why| InvalidPreset::Value(name.clone(), why))?;
            presets.insert(name.clone(), options);
        }
        Ok(Presets(presets))
    }

    /// The options of a preset.
    pub(super) fn get(&self, name: &str) -> Option<&[(String, String)]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The names of all presets.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Reads one option that is not `preset`.
pub(super) fn apply(draft: &mut Draft, name: &str, value: &str) -> Result<(), Error> {
    match INDEX.find(name) {
        Some(option) => option.apply(draft, name, value),
        None => Err(options::unknown(OPTIONS, name, value)),
    }
}

/// Whether an option names presets.
pub(super) fn is_preset(name: &str) -> bool {
    matches!(name, "preset" | "pr")
}

/// A step of the expansion.
enum Step<'a> {
    Option(&'a str),
    Preset(&'a str),
    /// The end of the innermost preset.
    End,
}

/// The options of a preset in their order; as in imgproxy a preset within itself is skipped.
fn expanded(
    texts: &BTreeMap<String, String>, separator: &str, name: &str,
) -> Result<Vec<(String, String)>, InvalidPreset> {
    let mut options = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut steps = vec![Step::Preset(name)];
    let mut visited = 0;
    while let Some(step) = steps.pop() {
        visited += 1;
        if visited > 4 * MAX_OPTIONS || options.len() > MAX_OPTIONS {
            return Err(InvalidPreset::TooLong(name.to_owned()));
        }
        match step {
            Step::End => drop(open.pop()),
            Step::Preset(inner) if open.contains(&inner) => {}
            Step::Preset(inner) => {
                let unknown = || InvalidPreset::Unknown(name.to_owned(), inner.to_owned());
                let (inner, text) = texts.get_key_value(inner).ok_or_else(unknown)?;
                open.push(inner);
                steps.push(Step::End);
                steps.extend(text.split('/').filter(|option| !option.is_empty()).rev().map(Step::Option));
            }
            Step::Option(option) => match option.split_once(separator) {
                Some((preset, names)) if is_preset(preset) => {
                    steps.extend(names.rsplit(separator).filter(|name| !name.is_empty()).map(Step::Preset));
                }
                Some((option, value)) => options.push((option.to_owned(), value.to_owned())),
                None => return Err(InvalidPreset::Option(name.to_owned(), option.to_owned())),
            },
        }
    }
    Ok(options)
}
