//! An HTTP client over TCP, TLS or a Unix socket, for commands only: `source` has the one that fetches originals.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::net::tls;

/// The Accept header of Chromium for images.
pub(super) const CHROMIUM: &str = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
/// The same of WebKit (Safari).
pub(super) const WEBKIT: &str = "image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
/// The same of curl and other clients without a list of formats.
pub(super) const CURL: &str = "*/*";

/// The time limit of a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum bytes of a body.
const MAX_BODY: usize = 256 << 20;

#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    address: Address,
    /// The Host header.
    host: String,
    tls: Option<Tls>,
}

#[derive(Clone, Debug)]
enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

#[derive(Clone)]
struct Tls(Arc<ClientConfig>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Address::Tcp(..) => write!(f, "{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.host),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Endpoint {
    /// The server of a URL, and its request target.
    pub(super) fn of_url(url: &str) -> anyhow::Result<(Endpoint, String)> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok((Endpoint::of_listener(&format!("unix:{path}")), "/".into()));
        }
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            anyhow::bail!("{url:?} is not a URL such as https://example.com/photo.jpg?width=800");
        };
        let (tls, port) = match scheme {
            "http" => (None, 80),
            "https" => (Some(Tls(tls::client_config()?)), 443),
            other => anyhow::bail!("{other}:// is neither http:// nor https://"),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let address = Address::Tcp(host, authority.port_u16().unwrap_or(port));
        let host = authority.as_str().rsplit('@').next().unwrap_or_default().to_owned();
        Ok((Endpoint { address, host, tls }, target))
    }

    /// The server with this `server.listen` on this machine.
    pub(super) fn of_listener(listen: &str) -> Endpoint {
        if let Some(path) = listen.strip_prefix("unix:") {
            return Endpoint { address: Address::Unix(path.into()), host: "tintype".into(), tls: None };
        }
        // a listener on all addresses is reached on the loopback address
        let own = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        let (host, port) = own.rsplit_once(':').unwrap_or((&own, ""));
        let address = Address::Tcp(host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or(0));
        Endpoint { address, host: own, tls: None }
    }

    /// A persistent connection, for one request at a time.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await;
        connected.with_context(|| format!("{self} does not answer within {} s", CONNECT_TIMEOUT.as_secs()))?
    }

    async fn open(&self) -> anyhow::Result<Connection> {
        match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                self.handshake(stream.with_context(|| format!("cannot connect to {self}"))?).await
            }
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.with_context(|| format!("cannot connect to {self}"))?;
                stream.set_nodelay(true)?;
                let Some(Tls(config)) = &self.tls else { return self.handshake(stream).await };
                let name = ServerName::try_from(host.clone())
                    .with_context(|| format!("{host} is not a valid host name for TLS"))?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                self.handshake(stream.with_context(|| format!("TLS with {self}"))?).await
            }
        }
    }

    async fn handshake(
        &self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> anyhow::Result<Connection> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // its errors reach the requests on it
        tokio::spawn(connection);
        Ok(Connection { sender, host: self.host.clone() })
    }
}

pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
}

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Connection {
    /// Sends a GET. The target is sent as it is.
    pub(super) async fn get(&mut self, target: &str, accept: &str, timeout: Duration) -> anyhow::Result<Answer> {
        let request = Request::get(target)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, concat!("tintype/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .with_context(|| format!("{target:?} is not a valid request target"))?;
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let answer = tokio::time::timeout(timeout, exchange).await;
        answer.with_context(|| format!("no answer within {} s", timeout.as_secs()))?
    }
}

impl Answer {
    /// The values of a header, joined by commas; empty without the header.
    pub(super) fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(", ")
    }
}
