//! The names under which URLs of other systems know our overlays.

use std::collections::BTreeMap;

/// Names, paths and file names of overlays, each with the overlay's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverlayNames(BTreeMap<String, String>);

impl OverlayNames {
    /// The overlay that a text names: by its own name, its path in the settings, or the name of its file, which may be the last
    /// segment of an address.
    pub fn find(&self, text: &str) -> Option<&str> {
        let segment = text.rsplit('/').next().unwrap_or_default();
        self.0.get(text).or_else(|| self.0.get(segment)).map(String::as_str)
    }

    /// The names of overlays, for people.
    pub fn listed(&self) -> String {
        let mut names: Vec<&str> = self.0.values().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        match names.is_empty() {
            true => "an overlay of the settings, which have none".into(),
            false => format!("an overlay of the settings: {}", names.join(", ")),
        }
    }
}

impl FromIterator<(String, String)> for OverlayNames {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(names: T) -> OverlayNames {
        let mut all = OverlayNames::default();
        for (known, name) in names {
            // an overlay's own name takes precedence over the file of another
            match known == name {
                true => drop(all.0.insert(known, name)),
                false => drop(all.0.entry(known).or_insert(name)),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_is_found_by_name_and_by_file() {
        let pairs = [("logo", "logo"), ("marks/logo.png", "logo"), ("logo.png", "logo"), ("stamp", "stamp")];
        let names: OverlayNames = pairs.map(|(known, name)| (known.to_owned(), name.to_owned())).into_iter().collect();
        for text in ["logo", "logo.png", "/logo.png", "marks/logo.png", "https://www.example.com/a/logo.png"] {
            assert_eq!(names.find(text), Some("logo"), "{text}");
        }
        assert_eq!(names.find("logo.jpg"), None);
        assert_eq!(names.listed(), "an overlay of the settings: logo, stamp");
    }
}
