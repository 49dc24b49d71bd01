//! The name of a rendition: a digest of everything that shapes its bytes.

use crate::render::{Recipe, Settings};
use crate::source::{ImageId, Version};

/// Names one rendition: of this version of this original, by this recipe, under these settings, by this code.
///
/// The first 8 bytes depend on the original's name alone, so that all renditions of one original lie together and can
/// be found without knowing what was ever asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

/// How many bytes of a key depend on the original's name alone.
const OF_NAME: usize = 8;

impl Key {
    /// The key of a rendition.
    pub fn new(id: &ImageId, version: &Version, recipe: &Recipe, settings: &Settings) -> Key {
        // an identity covers the length
        let Version { identity, modified: _, length: _ } = version;
        let mut hasher = blake3::Hasher::new();
        // each part with its length, so that no two sequences of parts are one sequence of bytes
        for part in [id.as_str().as_bytes(), identity, &recipe.canonical(), &settings.canonical()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let mut key: [u8; 32] = hasher.finalize().into();
        key[..OF_NAME].copy_from_slice(&NameHash::of(id.as_str()).0);
        Key(key)
    }

    /// The key written as 64 hexadecimal digits.
    pub fn from_hex(hex: &str) -> Option<Key> {
        blake3::Hash::from_hex(hex).ok().map(|hash| Key(hash.into()))
    }

    /// As 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from(self.0).to_hex().to_string()
    }

    /// Which folder it lies in depends on this.
    pub(super) fn first_byte(self) -> u8 {
        self.0[0]
    }

    /// What it keeps of its original's name.
    pub(super) fn name_hash(self) -> NameHash {
        let mut hash = [0; OF_NAME];
        hash.copy_from_slice(&self.0[..OF_NAME]);
        NameHash(hash)
    }

    /// Whether it names a rendition of that original, by what the key keeps of its name.
    pub fn is_of(self, id: &ImageId) -> bool {
        self.name_hash() == NameHash::of(id.as_str())
    }
}

/// What a key keeps of its original's name: the first bytes of its blake3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NameHash([u8; OF_NAME]);

impl NameHash {
    pub(super) fn of(name: &str) -> NameHash {
        let mut hash = [0; OF_NAME];
        hash.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..OF_NAME]);
        NameHash(hash)
    }

    /// Which folder all renditions of that original lie in depends on this.
    pub(super) fn first_byte(self) -> u8 {
        self.0[0]
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_hex())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::render::recipe::{Output, Quality};

    #[test]
    fn every_part_counts() {
        let id = |name| ImageId::parse(name).expect("a name");
        let version = |tag| Version { identity: [tag; 32], modified: SystemTime::UNIX_EPOCH, length: 1 };
        let recipe = |q| Recipe::new(Output::Original, Quality::new(q).expect("in range"));
        let settings = Settings::default();
        let other = Settings { linear: !settings.linear, ..settings.clone() };
        let key = Key::new(&id("/a"), &version(1), &recipe(80), &settings);
        assert_eq!(key, Key::new(&id("/a"), &version(1), &recipe(80), &settings));
        assert_ne!(key, Key::new(&id("/b"), &version(1), &recipe(80), &settings));
        assert_ne!(key, Key::new(&id("/a"), &version(2), &recipe(80), &settings));
        assert_ne!(key, Key::new(&id("/a"), &version(1), &recipe(81), &settings));
        assert_ne!(key, Key::new(&id("/a"), &version(1), &recipe(80), &other));
        assert_eq!(Key::from_hex(&key.to_hex()), Some(key));
        assert!(key.is_of(&id("/a")) && !key.is_of(&id("/b")));
    }
}
