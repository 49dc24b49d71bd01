//! Bounds on the XML of an SVG, checked on its text before it is parsed: roxmltree expands entities wherever they are
//! referred to, compares each attribute of an element with all others of it, and copies the namespaces in scope for each
//! element that declares one.

use std::collections::HashSet;

use resvg::usvg::roxmltree::{self, Document, ParsingOptions};
use tintype_pixels::Format;
use tintype_pixels::error::{Error, Result};

use super::complexity::too_complex;

/// Bytes of the longest document that is drawn, and bytes that its references to entities may expand to.
const MAX_BYTES: usize = 16 << 20;
/// Elements, text and comments as they are in the file.
const MAX_NODES: u32 = 250_000;
/// Comparisons of attributes with others of the same element.
const MAX_COMPARISONS: u64 = 200_000_000;
/// Prefixes of namespaces in the document, and declarations of namespaces in one element.
const MAX_NAMESPACES: usize = 50;

/// References that need no declaration.
const PREDEFINED: [&str; 6] = ["#", "amp;", "lt;", "gt;", "quot;", "apos;"];

/// Parses the XML within the bounds.
pub(super) fn parse(text: &str) -> Result<Document<'_>> {
    if text.len() > MAX_BYTES {
        return Err(too_complex(format!("has {} bytes; {MAX_BYTES} are drawn", text.len())));
    }
    let longest_entity = check_entities(text)?;
    check_tags(text, longest_entity)?;
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| match error {
        roxmltree::Error::NodesLimitReached => too_many_nodes(),
        error => Error::malformed(Format::Svg, error.to_string()),
    })
}

fn too_many_nodes() -> Error {
    too_complex(format!("has more than {MAX_NODES} nodes"))
}

/// Checks entities, and returns the length of the longest one. They stand for text: those that refer to others, or that hold
/// elements, are refused, so that all references expand to no more than their number times the longest one.
fn check_entities(text: &str) -> Result<usize> {
    let refused = || too_complex("has entities that hold elements or other entities".into());
    let (mut number, mut longest) = (0, 0);
    for declaration in text.split("<!ENTITY").skip(1) {
        // no quote stands before the value
        let Some(start) = declaration.find(['"', '\'']) else { continue };
        let (quote, rest) = declaration[start..].split_at(1);
        let (value, _) = rest.split_once(quote).ok_or_else(refused)?;
        let refers = value.split('&').skip(1).any(|reference| !reference.starts_with('#'));
        if refers || value.contains('<') {
            return Err(refused());
        }
        number += 1;
        longest = longest.max(value.len());
    }
    // each reference is looked up in the list of all entities
    if number > 0 && references(text).saturating_mul(longest + number) > MAX_BYTES {
        return Err(too_complex(format!("has entities that expand to more than {MAX_BYTES} bytes")));
    }
    Ok(longest)
}

/// References to entities that need a declaration, comments included.
fn references(text: &str) -> usize {
    let is_declared = |reference: &&str| !PREDEFINED.iter().any(|known| reference.starts_with(known));
    text.split('&').skip(1).filter(is_declared).count()
}

/// Checks the numbers of nodes, attributes and namespaces. No attribute has a `<`, so that a tag ends before the next one.
fn check_tags(text: &str, longest_entity: usize) -> Result<()> {
    let (mut tags, mut comparisons, mut longest_uri) = (0_u32, 0_u64, 0_usize);
    let mut prefixes = HashSet::new();
    for tag in text.split('<') {
        tags = tags.saturating_add(1);
        let is_value = |text: &&str| text.trim_ascii_start().starts_with(['"', '\'']);
        let attributes = tag.split('=').skip(1).filter(is_value).count() as u64;
        // long names take longer
        comparisons = comparisons.saturating_add(attributes * (attributes + tag.len() as u64 / 64));
        for (at, declaration) in tag.split("xmlns").skip(1).enumerate() {
            let (name, value) = declaration.split_once('=').unwrap_or_default();
            prefixes.insert(name.trim_ascii());
            let uri = value.trim_ascii_start().split(['"', '\'']).nth(1).unwrap_or_default();
            longest_uri = longest_uri.max(uri.len() + references(uri).saturating_mul(longest_entity));
            if at >= MAX_NAMESPACES || prefixes.len() > MAX_NAMESPACES {
                return Err(too_complex(format!("declares more than {MAX_NAMESPACES} namespaces")));
            }
        }
    }
    // an element has two tags
    if tags > 4 * MAX_NODES {
        return Err(too_many_nodes());
    }
    // attributes are compared by the URI of their namespace, too
    if comparisons.saturating_mul(1 + longest_uri as u64 / 64) > MAX_COMPARISONS {
        return Err(too_complex("has too many attributes in one element".into()));
    }
    Ok(())
}
