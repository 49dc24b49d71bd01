//! The records of the file: changes as bytes and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;

use crate::source::transport::{Conditions, Lifetime};
use crate::source::{ImageId, Version};

/// Longer payloads are not written.
const MAX_PAYLOAD: usize = 32 << 10;

/// Length and checksum.
const HEAD: usize = 4 + CHECKSUM;
const CHECKSUM: usize = 8;

/// A version and its conditions, as they are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Entry {
    pub(in super::super) version: Version,
    pub(in super::super) conditions: Option<Conditions>,
    pub(in super::super) lifetime: Lifetime,
    /// When the origin confirmed it.
    pub(in super::super) confirmed: SystemTime,
}

/// A change of what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Change {
    Set(ImageId, Entry),
    Remove(ImageId),
    /// All whose names start so.
    RemoveBelow(String),
}

/// The payloads of complete records; `None` for what is no record.
pub(super) struct Records<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        // cut off within a record, or filled up with zeros by a file system after a power failure
        let is_cut = self.0.len() < HEAD || self.0.iter().all(|&byte| byte == 0);
        if is_cut {
            return None;
        }
        let (head, rest) = self.0.split_at(HEAD);
        let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
        if length > MAX_PAYLOAD {
            self.0 = &[];
            return Some(None);
        }
        let payload = rest.get(..length)?;
        self.0 = &rest[length..];
        Some((checksum(payload) == head[4..]).then_some(payload))
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(payload.len() as u64).to_le_bytes()).update(payload);
    let mut checksum = [0; CHECKSUM];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}

pub(super) fn frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&checksum(payload));
    out.extend_from_slice(payload);
}

/// The record of a change; `None` if it is too long, as no name and no ETag in use is.
pub(super) fn record(change: &Change) -> Option<Vec<u8>> {
    let payload = encode(change);
    if payload.len() > MAX_PAYLOAD {
        return None;
    }
    let mut record = Vec::with_capacity(HEAD + payload.len());
    frame(&mut record, &payload);
    Some(record)
}

fn encode(change: &Change) -> Vec<u8> {
    let mut out = Vec::new();
    match change {
        Change::Set(id, Entry { version, conditions, lifetime, confirmed }) => {
            out.push(b'=');
            put(&mut out, id.as_str().as_bytes());
            out.extend_from_slice(&version.identity);
            put_time(&mut out, version.modified);
            out.extend_from_slice(&version.length.to_le_bytes());
            let [etag, date] = match conditions {
                Some(Conditions { etag, last_modified }) => [etag.as_ref(), last_modified.as_ref()],
                None => [None, None],
            };
            [etag, date].iter().for_each(|value| put(&mut out, value.map_or(&[], HeaderValue::as_bytes)));
            let Lifetime { max_age, must_revalidate, uncacheable: _ } = lifetime;
            out.extend_from_slice(&max_age.map_or(u64::MAX, |age| age.as_secs()).to_le_bytes());
            out.push(u8::from(*must_revalidate));
            put_time(&mut out, Some(*confirmed));
        }
        Change::Remove(id) => {
            out.push(b'-');
            put(&mut out, id.as_str().as_bytes());
        }
        Change::RemoveBelow(prefix) => {
            out.push(b'/');
            put(&mut out, prefix.as_bytes());
        }
    }
    out
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Nanoseconds since 1970, with the time itself as a sign that there is one.
fn put_time(out: &mut Vec<u8>, time: Option<SystemTime>) {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    out.push(u8::from(since.is_some()));
    let nanoseconds = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    out.extend_from_slice(&nanoseconds.to_le_bytes());
}

/// The change of a payload; `None` if it is not one that [`encode`] makes.
pub(super) fn decode(payload: &[u8]) -> Option<Change> {
    let mut fields = Fields(payload);
    let change = match fields.byte()? {
        b'=' => {
            let id = fields.id()?;
            let identity = fields.array()?;
            let version = Version { identity, modified: fields.time()?, length: fields.number()? };
            let [etag, last_modified] = [fields.header()?, fields.header()?];
            let has_conditions = etag.is_some() || last_modified.is_some();
            let conditions = has_conditions.then_some(Conditions { etag, last_modified });
            let max_age = Some(fields.number()?).filter(|&age| age != u64::MAX).map(Duration::from_secs);
            let lifetime = Lifetime { max_age, must_revalidate: fields.byte()? != 0, uncacheable: false };
            Change::Set(id, Entry { version, conditions, lifetime, confirmed: fields.time()?? })
        }
        b'-' => Change::Remove(fields.id()?),
        b'/' => Change::RemoveBelow(fields.text()?.to_owned()),
        _ => return None,
    };
    fields.0.is_empty().then_some(change)
}

/// The unread rest of a payload.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn id(&mut self) -> Option<ImageId> {
        ImageId::of(self.text()?).ok()
    }

    fn time(&mut self) -> Option<Option<SystemTime>> {
        let is_there = self.byte()? != 0;
        let time = UNIX_EPOCH + Duration::from_nanos(self.number()?);
        Some(is_there.then_some(time))
    }

    fn header(&mut self) -> Option<Option<HeaderValue>> {
        match self.bytes()? {
            [] => Some(None),
            bytes => HeaderValue::from_bytes(bytes).ok().map(Some),
        }
    }
}
