//! The buckets of the settings: of originals, and of results that several servers share.

use std::path::Path;

use super::fixed::{FixedSettings, Shared, Source};
use crate::bucket::{self, InvalidConfig, InvalidLocation};

/// Why the settings of a bucket are refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvalidBucket {
    /// It is no location.
    #[error(transparent)]
    Location(#[from] InvalidLocation),
    /// Something that it needs is missing or invalid.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// A prefix is needed.
    #[error(
        "source.bucket and shared.bucket lie within each other: results would be served as originals; set another prefix"
    )]
    Overlap,
}

impl FixedSettings {
    /// The bucket of originals; `None` where they are elsewhere.
    ///
    /// # Errors
    /// If `source.bucket` is invalid.
    pub fn source_bucket(&self) -> Result<Option<bucket::Config>, InvalidBucket> {
        let Source { bucket, endpoint, region, access_key, secret_key, skip_signature, .. } = &self.source;
        if bucket.is_empty() {
            return Ok(None);
        }
        Ok(Some(bucket::Config {
            location: bucket.parse()?,
            endpoint: endpoint.clone(),
            region: region.clone(),
            access_key: access_key.clone(),
            secret_key: secret_key.clone(),
            skip_signature: *skip_signature,
        }))
    }

    /// The bucket of shared results; `None` where there is none.
    ///
    /// # Errors
    /// If `shared.bucket` is invalid, or has the originals.
    pub fn shared_bucket(&self) -> Result<Option<bucket::Config>, InvalidBucket> {
        let Shared { bucket, endpoint, region, access_key, secret_key, .. } = &self.shared;
        if bucket.is_empty() {
            return Ok(None);
        }
        let config = bucket::Config {
            location: bucket.parse()?,
            endpoint: endpoint.clone(),
            region: region.clone(),
            access_key: access_key.clone(),
            secret_key: secret_key.clone(),
            skip_signature: false,
        };
        match self.source_bucket()? {
            Some(originals) if overlap(&originals, &config) => Err(InvalidBucket::Overlap),
            _ => Ok(Some(config)),
        }
    }
}

/// Whether one prefix lies within the other, in the same bucket.
fn overlap(originals: &bucket::Config, results: &bucket::Config) -> bool {
    let [a, b] = [&originals.location, &results.location];
    let same = (a.service, &a.name, &originals.endpoint) == (b.service, &b.name, &results.endpoint);
    let (a, b) = (Path::new(&a.prefix), Path::new(&b.prefix));
    same && (a.starts_with(b) || b.starts_with(a))
}

/// Whether the files that the settings name have its secrets, which are read after the settings are validated.
fn has_files(files: [&Path; 2]) -> bool {
    files.iter().any(|file| !file.as_os_str().is_empty())
}

/// Checks what can be known before files with secrets are read; returns the name of the setting and why.
pub(super) fn validate(settings: &FixedSettings) -> Result<(), (&'static str, String)> {
    let FixedSettings { source, shared, .. } = settings;
    let buckets = [
        ("source.bucket", settings.source_bucket(), has_files([&source.access_key_file, &source.secret_key_file])),
        ("shared.bucket", settings.shared_bucket(), has_files([&shared.access_key_file, &shared.secret_key_file])),
    ];
    for (name, bucket, has_files) in buckets {
        let bucket = bucket.map_err(|invalid| (name, invalid.to_string()))?;
        match bucket.map(|bucket| bucket.validate()) {
            Some(Err(InvalidConfig::NoCredentials)) if has_files => {}
            Some(Err(invalid)) => return Err((name, invalid.to_string())),
            Some(Ok(())) | None => {}
        }
    }
    let pairs = [
        ("source.access_key_file", &source.access_key, &source.access_key_file),
        ("source.secret_key_file", &source.secret_key, &source.secret_key_file),
        ("shared.access_key_file", &shared.access_key, &shared.access_key_file),
        ("shared.secret_key_file", &shared.secret_key, &shared.secret_key_file),
        ("shared.key_file", &shared.key, &shared.key_file),
    ];
    for (name, value, file) in pairs {
        if !value.is_empty() && !file.as_os_str().is_empty() {
            return Err((name, format!("{} is set as well", name.trim_end_matches("_file"))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::read_text;

    const KEYS: &str = "access_key = 'AK'\nsecret_key = 's3cr3t'\n";

    #[test]
    fn buckets_need_a_location_and_credentials() {
        for (text, part) in [
            (format!("[source]\nbucket = 's3://shop/img'\n{KEYS}"), Ok(())),
            ("[source]\nbucket = 's3://shop'\nskip_signature = true\n".into(), Ok(())),
            ("[source]\nbucket = 'gs://shop'\nsecret_key_file = 'account'\n".into(), Ok(())),
            (format!("[shared]\nbucket = 's3://shop/results'\nendpoint = 'http://10.0.0.1:8333'\n{KEYS}"), Ok(())),
            ("[source]\nbucket = 's3://shop'\n".into(), Err("source.bucket is invalid: there are no credentials")),
            (format!("[source]\nbucket = 'shop'\n{KEYS}"), Err("source.bucket is invalid: it is a bucket such as")),
            (format!("[shared]\nbucket = 's3://shop'\nendpoint = 'shop'\n{KEYS}"), Err("endpoint is invalid")),
            (
                format!("[shared]\nbucket = 's3://shop'\n{KEYS}secret_key_file = 'b'\n"),
                Err("shared.secret_key_file is invalid: shared.secret_key is set as well"),
            ),
            (
                format!("[source]\nbucket = 's3://shop/a'\n{KEYS}[shared]\nbucket = 's3://shop/a/b'\n{KEYS}"),
                Err("within each other"),
            ),
            (format!("[source]\nbucket = 's3://shop/a'\n{KEYS}[shared]\nbucket = 's3://shop/ab'\n{KEYS}"), Ok(())),
        ] {
            match (read_text(&text), part) {
                (Ok(loaded), Ok(())) => {
                    let shown = toml::to_string(&loaded.config.without_secrets()).expect("TOML");
                    assert!(!shown.contains("s3cr3t"), "{shown}");
                }
                (Err(error), Err(part)) => {
                    let error = error.to_string();
                    assert!(error.contains(part) && !error.contains("s3cr3t"), "{error}");
                }
                (got, expected) => panic!("{text}: {got:?}, not {expected:?}"),
            }
        }
    }
}
