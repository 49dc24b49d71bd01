//! Checks keys and tokens: their strength, the permissions of their files, and the listener that takes them.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Subject;
use super::report::Report;
use crate::config::Origin;

/// Secrets of fewer different characters are guessable.
const MIN_DIFFERENT: usize = 8;
const MIN_TOKEN_BYTES: usize = 16;

const NEW_SECRET: &str = "head -c 32 /dev/urandom | base64";

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let security = &subject.config.live.security;
    if security.keys.iter().any(|key| different_bytes(key) < MIN_DIFFERENT) {
        report.warning(
            "security.keys",
            format!("a key has fewer than {MIN_DIFFERENT} different characters: it can be guessed"),
            NEW_SECRET,
        );
    }
    if !security.keys.is_empty() && !security.require_signature {
        report.info("security.require_signature", "signing keys are set, but unsigned URLs are answered as well");
    }
    let token = &security.admin_token;
    if !token.is_empty() && token.len() < MIN_TOKEN_BYTES {
        report.warning(
            "security.admin_token",
            format!("the token is short ({} bytes, fewer than {MIN_TOKEN_BYTES}): it can be guessed", token.len()),
            NEW_SECRET,
        );
    } else if !token.is_empty() && different_bytes(token) < MIN_DIFFERENT {
        report.warning(
            "security.admin_token",
            format!("the token has fewer than {MIN_DIFFERENT} different characters: it can be guessed"),
            NEW_SECRET,
        );
    }
    file_permissions(subject, report);
    admin_listener(subject, report);
}

fn different_bytes(text: &str) -> usize {
    text.bytes().collect::<std::collections::HashSet<u8>>().len()
}

/// Whether other users may read files with secrets.
fn file_permissions(subject: &Subject, report: &mut Report) {
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o7777);
    for path in subject.world_readable {
        let (mode, path) = (mode(path), path.display());
        report.warning(
            "security",
            format!("{path} contains secrets and is world-readable (mode {mode:04o})"),
            format!("chmod o-rwx {path}"),
        );
    }
    let mut files: Vec<&PathBuf> = ["security.keys", "security.admin_token"]
        .into_iter()
        .filter_map(|name| match subject.origins.get(name) {
            Some(Origin::File(path)) if !subject.world_readable.contains(path) => Some(path),
            _ => None,
        })
        .collect();
    files.dedup();
    let security = &subject.config.live.security;
    if security.keys.is_empty() && security.admin_token.is_empty() {
        return;
    }
    for path in files {
        let (mode, path) = (mode(path), path.display());
        report.ok("security", format!("{path} contains secrets and is not world-readable (mode {mode:04o})"));
    }
}

/// Whether the listener that takes the token is reachable from other machines.
fn admin_listener(subject: &Subject, report: &mut Report) {
    let server = &subject.config.fixed.server;
    let (about, address) = if server.admin_listen.is_empty() {
        ("server.listen", &server.listen)
    } else {
        ("server.admin_listen", &server.admin_listen)
    };
    if subject.config.live.security.admin_token.is_empty() {
        report.info("security.admin_token", "empty: purges and uploads are disabled");
        if subject.config.fixed.security.upload {
            report.warning("security.upload", "uploads stay disabled without security.admin_token", NEW_SECRET);
        }
    } else if is_public(address) {
        report.warning(
            about,
            format!(
                "{address} is reachable from other machines without TLS and accepts purges and uploads: the token can be \
                intercepted"
            ),
            "server.admin_listen = \"127.0.0.1:8081\" or \"unix:/run/tintype/admin.sock\"",
        );
    }
}

/// Whether an address is reachable from other machines.
fn is_public(address: &str) -> bool {
    let Some((host, _)) = address.rsplit_once(':').filter(|_| !address.starts_with("unix:")) else { return false };
    let host = host.trim_matches(['[', ']']);
    host != "localhost" && host.parse::<IpAddr>().map_or(true, |ip| !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_beyond_loopback_is_public() {
        for (address, expected) in [
            ("127.0.0.1:80", false),
            ("localhost:80", false),
            ("[::1]:80", false),
            ("unix:/run/a:b", false),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("192.168.0.1:80", true),
            ("images.example:80", true),
        ] {
            assert_eq!(is_public(address), expected, "{address}");
        }
    }
}
