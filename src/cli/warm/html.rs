//! The image URLs of an HTML page: `src`, `srcset` and their lazy-loading variants, with the media type of a `<source>`.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

/// A URL as it stands in the page, relative or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImageUrl {
    pub(super) url: String,
    /// The `type` attribute of a `<source>`.
    pub(super) media_type: Option<String>,
}

/// Attributes with one URL, and with a list of them. The `data-` variants are those of lazy-loading scripts.
const SINGLE: [&str; 2] = ["src", "data-src"];
const LISTS: [&str; 3] = ["srcset", "data-srcset", "imagesrcset"];

/// All image URLs of a page, in document order.
pub(super) fn images(page: &str) -> Vec<ImageUrl> {
    let mut found = Vec::new();
    let mut emitter = DefaultEmitter::default();
    // as in browsers with scripts on: scripts, styles, titles and noscript contain text
    emitter.naively_switch_states(true);
    // reading from a string cannot fail
    for token in Tokenizer::new_with_emitter(page, emitter).flatten() {
        if let Token::StartTag(tag) = token {
            of_tag(&tag, &mut found);
        }
    }
    found
}

fn of_tag(tag: &StartTag<()>, found: &mut Vec<ImageUrl>) {
    let attribute = |name: &str| {
        let value = tag.attributes.get(name.as_bytes())?;
        Some(String::from_utf8_lossy(value).trim().to_owned()).filter(|value| !value.is_empty())
    };
    let is_image = match tag.name.as_slice() {
        b"img" | b"source" => true,
        b"input" => attribute("type").is_some_and(|media_type| media_type.eq_ignore_ascii_case("image")),
        b"link" => attribute("as").is_some_and(|what| what.eq_ignore_ascii_case("image")),
        _ => false,
    };
    if !is_image {
        return;
    }
    // a source of audio or video has another type
    let media_type = attribute("type")
        .filter(|_| tag.name.as_slice() == b"source")
        .map(|media_type| media_type.to_ascii_lowercase());
    if media_type.as_ref().is_some_and(|media_type| !media_type.starts_with("image/")) {
        return;
    }
    let single = SINGLE.iter().chain((tag.name.as_slice() == b"link").then_some(&"href"));
    let mut urls: Vec<String> = single.filter_map(|name| attribute(name)).collect();
    urls.extend(LISTS.iter().filter_map(|name| attribute(name)).flat_map(|set| candidates(&set)));
    found.extend(urls.into_iter().map(|url| ImageUrl { url, media_type: media_type.clone() }));
}

/// The URLs of a `srcset` (HTML, "parse a srcset attribute"). A comma inside a URL is part of it; a comma at its end or
/// after a descriptor ends the candidate.
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
        rest = if bare.len() < url.len() { after } else { after_descriptor(after) };
    }
}

/// The text after the comma that ends a descriptor; commas in parentheses do not.
fn after_descriptor(text: &str) -> &str {
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
    fn srcset_is_split_as_html_says() {
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
    fn images_of_a_page_are_found() {
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
        assert_eq!(found[2].media_type.as_deref(), Some("image/avif"));
        assert_eq!(found[3].media_type, None);
    }
}
