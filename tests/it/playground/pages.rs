//! The playground's routes: who is answered, and what its lists, markup and comparisons say.

use serde_json::Value;
use tintype::http::{State, admin_app};

use super::{Answer, ask, encoded, get, playground, playground_with};
use crate::common::in_process::InProcess;
use crate::common::{Server, folder, run, serve, testdata, tintype};

const ROUTES: [&str; 8] = [
    "/-/playground",
    "/-/playground/style.css",
    "/-/playground/app.js",
    "/-/playground/icon.svg",
    "/-/playground/settings",
    "/-/playground/originals",
    "/-/playground/explain?url=/photos/coffee.png",
    "/-/playground/markup?path=photos/coffee.png",
];

const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[tokio::test]
async fn playground_is_off_by_default() {
    let server = InProcess::new(&testdata(), |_| {});
    for route in ROUTES {
        assert_eq!(get(&server, route).await.status, 404, "{route}");
    }
    let home = get(&server, "/").await;
    assert_eq!((home.status, home.header("content-type")), (404, "application/problem+json"));
}

#[tokio::test]
async fn answers_have_the_headers_of_pages() {
    let server = playground();
    for route in ROUTES.into_iter().chain(["/-/playground/originals?limit=0"]) {
        let answer = get(&server, route).await;
        let expected = if route.ends_with("limit=0") { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{route}: {}", answer.text());
        assert_eq!(answer.header("content-security-policy"), CSP, "{route}");
        for (name, value) in
            [("cache-control", "no-store"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")]
        {
            assert_eq!(answer.header(name), value, "{route}");
        }
        assert_eq!(ask(&server, "POST", route, &[], "").await.status, 405, "{route}");
        assert_eq!(ask(&server, "HEAD", route, &[], "").await.status, expected, "{route}");
    }
    assert_eq!(get(&server, "/-/playground/none").await.status, 404);
    let html = get(&server, "/-/playground").await.text();
    for unsafe_part in ["<script>", " style=", " onclick=", "http://", "https://"] {
        assert!(!html.contains(unsafe_part), "the policy forbids {unsafe_part}, or it leaves this server");
    }
}

#[tokio::test]
async fn root_leads_to_the_playground() {
    let server = playground();
    for method in ["GET", "HEAD"] {
        let home = ask(&server, method, "/", &[], "").await;
        assert_eq!((home.status, home.header("location")), (302, "/-/playground"), "{method}");
        assert_eq!((home.header("cache-control"), home.header("access-control-allow-origin")), ("no-store", ""));
    }
    assert_eq!(ask(&server, "POST", "/", &[], "").await.status, 405);
    assert_eq!(get(&server, "//").await.status, 404);
    assert_eq!(get(&server, "/?w=5").await.status, 302);
}

#[tokio::test]
async fn separate_admin_listener_has_the_playground() {
    let server = playground_with(|config| config.fixed.server.admin_listen = "127.0.0.1:1".into());
    assert_eq!(get(&server, "/").await.status, 404);
    assert_eq!(get(&server, "/-/playground").await.status, 404);
    let live = server.config.live_http().expect("good settings");
    let state = State::new(std::sync::Arc::clone(&server.service), server.config.fixed.http(), live);
    let admin = InProcess { app: admin_app(state), ..server };
    assert_eq!(get(&admin, "/").await.header("location"), "/-/playground");
    assert_eq!(get(&admin, "/-/playground").await.status, 200);
    let picture = get(&admin, "/photos/coffee.png?width=20&format=webp").await;
    assert_eq!((picture.status, picture.header("content-type")), (200, "image/webp"));
}

#[tokio::test]
async fn pages_of_other_sites_cause_nothing() {
    let server = playground();
    for site in ["cross-site", "same-site"] {
        for route in &ROUTES[1..] {
            let answer = ask(&server, "GET", route, &[("sec-fetch-site", site)], "").await;
            assert_eq!(answer.status, 403, "{route}");
        }
        // a link leads to the page itself
        assert_eq!(ask(&server, "GET", ROUTES[0], &[("sec-fetch-site", site)], "").await.status, 200);
    }
    for site in ["same-origin", "none"] {
        assert_eq!(ask(&server, "GET", ROUTES[3], &[("sec-fetch-site", site)], "").await.status, 200);
    }
}

#[test]
fn serve_on_loopback_without_settings_has_the_playground() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    assert_eq!(server.get("/", &[]).header("location"), "/-/playground");
    // the name of another site that leads to this machine
    for host in ["evil.example", "127.0.0.1.evil.example"] {
        let mut connection = server.connect();
        connection.send(format!("GET /-/playground/originals HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        assert_eq!(connection.receive("GET").status, 403, "{host}");
    }
    assert_eq!(server.stop().code(), Some(0));
    for (file, variables) in [
        (Some("[server]\nlisten = \"127.0.0.1:0\"\n"), vec![]),
        (None, vec![("TINTYPE_SERVER_PLAYGROUND", "false")]),
        (None, vec![("TINTYPE_SERVER_ADMIN_LISTEN", "0.0.0.0:0")]),
    ] {
        let mut command = serve(tintype(), &testdata(), cache.path(), "127.0.0.1:0", &variables);
        if let Some(text) = file {
            let path = cache.path().join("tintype.toml");
            std::fs::write(&path, text).expect("written");
            command.arg("--config").arg(path);
        }
        let server = Server::spawn(command).expect("it starts");
        assert_eq!(server.get("/", &[]).status, 404, "{file:?} {variables:?}");
        assert_eq!(server.stop().code(), Some(0));
    }
}

#[test]
fn shipped_settings_have_no_playground() {
    let mut command = tintype();
    command.args(["config", "--config"]).arg(testdata().join("../deploy/tintype.toml"));
    let (code, output, said) = run(&mut command, b"");
    assert_eq!(code, Some(0), "{said}");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.lines().any(|line| line.contains("playground") && line.contains("false")), "{shown}");
}

#[tokio::test]
async fn settings_describe_every_parameter() {
    let server = playground();
    let settings = get(&server, "/-/playground/settings").await.json();
    let parameters = settings["parameters"].as_array().expect("a list");
    let names: Vec<&str> = parameters.iter().filter_map(|parameter| parameter["name"].as_str()).collect();
    let table: Vec<&str> = tintype::dialect::native::PARAMETERS.iter().map(|parameter| parameter.name).collect();
    assert_eq!(names, table);
    for parameter in parameters {
        let name = parameter["name"].as_str().expect("a name");
        for value in accepted(parameter) {
            let answer = get(&server, &format!("/photos/none.png?{name}={value}")).await;
            assert_eq!(answer.status, 404, "{name}={value} is offered: {}", answer.text());
        }
        for value in refused(parameter) {
            let answer = get(&server, &format!("/photos/none.png?{name}={value}")).await;
            assert_eq!(answer.status, 400, "{name}={value} is beyond its bounds");
        }
    }
    assert_eq!(settings["dialects"], serde_json::json!([{ "name": "native", "mount": "" }]));
    assert_eq!((&settings["uploads"], &settings["widths"]), (&Value::Bool(false), &Value::Array(Vec::new())));
    assert_eq!(parameters[0]["max"], 8192);
}

/// Values that the page offers.
fn accepted(parameter: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bounds = ["min", "max"].map(|name| &parameter[name]).into_iter().filter(|value| !value.is_null());
    parameter["values"].as_array().expect("a list").iter().chain(bounds).map(text).collect()
}

/// Numbers beyond the bounds; sides are clamped instead.
fn refused(parameter: &Value) -> Vec<String> {
    let beyond = |name: &str, by: f64| Some(format!("{}", parameter[name].as_f64()? + by));
    let is_side = matches!(parameter["name"].as_str(), Some("width" | "height"));
    let (least, most) = (beyond("min", -0.05), beyond("max", 1.0).filter(|_| !is_side));
    let least = if parameter["kind"] == "integer" { beyond("min", -1.0) } else { least };
    [least, most].into_iter().flatten().collect()
}

#[tokio::test]
async fn originals_are_listed_by_page() {
    let originals = folder();
    let hostile = "<img src=x onerror=alert(1)>.png";
    for name in [hostile, "a.jpg", "b.jpg", "c.webp", ".hidden.jpg", "notes.txt"] {
        std::fs::write(originals.path().join(name), b"x").expect("written");
    }
    std::fs::create_dir(originals.path().join("sub folder")).expect("a folder");
    std::fs::write(originals.path().join("sub folder/A b.png"), b"x").expect("written");
    let server = InProcess::new(originals.path(), |config| config.fixed.server.playground = true);
    let list = async |query: &str| get(&server, &format!("/-/playground/originals{query}")).await;
    let paths = |answer: &Answer| -> Vec<String> {
        let json = answer.json();
        let all = json["originals"].as_array().expect("a list").iter();
        all.map(|original| original["path"].as_str().expect("a path").to_owned()).collect()
    };
    let first = list("?limit=2").await;
    assert_eq!(
        (paths(&first), first.json()["folders"][0].as_str()),
        (vec![hostile.into(), "a.jpg".into()], Some("sub folder"))
    );
    assert_eq!(first.json()["originals"][0]["url"], format!("/{}", encoded(hostile).replace("%2E", ".")));
    let next = first.json()["next"].as_str().expect("a cursor").to_owned();
    let second = list(&format!("?limit=2&after={}", encoded(&next))).await;
    assert_eq!((paths(&second), &second.json()["next"]), (vec!["b.jpg".into(), "c.webp".into()], &Value::Null));
    let inside = list("?folder=sub%20folder/").await;
    assert_eq!(inside.json()["originals"][0]["url"], "/sub%20folder/A%20b.png");
    assert_eq!(paths(&list("?search=A%20B").await), ["sub folder/A b.png"]);
    for (query, status) in [
        ("?folder=../", 404),
        ("?folder=%2e%2e/%2e%2e/etc/", 404),
        ("?folder=absent/", 404),
        ("?folder=.git/", 404),
        ("?folder=sub", 400),
        ("?folder=%ff/", 400),
        ("?limit=0", 400),
        ("?limit=501", 400),
        ("?limit=x", 400),
        ("?limit=1&limit=2", 400),
    ] {
        assert_eq!(list(query).await.status, status, "{query}");
    }
}

#[test]
fn originals_of_another_server_are_not_listed() {
    let cache = folder();
    let mut command = tintype();
    command.args(["serve", "--listen", "127.0.0.1:0", "--cache-dir"]).arg(cache.path());
    command.env("TINTYPE_SOURCE_URL", "http://127.0.0.1:9/").env("TINTYPE_SERVER_PLAYGROUND", "true");
    let server = Server::spawn(command).expect("it starts");
    let answer = server.get("/-/playground/originals", &[]);
    assert_eq!(answer.status, 501, "{}", answer.text());
    assert!(answer.text().contains("source.root"), "{}", answer.text());
}

#[tokio::test]
async fn markup_suits_the_original() {
    let server = playground();
    let markup = async |query: &str| {
        let answer = get(&server, &format!("/-/playground/markup?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["markup"].as_str().expect("text").to_owned()
    };
    // 600 pixels wide
    let img = markup("path=photos/coffee.png&layout=full&lqip=true&quality=60&fit=cover&width=400&height=400").await;
    assert!(img.contains("width=\"400\" height=\"400\" alt=\"\" loading=\"lazy\" decoding=\"async\""), "{img}");
    assert!(
        img.contains("quality=60") && img.contains("format=auto") && img.contains("data:image/png;base64,"),
        "{img}"
    );
    let widths =
        img.split_whitespace().filter_map(|word| word.trim_end_matches(['"', ',']).strip_suffix('w')?.parse().ok());
    let widths: Vec<u32> = widths.collect();
    // a square of an original 400 pixels high
    assert_eq!(widths.last(), Some(&400), "{img}");
    let picture = markup("path=/photos/coffee.png&kind=picture&width=300").await;
    for part in ["<picture>", "type=\"image/avif\"", "type=\"image/webp\"", "format=jpeg", "600w"] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    let moving = markup("path=generated/animated.gif&kind=picture").await;
    assert!(!moving.contains("avif") && moving.contains("format=gif"), "{moving}");
    let css = markup("path=photos/coffee.png&kind=image-set&width=300").await;
    assert!(css.contains("image-set(") && css.contains(" 1x,") && css.contains(" 2x"), "{css}");
    let vector = markup("path=generated/svg.svg").await;
    assert!(vector.contains("src=\"/generated/svg.svg\"") && !vector.contains("srcset"), "{vector}");
    let curl = markup("path=photos/coffee.png&kind=curl&width=10&format=webp").await;
    assert!(curl.starts_with("curl ") && curl.contains("/photos/coffee.png?format=webp&width=10'"), "{curl}");
    for (query, status) in [
        ("path=photos/none.png", 404),
        ("path=../x", 400),
        ("kind=srcset", 400),
        ("path=photos/coffee.png&kind=table", 400),
        ("path=photos/coffee.png&layout=wide", 400),
        ("path=photos/coffee.png&width=0", 400),
        ("path=photos/coffee.png&format=jpeg&lossless=true", 400),
        ("path=hostile/text.txt", 415),
    ] {
        assert_eq!(get(&server, &format!("/-/playground/markup?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn markup_of_hostile_texts_is_escaped() {
    let originals = folder();
    let hostile = "\"><img src=x onerror=alert(1)>.png";
    std::fs::copy(testdata().join("generated/grey.png"), originals.path().join(hostile)).expect("copied");
    let server = InProcess::new(originals.path(), |config| config.fixed.server.playground = true);
    let query = format!("path={0}&sizes={0}", encoded(hostile));
    for kind in ["srcset", "picture", "image-set", "curl"] {
        let answer = get(&server, &format!("/-/playground/markup?{query}&kind={kind}")).await;
        let markup = answer.json()["markup"].as_str().expect("text").to_owned();
        assert!(!markup.contains("<img src=x") && !markup.contains("onerror=alert(1)>"), "{markup}");
    }
}

#[tokio::test]
async fn comparison_has_bytes_time_and_score() {
    let server = playground();
    let url = encoded("/photos/coffee.png?w=200&q=60");
    let answer = get(&server, &format!("/-/playground/compare?url={url}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let rows = answer.json();
    let rows = rows.as_array().expect("rows");
    let formats: Vec<&str> = rows.iter().filter_map(|row| row["format"].as_str()).collect();
    assert_eq!(formats, ["avif", "webp", "jpeg", "png"]);
    for row in rows {
        let score = row["score"].as_f64().expect("a score");
        assert!((if row["format"] == "png" { 99.0..=100.0 } else { 30.0..=95.0 }).contains(&score), "{row}");
        assert!(row["milliseconds"].as_f64().expect("a time") > 0.0, "{row}");
        // each is the rendition of its URL
        let made = get(&server, row["url"].as_str().expect("a URL")).await;
        assert_eq!((made.status, &made.body.len().into()), (200, &row["bytes"]));
        assert!(made.header("cache-status").contains("hit"), "{}", made.header("cache-status"));
    }
    let svg =
        get(&server, &format!("/-/playground/compare?url={}&formats=webp", encoded("/photos/none.png?w=5"))).await;
    assert_eq!(svg.json()[0]["problem"]["status"], 404);
    for (query, status) in
        [("", 400), ("?url=%2Fphotos%2Fcoffee.png&formats=bmp", 400), ("?url=%2Fphotos%2Fcoffee.png%3Fw%3D0", 400)]
    {
        assert_eq!(get(&server, &format!("/-/playground/compare{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn one_comparison_runs_at_a_time() {
    let server = playground();
    let target = format!("/-/playground/compare?url={}&formats=jpeg", encoded("/photos/large-12mp.jpg?w=500"));
    let (first, second) = tokio::join!(get(&server, &target), get(&server, &target));
    assert_eq!((first.status, second.status), (200, 503), "{}", second.text());
    assert_eq!(second.header("retry-after"), "1");
    assert_eq!(get(&server, &target).await.status, 200);
}
