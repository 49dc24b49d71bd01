//! Connections to other servers: names are resolved here, addresses checked where they are connected to, TLS set up once.

pub(crate) mod address;
pub(crate) mod connect;
pub(crate) mod peer;
pub(crate) mod tls;

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

/// A boxed future: which implementation is used is decided when the program starts.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An error of a library with the texts of its causes, which its own text leaves out.
pub(crate) fn with_causes(error: &dyn Error) -> std::io::Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    std::io::Error::other(text)
}
