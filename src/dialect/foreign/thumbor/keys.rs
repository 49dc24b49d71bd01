//! Signatures of thumbor and imagor: HMAC over the path behind the signature, in base64url with padding, possibly cut.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::dialect::signature::are_equal;

/// Keys: the first signs, each verifies.
#[derive(Clone, Default)]
pub struct Keys {
    keys: Vec<Vec<u8>>,
    hash: Hash,
    /// The characters of a signature; 0 for all.
    characters: usize,
}

/// The hash of a signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// That of thumbor.
    #[default]
    Sha1,
    /// One of imagor's.
    Sha256,
    /// One of imagor's.
    Sha512,
}

/// A key without a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key has at least one character")]
pub struct EmptyKey;

impl Keys {
    /// The UTF-8 bytes of each text are a key; `characters` is the length that signatures are cut to, or 0.
    ///
    /// # Errors
    /// [`EmptyKey`].
    pub fn new(texts: &[String], hash: Hash, characters: u8) -> Result<Keys, EmptyKey> {
        if texts.iter().any(String::is_empty) {
            return Err(EmptyKey);
        }
        let keys = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        Ok(Keys { keys, hash, characters: characters.into() })
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The signature of a path without a slash in front; `None` where there is no key.
    pub fn sign(&self, path: &str) -> Option<String> {
        self.keys.first().map(|key| self.signature(key, path))
    }

    /// Whether one of the keys made the signature. Compares in constant time.
    pub fn verify(&self, path: &str, signature: &str) -> bool {
        // tries every key, so that the time does not tell which one matched
        let is_by = |key: &Vec<u8>| are_equal(self.signature(key, path).as_bytes(), signature.as_bytes());
        self.keys.iter().fold(false, |good, key| good | is_by(key))
    }

    fn signature(&self, key: &[u8], path: &str) -> String {
        let mut text = match self.hash {
            Hash::Sha1 => encoded::<Hmac<Sha1>>(key, path),
            Hash::Sha256 => encoded::<Hmac<Sha256>>(key, path),
            Hash::Sha512 => encoded::<Hmac<Sha512>>(key, path),
        };
        if self.characters > 0 {
            text.truncate(self.characters);
        }
        text
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} hidden)", self.keys.len())
    }
}

fn encoded<M: Mac + KeyInit>(key: &[u8], path: &str) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(path.as_bytes());
    URL_SAFE.encode(mac.finalize().into_bytes())
}
