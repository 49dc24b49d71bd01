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

mod boxes;
mod container;
mod convert;
mod frame;
mod plane;
mod property;
mod sequence;
mod transform;

use self::container::Container;
use self::convert::Canvas;
use self::plane::{MAX_DATA_REUSE, Plane, Role, find_alpha};
pub(crate) use self::property::Nclx;
use self::property::{Av1Config, Property};
use self::transform::{Transforms, crop_of};
use crate::render::codec::samples::Decoded;
use crate::render::exif;

type Result<T> = std::result::Result<T, String>;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_an_error() {
        for bytes in [&b""[..], b"\0\0\0\x08ftyp", b"\0\0\0\x10ftypavif\0\0\0\0", &[0xff; 64]] {
            assert!(probe(bytes).is_err());
        }
    }
}
