//! The key of a rendition: a digest of everything that shapes its bytes.

use tintype_store::Key;

use crate::render::{Recipe, Settings};
use crate::source::{ImageId, Version};

/// The key of the rendition of this version of this original, by this recipe, under these settings, by this code.
pub fn rendition_key(id: &ImageId, version: &Version, recipe: &Recipe, settings: &Settings) -> Key {
    // an identity covers the length
    let Version { identity, modified: _, length: _ } = version;
    let mut hasher = blake3::Hasher::new();
    // each part with its length, so that no two sequences of parts are one sequence of bytes
    for part in [id.as_str().as_bytes(), identity, &recipe.canonical(), &settings.canonical()] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Key::new(id.as_str(), hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::render::recipe::{Output, Quality};

    #[test]
    fn key_depends_on_every_part() {
        let id = |name| ImageId::parse(name).expect("a name");
        let version = |tag| Version { identity: [tag; 32], modified: Some(SystemTime::UNIX_EPOCH), length: 1 };
        let recipe = |q| Recipe::new(Output::Original, Quality::new(q).expect("in range"));
        let settings = Settings::default();
        let other = Settings { linear: !settings.linear, ..settings.clone() };
        let key = rendition_key(&id("/a"), &version(1), &recipe(80), &settings);
        assert_eq!(key, rendition_key(&id("/a"), &version(1), &recipe(80), &settings));
        assert_ne!(key, rendition_key(&id("/b"), &version(1), &recipe(80), &settings));
        assert_ne!(key, rendition_key(&id("/a"), &version(2), &recipe(80), &settings));
        assert_ne!(key, rendition_key(&id("/a"), &version(1), &recipe(81), &settings));
        assert_ne!(key, rendition_key(&id("/a"), &version(1), &recipe(80), &other));
    }
}
