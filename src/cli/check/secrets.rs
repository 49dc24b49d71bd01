//! Keys, tokens and who can reach what they guard.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Subject;
use super::report::Report;
use crate::config::Origin;

/// A key is as good as what had to be guessed; text that people make up has little of it.
const FEW_LETTERS: usize = 8;
const SHORT_TOKEN: usize = 16;

const NEW_SECRET: &str = "head -c 32 /dev/urandom | base64";

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let security = &subject.config.live.security;
    if security.keys.iter().any(|key| letters(key) < FEW_LETTERS) {
        report.warning(
            "security.keys",
            format!("a key is made of fewer than {FEW_LETTERS} different characters, which can be guessed"),
            NEW_SECRET,
        );
    }
    if !security.keys.is_empty() && !security.require_signature {
        report.info("security.require_signature", "there are keys, and unsigned URLs are answered all the same");
    }
    let token = &security.admin_token;
    if !token.is_empty() && token.len() < SHORT_TOKEN {
        report.warning(
            "security.admin_token",
            format!("the token has {} bytes, fewer than {SHORT_TOKEN}: it is short, and can be guessed", token.len()),
            NEW_SECRET,
        );
    } else if !token.is_empty() && letters(token) < FEW_LETTERS {
        report.warning(
            "security.admin_token",
            format!("the token is made of fewer than {FEW_LETTERS} different characters, and can be guessed"),
            NEW_SECRET,
        );
    }
    readable(subject, report);
    open(subject, report);
}

fn letters(text: &str) -> usize {
    text.bytes().collect::<std::collections::HashSet<u8>>().len()
}

/// Files with secrets in them, and whether others may read them.
fn readable(subject: &Subject, report: &mut Report) {
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.mode() & 0o7777);
    for path in subject.exposed {
        let (mode, path) = (mode(path), path.display());
        report.warning(
            "security",
            format!("{path} holds secrets, and everyone on this machine may read it (mode {mode:04o})"),
            format!("chmod o-rwx {path}"),
        );
    }
    let mut files: Vec<&PathBuf> = ["security.keys", "security.admin_token"]
        .into_iter()
        .filter_map(|name| match subject.origins.get(name) {
            Some(Origin::File(path)) if !subject.exposed.contains(path) => Some(path),
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
        report.ok("security", format!("{path} holds secrets, and not everyone may read it (mode {mode:04o})"));
    }
}

/// Administration where the whole network can try.
fn open(subject: &Subject, report: &mut Report) {
    let server = &subject.config.fixed.server;
    let (about, address) = if server.admin_listen.is_empty() {
        ("server.listen", &server.listen)
    } else {
        ("server.admin_listen", &server.admin_listen)
    };
    if subject.config.live.security.admin_token.is_empty() {
        report.info("security.admin_token", "empty: purging and uploads are off");
        if subject.config.fixed.security.upload {
            report.warning("security.upload", "it does nothing without a token", NEW_SECRET);
        }
    } else if is_public(address) {
        report.warning(
            about,
            format!(
                "{address} can be reached from outside without TLS, and purging and uploads with the token are open there: \
                the token can be read on its way"
            ),
            "server.admin_listen = \"127.0.0.1:8081\" or \"unix:/run/tintype/admin.sock\"",
        );
    }
}

/// Whether other machines may reach it.
fn is_public(address: &str) -> bool {
    let Some((host, _)) = address.rsplit_once(':').filter(|_| !address.starts_with("unix:")) else { return false };
    let host = host.trim_matches(['[', ']']);
    host != "localhost" && host.parse::<IpAddr>().map_or(true, |ip| !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_others_reach() {
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
