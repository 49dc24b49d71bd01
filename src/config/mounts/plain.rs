//! Cloudflare, ipx, imgix and wsrv: the dialects without settings that can be invalid.

use std::sync::Arc;

use super::super::live::{LiveSettings, UnknownParams};
use crate::dialect::foreign::{Sources, cloudflare, imgix, ipx, wsrv};
use crate::dialect::{Dialect, Mount};

/// The mounts of Cloudflare, ipx, imgix and wsrv.
pub(super) fn mounts(settings: &LiveSettings, sources: &Sources) -> Vec<Mount> {
    let dialects = &settings.dialects;
    let reject_unknown = settings.output.unknown_params == UnknownParams::Reject;
    let sources = || sources.clone();
    let (token, overlays) = (dialects.imgix.token.clone(), settings.overlay_names());
    let all: [(&str, Arc<dyn Dialect>); 4] = [
        (&dialects.cloudflare.mount, Arc::new(cloudflare::Cloudflare { sources: sources() })),
        (&dialects.ipx.mount, Arc::new(ipx::Ipx { sources: sources(), reject_unknown })),
        (&dialects.imgix.mount, Arc::new(imgix::Imgix { sources: sources(), overlays, token, reject_unknown })),
        (&dialects.wsrv.mount, Arc::new(wsrv::Wsrv { sources: sources() })),
    ];
    let mounted = all.into_iter().filter(|(prefix, _)| !prefix.is_empty());
    mounted.map(|(prefix, dialect)| Mount { prefix: prefix.to_owned(), dialect }).collect()
}
