//! Checks the other servers: whether they answer, accept this server's admin token, and have its version and time.

use std::time::{Duration, SystemTime};

use http::{Method, StatusCode};

use super::Subject;
use super::report::Report;
use crate::net::peer::{Answer, Peer};
use crate::service::cluster::PeerUrl;

const ABOUT: &str = "cluster.peers";

/// The time limit of a request.
const LIMIT: Duration = Duration::from_secs(3);

/// Clocks that differ by more delay purges; `Date` has whole seconds.
const MAX_DIFFERENCE: Duration = Duration::from_secs(30);

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let Ok(cluster) = subject.config.fixed.cluster() else { return };
    let security = &subject.config.live.security;
    if cluster.peers.is_empty() {
        return;
    }
    if security.admin_token.is_empty() && security.admin_token_file.as_os_str().is_empty() {
        let cause = "the other servers are not told of purges without security.admin_token";
        report.error(ABOUT, cause, "set security.admin_token, the same on all servers");
    }
    if subject.config.fixed.shared.bucket.is_empty() {
        let cause = "without shared.bucket, a server that is not reached by a purge does not learn of it later";
        report.warning(ABOUT, cause, "shared.bucket = \"s3://name/prefix\"");
    }
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            for url in cluster.peers {
                runtime.block_on(peer(&url, &security.admin_token, report));
            }
        }
        Err(error) => report.info(ABOUT, format!("not checked: {error}")),
    }
}

async fn peer(url: &PeerUrl, token: &str, report: &mut Report) {
    let client = match url.client() {
        Ok(client) => client,
        Err(error) => return report.error(ABOUT, format!("{url}: {error}"), "install the package ca-certificates"),
    };
    match client.send(Method::GET, "/-/ready", "", LIMIT).await {
        Ok(answer) => {
            if !version(url, &answer, report) {
                return;
            }
            clock(url, &answer, report);
        }
        Err(error) => {
            return report.error(
                ABOUT,
                format!("{url} does not answer: {error}"),
                "start that server, or correct the URL: that of server.admin_listen there, or else of server.listen",
            );
        }
    }
    if !token.is_empty() {
        authorized(url, &client, token, report).await;
    }
}

/// Whether a tintype answers; says which.
fn version(url: &PeerUrl, answer: &Answer, report: &mut Report) -> bool {
    let own = env!("CARGO_PKG_VERSION");
    let ready: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    match ready.as_ref().and_then(|ready| ready["version"].as_str()) {
        Some(version) if version == own => report.ok(ABOUT, format!("{url} has the same version, {own}")),
        Some(version) => {
            // renditions have other keys where the encoders are others
            let cause = format!("{url} has version {version}, this is {own}: they may not share results");
            report.warning(ABOUT, cause, "the same version on all servers");
        }
        None => {
            let status = answer.status.as_u16();
            let cause = format!("{url}/-/ready is answered with status {status}, not by tintype");
            let fix = "the URL of server.admin_listen there, or else of server.listen";
            report.error(ABOUT, cause, fix);
            return false;
        }
    }
    true
}

fn clock(url: &PeerUrl, answer: &Answer, report: &mut Report) {
    let Some(date) = answer.date else { return };
    let now = SystemTime::now();
    let difference = now.duration_since(date).or_else(|_| date.duration_since(now)).unwrap_or_default();
    if difference > MAX_DIFFERENCE {
        let cause = format!("the clock of {url} differs by {} s: purges may arrive late", difference.as_secs());
        report.warning(ABOUT, cause, "synchronise the clocks (NTP)");
    }
}

/// Whether the server accepts the token. The request names nothing to purge, which is a 400 once it is authorized.
async fn authorized(url: &PeerUrl, client: &Peer, token: &str, report: &mut Report) {
    let fix = "the same security.admin_token on all servers";
    match client.send(Method::POST, "/-/purge?local=1", token, LIMIT).await.map(|answer| answer.status) {
        Ok(StatusCode::BAD_REQUEST) => report.ok(ABOUT, format!("{url} accepts security.admin_token")),
        Ok(StatusCode::UNAUTHORIZED) => report.error(ABOUT, format!("{url} has another security.admin_token"), fix),
        Ok(StatusCode::NOT_FOUND) => report.error(ABOUT, format!("{url} has no security.admin_token"), fix),
        Ok(status) => report.error(ABOUT, format!("{url} answers a purge with status {}", status.as_u16()), fix),
        Err(error) => report.error(ABOUT, format!("{url} does not answer a purge: {error}"), fix),
    }
}
