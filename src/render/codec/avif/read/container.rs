//! The container of an AVIF file: ISO base media boxes (ISO/IEC 14496-12) and
//! the `meta` box of the image file format (ISO/IEC 23008-12, "HEIF").
//!
//! The parser borrows from the file, follows no nesting deeper than the boxes
//! it names (so there is no recursion), and bounds every count by
//! the constants below or by the bytes that are really there.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::boxes::{BoxRef, Boxes, FourCc, Reader};
use super::property::{Property, parse_property};

type Result<T> = std::result::Result<T, String>;

/// Most items a file may declare. A grid's tiles are items each; phones write
/// some 50, the largest panoramas a few hundred.
const MAX_ITEMS: usize = 4096;

/// Most extents an item may be split into.
const MAX_EXTENTS: usize = 64;

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
    Unsupported,
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
    pub(super) primary: u32,
    items: BTreeMap<u32, Item>,
    properties: Vec<Property<'a>>,
    references: Vec<Reference>,
    /// Frames of the first picture track; 1 where there is none.
    pub(super) frames: u32,
    /// Whether there are boxes that are not of a still picture.
    has_other_boxes: bool,
}

impl<'a> Container<'a> {
    /// Parses the boxes of a file. Item data is not looked at.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self> {
        let mut boxes = Boxes::new(Reader::new(file));
        let first = boxes.next().ok_or("empty file")??;
        if first.kind != *b"ftyp" || !has_image_brand(first.body)? {
            return Err("not an AVIF file".into());
        }
        let mut container = None;
        let mut frames = 1;
        let mut has_other_boxes = false;
        for item in boxes {
            match item {
                Ok(BoxRef { kind, body }) if kind == *b"meta" && container.is_none() => {
                    container = Some(Self::parse_meta(file, body)?);
                }
                Ok(BoxRef { kind, body }) if kind == *b"moov" => {
                    frames = count_frames(body, file.len()).unwrap_or(1);
                    has_other_boxes = true;
                }
                Ok(BoxRef { kind, .. }) => has_other_boxes |= kind != *b"mdat",
                // What follows a whole `meta` box may be cut: extents are checked one by one.
                Err(_) if container.is_some() => break,
                Err(error) => return Err(error),
            }
        }
        let container = container.ok_or("no meta box")?;
        Ok(Self { frames, has_other_boxes: has_other_boxes || container.has_other_boxes, ..container })
    }

    fn parse_meta(file: &'a [u8], mut body: Reader<'a>) -> Result<Self> {
        body.version_and_flags()?;
        let mut meta = Self {
            file,
            item_data: &[],
            primary: 0,
            items: BTreeMap::new(),
            properties: Vec::new(),
            references: Vec::new(),
            frames: 1,
            has_other_boxes: false,
        };
        let mut primary = None;
        for item in Boxes::new(body) {
            let BoxRef { kind, body } = item?;
            match &kind {
                b"hdlr" => check_handler(body)?,
                b"pitm" => primary = Some(parse_primary(body)?),
                b"iinf" => meta.parse_item_info(body)?,
                b"iloc" => meta.parse_locations(body)?,
                b"iprp" => meta.parse_properties(body)?,
                b"iref" => meta.references = parse_references(body)?,
                b"idat" => meta.item_data = body.0,
                b"dinf" | b"grpl" => {}
                _ => meta.has_other_boxes = true,
            }
        }
        meta.primary = primary.ok_or("no primary item")?;
        Ok(meta)
    }

    /// The item of that id, made if there is none yet.
    fn item_mut(&mut self, id: u32) -> Result<&mut Item> {
        if self.items.len() >= MAX_ITEMS && !self.items.contains_key(&id) {
            return Err(format!("more than {MAX_ITEMS} items"));
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
            return Err(format!("iloc version {version}"));
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
            let item = self.item_mut(id)?;
            if !item.extents.is_empty() {
                return Err(format!("item {id} is located twice"));
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
                    for property in Boxes::new(body) {
                        self.properties.push(parse_property(&property?));
                    }
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
                    return Err(format!("item {id} has more than {MAX_ASSOCIATIONS} properties"));
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
        self.items.get(&id).ok_or_else(|| format!("no item {id}"))
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
                    return Err(format!("essential property {}", kind.escape_ascii()));
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

    /// The item's bytes; an error where any of them is not there.
    pub(super) fn data(&self, item: &Item) -> Result<Cow<'a, [u8]>> {
        let source = match item.source {
            Source::File => self.file,
            Source::ItemData => self.item_data,
            Source::Unsupported => return Err("item is built from other items".into()),
        };
        match item.extents.as_slice() {
            [] => Err("item has no data".into()),
            [extent] => Ok(Cow::Borrowed(extent.slice(source)?)),
            extents => join(extents, source).map(Cow::Owned),
        }
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

fn cut() -> String {
    "file is cut: item data is missing".into()
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
        let data_reference = body.u16()?;
        let source = match (data_reference, method) {
            (0, 0) => Source::File,
            (0, 1) => Source::ItemData,
            _ => Source::Unsupported,
        };
        let base = body.sized(self.base_bytes)?;
        let count = usize::from(body.u16()?);
        if count > MAX_EXTENTS {
            return Err(format!("item of {count} extents"));
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

/// Whether `ftyp` names a brand under which AV1 images occur.
fn has_image_brand(mut body: Reader<'_>) -> Result<bool> {
    let major = body.four_cc()?;
    body.u32()?;
    let (compatible, _) = body.0.as_chunks::<4>();
    let is_image = |brand: &FourCc| [*b"avif", *b"avis", *b"mif1", *b"msf1"].contains(brand);
    Ok(is_image(&major) || compatible.iter().any(is_image))
}

fn check_handler(mut body: Reader<'_>) -> Result<()> {
    body.version_and_flags()?;
    body.u32()?;
    match &body.four_cc()? {
        b"pict" => Ok(()),
        other => Err(format!("meta box of handler {}", other.escape_ascii())),
    }
}

fn parse_primary(mut body: Reader<'_>) -> Result<u32> {
    let (version, _) = body.version_and_flags()?;
    body.narrow_or_wide(version > 0)
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
            return Err(format!("more than {MAX_REFERENCES} references"));
        }
        let to = (0..count).map(|_| body.narrow_or_wide(version > 0)).collect::<Result<_>>()?;
        references.push(Reference { kind, from, to });
    }
    Ok(references)
}

/// Samples of the first picture track (14496-12, 8.7.3), or `None` where the
/// boxes do not say or say more than `file_length` bytes can hold.
fn count_frames(movie: Reader<'_>, file_length: usize) -> Option<u32> {
    let media = children(movie, b"trak")
        .filter_map(|track| children(track, b"mdia").next())
        .find(|&media| children(media, b"hdlr").any(|handler| check_handler(handler).is_ok()))?;
    let information = children(media, b"minf").next()?;
    let table = children(information, b"stbl").next()?;
    let mut sizes = children(table, b"stsz").next()?;
    sizes.version_and_flags().ok()?;
    let (_, count) = (sizes.u32().ok()?, sizes.u32().ok()?);
    (count > 0 && usize::try_from(count).ok()? <= file_length).then_some(count)
}

fn children<'a>(body: Reader<'a>, kind: &FourCc) -> impl Iterator<Item = Reader<'a>> {
    Boxes::new(body).map_while(Result::ok).filter(move |found| found.kind == *kind).map(|found| found.body)
}
