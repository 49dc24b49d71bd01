//! The style sheets of an SVG, within bounds on the steps that simplecss takes to read them and to match them with elements.

use std::cell::Cell;

use resvg::usvg::roxmltree::{Document, Node};
use simplecss::{AttributeOperator, Element, PseudoClass, StyleSheet};
use tintype_pixels::error::Result;

use super::complexity::too_complex;

/// Steps for a document and all documents in it: a step takes some nanoseconds.
pub(super) const MAX_STEPS: u64 = 100_000_000;
/// Rules of all style sheets, one for each selector of a list.
const MAX_RULES: usize = 4000;
/// Copies of declarations: each selector of a list has its own.
const MAX_DECLARATIONS: usize = 2_000_000;
/// Comments of all style sheets: simplecss recurses for each in a selector.
const MAX_COMMENTS: usize = 1000;
/// Blanks of a selector as simplecss writes it, of which each combinator has one or two: matching recurses for each combinator.
const MAX_BLANKS: usize = 32;

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Meter(Cell<u64>);

impl Meter {
    pub(super) fn new(steps: u64) -> Meter {
        Meter(Cell::new(steps))
    }

    /// The steps that are left; none after more were taken than there were.
    pub(super) fn left(&self) -> u64 {
        self.0.get()
    }

    pub(super) fn spend(&self, steps: u64) {
        self.0.set(self.0.get().saturating_sub(steps));
    }

    /// # Errors
    /// [`Error::Limit`](tintype_pixels::Error) where no steps are left.
    pub(super) fn check(&self) -> Result<()> {
        if self.left() == 0 {
            return Err(too_complex("takes too long to match with its style sheets".into()));
        }
        Ok(())
    }
}

/// The rules of all `style` elements, least specific first.
pub(super) fn sheet<'a>(document: &'a Document<'_>, meter: &Meter) -> Result<StyleSheet<'a>> {
    let styles = document.descendants().filter(|node| node.has_tag_name("style"));
    let texts: Vec<&str> = styles.filter_map(|style| style.text()).collect();
    let rules: usize = texts.iter().map(|text| 1 + text.matches([',', '}']).count()).sum();
    if rules > MAX_RULES {
        return Err(too_complex(format!("has more than {MAX_RULES} rules in style sheets")));
    }
    let declarations: usize = texts.iter().map(|text| declarations(text)).sum();
    let comments: usize = texts.iter().map(|text| text.matches("/*").count()).sum();
    if declarations > MAX_DECLARATIONS || comments > MAX_COMMENTS {
        return Err(too_complex("has too many declarations or comments in style sheets".into()));
    }
    // simplecss sorts all rules after each sheet
    meter.spend(4 * (rules * texts.len()) as u64);
    texts.iter().for_each(|text| meter.spend(parsing(text)));
    meter.check()?;
    let mut sheet = StyleSheet::new();
    texts.into_iter().for_each(|text| sheet.parse_more(text));
    if sheet.rules.iter().any(|rule| rule.selector.to_string().matches(' ').count() > MAX_BLANKS) {
        return Err(too_complex("has a selector of too many parts".into()));
    }
    Ok(sheet)
}

/// The declarations of a style sheet, at least as many as it has, each as often as the longest list has selectors.
fn declarations(css: &str) -> usize {
    let commas = |css: &str| css.matches(',').count();
    // a brace may stand in a string, a comment or an argument of a selector, and not begin a block
    let selectors = match css.contains('[') || css.contains("/*") || css.contains("lang(") {
        true => commas(css),
        false => css.split('{').map(commas).max().unwrap_or_default(),
    };
    css.matches(':').count() * (1 + selectors)
}

/// Steps to parse a style sheet, or the declarations of a `style` attribute. At the end of each value and number simplecss
/// makes an error, for which it counts lines and columns from the beginning of the text.
pub(super) fn parsing(css: &str) -> u64 {
    let (mut passed, mut before, mut behind_url) = (0, b' ', 0);
    for (at, byte) in css.bytes().enumerate() {
        if at < behind_url {
            continue;
        }
        let errors = match byte {
            b':' | b'{' | b'}' | b'#' | b'@' | b'+' | b'.' => 1,
            // a name has them, too
            b'-' => u64::from(!before.is_ascii_alphabetic() && before != b'_'),
            b'0'..=b'9' => u64::from(!before.is_ascii_alphanumeric() && !matches!(before, b'.' | b'-' | b'_')),
            b'(' if css.as_bytes()[..at].ends_with(b"url") => {
                behind_url = at + 1 + embedded(&css.as_bytes()[at + 1..]);
                8
            }
            _ => 0,
        };
        passed += errors * at as u64;
        before = byte;
    }
    passed / 4 + css.len() as u64 / 4
}

/// The length of a `data:` URL behind `url(`. Wherever that stands, simplecss passes over all of it: it has nothing that ends a
/// function, a string, a comment or a block.
fn embedded(css: &[u8]) -> usize {
    let quoted = css.strip_prefix(b"\"").or_else(|| css.strip_prefix(b"'"));
    let url = quoted.unwrap_or(css);
    if !url.starts_with(b"data:") {
        return 0;
    }
    let is_end = |byte: &u8| matches!(byte, b'"' | b'\'' | b'(' | b')' | b'{' | b'}' | b'*');
    css.len() - url.len() + url.iter().position(is_end).unwrap_or(url.len())
}

/// An element as selectors see it.
pub(super) struct XmlElement<'a, 'input> {
    pub(super) node: Node<'a, 'input>,
    pub(super) meter: &'a Meter,
}

impl XmlElement<'_, '_> {
    /// The element in that place; `None` where no steps are left, which ends the match.
    fn at(&self, node: Option<Self>) -> Option<Self> {
        self.meter.spend(16);
        node.filter(|_| self.meter.left() > 0)
    }
}

impl Element for XmlElement<'_, '_> {
    fn parent_element(&self) -> Option<Self> {
        self.at(self.node.parent_element().map(|node| XmlElement { node, ..*self }))
    }

    fn prev_sibling_element(&self) -> Option<Self> {
        let mut before = self.node.prev_siblings().skip(1).inspect(|_| self.meter.spend(1));
        self.at(before.find(Node::is_element).map(|node| XmlElement { node, ..*self }))
    }

    fn has_local_name(&self, name: &str) -> bool {
        self.meter.spend(1);
        self.node.tag_name().name() == name
    }

    fn attribute_matches(&self, name: &str, operator: AttributeOperator<'_>) -> bool {
        let value = self.node.attribute(name);
        self.meter.spend(1 + self.node.attributes().len() as u64 / 4 + value.map_or(0, str::len) as u64 / 8);
        value.is_some_and(|value| operator.matches(value))
    }

    fn pseudo_class_matches(&self, class: PseudoClass<'_>) -> bool {
        matches!(class, PseudoClass::FirstChild) && self.prev_sibling_element().is_none()
    }
}
