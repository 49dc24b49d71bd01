//! `X-Request-Id`: one identifier for a request, its answer, its problem document and its log line.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's identifier, which is also the value of the header.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) HeaderValue);

impl RequestId {
    /// The client's own identifier if it is valid, or a new one.
    pub(super) fn of(request_headers: &HeaderMap) -> RequestId {
        let sent = request_headers.get(X_REQUEST_ID).filter(|id| is_valid(id.as_bytes()));
        sent.map_or_else(RequestId::generate, |id| RequestId(id.clone()))
    }

    /// A new identifier.
    pub(super) fn generate() -> RequestId {
        let mut id = Vec::with_capacity(8 + 1 + 16);
        write_new(&mut id);
        let id = HeaderValue::from_maybe_shared(Bytes::from(id));
        RequestId(id.expect("hexadecimal digits and a dash are a header value"))
    }
}

/// Whether a client's identifier is used as it is: 1 to 64 of `A-Za-z0-9._-`.
pub(super) fn is_valid(id: &[u8]) -> bool {
    (1..=64).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
}

/// Appends an identifier that is unique within and between processes: a random prefix for each start, then a count.
pub(super) fn write_new(id: &mut Vec<u8>) {
    static PREFIX: LazyLock<u32> = LazyLock::new(|| RandomState::new().build_hasher().finish() as u32);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (prefix, count) = (u64::from(*PREFIX), COUNT.fetch_add(1, Ordering::Relaxed));
    write_hex(id, prefix, 8);
    id.push(b'-');
    write_hex(id, count, 1);
}

/// Appends a number with at least `digits` hexadecimal digits.
fn write_hex(out: &mut Vec<u8>, number: u64, digits: u32) {
    let digits = digits.max((u64::BITS - number.leading_zeros()).div_ceil(4));
    out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(number >> (4 * digit)) as usize & 15]));
}
