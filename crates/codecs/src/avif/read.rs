//! AVIF: what a file holds ([`probe`]) and its pixels ([`decode`]).
//!
//! The container (ISO/IEC 23008-12, AV1-ISOBMFF) is read by [`container`] and
//! [`track`], the AV1 headers by [`sequence`], the AV1 frames by `re_rav1d`,
//! and the frames become RGB in [`convert`]. Of an image sequence the first
//! frame is shown, of a layered picture the selected layer or the highest one.
//!
//! Where a file is not quite as the standards demand it, libavif decides, since
//! browsers go by it: with all of its strict checks (`avifStrictFlags`) off.
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
mod failure;
mod frame;
mod plane;
mod property;
mod sequence;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod track;
mod transform;

use self::container::Container;
use self::convert::{Canvas, Matrix};
pub(crate) use self::failure::Failure;
use self::failure::Result;
use self::plane::{DataBudget, Plane, Role, find_alpha};
pub(crate) use self::property::Nclx;
use self::property::{as_icc, as_nclx, find};
use self::transform::{Transforms, crop_of};
use crate::samples::Decoded;
use tintype_pixels::exif;

/// Auxiliary types that mark an alpha plane (AV1-AVIF, 4.1; 23008-12, 6.5.8).
const ALPHA_URNS: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];

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
    /// Whether there is luma only.
    pub(crate) monochrome: bool,
    /// Bits a sample of RGB: 8 or less, 10 or 12.
    pub(crate) depth: u8,
    /// Bytes that a decoder holds at most, the decoded picture included.
    pub(crate) decoded_bytes: u64,
    /// The ICC profile (`colr` of type `prof` or `rICC`).
    pub(crate) icc: Option<Vec<u8>>,
    /// The code points of `colr`, or else of the AV1 sequence header.
    pub(crate) nclx: Option<Nclx>,
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
/// [`Failure`] where the file is not AVIF, is damaged or cut, or asks for
/// something that is not supported.
pub(crate) fn probe(bytes: &[u8]) -> Result<Header> {
    Picture::open(bytes).map(|picture| picture.header)
}

/// Decodes the picture, as stored (see [`Header`] for what is left to do).
/// 8-bit files give 8-bit samples, deeper ones 16-bit samples.
///
/// `header` is what [`probe`] returned for the same bytes. Runs on the calling
/// thread and holds `header.decoded_bytes` at most.
///
/// # Errors
///
/// [`Failure`] where the data of the picture is damaged, or its colours are
/// coded in a way that is not supported.
pub(crate) fn decode(bytes: &[u8], header: &Header) -> Result<Decoded> {
    let picture = Picture::open(bytes)?;
    if picture.header != *header {
        return Err("header is of another file".into());
    }
    let channels = if header.has_alpha { 4 } else { 3 };
    let (width, height) = (header.width as usize, header.height as usize);
    let mut canvas = Canvas::new(width, height, channels, header.depth);
    let nclx = header.nclx.unwrap_or(picture.colour.first().header.colour);
    picture.colour.paint(&picture.container, &mut canvas, Role::Colour(nclx))?;
    if let Some(alpha) = &picture.alpha {
        alpha.paint(&picture.container, &mut canvas, Role::Alpha)?;
    }
    Ok(Decoded {
        width: header.width,
        height: header.height,
        channels: canvas.channels as u8,
        premultiplied: picture.premultiplied,
        samples: canvas.samples,
    })
}

/// A file ready to decode.
struct Picture<'a> {
    container: Container<'a>,
    header: Header,
    colour: Plane<'a>,
    alpha: Option<Plane<'a>>,
    premultiplied: bool,
}

/// The shown parts of a container.
struct Shown<'a> {
    colour: Plane<'a>,
    alpha: Option<Plane<'a>>,
    premultiplied: bool,
    nclx: Option<Nclx>,
    icc: Option<Vec<u8>>,
    /// Numbers of the items that make the picture.
    items: Vec<u32>,
}

impl<'a> Picture<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let container = Container::parse(bytes)?;
        let has_track = container.tracks.iter().any(|track| !track.is_auxiliary());
        let shown = if has_track && (container.is_sequence || container.primary.is_none()) {
            Shown::first_frame(&container)?
        } else {
            Shown::primary_item(&container)?
        };
        let header = read_header(&container, &shown);
        let Shown { colour, alpha, premultiplied, .. } = shown;
        Ok(Self { container, header, colour, alpha, premultiplied })
    }
}

impl<'a> Shown<'a> {
    fn primary_item(container: &Container<'a>) -> Result<Self> {
        let budget = &mut DataBudget::new(container.file_length());
        let primary = container.primary.ok_or("no primary item")?;
        let colour = Plane::open(container, primary, None, budget)?;
        let mut items = vec![primary];
        let (alpha, premultiplied) = match find_alpha(container, primary) {
            Some(id) => {
                items.push(id);
                let premultiplied = container.references_from(b"prem", primary).any(|to| to == id);
                let alpha = Plane::open(container, id, Some((colour.width, colour.height)), budget)?;
                (Some(alpha), premultiplied)
            }
            None => (colour.alpha_of_tiles(container, primary, budget)?, false),
        };
        items.extend(colour.items());
        items.extend(alpha.iter().flat_map(Plane::items));
        let own = container.properties(container.item(primary)?)?;
        let of_tile = match colour.items().next() {
            Some(tile) => container.properties(container.item(tile)?)?,
            None => Vec::new(),
        };
        let nclx = find(&own, as_nclx).or_else(|| find(&of_tile, as_nclx));
        let icc = find(&own, as_icc).or_else(|| find(&of_tile, as_icc));
        Self { colour, alpha, premultiplied, nclx, icc: icc.map(<[u8]>::to_vec), items }.checked()
    }

    /// The first sample of the first track that is no auxiliary one, and of its alpha track.
    fn first_frame(container: &Container<'a>) -> Result<Self> {
        let budget = &mut DataBudget::new(container.file_length());
        let track = container.tracks.iter().find(|track| !track.is_auxiliary()).ok_or("no AV1 track")?;
        let colour = Plane::of_track(container, track, budget)?;
        let alpha_track = container.tracks.iter().find(|other| other.is_alpha_of(track.id));
        let alpha = alpha_track.map(|alpha| Plane::of_track(container, alpha, budget)).transpose()?;
        let premultiplied = alpha_track.is_some_and(|alpha| track.premultiplied_by == Some(alpha.id));
        let nclx = find(&track.properties, as_nclx);
        let icc = find(&track.properties, as_icc).map(<[u8]>::to_vec);
        Self { colour, alpha, premultiplied, nclx, icc, items: Vec::new() }.checked()
    }

    /// Fits alpha to the colour, and checks what is known to fail before anything is decoded.
    fn checked(mut self) -> Result<Self> {
        if self.colour.width == 0 || self.colour.height == 0 {
            return Err("empty picture".into());
        }
        self.alpha = self.alpha.map(|alpha| alpha.fitted_to(&self.colour)).transpose()?;
        let first = &self.colour.first().header;
        if !first.monochrome {
            Matrix::new(self.nclx.unwrap_or(first.colour), first.depth)?;
        }
        self.items.sort_unstable();
        Ok(self)
    }
}

fn read_header(container: &Container<'_>, shown: &Shown<'_>) -> Header {
    let Shown { colour, alpha, .. } = shown;
    let first = &colour.first().header;
    let nclx = shown.nclx.unwrap_or(first.colour);
    let (width, height) = (colour.width, colour.height);
    let Transforms { clap, rotation, mirror } = colour.transforms;
    Header {
        width,
        height,
        rotation,
        mirror,
        clap: clap.and_then(|clap| crop_of(&clap, width, height)),
        has_alpha: alpha.is_some(),
        monochrome: first.monochrome,
        depth: convert::rgb_depth(nclx.matrix, first.depth),
        decoded_bytes: decoded_bytes(colour, alpha.as_ref()),
        icc: shown.icc.clone(),
        nclx: Some(nclx),
        frames: frames(container),
        exif: exif_of(container),
        has_others: container.has_others(&shown.items),
    }
}

/// Bytes that decoding holds at most: ten a pixel of the picture or of the largest frame in it, and three a pixel of each
/// other frame that the decoder keeps; twice that where samples have more than eight bits.
fn decoded_bytes(colour: &Plane<'_>, alpha: Option<&Plane<'_>>) -> u64 {
    let mut most = (u64::from(colour.width) * u64::from(colour.height), 0);
    let mut depth = 8;
    for plane in alpha.into_iter().chain([colour]) {
        let (pixels, others) = plane.decoded_pixels();
        most = (most.0.max(pixels), most.1.max(others));
        depth = depth.max(plane.first().header.depth);
    }
    let bytes = if depth > 8 { 2 } else { 1 };
    bytes * (10 * most.0 + 3 * most.1)
}

/// Frames of the first track that is no auxiliary one; 1 where there is none, and where it says more than the file can
/// hold.
fn frames(container: &Container<'_>) -> u32 {
    let track = container.tracks.iter().find(|track| !track.is_auxiliary());
    let possible = |frames: &u32| usize::try_from(*frames).is_ok_and(|frames| frames <= container.file_length());
    track.map(|track| track.samples.count).filter(possible).unwrap_or(1)
}

/// The first item of EXIF that describes the primary picture (23008-12, A.2); a broken one counts as missing.
fn exif_of(container: &Container<'_>) -> Option<Vec<u8>> {
    let primary = container.primary?;
    let mut items = container.references_to(b"cdsc", primary).filter_map(|id| container.item(id).ok());
    let data = container.data(items.find(|item| item.kind == *b"Exif")?).ok()?;
    exif::behind_offset(&data).map(<[u8]>::to_vec)
}
