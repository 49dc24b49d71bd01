//! Checks the HTTP origin of originals by asking it for one that cannot exist.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::time::Instant;

use super::Subject;
use super::report::Report;
use crate::source::{Error, ImageId, Origin, RemoteConfig, RemoteSource, Source};

const ABOUT: &str = "source.url";

/// A name that nothing has.
pub(super) fn random_name() -> String {
    format!("tintype-check-{:016x}.jpg", RandomState::new().build_hasher().finish())
}

/// The runtime of requests.
///
/// # Errors
/// Where the system has no resources for it.
pub(super) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

pub(super) fn check(subject: &Subject, origin: Origin, report: &mut Report) {
    let shown = origin.to_string();
    // without copies on disk
    let config = RemoteConfig { dir: None, ..subject.config.fixed.remote() };
    let (Ok(id), Ok(runtime)) = (ImageId::of(&random_name()), runtime()) else { return };
    let began = Instant::now();
    let answer = runtime.block_on(async {
        let source = RemoteSource::http(origin, config).map_err(|error| Error::Unavailable(error.into()))?;
        source.version(&id).await
    });
    let millis = began.elapsed().as_millis();
    let curl = format!("curl -v {shown}{id}");
    match answer {
        Err(Error::NotFound) => {
            report.ok(ABOUT, format!("{shown} answers 404 for a missing original, after {millis} ms"));
        }
        Ok(_) => report.warning(
            ABOUT,
            format!("{shown} answers 200 for an original that does not exist, so that it is rendered"),
            format!("have the origin answer 404: {curl}"),
        ),
        Err(Error::Credentials) => report.error(
            ABOUT,
            format!("{shown} answers 401 or 403 for a missing original, which is a 502 for clients"),
            "check the user and the password in source.url; an origin must answer 404 for what it does not have",
        ),
        Err(error) => {
            let (cause, fix) = why(&error, "source.url");
            report.error(ABOUT, format!("originals cannot be fetched from {shown}: {cause}"), format!("{fix}; {curl}"));
        }
    }
}

/// The cause of a failed request and what can be done.
fn why(error: &Error, setting: &str) -> (String, String) {
    match error {
        Error::Unavailable(cause) => (cause.to_string(), fix(cause, setting)),
        Error::Refused(why) => (why.clone(), format!("{setting} must have the address itself to use a link-local one")),
        Error::TimedOut => (error.to_string(), "check firewalls and routes".into()),
        error => (error.to_string(), "see the log of the origin".into()),
    }
}

/// The advice for a connection that failed.
pub(super) fn fix(error: &std::io::Error, setting: &str) -> String {
    let text = error.to_string();
    if text.contains("certificate") {
        "use a certificate that is trusted for this host, or set SSL_CERT_FILE to its root".into()
    } else if text.contains("lookup") || text.contains("no address") {
        format!("check the host in {setting} and the DNS of this machine")
    } else if error.kind() == ErrorKind::ConnectionRefused {
        format!("start the server, or check the port in {setting}")
    } else {
        format!("check {setting}, firewalls and routes")
    }
}
