//! AVIF stills: what a file holds ([`probe`]) and its pixels ([`decode`]).
//!
//! The container (ISO/IEC 23008-12, AV1-ISOBMFF) is read by [`container`], the
//! AV1 headers by [`sequence`], the AV1 frames by `re_rav1d`, and the frames
//! become RGB in [`convert`]. Of an image sequence the primary item is shown.
//!
//! Pixels come back as stored: the caller crops (`clap`), then turns (`irot`),
//! then mirrors (`imir`), in this order (23000-22, 7.3.6.7), and converts from
//! the primaries and transfer of [`Header::nclx`] or [`Header::icc`].
//!
//! Damaged data is an error. A panic inside `re_rav1d`, though, cannot be
//! caught: its entry points are `extern "C"`, so it aborts the process.

mod container;
mod convert;
mod sequence;

use re_rav1d::dav1d as av1;

pub(crate) use self::container::Nclx;
use self::container::{Av1Config, CleanAperture, Container, FourCc, Item, Property, Reader};
use self::convert::Canvas;
use self::sequence::SequenceHeader;
use crate::render::codec::samples::Decoded;
use crate::render::exif;

type Result<T> = std::result::Result<T, String>;

/// Auxiliary types that mark an alpha plane (AV1-AVIF, 4.1; 23008-12, 6.5.8).
const ALPHA_URNS: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];

/// Most tiles of a grid; phones write some 50.
const MAX_TILES: usize = 1024;

/// How often tiles may share data: the AV1 data of all tiles together may be
/// this many times as long as the file.
const MAX_DATA_REUSE: usize = 8;

/// A crop rectangle in pixels: left, top, width, height.
pub(crate) type Crop = (u32, u32, u32, u32);

/// What the container says about the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Pixels a row as stored, before `clap`, `irot` and `imir`.
    pub(crate) width: u32,
    /// Rows as stored, before `clap`, `irot` and `imir`.
    pub(crate) height: u32,
    /// Quarter turns anticlockwise that display the picture (`irot`).
    pub(crate) rotation: u8,
    /// Mirroring after the rotation (`imir`): 0 exchanges top and bottom, 1
    /// exchanges left and right.
    pub(crate) mirror: Option<u8>,
    /// The part to show, before the rotation (`clap`).
    pub(crate) clap: Option<Crop>,
    /// Whether there is an alpha plane.
    pub(crate) has_alpha: bool,
    /// Bits a sample as coded: 8, 10 or 12.
    pub(crate) depth: u8,
    /// The ICC profile (`colr` of type `prof` or `rICC`).
    pub(crate) icc: Option<Vec<u8>>,
    /// The code points of `colr`, or else of the AV1 sequence header.
    pub(crate) nclx: Option<Nclx>,
    /// Whether the picture is coded without chroma.
    pub(crate) monochrome: bool,
    /// Frames of the sequence; 1 for a still. As declared: of use as a hint only.
    pub(crate) frames: u32,
    /// The EXIF block that describes the picture, from its TIFF header on.
    pub(crate) exif: Option<Vec<u8>>,
    /// Whether there is anything but the picture: metadata, thumbnails, moving pictures, boxes that nobody knows.
    pub(crate) has_others: bool,
}

/// Reads what a file holds, without decoding pixels.
///
/// # Errors
///
/// A message for the log where the file is not AVIF, is damaged or cut, or
/// asks for something that is not supported.
pub(crate) fn probe(bytes: &[u8]) -> Result<Header> {
    Picture::open(bytes).map(|picture| picture.header)
}

/// Decodes the primary picture, as stored (see [`Header`] for what is left to
/// do). 8-bit files give 8-bit samples, deeper ones 16-bit samples.
///
/// `header` is what [`probe`] returned for the same bytes. Runs on the calling
/// thread and allocates in proportion to `header.width * header.height`.
///
/// # Errors
///
/// A message for the log where the picture has more than `max_pixels` pixels
/// or its data is damaged or cut.
pub(crate) fn decode(bytes: &[u8], header: &Header, max_pixels: u64) -> Result<Decoded> {
    let picture = Picture::open(bytes)?;
    if picture.header != *header {
        return Err("header is of another file".into());
    }
    check_pixels(header.width, header.height, max_pixels)?;
    let channels = if header.has_alpha { 4 } else { 3 };
    let (width, height) = (header.width as usize, header.height as usize);
    let mut canvas = Canvas::new(width, height, channels, header.depth);
    let mut budget = bytes.len().saturating_mul(MAX_DATA_REUSE);
    let mut paint = |plane: &Plane, role: Role| {
        check_pixels(plane.tile_width, plane.tile_height, max_pixels)?;
        plane.paint(&picture.container, &mut canvas, role, header.nclx, &mut budget)
    };
    paint(&picture.colour, Role::Colour)?;
    if let Some(alpha) = &picture.alpha {
        paint(alpha, Role::Alpha)?;
    }
    Ok(Decoded {
        width: header.width,
        height: header.height,
        channels: canvas.channels as u8,
        premultiplied: picture.premultiplied,
        samples: canvas.samples,
    })
}

fn check_pixels(width: u32, height: u32, max_pixels: u64) -> Result<()> {
    if u64::from(width) * u64::from(height) > max_pixels {
        return Err(format!("{width}x{height} is over the limit of {max_pixels} pixels"));
    }
    Ok(())
}

/// A file ready to decode.
struct Picture<'a> {
    container: Container<'a>,
    header: Header,
    colour: Plane,
    alpha: Option<Plane>,
    premultiplied: bool,
}

impl<'a> Picture<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let container = Container::parse(bytes)?;
        let primary = container.primary;
        let colour = Plane::open(&container, primary)?;
        let mut shown = vec![primary];
        let (alpha, premultiplied) = match find_alpha(&container, primary)? {
            Some(id) => {
                shown.push(id);
                let premultiplied = container.references_from(b"prem", primary).any(|to| to == id);
                (Some(Plane::open(&container, id)?), premultiplied)
            }
            None => (colour.alpha_of_tiles(&container)?, false),
        };
        if let Some(alpha) = &alpha {
            alpha.check_matches(&colour)?;
        }
        shown.extend(&colour.tiles);
        shown.extend(alpha.iter().flat_map(|alpha| &alpha.tiles));
        shown.sort_unstable();
        let header = read_header(&container, &colour, alpha.is_some(), &shown)?;
        Ok(Self { container, header, colour, alpha, premultiplied })
    }
}

/// `shown` has the numbers of all items that make the picture, rising.
fn read_header(container: &Container<'_>, colour: &Plane, has_alpha: bool, shown: &[u32]) -> Result<Header> {
    let first = container.item(colour.tiles[0])?;
    let tile_properties = container.properties(first)?;
    let own = container.properties(container.item(container.primary)?)?;
    let nclx = find(&own, as_nclx).or_else(|| find(&tile_properties, as_nclx));
    let icc = find(&own, as_icc).or_else(|| find(&tile_properties, as_icc));
    let Av1Config { depth, monochrome } = find(&tile_properties, as_av1_config).ok_or("no av1C property")?;
    let data = container.data(first)?;
    let coded = sequence::inspect(&data)?.colour;
    let (width, height) = (colour.width, colour.height);
    let Transforms { clap, rotation, mirror } = colour.transforms;
    let clap = clap.map(|clap| crop_of(&clap, width, height)).transpose()?;
    Ok(Header {
        width,
        height,
        rotation,
        mirror,
        clap,
        has_alpha,
        depth,
        icc: icc.map(<[u8]>::to_vec),
        nclx: Some(nclx.unwrap_or(coded)),
        monochrome,
        frames: container.frames,
        exif: exif_of(container),
        has_others: container.has_others(shown),
    })
}

/// What the first item of EXIF says that describes the primary picture (23008-12, A.2); a broken one counts as missing.
fn exif_of(container: &Container<'_>) -> Option<Vec<u8>> {
    let mut items = container.references_to(b"cdsc", container.primary).filter_map(|id| container.item(id).ok());
    let data = container.data(items.find(|item| item.kind == *b"Exif")?).ok()?;
    exif::behind_offset(&data).map(<[u8]>::to_vec)
}

/// The first property that `pick` takes.
fn find<'a, T>(properties: &[Property<'a>], pick: fn(&Property<'a>) -> Option<T>) -> Option<T> {
    properties.iter().find_map(pick)
}

fn as_nclx(property: &Property<'_>) -> Option<Nclx> {
    if let Property::Nclx(nclx) = property { Some(*nclx) } else { None }
}

fn as_icc<'a>(property: &Property<'a>) -> Option<&'a [u8]> {
    if let Property::Icc(icc) = property { Some(icc) } else { None }
}

fn as_av1_config(property: &Property<'_>) -> Option<Av1Config> {
    if let Property::Av1Config(config) = property { Some(*config) } else { None }
}

fn as_size(property: &Property<'_>) -> Option<(u32, u32)> {
    if let Property::SpatialExtents { width, height } = *property { Some((width, height)) } else { None }
}

fn as_operating_point(property: &Property<'_>) -> Option<u8> {
    if let Property::OperatingPoint(index) = property { Some(*index) } else { None }
}

/// The transformative properties of an item, in MIAF's order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Transforms {
    clap: Option<CleanAperture>,
    rotation: u8,
    mirror: Option<u8>,
}

impl Transforms {
    /// Collects `clap`, `irot` and `imir`. A mirroring that comes before the
    /// rotation is turned into one after it; a crop must come first.
    fn new(properties: &[Property<'_>]) -> Result<Self> {
        let mut all = Self::default();
        let mut has_rotation = false;
        for property in properties {
            match *property {
                Property::CleanAperture(clap) => {
                    if all != Self::default() || has_rotation {
                        return Err("clap after another transform".into());
                    }
                    all.clap = Some(clap);
                }
                Property::Rotation(turns) if !has_rotation => {
                    has_rotation = true;
                    all.rotation = if all.mirror.is_some() { (4 - turns) % 4 } else { turns };
                }
                Property::Mirror(axis) if all.mirror.is_none() => all.mirror = Some(axis),
                Property::Rotation(_) | Property::Mirror(_) => {
                    return Err("more than one rotation or mirroring".into());
                }
                _ => {}
            }
        }
        Ok(all)
    }
}

/// The rectangle of a clean aperture (14496-12, 12.1.4.1), its corner rounded
/// down to whole pixels.
fn crop_of(clap: &CleanAperture, width: u32, height: u32) -> Result<Crop> {
    let (left, width) = crop_span(clap.width, clap.horizontal, width)?;
    let (top, height) = crop_span(clap.height, clap.vertical, height)?;
    Ok((left, top, width, height))
}

/// One side of a clean aperture: where it starts and how long it is, in pixels.
fn crop_span(length: (u32, u32), offset: (i32, u32), whole: u32) -> Result<(u32, u32)> {
    let invalid = || "clap does not fit the picture".to_owned();
    let cropped = length.0.checked_div(length.1).filter(|&cropped| (1..=whole).contains(&cropped));
    let cropped = cropped.ok_or_else(invalid)?;
    let denominator = 2 * i128::from(offset.1);
    let numerator = 2 * i128::from(offset.0) + i128::from(whole - cropped) * i128::from(offset.1);
    if denominator == 0 {
        return Err(invalid());
    }
    let start = u32::try_from(numerator.div_euclid(denominator)).map_err(|_| invalid())?;
    if start > whole - cropped {
        return Err(invalid());
    }
    Ok((start, cropped))
}

/// The alpha item of an item, if it has one.
fn find_alpha(container: &Container<'_>, id: u32) -> Result<Option<u32>> {
    for auxiliary in container.references_to(b"auxl", id) {
        let item = container.item(auxiliary)?;
        let is_alpha = |property: &Property<'_>| match property {
            Property::AuxiliaryType(urn) => ALPHA_URNS.contains(urn),
            _ => false,
        };
        if container.properties(item)?.iter().any(is_alpha) {
            return Ok(Some(auxiliary));
        }
    }
    Ok(None)
}

/// What a plane is painted as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Colour,
    Alpha,
}

/// A coded image or a grid of them, colour or alpha.
struct Plane {
    /// Size in pixels of the whole.
    width: u32,
    height: u32,
    transforms: Transforms,
    /// Item ids, row by row; one for a picture without grid.
    tiles: Vec<u32>,
    columns: usize,
    tile_width: u32,
    tile_height: u32,
}

impl Plane {
    fn open(container: &Container<'_>, id: u32) -> Result<Self> {
        let item = container.item(id)?;
        let properties = container.properties(item)?;
        let (width, height) = find(&properties, as_size).ok_or("no ispe property")?;
        if width == 0 || height == 0 {
            return Err("empty picture".into());
        }
        let transforms = Transforms::new(&properties)?;
        match &item.kind {
            b"av01" => {
                check_coded_item(container, item, (width, height))?;
                let (tile_width, tile_height) = (width, height);
                Ok(Self { width, height, transforms, tiles: vec![id], columns: 1, tile_width, tile_height })
            }
            b"grid" => Self::open_grid(container, id, (width, height), transforms),
            kind => Err(format!("item of type {}", kind.escape_ascii())),
        }
    }

    /// A grid derived image (23008-12, 6.6.2.3).
    fn open_grid(
        container: &Container<'_>, id: u32, (width, height): (u32, u32), transforms: Transforms,
    ) -> Result<Self> {
        let data = container.data(container.item(id)?)?;
        let grid = Grid::parse(&data)?;
        if (grid.width, grid.height) != (width, height) {
            return Err("grid and ispe differ in size".into());
        }
        let tiles = container.references_from(b"dimg", id).collect::<Vec<_>>();
        if tiles.len() != grid.columns * grid.rows || tiles.len() > MAX_TILES {
            return Err(format!("{} tiles in a {}x{} grid", tiles.len(), grid.columns, grid.rows));
        }
        let (tile_width, tile_height) = size_of(container, tiles[0])?;
        for &tile in &tiles {
            let item = container.item(tile)?;
            if size_of(container, tile)? != (tile_width, tile_height) {
                return Err("grid tiles differ in size".into());
            }
            check_coded_item(container, item, (tile_width, tile_height))?;
        }
        let covers = covers_tightly(tile_width, grid.columns, width) && covers_tightly(tile_height, grid.rows, height);
        if !covers {
            return Err("grid tiles do not fit the grid".into());
        }
        let columns = grid.columns;
        Ok(Self { width, height, transforms, tiles, columns, tile_width, tile_height })
    }

    /// Alpha of a grid whose tiles have an alpha item each; none where a tile
    /// is without.
    fn alpha_of_tiles(&self, container: &Container<'_>) -> Result<Option<Self>> {
        if self.tiles == [container.primary] {
            return Ok(None);
        }
        let mut tiles = Vec::with_capacity(self.tiles.len());
        for &tile in &self.tiles {
            let Some(alpha) = find_alpha(container, tile)? else {
                return Ok(None);
            };
            check_coded_item(container, container.item(alpha)?, (self.tile_width, self.tile_height))?;
            tiles.push(alpha);
        }
        Ok(Some(Self { tiles, transforms: Transforms::default(), ..*self }))
    }

    /// An alpha plane has the size of the colour, and is either left as stored
    /// or transformed the same way.
    fn check_matches(&self, colour: &Self) -> Result<()> {
        if (self.width, self.height) != (colour.width, colour.height) {
            return Err("alpha and colour differ in size".into());
        }
        if self.transforms != Transforms::default() && self.transforms != colour.transforms {
            return Err("alpha and colour are transformed differently".into());
        }
        Ok(())
    }

    /// Decodes the tiles one by one into the canvas. `budget` is how many
    /// bytes of AV1 data may still be decoded.
    fn paint(
        &self, container: &Container<'_>, canvas: &mut Canvas, role: Role, nclx: Option<Nclx>, budget: &mut usize,
    ) -> Result<()> {
        for (index, &tile) in self.tiles.iter().enumerate() {
            let item = container.item(tile)?;
            let data = container.data(item)?;
            *budget = budget.checked_sub(data.len()).ok_or("tiles share too much data")?;
            let operating_point = find(&container.properties(item)?, as_operating_point).unwrap_or(0);
            let sequence = sequence::inspect(&data)?;
            let size = (self.tile_width, self.tile_height);
            let frame = decode_frame(data.into_owned(), size, operating_point)?;
            let (column, row) = (index % self.columns, index / self.columns);
            let corner = (column * self.tile_width as usize, row * self.tile_height as usize);
            put_frame(canvas, &frame, corner, role, nclx, &sequence)?;
        }
        Ok(())
    }
}

fn put_frame(
    canvas: &mut Canvas, frame: &av1::Picture, corner: (usize, usize), role: Role, nclx: Option<Nclx>,
    sequence: &SequenceHeader,
) -> Result<()> {
    match role {
        Role::Colour => {
            let colour = nclx.unwrap_or(sequence.colour);
            convert::put_colour(canvas, frame, corner, colour, sequence.chroma_position)
        }
        Role::Alpha => convert::put_grey(canvas, frame, corner, sequence.colour.full_range, 3..4),
    }
}

/// Whether `count` tiles cover `whole` pixels, and the last one is needed.
fn covers_tightly(tile: u32, count: usize, whole: u32) -> bool {
    let (tile, count, whole) = (u64::from(tile), count as u64, u64::from(whole));
    tile * count >= whole && tile * (count - 1) < whole
}

fn size_of(container: &Container<'_>, id: u32) -> Result<(u32, u32)> {
    let properties = container.properties(container.item(id)?)?;
    find(&properties, as_size).ok_or_else(|| "no ispe property".into())
}

/// Checks an `av01` item as far as that goes without decoding: its type, that
/// its data is all there, and that the AV1 sequence is of the declared size.
fn check_coded_item(container: &Container<'_>, item: &Item, size: (u32, u32)) -> Result<()> {
    const AV01: FourCc = *b"av01";
    if item.kind != AV01 {
        return Err(format!("item of type {}", item.kind.escape_ascii()));
    }
    let selects_layer =
        |property: &Property<'_>| matches!(property, Property::LayerSelector(layer) if *layer != u16::MAX);
    if container.properties(item)?.iter().any(selects_layer) {
        return Err("layer selection is not supported".into());
    }
    let sequence = sequence::inspect(&container.data(item)?)?;
    if (sequence.max_width, sequence.max_height) != size {
        let SequenceHeader { max_width, max_height, .. } = sequence;
        return Err(format!("ispe says {}x{}, AV1 {max_width}x{max_height}", size.0, size.1));
    }
    Ok(())
}

/// The description of a grid (23008-12, 6.6.2.3.2).
struct Grid {
    rows: usize,
    columns: usize,
    width: u32,
    height: u32,
}

impl Grid {
    fn parse(data: &[u8]) -> Result<Self> {
        let mut data = Reader::new(data);
        let (version, flags) = (data.u8()?, data.u8()?);
        if version != 0 {
            return Err(format!("grid version {version}"));
        }
        let (rows, columns) = (usize::from(data.u8()?) + 1, usize::from(data.u8()?) + 1);
        let (width, height) =
            if flags & 1 == 1 { (data.u32()?, data.u32()?) } else { (data.u16()?.into(), data.u16()?.into()) };
        Ok(Self { rows, columns, width, height })
    }
}

/// Decodes the shown frame of an item's temporal unit, on this thread.
///
/// Frames of more pixels than `size` are refused before they are allocated.
fn decode_frame(data: Vec<u8>, size: (u32, u32), operating_point: u8) -> Result<av1::Picture> {
    let limit = size.0.checked_mul(size.1).ok_or("frame is too large")?;
    let mut settings = av1::Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    settings.set_frame_size_limit(limit);
    settings.set_operating_point(operating_point.into());
    // of a layered item only the last layer
    settings.set_all_layers(false);
    let failed = |error: av1::Error| format!("AV1: {error}");
    let mut decoder = av1::Decoder::with_settings(&settings).map_err(failed)?;
    let mut sent = decoder.send_data(data, None, None, None);
    // each round takes a frame or sends more; the last drains the decoder
    loop {
        let has_more = match sent {
            Ok(()) => false,
            Err(error) if error.is_again() => true,
            Err(error) => return Err(failed(error)),
        };
        match decoder.get_picture().or_else(|_| decoder.get_picture()) {
            Ok(frame) if (frame.width(), frame.height()) == size => return Ok(frame),
            Ok(frame) => return Err(format!("AV1 frame of {}x{}", frame.width(), frame.height())),
            Err(error) if error.is_again() && has_more => {}
            Err(error) => return Err(failed(error)),
        }
        sent = decoder.send_pending_data();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_aperture_is_placed_from_the_centre() {
        // 12 wide, 8 kept, centre moved 2 to the right: columns 4 to 11
        assert_eq!(crop_span((8, 1), (2, 1), 12), Ok((4, 8)));
        // half pixels round down
        assert_eq!(crop_span((3, 1), (0, 1), 10), Ok((3, 3)));
    }

    #[test]
    fn a_clean_aperture_beyond_the_picture_is_refused() {
        for (length, offset) in [((13, 1), (0, 1)), ((8, 1), (3, 1)), ((8, 0), (0, 1)), ((8, 1), (0, 0))] {
            assert!(crop_span(length, offset, 12).is_err(), "{length:?} {offset:?}");
        }
        assert!(crop_span((u32::MAX, 1), (i32::MIN, u32::MAX), u32::MAX).is_err());
    }

    #[test]
    fn a_mirroring_before_the_rotation_turns_into_one_after_it() {
        let first = Transforms::new(&[Property::Mirror(0), Property::Rotation(1)]);
        let last = Transforms::new(&[Property::Rotation(3), Property::Mirror(0)]);
        assert_eq!(first, last);
    }

    #[test]
    fn a_grid_has_no_needless_tiles() {
        assert!(covers_tightly(64, 2, 65));
        assert!(covers_tightly(64, 2, 128));
        assert!(!covers_tightly(64, 2, 64));
        assert!(!covers_tightly(64, 2, 129));
    }

    #[test]
    fn noise_is_an_error() {
        for bytes in [&b""[..], b"\0\0\0\x08ftyp", b"\0\0\0\x10ftypavif\0\0\0\0", &[0xff; 64]] {
            assert!(probe(bytes).is_err());
        }
    }
}
