//! `tintype purge`: has the running server remove all renditions of an original or a folder: its own, those in the shared
//! bucket, and those of the other servers.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Common, UsageError, healthcheck};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Path of the original as in its URL, but decoded; a folder with a slash at its end
    #[arg(required_unless_present = "url")]
    path: Option<String>,
    /// A URL of any dialect, path and query, in place of the path of the original that it names
    #[arg(long, conflicts_with = "path")]
    url: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.with_secrets().map_err(UsageError::from)?.config;
    if config.live.security.admin_token.is_empty() {
        anyhow::bail!(UsageError("purges are disabled; set security.admin_token".into()));
    }
    let (name, value) = match (arguments.url, arguments.path) {
        (Some(url), _) => ("url", url),
        (None, path) => ("path", path.unwrap_or_default()),
    };
    let encoded = utf8_percent_encode(&value, NON_ALPHANUMERIC);
    let token = format!("Authorization: Bearer {}\r\n", config.live.security.admin_token);
    // a folder of a million renditions takes minutes
    let shown = ProgressBar::new_spinner().with_message(format!("purging {value}"));
    shown.set_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
    shown.enable_steady_tick(Duration::from_millis(200));
    let answer =
        healthcheck::request(&config.fixed.server, "POST", &format!("/-/purge?{name}={encoded}"), &token, None);
    shown.finish_and_clear();
    let (status, body) = answer?;
    if status != 200 {
        anyhow::bail!("the server answered {status}: {body}");
    }
    println!("{body}");
    Ok(())
}
