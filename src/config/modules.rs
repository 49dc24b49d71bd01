//! The `Config` of each module, built from the settings: the only file that knows all of them.

use std::path::Path;
use std::time::Duration;

use super::fallback::InvalidFallback;
use super::fixed::{FixedSettings, Limits, Overload, Server, SharedResults};
use super::live::{AvifEncoder, Damaged, Effort, LiveSettings, Output, Svg, UnknownParams, Upgrade};
use super::mounts::InvalidDialect;
use super::table::Config;
use crate::dialect::policy::InvalidQuery;
use crate::render::recipe::{Quality, Target};
use crate::render::{Encoding, Format, Settings};
use crate::service::{cluster, workers};
use crate::source::Origin;
use crate::{cache, dialect, http, render};

/// Settings that no policy can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPolicy {
    /// A preset, or the overlay of every result, whose query is invalid.
    #[error(transparent)]
    Query(#[from] InvalidQuery),
    /// The settings of a dialect.
    #[error(transparent)]
    Dialect(#[from] InvalidDialect),
    /// The fallback picture.
    #[error(transparent)]
    Fallback(#[from] InvalidFallback),
}

impl Config {
    /// The settings of renders, some of which are live.
    pub fn render(&self) -> Settings {
        let Config { fixed, live } = self;
        let (limits, output) = (&live.limits, &live.output);
        Settings {
            max_dimension: limits.max_dimension,
            max_enlarged: limits.max_enlarged,
            max_pixels: limits.max_pixels,
            max_frames: limits.max_frames,
            max_memory: fixed.limits.memory.0,
            formats_in: fixed.source.formats_in.iter().filter_map(|name| Format::from_name(name)).collect(),
            smallest_wins: output.smallest_wins,
            refuse_damaged: live.source.damaged == Damaged::Refuse,
            linear: output.linear,
            oversampling: output.oversampling,
            encoding: Encoding {
                effort: match output.effort {
                    Effort::Fast => render::Effort::Fast,
                    Effort::Balanced => render::Effort::Balanced,
                    Effort::Dense => render::Effort::Dense,
                },
                avif: output.avif.in_this_build().unwrap_or_default(),
            },
            svg: match live.source.svg {
                Svg::Rasterise => render::SvgMode::Rasterise,
                Svg::Pass => render::SvgMode::Pass,
                Svg::Refuse => render::SvgMode::Refuse,
            },
            fonts: render::fonts::digest(),
            overlays: live.overlay_files(),
        }
    }

    /// The CPU time a day of upgrades in idle time; `None` where they are off.
    pub fn upgrades(&self) -> Option<Duration> {
        let output = &self.live.output;
        (output.upgrade == Upgrade::Idle).then(|| output.upgrade_cpu.per_day(self.fixed.workers().count()))
    }

    /// The live settings of the HTTP layer.
    ///
    /// # Errors
    /// If a preset, a dialect or the fallback picture is invalid.
    pub fn live_http(&self) -> Result<http::LiveConfig, InvalidPolicy> {
        let LiveSettings { server, security, .. } = &self.live;
        let policy = self.live.policy()?;
        Ok(http::LiveConfig {
            overload_fallback: self.fixed.limits.overload == Overload::Original && policy.originals_are_open(),
            policy,
            fast_path: server.fast_path,
            server_timing: server.server_timing,
            fallback: self.fallback()?,
            admin_token: security.admin_token.clone(),
            // validated when it was read; an invalid one would allow nothing
            allow_origin: http::AllowOrigin::new(&server.allow_origin.0).unwrap_or(http::AllowOrigin::Off),
        })
    }

    /// The settings with secrets replaced by `(hidden)`, for display.
    pub fn without_secrets(&self) -> Config {
        let mut shown = self.clone();
        // an invalid URL is refused when it is read
        let url = &mut shown.fixed.source.url;
        if url.contains('@') {
            *url = url.parse().map_or_else(|_| "(hidden)".into(), |origin: Origin| origin.to_string());
        }
        let FixedSettings { source, shared: results, .. } = &mut shown.fixed;
        for secret in [&mut source.secret_key, &mut results.secret_key, &mut results.key] {
            if !secret.is_empty() {
                *secret = "(hidden)".into();
            }
        }
        let security = &mut shown.live.security;
        security.keys.iter_mut().for_each(|key| "(hidden)".clone_into(key));
        if !security.admin_token.is_empty() {
            security.admin_token = "(hidden)".into();
        }
        let dialects = &mut shown.live.dialects;
        let secrets = [&mut dialects.imgproxy.keys, &mut dialects.imgproxy.salts, &mut dialects.thumbor.keys];
        secrets.into_iter().flatten().for_each(|secret| "(hidden)".clone_into(secret));
        if !dialects.imgix.token.is_empty() {
            dialects.imgix.token = "(hidden)".into();
        }
        shown
    }
}

impl FixedSettings {
    /// The settings of the cache.
    pub fn cache(&self) -> cache::Config {
        cache::Config {
            dir: self.cache.folder().map(Path::to_owned),
            max_bytes: self.cache.max_bytes.0,
            max_files: self.cache.max_files,
            min_free: self.cache.min_free.0,
            memory: self.cache.memory.0,
        }
    }

    /// The settings of shared results.
    pub(crate) fn shared(&self) -> cache::shared::Config {
        let store = match self.shared.store {
            SharedResults::All => cache::shared::Policy::All,
            SharedResults::Heavy => cache::shared::Policy::Heavy,
            SharedResults::Twice => cache::shared::Policy::Twice,
        };
        cache::shared::Config { key: self.shared.key.clone(), store }
    }

    /// The settings of the other servers.
    ///
    /// # Errors
    /// If a URL is invalid.
    pub fn cluster(&self) -> Result<cluster::Config, cluster::InvalidPeer> {
        let peers = self.cluster.peers.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        let bucket = format!("{} {}", self.shared.endpoint, self.shared.bucket);
        Ok(cluster::Config { peers, poll: self.cluster.poll.0, bucket })
    }

    /// The settings of the workers.
    pub fn workers(&self) -> workers::Config {
        let Limits { workers, queue, memory, deadline, decode_cache, .. } = &self.limits;
        let (workers, queue, memory) = (*workers, *queue, memory.0);
        workers::Config { workers, queue, memory, deadline: deadline.0, decode_cache: decode_cache.0 }
    }

    /// The settings of the HTTP layer.
    pub fn http(&self) -> http::Config {
        http::Config {
            separate_admin: !self.server.admin_listen.is_empty(),
            playground: if self.server.playground { http::Playground::On } else { http::Playground::Off },
            x_accel: self.server.x_accel.clone(),
            upload: self.security.upload,
            uploads: self.limits.uploads,
            upload_timeout: self.limits.upload_timeout.0,
            log_beacons: self.security.log_beacons,
            rate: self.limits.rate,
            burst: self.limits.burst,
            proxies: self.server.proxies().unwrap_or_default(),
        }
    }

    /// The time limits of connections.
    pub fn connections(&self) -> http::server::Timeouts {
        let Server { header_timeout, send_timeout, idle_timeout, .. } = &self.server;
        http::server::Timeouts { header: header_timeout.0, send: send_timeout.0, idle: idle_timeout.0 }
    }
}

impl LiveSettings {
    /// The policy under which URLs are parsed.
    ///
    /// # Errors
    /// If a preset or a dialect is invalid.
    pub fn policy(&self) -> Result<dialect::Policy, InvalidPolicy> {
        let keys = dialect::signature::Keys::new(self.security.keys.iter().map(String::as_str));
        let policy = dialect::Policy::new(dialect::Config {
            quality: self.output.quality().unwrap_or_default(),
            target: self.output.target().unwrap_or_default(),
            formats: self.output.formats.iter().filter_map(|name| Format::from_name(name)).collect(),
            client_hints: self.output.client_hints,
            save_data_quality: self.output.save_data_quality(),
            max_dimension: self.limits.max_dimension,
            widths: self.output.widths.clone(),
            snap: self.output.snap,
            reject_unknown: self.output.unknown_params == UnknownParams::Reject,
            presets: self.presets.clone(),
            overlays: self.overlay_ids(),
            overlay: self.output.overlay.clone(),
            keys: keys.unwrap_or_default(),
            require_signature: self.security.require_signature,
            mounts: self.mounts()?,
        });
        Ok(policy?)
    }
}

impl Server {
    pub(super) fn proxies(&self) -> Result<http::Proxies, http::InvalidProxies> {
        http::Proxies::new(&self.real_ip_from, &self.real_ip_header)
    }
}

impl Output {
    pub(super) fn quality(&self) -> Option<Quality> {
        u8::try_from(self.quality).ok().and_then(Quality::new)
    }

    /// The maximum quality for `Save-Data`; `None` for none.
    pub(super) fn save_data_quality(&self) -> Option<Quality> {
        u8::try_from(self.save_data_quality).ok().and_then(Quality::new)
    }

    /// The target; `None` outside 40 to 90.
    pub(super) fn target(&self) -> Option<Target> {
        u8::try_from(self.target).ok().and_then(Target::new)
    }
}

impl AvifEncoder {
    /// The encoder, if this build has it.
    pub(super) fn in_this_build(self) -> Option<render::AvifEncoder> {
        match self {
            AvifEncoder::Auto => Some(render::AvifEncoder::default()),
            #[cfg(feature = "native")]
            AvifEncoder::Libaom => Some(render::AvifEncoder::Libaom),
            #[cfg(feature = "ravif")]
            AvifEncoder::Ravif => Some(render::AvifEncoder::Ravif),
            #[cfg(not(all(feature = "native", feature = "ravif")))]
            _ => None,
        }
    }
}
