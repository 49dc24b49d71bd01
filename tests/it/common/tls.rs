//! A server's side of TLS, with a certificate of its own.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring};

/// TLS of `localhost`.
pub(crate) struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Writes the certificate to a file, for `SSL_CERT_FILE`.
    pub(crate) fn new(bundle: &Path) -> Tls {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("they belong together");
        let encoded = base64::engine::general_purpose::STANDARD.encode(made.cert.der());
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"));
        std::fs::write(bundle, pem).expect("written");
        Tls(Arc::new(config))
    }

    /// Answers on a connection, and closes it.
    pub(crate) fn serve(&self, stream: TcpStream, answer: impl FnOnce(&mut StreamOwned<ServerConnection, TcpStream>)) {
        let connection = ServerConnection::new(Arc::clone(&self.0)).expect("good settings");
        let mut stream = StreamOwned::new(connection, stream);
        answer(&mut stream);
        stream.conn.send_close_notify();
        // the client may have left
        let _ = stream.flush();
    }
}
