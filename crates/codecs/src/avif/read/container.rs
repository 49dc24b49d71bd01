//! The container of an AVIF file: ISO base media boxes (ISO/IEC 14496-12) and
//! the `meta` box of the image file format (ISO/IEC 23008-12, "HEIF").
//!
//! The parser borrows from the file, does not recurse, and bounds every count by
//! the constants below or by the length of the file.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::failure::{Failure, Result};
use super::location::{Extent, LocationLayout, MAX_EXTENTS, Source, join, truncated};
use super::property::{Property, parse_property};
use super::track::{self, Track};
use crate::boxes::{BoxRef, Boxes, FourCc, Reader};

/// The most items of a file. Each tile of a grid is an item; phones write
/// some 50, the largest panoramas a few hundred.
const MAX_ITEMS: usize = 4096;

/// The most references of all items, counting each target.
const MAX_REFERENCES: usize = 4 * MAX_ITEMS;

/// The most properties of an item, or of the sample entry of a track.
pub(super) const MAX_ASSOCIATIONS: usize = 128;

/// The most properties of all items: associations have indices of 15 bits, from 1 on (23008-12, 9.3.1).
const MAX_PROPERTIES: usize = 0x7fff;

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
    /// Whether the file is primarily an image sequence, so that its track is decoded rather than its primary item.
    pub(super) is_sequence: bool,
    /// Whether there are boxes that a still picture does not need.
    has_other_boxes: bool,
}

impl<'a> Container<'a> {
    /// Parses the boxes of a file, without item data. Its brands are not checked: files come here by their signature.
    ///
    /// Boxes behind `meta` and `moov` may be damaged or truncated: data are checked item by item.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self> {
        let mut boxes = Boxes::new(Reader::new(file));
        let first = boxes.next().ok_or("the file is empty")??;
        if first.kind != *b"ftyp" {
            return Err("it is not an AVIF file".into());
        }
        let brand = Reader::four_cc(&mut { first.body })?;
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
            // without `meta` the picture may be in a track
            Some(Err(error)) if container.tracks.is_empty() => return Err(error),
            None if container.tracks.is_empty() => return Err("it has no meta box and no moov box".into()),
            Some(Err(_)) => container.primary = None,
            _ => {}
        }
        // as in libavif, the major brand decides, and otherwise tracks are preferred
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
                // damage behind the boxes that a picture needs is ignored
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

    /// The item with an id, inserted if it is new.
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

    /// `iloc` (14496-12, 8.11.3): the locations of item data.
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
                return Err(format!("item {id} has two locations").into());
            }
            (item.source, item.extents) = (source, extents);
        }
        Ok(())
    }

    /// `iprp`: the property boxes (`ipco`) and their associations to items (`ipma`).
    fn parse_properties(&mut self, body: Reader<'a>) -> Result<()> {
        for item in Boxes::new(body) {
            let BoxRef { kind, body } = item?;
            match &kind {
                b"ipco" => {
                    let left = MAX_PROPERTIES - self.properties.len();
                    let boxes = Boxes::new(body).map_while(std::result::Result::ok).take(left);
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

    /// The track of the pictures: the first one that is not auxiliary.
    pub(super) fn picture_track(&self) -> Option<&Track<'a>> {
        self.tracks.iter().find(|track| !track.is_auxiliary())
    }

    /// The track of the alpha planes of the pictures.
    pub(super) fn alpha_track(&self) -> Option<&Track<'a>> {
        let pictures = self.picture_track()?;
        self.tracks.iter().find(|other| other.is_alpha_of(pictures.id))
    }

    /// Whether there is more than the items of these ids, in ascending order, and their descriptions.
    pub(super) fn has_others(&self, items: &[u32]) -> bool {
        self.has_other_boxes || self.items.keys().any(|id| items.binary_search(id).is_err())
    }

    pub(super) fn item(&self, id: u32) -> Result<&Item> {
        self.items.get(&id).ok_or_else(|| format!("it has no item {id}").into())
    }

    /// The item's properties in the order of their association.
    ///
    /// An unknown essential property is an error: the item must not be displayed
    /// (23008-12, 9.3.1).
    pub(super) fn properties(&self, item: &Item) -> Result<Vec<Property<'a>>> {
        let mut found = Vec::with_capacity(item.associations.len());
        for &(index, essential) in &item.associations {
            if index == 0 {
                continue;
            }
            let property =
                *self.properties.get(usize::from(index) - 1).ok_or_else(|| format!("it has no property {index}"))?;
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

    /// Bytes of the file; an error where they are not all in it.
    pub(super) fn bytes(&self, offset: u64, length: u64) -> Result<&'a [u8]> {
        let start = usize::try_from(offset).ok();
        let length = usize::try_from(length).ok();
        let tail = start.and_then(|start| self.file.get(start..));
        tail.zip(length).and_then(|(tail, length)| tail.get(..length)).ok_or_else(truncated)
    }

    /// The length of the file in bytes.
    pub(super) fn file_length(&self) -> usize {
        self.file.len()
    }

    /// The data of an item; an error where they are not all in the file.
    pub(super) fn data(&self, item: &Item) -> Result<Cow<'a, [u8]>> {
        let source = match item.source {
            Source::File => self.file,
            Source::ItemData => self.item_data,
            Source::Other(method) => {
                return Err(Failure::unsupported(format_args!("construction method {method} of item data")));
            }
        };
        match item.extents.as_slice() {
            [] => Err("an item has no data".into()),
            [extent] => Ok(Cow::Borrowed(extent.slice(source)?)),
            extents => join(extents, source).map(Cow::Owned),
        }
    }
}

impl Item {
    /// Whether it has a location.
    pub(super) fn is_located(&self) -> bool {
        !self.extents.is_empty()
    }
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

#[cfg(test)]
mod tests {
    use super::super::testing::{File, Item, boxed, ispe};
    use super::*;

    #[test]
    fn properties_beyond_all_indices_are_not_read() {
        let picture = File::of_items(vec![Item::av1(1, vec![0; 9]).with(ispe(64, 48))]);
        let boxes = boxed(b"free", &[]).repeat(MAX_PROPERTIES + 9);
        let file = File { meta_tail: boxed(b"iprp", &boxed(b"ipco", &boxes)), ..picture }.to_bytes();
        let container = Container::parse(&file).expect("a container");
        assert_eq!(container.properties.len(), MAX_PROPERTIES);
        let item = container.item(1).expect("an item");
        assert_eq!(container.properties(item), Ok(vec![Property::SpatialExtents { width: 64, height: 48 }]));
    }
}
