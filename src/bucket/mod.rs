//! Objects in a bucket: S3 and what speaks its protocol, Google Cloud Storage, Azure. A [`Bucket`] does not know what its objects
//! are; originals and shared renditions are kept by the modules above.
//!
//! An object is written whole by one request, or not at all, and read whole under a limit. No request is repeated here: what
//! a failure means differs between callers, and so does the time that they have.

#[cfg(feature = "buckets")]
mod cloud;
mod location;
#[cfg(test)]
pub(crate) mod memory;
#[cfg(test)]
pub(crate) mod testsuite;
#[cfg(feature = "buckets")]
mod transport;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::net::BoxFuture;
pub use location::{CloudService, InvalidLocation, Location};

/// Objects under names, such as `cats/tom.jpg`: UTF-8 without empty segments, `.` and `..`.
///
/// Every implementation passes one suite of tests.
pub trait Bucket: Send + Sync {
    /// The whole object, of at most `max_bytes`; [`Error::Unmodified`] where it has the ETag `unless`.
    fn get<'a>(
        &'a self, name: &'a str, unless: Option<&'a str>, max_bytes: u64,
    ) -> BoxFuture<'a, Result<Object, Error>>;

    /// Writes an object, and returns its ETag if the store tells.
    fn put<'a>(
        &'a self, name: &'a str, object: NewObject, condition: Condition<'a>,
    ) -> BoxFuture<'a, Result<Option<String>, Error>>;

    /// Removes an object; one that is missing counts as removed.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Error>>;

    /// The objects below a folder, which has no slash at its end, with names greater than `after`; at most `limit`, in the order
    /// of their names.
    fn list<'a>(
        &'a self, folder: &'a str, after: Option<&'a str>, limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, Error>>;
}

/// An object as it was read.
#[derive(Clone, Debug)]
pub struct Object {
    /// All bytes.
    pub bytes: Bytes,
    /// Changes whenever the object is written.
    pub etag: Option<String>,
    /// The same as [`Condition::Unchanged`] takes it: the ETag, or the generation where the store has conditions on that
    /// alone (Google Cloud Storage).
    pub revision: Option<String>,
    /// When it was written, in whole seconds.
    pub modified: SystemTime,
    /// Metadata of its writer, names in lower case.
    pub metadata: Vec<(String, String)>,
}

/// An object to write.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// All bytes.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub media_type: &'static str,
    /// `Cache-Control`.
    pub cache_control: Option<&'static str>,
    /// Names of lower-case letters, since Azure allows no hyphens.
    pub metadata: Vec<(&'static str, String)>,
}

/// The state of an object that its replacement depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Any.
    None,
    /// There is none ([`Error::Exists`] otherwise).
    Absent,
    /// It has this [revision](Object::revision) ([`Error::Changed`] otherwise).
    Unchanged(&'a str),
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, without the prefix of the bucket.
    pub name: String,
    /// Length in bytes.
    pub length: u64,
    /// When it was written, in whole seconds.
    pub modified: SystemTime,
}

/// Why a request to a bucket failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No object has that name.
    #[error("there is no such object")]
    NotFound,
    /// The object has the ETag of the condition.
    #[error("the object is unchanged")]
    Unmodified,
    /// An object has that name already.
    #[error("an object of that name exists")]
    Exists,
    /// The object has not the revision of the condition.
    #[error("the object was changed")]
    Changed,
    /// The object exceeds the limit.
    #[error("the object has {bytes} bytes; {limit} are allowed")]
    TooLarge {
        /// Its length in bytes, or what was received of it.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The store refused the credentials, or allows them less than is needed.
    #[error("the object store refused the credentials: {0}")]
    Credentials(String),
    /// The store has an address that must not be connected to.
    #[error("{0}")]
    Refused(String),
    /// The store did not answer in time.
    #[error("the object store did not answer in time")]
    TimedOut,
    /// The store answered with a status of its own trouble: 429 or 5xx.
    #[error("the object store answered with status {0}")]
    Status(u16),
    /// There is no connection, or the answer cannot be read.
    #[error("the object store failed")]
    Unavailable(#[source] Arc<std::io::Error>),
}

/// The settings of a bucket.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// The bucket.
    pub location: Location,
    /// The URL of the store; empty for that of the cloud.
    pub endpoint: String,
    /// The region of S3.
    pub region: String,
    /// The access key of S3 or the account of Azure; Google has none.
    pub access_key: String,
    /// The secret key of S3, the key of Azure's account, or the service account of Google as JSON.
    pub secret_key: String,
    /// Sends requests without a signature, for public buckets.
    pub skip_signature: bool,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Config { location, endpoint, region, access_key, secret_key: _, skip_signature } = self;
        write!(f, "Config({location}, {endpoint:?}, {region:?}, {access_key:?}, {skip_signature})")
    }
}

/// Why a bucket cannot be used with these settings.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// The program was built without the cargo feature `buckets`.
    #[error("this build has no buckets (the cargo feature \"buckets\")")]
    NotBuilt,
    /// Without credentials, libraries ask a metadata service and hang.
    #[error("there are no credentials: set access_key and secret_key, or skip_signature for a public bucket")]
    NoCredentials,
    /// The URL of the store is none.
    #[error("endpoint is invalid: it is a URL such as \"https://s3.example\", without credentials, a path or a query")]
    Endpoint,
    /// The library refused the settings.
    #[error("{0}")]
    Other(String),
}

impl Config {
    /// The URL that requests go to, a bucket's own host aside: the endpoint, or that of the cloud.
    pub fn url(&self) -> String {
        match self.location.service {
            _ if !self.endpoint.is_empty() => self.endpoint.clone(),
            CloudService::S3 => format!("https://s3.{}.amazonaws.com", self.region),
            CloudService::Gcs => "https://storage.googleapis.com".into(),
            CloudService::Azure => format!("https://{}.blob.core.windows.net", self.access_key),
        }
    }

    /// Opens the bucket; nothing is sent yet.
    ///
    /// # Errors
    /// If the settings are incomplete or invalid, or the build has no buckets.
    pub fn open(&self) -> Result<Arc<dyn Bucket>, InvalidConfig> {
        self.validate()?;
        #[cfg(feature = "buckets")]
        return Ok(Arc::new(cloud::Cloud::open(self)?));
        #[cfg(not(feature = "buckets"))]
        return Err(InvalidConfig::NotBuilt);
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// If they are incomplete or invalid.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let Config { location, endpoint, access_key, secret_key, skip_signature, .. } = self;
        if !endpoint.is_empty() {
            let url = endpoint.parse::<http::Uri>().map_err(|_| InvalidConfig::Endpoint)?;
            let is_http = matches!(url.scheme_str(), Some("http" | "https"));
            let authority = url.authority().map_or("", |authority| authority.as_str());
            // Azure's emulator has the account in the path
            let has_path = url.path().len() > 1 && location.service != CloudService::Azure;
            if !is_http || authority.is_empty() || authority.contains('@') || has_path || url.query().is_some() {
                return Err(InvalidConfig::Endpoint);
            }
        }
        let needs_access_key = location.service != CloudService::Gcs;
        let is_complete = !secret_key.is_empty() && (!needs_access_key || !access_key.is_empty());
        if *skip_signature || is_complete { Ok(()) } else { Err(InvalidConfig::NoCredentials) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_without_credentials_or_with_a_wrong_endpoint_are_refused() {
        let config = |location: &str, endpoint: &str, access: &str, secret: &str, skip_signature| Config {
            location: location.parse().expect("a location"),
            endpoint: endpoint.into(),
            region: "us-east-1".into(),
            access_key: access.into(),
            secret_key: secret.into(),
            skip_signature,
        };
        for (config, is_valid) in [
            (config("s3://a", "http://127.0.0.1:1", "key", "secret", false), true),
            (config("s3://a", "http://127.0.0.1:1/", "key", "secret", false), true),
            (config("s3://a", "", "key", "secret", false), true),
            (config("s3://a", "", "", "", true), true),
            (config("s3://a", "", "", "", false), false),
            (config("s3://a", "", "key", "", false), false),
            (config("s3://a", "", "", "secret", false), false),
            (config("az://a", "", "", "secret", false), false),
            (config("gs://a", "", "", "", false), false),
            (config("s3://a", "127.0.0.1:1", "key", "secret", false), false),
            (config("s3://a", "ftp://127.0.0.1", "key", "secret", false), false),
            (config("s3://a", "http://u:p@127.0.0.1", "key", "secret", false), false),
            (config("s3://a", "http://127.0.0.1/bucket", "key", "secret", false), false),
            (config("s3://a", "http://127.0.0.1/?a", "key", "secret", false), false),
        ] {
            assert_eq!(config.validate().is_ok(), is_valid, "{config:?}");
            assert!(!format!("{config:?}").contains("secret"), "{config:?}");
            let opened = config.open();
            if cfg!(feature = "buckets") {
                assert_eq!(opened.is_ok(), is_valid, "{config:?}");
            } else {
                assert!(opened.is_err());
            }
        }
    }
}
