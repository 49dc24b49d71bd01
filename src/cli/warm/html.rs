//! The images of a page: `src`, `srcset` and the like, with the formats that a `<source>` is for.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// One URL in a page, as it is written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) url: String,
    /// The media type that it is said to be, where it is.
    pub(super) kind: Option<String>,
}

/// Attributes with one URL, and with several; pages that load images late have them under other names.
const SINGLE: [&str; 2] = ["src", "data-src"];
const SEVERAL: [&str; 3] = ["srcset", "data-srcset", "imagesrcset"];

/// Every image of a page, in its order.
pub(super) fn images(page: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut emitter = DefaultEmitter::default();
    // as browsers with scripts see it: what stands in scripts, styles, titles and noscript is text
    emitter.naively_switch_states(true);
    // the reader is a text, which cannot fail
    for token in Tokenizer::new_with_emitter(page, emitter).flatten() {
        if let Token::StartTag(tag) = token {
            of_tag(&tag, &mut found);
        }
    }
    found
}

fn of_tag(tag: &StartTag<()>, found: &mut Vec<Found>) {
    let attribute = |name: &str| {
        let value = tag.attributes.get(name.as_bytes())?;
        Some(String::from_utf8_lossy(value).trim().to_owned()).filter(|value| !value.is_empty())
    };
    let is_image = match tag.name.as_slice() {
        b"img" | b"source" => true,
        b"input" => attribute("type").is_some_and(|kind| kind.eq_ignore_ascii_case("image")),
        b"link" => attribute("as").is_some_and(|what| what.eq_ignore_ascii_case("image")),
        _ => false,
    };
    if !is_image {
        return;
    }
    // a source within audio or video has another type, and no srcset
    let kind = attribute("type").filter(|_| tag.name.as_slice() == b"source").map(|kind| kind.to_ascii_lowercase());
    if kind.as_ref().is_some_and(|kind| !kind.starts_with("image/")) {
        return;
    }
    let single = SINGLE.iter().chain((tag.name.as_slice() == b"link").then_some(&"href"));
    let mut urls: Vec<String> = single.filter_map(|name| attribute(name)).collect();
    urls.extend(SEVERAL.iter().filter_map(|name| attribute(name)).flat_map(|set| candidates(&set)));
    found.extend(urls.into_iter().map(|url| Found { url, kind: kind.clone() }));
}

/// The URLs of a `srcset` (HTML, "parse a srcset attribute"). Commas may stand within a URL: only one at its end, or
/// behind a descriptor, ends a candidate.
fn candidates(set: &str) -> Vec<String> {
    let mut urls = Vec::new();
    let mut rest = set;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == ',');
        if rest.is_empty() {
            return urls;
        }
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        let (url, after) = rest.split_at(end);
        let bare = url.trim_end_matches(',');
        urls.push(bare.to_owned());
        rest = if bare.len() < url.len() { after } else { behind_descriptor(after) };
    }
}

/// What follows the comma that ends a candidate; one in parentheses does not.
fn behind_descriptor(text: &str) -> &str {
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn srcsets() {
        let check = |set: &str, expected: &[&str]| assert_eq!(candidates(set), expected, "{set}");
        check("/a?w=1 1x, /a?w=2 2x", &["/a?w=1", "/a?w=2"]);
        check("/a?w=1,/b", &["/a?w=1,/b"]);
        check("/a?w=1, /b", &["/a?w=1", "/b"]);
        check("/a?rect=0,0,9,9 640w,/b 1280w", &["/a?rect=0,0,9,9", "/b"]);
        check("\n /a 100w ,\n /b 200w\n", &["/a", "/b"]);
        check("/a calc(1, 2), /b", &["/a", "/b"]);
        check(" , ,", &[]);
    }

    #[test]
    fn pages() {
        let page = r#"<!doctype html><title><img src="/no"></title>
            <!-- <img src="/no"> --><script>"<img src='/no'>"</script>
            <noscript><img src="/no"></noscript>
            <IMG SRC='/a.jpg?w=1&amp;h=2' srcset="/a.jpg?w=2 2x">
            <picture><source type="image/avif" srcset="/b.jpg?format=auto&w=3"><img src=/b.jpg?w=3 data-src="/c.jpg"></picture>
            <video><source type="video/mp4" src="/no.mp4"></video>
            <link rel=preload as=image href="/d.jpg?w=9"><link rel=stylesheet href="/no.css">
            <a href="/no.jpg">text</a><img src=""><img"#;
        let found = images(page);
        let urls: Vec<&str> = found.iter().map(|found| found.url.as_str()).collect();
        let expected = ["/a.jpg?w=1&h=2", "/a.jpg?w=2", "/b.jpg?format=auto&w=3", "/b.jpg?w=3", "/c.jpg", "/d.jpg?w=9"];
        assert_eq!(urls, expected);
        assert_eq!(found[2].kind.as_deref(), Some("image/avif"));
        assert_eq!(found[3].kind, None);
    }
}
