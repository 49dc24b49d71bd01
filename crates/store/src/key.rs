//! The names of stored files.

/// Names one file. The first 8 bytes depend on its original alone, so that all files of one original lie in one folder
/// and are found without a record of which were ever stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key([u8; 32]);

/// The bytes of a key that depend on the original's path alone.
const PATH_BYTES: usize = 8;

impl Key {
    /// The key of a file of the original at `path`. `digest` covers everything that shapes the file's bytes; its first 8
    /// bytes are replaced by those of the path's hash.
    pub fn new(path: &str, digest: [u8; 32]) -> Key {
        let mut key = digest;
        key[..PATH_BYTES].copy_from_slice(&PathHash::of(path).0);
        Key(key)
    }

    /// Parses 64 hexadecimal digits.
    pub fn from_hex(hex: &str) -> Option<Key> {
        blake3::Hash::from_hex(hex).ok().map(|hash| Key(hash.into()))
    }

    /// As 64 lower-case hexadecimal digits.
    pub fn to_hex(self) -> String {
        blake3::Hash::from(self.0).to_hex().to_string()
    }

    /// Selects the fan-out folder.
    pub(crate) fn first_byte(self) -> u8 {
        self.0[0]
    }

    /// The part that depends on the original's path.
    pub(crate) fn original(self) -> PathHash {
        let mut hash = [0; PATH_BYTES];
        hash.copy_from_slice(&self.0[..PATH_BYTES]);
        PathHash(hash)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.to_hex())
    }
}

/// The first bytes of the blake3 of an original's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PathHash([u8; PATH_BYTES]);

impl PathHash {
    pub(crate) fn of(path: &str) -> PathHash {
        let mut hash = [0; PATH_BYTES];
        hash.copy_from_slice(&blake3::hash(path.as_bytes()).as_bytes()[..PATH_BYTES]);
        PathHash(hash)
    }

    /// Selects the fan-out folder of all files of that original.
    pub(crate) fn first_byte(self) -> u8 {
        self.0[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_keeps_its_original_and_survives_hex() {
        let key = Key::new("a", [7; 32]);
        assert_eq!(key.original(), PathHash::of("a"));
        assert_ne!(key.original(), Key::new("b", [7; 32]).original());
        assert_eq!(Key::from_hex(&key.to_hex()), Some(key));
        assert!(key.to_hex().ends_with("0707"));
    }
}
