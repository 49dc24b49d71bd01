//! Parsing and drawing.

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::roxmltree::{Document, Node};
use resvg::usvg::{Options, Tree};
use tintype_pixels::error::{Error, Result};
use tintype_pixels::{Admitted, DecodeOptions, Format, Info, Integrity, Pixels, Region, Size};

use super::complexity::{self, too_complex};
use super::images::Budget;
use super::size::SizeAttributes;
use super::{cost, faces, xml};
use crate::codec::{Codec, Sink};

const FORMAT: Format = Format::Svg;

/// Draws SVGs.
pub(crate) struct Svg;

impl Codec for Svg {
    fn probe(&self, original: &[u8]) -> Result<Info> {
        let document = xml::parse(text(original)?)?;
        let mut info = Info::new(FORMAT, size(&document)?);
        info.has_alpha = true;
        info.caps.vector = Some(complexity::measure(&document)?);
        Ok(info)
    }

    fn decode(&self, _: &[u8], _: &Admitted<'_>, _: &DecodeOptions, _: Sink<'_>) -> Result<Integrity> {
        Err(Error::Impossible("an SVG has no pixels of its own".into()))
    }

    fn draw(&self, original: &[u8], admitted: &Admitted<'_>, region: Region, size: Size) -> Result<Pixels> {
        let drawn = admitted.info().size;
        let tree = parse(original, drawn)?;
        let transform = transform(tree.size(), drawn, region, size);
        let memory = cost::memory(tree.root(), transform, size.width, size.height)?;
        if memory.saturating_add(size.pixels() * 4) > admitted.memory() {
            return Err(too_complex(format!("takes {} MiB for layers and filters at this size", memory >> 20)));
        }
        let mut pixmap = Pixmap::new(size.width, size.height)
            .ok_or_else(|| Error::Impossible(format!("a canvas of {size} pixels")))?;
        resvg::render(&tree, transform, &mut pixmap.as_mut());
        let mut data = pixmap.take();
        straighten_alpha(&mut data);
        Ok(Pixels { size, channels: 4, data })
    }
}

fn text(original: &[u8]) -> Result<&str> {
    std::str::from_utf8(original).map_err(|_| Error::malformed(FORMAT, "it is no text in UTF-8"))
}

/// The size at which it is drawn where no other is asked for.
fn size(document: &Document<'_>) -> Result<Size> {
    let root = document.root_element();
    let attribute = |name| root.attribute(name);
    let attributes =
        SizeAttributes { width: attribute("width"), height: attribute("height"), view_box: attribute("viewBox") };
    attributes.drawn().ok_or_else(|| too_complex("has sides of no or of too many pixels".into()))
}

/// The text of a document with that size in its outermost element, so that resvg draws it at the size that the header has.
fn with_size(document: &Document<'_>, size: Size) -> String {
    let mut text = document.input_text().to_owned();
    let root = document.root_element();
    let behind_bracket = root.range().start + 1;
    let behind_name = behind_bracket + tag_length(&text[behind_bracket..]);
    let mut changes =
        [change(root, "height", size.height, behind_name), change(root, "width", size.width, behind_name)];
    // from the end, so that places before a change stay
    changes.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    changes.into_iter().for_each(|(range, new)| text.replace_range(range, &new));
    text
}

/// Bytes of the name at the beginning of a tag.
fn tag_length(tag: &str) -> usize {
    tag.find(|c: char| c.is_whitespace() || matches!(c, '/' | '>')).unwrap_or(tag.len())
}

/// The place of an attribute's value and the new value, or the place behind the tag's name and the attribute.
fn change(root: Node<'_, '_>, name: &str, value: u32, behind_name: usize) -> (std::ops::Range<usize>, String) {
    match root.attribute_node(name) {
        Some(attribute) => (attribute.range_value(), value.to_string()),
        None => (behind_name..behind_name, format!(" {name}=\"{value}\"")),
    }
}

/// The tree of an original, in the units of a picture of that size.
fn parse(original: &[u8], size: Size) -> Result<Tree> {
    let document = xml::parse(text(original)?)?;
    // the header may come from another process
    complexity::measure(&document)?;
    let options = Options {
        font_family: "serif".into(),
        image_href_resolver: Budget::new().resolver(),
        font_resolver: faces::resolver(),
        fontdb: faces::loaded(),
        ..Options::default()
    };
    let sized = with_size(&document, size);
    let tree = Tree::from_xmltree(&xml::parse(&sized)?, &options);
    tree.map_err(|error| match error {
        resvg::usvg::Error::ParsingFailed(resvg::usvg::roxmltree::Error::NodesLimitReached)
        | resvg::usvg::Error::ElementsLimitReached => too_complex("expands to too many elements, or too deeply".into()),
        error => Error::malformed(FORMAT, error),
    })
}

/// Divides premultiplied colours by their alpha, rounded to nearest. Most pixels are opaque or empty, and stay.
fn straighten_alpha(rgba: &mut [u8]) {
    for pixel in rgba.chunks_exact_mut(4) {
        let alpha = u32::from(pixel[3]);
        if alpha != 0 && alpha != 255 {
            for colour in &mut pixel[..3] {
                *colour = ((u32::from(*colour) * 255 + alpha / 2) / alpha).min(255) as u8;
            }
        }
    }
}

/// From the document's units to the pixels of a canvas of `size` that shows `region`, which is in pixels of the drawn size.
fn transform(own: resvg::tiny_skia::Size, drawn: Size, region: Region, size: Size) -> Transform {
    let (across, down) = (f64::from(size.width) / region.width, f64::from(size.height) / region.height);
    let sx = across * f64::from(drawn.width) / f64::from(own.width());
    let sy = down * f64::from(drawn.height) / f64::from(own.height());
    Transform::from_row(sx as f32, 0.0, 0.0, sy as f32, (-region.x * across) as f32, (-region.y * down) as f32)
}
