//! Checks that types do not make: ranges, names, and settings that exclude each other.

use std::time::Duration;

use super::buckets;
use super::dialects::Dialects;
use super::fixed::Server;
use super::live::Security;
use super::{Config, ConfigError, FixedSettings, InvalidPolicy, LiveSettings};
use crate::dialect::native::is_name;
use crate::dialect::native::params::NO_OVERLAY;
use crate::dialect::policy::InvalidQuery;
use crate::dialect::{self, Snap};
use crate::http;
use crate::render::Format;

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    server(&config.fixed.server)?;
    source_and_limits(&config.fixed)?;
    cluster(&config.fixed)?;
    output(&config.live)?;
    security(&config.live.security)?;
    dialects(&config.live.dialects)?;
    policy(&config.live)
}

fn wrong(name: &str, why: impl std::fmt::Display) -> Result<(), ConfigError> {
    Err(ConfigError(format!("{name} is invalid: {why}")))
}

fn server(server: &Server) -> Result<(), ConfigError> {
    for (name, address) in [("server.listen", &server.listen), ("server.admin_listen", &server.admin_listen)] {
        // an empty one switches the admin listener off
        let may_be_empty = name == "server.admin_listen";
        if !(is_address(address) || may_be_empty && address.is_empty()) {
            return wrong(name, not_an_address(address));
        }
    }
    match server.proxies() {
        Err(invalid @ http::InvalidProxies::Address(_)) => return wrong("server.real_ip_from", invalid),
        Err(invalid @ http::InvalidProxies::Header(_)) => return wrong("server.real_ip_header", invalid),
        Ok(_) => {}
    }
    if !(server.x_accel.is_empty() || is_location(&server.x_accel)) {
        let (given, like) = (&server.x_accel, "\"/_tintype_store\"");
        return wrong("server.x_accel", format!("{given:?} is not a path such as {like}, without a trailing slash"));
    }
    for (name, limit) in
        [("server.header_timeout", server.header_timeout), ("server.send_timeout", server.send_timeout)]
    {
        if limit.0.is_zero() {
            return wrong(name, NO_TIME);
        }
    }
    Ok(())
}

fn source_and_limits(settings: &FixedSettings) -> Result<(), ConfigError> {
    let FixedSettings { source, limits, .. } = settings;
    if let Err(invalid) = settings.origin() {
        return wrong("source.url", invalid);
    }
    if let Err((name, why)) = buckets::validate(settings) {
        return wrong(name, why);
    }
    if let Some(name) = source.formats_in.iter().find(|name| Format::from_name(name).is_none()) {
        return wrong("source.formats_in", format!("{name:?} is not a format"));
    }
    if limits.rate > 0 && limits.burst == 0 {
        return wrong("limits.burst", "with limits.rate it is at least 1");
    }
    if !(1..=10_000).contains(&limits.uploads) {
        return wrong("limits.uploads", "it is 1 to 10000; security.upload switches uploads off");
    }
    for (name, is_nothing) in [
        ("source.max_bytes", source.max_bytes.0 == 0),
        ("limits.memory", limits.memory.0 == 0),
        ("limits.deadline", limits.deadline.0.is_zero()),
    ] {
        if is_nothing {
            return wrong(name, NOTHING_ALLOWED);
        }
    }
    match limits.upload_timeout.0.is_zero() {
        true => wrong("limits.upload_timeout", NO_TIME),
        false => Ok(()),
    }
}

/// Reading the journal of purges more often than this would be a load for no use.
const MIN_POLL: Duration = Duration::from_millis(100);
const MAX_POLL: Duration = Duration::from_secs(60);

fn cluster(settings: &FixedSettings) -> Result<(), ConfigError> {
    if let Err(invalid) = settings.cluster() {
        return wrong("cluster.peers", invalid);
    }
    match (MIN_POLL..=MAX_POLL).contains(&settings.cluster.poll.0) {
        true => Ok(()),
        false => wrong("cluster.poll", "it is 100ms to 60s"),
    }
}

const NOTHING_ALLOWED: &str = "with 0 no image could be sent";

/// Other programs take 0 as no limit.
const NO_TIME: &str = "with 0 every client would be too slow; for hardly any limit, write a long time such as \"1d\"";

fn output(LiveSettings { server, limits, output, .. }: &LiveSettings) -> Result<(), ConfigError> {
    if let Err(invalid) = http::AllowOrigin::new(&server.allow_origin.0) {
        return wrong("server.allow_origin", invalid);
    }
    for (name, is_nothing) in
        [("limits.max_pixels", limits.max_pixels == 0), ("limits.max_frames", limits.max_frames == 0)]
    {
        if is_nothing {
            return wrong(name, NOTHING_ALLOWED);
        }
    }
    if output.avif.in_this_build().is_none() {
        let name = format!("{:?}", output.avif).to_lowercase();
        return wrong("output.avif", format!("this build has no {name}; \"auto\" takes the encoder that it has"));
    }
    if !(1..=65_535).contains(&limits.max_dimension) {
        return wrong("limits.max_dimension", "it is 1 to 65535");
    }
    if output.quality().is_none() {
        return wrong("output.quality", "it is 1 to 100");
    }
    if output.save_data_quality != 0 && output.save_data_quality().is_none() {
        return wrong("output.save_data_quality", "it is 0 to 100");
    }
    if output.target().is_none() {
        return wrong("output.target", "it is 40 to 90");
    }
    if !matches!(output.oversampling, 1 | 2) {
        return wrong("output.oversampling", "it is 1 or 2");
    }
    for name in &output.formats {
        if !matches!(Format::from_name(name), Some(Format::Avif | Format::WebP)) {
            return wrong("output.formats", format!("{name:?} is neither \"avif\" nor \"webp\""));
        }
    }
    if output.snap != Snap::Off && output.widths.is_empty() {
        return wrong("output.snap", "output.widths is empty");
    }
    if output.widths.contains(&0) {
        return wrong("output.widths", "a width is at least 1");
    }
    Ok(())
}

fn security(security: &Security) -> Result<(), ConfigError> {
    let Security { keys, keys_file, require_signature, admin_token, admin_token_file } = security;
    if *require_signature && keys.is_empty() && keys_file.as_os_str().is_empty() {
        return wrong("security.require_signature", "there are no security.keys");
    }
    if !(admin_token.is_empty() || admin_token_file.as_os_str().is_empty()) {
        return wrong("security.admin_token_file", "security.admin_token is set as well");
    }
    match dialect::signature::Keys::new(keys.iter().map(String::as_str)) {
        Err(short) => wrong("security.keys", short),
        Ok(_) => Ok(()),
    }
}

fn dialects(dialects: &Dialects) -> Result<(), ConfigError> {
    let imgix = &dialects.imgix;
    match imgix.token.is_empty() || imgix.token_file.as_os_str().is_empty() {
        true => Ok(()),
        false => wrong("dialects.imgix.token_file", "dialects.imgix.token is set as well"),
    }
}

fn policy(live: &LiveSettings) -> Result<(), ConfigError> {
    if let Some(name) = live.presets.keys().find(|name| !is_name(name)) {
        return wrong("presets", format!("{name:?} is not a name of 1 to 32 of a-z, 0-9, _ and -"));
    }
    if let Some(name) = live.overlays.keys().find(|name| !is_name(name) || *name == NO_OVERLAY) {
        return wrong(
            "overlays",
            format!("{name:?} is not a name of 1 to 32 of a-z, 0-9, _ and -, and not {NO_OVERLAY}"),
        );
    }
    match live.policy() {
        Err(InvalidPolicy::Query(InvalidQuery::Overlay(why))) => wrong("output.overlay", why),
        Err(InvalidPolicy::Query(invalid)) => wrong("presets", invalid),
        // it names the setting
        Err(invalid @ (InvalidPolicy::Dialect(_) | InvalidPolicy::Fallback(_))) => {
            Err(ConfigError(invalid.to_string()))
        }
        Ok(_) => Ok(()),
    }
}

/// `host:port`, the port a number, or `unix:/path`.
fn is_address(text: &str) -> bool {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/');
    }
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Names the valid form of an address. A port alone is refused, since it means all interfaces to some programs and loopback to
/// others.
fn not_an_address(text: &str) -> String {
    match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        Ok(port) => format!(
            "{text:?} has no host; use \"127.0.0.1:{port}\" for this machine only, or \"0.0.0.0:{port}\" for all interfaces"
        ),
        Err(_) => format!("{text:?} is neither host:port nor unix:/path"),
    }
}

/// A path without characters to decode or segments to resolve, so that nginx and tintype read it alike.
fn is_location(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut segments = text.split('/');
    segments.next() == Some("") && segments.all(|segment| !segment.is_empty() && segment.bytes().all(plain))
}
