//! What visitors get: one URL asked for as Chromium, WebKit and curl would, through whatever stands before the service.

use std::time::Duration;

use super::report::Report;
use crate::cli::client::{Answer, CHROMIUM, CURL, Place, WEBKIT};
use crate::dialect::native::query;
use crate::render::{self, Format};

const ABOUT: &str = "url";
const PATIENCE: Duration = Duration::from_secs(60);

/// Who asks, and with what header.
const CLIENTS: [(&str, &str); 3] = [("Chromium", CHROMIUM), ("WebKit", WEBKIT), ("curl", CURL)];

pub(super) fn check(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let (place, target) = match Place::of_url(url) {
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
    match runtime.block_on(ask(&place, &target)) {
        Ok(answers) => judge(&target, &answers, report),
        Err(error) => report.error(ABOUT, format!("{error:#}"), mend(&format!("{error:#}"))),
    }
    Ok(())
}

/// What the three get, and once more the first: what was kept for one must not be given to another.
async fn ask(place: &Place, target: &str) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::new();
    for (_, accept) in CLIENTS.iter().chain(&CLIENTS[..1]) {
        // one connection each, as different visitors would have
        answers.push(place.connect().await?.get(target, accept, PATIENCE).await?);
    }
    Ok(answers)
}

fn mend(error: &str) -> &'static str {
    if error.contains("TLS") || error.contains("certificate") {
        "renew or complete the certificate chain (certbot renew); SSL_CERT_FILE names a file with others to trust"
    } else if error.contains("refused") {
        "nobody listens there: systemctl status nginx tintype"
    } else if error.contains("lookup") || error.contains("Name or service") {
        "the name has no address: look at the DNS records"
    } else {
        "look at the firewall, and the error log of what stands before tintype"
    }
}

fn judge(target: &str, answers: &[Answer], report: &mut Report) {
    if let Some((answer, (name, _))) = answers.iter().zip(CLIENTS).find(|(answer, _)| answer.status != 200) {
        let location = answer.header("location");
        let to = if location.is_empty() { String::new() } else { format!(", to {location}") };
        let detail: String =
            String::from_utf8_lossy(&answer.body).chars().filter(|c| !c.is_control()).take(200).collect();
        report.error(
            ABOUT,
            format!("{name} is answered {}{to}: {detail}", answer.status),
            if to.is_empty() {
                "ask tintype itself for the same path; the log says why"
            } else {
                "check the URL that it leads to"
            },
        );
        return;
    }
    if stands_in(target, answers, report) {
        return;
    }
    let kinds: Vec<String> = answers.iter().map(kind).collect();
    let shown: Vec<String> = CLIENTS.iter().zip(&kinds).map(|((name, _), kind)| format!("{name} {kind}")).collect();
    report.info(ABOUT, format!("what is sent: {}", shown.join(", ")));
    formats(target, answers, &kinds, report);
    changed(answers, report);
    kept(answers, report);
}

/// Whether the original was sent where a rendition was asked for, which the shipped site of nginx does while tintype is away, and
/// tintype itself where `limits.overload` says so.
fn stands_in(target: &str, answers: &[Answer], report: &mut Report) -> bool {
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
                "the original ({}, {} bytes) stood in for tintype, which did not answer: there is no Cache-Status of tintype's, \
                    and Cache-Control is no-store",
                kind(answer),
                answer.body.len()
            ),
            "systemctl status tintype; the error log of nginx says why it could not be asked",
        );
        return true;
    }
    if answers.iter().any(|answer| is_overloaded(&answer)) {
        report.warning(
            ABOUT,
            "the original stood in for a rendition that there was no room to make (limits.overload = \"original\")",
            "ask again; if it stays so, look at tintype_renders_refused_total and at limits.workers and limits.queue",
        );
        return true;
    }
    false
}

/// The media type, as the bytes say; where those are none of ours, as the header does.
fn kind(answer: &Answer) -> String {
    let said = answer.header("content-type");
    Format::sniff(&answer.body).map_or(said, |format| format.media_type().to_owned())
}

/// Whether everyone gets a format that they can show, and caches are told that it depends on who asks.
fn formats(target: &str, answers: &[Answer], kinds: &[String], report: &mut Report) {
    let is_modern = |kind: &str| matches!(kind, "image/avif" | "image/webp");
    let query = target.split_once('?').map_or("", |(_, query)| query);
    // what a preset says is the server's to know, and tintype varies only where the format is open
    let has_preset = query::parse(query).is_ok_and(|query| query.params.preset.is_some());
    let leaves_open = query::negotiates_format(query) || has_preset && answers.iter().all(varies);
    // what moves keeps the original's format for all who cannot be given another that moves
    let moves = |answer: &Answer| render::probe(&answer.body).is_ok_and(|info| info.frames > 1);
    let is_open = leaves_open && !answers.iter().any(moves);
    let (browser, curl, again) = (&kinds[0], &kinds[2], &kinds[3]);
    const PASS_ON: &str = "make Accept part of the cache's key, or let it honour Vary (Cloudflare: a Cache Rule, \
        Vary for Images); or put format= into the URL, or use <picture>";
    if is_open && is_modern(curl) {
        report.error(
            "formats",
            format!("a client that names no format got {curl}: what was kept for another was given to it"),
            PASS_ON,
        );
    } else if is_open && browser != again {
        report.error(
            "formats",
            format!("Chromium got {browser} first and then {again}: what was kept for another was given to it"),
            PASS_ON,
        );
    } else if is_open && browser == curl {
        report.warning(
            "formats",
            format!(
                "all get {curl}, though the format is left open: Accept does not arrive, another's answer is \
                kept, or output.formats is empty"
            ),
            format!(
                "{PASS_ON}; behind nginx: proxy_set_header Accept $http_accept (it passes it on unless told \
                otherwise)"
            ),
        );
    } else if !is_open && kinds.iter().any(|kind| kind != browser) {
        report.error(
            "formats",
            "the URL says its format or leaves it as it is, and yet not all get the same: something on the way \
                converts",
            "switch the conversion off (Cloudflare: Polish, Mirage; ngx_pagespeed)",
        );
    } else {
        report.ok(
            "formats",
            if is_open { "each gets a format that it can show" } else { "all get the same, as they should" },
        );
    }
    if leaves_open && !answers.iter().all(varies) {
        report.warning(
            "vary",
            "Vary: Accept is missing, though the format is left open: a cache between here and there will give one \
                client's format to others",
            "let it through (nginx: no proxy_hide_header Vary; CDNs: keep the origin's Vary), or put format= into \
                the URL",
        );
    }
}

/// Whether an answer says that it depends on Accept.
fn varies(answer: &Answer) -> bool {
    let vary = answer.header("vary");
    vary.split(',').any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("accept"))
}

/// Whether the bytes are those that tintype sent: its ETag is their digest.
fn changed(answers: &[Answer], report: &mut Report) {
    for (answer, (name, _)) in answers.iter().zip(CLIENTS) {
        let etag = answer.header("etag");
        let digest = etag.trim_start_matches("W/").trim_matches('"');
        let encoding = answer.header("content-encoding");
        if !(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            report.warning(
                "content",
                format!(
                    "the answer to {name} has no ETag of tintype's ({etag}): it is another's answer, or its ETag \
                    was taken away"
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
                    "{name} does not get what tintype sent{how}: {} bytes that its ETag {etag} is not the digest \
                    of",
                    answer.body.len()
                ),
                "switch off what changes images on the way (Cloudflare: Polish, Mirage; nginx: image_filter, \
                    gzip_types with image/…)",
            );
            return;
        }
    }
    report.ok("content", "the bytes are those that tintype sent");
}

/// Whether something before tintype keeps answers.
fn kept(answers: &[Answer], report: &mut Report) {
    // the last was asked for before
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
    let said = [
        ("CF-Cache-Status", cloudflare.clone()),
        ("Age", age),
        ("X-Cache", last.header("x-cache")),
        ("X-Cache-Status", last.header("x-cache-status")),
    ];
    let mut said: Vec<String> = said
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    said.extend(others(&last.header("cache-status")).map(|entry| format!("Cache-Status: {entry}")));
    if matches!(cloudflare.as_str(), "DYNAMIC" | "BYPASS") {
        report.warning(
            "cdn",
            format!("Cloudflare does not keep it (CF-Cache-Status: {cloudflare})"),
            "a Cache Rule for these paths: eligible for cache, edge TTL by the origin's Cache-Control; it keeps \
                known extensions by itself",
        );
    } else if said.is_empty() {
        report.info("cdn", "nothing says that a cache stands before tintype, which needs none");
    } else {
        report.info("cdn", format!("asked for a second time: {}", said.join(", ")));
    }
    let control = last.header("cache-control");
    if !control.contains("max-age") || control.contains("no-store") || control.contains("private") {
        report.warning(
            "cdn",
            format!("Cache-Control is {control:?}, not what tintype sends: browsers will ask again each time"),
            "nginx: no expires or add_header Cache-Control there; CDNs: respect the origin's headers",
        );
    }
}
