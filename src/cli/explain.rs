//! `tintype explain`: asks the running server what a URL means, and what a request for it would do.

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{Common, UsageError, client, healthcheck};

#[derive(Args, Debug)]
#[command(after_help = "Needs security.admin_token, or a server with the playground. Nothing is rendered.")]
pub(super) struct Arguments {
    /// A URL of the server, or its path and query
    url: String,
    /// The Accept header of the client, for format=auto: a header, or chromium, webkit or curl
    #[arg(long, value_name = "HEADER", default_value = "chromium")]
    accept: String,
    /// The explanation as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.common.load(&[])?.with_secrets().map_err(UsageError::from)?.config;
    if !arguments.url.contains('/') {
        anyhow::bail!(UsageError(format!("{:?} is neither a URL nor a path that begins with /", arguments.url)));
    }
    let token = &config.live.security.admin_token;
    let (path, header) = match token.is_empty() {
        true => ("/-/playground/explain", String::new()),
        false => ("/-/explain", format!("Authorization: Bearer {token}\r\n")),
    };
    let accept = match arguments.accept.as_str() {
        "chromium" => client::CHROMIUM,
        "webkit" => client::WEBKIT,
        "curl" => client::CURL,
        header => header,
    };
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let target = format!("{path}?url={}&accept={}", encoded(&arguments.url), encoded(accept));
    let (status, body) = healthcheck::request(&config.fixed.server, "GET", &target, &header, None)?;
    match status {
        200 => {}
        404 if token.is_empty() => {
            anyhow::bail!("the server explains nothing: set security.admin_token or server.playground")
        }
        status => anyhow::bail!("the server answered {status}: {body}"),
    }
    let explained: Value = serde_json::from_str(&body)?;
    let text = if arguments.json { serde_json::to_string_pretty(&explained)? } else { steps(&explained) };
    super::print(&format!("{text}\n"))?;
    Ok(())
}

/// The steps, a line each, and the URLs that mean the same.
fn steps(explained: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".into(),
        other => other.to_string(),
    };
    // names and URLs may have characters that a terminal obeys
    let plain = |value: &Value| text(value).replace(char::is_control, "\u{fffd}");
    let line = |name: &str, value: &Value, why: &Value| {
        let why = if why.is_null() { String::new() } else { format!("  ({})", plain(why)) };
        format!("{name:10} {}{why}", plain(value))
    };
    let steps = explained["steps"].as_array().into_iter().flatten();
    let mut lines: Vec<String> =
        steps.map(|step| line(step["step"].as_str().unwrap_or_default(), &step["result"], &step["why"])).collect();
    let estimate = &explained["estimate"];
    if !estimate.is_null() {
        let cost = format!("{} ms, {} bytes of memory", estimate["time_ms"], estimate["memory_bytes"]);
        lines.push(line("estimate", &cost.into(), &estimate["class"]));
    }
    let urls = explained["urls"].as_object().into_iter().flatten();
    lines.extend(urls.map(|(dialect, url)| line(dialect, url, &Value::Null)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_are_lines_without_control_characters() {
        let explained = json!({
            "steps": [{ "step": "format", "result": "webp", "why": "\u{1b}[31mred" }],
            "estimate": null,
            "urls": { "native": "/a.jpg?width=5" },
        });
        assert_eq!(steps(&explained), "format     webp  (\u{fffd}[31mred)\nnative     /a.jpg?width=5");
    }
}
