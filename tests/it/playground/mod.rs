//! The pages under `/-/`: playground, explanations, markup, comparison and status, in process and by the built program.

mod commands;
mod explain;
mod pages;
mod status;

use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tintype::config::{Config, read_text};

use crate::common::in_process::InProcess;
use crate::common::testdata;

/// An answer whose body was read.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

async fn ask(server: &InProcess, method: &str, uri: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let request = Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = server.app.answer(request.body(Body::from(body.to_owned())).expect("a request")).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes().to_vec();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn get(server: &InProcess, uri: &str) -> Answer {
    ask(server, "GET", uri, &[], "").await
}

fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The playground's explanation of a URL, for a client with that Accept header.
async fn explain(server: &InProcess, url: &str, accept: &str) -> Value {
    let target = format!("/-/playground/explain?url={}&accept={}", encoded(url), encoded(accept));
    let answer = get(server, &target).await;
    assert_eq!(answer.status, 200, "{url}: {}", answer.text());
    answer.json()
}

const TOKEN: &str = "let me in";

/// The test pictures with the playground.
fn playground() -> InProcess {
    playground_with(|_| {})
}

fn playground_with(change: impl FnOnce(&mut Config)) -> InProcess {
    InProcess::new(&testdata(), |config| {
        config.fixed.server.playground = true;
        change(config);
    })
}

/// Every dialect that has mounts.
const DIALECTS: &str = r#"
[dialects]
bases = ["https://www.example.com"]
[dialects.imgproxy]
mount = "/imgproxy"
[dialects.cloudflare]
mount = "/cdn-cgi/image"
[dialects.ipx]
mount = "/_ipx"
[dialects.thumbor]
mount = "/thumbor"
unsafe = true
[dialects.imgix]
mount = "/imgix"
[dialects.next]
mount = "/_next/image"
[dialects.wsrv]
mount = "/wsrv"
"#;

fn with_dialects() -> InProcess {
    let dialects = read_text(DIALECTS).expect("good settings").config.live.dialects;
    playground_with(|config| config.live.dialects = dialects)
}
