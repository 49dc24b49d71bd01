//! Connections to other servers: names are resolved here, addresses checked where they are connected to, TLS set up once.

pub(crate) mod address;
pub(crate) mod connect;
pub(crate) mod peer;
pub(crate) mod tls;

use std::future::Future;
use std::pin::Pin;

/// A boxed future: which implementation is used is decided when the program starts.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
