//! Checks the answers that visitors get at a URL, as Chromium, WebKit and curl would request it, through the proxies and
//! CDNs in front of the service.

use std::time::Duration;

use super::report::Report;
use crate::cli::client::{Answer, CHROMIUM, CURL, Endpoint, WEBKIT};
use crate::dialect::native::query;
use crate::render::{self, Format};

const ABOUT: &str = "url";
const TIMEOUT: Duration = Duration::from_secs(60);

/// Clients by name, with their Accept header.
const CLIENTS: [(&str, &str); 3] = [("Chromium", CHROMIUM), ("WebKit", WEBKIT), ("curl", CURL)];

pub(super) fn check(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let (endpoint, target) = match Endpoint::of_url(url) {
        Ok(found) => found,
        Err(error) => {
            report.error(
                ABOUT,
                format!("{error:#}"),
                "tintype check 'https://example.com/photo.jpg?width=800&format=auto'",
            );
            return Ok(());
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(request_all(&endpoint, &target)) {
        Ok(answers) => evaluate(&target, &answers, report),
        Err(error) => report.error(ABOUT, format!("{error:#}"), fix(&format!("{error:#}"))),
    }
    Ok(())
}

/// The answers to all clients, and to the first once more: a cache must not give one client's answer to another.
async fn request_all(endpoint: &Endpoint, target: &str) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for (_, accept) in CLIENTS.iter().chain(&CLIENTS[..1]) {
        // one connection each, as different visitors have
        answers.push(endpoint.connect().await?.get(target, accept, TIMEOUT).await?);
    }
    Ok(answers)
}

fn fix(error: &str) -> &'static str {
    if error.contains("TLS") || error.contains("certificate") {
        "renew or complete the certificate chain (certbot renew); SSL_CERT_FILE names a file with others to trust"
    } else if error.contains("refused") {
        "nothing listens there: systemctl status nginx tintype"
    } else if error.contains("lookup") || error.contains("Name or service") {
        "the name does not resolve: check the DNS records"
    } else {
        "check the firewall, and the error log of the proxy in front of tintype"
    }
}

fn evaluate(target: &str, answers: &[Answer], report: &mut Report) {
    if let Some((answer, (name, _))) = answers.iter().zip(CLIENTS).find(|(answer, _)| answer.status != 200) {
        let location = answer.header("location");
        let to = if location.is_empty() { String::new() } else { format!(", to {location}") };
        let detail: String =
            String::from_utf8_lossy(&answer.body).chars().filter(|c| !c.is_control()).take(200).collect();
        report.error(
            ABOUT,
            format!("{name} gets {}{to}: {detail}", answer.status),
            if to.is_empty() {
                "request the same path from tintype itself; see its log"
            } else {
                "check the URL that it redirects to"
            },
        );
        return;
    }
    if is_original(target, answers, report) {
        return;
    }
    let kinds: Vec<String> = answers.iter().map(kind).collect();
    let shown: Vec<String> = CLIENTS.iter().zip(&kinds).map(|((name, _), kind)| format!("{name} {kind}")).collect();
    report.info(ABOUT, format!("formats sent: {}", shown.join(", ")));
    formats(target, answers, &kinds, report);
    changed(answers, report);
    cached(answers, report);
}

/// Whether the original was sent in place of a rendition: by nginx while tintype is down, or by tintype itself with
/// `limits.overload = "original"`.
fn is_original(target: &str, answers: &[Answer], report: &mut Report) -> bool {
    if !target.contains('?') {
        return false;
    }
    let is_fallback = |answer: &&Answer| {
        !answer.header("cache-status").contains("tintype") && answer.header("cache-control").contains("no-store")
    };
    let is_overloaded = |answer: &&Answer| {
        answer.header("cache-status").contains("tintype") && answer.header("cache-control").contains("max-age=10,")
    };
    if let Some(answer) = answers.iter().find(is_fallback) {
        report.error(
            ABOUT,
            format!(
                "the original was sent instead of a rendition ({}, {} bytes), as nginx does while tintype is down: there is \
                    no Cache-Status of tintype, and Cache-Control is no-store",
                kind(answer),
                answer.body.len()
            ),
            "systemctl status tintype; the error log of nginx names the reason",
        );
        return true;
    }
    if answers.iter().any(|answer| is_overloaded(&answer)) {
        report.warning(
            ABOUT,
            "the original was sent instead of a rendition because of overload (limits.overload = \"original\")",
            "try again; if it persists, see tintype_renders_refused_total, limits.workers and limits.queue",
        );
        return true;
    }
    false
}

/// The media type by the bytes of the body, or by the header if they are of an unknown format.
fn kind(answer: &Answer) -> String {
    let declared = answer.header("content-type");
    Format::sniff(&answer.body).map_or(declared, |format| format.media_type().to_owned())
}

/// Whether every client gets a format that it supports, and `Vary` tells caches that it depends on the client.
fn formats(target: &str, answers: &[Answer], kinds: &[String], report: &mut Report) {
    let is_modern = |kind: &str| matches!(kind, "image/avif" | "image/webp");
    let query = target.split_once('?').map_or("", |(_, query)| query);
    // presets are known to the server only, and tintype sends Vary only if the format is negotiated
    let has_preset = query::parse(query).is_ok_and(|query| query.params.preset.is_some());
    let leaves_open = query::negotiates_format(query) || has_preset && answers.iter().all(varies);
    // an animation keeps its format for clients that support no other animated one
    let is_animated = |answer: &Answer| render::probe(&answer.body).is_ok_and(|info| info.frames > 1);
    let is_open = leaves_open && !answers.iter().any(is_animated);
    let (browser, curl, again) = (&kinds[0], &kinds[2], &kinds[3]);
    const CACHE_KEY: &str = "make Accept part of the cache key, or let the cache honour Vary (Cloudflare: a Cache Rule, \
        Vary for Images); or put format= into the URL, or use <picture>";
    if is_open && is_modern(curl) {
        report.error(
            "formats",
            format!("a client that accepts no modern format got {curl}: a cache gives it another client's answer"),
            CACHE_KEY,
        );
    } else if is_open && browser != again {
        report.error(
            "formats",
            format!("Chromium got {browser} first and then {again}: a cache gives it another client's answer"),
            CACHE_KEY,
        );
    } else if is_open && browser == curl {
        report.warning(
            "formats",
            format!(
                "all clients get {curl}, although the format is negotiated: Accept does not reach tintype, a cache \
                ignores Vary, or output.formats is empty"
            ),
            format!("{CACHE_KEY}; behind nginx: proxy_set_header Accept $http_accept (the default)"),
        );
    } else if !is_open && kinds.iter().any(|kind| kind != browser) {
        report.error(
            "formats",
            "the URL fixes the format, but clients get different ones: something in between converts images",
            "switch the conversion off (Cloudflare: Polish, Mirage; ngx_pagespeed)",
        );
    } else {
        report.ok(
            "formats",
            if is_open { "each client gets a format that it supports" } else { "all clients get the same format" },
        );
    }
    if leaves_open && !answers.iter().all(varies) {
        report.warning(
            "vary",
            "Vary: Accept is missing, although the format is negotiated: caches will give one client's format to \
                others",
            "pass it on (nginx: no proxy_hide_header Vary; CDNs: keep the origin's Vary), or put format= into \
                the URL",
        );
    }
}

/// Whether the answer has `Vary: Accept`.
fn varies(answer: &Answer) -> bool {
    let vary = answer.header("vary");
    vary.split(',').any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("accept"))
}

/// Whether the body is the one that tintype sent: the ETag is its digest.
fn changed(answers: &[Answer], report: &mut Report) {
    for (answer, (name, _)) in answers.iter().zip(CLIENTS) {
        let etag = answer.header("etag");
        let digest = etag.trim_start_matches("W/").trim_matches('"');
        let encoding = answer.header("content-encoding");
        if !(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            report.warning(
                "content",
                format!(
                    "the answer to {name} has no ETag of tintype ({etag}): it is from another server, or the ETag \
                    was removed"
                ),
                "nginx: etag off where it sends files for tintype; CDNs: respect strong ETags",
            );
            return;
        }
        if blake3::hash(&answer.body).to_hex().as_str() != digest || etag.starts_with("W/") || !encoding.is_empty() {
            let how = if encoding.is_empty() { String::new() } else { format!(" (Content-Encoding: {encoding})") };
            report.error(
                "content",
                format!(
                    "the image was changed on the way to {name}{how}: its {} bytes do not match the ETag {etag}",
                    answer.body.len()
                ),
                "switch off image optimisation (Cloudflare: Polish, Mirage; nginx: image_filter, \
                    gzip_types with image/…)",
            );
            return;
        }
    }
    report.ok("content", "images arrive unchanged");
}

/// Whether a cache in front of tintype stores answers.
fn cached(answers: &[Answer], report: &mut Report) {
    // the last request repeats the first
    let Some(last) = answers.last() else { return };
    let others = |value: &str| {
        value
            .split(',')
            .map(str::trim)
            .find(|entry| !entry.is_empty() && !entry.starts_with("tintype"))
            .map(str::to_owned)
    };
    let cloudflare = last.header("cf-cache-status");
    let age = last.header("age");
    let headers = [
        ("CF-Cache-Status", cloudflare.clone()),
        ("Age", age),
        ("X-Cache", last.header("x-cache")),
        ("X-Cache-Status", last.header("x-cache-status")),
    ];
    let mut headers: Vec<String> = headers
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.extend(others(&last.header("cache-status")).map(|entry| format!("Cache-Status: {entry}")));
    if matches!(cloudflare.as_str(), "DYNAMIC" | "BYPASS") {
        report.warning(
            "cdn",
            format!("Cloudflare does not cache it (CF-Cache-Status: {cloudflare})"),
            "a Cache Rule for these paths: eligible for cache, edge TTL by the origin's Cache-Control; by default it caches \
                known extensions only",
        );
    } else if headers.is_empty() {
        report.info("cdn", "no sign of a cache in front of tintype, which needs none");
    } else {
        report.info("cdn", format!("at the second request: {}", headers.join(", ")));
    }
    let control = last.header("cache-control");
    if !control.contains("max-age") || control.contains("no-store") || control.contains("private") {
        report.warning(
            "cdn",
            format!("Cache-Control is {control:?}, unlike tintype's: browsers will not cache images"),
            "nginx: remove expires and add_header Cache-Control; CDNs: respect the origin's headers",
        );
    }
}
