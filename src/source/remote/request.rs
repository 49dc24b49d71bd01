//! One request of a remote source, and what is kept of its answer.

use std::sync::atomic::Ordering;
use std::time::Instant;

use tintype_single_flight::Leader;
use tintype_store::Digest;

use super::{FlightKey, Shared, Transfer, Want};
use crate::source::freshness::{KnownVersion, OriginChange, is_outage, jittered};
use crate::source::transport::{Answer, Conditions, Fetched, Lifetime};
use crate::source::{Error, ImageId, Original, Version};

impl Shared {
    /// Makes a request, and keeps its result.
    pub(super) async fn request(
        &self, id: &ImageId, want: Want, leader: &Leader<FlightKey, ImageId, Result<Transfer, Error>>,
    ) -> Result<Transfer, Error> {
        if let Some(error) = self.breaker.error(Instant::now()) {
            self.fail(id, &error);
            return Err(error);
        }
        let known = self.known.get(id);
        let conditions = known.as_ref().filter(|_| want == Want::Version).and_then(|known| known.conditions.as_ref());
        let answer = self.remote.get(id, conditions).await;
        self.note(conditions.is_some(), &answer);
        let transfer = match (answer, known) {
            (Ok(Answer::Whole(fetched)), known) => {
                self.keep(id, fetched, known.map(|known| known.version), leader).await
            }
            (Ok(Answer::NotModified(lifetime)), Some(KnownVersion { version, conditions, lifetime: former, .. })) => {
                // a request from before a purge stores nothing after it
                self.confirm(id, version, conditions, lifetime.unwrap_or(former), leader);
                Transfer { version, bytes: None }
            }
            // it is sent only where a condition was
            (Ok(Answer::NotModified(_)), None) => return Err(Error::Status(304)),
            (Err(error), _) => {
                self.fail_unless_purged(id, &error, leader);
                return Err(error);
            }
        };
        if !leader.is_valid() {
            // purged between the check and the change
            self.forget_purged(id, transfer.version);
        }
        Ok(transfer)
    }

    /// Counts a request, and logs what its outcome tells about the origin.
    fn note(&self, is_conditional: bool, answer: &Result<Answer, Error>) {
        self.requests.count(is_conditional, answer);
        let (origin, error) = (self.remote.name(), answer.as_ref().err());
        match (self.breaker.count(error, Instant::now()), error) {
            (Some(OriginChange::Fails), Some(error)) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                tracing::warn!(origin, %error, cause, "the origin fails; known originals are used until it recovers");
            }
            (Some(OriginChange::Recovers), _) => tracing::info!(origin, "the origin answers again"),
            _ => {}
        }
        if let Some(error @ (Error::Credentials | Error::Refused(_))) = error
            && let Some(suppressed) = self.refused.allow()
        {
            let reason = if let Error::Refused(reason) = error { reason } else { "" };
            tracing::error!(origin, %error, reason, suppressed, "an original cannot be fetched");
        }
    }

    /// Keeps an original that was fetched.
    async fn keep(
        &self, id: &ImageId, fetched: Fetched, former: Option<Version>,
        leader: &Leader<FlightKey, ImageId, Result<Transfer, Error>>,
    ) -> Transfer {
        let Fetched { bytes, conditions, modified, lifetime } = fetched;
        let digest = Digest::of(&bytes);
        let mut version = Version { identity: self.identity(id, digest), modified, length: bytes.len() as u64 };
        match former {
            // the same bytes with another date are the same version
            Some(former) if former.identity == version.identity => version = former,
            Some(former) => self.originals.remove_version(id, former),
            None => {}
        }
        let original = Original { bytes: bytes.clone(), version };
        if leader.is_valid() {
            self.originals.put(id, &original, digest).await;
        }
        if leader.is_valid() {
            self.missing.invalidate(id);
        }
        self.confirm(id, version, conditions, lifetime, leader);
        Transfer { version, bytes: Some(bytes) }
    }

    fn confirm(
        &self, id: &ImageId, version: Version, conditions: Option<Conditions>, lifetime: Lifetime,
        leader: &Leader<FlightKey, ImageId, Result<Transfer, Error>>,
    ) {
        if lifetime.uncacheable && !self.warned.swap(true, Ordering::Relaxed) {
            let origin = self.remote.name();
            tracing::warn!(origin, %id, "the origin sends no-store or no-cache, which is ignored: originals are cached");
        }
        let known = KnownVersion::new(version, conditions, lifetime, &self.windows, Instant::now());
        self.known.confirm(id, known, || leader.is_valid());
    }

    /// A digest of the bytes, which every transfer brings whole, rather than of a validator: an ETag that differs between
    /// the origin's servers would be another version each time, and one that the origin forgets to change would be none.
    fn identity(&self, id: &ImageId, digest: Digest) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for part in [self.remote.name().as_bytes(), id.as_str().as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        hasher.update(digest.as_bytes()).finalize().into()
    }

    /// Notes that a request failed.
    pub(super) fn fail(&self, id: &ImageId, error: &Error) {
        if matches!(error, Error::NotFound) {
            self.drop_state(id);
            let seed = blake3::hash(id.as_str().as_bytes()).into();
            self.missing.insert(id.clone(), Instant::now() + jittered(self.windows.missing, &seed));
        } else if is_outage(error) {
            self.known.fail(id);
        } else {
            // it cannot be had any more, although the origin answers
            self.known.remove(id);
        }
    }

    /// Notes that a request failed, unless the original was purged since it began.
    fn fail_unless_purged(
        &self, id: &ImageId, error: &Error, leader: &Leader<FlightKey, ImageId, Result<Transfer, Error>>,
    ) {
        if leader.is_valid() {
            self.fail(id, error);
        }
        if !leader.is_valid() {
            // purged between the check and the change
            self.missing.invalidate(id);
        }
    }

    /// Forgets a version that was purged while it was requested, and nothing that a later request has confirmed.
    fn forget_purged(&self, id: &ImageId, version: Version) {
        match self.known.get(id) {
            Some(known) if known.version != version => self.originals.remove_version(id, version),
            _ => self.drop_state(id),
        }
    }

    fn drop_state(&self, id: &ImageId) {
        if let Some(known) = self.known.remove(id) {
            self.originals.remove_version(id, known.version);
        }
        self.missing.invalidate(id);
    }
}
