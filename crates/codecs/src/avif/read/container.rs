//! The container of an AVIF file: ISO base media boxes (ISO/IEC 14496-12) and
//! the `meta` box of the image file format (ISO/IEC 23008-12, "HEIF").
//!
//! The parser borrows from the file, follows no nesting deeper than the boxes
//! it names (so there is no recursion), and bounds every count by
//! the constants below or by the bytes that are really there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::boxes::{BoxRef, Boxes, FourCc, Reader};
use super::failure::{Failure, Result};
use super::property::{Property, parse_property};
use super::track::{self, Track};

/// Most items a file may declare. A grid's tiles are items each; phones write
/// some 50, the largest panoramas a few hundred.
const MAX_ITEMS: usize = 4096;

/// Most extents of all items together.
const MAX_EXTENTS: usize = 4 * MAX_ITEMS;

/// Most references, counting each target, over all items.
const MAX_REFERENCES: usize = 4 * MAX_ITEMS;

/// Most properties an item may have.
const MAX_ASSOCIATIONS: usize = 128;

/// A run of an item's bytes, relative to the start of its source.
#[derive(Debug, Clone, Copy)]
struct Extent {
    offset: u64,
    /// Bytes; 0 is up to the end of the source.
    length: u64,
}

/// Where an item's extents lie (`construction_method` of `iloc`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Source {
    #[default]
    File,
    ItemData,
    /// Data of other items (2), or a method that is not known.
    Other(u16),
}

/// An item of the `meta` box.
#[derive(Debug, Default)]
pub(super) struct Item {
    pub(super) kind: FourCc,
    source: Source,
    extents: Vec<Extent>,
    /// One-based index into `ipco`, and whether the property is essential.
    associations: Vec<(u16, bool)>,
}

/// A typed reference from one item to others (`iref`).
struct Reference {
    kind: FourCc,
    from: u32,
    to: Vec<u32>,
}

/// The parsed container.
pub(super) struct Container<'a> {
    file: &'a [u8],
    item_data: &'a [u8],
    /// The primary item, where there is one.
    pub(super) primary: Option<u32>,
    items: BTreeMap<u32, Item>,
    properties: Vec<Property<'a>>,
    references: Vec<Reference>,
    extents: usize,
    pub(super) tracks: Vec<Track<'a>>,
    /// Whether the file is an image sequence in the first place: its tracks are shown rather than its primary item.
    pub(super) is_sequence: bool,
    /// Whether there are boxes that are not of a still picture.
    has_other_boxes: bool,
}

impl<'a> Container<'a> {
    /// Parses the boxes of a file. Item data is not looked at.
    ///
    /// Boxes behind the `meta` and `moov` boxes may be damaged or cut: whether data is there is checked item by item.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self> {
        let mut boxes = Boxes::new(Reader::new(file));
        let first = boxes.next().ok_or("empty file")??;
        if first.kind != *b"ftyp" {
            return Err("not an AVIF file".into());
        }
        let brand = image_brand(first.body)?;
        let mut container = Self::empty(file);
        let mut meta = None;
        for item in boxes {
            match item {
                Ok(BoxRef { kind, body }) if kind == *b"meta" && meta.is_none() => {
                    meta = Some(container.parse_meta(body));
                }
                Ok(BoxRef { kind, body }) if kind == *b"moov" => {
                    container.tracks = track::parse_movie(body);
                    container.has_other_boxes = true;
                }
                Ok(BoxRef { kind, .. }) => container.has_other_boxes |= kind != *b"mdat",
                Err(_) if meta.is_some() || !container.tracks.is_empty() => break,
                Err(error) => return Err(error.into()),
            }
        }
        match meta {
            // a damaged or missing `meta` box matters only where the picture is in it
            Some(Err(error)) if container.tracks.is_empty() => return Err(error),
            None if container.tracks.is_empty() => return Err("no meta box and no moov box".into()),
            Some(Err(_)) => container.primary = None,
            _ => {}
        }
        // libavif goes by the major brand, and prefers tracks where that says neither
        container.is_sequence = match &brand {
            b"avis" => true,
            b"avif" => false,
            _ => !container.tracks.is_empty(),
        };
        Ok(container)
    }

    fn empty(file: &'a [u8]) -> Self {
        Self {
            file,
            item_data: &[],
            primary: None,
            items: BTreeMap::new(),
            properties: Vec::new(),
            references: Vec::new(),
            extents: 0,
            tracks: Vec::new(),
            is_sequence: false,
            has_other_boxes: false,
        }
    }

    fn parse_meta(&mut self, mut body: Reader<'a>) -> Result<()> {
        body.version_and_flags()?;
        for item in Boxes::new(body) {
            let (kind, body) = match item {
                Ok(BoxRef { kind, body }) => (kind, body),
                // the box is damaged behind everything that a picture needs
                Err(_) if self.primary.is_some() && self.items.values().any(Item::is_located) => break,
                Err(error) => return Err(error.into()),
            };
            match &kind {
                b"hdlr" => check_handler(body)?,
                b"pitm" => self.primary = Some(parse_primary(body)?),
                b"iinf" => self.parse_item_info(body)?,
                b"iloc" => self.parse_locations(body)?,
                b"iprp" => self.parse_properties(body)?,
                b"iref" => self.references = parse_references(body)?,
                b"idat" => self.item_data = body.0,
                b"dinf" | b"grpl" => {}
                _ => self.has_other_boxes = true,
            }
        }
        Ok(())
    }

    /// The item of that id, made if there is none yet.
    fn item_mut(&mut self, id: u32) -> Result<&mut Item> {
        if self.items.len() >= MAX_ITEMS && !self.items.contains_key(&id) {
            return Err(format!("more than {MAX_ITEMS} items").into());
        }
        Ok(self.items.entry(id).or_default())
    }

    /// `iinf` and its `infe` (14496-12, 8.11.6): the types of the items.
    fn parse_item_info(&mut self, mut body: Reader<'a>) -> Result<()> {
        let (version, _) = body.version_and_flags()?;
        body.narrow_or_wide(version > 0)?;
        for entry in Boxes::new(body) {
            let BoxRef { kind, mut body } = entry?;
            let (version, _) = body.version_and_flags()?;
            if kind != *b"infe" || version < 2 {
                continue;
            }
            let id = body.narrow_or_wide(version > 2)?;
            let protection = body.u16()?;
            let kind = body.four_cc()?;
            self.item_mut(id)?.kind = if protection == 0 { kind } else { *b"prot" };
        }
        Ok(())
    }

    /// `iloc` (14496-12, 8.11.3): where the items' bytes are.
    fn parse_locations(&mut self, mut body: Reader<'a>) -> Result<()> {
        let (version, _) = body.version_and_flags()?;
        if version > 2 {
            return Err(Failure::unsupported(format_args!("iloc version {version}")));
        }
        let (sizes, more_sizes) = (body.u8()?, body.u8()?);
        let layout = LocationLayout {
            version,
            offset_bytes: sizes >> 4,
            length_bytes: sizes & 15,
            base_bytes: more_sizes >> 4,
            index_bytes: if version > 0 { more_sizes & 15 } else { 0 },
        };
        let count = body.narrow_or_wide(version > 1)?;
        for _ in 0..count {
            let id = body.narrow_or_wide(version > 1)?;
            let (source, extents) = layout.parse_item(&mut body)?;
            self.extents += extents.len();
            if self.extents > MAX_EXTENTS {
                return Err(format!("more than {MAX_EXTENTS} extents").into());
            }
            let item = self.item_mut(id)?;
            if !item.extents.is_empty() {
                return Err(format!("item {id} is located twice").into());
            }
            (item.source, item.extents) = (source, extents);
        }
        Ok(())
    }

    /// `iprp`: the property boxes (`ipco`) and who has which (`ipma`).
    fn parse_properties(&mut self, body: Reader<'a>) -> Result<()> {
        for item in Boxes::new(body) {
            let BoxRef { kind, body } = item?;
            match &kind {
                b"ipco" => {
                    let boxes = Boxes::new(body).map_while(std::result::Result::ok);
                    self.properties.extend(boxes.map(|property| parse_property(&property)));
                }
                b"ipma" => self.parse_associations(body)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// `ipma` (23008-12, 9.3.1).
    fn parse_associations(&mut self, mut body: Reader<'a>) -> Result<()> {
        let (version, flags) = body.version_and_flags()?;
        let entries = body.u32()?;
        for _ in 0..entries {
            let id = body.narrow_or_wide(version > 0)?;
            let count = body.u8()?;
            let item = self.item_mut(id)?;
            for _ in 0..count {
                let (essential, index) = if flags & 1 == 1 {
                    let word = body.u16()?;
                    (word >> 15 == 1, word & 0x7fff)
                } else {
                    let byte = body.u8()?;
                    (byte >> 7 == 1, u16::from(byte & 0x7f))
                };
                item.associations.push((index, essential));
                if item.associations.len() > MAX_ASSOCIATIONS {
                    return Err(format!("item {id} has more than {MAX_ASSOCIATIONS} properties").into());
                }
            }
        }
        Ok(())
    }

    /// Whether there is anything but the items of those numbers, which rise, and what describes them.
    pub(super) fn has_others(&self, items: &[u32]) -> bool {
        self.has_other_boxes || self.items.keys().any(|id| items.binary_search(id).is_err())
    }

    pub(super) fn item(&self, id: u32) -> Result<&Item> {
        self.items.get(&id).ok_or_else(|| format!("no item {id}").into())
    }

    /// The item's properties in the order of their association.
    ///
    /// An item with an essential property that is not known must not be
    /// shown (23008-12, 9.3.1), so that is an error.
    pub(super) fn properties(&self, item: &Item) -> Result<Vec<Property<'a>>> {
        let mut found = Vec::with_capacity(item.associations.len());
        for &(index, essential) in &item.associations {
            if index == 0 {
                continue;
            }
            let property =
                *self.properties.get(usize::from(index) - 1).ok_or_else(|| format!("no property {index}"))?;
            match property {
                Property::Unknown(kind) if essential => {
                    let name = kind.escape_ascii();
                    return Err(Failure::unsupported(format_args!("the essential property {name}")));
                }
                Property::Invalid(kind) if essential => {
                    return Err(format!("the property {} is damaged", kind.escape_ascii()).into());
                }
                property => found.push(property),
            }
        }
        Ok(found)
    }

    /// The items that `from` points to by references of that type.
    pub(super) fn references_from(&self, kind: &FourCc, from: u32) -> impl Iterator<Item = u32> {
        self.references
            .iter()
            .filter(move |reference| reference.kind == *kind && reference.from == from)
            .flat_map(|reference| reference.to.iter().copied())
    }

    /// The items that point to `to` by a reference of that type.
    pub(super) fn references_to(&self, kind: &FourCc, to: u32) -> impl Iterator<Item = u32> {
        self.references
            .iter()
            .filter(move |reference| reference.kind == *kind && reference.to.contains(&to))
            .map(|reference| reference.from)
    }

    /// The bytes of the file from `offset` on; an error where any of them is not there.
    pub(super) fn bytes(&self, offset: u64, length: u64) -> Result<&'a [u8]> {
        let start = usize::try_from(offset).ok();
        let length = usize::try_from(length).ok();
        let tail = start.and_then(|start| self.file.get(start..));
        tail.zip(length).and_then(|(tail, length)| tail.get(..length)).ok_or_else(cut)
    }

    /// Bytes of the whole file.
    pub(super) fn file_length(&self) -> usize {
        self.file.len()
    }

    /// The item's bytes; an error where any of them is not there.
    pub(super) fn data(&self, item: &Item) -> Result<Cow<'a, [u8]>> {
        let source = match item.source {
            Source::File => self.file,
            Source::ItemData => self.item_data,
            Source::Other(method) => {
                return Err(Failure::unsupported(format_args!("construction method {method} of item data")));
            }
        };
        match item.extents.as_slice() {
            [] => Err("item has no data".into()),
            [extent] => Ok(Cow::Borrowed(extent.slice(source)?)),
            extents => join(extents, source).map(Cow::Owned),
        }
    }
}

impl Item {
    /// Whether there is any data of it.
    pub(super) fn is_located(&self) -> bool {
        !self.extents.is_empty()
    }
}

impl Extent {
    fn slice<'a>(&self, source: &'a [u8]) -> Result<&'a [u8]> {
        let start = usize::try_from(self.offset).ok();
        let tail = start.and_then(|start| source.get(start..));
        let length = usize::try_from(self.length).ok();
        match (tail, length) {
            (Some(tail), Some(0)) => Ok(tail),
            (Some(tail), Some(length)) => tail.get(..length).ok_or_else(cut),
            _ => Err(cut()),
        }
    }
}

pub(super) fn cut() -> Failure {
    "file is cut: image data is missing".into()
}

/// Joins extents. Together they may not be longer than their source, so that
/// overlapping ones cannot make much out of little.
fn join(extents: &[Extent], source: &[u8]) -> Result<Vec<u8>> {
    let mut joined = Vec::new();
    for extent in extents {
        let part = extent.slice(source)?;
        if joined.len() + part.len() > source.len() {
            return Err("extents overlap".into());
        }
        joined.extend_from_slice(part);
    }
    Ok(joined)
}

/// Field sizes of an `iloc` box, in bytes.
struct LocationLayout {
    version: u8,
    offset_bytes: u8,
    length_bytes: u8,
    base_bytes: u8,
    index_bytes: u8,
}

impl LocationLayout {
    fn parse_item(&self, body: &mut Reader<'_>) -> Result<(Source, Vec<Extent>)> {
        let method = if self.version > 0 { body.u16()? & 15 } else { 0 };
        // as in libavif, data is always in this file
        let _data_reference = body.u16()?;
        let source = match method {
            0 => Source::File,
            1 => Source::ItemData,
            method => Source::Other(method),
        };
        let base = body.sized(self.base_bytes)?;
        let count = usize::from(body.u16()?);
        if count > MAX_EXTENTS {
            return Err(format!("item of {count} extents").into());
        }
        let mut extents = Vec::with_capacity(count);
        for _ in 0..count {
            body.sized(self.index_bytes)?;
            let offset = body.sized(self.offset_bytes)?;
            let offset = base.checked_add(offset).ok_or("extent offset overflows")?;
            let length = body.sized(self.length_bytes)?;
            extents.push(Extent { offset, length });
        }
        Ok((source, extents))
    }
}

/// The major brand of `ftyp`, where it names any brand under which AV1 images occur.
fn image_brand(mut body: Reader<'_>) -> Result<FourCc> {
    let major = body.four_cc()?;
    body.u32()?;
    let (compatible, _) = body.0.as_chunks::<4>();
    let is_image = |brand: &FourCc| [*b"avif", *b"avis", *b"mif1", *b"msf1"].contains(brand);
    if is_image(&major) || compatible.iter().any(is_image) { Ok(major) } else { Err("not an AVIF file".into()) }
}

fn check_handler(mut body: Reader<'_>) -> Result<()> {
    body.version_and_flags()?;
    body.u32()?;
    match &body.four_cc()? {
        b"pict" => Ok(()),
        other => Err(format!("meta box of handler {}", other.escape_ascii()).into()),
    }
}

fn parse_primary(mut body: Reader<'_>) -> Result<u32> {
    let (version, _) = body.version_and_flags()?;
    Ok(body.narrow_or_wide(version > 0)?)
}

/// `iref` (14496-12, 8.11.12).
fn parse_references(mut body: Reader<'_>) -> Result<Vec<Reference>> {
    let (version, _) = body.version_and_flags()?;
    let mut references = Vec::new();
    let mut targets = 0;
    for item in Boxes::new(body) {
        let BoxRef { kind, mut body } = item?;
        let from = body.narrow_or_wide(version > 0)?;
        let count = body.u16()?;
        targets += usize::from(count).max(1);
        if targets > MAX_REFERENCES {
            return Err(format!("more than {MAX_REFERENCES} references").into());
        }
        let to = (0..count).map(|_| body.narrow_or_wide(version > 0)).collect::<std::result::Result<_, _>>()?;
        references.push(Reference { kind, from, to });
    }
    Ok(references)
}
