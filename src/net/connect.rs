//! Connections to origins: a host is resolved, its addresses are filtered, and exactly those that remain are connected to.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::address::Policy;
use super::{BoxFuture, tls};

/// The time limit of a connection: name, TCP and TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No address of the host may be connected to.
    #[error("{0}")]
    Refused(String),
    #[error("no connection within {} s", CONNECT_TIMEOUT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Io(Arc<std::io::Error>),
}

impl From<std::io::Error> for ConnectError {
    fn from(error: std::io::Error) -> ConnectError {
        ConnectError::Io(Arc::new(error))
    }
}

/// Connects to the host in the settings, and to public hosts that it redirects to.
#[derive(Clone)]
pub(crate) struct Connector(Arc<Shared>);

/// Gives the addresses of a host.
type Resolver = dyn Fn(String, u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> + Send + Sync;

struct Shared {
    /// The host and port in the settings, which may be private.
    configured: (String, u16),
    resolver: Box<Resolver>,
    tls: OnceLock<Result<Arc<ClientConfig>, ConnectError>>,
}

impl Connector {
    /// A connector for an origin.
    ///
    /// # Errors
    /// If the origin needs TLS and the system has no root certificates.
    pub(crate) fn new(origin: &Uri) -> Result<Connector, ConnectError> {
        Connector::with_resolver(origin, Box::new(system_resolver))
    }

    /// The same with other addresses than those of the system's resolver.
    pub(super) fn with_resolver(origin: &Uri, resolver: Box<Resolver>) -> Result<Connector, ConnectError> {
        let shared = Shared { configured: host_and_port(origin), resolver, tls: OnceLock::new() };
        if origin.scheme_str() == Some("https") {
            shared.tls()?;
        }
        Ok(Connector(Arc::new(shared)))
    }
}

fn system_resolver(host: String, port: u16) -> BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
}

impl Shared {
    fn policy(&self, host: &str, port: u16) -> Policy {
        match (host, port) == (self.configured.0.as_str(), self.configured.1) {
            false => Policy::Public,
            true if host.parse::<IpAddr>().is_ok() => Policy::ConfiguredAddress,
            true => Policy::Configured,
        }
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        self.tls.get_or_init(|| tls::client_config().map_err(ConnectError::from)).clone()
    }

    async fn connect(&self, url: &Uri) -> Result<TokioIo<Stream>, ConnectError> {
        let (host, port) = host_and_port(url);
        let stream = self.connect_tcp(&host, port).await?;
        stream.set_nodelay(true)?;
        if url.scheme_str() != Some("https") {
            return Ok(TokioIo::new(Stream(Box::new(stream))));
        }
        let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(self.tls()?).connect(name, stream).await?;
        Ok(TokioIo::new(Stream(Box::new(stream))))
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let policy = self.policy(host, port);
        let end = Instant::now() + CONNECT_TIMEOUT;
        // once: a second answer could be another address, which was not checked
        let addresses = (self.resolver)(host.to_owned(), port).await?;
        let allowed = interleaved(addresses.iter().copied().filter(|address| policy.allows(address.ip())));
        let mut error = None;
        for (at, address) in allowed.iter().enumerate() {
            // an address that does not answer leaves time for the others
            let share = end.saturating_duration_since(Instant::now()) / (allowed.len() - at) as u32;
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(failed)) => error = Some(failed),
                Err(_) => error = Some(std::io::ErrorKind::TimedOut.into()),
            }
        }
        match (error, addresses.first()) {
            (Some(error), _) => Err(error.into()),
            (None, Some(address)) => {
                let address = address.ip();
                Err(ConnectError::Refused(format!("{host} has the address {address}, which is not allowed")))
            }
            (None, None) => Err(std::io::Error::other(format!("{host} has no address")).into()),
        }
    }
}

/// Addresses of both families in turn, in the order of the resolver: a host may be unreachable over one of them.
fn interleaved(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut six, mut four): (Vec<_>, Vec<_>) = addresses.partition(SocketAddr::is_ipv6);
    let mut mixed = Vec::with_capacity(six.len() + four.len());
    let pairs = six.len().min(four.len());
    for (six, four) in six.drain(..pairs).zip(four.drain(..pairs)) {
        mixed.extend([six, four]);
    }
    mixed.extend(six);
    mixed.extend(four);
    mixed
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<TokioIo<Stream>, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, shared.connect(&url)).await;
            connected.unwrap_or(Err(ConnectError::TimedOut))
        })
    }
}

/// The host in lower case without the brackets of IPv6, and the port.
fn host_and_port(url: &Uri) -> (String, u16) {
    let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
    (host, url.port_u16().unwrap_or(default))
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection over TCP or TLS.
pub(crate) struct Stream(Box<dyn Io>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
pub(crate) mod tests;
