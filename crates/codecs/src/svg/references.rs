//! The references of an SVG element, by attributes, its `style` and style sheets, and the layers that its properties ask for.

use resvg::usvg::roxmltree::Node;
use simplecss::{AttributeOperator, DeclarationTokenizer, Element, PseudoClass, StyleSheet};

/// How an element uses what it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    /// `use`: a copy in its place.
    Use,
    /// Once for the element itself: `mask`, `clip-path`, `filter`, the `href` of a gradient.
    Once,
    /// `fill` and `stroke`, which elements below inherit.
    Paint,
    /// `marker-*`: at vertices of the element and of those below.
    Marker,
}

/// Canvases that a filter takes beside the results of its primitives.
const FILTER_LAYERS: u64 = 6;

/// One reference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference<'a> {
    pub(super) property: Property,
    pub(super) id: &'a str,
}

/// All of one element.
#[derive(Debug, Default)]
pub(super) struct References<'a> {
    pub(super) all: Vec<Reference<'a>>,
    /// Canvases that its own properties ask for.
    pub(super) layers: u64,
}

/// The references of an element.
pub(super) fn references<'a>(node: Node<'a, '_>, sheet: &'a StyleSheet<'a>) -> References<'a> {
    let mut found = References::default();
    for attribute in node.attributes() {
        match attribute.name() {
            "href" => found.add_href(node, attribute.value()),
            "style" => {
                DeclarationTokenizer::from(attribute.value()).for_each(|it| found.add(it.name, it.value));
            }
            name => found.add(name, attribute.value()),
        }
    }
    let rules = sheet.rules.iter().filter(|rule| rule.declarations.iter().any(|it| matters(it.name)));
    for rule in rules.filter(|rule| rule.selector.matches(&XmlElement(node))) {
        rule.declarations.iter().for_each(|it| found.add(it.name, it.value));
    }
    found.layers += of_element(node);
    found
}

/// Whether a property refers to something, or asks for a layer.
fn matters(name: &str) -> bool {
    const OTHERS: [&str; 8] =
        ["clip-path", "fill", "filter", "isolation", "mask", "mix-blend-mode", "opacity", "stroke"];
    name.starts_with("marker") || OTHERS.contains(&name)
}

/// The canvases that an element asks for by its name. Each primitive of a filter keeps its result, on a region that may be larger
/// than the canvas.
fn of_element(node: Node<'_, '_>) -> u64 {
    match node.tag_name().name() {
        "filter" => FILTER_LAYERS + 2 * node.children().filter(Node::is_element).count() as u64,
        // it may be clipped to its viewport, or its picture drawn on a canvas of its own
        "svg" | "symbol" | "use" | "marker" | "image" | "feImage" | "pattern" => 1,
        "mask" | "clipPath" => 2,
        _ => 0,
    }
}

impl<'a> References<'a> {
    fn add_href(&mut self, node: Node<'a, '_>, value: &'a str) {
        if let Some(id) = value.trim().strip_prefix('#') {
            let is_use = node.tag_name().name() == "use";
            let property = if is_use { Property::Use } else { Property::Once };
            self.all.push(Reference { property, id });
        }
    }

    fn add(&mut self, name: &str, value: &'a str) {
        if !matters(name) {
            return;
        }
        if name == "filter" {
            // blur() and the like are primitives of a filter without an element; their region may be larger than the canvas
            self.layers += FILTER_LAYERS * value.matches('(').count() as u64;
        }
        let property = match name {
            "fill" | "stroke" => Property::Paint,
            name if name.starts_with("marker") => Property::Marker,
            _ => {
                self.layers += u64::from(!matches!(value.trim(), "none" | "1" | "auto" | "normal"));
                Property::Once
            }
        };
        self.all.extend(urls(value).map(|id| Reference { property, id }));
    }
}

/// The names in `url(#name)`, quoted or not.
fn urls(value: &str) -> impl Iterator<Item = &str> {
    value.split("url(").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.trim().trim_matches(['"', '\'']);
        target.trim().strip_prefix('#')
    })
}

/// An element as selectors see it.
struct XmlElement<'a, 'input>(Node<'a, 'input>);

impl Element for XmlElement<'_, '_> {
    fn parent_element(&self) -> Option<Self> {
        self.0.parent_element().map(XmlElement)
    }

    fn prev_sibling_element(&self) -> Option<Self> {
        self.0.prev_sibling_element().map(XmlElement)
    }

    fn has_local_name(&self, name: &str) -> bool {
        self.0.tag_name().name() == name
    }

    fn attribute_matches(&self, name: &str, operator: AttributeOperator<'_>) -> bool {
        self.0.attribute(name).is_some_and(|value| operator.matches(value))
    }

    fn pseudo_class_matches(&self, class: PseudoClass<'_>) -> bool {
        matches!(class, PseudoClass::FirstChild) && self.prev_sibling_element().is_none()
    }
}
