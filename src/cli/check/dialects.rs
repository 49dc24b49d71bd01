//! Checks the mounts of other systems' URLs: URLs that anyone can make, and keys that can be guessed.

use super::Subject;
use super::report::Report;
use crate::config::dialects::Dialects;
use crate::dialect::Snap;

const ABOUT: &str = "dialects";

/// Keys of foreign systems are as those made them; shorter ones than this are weak.
const MIN_KEY_BYTES: usize = 16;

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let live = &subject.config.live;
    let Ok(mounts) = live.mounts() else { return };
    let names: Vec<&str> = mounts.foreign().map(|(_, dialect)| dialect.name()).collect();
    if names.is_empty() {
        return;
    }
    report.ok(ABOUT, format!("URLs of other systems are answered: {}", names.join(", ")));
    let open: Vec<&str> =
        mounts.foreign().filter(|(_, dialect)| dialect.is_unsigned()).map(|(_, dialect)| dialect.name()).collect();
    if !open.is_empty() && live.security.require_signature {
        report.warning(
            ABOUT,
            format!("native URLs must be signed, but those of {} are answered without a signature", open.join(", ")),
            "dialects.unsigned = false, or keys for these dialects",
        );
    }
    let has_bound = live.output.snap != Snap::Off || subject.config.fixed.limits.rate > 0;
    // the widths of next/image are a list of their own
    let is_unbounded = open.iter().any(|name| *name != "next" || live.dialects.next.widths.is_empty());
    if is_unbounded && !has_bound {
        report.info(
            ABOUT,
            format!(
                "anyone can ask for any size by URLs of {}; output.widths with output.snap, or limits.rate, bounds that",
                open.join(", ")
            ),
        );
    }
    weak_keys(&live.dialects, report);
}

fn weak_keys(dialects: &Dialects, report: &mut Report) {
    let Dialects { imgproxy, thumbor, imgix, .. } = dialects;
    let is_short = |key: &String| key.len() < MIN_KEY_BYTES;
    let is_weak = [
        // hexadecimal
        ("imgproxy", imgproxy.keys.iter().any(|key| key.len() < 2 * MIN_KEY_BYTES)),
        ("thumbor", thumbor.keys.iter().any(is_short)),
        ("imgix", !imgix.token.is_empty() && is_short(&imgix.token)),
    ];
    for (name, _) in is_weak.into_iter().filter(|(_, is_weak)| *is_weak) {
        report.warning(
            ABOUT,
            format!("a key of dialects.{name} has fewer than {MIN_KEY_BYTES} bytes: it can be guessed"),
            "a longer key, in the program that signs the URLs as well",
        );
    }
    if !imgix.mount.is_empty() && !imgix.token.is_empty() {
        report.info(ABOUT, "signatures of imgix are MD5, which is weak; those of native URLs are HMAC-SHA256");
    }
}
