//! Names in the store's folder. A stored file is one plain file with all of its metadata in its name:
//! `<fan-out>/<key>.<blake3 of the bytes>.<length>.<attributes>`. There is no second file and no database: listing the folders
//! gives the index, and a truncated, swapped or damaged file does not match its name.

use crate::index::Value;
use crate::{Attributes, Digest, Key};

/// The version of this layout, which lies in a folder `v<version>`. A change of layout takes the next number.
pub(crate) const VERSION: u32 = 2;

/// The number of folders with stored files: enough that one is listed in milliseconds, few enough that the folders
/// themselves take little space.
pub(crate) const FAN_OUT: u8 = 64;

/// The folder of files that are being written.
pub(crate) const STAGING: &str = "staging";

/// The file that is locked by the process which uses the folder.
pub(crate) const LOCK: &str = "lock";

/// The file with the paths of originals, one a line.
pub(crate) const ORIGINAL_PATHS: &str = "names";

/// The lock and the list of paths.
pub(crate) const FIXED_FILES: u64 = 2;

/// The metadata of a file, from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<A> {
    pub(crate) digest: Digest,
    /// Bytes.
    pub(crate) length: u32,
    pub(crate) attributes: A,
}

impl<A: Attributes> Value for Record<A> {
    type Body = Digest;

    fn body(&self) -> Digest {
        self.digest
    }
}

/// The name of a fan-out folder.
pub(crate) fn folder(number: u8) -> String {
    format!("{number:02x}")
}

/// Whether files of that key lie in that fan-out folder.
pub(crate) fn is_in(key: Key, number: u8) -> bool {
    key.first_byte() % FAN_OUT == number
}

/// The path of a file below the layout's folder.
pub(crate) fn path<A: Attributes>(key: Key, record: &Record<A>) -> String {
    format!("{}/{}", folder(key.first_byte() % FAN_OUT), name(key, record))
}

/// The name of a file.
pub(crate) fn name<A: Attributes>(key: Key, record: &Record<A>) -> String {
    let Record { digest, length, attributes } = record;
    format!("{}.{}.{length}.{}", key.to_hex(), digest.to_hex(), attributes.to_suffix())
}

/// Parses a file name; `None` for every text that [`name`] does not make.
pub(crate) fn parse<A: Attributes>(name: &str) -> Option<(Key, Record<A>)> {
    let mut parts = name.splitn(4, '.');
    let (key, digest, length, suffix) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_number = !length.starts_with(['0', '+']) && length.len() <= 10;
    if !is_hex(key) || !is_hex(digest) || !is_number {
        return None;
    }
    let attributes = A::from_suffix(suffix).filter(|attributes| attributes.to_suffix() == suffix)?;
    let record = Record { digest: Digest::from_hex(digest)?, length: length.parse().ok()?, attributes };
    Some((Key::from_hex(key)?, record))
}

/// The name that is made of a parsed name; for tests that both are equal.
#[doc(hidden)]
pub fn name_again<A: Attributes>(written: &str) -> Option<String> {
    parse::<A>(written).map(|(key, record)| name(key, &record))
}

/// The name of a file in the staging folder: a unique number and its final name.
pub(crate) fn staged<A: Attributes>(number: u64, key: Key, record: &Record<A>) -> String {
    format!("{number:x}-{}", name(key, record))
}

/// Parses the name of a staged file.
pub(crate) fn parse_staged<A: Attributes>(staged: &str) -> Option<(Key, Record<A>)> {
    let (number, name) = staged.split_once('-')?;
    u64::from_str_radix(number, 16).ok()?;
    parse(name)
}

/// Parses the path of a stored or a staged file.
pub(crate) fn parse_path<A: Attributes>(path: &str) -> Option<(Key, Record<A>)> {
    let (folder, name) = path.rsplit_once('/')?;
    if folder == STAGING { parse_staged(name) } else { parse(name) }
}

/// The layout version of a folder of that name.
pub(crate) fn version(name: &str) -> Option<u32> {
    let digits = name.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+']))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Extension;

    fn record(length: u32) -> Record<Extension> {
        Record { digest: Digest::of(b"a body"), length, attributes: Extension::WebP }
    }

    fn key() -> Key {
        Key::from_hex(&"0f".repeat(32)).expect("64 digits")
    }

    #[test]
    fn only_names_that_the_store_writes_are_parsed() {
        let name = name(key(), &record(6));
        assert_eq!(parse(&name), Some((key(), record(6))));
        let dotted = Record { attributes: Extension::Json, ..record(6) };
        assert_eq!(parse(&super::name(key(), &dotted)), Some((key(), dotted)));
        assert_eq!(parse_staged(&staged(300, key(), &record(6))), Some((key(), record(6))));
        let digest = Digest::of(b"a body").to_hex();
        let key = key().to_hex();
        for near in [
            String::new(),
            name.to_uppercase(),
            name.replacen('0', "", 1),
            format!("{name}."),
            format!("{name}.webp"),
            format!(".{name}"),
            format!("{key}.{digest}.06.webp"),
            format!("{key}.{digest}.+6.webp"),
            format!("{key}.{digest}.-6.webp"),
            format!("{key}.{digest}.0.webp"),
            format!("{key}.{digest}..webp"),
            format!("{key}.{digest}.4294967296.webp"),
            format!("{key}.{digest}.6.WEBP"),
            format!("{key}.{digest}.6.html"),
            format!("{key}.{digest}.6"),
            format!("{key}.{digest}.6.json"),
            format!("{key}.{digest}.6.part.webp"),
            format!("{key}.{key}{digest}.6.webp"),
        ] {
            assert_eq!(parse::<Extension>(&near), None, "{near}");
        }
        for near in [name.as_str(), "", "-", "x-", &format!("x-{name}"), &format!("-{name}")] {
            assert_eq!(parse_staged::<Extension>(near), None, "{near}");
        }
    }

    #[test]
    fn layout_versions_are_parsed_from_folder_names() {
        for (name, number) in [("v1", Some(1)), ("v2", Some(2)), ("v30", Some(30)), ("v01", None), ("v", None)] {
            assert_eq!(version(name), number, "{name}");
        }
    }

    proptest! {
        #[test]
        fn parsed_name_is_written_alike(text in "[0-9a-fA-F]{64}\\.[0-9a-f]{64}\\.[0-9+]{1,11}\\.(webp|WebP|part\\.json|json|x|)") {
            if let Some((key, record)) = parse::<Extension>(&text) {
                prop_assert_eq!(name(key, &record), text);
            }
        }

        #[test]
        fn random_text_does_not_panic(text in "\\PC{0,200}") {
            let _ = (parse::<Extension>(&text), parse_staged::<Extension>(&text), version(&text));
        }
    }
}
