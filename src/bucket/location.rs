//! Where a bucket is: `s3://name/prefix`, `gs://name/prefix` or `az://container/prefix`.

use std::fmt;
use std::str::FromStr;

/// A bucket, and the prefix of the names in it that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The protocol.
    pub service: CloudService,
    /// The name of the bucket; Azure calls it a container.
    pub name: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub prefix: String,
}

/// The protocol of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudService {
    /// S3 of Amazon, and everything that speaks its protocol: SeaweedFS, Ceph, R2, MinIO.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl CloudService {
    const ALL: [CloudService; 3] = [CloudService::S3, CloudService::Gcs, CloudService::Azure];

    fn scheme(self) -> &'static str {
        match self {
            CloudService::S3 => "s3",
            CloudService::Gcs => "gs",
            CloudService::Azure => "az",
        }
    }
}

/// A text that names no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is a bucket such as \"s3://name/prefix\", \"gs://name/prefix\" or \"az://container/prefix\"")]
pub struct InvalidLocation;

impl FromStr for Location {
    type Err = InvalidLocation;

    fn from_str(text: &str) -> Result<Location, InvalidLocation> {
        let (scheme, rest) = text.split_once("://").ok_or(InvalidLocation)?;
        let service = CloudService::ALL.into_iter().find(|service| service.scheme() == scheme);
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let is_valid = !name.is_empty()
            && name.bytes().all(is_name)
            && !prefix.contains(['?', '#', '%'])
            && !prefix.contains(char::is_control)
            && (prefix.is_empty() || prefix.split('/').all(|part| !matches!(part, "" | "." | "..")));
        match (service, is_valid) {
            (Some(service), true) => Ok(Location { service, name: name.to_owned(), prefix: prefix.to_owned() }),
            _ => Err(InvalidLocation),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Location { service, name, prefix } = self;
        let slash = if prefix.is_empty() { "" } else { "/" };
        write!(f, "{}://{name}{slash}{prefix}", service.scheme())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_parsed_and_displayed() {
        for (text, expected) in [
            ("s3://shop", Some((CloudService::S3, "shop", ""))),
            ("s3://shop/", Some((CloudService::S3, "shop", ""))),
            ("s3://shop/a/b/", Some((CloudService::S3, "shop", "a/b"))),
            ("gs://my_shop.example/a b", Some((CloudService::Gcs, "my_shop.example", "a b"))),
            ("az://container/é", Some((CloudService::Azure, "container", "é"))),
            ("", None),
            ("shop", None),
            ("s3:shop", None),
            ("S3://shop", None),
            ("https://shop/a", None),
            ("s3:///a", None),
            ("s3://user:secret@shop/a", None),
            ("s3://shop//a", None),
            ("s3://shop/a//", None),
            ("s3://shop/../a", None),
            ("s3://shop/a?b", None),
            ("s3://shop/%2e%2e/a", None),
        ] {
            let parsed = text.parse::<Location>().ok();
            let parts = parsed.as_ref().map(|location| (location.service, &*location.name, &*location.prefix));
            assert_eq!(parts, expected, "{text}");
            if let Some(location) = parsed {
                assert_eq!(location.to_string(), text.trim_end_matches('/'));
            }
        }
    }
}
