//! The HTML of the status page. Every text that is not written here goes through [`escape`].

use super::chart::Chart;
use super::figures::Figures;
use crate::http::history::{Failure, INTERVAL, SAMPLES, Sample, Slow};
use crate::http::page::escape;

/// The result of a form.
pub(super) enum Notice {
    Purged { path: String, renditions: u64 },
    Failed(String),
}

/// The whole page.
pub(super) fn html(figures: &Figures, notice: Option<&Notice>) -> String {
    let sections =
        [overview(figures), bounds(figures), slowest(&figures.slowest), errors(&figures.errors), purge(figures)];
    let notice = notice.map(shown).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>tintype status</title>\n\
         <link rel=\"icon\" href=\"/-/status/icon.svg\">\n<link rel=\"stylesheet\" href=\"/-/status/style.css\">\n\
         <script src=\"/-/status/app.js\" defer></script>\n</head>\n<body>\n\
         <header class=\"masthead\"><h1><span class=\"plate\"></span>tintype <small>status</small></h1>\
         <p class=\"version\">{}</p></header>\n<main>\n{notice}{}\n</main>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        sections.join("\n")
    )
}

fn shown(notice: &Notice) -> String {
    let (class, text) = match notice {
        Notice::Purged { path, renditions: 1 } => ("good", format!("1 rendition of {path} was purged.")),
        Notice::Purged { path, renditions } => ("good", format!("{renditions} renditions of {path} were purged.")),
        Notice::Failed(why) => ("bad", format!("Nothing was purged: {why}.")),
    };
    format!("<section data-kept><p class=\"{class}\" role=\"status\">{}</p></section>\n", escape(&text))
}

fn section(title: &str, content: &str) -> String {
    let id = title.to_ascii_lowercase().replace(' ', "-");
    format!("<section aria-labelledby=\"{id}\"><h2 id=\"{id}\">{}</h2>{content}</section>", escape(title))
}

/// A list of names and values.
fn facts(facts: &[(&str, String)]) -> String {
    let each =
        facts.iter().map(|(name, value)| format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value)));
    format!("<dl class=\"facts\">{}</dl>", each.collect::<String>())
}

fn overview(figures: &Figures) -> String {
    let now = &figures.now;
    let state = if figures.is_draining { "draining" } else { "ready" };
    let facts = facts(&[
        ("State", state.into()),
        ("Up for", duration(figures.uptime)),
        ("Requests", count(now.requests)),
        ("Hit ratio", figures.hit_ratio().map_or("–".into(), percent)),
        ("Renders", count(now.renders)),
        ("Errors", count(now.failures)),
        ("Originals sent", count(now.originals)),
        ("Sent", bytes(now.sent as f64)),
        ("Connections", count(figures.connections)),
    ]);
    section("Overview", &format!("{facts}<div class=\"charts\">{}</div>", charts(figures)))
}

fn charts(figures: &Figures) -> String {
    let samples = &figures.samples;
    let seconds = INTERVAL.as_secs_f64();
    let pairs = || samples.windows(2).map(|pair| (&pair[0], &pair[1]));
    let rate =
        |of: fn(&Sample) -> u64| pairs().map(|(a, b)| Some(of(b).saturating_sub(of(a)) as f64 / seconds)).collect();
    let gauge = |of: fn(&Sample) -> u64| samples.iter().map(|sample| Some(of(sample) as f64)).collect();
    let chart = |title, values, bound: Option<u64>, least, show| {
        let bound = bound.map(|bound| bound as f64);
        Chart { title, values, bound, least, room: SAMPLES, show }.html()
    };
    let bounds = &figures.bounds;
    [
        chart("Requests per second", rate(|sample| sample.requests), None, 1.0, decimal),
        chart("Hit ratio", pairs().map(|(a, b)| b.hit_ratio(a)).collect(), Some(1), 1.0, percent),
        chart("Errors per second", rate(|sample| sample.failures), None, 1.0, decimal),
        chart("Renders waiting", gauge(|sample| sample.waiting), Some(bounds.queue), 4.0, whole),
        chart("Renders running", gauge(|sample| sample.busy), Some(bounds.workers), 1.0, whole),
        chart("Memory of renders", gauge(|sample| sample.memory), Some(bounds.memory), 1_048_576.0, bytes),
        chart("Cache on disk", gauge(|sample| sample.disk), Some(bounds.disk), 1_048_576.0, bytes),
    ]
    .concat()
}

fn bounds(figures: &Figures) -> String {
    let (now, bounds) = (&figures.now, &figures.bounds);
    let of = |used: String, bound: String| format!("{used} of {bound}");
    let sizes = |used: u64, bound: u64| of(bytes(used as f64), bytes(bound as f64));
    let counts = |used: u64, bound: u64| of(count(used), count(bound));
    let content = facts(&[
        ("Renders running", counts(now.busy, bounds.workers)),
        ("Renders waiting", counts(now.waiting, bounds.queue)),
        ("Refused for overload", count(figures.refused)),
        ("Requests in flight", count(figures.in_flight)),
        ("Memory of renders", sizes(now.memory, bounds.memory)),
        ("Results in memory", sizes(figures.hot.1, bounds.hot)),
        ("Cache on disk", sizes(now.disk, bounds.disk)),
        ("Files", counts(figures.files, bounds.files)),
        ("Cache folder", figures.folder.into()),
    ]);
    section("Bounds", &content)
}

/// A table that scrolls by itself where it is too wide.
fn table(caption: &str, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let cells = |row: Vec<String>| row.into_iter().map(|cell| format!("<td>{cell}</td>")).collect::<String>();
    let rows: String = rows.map(|row| format!("<tr>{}</tr>", cells(row))).collect();
    format!(
        "<section class=\"scroll\" tabindex=\"0\" aria-label=\"Table of {caption}\"><table>\
         <caption class=\"hidden\">{caption}</caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></section>"
    )
}

fn slowest(slowest: &[Slow]) -> String {
    if slowest.is_empty() {
        return section("Slowest originals", "<p class=\"note\">Nothing was rendered yet.</p>");
    }
    let row = |slow: &Slow| {
        let longest = format!("<span class=\"number\">{} ms</span>", slow.longest.as_millis());
        vec![format!("<code>{}</code>", escape(&slow.id)), longest, count(slow.renders)]
    };
    let heads = ["Original", "Longest render", "Renders"];
    section("Slowest originals", &table("Slowest originals", &heads, slowest.iter().map(row)))
}

fn errors(errors: &[Failure]) -> String {
    if errors.is_empty() {
        return section("Last errors", "<p class=\"note\">No request for an image failed yet.</p>");
    }
    let row = |failure: &Failure| {
        let Failure { time, status, title, url, detail } = failure;
        let time = format!("<span class=\"number\">{}</span>", escape(&httpdate::fmt_http_date(*time)[5..25]));
        vec![time, format!("{status} {}", escape(title)), format!("<code>{}</code>", escape(url)), escape(detail)]
    };
    let heads = ["Time (UTC)", "Status", "URL", "Reason"];
    section("Last errors", &table("Last errors", &heads, errors.iter().map(row)))
}

fn purge(figures: &Figures) -> String {
    if !figures.can_purge {
        let note = "Purges need a token: <code>security.admin_token</code> in the settings.";
        return section("Purge", &format!("<p class=\"note\">{note}</p>"));
    }
    let form = "<form class=\"purge\" method=\"post\" action=\"/-/status\">\
        <label>Path of an original, or of a folder with a slash at its end\
        <input name=\"path\" required autocomplete=\"off\" placeholder=\"photos/tom.jpg\"></label>\
        <label>Token, unless the browser has asked for it\
        <input name=\"token\" type=\"password\" autocomplete=\"off\"></label>\
        <button type=\"submit\">Purge</button></form>\
        <p class=\"note\">Removes every rendition of it, on the other servers of a cluster as well.</p>";
    section("Purge", form)
}

/// A number with spaces between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join("\u{2009}")
}

fn whole(value: f64) -> String {
    count(value.round() as u64)
}

fn decimal(value: f64) -> String {
    if value >= 100.0 { whole(value) } else { format!("{value:.1}") }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = if value < 1.0 { 0 } else { ((value.log2() / 10.0) as usize).min(units.len() - 1) };
    let scaled = value / 1024_f64.powi(power as i32);
    let places = usize::from(power > 0 && scaled < 100.0);
    format!("{scaled:.places$} {}", units[power])
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            (count(7), count(1234), count(1_000_000)),
            ("7".into(), "1\u{2009}234".into(), "1\u{2009}000\u{2009}000".into())
        );
        assert_eq!((bytes(0.0), bytes(1536.0), bytes(3e12)), ("0 B".into(), "1.5 KiB".into(), "2.7 TiB".into()));
        assert_eq!(
            (duration(5), duration(3700), duration(90_000)),
            ("5 s".into(), "1 h 1 min".into(), "1 d 1 h".into())
        );
    }

    #[test]
    fn names_and_errors_are_text() {
        let hostile = "<img src=x onerror=alert(1)>.png";
        let slow = Slow { id: hostile.into(), longest: std::time::Duration::ZERO, renders: 1 };
        let failure = Failure {
            time: std::time::SystemTime::UNIX_EPOCH,
            status: 404,
            title: "Not found",
            url: hostile.into(),
            detail: hostile.into(),
        };
        let notice = Notice::Purged { path: hostile.into(), renditions: 0 };
        for html in [slowest(&[slow]), errors(&[failure]), shown(&notice), shown(&Notice::Failed(hostile.into()))] {
            assert!(!html.contains("<img") && html.contains("&lt;img src=x"), "{html}");
        }
    }
}
