//! Asks servers: over TCP, TLS or a socket in the file system. For commands alone; the service itself asks nobody.

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
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Accept headers as browsers and curl send them.
pub(super) const CHROMIUM: &str = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8";
/// Safari and its like.
pub(super) const WEBKIT: &str = "image/webp,image/avif,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5";
/// A client that names no format.
pub(super) const CURL: &str = "*/*";

/// How long it may take to get through to a server.
const CONNECTING: Duration = Duration::from_secs(10);

/// The most bytes of an answer.
const LARGEST: usize = 256 << 20;

/// Where a server is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    address: Address,
    /// What it is asked for: the Host header.
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

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Address::Tcp(..) => write!(f, "{}://{}", if self.tls.is_some() { "https" } else { "http" }, self.host),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Place {
    /// The server of a URL, and what is asked of it there.
    pub(super) fn of_url(url: &str) -> anyhow::Result<(Place, String)> {
        if let Some(path) = url.strip_prefix("unix:") {
            return Ok((Place::of_listener(&format!("unix:{path}")), "/".into()));
        }
        let uri: Uri = url.parse().with_context(|| format!("{url:?} is not a URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            anyhow::bail!("{url:?} is not a URL such as https://example.com/photo.jpg?width=800");
        };
        let (tls, port) = match scheme {
            "http" => (None, 80),
            "https" => (Some(Tls::new()?), 443),
            other => anyhow::bail!("{other}:// is neither http:// nor https://"),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let address = Address::Tcp(host, authority.port_u16().unwrap_or(port));
        let said = authority.as_str().rsplit('@').next().unwrap_or_default().to_owned();
        Ok((Place { address, host: said, tls }, target))
    }

    /// The server that listens there, on this machine.
    pub(super) fn of_listener(listen: &str) -> Place {
        if let Some(path) = listen.strip_prefix("unix:") {
            return Place { address: Address::Unix(path.into()), host: "tintype".into(), tls: None };
        }
        // what listens on every address is asked on this machine's own
        let own = listen.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        let (host, port) = own.rsplit_once(':').unwrap_or((&own, ""));
        let address = Address::Tcp(host.trim_matches(['[', ']']).to_owned(), port.parse().unwrap_or(0));
        Place { address, host: own, tls: None }
    }

    /// A connection, over which one request after the other may go.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        let connected = tokio::time::timeout(CONNECTING, self.open()).await;
        connected.with_context(|| format!("{self} does not answer within {} s", CONNECTING.as_secs()))?
    }

    async fn open(&self) -> anyhow::Result<Connection> {
        match &self.address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                self.shake_hands(stream.with_context(|| format!("cannot connect to {self}"))?).await
            }
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.with_context(|| format!("cannot connect to {self}"))?;
                stream.set_nodelay(true)?;
                let Some(Tls(config)) = &self.tls else { return self.shake_hands(stream).await };
                let name = ServerName::try_from(host.clone()).with_context(|| format!("{host} is no name for TLS"))?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                self.shake_hands(stream.with_context(|| format!("TLS with {self}"))?).await
            }
        }
    }

    async fn shake_hands(
        &self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> anyhow::Result<Connection> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // what goes wrong with it is told to whoever waits for an answer
        tokio::spawn(connection);
        Ok(Connection { sender, host: self.host.clone() })
    }
}

impl Tls {
    /// Trusts whom the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise).
    fn new() -> anyhow::Result<Tls> {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        anyhow::ensure!(
            !roots.is_empty(),
            "the system has no certificates to trust; install the package ca-certificates, or name a file in \
                SSL_CERT_FILE"
        );
        let config = ClientConfig::builder_with_provider(ring::default_provider().into());
        let config = config.with_safe_default_protocol_versions()?;
        Ok(Tls(config.with_root_certificates(roots).with_no_client_auth().into()))
    }
}

/// A connection to a server.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Connection {
    /// One GET with that Accept header. The target goes as it is.
    pub(super) async fn get(&mut self, target: &str, accept: &str, patience: Duration) -> anyhow::Result<Answer> {
        let request = Request::get(target)
            .header(header::HOST, &self.host)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, concat!("tintype/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .with_context(|| format!("{target:?} cannot be asked for"))?;
        let exchange = async {
            self.sender.ready().await?;
            let (head, body) = self.sender.send_request(request).await?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await.map_err(|error| anyhow::anyhow!(error))?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        let answer = tokio::time::timeout(patience, exchange).await;
        answer.with_context(|| format!("no answer within {} s", patience.as_secs()))?
    }
}

impl Answer {
    /// The values of a header, joined; empty where there is none.
    pub(super) fn header(&self, name: &str) -> String {
        let values = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.collect::<Vec<_>>().join(", ")
    }
}
