//! TLS for requests that this program sends: one set-up for originals and for commands.

use std::io::{Error, ErrorKind};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Trusts the system's root certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
///
/// # Errors
/// Where there are no root certificates.
pub(crate) fn client_config() -> std::io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = "the system has no root certificates; install the package ca-certificates, or set SSL_CERT_FILE";
        return Err(Error::new(ErrorKind::NotFound, why));
    }
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().map_err(Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth().into())
}
