//! Names in the cache folder. A rendition is one plain file whose record is its name:
//! `<fan-out>/<key>.<blake3 of the body>.<length>.<extension>`. There is no second file and no database: listing the
//! folders is the index, and a truncation, a swap or a flipped bit shows against the name. The extension of a rendition
//! of a damaged original is preceded by `damaged`.

use super::index::Value;
use super::{Digest, Key};
use crate::render::Content;

/// The number of this layout; a folder `v<number>` has all of it. A change takes the next number.
pub(super) const VERSION: u32 = 2;

/// How many folders renditions lie in: enough that one is listed in milliseconds, few enough that the folders
/// themselves take little.
pub(super) const FAN_OUT: u8 = 64;

/// Where files are while they are written.
pub(super) const STAGING: &str = "staging";

/// Held by the process that the folder belongs to.
pub(super) const LOCK: &str = "lock";

/// The paths of the originals that there are renditions of, one a line.
pub(super) const NAMES: &str = "names";

/// Files beside the renditions, the lock and the names.
pub(super) const FIXED_FILES: u64 = 2;

/// What is known of a rendition from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) digest: Digest,
    /// Bytes.
    pub(super) length: u32,
    pub(super) content: Content,
    /// Whether the original was damaged.
    pub(super) damaged: bool,
}

impl Value for Record {
    type Body = Digest;

    fn body(&self) -> Digest {
        self.digest
    }
}

/// The part of a name that says that the original was damaged.
const DAMAGED: &str = "damaged";

/// The name of a fan-out folder.
pub(super) fn folder(number: u8) -> String {
    format!("{number:02x}")
}

/// Whether renditions of that key lie in that folder.
pub(super) fn is_in(key: Key, number: u8) -> bool {
    key.first_byte() % FAN_OUT == number
}

/// The path of a rendition below the layout's folder.
pub(super) fn path(key: Key, record: &Record) -> String {
    format!("{}/{}", folder(key.first_byte() % FAN_OUT), name(key, record))
}

/// The name of a rendition's file.
pub(super) fn name(key: Key, record: &Record) -> String {
    let Record { digest, length, content, damaged } = record;
    let (mark, dot) = if *damaged { (DAMAGED, ".") } else { ("", "") };
    format!("{}.{}.{length}.{mark}{dot}{}", key.to_hex(), digest.to_hex(), content.extension())
}

/// The key and the record that a file name states; `None` for every name that [`name`] does not make.
pub(super) fn parse(name: &str) -> Option<(Key, Record)> {
    let mut parts = name.split('.');
    let (key, digest, length, mark) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let damaged = mark == DAMAGED;
    let extension = if damaged { parts.next()? } else { mark };
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let is_number = !length.starts_with(['0', '+']) && length.len() <= 10;
    if parts.next().is_some() || !is_hex(key) || !is_hex(digest) || !is_number {
        return None;
    }
    let content = Content::from_extension(extension).filter(|content| content.extension() == extension)?;
    let record = Record { digest: Digest::from_hex(digest)?, length: length.parse().ok()?, content, damaged };
    Some((Key::from_hex(key)?, record))
}

/// The name that is made of what a name states; for tests of what is taken for one of ours.
#[doc(hidden)]
pub fn name_again(written: &str) -> Option<String> {
    parse(written).map(|(key, record)| name(key, &record))
}

/// The name of a file in the staging folder: a number that no other has, and its final name.
pub(super) fn staged(number: u64, key: Key, record: &Record) -> String {
    format!("{number:x}-{}", name(key, record))
}

/// What is staged under that name, if it is one of ours.
pub(super) fn parse_staged(staged: &str) -> Option<(Key, Record)> {
    let (number, name) = staged.split_once('-')?;
    u64::from_str_radix(number, 16).ok()?;
    parse(name)
}

/// The number of the layout that a folder of that name holds.
pub(super) fn version(name: &str) -> Option<u32> {
    let digits = name.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+']))?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::Format;

    fn record(length: u32) -> Record {
        Record { digest: Digest::of(b"a body"), length, content: Content::Image(Format::WebP), damaged: false }
    }

    fn key() -> Key {
        Key::from_hex(&"0f".repeat(32)).expect("64 digits")
    }

    #[test]
    fn names_are_read_as_they_are_written_and_nothing_else_is() {
        let name = name(key(), &record(6));
        assert_eq!(parse(&name), Some((key(), record(6))));
        let damaged = Record { damaged: true, ..record(6) };
        assert_eq!(parse(&super::name(key(), &damaged)), Some((key(), damaged)));
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
            format!("{key}.{digest}.6.damaged"),
            format!("{key}.{digest}.6.damaged.damaged.webp"),
            format!("{key}.{digest}.6.whole.webp"),
            format!("{key}.{key}{digest}.6.webp"),
        ] {
            assert_eq!(parse(&near), None, "{near}");
        }
        for near in [name.as_str(), "", "-", "x-", &format!("x-{name}"), &format!("-{name}")] {
            assert_eq!(parse_staged(near), None, "{near}");
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
        fn whatever_is_read_would_be_written_so(text in "[0-9a-fA-F]{64}\\.[0-9a-f]{64}\\.[0-9+]{1,11}(\\.damaged)?\\.(webp|WebP|x|)") {
            if let Some((key, record)) = parse(&text) {
                prop_assert_eq!(name(key, &record), text);
            }
        }

        #[test]
        fn no_text_is_a_danger(text in "\\PC{0,200}") {
            let _ = (parse(&text), parse_staged(&text), version(&text));
        }
    }
}
