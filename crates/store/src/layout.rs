//! Names in the cache folder. A rendition is one plain file whose record is its name:
//! `<fan-out>/<key>.<blake3 of the body>.<length>.<attributes>`. There is no second file and no database: listing the
//! folders is the index, and a truncation, a swap or a flipped bit shows against the name.

use crate::index::Value;
use crate::{Attributes, Digest, Key};

/// The number of this layout; a folder `v<number>` has all of it. A change takes the next number.
pub(crate) const VERSION: u32 = 2;

/// How many folders renditions lie in: enough that one is listed in milliseconds, few enough that the folders
/// themselves take little.
pub(crate) const FAN_OUT: u8 = 64;

/// Where files are while they are written.
pub(crate) const STAGING: &str = "staging";

/// Held by the process that the folder belongs to.
pub(crate) const LOCK: &str = "lock";

/// The paths of the originals that there are renditions of, one a line.
pub(crate) const NAMES: &str = "names";

/// Files beside the renditions, the lock and the names.
pub(crate) const FIXED_FILES: u64 = 2;

/// What is known of a rendition from its name.
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

/// Whether renditions of that key lie in that folder.
pub(crate) fn is_in(key: Key, number: u8) -> bool {
    key.first_byte() % FAN_OUT == number
}

/// The path of a rendition below the layout's folder.
pub(crate) fn path<A: Attributes>(key: Key, record: &Record<A>) -> String {
    format!("{}/{}", folder(key.first_byte() % FAN_OUT), name(key, record))
}

/// The name of a rendition's file.
pub(crate) fn name<A: Attributes>(key: Key, record: &Record<A>) -> String {
    let Record { digest, length, attributes } = record;
    format!("{}.{}.{length}.{}", key.to_hex(), digest.to_hex(), attributes.to_suffix())
}

/// The key and the record that a file name states; `None` for every name that [`name`] does not make.
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

/// The name that is made of what a name states; for tests of what is taken for one of ours.
#[doc(hidden)]
pub fn name_again<A: Attributes>(written: &str) -> Option<String> {
    parse::<A>(written).map(|(key, record)| name(key, &record))
}

/// The name of a file in the staging folder: a number that no other has, and its final name.
pub(crate) fn staged<A: Attributes>(number: u64, key: Key, record: &Record<A>) -> String {
    format!("{number:x}-{}", name(key, record))
}

/// What is staged under that name, if it is one of ours.
pub(crate) fn parse_staged<A: Attributes>(staged: &str) -> Option<(Key, Record<A>)> {
    let (number, name) = staged.split_once('-')?;
    u64::from_str_radix(number, 16).ok()?;
    parse(name)
}

/// The number of the layout that a folder of that name holds.
pub(crate) fn version(name: &str) -> Option<u32> {
    let digits = name.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+']))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testsuite::Extension;

    fn record(length: u32) -> Record<Extension> {
        Record { digest: Digest::of(b"a body"), length, attributes: Extension::WebP }
    }

    fn key() -> Key {
        Key::from_hex(&"0f".repeat(32)).expect("64 digits")
    }

    #[test]
    fn names_are_read_as_they_are_written_and_nothing_else_is() {
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
    fn layouts_are_told_by_their_folders() {
        for (name, number) in [("v1", Some(1)), ("v2", Some(2)), ("v30", Some(30)), ("v01", None), ("v", None)] {
            assert_eq!(version(name), number, "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_would_be_written_so(text in "[0-9a-fA-F]{64}\\.[0-9a-f]{64}\\.[0-9+]{1,11}\\.(webp|WebP|part\\.json|json|x|)") {
            if let Some((key, record)) = parse::<Extension>(&text) {
                prop_assert_eq!(name(key, &record), text);
            }
        }

        #[test]
        fn no_text_is_a_danger(text in "\\PC{0,200}") {
            let _ = (parse::<Extension>(&text), parse_staged::<Extension>(&text), version(&text));
        }
    }
}
