//! Buckets of S3, Google Cloud Storage and Azure, by the crate `object_store`.

use std::borrow::Cow;
use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    RetryConfig, UpdateVersion,
};
use tokio::sync::Semaphore;

use super::transport::Transport;
use super::{Bucket, CloudService, Condition, Config, Error, InvalidConfig, Listed, NewObject, Object};
use crate::net::BoxFuture;

/// Bytes of objects that are being received.
const MAX_RECEIVING: u32 = 128 << 20;

/// A bucket of a cloud.
pub(super) struct Cloud {
    store: Arc<dyn ObjectStore>,
    /// Of [`MAX_RECEIVING`].
    receiving: Semaphore,
    /// Before every name; empty, or with a slash at its end.
    prefix: String,
    /// Whether conditions on writes name a generation in place of an ETag.
    has_generations: bool,
}

impl Cloud {
    pub(super) fn open(config: &Config) -> Result<Cloud, InvalidConfig> {
        let invalid = |error: object_store::Error| InvalidConfig::Other(error.to_string());
        let Config { location, endpoint, region, access_key, secret_key, skip_signature } = config;
        let endpoint = endpoint.trim_end_matches('/');
        let url = config.url().parse().map_err(|_| InvalidConfig::Endpoint)?;
        let transport = Transport::new(&url).map_err(|error| InvalidConfig::Other(error.to_string()))?;
        let allow_http = endpoint.starts_with("http:");
        let store: Arc<dyn ObjectStore> = match location.service {
            CloudService::S3 => {
                let mut builder = AmazonS3Builder::new()
                    .with_http_connector(transport)
                    .with_retry(no_retries())
                    .with_bucket_name(&location.name)
                    .with_region(region)
                    .with_allow_http(allow_http)
                    .with_skip_signature(*skip_signature);
                if !skip_signature {
                    builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key);
                }
                if !endpoint.is_empty() {
                    builder = builder.with_endpoint(endpoint);
                }
                Arc::new(builder.build().map_err(invalid)?)
            }
            CloudService::Gcs => {
                let mut builder = GoogleCloudStorageBuilder::new()
                    .with_http_connector(transport)
                    .with_retry(no_retries())
                    .with_bucket_name(&location.name)
                    .with_skip_signature(*skip_signature);
                if !skip_signature {
                    builder = builder.with_service_account_key(secret_key);
                }
                if !endpoint.is_empty() {
                    builder = builder.with_base_url(endpoint);
                }
                Arc::new(builder.build().map_err(invalid)?)
            }
            CloudService::Azure => {
                let mut builder = MicrosoftAzureBuilder::new()
                    .with_http_connector(transport)
                    .with_retry(no_retries())
                    .with_container_name(&location.name)
                    .with_account(access_key)
                    .with_allow_http(allow_http)
                    .with_skip_signature(*skip_signature);
                if !skip_signature {
                    builder = builder.with_access_key(secret_key);
                }
                if !endpoint.is_empty() {
                    builder = builder.with_endpoint(endpoint.to_owned());
                }
                Arc::new(builder.build().map_err(invalid)?)
            }
        };
        let prefix = match location.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        let has_generations = location.service == CloudService::Gcs;
        Ok(Cloud { store, receiving: Semaphore::new(MAX_RECEIVING as usize), prefix, has_generations })
    }

    fn path(&self, name: &str) -> Result<Path, Error> {
        // a name that cannot be one of an object
        Path::parse(format!("{}{name}", self.prefix)).map_err(|_| Error::NotFound)
    }

    /// The condition on a revision.
    fn expected(&self, revision: &str) -> UpdateVersion {
        let (generation, etag) = if self.has_generations { (Some(revision), None) } else { (None, Some(revision)) };
        UpdateVersion { e_tag: etag.map(str::to_owned), version: generation.map(str::to_owned) }
    }

    fn listed(&self, object: ObjectMeta) -> Option<Listed> {
        let name = object.location.as_ref().strip_prefix(&self.prefix)?.to_owned();
        Some(Listed { name, length: object.size, modified: object.last_modified.into() })
    }
}

/// The library's own retries take up to three minutes.
fn no_retries() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

impl Bucket for Cloud {
    fn get<'a>(
        &'a self, name: &'a str, unless: Option<&'a str>, max_bytes: u64,
    ) -> BoxFuture<'a, Result<Object, Error>> {
        Box::pin(async move {
            let options = GetOptions { if_none_match: unless.map(ToOwned::to_owned), ..GetOptions::default() };
            let found = self.store.get_opts(&self.path(name)?, options).await.map_err(error)?;
            let (meta, attributes) = (found.meta.clone(), found.attributes.clone());
            let too_large = |bytes| Error::TooLarge { bytes, limit: max_bytes };
            if meta.size > max_bytes {
                return Err(too_large(meta.size));
            }
            // a larger one is received alone; the semaphore is never closed
            let share = u32::try_from(meta.size).unwrap_or(u32::MAX).min(MAX_RECEIVING);
            let _receiving = self.receiving.acquire_many(share).await;
            let mut bytes = Vec::with_capacity(meta.size as usize);
            let mut chunks = found.into_stream();
            while let Some(chunk) = std::future::poll_fn(|context| chunks.as_mut().poll_next(context)).await {
                bytes.extend_from_slice(&chunk.map_err(error)?);
                if bytes.len() as u64 > max_bytes {
                    return Err(too_large(bytes.len() as u64));
                }
            }
            if bytes.len() as u64 != meta.size {
                let torn = format!("{} of {} bytes were received", bytes.len(), meta.size);
                return Err(unavailable(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, torn)));
            }
            let metadata = attributes.iter().filter_map(|(attribute, value)| match attribute {
                Attribute::Metadata(name) => Some((name.to_ascii_lowercase(), value.as_ref().to_owned())),
                _ => None,
            });
            let revision = if self.has_generations { meta.version } else { meta.e_tag.clone() };
            Ok(Object {
                bytes: bytes.into(),
                etag: meta.e_tag,
                revision,
                modified: meta.last_modified.into(),
                metadata: metadata.collect(),
            })
        })
    }

    fn put<'a>(
        &'a self, name: &'a str, object: NewObject, condition: Condition<'a>,
    ) -> BoxFuture<'a, Result<Option<String>, Error>> {
        Box::pin(async move {
            let NewObject { bytes, media_type, cache_control, metadata } = object;
            let mut attributes = Attributes::new();
            attributes.insert(Attribute::ContentType, media_type.into());
            if let Some(cache_control) = cache_control {
                attributes.insert(Attribute::CacheControl, cache_control.into());
            }
            for (name, value) in metadata {
                attributes.insert(Attribute::Metadata(Cow::Borrowed(name)), value.into());
            }
            let mode = match condition {
                Condition::None => PutMode::Overwrite,
                Condition::Absent => PutMode::Create,
                Condition::Unchanged(revision) => PutMode::Update(self.expected(revision)),
            };
            let options = PutOptions { mode, attributes, ..PutOptions::default() };
            let path = self.path(name)?;
            let put = self.store.put_opts(&path, PutPayload::from_bytes(bytes), options).await;
            put.map(|put| put.e_tag).map_err(|failed| match (error(failed), condition) {
                // some stores answer the other status, and 404 where a replaced object is gone
                (Error::Changed, Condition::Absent) => Error::Exists,
                (Error::Exists | Error::NotFound, Condition::Unchanged(_)) => Error::Changed,
                (error, _) => error,
            })
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            match self.store.delete(&self.path(name)?).await.map_err(error) {
                Err(Error::NotFound) => Ok(()),
                done => done,
            }
        })
    }

    fn list<'a>(
        &'a self, folder: &'a str, after: Option<&'a str>, limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, Error>> {
        Box::pin(async move {
            let folder = self.path(folder)?;
            let folder = Some(&folder).filter(|folder| !folder.as_ref().is_empty());
            let mut objects = match after {
                Some(after) => self.store.list_with_offset(folder, &self.path(after)?),
                None => self.store.list(folder),
            };
            let mut listed = Vec::new();
            while listed.len() < limit {
                let next = std::future::poll_fn(|context| objects.as_mut().poll_next(context)).await;
                let Some(object) = next else { break };
                listed.extend(self.listed(object.map_err(error)?));
            }
            Ok(listed)
        })
    }
}

fn unavailable(error: std::io::Error) -> Error {
    Error::Unavailable(error.into())
}

/// The codes for a missing bucket, which tells nothing about an object: S3's and Google's, and Azure's.
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// The error of the library by what it means here.
fn error(error: object_store::Error) -> Error {
    use object_store::Error as E;
    match error {
        E::NotFound { source, .. } if code(&source.to_string()).is_some_and(|code| NO_BUCKET.contains(&code)) => {
            unavailable(std::io::Error::new(std::io::ErrorKind::NotFound, "the bucket does not exist"))
        }
        E::NotFound { .. } => Error::NotFound,
        E::NotModified { .. } => Error::Unmodified,
        E::AlreadyExists { .. } => Error::Exists,
        E::Precondition { .. } => Error::Changed,
        E::PermissionDenied { source, .. } | E::Unauthenticated { source, .. } => {
            Error::Credentials(code(&source.to_string()).unwrap_or("access is denied").to_owned())
        }
        other => carried(&other).unwrap_or_else(|| unavailable(std::io::Error::other(other))),
    }
}

/// The error that the transport made.
fn carried(error: &object_store::Error) -> Option<Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<Error>() {
            return Some(error.clone());
        }
        cause = error.source();
    }
    None
}

/// The code in the XML of an error, such as `SignatureDoesNotMatch`.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() < 64).then_some(code)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// A store of Google that knows one object, and its requests.
    async fn google() -> (Cloud, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (requests, received) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 16_384];
                let length = stream.read(&mut request).await.unwrap_or(0);
                let _ = requests.send(String::from_utf8_lossy(&request[..length]).to_lowercase());
                let answer = "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nx-goog-generation: 17\r\nConnection: close\r\n\
                    Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 3\r\n\r\none";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        let location = "gs://pictures".parse().expect("a location");
        // the form of a service account that emulators of this store take
        let secret_key = format!(
            r#"{{"gcs_base_url": "{endpoint}", "disable_oauth": true, "client_email": "", "private_key": "",
            "private_key_id": ""}}"#
        );
        let (region, access_key) = ("us-east-1".into(), String::new());
        let config = Config { location, endpoint, region, access_key, secret_key, skip_signature: false };
        (Cloud::open(&config).expect("a bucket"), received)
    }

    #[tokio::test]
    async fn condition_for_google_is_the_generation() {
        let (bucket, mut requests) = google().await;
        let object = bucket.get("a.jpg", None, 10).await.expect("an object");
        assert_eq!((object.etag.as_deref(), object.revision.as_deref()), (Some("\"e\""), Some("17")));
        requests.recv().await.expect("a GET");
        let new = NewObject { bytes: "two".into(), media_type: "image/jpeg", cache_control: None, metadata: vec![] };
        bucket.put("a.jpg", new, Condition::Unchanged("17")).await.expect("it is replaced");
        let put = requests.recv().await.expect("a PUT");
        assert!(put.contains("x-goog-if-generation-match: 17"), "{put}");
    }

    #[test]
    fn url_is_the_one_that_is_connected_to() {
        let check = |location: &str, expected: &str| {
            let config = Config {
                location: location.parse().expect("a location"),
                endpoint: String::new(),
                region: "eu-west-1".into(),
                access_key: "account".into(),
                secret_key: "c2VjcmV0".into(),
                skip_signature: true,
            };
            assert_eq!(config.url(), expected);
        };
        check("s3://pictures", "https://s3.eu-west-1.amazonaws.com");
        check("gs://pictures", "https://storage.googleapis.com");
        check("az://pictures", "https://account.blob.core.windows.net");
    }

    #[test]
    fn code_of_an_error_is_found() {
        assert_eq!(code("403: <?xml?><Error><Code>RequestTimeTooSkewed</Code></Error>"), Some("RequestTimeTooSkewed"));
        for text in ["", "<Code>", "</Code><Code>", &format!("<Code>{}</Code>", "x".repeat(100))] {
            assert_eq!(code(text), None);
        }
    }
}
