//! `tintype config`: the settings in effect, each with where it came from.

use clap::Args;
use toml::{Table, Value};

use super::Common;
use crate::config::{Loaded, Origin, default_file};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Show every setting with its meaning and its default, as a file to begin with
    #[arg(long)]
    default: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.default {
        super::say(&default_file())?;
        return Ok(());
    }
    let mut text = String::new();
    let Loaded { config, origins, .. } = arguments.common.load(&[])?;
    for (section, values) in Table::try_from(config.without_secrets())? {
        text += &format!("[{section}]\n");
        let Value::Table(values) = values else { continue };
        for (key, value) in values {
            let origin = origins.get(&format!("{section}.{key}")).unwrap_or(&Origin::Default);
            let line = format!("{key} = {value}");
            text += &format!("{line:<40} # {origin}\n");
        }
        text.push('\n');
    }
    super::say(&text)?;
    Ok(())
}
