//! Access to the status page, and to its purges.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Request, header};

use crate::http::admin;
use crate::http::playground;
use crate::http::problem::Problem;
use crate::http::state::{Playground, State};

/// The page needs the admin token, as a bearer token or as the password of HTTP Basic, for which browsers ask. It needs none
/// where the playground is for this machine only, and there is none without a token otherwise.
pub(super) fn authorize<B>(state: &State, request: &Request<B>) -> Result<(), Problem> {
    if state.config.playground == Playground::Local && playground::is_local(request) {
        return Ok(());
    }
    let token = &state.live.load().config.admin_token;
    match () {
        () if token.is_empty() => Err(Problem::no_such_path()),
        () if has_token(token, request.headers()) => Ok(()),
        () => Err(Problem::unauthorized_in_browser()),
    }
}

/// A purge needs the token, in the request or in the form, also where the page does not.
pub(super) fn authorize_purge(state: &State, request: &Request<()>, field: &str) -> Result<(), Problem> {
    let token = &state.live.load().config.admin_token;
    match () {
        () if token.is_empty() => Err(Problem::forbidden("purges need a token: set security.admin_token")),
        () if has_token(token, request.headers()) || is_same(token, field.as_bytes()) => Ok(()),
        () => Err(Problem::forbidden("the token is missing or wrong")),
    }
}

/// Refuses forms that the page of another site sends: a browser would add the password that it knows.
pub(super) fn same_origin(request: &Request<()>) -> Result<(), Problem> {
    let headers = request.headers();
    let value = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let is_own = match (value("sec-fetch-site"), value("origin")) {
        (Some(site), _) => site == b"same-origin",
        // browsers send neither over plain HTTP only where the page does not say where it comes from
        (None, Some(origin)) => is_host_of(origin, headers),
        (None, None) => false,
    };
    if is_own { Ok(()) } else { Err(Problem::forbidden("the form was not sent by this page")) }
}

/// Whether an origin is this server, by the name that the request has for it.
fn is_host_of(origin: &[u8], headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    !host.is_empty() && authority == Some(host)
}

fn has_token(token: &str, headers: &HeaderMap) -> bool {
    admin::authorize(token, headers).is_ok() || basic_password(headers).is_some_and(|given| is_same(token, &given))
}

/// The password of HTTP Basic (RFC 7617); the name does not matter.
fn basic_password(headers: &HeaderMap) -> Option<Vec<u8>> {
    let given = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = given.split_once(' ')?;
    let decoded = STANDARD.decode(encoded.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    let colon = decoded.iter().position(|&byte| byte == b':')?;
    Some(decoded[colon + 1..].to_vec())
}

/// Compares digests, which blake3 does in constant time.
fn is_same(token: &str, given: &[u8]) -> bool {
    blake3::hash(given) == blake3::hash(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(headers: &[(&str, &str)]) -> Request<()> {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(*name, *value));
        request.body(()).expect("a request")
    }

    #[test]
    fn forms_of_other_pages_are_refused() {
        let check = |headers: &[(&str, &str)], expected: bool| {
            assert_eq!(same_origin(&post(headers)).is_ok(), expected, "{headers:?}");
        };
        check(&[("sec-fetch-site", "same-origin"), ("origin", "null")], true);
        check(&[("host", "a.example:80"), ("origin", "http://a.example:80")], true);
        for site in ["cross-site", "same-site", "none"] {
            check(&[("sec-fetch-site", site), ("host", "a"), ("origin", "http://a")], false);
        }
        for origin in ["null", "http://b.example", "http://a.example.b", "https://", ""] {
            check(&[("host", "a.example"), ("origin", origin)], false);
        }
        check(&[("host", "a.example")], false);
    }

    #[test]
    fn password_of_basic_is_the_token() {
        let of = |value: &str| basic_password(post(&[("authorization", value)]).headers());
        assert_eq!(of("Basic YTpiOmM="), Some(b"b:c".to_vec()));
        assert_eq!(of("basic OnNlY3JldA=="), Some(b"secret".to_vec()));
        for wrong in ["Bearer YTpi", "Basic", "Basic !", "Basic YWI="] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
