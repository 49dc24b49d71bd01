//! Signatures of imgproxy: HMAC-SHA256 over the salt and the path behind the signature, cut, in base64url without padding.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Pairs of key and salt: the first signs, each verifies.
#[derive(Clone)]
pub struct Keys {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of a signature, 1 to 32.
    size: usize,
}

/// The reason why keys and salts cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// A key is not hexadecimal, or empty.
    #[error("a key has pairs of hexadecimal digits, at least one")]
    Key,
    /// A salt is not hexadecimal, or empty.
    #[error("a salt has pairs of hexadecimal digits, at least one")]
    Salt,
    /// The lists differ in length.
    #[error("there is one salt for each key")]
    Count,
    /// The size is not one of HMAC-SHA256.
    #[error("a signature has 1 to 32 bytes")]
    Size,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys { pairs: Vec::new(), size: 32 }
    }
}

impl Keys {
    /// Keys and salts in hexadecimal, and the bytes of a signature.
    ///
    /// # Errors
    /// [`InvalidKeys`].
    pub fn new(keys: &[String], salts: &[String], size: u8) -> Result<Keys, InvalidKeys> {
        if keys.len() != salts.len() {
            return Err(InvalidKeys::Count);
        }
        if !(1..=32).contains(&size) {
            return Err(InvalidKeys::Size);
        }
        let pair = |(key, salt): (&String, &String)| {
            Ok((bytes(key).ok_or(InvalidKeys::Key)?, bytes(salt).ok_or(InvalidKeys::Salt)?))
        };
        Ok(Keys { pairs: keys.iter().zip(salts).map(pair).collect::<Result<_, _>>()?, size: size.into() })
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The signature of a path; `None` where there is no key.
    pub fn sign(&self, path: &str) -> Option<String> {
        let signature = mac(self.pairs.first()?, path).finalize().into_bytes();
        Some(URL_SAFE_NO_PAD.encode(&signature[..self.size]))
    }

    /// Whether one of the keys made the signature. Compares in constant time.
    pub fn verify(&self, path: &str, signature: &str) -> bool {
        let decoded = URL_SAFE_NO_PAD.decode(signature).ok();
        let Some(signature) = decoded.filter(|bytes| bytes.len() == self.size) else { return false };
        let is_by = |pair| mac(pair, path).verify_truncated_left(&signature).is_ok();
        // tries every key, so that the time does not tell which one matched
        self.pairs.iter().fold(false, |good, pair| good | is_by(pair))
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} hidden)", self.pairs.len())
    }
}

fn mac((key, salt): &(Vec<u8>, Vec<u8>), path: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(salt);
    mac.update(path.as_bytes());
    mac
}

/// The bytes of pairs of hexadecimal digits; `None` for an empty text.
fn bytes(hex: &str) -> Option<Vec<u8>> {
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || hex.is_empty() || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}
