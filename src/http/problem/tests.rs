//! Problems: what they say, how long they are, and that each is counted.

use super::*;
use crate::source::ImageId;

/// Bytes of a problem's body at most.
const MAX_BODY_BYTES: usize = 8 * 1024;

#[tokio::test]
async fn problem_says_what_would_have_been_right() {
    let wrong = crate::dialect::native::query::parse("w=0&f=wepb").expect_err("wrong");
    let response = Problem::from(dialect::Error::InvalidParams(wrong)).respond(None);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()[header::CACHE_CONTROL], "max-age=60");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["status"], 400);
    assert_eq!(body["invalid_params"][0]["name"], "w");
    assert_eq!(body["invalid_params"][1]["did_you_mean"], "webp");
}

async fn body(problem: Problem, id: Option<&RequestId>) -> (usize, Value) {
    let body = http_body_util::BodyExt::collect(problem.respond(id).into_body()).await.expect("a body").to_bytes();
    (body.len(), serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn body_is_bounded_for_every_request() {
    let parse = |query: &str| match crate::dialect::native::query::parse(query) {
        Err(wrong) => Problem::from(dialect::Error::InvalidParams(wrong)),
        Ok(_) => panic!("{query} is good"),
    };
    let controls = "%01".repeat(2000);
    let id = RequestId(HeaderValue::from_str(&"x".repeat(64)).expect("a value"));
    let widths = (1..3000).map(|width| width.to_string()).collect::<Vec<_>>().join(", ");
    let widths_error = dialect::InvalidParam::new("width", "1", format!("one of {widths}"), None);
    let file = ImageId::parse(&format!("/{}a", "a/".repeat(3000))).expect("a name");
    for (problem, listed, omitted) in [
        (parse(&"w&".repeat(4096)), 8, 4088),
        (parse(&"w=1&".repeat(2048)), 8, 2039),
        (parse(&format!("w={0}&h={0}&q={0}&f={0}&fit={0}&bg={0}&dpr={0}&ar={0}&blur={0}", controls)), 7, 2),
        (parse(&format!("w={0}&h={0}&q={0}&f={0}", "\"\\".repeat(500))), 4, 0),
        (parse(&format!("f={}", "%F0%9F%98%80".repeat(600))), 1, 0),
        (Problem::from(dialect::Error::InvalidParams(widths_error.into())), 1, 0),
        (Problem::parameter("path", &"é".repeat(4000), "a path"), 1, 0),
        (Problem::conflict(&"x".repeat(100_000)).of_file(&file), 0, 0),
    ] {
        let shown = format!("{problem:?}").chars().take(200).collect::<String>();
        let (length, body) = body(problem, Some(&id)).await;
        assert!(length <= MAX_BODY_BYTES, "{length}: {shown}");
        let count = body["invalid_params"].as_array().map_or(0, Vec::len);
        assert_eq!((count, body["invalid_params_omitted"].as_u64().unwrap_or(0)), (listed, omitted), "{shown}");
    }
}

#[test]
fn texts_are_truncated_by_their_length_in_json() {
    let check =
        |text: &str, max_bytes: usize, expected: &str| assert_eq!(truncate(text, max_bytes), expected, "{text:?}");
    check("", 0, "");
    check("abc", 3, "abc");
    check("abcd", 3, "abc…");
    check("aé", 3, "aé");
    check("aéé", 4, "aé…");
    check("a\"b", 3, "a\"…");
    check("\u{1}\u{1}", 11, "\u{1}…");
}

#[test]
fn every_title_has_a_counter() {
    assert!(TITLES.is_sorted(), "{TITLES:?}");
    let (code, _) = include_str!("../problem.rs").split_once("#[cfg(test)]").expect("tests");
    let code = [code, include_str!("conversions.rs")].concat();
    let written = code.split("Problem::new(").skip(1).filter(|rest| rest.trim_start().starts_with("StatusCode::"));
    let written: std::collections::BTreeSet<&str> =
        written.map(|rest| rest.split('"').nth(1).expect("a title")).chain([INTERNAL]).collect();
    assert_eq!(written.into_iter().collect::<Vec<_>>(), TITLES);
}

#[test]
fn storage_error_shows_no_path() {
    let cause = std::io::Error::other("/srv/secret/place");
    let problem = Problem::from(source::Error::Unavailable(cause.into()));
    assert!(!problem.detail.contains("secret"));
    assert_eq!(problem.status, StatusCode::BAD_GATEWAY);
}
