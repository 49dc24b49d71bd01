//! `tintype convert`: converts a file through the same `render` as the server.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::{Common, UsageError, build};
use crate::dialect::native::{PARAMETERS, Parameter};
use crate::render::{self, Encoded, Format, Progress, Recipe, Settings, Stage};
use crate::service::renderer::{Bounds, Monitor, RenderInput, Renderer, StageTimes};

#[derive(Args, Debug)]
#[command(after_help = "The options are the parameters of a URL: --width 800 --fit cover is ?width=800&fit=cover.")]
pub(super) struct Arguments {
    /// The original; - is standard input
    input: PathBuf,
    /// The result; - is standard output. The extension sets the format unless --format does
    output: PathBuf,
    /// Render in a worker process that can open no files and no connections; fail where the kernel has neither seccomp
    /// nor Landlock
    #[arg(long)]
    isolate: bool,
    #[command(flatten)]
    options: RenderOptions,
    #[command(flatten)]
    common: Common,
}

/// The parameters of a URL as options, by name and value, made from the table of parameters.
#[derive(Debug)]
struct RenderOptions(Vec<(&'static str, String)>);

impl RenderOptions {
    /// The parameters that apply to a single file.
    fn parameters() -> impl Iterator<Item = &'static Parameter> {
        PARAMETERS.iter().filter(|parameter| parameter.renders)
    }
}

/// A name with dashes in place of underscores.
fn dashed(name: &str) -> Option<&'static str> {
    Some(match name {
        "aspect_ratio" => "aspect-ratio",
        "overlay_position" => "overlay-position",
        "overlay_offset" => "overlay-offset",
        "overlay_opacity" => "overlay-opacity",
        "overlay_scale" => "overlay-scale",
        _ => return None,
    })
}

impl Args for RenderOptions {
    fn augment_args(command: Command) -> Command {
        RenderOptions::parameters().fold(command, |command, parameter| {
            let aliases = || parameter.aliases.iter().copied();
            // -h is --help
            let short =
                aliases().find(|alias| alias.len() == 1 && *alias != "h").and_then(|alias| alias.chars().next());
            let option = Arg::new(parameter.name)
                .long(parameter.name)
                .short(short)
                .visible_aliases(aliases().filter(|alias| alias.len() > 1))
                // options have dashes in place of underscores; --w works like the URL's w
                .aliases(dashed(parameter.name))
                .aliases(aliases().filter(|alias| alias.len() == 1))
                .value_name(if parameter.is_switch { "BOOLEAN" } else { "VALUE" })
                .help(format!("{} [{}]", parameter.about, parameter.allowed))
                .action(ArgAction::Set);
            let option = if parameter.is_switch {
                option.num_args(0..=1).require_equals(true).default_missing_value("true")
            } else {
                // an offset may be negative
                option.allow_hyphen_values(true)
            };
            command.arg(option)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for RenderOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<RenderOptions, clap::Error> {
        let given = |parameter: &Parameter| matches.get_one::<String>(parameter.name).cloned();
        Ok(RenderOptions(
            RenderOptions::parameters().filter_map(|parameter| Some((parameter.name, given(parameter)?))).collect(),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = RenderOptions::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.config;
    let query = query(&arguments);
    let mut unsigned = config.clone();
    unsigned.live.security = crate::config::live::Security::default();
    unsigned.live.output.unknown_params = crate::config::live::UnknownParams::Reject;
    let policy = unsigned.live.policy().map_err(|invalid| UsageError(invalid.to_string()))?;
    let target = policy.target("/-", Some(&query), "", 0).map_err(|error| UsageError(error.to_string()))?;
    let recipe = target.recipe.ok_or_else(|| UsageError("no parameter changes the image".into()))?;
    let original = read(&arguments.input)?;
    if Format::sniff(&original) == Some(Format::Svg) {
        build::install_fonts(&config);
    }
    let settings = config.render();
    let encoded = match arguments.isolate {
        true => render_isolated(&original, &recipe, &settings)?,
        false => render::render(&original, &recipe, &settings, &mut |_| true)?,
    };
    write(&arguments.output, &encoded.bytes)
}

/// Longer than any render takes; the command itself has no deadline.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Renders in a worker process, within the memory that is estimated.
fn render_isolated(original: &[u8], recipe: &Recipe, settings: &Settings) -> anyhow::Result<Encoded> {
    let renderer = build::start_workers(1, false)?;
    let length = original.len() as u64;
    let bounds = |memory| Bounds { memory, deadline: Instant::now() + DAY, is_idle: false };
    let info = renderer.head(original, settings, bounds(length + render::FIXED_MEMORY))?;
    let info = info.as_ref();
    let recipe = &info.map_or(recipe.clone(), |info| recipe.effective(info, settings));
    let memory = match info {
        Some(info) => render::estimate(info, length, recipe, settings)?.memory,
        None => length + render::FIXED_MEMORY,
    };
    let work = RenderInput { original, info, recipe, settings, bounds: bounds(memory) };
    Ok(renderer.render(&work, None, &mut Unwatched)?)
}

/// A render that is neither observed nor cancelled.
struct Unwatched;

impl Progress for Unwatched {
    fn begin(&mut self, _: Stage) -> bool {
        true
    }
}

impl Monitor for Unwatched {
    fn spent(&mut self, _: StageTimes) {}
}

/// The options as the query of a URL.
fn query(arguments: &Arguments) -> String {
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut params = arguments.options.0.clone();
    let has = |wanted: &[&str]| params.iter().any(|(name, _)| wanted.contains(name));
    // an option takes precedence over the extension, and the extension over a preset
    let has_extension = arguments.output.extension().is_some();
    if !has(&["format", "auto"]) && (has_extension || !has(&["preset"])) {
        params.extend(format_of(&arguments.output).map(|format| ("format", format)));
    }
    let pairs: Vec<String> = params.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

/// The format of a file name's extension; without an extension, the original's format.
fn format_of(output: &Path) -> Option<String> {
    let Some(extension) = output.extension().and_then(|extension| extension.to_str()) else {
        return Some("original".into());
    };
    match Format::from_name(extension) {
        Some(format) => Some(format.name().into()),
        // the parameter's error lists the formats
        None => Some(extension.into()),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("reading standard input")?;
        return Ok(bytes);
    }
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Writes a temporary file and renames it, so that a failure leaves an existing file as it was.
fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return std::io::stdout().write_all(bytes).context("writing standard output");
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        use std::os::unix::fs::PermissionsExt;
        let mut file =
            tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o644)).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok::<_, std::io::Error>(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}
