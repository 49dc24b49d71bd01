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
        let mut found: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (known, name) in names {
            let is_own = known == name;
            match found.get_mut(&known) {
                // an overlay's own name takes precedence over the file of another
                Some(other) if is_own => *other = Some(name),
                Some(Some(other)) if *other == known || *other == name => {}
                // two files of one name: it names neither
                Some(other) => *other = None,
                None => drop(found.insert(known, Some(name))),
            }
        }
        OverlayNames(found.into_iter().filter_map(|(known, name)| Some((known, name?))).collect())
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

    /// The overlay with the first name was taken.
    #[test]
    fn file_name_of_two_overlays_names_neither() {
        let names = |pairs: &[(&str, &str)]| -> OverlayNames {
            pairs.iter().map(|&(known, name)| (known.to_owned(), name.to_owned())).collect()
        };
        let two = names(&[
            ("a", "a"),
            ("one/logo.png", "a"),
            ("logo.png", "a"),
            ("b", "b"),
            ("two/logo.png", "b"),
            ("logo.png", "b"),
            ("c", "c"),
            ("three/logo.png", "c"),
            ("logo.png", "c"),
        ]);
        for (text, expected) in [
            ("logo.png", None),
            ("https://www.example.com/logo.png", None),
            ("one/logo.png", Some("a")),
            ("two/logo.png", Some("b")),
            ("b", Some("b")),
        ] {
            assert_eq!(two.find(text), expected, "{text}");
        }
        assert_eq!(two.listed(), "an overlay of the settings: a, b, c");
        // the file of one has the name of another
        for pairs in [[("logo", "a"), ("logo", "logo")], [("logo", "logo"), ("logo", "a")]] {
            assert_eq!(names(&pairs).find("logo"), Some("logo"));
        }
    }
}
