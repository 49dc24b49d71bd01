//! `tintype purge`: has the running server drop all renditions of an original or a folder, in memory and on disk.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Common, UsageError, healthcheck};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Path of the original as in its URL, but decoded; a folder with a slash at its end
    path: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.with_secrets().map_err(UsageError::from)?.config;
    if config.live.security.admin_token.is_empty() {
        anyhow::bail!(UsageError("purges are disabled; set security.admin_token".into()));
    }
    let path = utf8_percent_encode(&arguments.path, NON_ALPHANUMERIC);
    let token = format!("Authorization: Bearer {}\r\n", config.live.security.admin_token);
    // a folder of a million renditions takes minutes
    let shown = ProgressBar::new_spinner().with_message(format!("purging {}", arguments.path));
    shown.set_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
    shown.enable_steady_tick(Duration::from_millis(200));
    let answer = healthcheck::request(&config.fixed.server, "POST", &format!("/-/purge?path={path}"), &token, None);
    shown.finish_and_clear();
    let (status, body) = answer?;
    if status != 200 {
        anyhow::bail!("the server answered {status}: {body}");
    }
    println!("{body}");
    Ok(())
}
