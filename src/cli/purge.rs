//! `tintype purge`: asks the running server to drop every rendition of an original or of a folder, in memory and
//! on disk.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Common, Wrong, healthcheck};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// The path of the original, as in its URL but decoded; with a slash at its end, of a folder
    path: String,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.with_secrets().map_err(Wrong::from)?.config;
    if config.live.security.admin_token.is_empty() {
        anyhow::bail!(Wrong("purging is off; set security.admin_token".into()));
    }
    let path = utf8_percent_encode(&arguments.path, NON_ALPHANUMERIC);
    let token = format!("Authorization: Bearer {}\r\n", config.live.security.admin_token);
    // a folder of a million renditions takes minutes; on a terminal it is shown that it goes on
    let shown = ProgressBar::new_spinner().with_message(format!("purging {}", arguments.path));
    shown.set_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
    shown.enable_steady_tick(Duration::from_millis(200));
    let answer = healthcheck::ask(&config.fixed.server, "POST", &format!("/-/purge?path={path}"), &token, None);
    shown.finish_and_clear();
    let (status, body) = answer?;
    if status != 200 {
        anyhow::bail!("the server answered {status}: {body}");
    }
    println!("{body}");
    Ok(())
}
