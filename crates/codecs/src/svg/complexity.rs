//! Bounds on what an SVG expands to, checked on its XML before anything is built of it.
//!
//! A `use`, a pattern, a mask, a marker or a filter stands for a copy of what it refers to, so that a few lines can expand to
//! billions of elements. Here each element is counted once, with at least as many copies as usvg makes of it; numbers saturate.
//! Where an id is given twice, the element with the most counts. References that lead back to themselves are refused.

use std::cell::Cell;
use std::collections::HashMap;

use resvg::usvg::roxmltree::{Document, Node, NodeId};
use simplecss::StyleSheet;
use tintype_pixels::VectorDrawing;
use tintype_pixels::error::{Error, Result};

use super::images::{self, MAX_IMAGES, MAX_NESTED, Pictures};
use super::references::{Properties, Property, Reference, properties};
use super::style::{self, MAX_STEPS, Meter};

/// Elements after copies were made, and elements that are visited for them.
const MAX_ELEMENTS: u64 = 250_000;
/// Elements that lie in each other, copies included: parsing and drawing recurse.
const MAX_DEPTH: u32 = 128;
/// Levels of elements and of references while they are counted.
const MAX_LEVELS: u32 = 2 * MAX_DEPTH;
/// Characters of text, copies included: each is shaped, and its outline filled.
const MAX_CHARACTERS: u64 = 20_000;
/// Characters of each text times its parts, since the whole text is shaped for each part; on a path, times its vertices, too.
const MAX_LAYOUT: u64 = 10_000_000;
/// Bytes of attributes and texts, copies included.
const MAX_BYTES: u64 = 32 << 20;
/// Thousandths of a power of ten by which relative lengths grow that lie in each other.
const MAX_GROWTH: u64 = 3000;
/// Canvases that are held at a time.
const MAX_LAYERS: u64 = 200;

/// Bytes of memory for layers, whatever the canvas.
const LAYER_MEMORY: u64 = 8 << 20;
/// Bytes of memory for a byte of XML, and for an element that is built of it.
const BYTES_PER_BYTE: u64 = 12;
const BYTES_PER_ELEMENT: u64 = 2500;
const BYTES_PER_CHARACTER: u64 = 4000;
/// Nanoseconds to parse a byte, an element, and a character of text; to match a step of style sheets; and to shape a character.
const TIME_PER_BYTE: u64 = 12;
const TIME_PER_ELEMENT: u64 = 2500;
const TIME_PER_CHARACTER: u64 = 15_000;
const TIME_PER_STEP: u64 = 4;
const TIME_PER_LAYOUT: u64 = 100;

/// Checks the bounds and estimates the cost of parsing and the layers of drawing.
///
/// # Errors
/// [`Error::Limit`] where it is over a bound.
pub(super) fn measure(document: &Document<'_>) -> Result<VectorDrawing> {
    let left = Cell::new(MAX_IMAGES);
    measure_with(document, &Meter::new(MAX_STEPS), Some(Pictures { left: &left, levels: MAX_NESTED }))
}

/// As [`measure`], within the steps that are left, and without pictures in the document where `pictures` is `None`.
pub(super) fn measure_with(
    document: &Document<'_>, meter: &Meter, pictures: Option<Pictures<'_>>,
) -> Result<VectorDrawing> {
    let sheet = style::sheet(document, meter)?;
    let mut expander = Expander::new(document, &sheet, meter, pictures)?;
    let counts = expander.expand(document.root_element(), 0)?;
    counts.check()?;
    let bytes = counts.bytes.max(document.input_text().len() as u64);
    // a layer, or the picture of a letter, may be larger than a small canvas
    let fixed = if counts.layers > 0 || expander.has_text { LAYER_MEMORY } else { 0 };
    Ok(VectorDrawing {
        memory: fixed
            + bytes * BYTES_PER_BYTE
            + counts.total * BYTES_PER_ELEMENT
            + counts.characters * BYTES_PER_CHARACTER
            + counts.picture_memory.min(images::MAX_MEMORY),
        layers: counts.layers as u32,
        time: bytes * TIME_PER_BYTE
            + counts.total * TIME_PER_ELEMENT
            + counts.characters * TIME_PER_CHARACTER
            + counts.steps * TIME_PER_STEP
            + counts.layout * TIME_PER_LAYOUT
            + counts.picture_time.min(images::MAX_TIME),
        has_text: expander.has_text,
    })
}

pub(super) fn too_complex(what: String) -> Error {
    Error::Limit(format!("the SVG {what}"))
}

fn circle(id: &str) -> Error {
    too_complex(format!("has elements that refer to each other in a circle, one of them {id:?}"))
}

/// The counts of an element with all copies that it stands for.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Elements that may be painted: all but gradients.
    elements: u64,
    /// Vertices of the shapes that become elements in its place, each of which may carry a marker.
    vertices: u64,
    /// Elements and copies of all kinds.
    total: u64,
    /// Levels below it, references included.
    depth: u32,
    characters: u64,
    layout: u64,
    bytes: u64,
    /// Steps of style sheets for the elements that it becomes.
    steps: u64,
    /// Along the path below it that grows the most.
    growth: u64,
    /// Canvases that are held at a time.
    layers: u64,
    picture_memory: u64,
    picture_time: u64,
}

impl Counts {
    /// Adds an element that lies in its place.
    fn add(&mut self, child: Counts) {
        self.vertices = self.vertices.saturating_add(child.vertices);
        self.steps = self.steps.saturating_add(child.steps);
        self.add_copies(child, 1);
    }

    /// Adds copies that lie elsewhere, which no style sheet is matched with again.
    fn add_copies(&mut self, other: Counts, times: u64) {
        let add = |sum: &mut u64, number: u64| *sum = sum.saturating_add(number.saturating_mul(times));
        add(&mut self.elements, other.elements);
        add(&mut self.total, other.total);
        add(&mut self.characters, other.characters);
        add(&mut self.layout, other.layout);
        add(&mut self.bytes, other.bytes);
        add(&mut self.picture_memory, other.picture_memory);
        add(&mut self.picture_time, other.picture_time);
        self.depth = self.depth.max(other.depth.saturating_add(1));
        self.growth = self.growth.max(other.growth);
        self.layers = self.layers.max(other.layers);
    }

    /// Raises each number to that of another element that may be meant.
    fn raise(&mut self, other: Counts) {
        self.elements = self.elements.max(other.elements);
        self.vertices = self.vertices.max(other.vertices);
        self.total = self.total.max(other.total);
        self.depth = self.depth.max(other.depth);
        self.characters = self.characters.max(other.characters);
        self.layout = self.layout.max(other.layout);
        self.bytes = self.bytes.max(other.bytes);
        self.steps = self.steps.max(other.steps);
        self.growth = self.growth.max(other.growth);
        self.layers = self.layers.max(other.layers);
        self.picture_memory = self.picture_memory.max(other.picture_memory);
        self.picture_time = self.picture_time.max(other.picture_time);
    }

    /// How often a reference is followed for all that the element expands to.
    fn times(&self, property: Property) -> u64 {
        match property {
            Property::Marker => self.vertices.saturating_add(self.elements),
            Property::Paint => self.elements,
            _ => 1,
        }
    }

    fn check(&self) -> Result<()> {
        let what = if self.depth > MAX_DEPTH {
            format!("has a nesting depth of {}; {MAX_DEPTH} is drawn", self.depth)
        } else if self.total > MAX_ELEMENTS {
            format!("expands to more than {MAX_ELEMENTS} elements")
        } else if self.bytes > MAX_BYTES {
            format!("expands to more than {MAX_BYTES} bytes")
        } else if self.characters > MAX_CHARACTERS {
            format!("has {} characters; {MAX_CHARACTERS} are drawn", self.characters)
        } else if self.layout > MAX_LAYOUT {
            "has text of too many parts".into()
        } else if self.steps > MAX_STEPS {
            "takes too long to match with its style sheets".into()
        } else if self.growth > MAX_GROWTH {
            "has relative lengths that grow too much".into()
        } else if self.layers > MAX_LAYERS {
            format!("has {} nested layers; {MAX_LAYERS} are drawn", self.layers)
        } else {
            return Ok(());
        };
        Err(too_complex(what))
    }
}

/// One element by itself.
#[derive(Clone, Debug)]
struct Element<'a> {
    /// In the order in which copies are counted.
    references: Vec<Reference<'a>>,
    /// Without elements below it and references.
    own: Counts,
    inherited_bytes: u64,
}

impl<'a> Element<'a> {
    fn new(node: Node<'_, '_>, properties: Properties<'a>, steps: u64, keeps_blanks: bool) -> Element<'a> {
        let is_gradient = matches!(node.tag_name().name(), "linearGradient" | "radialGradient" | "stop");
        let mut own = Counts {
            elements: u64::from(!is_gradient),
            vertices: properties.vertices,
            total: 1,
            depth: 1,
            bytes: properties.bytes,
            // usvg visits all that lies in the target of a `use`
            steps: steps + node.children().count() as u64,
            growth: properties.growth,
            layers: properties.layers,
            ..Counts::default()
        };
        if is_text(node) {
            for text in node.children().filter(Node::is_text).filter_map(|text| text.text()) {
                own.characters += characters(text, keeps_blanks);
                own.bytes += text.len() as u64;
            }
        }
        Element { references: properties.references, own, inherited_bytes: properties.inherited_bytes }
    }
}

/// Whether the text in an element may be drawn.
fn is_text(node: Node<'_, '_>) -> bool {
    let may_hold = matches!(node.tag_name().name(), "text" | "tspan" | "textPath" | "a");
    may_hold && node.ancestors().any(|ancestor| ancestor.has_tag_name("text"))
}

/// Characters of a text, without the blanks of indentation where they are not kept.
fn characters(text: &str, keeps_blanks: bool) -> u64 {
    let is_drawn = |c: &char| keeps_blanks || !matches!(c, ' ' | '\t' | '\r' | '\n');
    text.chars().filter(is_drawn).count() as u64
}

/// Whether an element refers to the marker that it lies in, which usvg does not draw once more. Elements with an id may be drawn
/// elsewhere.
fn is_own_marker(node: Node<'_, '_>, reference: Reference<'_>) -> bool {
    let named = || node.ancestors().find(|it| it.has_attribute("id"));
    let is_same = |marker: Node<'_, '_>| {
        let mut ids = marker.attributes().filter(|attribute| attribute.name() == "id");
        marker.has_tag_name("marker") && ids.all(|id| id.value() == reference.id)
    };
    reference.property == Property::Marker && named().is_some_and(is_same)
}

/// The counts of the elements of one document.
struct Expander<'a, 'input> {
    /// The first element of each id, which `use` refers to.
    first: HashMap<&'a str, Node<'a, 'input>>,
    /// All elements of each id: other references mean the last one that usvg knows.
    all: HashMap<&'a str, Vec<Node<'a, 'input>>>,
    elements: HashMap<NodeId, Element<'a>>,
    /// `None` while the element is counted.
    counts: HashMap<NodeId, Option<Counts>>,
    /// `None` while that is counted which the reference leads to.
    targets: HashMap<Reference<'a>, Option<Counts>>,
    has_text: bool,
}

impl<'a, 'input> Expander<'a, 'input> {
    fn new(
        document: &'a Document<'input>, sheet: &'a StyleSheet<'a>, meter: &Meter, pictures: Option<Pictures<'_>>,
    ) -> Result<Expander<'a, 'input>> {
        let mut expander = Expander {
            first: HashMap::new(),
            all: HashMap::new(),
            elements: HashMap::new(),
            counts: HashMap::new(),
            targets: HashMap::new(),
            has_text: false,
        };
        // a copy of a text may lie in an element that preserves blanks
        let preserves = |node: Node<'_, '_>| {
            node.attributes().any(|attribute| attribute.name() == "space" && attribute.value() == "preserve")
        };
        let keeps_blanks = document.descendants().any(preserves);
        let mut depths: HashMap<NodeId, u32> = HashMap::new();
        for node in document.descendants().filter(Node::is_element) {
            let depth = node.parent().and_then(|parent| depths.get(&parent.id())).map_or(1, |depth| depth + 1);
            if depth > MAX_DEPTH {
                return Err(too_complex(format!("has a nesting depth of more than {MAX_DEPTH}")));
            }
            depths.insert(node.id(), depth);
            let steps = meter.left();
            let properties = properties(node, sheet, meter);
            let steps = steps - meter.left();
            if let Some(why) = properties.refusal {
                return Err(too_complex(why.into()));
            }
            let picture = pictures.zip(properties.picture).and_then(|(pictures, url)| pictures.measure(url, meter));
            meter.check()?;
            expander.add(node, Element::new(node, properties, steps, keeps_blanks), picture);
        }
        Ok(expander)
    }

    fn add(&mut self, node: Node<'a, 'input>, mut element: Element<'a>, picture: Option<VectorDrawing>) {
        if let Some(id) = node.attribute("id") {
            self.first.entry(id).or_insert(node);
        }
        for id in node.attributes().filter(|attribute| attribute.name() == "id") {
            self.all.entry(id.value()).or_default().push(node);
        }
        self.has_text |= node.has_tag_name("text");
        if let Some(VectorDrawing { memory, layers, time, has_text }) = picture {
            (element.own.picture_memory, element.own.picture_time) = (memory, time);
            element.own.layers += u64::from(layers);
            self.has_text |= has_text;
        }
        self.elements.insert(node.id(), element);
    }

    fn expand(&mut self, node: Node<'a, 'input>, level: u32) -> Result<Counts> {
        match self.counts.get(&node.id()) {
            Some(Some(counts)) => return Ok(*counts),
            Some(None) => return Err(circle(node.attribute("id").unwrap_or_default())),
            None => {}
        }
        if level > MAX_LEVELS {
            return Err(too_complex(format!("has a nesting depth of more than {MAX_LEVELS}")));
        }
        self.counts.insert(node.id(), None);
        let counts = self.expand_new(node, level)?;
        self.counts.insert(node.id(), Some(counts));
        Ok(counts)
    }

    fn expand_new(&mut self, node: Node<'a, 'input>, level: u32) -> Result<Counts> {
        let Some(element) = self.elements.get(&node.id()).cloned() else { return Ok(Counts::default()) };
        let Element { references, own, inherited_bytes } = element;
        let mut counts = Counts { growth: 0, layers: 0, ..own };
        for child in node.children().filter(Node::is_element) {
            counts.add(self.expand(child, level + 1)?);
        }
        if node.has_tag_name("text") {
            counts.layout = counts.layout.saturating_add(counts.characters.saturating_mul(counts.elements));
        }
        for reference in references {
            if is_own_marker(node, reference) {
                continue;
            }
            let target = self.target(reference, level)?;
            match reference.property {
                Property::Use => counts.add(target),
                property => counts.add_copies(target, counts.times(property)),
            }
            if reference.property == Property::TextPath {
                counts.layout = counts.layout.saturating_add(counts.characters.saturating_mul(target.vertices));
            }
        }
        counts.bytes = counts.bytes.saturating_add(counts.elements.saturating_mul(inherited_bytes));
        counts.growth = counts.growth.saturating_add(own.growth);
        counts.layers = counts.layers.saturating_add(own.layers);
        Ok(counts)
    }

    /// The counts of what a reference leads to, wherever it stands.
    fn target(&mut self, reference: Reference<'a>, level: u32) -> Result<Counts> {
        match self.targets.get(&reference) {
            Some(Some(counts)) => return Ok(*counts),
            Some(None) => return Err(circle(reference.id)),
            None => {}
        }
        self.targets.insert(reference, None);
        let nodes: Vec<Node<'a, 'input>> = match reference.property {
            Property::Use => self.first.get(reference.id).copied().into_iter().collect(),
            _ => self.all.get(reference.id).cloned().unwrap_or_default(),
        };
        let mut counts = Counts::default();
        for node in nodes {
            counts.raise(self.target_at(reference, node, level)?);
        }
        self.targets.insert(reference, Some(counts));
        Ok(counts)
    }

    fn target_at(&mut self, reference: Reference<'a>, node: Node<'a, 'input>, level: u32) -> Result<Counts> {
        let name = node.tag_name().name();
        if !reference.property.accepts(name) {
            // usvg looks through it once for references that lead back
            return Ok(Counts { total: self.elements.len() as u64, ..Counts::default() });
        }
        let mut counts = self.expand(node, level + 1)?;
        // these are drawn where they stand, with the paint servers and markers of the elements that they lie in
        if reference.property == Property::Image || matches!(name, "pattern" | "mask" | "marker") {
            for inherited in self.inherited(node, reference.id) {
                let target = self.target(inherited, level + 1)?;
                counts.add_copies(target, counts.times(inherited.property));
            }
        }
        Ok(counts)
    }

    /// The references that what lies in a node inherits from outside of it. A marker is not drawn in itself.
    fn inherited(&self, node: Node<'a, 'input>, id: &str) -> Vec<Reference<'a>> {
        let ancestors = node.ancestors().skip(1).filter_map(|ancestor| self.elements.get(&ancestor.id()));
        let is_inherited = |reference: &Reference<'a>| match reference.property {
            Property::Marker => reference.id != id,
            Property::Paint => true,
            _ => false,
        };
        let all = ancestors.flat_map(|ancestor| ancestor.references.iter().copied());
        let mut inherited: Vec<Reference<'a>> = all.filter(is_inherited).collect();
        inherited.sort_by_key(|reference| reference.property);
        inherited
    }
}
