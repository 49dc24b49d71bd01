//! Bounds on what an SVG expands to, checked on its XML before anything is built of it.
//!
//! A `use`, a pattern, a mask, a marker or a filter stands for a copy of what it refers to, so that a few lines can mean thousands
//! of millions of elements. Here each element is weighed once, with all copies that it stands for; numbers saturate.

use std::collections::HashMap;

use resvg::usvg::roxmltree::{Document, Node, NodeId, ParsingOptions};
use simplecss::StyleSheet;
use tintype_pixels::error::{Error, Result};
use tintype_pixels::{Format, VectorDrawing};

use super::references::{Property, Reference, references};

/// Bytes of the longest document that is drawn.
const MAX_BYTES: usize = 16 << 20;
/// Elements, text and comments as they are in the file.
const MAX_NODES: u32 = 250_000;
/// Elements after copies were made, and elements that are visited for them.
const MAX_ELEMENTS: u64 = 250_000;
/// Elements that lie in each other, copies included: parsing and drawing recurse.
const MAX_DEPTH: u32 = 128;
/// Characters of text, copies included: each is shaped, and its outline filled.
const MAX_CHARACTERS: u64 = 20_000;
/// Elements times rules of style sheets: each rule is compared with each element.
const MAX_MATCHES: u64 = 5_000_000;
/// Rules of style sheets, which simplecss sorts anew after each.
const MAX_RULES: usize = 1000;
/// References that lead back to themselves, each of which costs a pass over the document to remove.
const MAX_CYCLES: u32 = 32;
/// Canvases that are held at a time.
const MAX_LAYERS: u64 = 200;

/// Bytes of memory for layers, whatever the canvas.
const LAYER_MEMORY: u64 = 8 << 20;
/// Bytes of memory for a byte of XML, and for an element that is built of it.
const BYTES_PER_BYTE: u64 = 12;
const BYTES_PER_ELEMENT: u64 = 2500;
const BYTES_PER_CHARACTER: u64 = 4000;
/// Nanoseconds to parse a byte, an element, and a character of text.
const TIME_PER_BYTE: u64 = 12;
const TIME_PER_ELEMENT: u64 = 2500;
const TIME_PER_CHARACTER: u64 = 15_000;

/// Parses the XML within the bounds.
pub(super) fn parse(text: &str) -> Result<Document<'_>> {
    if text.len() > MAX_BYTES {
        return Err(too_complex(format!("has {} bytes; {MAX_BYTES} are drawn", text.len())));
    }
    // entities are expanded within bounds of its own: 10 levels, and no more than 255 references in one
    let options = ParsingOptions { allow_dtd: true, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| match error {
        resvg::usvg::roxmltree::Error::NodesLimitReached => too_complex(format!("has more than {MAX_NODES} nodes")),
        error => Error::malformed(Format::Svg, error.to_string()),
    })
}

/// Checks the bounds and estimates the cost of parsing and the layers of drawing.
///
/// # Errors
/// [`Error::Limit`] where it is over a bound.
pub(super) fn measure(document: &Document<'_>) -> Result<VectorDrawing> {
    let sheet = style_sheet(document)?;
    let mut scales = Scales::new(document, &sheet)?;
    let weight = scales.weigh(document.root_element(), 0)?;
    if weight.depth > MAX_DEPTH {
        return Err(too_complex(format!("has {} elements in each other; {MAX_DEPTH} are drawn", weight.depth)));
    }
    let elements = weight.total;
    if elements > MAX_ELEMENTS || scales.cycles > MAX_CYCLES {
        return Err(too_complex(format!("means more than {MAX_ELEMENTS} elements")));
    }
    if weight.characters > MAX_CHARACTERS {
        return Err(too_complex(format!("has {} characters; {MAX_CHARACTERS} are drawn", weight.characters)));
    }
    if weight.layers > MAX_LAYERS {
        return Err(too_complex(format!("has {} layers over each other; {MAX_LAYERS} are drawn", weight.layers)));
    }
    let (bytes, characters) = (document.input_text().len() as u64, weight.characters);
    // a layer, or the picture of a letter, may be larger than a small canvas
    let fixed = if weight.layers > 0 || characters > 0 { LAYER_MEMORY } else { 0 };
    Ok(VectorDrawing {
        memory: fixed + bytes * BYTES_PER_BYTE + elements * BYTES_PER_ELEMENT + characters * BYTES_PER_CHARACTER,
        layers: weight.layers as u32,
        time: bytes * TIME_PER_BYTE + elements * TIME_PER_ELEMENT + characters * TIME_PER_CHARACTER,
        has_text: characters > 0,
    })
}

pub(super) fn too_complex(what: String) -> Error {
    Error::Limit(format!("the SVG {what}"))
}

/// The rules of all `style` elements.
fn style_sheet<'a>(document: &'a Document<'_>) -> Result<StyleSheet<'a>> {
    let mut sheet = StyleSheet::new();
    let mut rules = 0;
    let styles = document.descendants().filter(|node| node.has_tag_name("style"));
    for text in styles.filter_map(|style| style.text()) {
        rules += number_of_rules(text);
        if rules > MAX_RULES {
            return Err(too_complex(format!("has more than {MAX_RULES} rules in style sheets")));
        }
        sheet.parse_more(text);
    }
    Ok(sheet)
}

/// Rules of a style sheet, one for each selector of a list.
fn number_of_rules(css: &str) -> usize {
    css.split('}').map(|rule| 1 + rule.split('{').next().unwrap_or_default().matches(',').count()).sum()
}

/// The meaning of an element for the count.
#[derive(Clone, Copy, Debug, Default)]
struct Weight {
    /// Elements that it becomes, copies by `use` included, those by paint servers and the like not.
    elements: u64,
    /// Vertices of its shapes, each of which may carry a marker.
    vertices: u64,
    /// Elements and copies of all kinds.
    total: u64,
    /// Levels below it, references included.
    depth: u32,
    characters: u64,
    /// Canvases that are held at a time.
    layers: u64,
}

impl Weight {
    fn add(&mut self, child: Weight) {
        self.elements = self.elements.saturating_add(child.elements);
        self.vertices = self.vertices.saturating_add(child.vertices);
        self.add_copies(child, 1);
    }

    /// Adds copies that become no elements in this place.
    fn add_copies(&mut self, other: Weight, times: u64) {
        self.total = self.total.saturating_add(other.total.saturating_mul(times));
        self.characters = self.characters.saturating_add(other.characters.saturating_mul(times));
        self.depth = self.depth.max(other.depth.saturating_add(1));
        self.layers = self.layers.max(other.layers);
    }
}

/// The weights of the elements of one document.
struct Scales<'a, 'input> {
    ids: HashMap<&'a str, Node<'a, 'input>>,
    sheet: &'a StyleSheet<'a>,
    /// `None` while the element is being weighed: a reference to it leads back to itself.
    weights: HashMap<NodeId, Option<Weight>>,
    cycles: u32,
}

impl<'a, 'input> Scales<'a, 'input> {
    fn new(document: &'a Document<'input>, sheet: &'a StyleSheet<'a>) -> Result<Scales<'a, 'input>> {
        let mut ids = HashMap::new();
        let mut elements = 0;
        for node in document.descendants().filter(Node::is_element) {
            elements += 1;
            if let Some(id) = node.attribute("id") {
                // the first one counts
                ids.entry(id).or_insert(node);
            }
        }
        if elements * sheet.rules.len() as u64 > MAX_MATCHES {
            return Err(too_complex(format!("has {} rules for {elements} elements", sheet.rules.len())));
        }
        Ok(Scales { ids, sheet, weights: HashMap::new(), cycles: 0 })
    }

    fn weigh(&mut self, node: Node<'a, 'input>, level: u32) -> Result<Weight> {
        match self.weights.get(&node.id()) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => {
                self.cycles += 1;
                return Ok(Weight::default());
            }
            None => {}
        }
        // the weights behind a reference add their levels to those before it
        if level > 2 * MAX_DEPTH {
            return Err(too_complex(format!("has more than {MAX_DEPTH} elements in each other")));
        }
        self.weights.insert(node.id(), None);
        let weight = self.weigh_new(node, level)?;
        self.weights.insert(node.id(), Some(weight));
        Ok(weight)
    }

    fn weigh_new(&mut self, node: Node<'a, 'input>, level: u32) -> Result<Weight> {
        let mut weight = Weight { elements: 1, total: 1, depth: 1, ..Weight::default() };
        weight.vertices = vertices(node);
        if is_text(node) {
            weight.characters = characters(node);
        }
        for child in node.children().filter(Node::is_element) {
            weight.add(self.weigh(child, level + 1)?);
        }
        let references = references(node, self.sheet);
        for Reference { property, id } in references.all {
            let Some(target) = self.ids.get(id).copied() else { continue };
            let is_cycle = matches!(self.weights.get(&target.id()), Some(None));
            // resvg skips a reference to what the element itself lies in, and may follow a longer way for ever
            if is_cycle && !node.ancestors().any(|ancestor| ancestor == target) {
                return Err(too_complex(format!(
                    "has elements that refer to each other in a circle, one of them {id:?}"
                )));
            }
            let target = self.weigh(target, level + 1)?;
            match property {
                // its elements stand in this place
                Property::Use => weight.add(target),
                Property::Once => weight.add_copies(target, 1),
                // each element below inherits it
                Property::Paint => weight.add_copies(target, weight.elements),
                Property::Marker => weight.add_copies(target, weight.vertices.saturating_add(weight.elements)),
            }
        }
        weight.layers += references.layers;
        Ok(weight)
    }
}

/// Vertices of a shape, at least as many as it has.
fn vertices(node: Node<'_, '_>) -> u64 {
    let text = node.attribute("d").or_else(|| node.attribute("points"));
    // an arc of three numbers and two flags becomes up to four curves
    text.map_or(0, |text| text.bytes().filter(|byte| byte.is_ascii_digit()).count() as u64)
}

fn is_text(node: Node<'_, '_>) -> bool {
    matches!(node.tag_name().name(), "text" | "tspan" | "textPath" | "tref" | "a")
}

/// Characters directly in an element, without the blanks of indentation.
fn characters(node: Node<'_, '_>) -> u64 {
    let texts = node.children().filter(Node::is_text).filter_map(|text| text.text());
    texts.map(|text| text.chars().filter(|c| !c.is_whitespace()).count() as u64).sum()
}
