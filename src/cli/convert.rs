//! `tintype convert`: one file to another, through the same `render` as the server.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::{Common, Wrong};
use crate::dialect::params::PARAMETERS;
use crate::render::{self, Format};

#[derive(Args, Debug)]
#[command(after_help = "Every parameter of a URL is an option here: --width 800 is ?width=800.")]
pub(super) struct Arguments {
    /// The original; - is standard input
    input: PathBuf,
    /// The result; - is standard output. Its extension decides the format where --format does not
    output: PathBuf,
    /// Width in pixels
    #[arg(long, short, value_name = "N")]
    width: Option<String>,
    /// Height in pixels
    #[arg(long, value_name = "N")]
    height: Option<String>,
    /// Format of the result: avif, webp, jpeg, png, gif, original or json
    #[arg(long, short, value_name = "F")]
    format: Option<String>,
    /// 1 to 100
    #[arg(long, short, value_name = "N")]
    quality: Option<String>,
    /// Any other parameter of a URL, such as fit=cover; may be repeated
    #[arg(long = "set", short, value_name = "NAME=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.config;
    let query = query(&arguments)?;
    let mut unsigned = config.clone();
    unsigned.security = crate::config::Security::default();
    unsigned.output.unknown_params = crate::config::UnknownParams::Reject;
    let policy = unsigned.policy().map_err(|invalid| Wrong(invalid.to_string()))?;
    let target = policy.target("/-", Some(&query), "", 0).map_err(|error| Wrong(error.to_string()))?;
    let recipe = target.recipe.ok_or_else(|| Wrong("nothing is asked for".into()))?;
    let original = read(&arguments.input)?;
    let encoded = render::render(&original, &recipe, &config.settings(), &mut |_| true)?;
    write(&arguments.output, &encoded.bytes)
}

/// The options as the query that would mean the same.
fn query(arguments: &Arguments) -> Result<String, Wrong> {
    let named = [
        ("width", arguments.width.clone()),
        ("height", arguments.height.clone()),
        ("format", arguments.format.clone().or_else(|| format_of(&arguments.output))),
        ("quality", arguments.quality.clone()),
    ];
    let encode =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let mut pairs: Vec<String> =
        named.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_deref()?)))).collect();
    for said in &arguments.set {
        let (name, value) = said.split_once('=').unwrap_or((said, "true"));
        if !PARAMETERS.iter().any(|parameter| parameter.name == name || parameter.aliases.contains(&name)) {
            let nearest = crate::dialect::nearest(name, crate::dialect::params::Parameter::names());
            let hint = nearest.map(|nearest| format!("; did you mean {nearest}?")).unwrap_or_default();
            return Err(Wrong(format!("there is no parameter {name}{hint}")));
        }
        pairs.push(format!("{name}={}", encode(value)));
    }
    Ok(pairs.join("&"))
}

/// The format that a file name's extension stands for; without one, the original's is kept.
fn format_of(output: &Path) -> Option<String> {
    let Some(extension) = output.extension().and_then(|extension| extension.to_str()) else {
        return Some("original".into());
    };
    match Format::from_name(extension) {
        Some(format) => Some(format.name().into()),
        // the parameter's own error says what there is
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

/// Staged beside the result and renamed, so that a failure leaves what was there.
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
