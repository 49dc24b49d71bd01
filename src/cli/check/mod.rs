//! `tintype check`: everything that could stop the service from working, each with its cause and its mend. It runs as
//! whoever starts it, and what it tries it undoes.

mod cache;
mod cdn;
mod listen;
mod machine;
mod mounts;
mod nginx;
mod originals;
mod paths;
mod people;
mod report;
mod secrets;
mod sockets;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;

use super::Common;
use crate::config::{Config, Loaded, Origin};
use mounts::Mounts;
use people::Person;
use report::{Level, Report};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// A URL of the service as its visitors see it: what a proxy or CDN on the way makes of it
    url: Option<String>,
    /// Whether this user could connect to the socket and read what it may have to send, such as www-data
    #[arg(long, value_name = "USER")]
    nginx_user: Option<String>,
    /// One JSON object instead of lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

/// What is checked.
struct Subject<'a> {
    config: &'a Config,
    origins: &'a BTreeMap<String, Origin>,
    /// Files with secrets that everyone may read.
    exposed: &'a [PathBuf],
    own: Person,
    mounts: Mounts,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut report = Report::default();
    match arguments.common.load(&[]) {
        Ok(loaded) => settings(&arguments, &loaded, &mut report),
        Err(wrong) => {
            let file = arguments.common.config.as_deref();
            let barred = file.and_then(|file| paths::barrier(&Person::own(), file, people::READ));
            let (cause, mend) = barred.unwrap_or_else(|| {
                let mend = "put it right; tintype config --default shows every setting as it is written";
                (wrong.to_string(), mend.into())
            });
            report.error("settings", cause, mend);
        }
    }
    if let Some(url) = &arguments.url {
        cdn::check(url, &mut report)?;
    }
    if arguments.json {
        super::say(&format!("{:#}\n", report.json()))?;
    } else {
        super::say(&report.text())?;
    }
    anyhow::ensure!(report.count(Level::Error) == 0, "{}", report.sum());
    Ok(())
}

/// Everything that the settings say of this machine.
fn settings(arguments: &Arguments, loaded: &Loaded, report: &mut Report) {
    let Loaded { config, origins, strangers, exposed, withheld, .. } = loaded;
    let subject = Subject { config, origins, exposed, own: Person::own(), mounts: Mounts::read() };
    report.ok(
        "settings",
        arguments
            .common
            .config
            .as_ref()
            .map_or_else(|| "good; no file was named".into(), |path| format!("{} is good", path.display())),
    );
    if !strangers.is_empty() {
        report.info("settings", format!("these variables are no settings and change nothing: {}", strangers.join(" ")));
    }
    for why in withheld {
        report.info("secrets", format!("not looked at: {why}"));
    }
    if subject.own.uid == 0 {
        report.info(
            "user",
            "this runs as root, whom no permissions hinder; what the service will see is seen by its \
            own user: runuser -u tintype -- tintype check",
        );
    }
    originals::check(&subject, report);
    originals::overlap(&subject, report);
    cache::check(&subject, report);
    listen::check(&subject, report);
    machine::check(&subject, report);
    secrets::check(&subject, report);
    if let Some(user) = &arguments.nginx_user {
        nginx::check(&subject, user, report);
    }
}
