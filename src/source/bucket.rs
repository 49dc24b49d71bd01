//! Originals in a bucket: requests with limits on time and concurrency, and what the errors of an object store mean for an
//! original.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tintype_store::LogThrottle;

use super::transport::{Answer, Conditions, Fetched, Lifetime, Remote, RequestLimit};
use super::{BoxFuture, Error, ImageId, RemoteConfig, RemoteSource, UploadStore};
use crate::bucket::{self, Bucket, Condition, NewObject, Object};

/// GETs at a time. The bytes of all answers are bounded by the bucket.
const MAX_REQUESTS: usize = 64;

/// The time limit of one GET, its repetition and the wait for a free place included.
const WHOLE: Duration = Duration::from_secs(20);

/// The time limit of a PUT with the largest original.
const PUT: Duration = Duration::from_secs(60);

/// The pause before the only repetition of a request.
const RETRY: Duration = Duration::from_millis(200);

/// How long an acknowledged object is looked for, and how often.
const SHOWN: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// The code of S3 where the credentials have no permission. A missing object has it too if they may not list the bucket.
const ACCESS_DENIED: &str = "AccessDenied";

/// A bucket whose objects are originals.
#[derive(Clone)]
pub struct BucketOriginals {
    /// The objects.
    pub bucket: Arc<dyn Bucket>,
    /// The bucket and its prefix, without credentials.
    pub name: String,
    /// Larger originals are refused.
    pub max_bytes: u64,
    /// Whether a 403 means that there is no such original.
    pub missing_is_forbidden: bool,
    /// The folder for uploads that are being received; `None` for memory.
    pub staging: Option<PathBuf>,
}

impl RemoteSource {
    /// The originals of a bucket.
    pub fn bucket(originals: BucketOriginals, config: RemoteConfig) -> RemoteSource {
        RemoteSource::over(Box::new(BucketRemote(Arc::new(BucketClient::new(originals)))), config)
    }
}

/// Sends the requests of one bucket.
pub(super) struct BucketClient {
    originals: BucketOriginals,
    requests: RequestLimit,
    whole: Duration,
    refusals: LogThrottle,
}

impl BucketClient {
    pub(super) fn new(originals: BucketOriginals) -> BucketClient {
        let requests = RequestLimit::new(MAX_REQUESTS);
        BucketClient { originals, requests, whole: WHOLE, refusals: LogThrottle::default() }
    }

    pub(super) fn originals(&self) -> &BucketOriginals {
        &self.originals
    }

    /// An object of at most `max_bytes`; `None` where it has the ETag `unless`.
    pub(super) async fn object(
        &self, id: &ImageId, unless: Option<&str>, max_bytes: u64,
    ) -> Result<Option<Object>, Error> {
        let found = async {
            let _request = self.requests.acquire().await;
            repeated(|| self.originals.bucket.get(id.as_str(), unless, max_bytes)).await
        };
        match tokio::time::timeout(self.whole, found).await {
            Ok(Ok(object)) => Ok(Some(object)),
            Ok(Err(bucket::Error::Unmodified)) if unless.is_some() => Ok(None),
            Ok(Err(error)) => Err(self.error(error)),
            Err(_) => Err(Error::TimedOut),
        }
    }

    /// Writes an object. A request whose outcome is unknown is not repeated: the repetition of a conditional one would find
    /// the object that the first has written.
    pub(super) async fn put(
        &self, id: &ImageId, object: NewObject, condition: Condition<'_>,
    ) -> Result<(), bucket::Error> {
        let put = tokio::time::timeout(PUT, self.originals.bucket.put(id.as_str(), object, condition)).await;
        if let Some(etag) = put.unwrap_or(Err(bucket::Error::TimedOut))? {
            // it is stored, whether it is shown yet or not
            let _ = tokio::time::timeout(SHOWN, self.until_shown(id, &etag)).await;
        }
        Ok(())
    }

    /// Waits until the store shows an object that it has acknowledged. One of several servers may show it some milliseconds
    /// late, and the next request would find the former object, or none, and remember that.
    async fn until_shown(&self, id: &ImageId, etag: &str) {
        loop {
            // its bytes are of no interest
            match self.originals.bucket.get(id.as_str(), Some(etag), 0).await {
                Err(bucket::Error::Unmodified) => return,
                Ok(object) if object.etag.as_deref() == Some(etag) => return,
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    pub(super) async fn delete(&self, id: &ImageId) -> Result<(), Error> {
        let deleted = tokio::time::timeout(self.whole, self.originals.bucket.delete(id.as_str())).await;
        deleted.unwrap_or(Err(bucket::Error::TimedOut)).map_err(|error| self.error(error))
    }

    /// The error of an original.
    pub(super) fn error(&self, error: bucket::Error) -> Error {
        match error {
            bucket::Error::NotFound => Error::NotFound,
            bucket::Error::TooLarge { bytes, limit } => Error::TooLarge { bytes, limit },
            bucket::Error::Credentials(code) if self.originals.missing_is_forbidden && code == ACCESS_DENIED => {
                Error::NotFound
            }
            bucket::Error::Credentials(code) => {
                self.log_refusal(&code);
                Error::Credentials
            }
            bucket::Error::Refused(why) => Error::Refused(why),
            bucket::Error::TimedOut => Error::TimedOut,
            bucket::Error::Status(status) => Error::Status(status),
            bucket::Error::Unavailable(error) => Error::Unavailable(error),
            // answers to conditions that were not sent
            bucket::Error::Unmodified => Error::Status(304),
            bucket::Error::Exists | bucket::Error::Changed => Error::Status(412),
        }
    }

    fn log_refusal(&self, code: &str) {
        if let Some(suppressed) = self.refusals.allow() {
            let bucket = &self.originals.name;
            tracing::error!(bucket, code, suppressed, "the object store refused the credentials of this server");
        }
    }
}

/// Sends a request, and once more if the connection failed or the store asks for a pause.
async fn repeated<T, F>(send: impl Fn() -> F) -> Result<T, bucket::Error>
where
    F: Future<Output = Result<T, bucket::Error>>,
{
    match send().await {
        Err(bucket::Error::Unavailable(_) | bucket::Error::Status(429 | 503)) => {
            tokio::time::sleep(RETRY).await;
            send().await
        }
        result => result,
    }
}

/// The client as a [`Remote`], which the upload store shares.
struct BucketRemote(Arc<BucketClient>);

impl Remote for BucketRemote {
    fn get<'a>(&'a self, id: &'a ImageId, conditions: Option<&'a Conditions>) -> BoxFuture<'a, Result<Answer, Error>> {
        Box::pin(async move {
            let etag = conditions.and_then(|conditions| conditions.etag.as_ref()).and_then(|etag| etag.to_str().ok());
            let Some(object) = self.0.object(id, etag, self.0.originals.max_bytes).await? else {
                return Ok(Answer::NotModified(None));
            };
            let etag = object.etag.and_then(|etag| HeaderValue::try_from(etag).ok());
            Ok(Answer::Whole(Fetched {
                bytes: object.bytes,
                conditions: etag.map(Conditions::etag),
                modified: Some(object.modified),
                lifetime: Lifetime::default(),
            }))
        })
    }

    fn name(&self) -> &str {
        &self.0.originals.name
    }

    fn waiting(&self) -> u64 {
        self.0.requests.waiting()
    }

    fn upload_store(&self) -> Option<UploadStore> {
        Some(UploadStore::bucket(Arc::clone(&self.0)))
    }
}

#[cfg(test)]
mod tests;
