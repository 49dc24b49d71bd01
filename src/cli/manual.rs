//! `tintype man` and `tintype completions`: generated from the commands, for packages and `deploy/install`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

#[derive(Args, Debug)]
pub(super) struct Pages {
    /// The folder for tintype.1 and a page for each command
    folder: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct Completions {
    /// The shell that completes the commands
    shell: Shell,
}

pub(super) fn write_pages(arguments: Pages, command: Command) -> anyhow::Result<()> {
    let folder = &arguments.folder;
    let written = || clap_mangen::generate_to(command.disable_help_subcommand(true), folder);
    std::fs::create_dir_all(folder)
        .and_then(|()| written())
        .with_context(|| format!("writing into {}", folder.display()))
}

pub(super) fn print_completions(arguments: Completions, mut command: Command) -> anyhow::Result<()> {
    clap_complete::generate(arguments.shell, &mut command, "tintype", &mut std::io::stdout());
    Ok(())
}
