//! Signed URLs: HMAC-SHA256 (RFC 2104) over the path as it was sent and the canonical query, in base64url.

use std::hint::black_box;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signing keys: the first signs, each verifies, so that keys can be rotated without invalid URLs in between.
#[derive(Clone, Default)]
pub struct Keys(Vec<Vec<u8>>);

/// The minimum length of a key in bytes.
pub const MIN_KEY_BYTES: usize = 16;

/// A key of fewer than [`MIN_KEY_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key has at least {MIN_KEY_BYTES} bytes")]
pub struct ShortKey;

impl Keys {
    /// The UTF-8 bytes of each text are a key.
    ///
    /// # Errors
    /// [`ShortKey`], since it could be guessed.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Keys, ShortKey> {
        let keys: Vec<Vec<u8>> = texts.into_iter().map(|text| text.as_bytes().to_vec()).collect();
        if keys.iter().any(|key| key.len() < MIN_KEY_BYTES) { Err(ShortKey) } else { Ok(Keys(keys)) }
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The signature of a path and a canonical query; `None` where there is no key.
    pub fn sign(&self, path: &str, query: &str) -> Option<String> {
        let key = self.0.first()?;
        Some(URL_SAFE_NO_PAD.encode(mac(key, path, query).finalize().into_bytes()))
    }

    /// Whether one of the keys made the signature. Compares in constant time.
    pub fn verify(&self, path: &str, query: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        // tries every key, so that the time does not tell which one matched
        self.0.iter().fold(false, |good, key| good | mac(key, path, query).verify_slice(&signature).is_ok())
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} hidden)", self.0.len())
    }
}

fn mac(key: &[u8], path: &str, query: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(path.as_bytes());
    mac.update(b"?");
    mac.update(query.as_bytes());
    mac
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
pub(in crate::dialect) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let differing = one.iter().zip(other).fold(0, |differing, (one, other)| black_box(differing | (one ^ other)));
    one.len() == other.len() && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_of_another_url_is_refused() {
        let old = Keys::new(["0123456789abcdef"]).expect("long enough");
        let both = Keys::new(["fedcba9876543210", "0123456789abcdef"]).expect("long enough");
        let signature = old.sign("/a.jpg", "width=800").expect("a key");
        assert_eq!(signature.len(), 43);
        assert!(old.verify("/a.jpg", "width=800", &signature));
        assert!(both.verify("/a.jpg", "width=800", &signature));
        for (path, query) in
            [("/b.jpg", "width=800"), ("/a.jpg", "width=801"), ("/a.jpg?width=800", ""), ("/a.jpg", "")]
        {
            assert!(!old.verify(path, query, &signature), "{path}?{query}");
        }
        for at in 0..signature.len() {
            let mut bytes = signature.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).expect("ASCII");
            assert!(!old.verify("/a.jpg", "width=800", &changed), "{changed}");
            assert!(!old.verify("/a.jpg", "width=800", &signature[..at]), "cut at {at}");
        }
        assert!(!Keys::default().verify("/a.jpg", "", ""));
        // the same key twice
        let twice = Keys::new(["0123456789abcdef"; 2]).expect("long enough");
        assert!(twice.verify("/a.jpg", "width=800", &signature));
    }

    #[test]
    fn keys_are_counted_and_not_printed() {
        let keys = Keys::new(["0123456789abcdef"]).expect("long enough");
        assert!(Keys::default().is_empty() && !keys.is_empty());
        assert_eq!(format!("{keys:?}"), "Keys(1 hidden)");
    }

    /// RFC 4231 has no case of this shape; the value is from `openssl dgst -sha256 -hmac`.
    #[test]
    fn signature_equals_that_of_openssl() {
        let keys = Keys::new(["0123456789abcdef"]).expect("long enough");
        let hex = "96a53e7c01f21b8dc8f25630e1b49daa0c631c4e634ad2f0282664f7112d85fb";
        let signature = keys.sign("/a.jpg", "width=800").expect("a key");
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex);
    }

    #[test]
    fn texts_of_other_bytes_or_lengths_differ() {
        for (one, other, expected) in [
            ("", "", true),
            ("ab", "ab", true),
            ("ab", "ac", false),
            ("aa", "bb", false),
            ("ab", "abc", false),
            ("ab", "", false),
        ] {
            assert_eq!(are_equal(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(are_equal(other.as_bytes(), one.as_bytes()), expected, "{other} {one}");
        }
    }

    #[test]
    fn short_keys_are_refused() {
        assert_eq!(Keys::new(["short"]).err(), Some(ShortKey));
        assert_eq!(Keys::new([""]).err(), Some(ShortKey));
    }
}
