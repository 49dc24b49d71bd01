//! Renditions as objects: their names, their metadata, and whether what was read is what was written.

use tintype_store::Attributes as _;

use super::super::attributes::Attributes;
use super::super::{Digest, Key};
use crate::bucket;
use crate::source::ImageId;

/// A rendition as it is kept on disk.
pub(super) type Rendition = tintype_store::Object<Attributes>;

/// The folder of all renditions. Its number is that of the layout.
pub(super) const FOLDER: &str = "1";

/// Hexadecimal digits of a key that depend on the original alone.
const ORIGINAL_DIGITS: usize = 16;

/// Names change with the content, so that caches in front of the bucket may store them; a damaged original may be repaired.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const SHORT: &str = "public, max-age=60";

const DIGEST: &str = "ttdigest";
const KEY: &str = "ttkey";
const CONTENT: &str = "ttcontent";
const MAC: &str = "ttmac";

/// The name of a rendition: one folder an original, so that all of it are one listing.
pub(super) fn name(key: Key) -> String {
    let key = key.to_hex();
    let (original, rest) = key.split_at(ORIGINAL_DIGITS);
    format!("{FOLDER}/{original}/{rest}")
}

/// The folder of an original's renditions.
pub(super) fn folder(id: &ImageId) -> String {
    let key = Key::new(id.as_str(), [0; 32]).to_hex();
    format!("{FOLDER}/{}", &key[..ORIGINAL_DIGITS])
}

/// Signs what is written, and checks what is read, if there is a secret.
pub(super) struct Signer(Option<[u8; 32]>);

impl Signer {
    /// Signs by a secret; an empty one signs nothing.
    pub(super) fn new(secret: &str) -> Signer {
        let derived = || blake3::derive_key("tintype 2026-11 shared renditions", secret.as_bytes());
        Signer((!secret.is_empty()).then(derived))
    }

    /// Covers key and content, so that no object of one key is a valid one of another.
    fn mac(&self, key: Key, digest: Digest, content: &str) -> Option<blake3::Hash> {
        let mut hasher = blake3::Hasher::new_keyed(self.0.as_ref()?);
        for part in [&*key.to_hex(), &*digest.to_hex(), content] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Some(hasher.finalize())
    }

    /// The object of a rendition.
    pub(super) fn seal(&self, key: Key, rendition: &Rendition) -> bucket::NewObject {
        let Attributes { content, damaged, .. } = rendition.attributes;
        let suffix = rendition.attributes.to_suffix().into_owned();
        let mut metadata = vec![(DIGEST, rendition.digest.to_hex()), (KEY, key.to_hex())];
        metadata.extend(self.mac(key, rendition.digest, &suffix).map(|mac| (MAC, mac.to_hex().to_string())));
        metadata.push((CONTENT, suffix));
        bucket::NewObject {
            bytes: rendition.bytes.clone(),
            media_type: content.media_type(),
            cache_control: Some(if damaged { SHORT } else { IMMUTABLE }),
            metadata,
        }
    }

    /// The rendition of that key; `None` where the object is damaged, another's, or not signed by the secret.
    pub(super) fn open(&self, key: Key, object: bucket::Object) -> Option<Rendition> {
        let value = |name| object.metadata.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let suffix = value(CONTENT)?;
        let attributes = Attributes::from_suffix(suffix)?;
        let digest = Digest::from_hex(value(DIGEST)?)?;
        if value(KEY)? != key.to_hex() || Digest::of(&object.bytes) != digest {
            return None;
        }
        if let Some(mac) = self.mac(key, digest, suffix)
            // compared in constant time
            && blake3::Hash::from_hex(value(MAC)?).ok()? != mac
        {
            return None;
        }
        Some(Rendition { bytes: object.bytes, digest, attributes })
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::super::Upgrade;
    use super::*;
    use crate::render::{Content, Format};

    fn rendition(bytes: &'static [u8], damaged: bool) -> Rendition {
        let upgrade = (!damaged).then_some(Upgrade::Dense);
        let attributes = Attributes { content: Content::Image(Format::WebP), damaged, upgrade };
        Rendition { bytes: bytes.into(), digest: Digest::of(bytes), attributes }
    }

    fn stored(object: bucket::NewObject) -> bucket::Object {
        let metadata = object.metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        bucket::Object { bytes: object.bytes, etag: None, revision: None, modified: SystemTime::now(), metadata }
    }

    #[test]
    fn renditions_of_an_original_lie_in_its_folder() {
        let key = Key::new("cats/tom.jpg", [0xab; 32]);
        let name = name(key);
        assert_eq!(name.len(), 2 + 16 + 1 + 48);
        assert!(name.ends_with(&"ab".repeat(24)), "{name}");
        let folder = folder(&ImageId::of("cats/tom.jpg").expect("a name"));
        assert_eq!(name.rsplit_once('/').expect("a folder").0, folder);
    }

    #[test]
    fn sealed_objects_open_with_their_attributes() {
        let key = Key::new("a", [1; 32]);
        for (secret, damaged) in [("", false), ("", true), ("s3cr3t", false), ("s3cr3t", true)] {
            let (signer, rendition) = (Signer::new(secret), rendition(b"bytes", damaged));
            let sealed = signer.seal(key, &rendition);
            assert_eq!(sealed.media_type, "image/webp");
            assert!(sealed.metadata.iter().all(|(name, _)| name.bytes().all(|letter| letter.is_ascii_lowercase())));
            let opened = signer.open(key, stored(sealed)).expect("valid");
            assert_eq!(
                (opened.bytes, opened.digest, opened.attributes),
                (rendition.bytes, rendition.digest, rendition.attributes)
            );
        }
    }

    #[test]
    fn objects_that_were_changed_swapped_or_planted_do_not_open() {
        let (key, other) = (Key::new("a", [1; 32]), Key::new("a", [2; 32]));
        let signer = Signer::new("s3cr3t");
        let sealed = stored(signer.seal(key, &rendition(b"bytes", false)));
        let changed = |change: &dyn Fn(&mut bucket::Object)| {
            let mut object = sealed.clone();
            change(&mut object);
            signer.open(key, object)
        };
        assert!(changed(&|_| {}).is_some());
        assert!(signer.open(other, sealed.clone()).is_none(), "another key");
        for bytes in [&b"byteS"[..], b"byte", b"", b"bytes+"] {
            assert!(changed(&|object| object.bytes = bytes.to_vec().into()).is_none(), "{bytes:?}");
        }
        for name in [DIGEST, KEY, CONTENT, MAC] {
            let without = changed(&|object| object.metadata.retain(|(known, _)| known != name));
            assert!(without.is_none(), "without {name}");
        }
        let set = |name: &'static str, value: &'static str| {
            changed(&move |object| {
                object.metadata.iter_mut().filter(|(known, _)| known == name).for_each(|(_, old)| *old = value.into());
            })
        };
        // other content than was signed, and none at all
        for content in ["webp", "damaged.webp", "avif", "html", ""] {
            assert!(set(CONTENT, content).is_none(), "{content}");
        }
        let planted = |secret| stored(Signer::new(secret).seal(key, &rendition(b"planted", false)));
        assert!(signer.open(key, planted("")).is_none(), "without a signature");
        assert!(signer.open(key, planted("another")).is_none(), "with another secret");
    }
}
