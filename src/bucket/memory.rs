//! A bucket in memory, for tests, with faults that can be switched on.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{Bucket, Condition, Error, Listed, NewObject, Object};
use crate::net::BoxFuture;
use crate::sync;

/// Objects in memory.
#[derive(Default)]
pub(crate) struct MemoryBucket {
    objects: Mutex<BTreeMap<String, Object>>,
    faults: Mutex<Faults>,
    written: AtomicU64,
    /// Requests that faults were considered for.
    seen: AtomicU64,
    /// Requests so far, by kind.
    pub(crate) gets: AtomicU64,
    pub(crate) puts: AtomicU64,
    pub(crate) lists: AtomicU64,
}

/// Faults of later requests.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// Before every answer.
    pub(crate) delay: Duration,
    /// In place of every answer.
    pub(crate) error: Option<Error>,
    /// If it is not 0, only that percentage of requests has them, spread evenly.
    pub(crate) percent: u64,
    /// How long a new object is not shown after it was written.
    pub(crate) lag: Duration,
}

impl MemoryBucket {
    pub(crate) fn set(&self, faults: Faults) {
        *sync::lock(&self.faults) = faults;
    }

    /// Changes the bytes of each object, as a damaged disk does.
    pub(crate) fn damage(&self, change: impl Fn(&mut Vec<u8>)) {
        for object in sync::lock(&self.objects).values_mut() {
            let mut bytes = object.bytes.to_vec();
            change(&mut bytes);
            object.bytes = bytes.into();
        }
    }

    /// Makes all objects so much older.
    pub(crate) fn age(&self, time: Duration) {
        sync::lock(&self.objects).values_mut().for_each(|object| object.modified -= time);
    }

    /// The bytes of an object, whatever the faults.
    pub(crate) fn bytes(&self, name: &str) -> Option<bytes::Bytes> {
        sync::lock(&self.objects).get(name).map(|object| object.bytes.clone())
    }

    /// The names of all objects.
    pub(crate) fn names(&self) -> Vec<String> {
        sync::lock(&self.objects).keys().cloned().collect()
    }

    /// Exchanges two objects, metadata included.
    pub(crate) fn swap(&self, one: &str, other: &str) {
        let mut objects = sync::lock(&self.objects);
        let (a, b) = (objects[one].clone(), objects[other].clone());
        objects.extend([(one.to_owned(), b), (other.to_owned(), a)]);
    }

    async fn fault(&self) -> Result<(), Error> {
        let Faults { delay, error, percent, lag: _ } = sync::lock(&self.faults).clone();
        let seen = self.seen.fetch_add(1, Ordering::Relaxed);
        if percent > 0 && seen * 37 % 100 >= percent {
            return Ok(());
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        error.map_or(Ok(()), Err)
    }
}

impl Bucket for MemoryBucket {
    fn get<'a>(
        &'a self, name: &'a str, unless: Option<&'a str>, max_bytes: u64,
    ) -> BoxFuture<'a, Result<Object, Error>> {
        Box::pin(async move {
            self.gets.fetch_add(1, Ordering::Relaxed);
            self.fault().await?;
            let object = sync::lock(&self.objects).get(name).cloned().ok_or(Error::NotFound)?;
            if object.modified.elapsed().unwrap_or_default() < sync::lock(&self.faults).lag {
                return Err(Error::NotFound);
            }
            if unless.is_some() && object.etag.as_deref() == unless {
                return Err(Error::Unmodified);
            }
            match object.bytes.len() as u64 {
                bytes if bytes > max_bytes => Err(Error::TooLarge { bytes, limit: max_bytes }),
                _ => Ok(object),
            }
        })
    }

    fn put<'a>(
        &'a self, name: &'a str, object: NewObject, condition: Condition<'a>,
    ) -> BoxFuture<'a, Result<Option<String>, Error>> {
        Box::pin(async move {
            self.puts.fetch_add(1, Ordering::Relaxed);
            self.fault().await?;
            let NewObject { bytes, media_type: _, cache_control: _, metadata } = object;
            let etag = format!("\"{}\"", self.written.fetch_add(1, Ordering::Relaxed));
            let mut objects = sync::lock(&self.objects);
            match (condition, objects.get(name)) {
                (Condition::Absent, Some(_)) => return Err(Error::Exists),
                (Condition::Unchanged(_), None) => return Err(Error::Changed),
                (Condition::Unchanged(revision), Some(object)) if object.revision.as_deref() != Some(revision) => {
                    return Err(Error::Changed);
                }
                _ => {}
            }
            let metadata = metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let (etag, modified) = (Some(etag), SystemTime::now());
            let object = Object { bytes, etag: etag.clone(), revision: etag.clone(), modified, metadata };
            objects.insert(name.to_owned(), object);
            Ok(etag)
        })
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            self.fault().await?;
            sync::lock(&self.objects).remove(name);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self, folder: &'a str, after: Option<&'a str>, limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, Error>> {
        Box::pin(async move {
            self.lists.fetch_add(1, Ordering::Relaxed);
            self.fault().await?;
            let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            let objects = sync::lock(&self.objects);
            let below = objects.iter().filter(|(name, _)| name.starts_with(&folder));
            let later = below.filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
            let listed = later.map(|(name, object)| Listed {
                name: name.clone(),
                length: object.bytes.len() as u64,
                modified: object.modified,
            });
            Ok(listed.take(limit).collect())
        })
    }
}
