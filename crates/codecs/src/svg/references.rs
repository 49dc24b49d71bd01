//! The properties of one SVG element, of its attributes, its `style` and style sheets: its references, read as usvg reads
//! them, and what its values cost.

use resvg::usvg::roxmltree::Node;
use simplecss::{DeclarationTokenizer, StyleSheet};
use svgtypes::{FilterValue, FilterValueListParser, FuncIRI, IRI, Paint};

use super::numbers;
use super::style::{self, Meter, XmlElement};

/// How an element uses what it refers to. Copies are counted in this order: markers and paint servers apply to the copies
/// of all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Property {
    /// `use`: a copy in its place.
    Use,
    /// `feImage`: an element as it is drawn in its own place.
    Image,
    /// `textPath`: the outline of a shape.
    TextPath,
    /// The `href` of a gradient.
    Gradient,
    /// The `href` of a pattern.
    Pattern,
    /// `filter`, and the `href` of a filter.
    Filter,
    Mask,
    ClipPath,
    /// `marker-*`: at vertices of the element and of those below.
    Marker,
    /// `fill` and `stroke`, which elements below inherit.
    Paint,
}

impl Property {
    /// Whether usvg follows such a reference to an element of that name.
    pub(super) fn accepts(self, name: &str) -> bool {
        let is_gradient = matches!(name, "linearGradient" | "radialGradient");
        match self {
            Property::Use | Property::Image | Property::TextPath => true,
            Property::Gradient => is_gradient,
            Property::Pattern => name == "pattern",
            Property::Filter => name == "filter",
            Property::Mask => name == "mask",
            Property::ClipPath => name == "clipPath",
            Property::Marker => name == "marker",
            Property::Paint => is_gradient || name == "pattern",
        }
    }
}

const XLINK: &str = "http://www.w3.org/1999/xlink";

/// Canvases that a filter takes beside the results of its primitives.
const FILTER_LAYERS: u64 = 6;

/// Bytes of a declaration beside its value, and steps to apply it to an element.
const DECLARATION_BYTES: u64 = 16;
const DECLARATION_STEPS: u64 = 32;

/// Digits before the point of the largest numbers that are drawn; of sizes of fonts; and of lengths that are relative to others.
const MAX_DIGITS: u64 = 10;
const MAX_FONT_DIGITS: u64 = 6;
const MAX_RELATIVE_DIGITS: u64 = 3;

/// Properties that elements inherit, by their beginnings: usvg reads their values for each element below.
const INHERITED: [&str; 17] = [
    "clip-rule",
    "color",
    "direction",
    "dominant-baseline",
    "fill",
    "font",
    "image-rendering",
    "kerning",
    "letter-spacing",
    "marker",
    "paint-order",
    "shape-rendering",
    "stroke",
    "text-",
    "visibility",
    "word-spacing",
    "writing-mode",
];

/// One reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference<'a> {
    pub(super) property: Property,
    pub(super) id: &'a str,
}

/// The properties of one element.
#[derive(Clone, Debug, Default)]
pub(super) struct Properties<'a> {
    /// In the order in which copies are counted.
    pub(super) references: Vec<Reference<'a>>,
    /// The picture that it shows, as a URL.
    pub(super) picture: Option<&'a str>,
    /// Canvases that they ask for.
    pub(super) layers: u64,
    /// Vertices, each of which may carry a marker.
    pub(super) vertices: u64,
    /// Bytes of the values, and of what becomes of arcs, in bytes of XML.
    pub(super) bytes: u64,
    /// Bytes of the values that each element below inherits.
    pub(super) inherited_bytes: u64,
    /// Thousandths of a power of ten by which lengths below it grow.
    pub(super) growth: u64,
    /// Why it is not drawn.
    pub(super) refusal: Option<&'static str>,
}

/// The properties of an element. Those of style sheets and of `style` are incomplete where no steps are left.
pub(super) fn properties<'a>(node: Node<'a, '_>, sheet: &'a StyleSheet<'a>, meter: &Meter) -> Properties<'a> {
    let element = node.tag_name().name();
    let mut found = Properties { layers: layers_of(node), ..Properties::default() };
    for attribute in node.attributes() {
        let value = attribute.value();
        if attribute.name() == "href" {
            // of two, one is followed; a picture is no part of the copies of its element
            continue;
        }
        found.bytes += value.len() as u64;
        match attribute.name() {
            "style" => {
                meter.spend(style::parsing(value));
                if meter.left() > 0 {
                    DeclarationTokenizer::from(value).for_each(|it| found.add(it.name, it.value));
                }
            }
            "d" | "points" => found.add_outline(value),
            "r" | "rx" | "ry" => found.add_radius(value),
            "width" | "height" | "viewBox" => found.add_size(element, value),
            name => found.add(name, value),
        }
    }
    if let Some(href) = href(node) {
        found.add_href(element, href);
    }
    for rule in sheet.rules.iter().take_while(|_| meter.left() > 0) {
        meter.spend(1);
        if rule.selector.matches(&XmlElement { node, meter }) {
            for it in &rule.declarations {
                meter.spend(DECLARATION_STEPS + it.value.len() as u64 / 8);
                found.bytes += DECLARATION_BYTES + it.value.len() as u64;
                found.add(it.name, it.value);
            }
        }
    }
    if element == "tref" {
        found.refusal = Some("has a tref, which SVG 2 removed");
    }
    found.references.sort_by_key(|reference| reference.property);
    found
}

/// The `href` that usvg follows: the one without a namespace, or else that of XLink.
fn href<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let of = |namespace: Option<&str>| {
        let mut attributes = node.attributes();
        attributes.find(|it| it.name() == "href" && it.namespace() == namespace).map(|it| it.value())
    };
    of(None).or_else(|| of(Some(XLINK)))
}

/// The canvases that an element asks for by its name. Each primitive of a filter keeps its result, on a region that may be larger
/// than the canvas.
fn layers_of(node: Node<'_, '_>) -> u64 {
    match node.tag_name().name() {
        "filter" => FILTER_LAYERS + 2 * node.children().filter(Node::is_element).count() as u64,
        // it may be clipped to its viewport, or its picture drawn on a canvas of its own
        "svg" | "symbol" | "use" | "marker" | "image" | "feImage" | "pattern" => 1,
        "mask" | "clipPath" => 2,
        _ => 0,
    }
}

impl<'a> Properties<'a> {
    fn refer(&mut self, property: Property, id: Option<&'a str>) {
        self.references.extend(id.map(|id| Reference { property, id }));
    }

    fn add_href(&mut self, element: &str, value: &'a str) {
        let property = match element {
            "use" => Property::Use,
            "feImage" => Property::Image,
            "textPath" => Property::TextPath,
            "linearGradient" | "radialGradient" => Property::Gradient,
            "pattern" => Property::Pattern,
            "filter" => Property::Filter,
            // others do not refer to elements
            _ => {
                self.picture = (element == "image").then_some(value);
                return;
            }
        };
        let id = IRI::from_str(value).ok().map(|iri| iri.0);
        if property == Property::Image && id.is_none() {
            self.picture = Some(value);
        }
        self.refer(property, id);
    }

    /// The outline of a path, or of a polygon.
    fn add_outline(&mut self, value: &str) {
        let digits = numbers::most_digits(value);
        self.limit(digits, MAX_DIGITS);
        let count = |is: fn(&u8) -> bool| value.bytes().filter(is).count() as u64;
        let arcs = count(|byte| matches!(byte, b'a' | b'A'));
        // of each, up to five curves, or 70 where the radius has many digits
        let (curves, bytes) = if digits <= 3 { (5, 10) } else { (70, 140) };
        // a segment has a number, but for those that close an outline, and begin the next one
        self.vertices += count(u8::is_ascii_digit) + 2 * count(|byte| matches!(byte, b'z' | b'Z')) + curves * arcs;
        self.bytes += bytes * arcs;
    }

    fn add_radius(&mut self, value: &str) {
        let digits = numbers::most_digits(value);
        if numbers::is_relative(value) {
            self.limit(digits, MAX_RELATIVE_DIGITS);
            self.bytes += 1000;
        } else {
            self.limit(digits, MAX_DIGITS);
            self.bytes += if digits <= 3 { 0 } else { 140 };
        }
    }

    fn add_size(&mut self, element: &str, value: &str) {
        self.limit(numbers::most_digits(value), MAX_DIGITS);
        // percentages of what is inside refer to it
        if matches!(element, "svg" | "symbol" | "use") {
            self.growth = self.growth.saturating_add(numbers::growth_of_share(value));
        }
    }

    fn limit(&mut self, digits: u64, most: u64) {
        if digits > most {
            self.refusal = Some("has numbers of too many digits");
        }
    }

    /// A presentation attribute, or a declaration.
    fn add(&mut self, name: &str, value: &'a str) {
        if INHERITED.iter().any(|beginning| name.starts_with(beginning)) {
            self.inherited_bytes += value.len() as u64;
        }
        let by_function = || FuncIRI::from_str(value).ok().map(|iri| iri.0);
        let is_layer = !matches!(value.trim(), "none" | "1" | "auto" | "normal");
        match name {
            "fill" | "stroke" => {
                if let Ok(Paint::FuncIRI(id, _)) = Paint::from_str(value) {
                    self.refer(Property::Paint, Some(id));
                }
            }
            "marker" | "marker-start" | "marker-mid" | "marker-end" => self.refer(Property::Marker, by_function()),
            "mask" => self.refer(Property::Mask, by_function()),
            "clip-path" => self.refer(Property::ClipPath, by_function()),
            "filter" => {
                // blur() and the like are primitives of a filter without an element; their region may be larger than the canvas
                self.layers += FILTER_LAYERS * value.matches('(').count() as u64;
                let listed = FilterValueListParser::from(value).flatten().filter_map(|function| match function {
                    FilterValue::Url(id) => Some(id),
                    _ => None,
                });
                let listed: Vec<&str> = listed.collect();
                let quoted = by_function().filter(|id| !listed.contains(id));
                listed.into_iter().chain(quoted).for_each(|id| self.refer(Property::Filter, Some(id)));
            }
            "isolation" | "mix-blend-mode" | "opacity" => {}
            "font" | "font-size" => {
                self.limit(numbers::most_digits(value), MAX_FONT_DIGITS);
                let sizes = value.split(|c: char| c.is_whitespace() || c == '/').map(numbers::growth_of_font);
                self.growth = sizes.fold(self.growth, u64::saturating_add);
                return;
            }
            _ => return,
        }
        if matches!(name, "mask" | "clip-path" | "filter" | "isolation" | "mix-blend-mode" | "opacity") {
            self.layers += u64::from(is_layer);
        }
        // it would apply once more, to each element below that inherits it
        if matches!(name, "mask" | "clip-path" | "filter") && value.trim() == "inherit" {
            self.refusal = Some("inherits a mask, a clip path or a filter");
        }
    }
}
