//! `tintype config`: the settings in effect and where each comes from, or all settings with their documentation.

use clap::Args;
use toml::{Table, Value};

use super::Common;
use crate::config::{Loaded, Origin, default_file};

#[derive(Args, Debug)]
pub(super) struct Arguments {
    /// Print a settings file with every setting, its documentation and its default
    #[arg(long)]
    default: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.default {
        super::print(&default_file())?;
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
    super::print(&text)?;
    Ok(())
}
