//! Each module's own `Config`, made from the settings: the only file that sees all of them.

use std::path::Path;

use super::sections::{AvifEncoder, Config, Damaged, Effort, Limits, Overload, Server, UnknownParams};
use crate::render::recipe::Quality;
use crate::render::{Encoding, Format, Settings};
use crate::service::workers;
use crate::{cache, dialect, http, render};

impl Config {
    pub(super) fn quality(&self) -> Option<Quality> {
        u8::try_from(self.output.quality).ok().and_then(Quality::new)
    }

    /// What rendering sees.
    pub fn settings(&self) -> Settings {
        Settings {
            max_dimension: self.limits.max_dimension,
            max_enlarged: self.limits.max_enlarged,
            max_pixels: self.limits.max_pixels,
            max_frames: self.limits.max_frames,
            max_memory: self.limits.memory.0,
            formats_in: self.source.formats_in.iter().filter_map(|name| Format::from_name(name)).collect(),
            smallest_wins: self.output.smallest_wins,
            refuse_damaged: self.source.damaged == Damaged::Refuse,
            linear: self.output.linear,
            oversampling: self.output.oversampling,
            encoding: Encoding {
                effort: match self.output.effort {
                    Effort::Fast => render::Effort::Fast,
                    Effort::Dense => render::Effort::Dense,
                },
                avif: match self.output.avif {
                    AvifEncoder::Auto => render::AvifEncoder::default(),
                    #[cfg(feature = "native")]
                    AvifEncoder::Libaom => render::AvifEncoder::Libaom,
                    AvifEncoder::Ravif => render::AvifEncoder::Ravif,
                },
            },
        }
    }

    /// What the cache sees.
    pub fn cache(&self) -> cache::Config {
        cache::Config {
            dir: self.cache.folder().map(Path::to_owned),
            max_bytes: self.cache.max_bytes.0,
            max_files: self.cache.max_files,
            min_free: self.cache.min_free.0,
            memory: self.cache.memory.0,
        }
    }

    /// What the workers see.
    pub fn workers(&self) -> workers::Config {
        let Limits { workers, queue, memory, deadline, decoded, .. } = &self.limits;
        let (workers, queue, memory) = (*workers, *queue, memory.0);
        workers::Config { workers, queue, memory, deadline: deadline.0, decoded: decoded.0 }
    }

    /// What the dialect sees.
    ///
    /// # Errors
    /// Where a preset is wrong.
    pub fn policy(&self) -> Result<dialect::Policy, dialect::policy::InvalidPreset> {
        let keys = dialect::signature::Keys::new(self.security.keys.iter().map(String::as_str));
        dialect::Policy::new(dialect::Config {
            quality: self.quality().unwrap_or_default(),
            formats: self.output.formats.iter().filter_map(|name| Format::from_name(name)).collect(),
            max_dimension: self.limits.max_dimension,
            widths: self.output.widths.clone(),
            snap: self.output.snap,
            reject_unknown: self.output.unknown_params == UnknownParams::Reject,
            presets: self.presets.clone(),
            keys: keys.unwrap_or_default(),
            require_signature: self.security.require_signature,
        })
    }

    pub(super) fn proxies(&self) -> Result<http::Proxies, http::InvalidProxies> {
        http::Proxies::new(&self.server.real_ip_from, &self.server.real_ip_header)
    }

    /// What the wire sees.
    pub fn http(&self) -> http::Config {
        http::Config {
            server_timing: self.server.server_timing,
            x_accel: self.server.x_accel.clone(),
            stand_ins: self.limits.overload == Overload::Original && !self.security.require_signature,
            admin_apart: !self.server.admin_listen.is_empty(),
            admin_token: self.security.admin_token.clone(),
            upload: self.security.upload,
            uploads: self.limits.uploads,
            upload_timeout: self.limits.upload_timeout.0,
            log_beacons: self.security.log_beacons,
            rate: self.limits.rate,
            burst: self.limits.burst,
            proxies: self.proxies().unwrap_or_default(),
            // checked when it was read; what is wrong all the same allows nothing
            allow_origin: http::AllowOrigin::new(&self.server.allow_origin.0).unwrap_or(http::AllowOrigin::Off),
        }
    }

    /// How long connections wait for what.
    pub fn connections(&self) -> http::server::Patience {
        let Server { header_timeout, send_timeout, idle_timeout, .. } = &self.server;
        http::server::Patience { header: header_timeout.0, send: send_timeout.0, idle: idle_timeout.0 }
    }

    /// The same settings with secrets replaced, for showing.
    pub fn without_secrets(&self) -> Config {
        let mut shown = self.clone();
        shown.security.keys.iter_mut().for_each(|key| "(hidden)".clone_into(key));
        if !shown.security.admin_token.is_empty() {
            shown.security.admin_token = "(hidden)".into();
        }
        shown
    }
}
