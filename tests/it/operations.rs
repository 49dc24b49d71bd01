//! Metrics in Prometheus' text format, the dashboard and the alerts over them, the manual and
//! the shell completions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::common::{Server, folder, run, testdata, tintype};

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A metric family.
#[derive(Debug)]
struct Family {
    kind: String,
    /// Sample names (with `_bucket` and so on), labels as they are written, and values.
    samples: Vec<(String, String, f64)>,
}

impl Family {
    fn value(&self, labels: &str) -> f64 {
        let found = self.samples.iter().find(|(_, these, _)| these == labels);
        found.unwrap_or_else(|| panic!("no {{{labels}}} in {self:?}")).2
    }
}

/// Reads Prometheus' text format 0.0.4 as strictly as its documentation allows, with its rules for names.
fn read(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let is_name = |name: &str| {
        name.strip_prefix("tintype_").is_some_and(|rest| !rest.is_empty())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let mut families = BTreeMap::new();
    let (mut helped, mut current) = (None, None::<String>);
    if !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in text.lines() {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = rest.split_once(' ') else { return wrong("no help") };
            if !is_name(name) || !help.ends_with('.') {
                return wrong("a bad name, or help that is no sentence");
            }
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { return wrong("no type") };
            if helped.take().as_deref() != Some(name) {
                return wrong("a type without its help before it");
            }
            if !matches!(kind, "counter" | "gauge" | "histogram") || (kind == "counter") != name.ends_with("_total") {
                return wrong("a type that does not go with the name");
            }
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            if families.insert(name.to_owned(), family).is_some() {
                return wrong("the same name again");
            }
            current = Some(name.to_owned());
        } else {
            let Some((series, value)) = line.rsplit_once(' ') else { return wrong("no value") };
            let (name, labels) = series
                .split_once('{')
                .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').unwrap_or("}")));
            let Some(family) = current.as_ref().and_then(|current| families.get_mut(current)) else {
                return wrong("a sample before any type");
            };
            let base = match family.kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)),
                _ => Some(name),
            };
            if base != current.as_deref() {
                return wrong("a sample of something else");
            }
            let is_label = |label: &str| {
                label.split_once("=\"").is_some_and(|(name, value)| {
                    name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                        && value.find('"') == Some(value.len() - 1)
                })
            };
            if !labels.is_empty() && !labels.split(',').all(is_label) {
                return wrong("a bad label");
            }
            let Ok(value) = value.parse::<f64>() else { return wrong("no number") };
            if !value.is_finite() || value < 0.0 && family.kind != "gauge" {
                return wrong("a number that cannot be");
            }
            if family.samples.iter().any(|(same, with, _)| same == name && with == labels) {
                return wrong("the same sample again");
            }
            family.samples.push((name.to_owned(), labels.to_owned(), value));
        }
    }
    for (name, family) in &families {
        if family.samples.is_empty() {
            return Err(format!("{name} has no sample"));
        }
        if family.kind == "histogram" {
            check_histogram(name, family)?;
        }
    }
    Ok(families)
}

/// Buckets rise in bound and count, the last bound is +Inf, its count is `_count`, and `_sum` is there.
fn check_histogram(name: &str, family: &Family) -> Result<(), String> {
    let mut of: BTreeMap<String, (Vec<(f64, f64)>, Option<f64>, Option<f64>)> = BTreeMap::new();
    for (sample, labels, value) in &family.samples {
        match sample.strip_prefix(name) {
            Some("_bucket") => {
                let (labels, bound) = labels.rsplit_once("le=\"").ok_or(format!("{name}: a bucket without le"))?;
                let bound = bound.trim_end_matches('"').replace("+Inf", "inf");
                let bound = bound.parse().map_err(|_| format!("{name}: {bound} is no bound"))?;
                of.entry(labels.trim_end_matches(',').to_owned()).or_default().0.push((bound, *value));
            }
            Some("_sum") => of.entry(labels.clone()).or_default().1 = Some(*value),
            _ => of.entry(labels.clone()).or_default().2 = Some(*value),
        }
    }
    for (labels, (buckets, sum, count)) in of {
        let rises = buckets.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1);
        let last = buckets.last().filter(|(bound, _)| *bound == f64::INFINITY).map(|(_, count)| *count);
        if !rises || last.is_none() || last != count || sum.is_none() {
            return Err(format!("{name}{{{labels}}}: {buckets:?}, sum {sum:?}, count {count:?}"));
        }
    }
    Ok(())
}

#[test]
fn metrics_parser_refuses_wrong_text() {
    let good = "# HELP tintype_a_seconds A.\n# TYPE tintype_a_seconds histogram\ntintype_a_seconds_bucket{x=\"y\",le=\"1\"} 1\n\
        tintype_a_seconds_bucket{x=\"y\",le=\"+Inf\"} 2\ntintype_a_seconds_sum{x=\"y\"} 3.5\ntintype_a_seconds_count{x=\"y\"} 2\n\
        # HELP tintype_b_total B.\n# TYPE tintype_b_total counter\ntintype_b_total 7\n";
    assert_eq!(read(good).expect("good")["tintype_b_total"].value(""), 7.0);
    for (is, becomes) in [
        ("tintype_b_total 7\n", "tintype_b_total 7"),
        ("tintype_b_total 7", "tintype_b_total seven"),
        ("tintype_b_total 7", "tintype_b_total -7"),
        ("tintype_b_total 7", "tintype_b_total 7\ntintype_b_total 7"),
        ("tintype_b_total 7", "tintype_c_total 7"),
        ("tintype_b_total 7", "tintype_b_total{x=y} 7"),
        ("tintype_b_total 7\n", ""),
        ("# HELP tintype_b_total B.\n", ""),
        ("# TYPE tintype_b_total counter", "# TYPE tintype_b_total gauge"),
        ("# TYPE tintype_b_total counter\n", ""),
        ("b_total", "a_seconds"),
        ("b_total", "B_total"),
        ("tintype_b", "other_b"),
        ("le=\"1\"} 1", "le=\"1\"} 3"),
        ("+Inf", "2"),
        ("_count{x=\"y\"} 2", "_count{x=\"y\"} 3"),
        ("tintype_a_seconds_sum{x=\"y\"} 3.5\n", ""),
    ] {
        let bad = good.replace(is, becomes);
        assert_ne!(bad, good);
        read(&bad).expect_err(&bad);
    }
}

/// A server after requests of every kind.
fn used() -> (Server, tempfile::TempDir) {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    for (url, status) in [
        ("/photos/coffee.png?width=200&format=webp", 200),
        ("/photos/coffee.png?width=200&format=webp", 200),
        ("/photos/coffee.png?width=200&format=webp", 200),
        ("/photos/coffee.png", 200),
        ("/photos/coffee.png?format=json", 200),
        ("/photos/none.png?width=200", 404),
        ("/photos/coffee.png?width=0", 400),
    ] {
        assert_eq!(server.get(url, &[]).status, status, "{url}");
    }
    let etag = server.get("/photos/coffee.png", &[]).header("etag");
    assert_eq!(server.get("/photos/coffee.png", &[("If-None-Match", &etag)]).status, 304);
    assert_eq!(server.get("/photos/coffee.png", &[("Range", "bytes=0-9")]).status, 206);
    (server, cache)
}

#[test]
fn metrics_are_well_formed_and_count_requests() {
    let (server, _cache) = used();
    let answer = server.get("/-/metrics", &[]);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4");
    let metrics = read(&answer.text()).unwrap_or_else(|wrong| panic!("{wrong}\n{}", answer.text()));
    let value = |name: &str, labels: &str| metrics[&format!("tintype_{name}")].value(labels);
    let count = |name: &str, labels: &str| {
        let family = &metrics[&format!("tintype_{name}")];
        let wanted = format!("tintype_{name}_count");
        family.samples.iter().find(|(sample, these, _)| *sample == wanted && these == labels).expect("a count").2
    };

    assert_eq!(value("requests_total", "code=\"200\",result=\"miss\""), 2.0);
    // the hits are from memory or disk, as the cache decides
    let hits = ["memory", "disk"].map(|result| value("requests_total", &format!("code=\"200\",result=\"{result}\"")));
    assert_eq!(hits.iter().sum::<f64>(), 2.0);
    let hits = ["memory", "disk"].map(|result| count("request_seconds", &format!("result=\"{result}\"")));
    assert_eq!(hits.iter().sum::<f64>(), 2.0);
    for (code, expected) in [("200", 2.0), ("206", 1.0), ("304", 1.0)] {
        assert_eq!(value("requests_total", &format!("code=\"{code}\",result=\"original\"")), expected);
    }
    for (code, kind) in [("404", "not-found"), ("400", "invalid-parameter")] {
        assert_eq!(value("requests_total", &format!("code=\"{code}\",result=\"failure\"")), 1.0);
        assert_eq!(value("failures_total", &format!("kind=\"{kind}\"")), 1.0);
    }
    assert_eq!(value("failures_total", "kind=\"internal-error\""), 0.0);
    let original = std::fs::metadata(testdata().join("photos/coffee.png")).expect("a file").len() as f64;
    assert_eq!(value("body_bytes_total", "result=\"original\""), 2.0 * original + 10.0);

    // times: every stage of both renders, and each request
    for stage in ["queue", "source", "decode", "resize", "encode"] {
        assert_eq!(count("stage_seconds", &format!("stage=\"{stage}\"")), 2.0, "{stage}");
    }
    assert_eq!(count("request_seconds", "result=\"miss\""), 2.0);
    assert_eq!(count("request_seconds", "result=\"failure\""), 2.0);

    let webp = server.get("/photos/coffee.png?width=200&format=webp", &[]).body.len() as f64;
    assert_eq!(value("rendered_total", "format=\"webp\""), 1.0);
    assert_eq!(value("rendered_total", "format=\"json\""), 1.0);
    assert_eq!(value("rendered_bytes_total", "format=\"webp\""), webp);
    assert_eq!(value("rendered_original_bytes_total", "format=\"webp\""), original);
    assert_eq!(value("rendered_saved_bytes", "format=\"webp\""), original - webp);

    // requests below /-/ are counted apart, that for metrics after its answer
    let all: f64 = metrics["tintype_requests_total"].samples.iter().map(|(_, _, value)| value).sum();
    assert_eq!((all, value("admin_requests_total", "class=\"2xx\"")), (10.0, 0.0));
    assert_eq!(server.get("/-/nothing", &[]).status, 404);
    let later = read(&server.get("/-/metrics", &[]).text()).expect("in form");
    let count = |class: &str| later["tintype_admin_requests_total"].value(&format!("class=\"{class}\""));
    assert_eq!((count("2xx"), count("4xx"), count("5xx")), (1.0, 1.0, 0.0));

    // the connection that requests the metrics is open
    assert_eq!(value("requests_in_flight", ""), 0.0);
    assert!(value("connections", "") >= 1.0 && value("connections_total", "") >= 11.0);
    let bodies: f64 = metrics["tintype_body_bytes_total"].samples.iter().map(|(_, _, value)| value).sum();
    // sent bytes are counted after they were sent
    server.wait_for("tintype_sent_bytes_total", bodies + 1.0);
    assert!(value("received_bytes_total", "") > 0.0);

    assert!(value("process_resident_memory_bytes", "") > 1e6);
    assert!(value("process_open_fds", "") >= 3.0 && value("process_max_fds", "") > value("process_open_fds", ""));
    assert!(value("process_cpu_seconds_total", "") >= 0.0 && value("process_start_time_seconds", "") > 1.7e9);
}

/// The metrics that an expression of PromQL names.
fn names(expression: &str) -> BTreeSet<String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !word(c)).filter(|word| word.starts_with("tintype_"));
    words.map(str::to_owned).collect()
}

/// The names of all samples.
fn known(server: &Server) -> BTreeSet<String> {
    let metrics = read(&server.get("/-/metrics", &[]).text()).expect("in form");
    metrics.into_values().flat_map(|family| family.samples.into_iter().map(|(name, _, _)| name)).collect()
}

/// Every value of that key, at any depth.
fn values<'a>(key: &str, within: &'a serde_json::Value) -> Vec<&'a serde_json::Value> {
    match within {
        serde_json::Value::Object(map) => {
            let own = map.get(key);
            own.into_iter().chain(map.values().flat_map(|value| values(key, value))).collect()
        }
        serde_json::Value::Array(all) => all.iter().flat_map(|value| values(key, value)).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn dashboard_and_alerts_name_existing_metrics() {
    let (server, _cache) = used();
    let known = known(&server);
    let dashboard = std::fs::read_to_string(project("deploy/grafana-dashboard.json")).expect("the dashboard");
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let expressions: Vec<&str> = values("expr", &dashboard).into_iter().filter_map(|text| text.as_str()).collect();
    assert!(expressions.len() > 20, "{expressions:?}");
    let alerts = std::fs::read_to_string(project("deploy/prometheus-alerts.yml")).expect("the alerts");
    let rules: Vec<&str> = alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ")).collect();
    assert_eq!(rules.len(), alerts.matches("- alert: ").count(), "an expression stands on one line");
    for expression in expressions.iter().chain(&rules) {
        let asked = names(expression);
        assert!(!asked.is_empty(), "{expression}");
        assert!(asked.is_subset(&known), "{expression} asks for {:?}", asked.difference(&known));
    }
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "every panel has an id of its own");
}

#[test]
fn manual_and_completions_cover_every_command() {
    let place = folder();
    let (code, help, stderr) = run(tintype().arg("--help"), b"");
    assert_eq!(code, Some(0), "{stderr}");
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let list = help.split_once("Commands:\n").and_then(|(_, rest)| rest.split_once("\n\n")).expect("commands").0;
    let commands: BTreeSet<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.contains("serve") && !commands.contains("man"), "{commands:?}");

    let (code, _, stderr) = run(tintype().arg("man").arg(place.path().join("new")), b"");
    assert_eq!(code, Some(0), "{stderr}");
    let page = |name: &str| std::fs::read_to_string(place.path().join("new").join(name)).expect("a page");
    for command in commands.iter().filter(|command| **command != "help") {
        assert!(page(&format!("tintype-{command}.1")).contains(".SH NAME"), "{command}");
        assert!(page("tintype.1").contains(command), "{command}");
    }
    let title = format!(".TH TINTYPE-SERVE 1 \" \" \"tintype {}\" \"User Commands\"\n", env!("CARGO_PKG_VERSION"));
    assert!(page("tintype-serve.1").contains(&title), "{}", page("tintype-serve.1"));
    assert!(!page("tintype.1").contains("completions") && page("tintype-convert.1").contains("aspect_ratio"));

    for shell in ["bash", "zsh", "fish"] {
        let (code, output, stderr) = run(tintype().args(["completions", shell]), b"");
        assert_eq!(code, Some(0), "{stderr}");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(script.contains("healthcheck") && script.contains("cache-dir"), "{shell}");
    }
    assert_eq!(run(tintype().args(["completions", "sh"]), b"").0, Some(2));
    assert_eq!(run(tintype().args(["man", "/dev/null/x"]), b"").0, Some(1));
}

#[test]
fn default_settings_are_a_valid_file() {
    let place = folder();
    let (code, output, stderr) = run(tintype().args(["config", "--default"]), b"");
    assert_eq!(code, Some(0), "{stderr}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(text, tintype::config::default_file());
    let file = place.path().join("tintype.toml");
    std::fs::write(&file, &text).expect("a file");
    let shown = |more: &[&str]| {
        let (code, output, stderr) = run(tintype().arg("config").args(more), b"");
        assert_eq!(code, Some(0), "{stderr}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let path = file.to_str().expect("UTF-8");
    assert_eq!(shown(&["--config", path]), shown(&[]));
    // and one line of it
    std::fs::write(&file, text.replace("#quality = 75", "quality = 70")).expect("a file");
    let line = format!("quality = 70                             # {path}");
    assert!(shown(&["--config", path]).lines().any(|shown| shown == line));
}
