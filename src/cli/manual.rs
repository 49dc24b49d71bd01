//! `tintype man` and `tintype completions`: generated from the commands, for packages and `deploy/install`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

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
    let mut command = command.disable_help_subcommand(true);
    command.build();
    std::fs::create_dir_all(folder)
        .and_then(|()| write_page(folder, command))
        .with_context(|| format!("writing into {}", folder.display()))
}

/// The pages of a command and of those below it. Without a date of its own, a page would have its source in that place.
fn write_page(folder: &Path, command: Command) -> std::io::Result<()> {
    for one in command.get_subcommands().filter(|one| !one.is_hide_set()).cloned() {
        write_page(folder, one)?;
    }
    let title = command.get_display_name().unwrap_or_else(|| command.get_name()).to_uppercase();
    let source = concat!("tintype ", env!("CARGO_PKG_VERSION"));
    Man::new(command).title(title).date(" ").source(source).manual("User Commands").generate_to(folder)?;
    Ok(())
}

pub(super) fn print_completions(arguments: Completions, mut command: Command) -> anyhow::Result<()> {
    clap_complete::generate(arguments.shell, &mut command, "tintype", &mut std::io::stdout());
    Ok(())
}
