//! `tintype check`: looks for problems of settings, permissions, limits and the machine, and names the cause and the fix of
//! each. It runs as the user who starts it, and removes all that it creates.

mod buckets;
mod cache;
mod cdn;
mod cluster;
mod dialects;
mod fallback;
mod listen;
mod machine;
mod mounts;
mod nginx;
mod originals;
mod paths;
mod remote;
mod report;
mod secrets;
mod sockets;
mod users;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::Common;
use crate::config::{Config, Loaded, Origin};
use mounts::Mounts;
use report::{Level, Report};
use users::UnixUser;

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Also check the answers that visitors get at this URL, through a proxy or CDN
    url: Option<String>,
    /// Also check that this user (such as www-data) can connect to the socket and read originals and the cache
    #[arg(long, value_name = "USER")]
    nginx_user: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

struct Subject<'a> {
    config: &'a Config,
    origins: &'a BTreeMap<String, Origin>,
    /// Files with secrets that every user may read.
    world_readable: &'a [PathBuf],
    own: UnixUser,
    mounts: Mounts,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut report = Report::default();
    match arguments.common.load(&[]) {
        Ok(loaded) => settings(&arguments, &loaded, &mut report),
        Err(wrong) => {
            let file = arguments.common.config.as_deref();
            let barred = file.and_then(|file| paths::barrier(&UnixUser::current(), file, users::READ));
            let (cause, fix) = barred.unwrap_or_else(|| {
                let fix = "correct the setting; tintype config --default lists all settings with their format";
                (wrong.to_string(), fix.into())
            });
            report.error("settings", cause, fix);
        }
    }
    if let Some(url) = &arguments.url {
        cdn::check(url, &mut report)?;
    }
    if arguments.json {
        super::print(&format!("{:#}\n", report.json()))?;
    } else {
        super::print(&report.text())?;
    }
    anyhow::ensure!(report.count(Level::Error) == 0, "{}", report.summary());
    Ok(())
}

/// Checks the settings, and this machine against them.
fn settings(arguments: &Arguments, loaded: &Loaded, report: &mut Report) {
    let Loaded { config, origins, unknown_env, world_readable, unreadable_secrets, .. } = loaded;
    let subject = Subject { config, origins, world_readable, own: UnixUser::current(), mounts: Mounts::read() };
    report.ok(
        "settings",
        arguments
            .common
            .config
            .as_ref()
            .map_or_else(|| "valid; no settings file (--config)".into(), |path| format!("{} is valid", path.display())),
    );
    if !unknown_env.is_empty() {
        report.info(
            "settings",
            format!("environment variables that are not settings are ignored: {}", unknown_env.join(" ")),
        );
    }
    for why in unreadable_secrets {
        report.info("secrets", format!("not checked: {why}"));
    }
    if subject.own.uid == 0 {
        report.info(
            "user",
            "running as root, to whom permissions do not apply; run it as the service's user as well: \
            runuser -u tintype -- tintype check",
        );
    }
    originals::check(&subject, report);
    buckets::check(&subject, report);
    originals::overlap(&subject, report);
    cache::check(&subject, report);
    listen::check(&subject, report);
    machine::check(&subject, report);
    secrets::check(&subject, report);
    cluster::check(&subject, report);
    dialects::check(&subject, report);
    fallback::check(&subject, report);
    if let Some(user) = &arguments.nginx_user {
        nginx::check(&subject, user, report);
    }
}
