//! `tintype srcset`: prints HTML for an original, with widths that suit it and the layout.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{Common, UsageError, build};
use crate::config::Flag;
use crate::dialect::markup::{Kind, Layout};
use crate::dialect::native::query;
use crate::http::markup::{self, Wanted};
use crate::source::ImageId;

#[derive(Args, Debug)]
#[command(after_help = "Example: tintype srcset photos/tom.jpg --layout constrained --width 800 --lqip")]
pub(super) struct Arguments {
    /// The original's path in the folder of originals, as in its URL but decoded
    path: String,
    /// How the picture stands on its page
    #[arg(long, default_value = "constrained", value_parser = PossibleValuesParser::new(Layout::NAMES.map(|(name, _)| name)))]
    layout: String,
    /// The markup to print
    #[arg(long, default_value = "srcset", value_parser = PossibleValuesParser::new(Kind::NAMES.map(|(name, _)| name)))]
    kind: String,
    /// Width on the page in CSS pixels [default: the original's, up to 1920]
    #[arg(long, value_name = "PIXELS")]
    width: Option<u32>,
    /// Height on the page in CSS pixels
    #[arg(long, value_name = "PIXELS")]
    height: Option<u32>,
    /// The attribute sizes [default: that of the layout]
    #[arg(long)]
    sizes: Option<String>,
    /// Show a tiny picture until the picture is loaded
    #[arg(long)]
    lqip: bool,
    /// Other parameters of the URLs, such as "fit=cover&quality=60"
    #[arg(long, value_name = "QUERY", default_value = "")]
    params: String,
    /// Scheme and host in front of every URL, such as https://img.example.com
    #[arg(long, value_name = "URL", default_value = "")]
    base: String,
    /// The folder of originals [default: source.root]
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut config = arguments.common.load(&flags(&arguments)?)?.with_secrets().map_err(UsageError::from)?.config;
    // a running server has the cache folder, and nothing here is worth keeping
    config.fixed.cache.dir = "none".into();
    let policy = config.live.policy().map_err(|invalid| UsageError(invalid.to_string()))?;
    let wanted = wanted(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let text = runtime.block_on(async {
        let service = build::service(&config)?;
        markup::write(&service, &policy, wanted).await.map_err(|error| match error {
            markup::Error::Params(error) => anyhow::Error::new(UsageError(error.to_string())),
            markup::Error::Service(error) => error.into(),
        })
    });
    super::print(&format!("{}\n", text?))?;
    Ok(())
}

fn flags(arguments: &Arguments) -> Result<Vec<Flag>, UsageError> {
    let Some(root) = &arguments.root else { return Ok(Vec::new()) };
    let root = root.to_str().ok_or_else(|| UsageError(format!("{} is not valid UTF-8", root.display())))?;
    Ok(vec![("source", "root", root.to_owned(), "--root")])
}

fn wanted(arguments: Arguments) -> Result<Wanted, UsageError> {
    let path = arguments.path.trim_start_matches("./").trim_start_matches('/');
    let invalid = |error: &dyn std::fmt::Display| UsageError(error.to_string());
    let parsed = query::parse(&arguments.params).map_err(|error| invalid(&error))?;
    if let Some((name, value)) = parsed.unknown.first() {
        return Err(invalid(&query::unknown(name, value)));
    }
    let mut params = parsed.params;
    params.width = arguments.width.or(params.width);
    params.height = arguments.height.or(params.height);
    if [params.width, params.height].contains(&Some(0)) {
        return Err(UsageError("a side has at least one pixel".into()));
    }
    // clap has checked the names
    let named = |name: &str| Kind::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind);
    let layout = Layout::NAMES.into_iter().find(|(known, _)| *known == arguments.layout);
    Ok(Wanted {
        id: ImageId::of(path).map_err(|error| invalid(&format!("{path:?}: {error}")))?,
        params,
        kind: named(&arguments.kind).unwrap_or_default(),
        layout: layout.map(|(_, layout)| layout).unwrap_or_default(),
        sizes: arguments.sizes,
        lqip: arguments.lqip,
        base: arguments.base.trim_end_matches('/').to_owned(),
        signs: true,
    })
}
