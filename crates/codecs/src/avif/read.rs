//! Header ([`probe`]) and pixels ([`decode`]) of an AVIF.
//!
//! [`container`] and [`track`] parse the container (ISO/IEC 23008-12, AV1-ISOBMFF),
//! [`sequence`] the AV1 headers; `re_rav1d` decodes frames, and [`convert`] turns them to RGB.
//! Of an image sequence the first frame is decoded, or all of them one after the other by [`animation`]; of a layered picture the
//! selected or highest layer.
//!
//! Nonconforming files are treated as by libavif, which browsers use, with all of its strict
//! checks (`avifStrictFlags`) off.
//!
//! Pixels come back as stored: the caller crops (`clap`), then turns (`irot`),
//! then mirrors (`imir`), in this order (23000-22, 7.3.6.7), and converts from
//! the primaries and transfer of [`Header::nclx`] or [`Header::icc`].
//!
//! Damaged data is an error. A panic inside `re_rav1d`, though, cannot be
//! caught: its entry points are `extern "C"`, so it aborts the process.

mod animation;
mod container;
mod convert;
mod failure;
mod frame;
mod location;
mod matrix;
mod plane;
mod property;
mod samples;
mod scaler;
mod sequence;
mod sequence_header;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod track;
mod transform;

pub(crate) use self::animation::Animation;
use self::container::Container;
use self::convert::Canvas;
pub(crate) use self::failure::Failure;
use self::failure::Result;
use self::matrix::Matrix;
use self::plane::{DataBudget, Plane, Role, find_alpha};
pub(crate) use self::property::Nclx;
use self::property::{as_icc, as_nclx, find};
#[cfg(all(test, feature = "native"))]
pub(super) use self::sequence_header::parse_sequence_header;
use self::transform::{Transforms, crop_of};
use crate::samples::Decoded;
use tintype_pixels::{Loops, exif};

/// Auxiliary types that mark an alpha plane (AV1-AVIF, 4.1; 23008-12, 6.5.8).
const ALPHA_URNS: [&[u8]; 2] = [b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1"];

/// A crop rectangle in pixels: left, top, width, height.
pub(crate) type Crop = (u32, u32, u32, u32);

/// Properties of the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// In pixels, before `clap`, `irot` and `imir`.
    pub(crate) width: u32,
    /// In pixels, before `clap`, `irot` and `imir`.
    pub(crate) height: u32,
    /// Quarter turns anticlockwise that display the picture (`irot`).
    pub(crate) rotation: u8,
    /// Mirroring after the rotation (`imir`): 0 exchanges top and bottom, 1
    /// exchanges left and right.
    pub(crate) mirror: Option<u8>,
    /// The clean aperture, before the rotation (`clap`).
    pub(crate) clap: Option<Crop>,
    /// Whether there is an alpha plane.
    pub(crate) has_alpha: bool,
    /// Whether there is no chroma.
    pub(crate) monochrome: bool,
    /// Bits a sample of RGB: 8 or less, 10 or 12.
    pub(crate) depth: u8,
    /// Peak memory of decoding in bytes, the picture included.
    pub(crate) decoded_bytes: u64,
    /// The ICC profile (`colr` of type `prof` or `rICC`).
    pub(crate) icc: Option<Vec<u8>>,
    /// The code points of `colr`, or else of the AV1 sequence header.
    pub(crate) nclx: Option<Nclx>,
    /// The peak luminance of an HDR picture in 0.0001 cd/m²; 0 where it is not stated.
    pub(crate) peak: u32,
    /// Frames of the sequence; 1 for a still.
    pub(crate) frames: u32,
    /// How often the sequence plays.
    pub(crate) loops: Loops,
    /// Bytes of each frame that decoders of the sequence keep, colour and alpha together.
    pub(crate) frame_bytes: u64,
    /// The EXIF block of the picture, from its TIFF header on.
    pub(crate) exif: Option<Vec<u8>>,
    /// Whether there are metadata, thumbnails, tracks or unknown boxes.
    pub(crate) has_others: bool,
}

/// Reads the header without decoding pixels.
///
/// # Errors
///
/// [`Failure`] where the file is not AVIF, is damaged or truncated, or uses
/// an unsupported feature.
pub(crate) fn probe(bytes: &[u8]) -> Result<Header> {
    OpenFile::open(bytes).map(|picture| picture.header)
}

/// Decodes the picture before its transforms (see [`Header`]).
/// 8-bit files give 8-bit samples, deeper ones 16-bit samples.
///
/// `header` is what [`probe`] returned for the same bytes. Runs on the calling
/// thread and holds `header.decoded_bytes` and a few rows at most.
///
/// # Errors
///
/// [`Failure`] where the data of the picture is damaged, or its colours are
/// coded in a way that is not supported.
pub(crate) fn decode(bytes: &[u8], header: &Header) -> Result<Decoded> {
    let picture = OpenFile::open(bytes)?;
    if picture.header != *header {
        return Err("the header belongs to another file".into());
    }
    let mut canvas = picture.canvas();
    picture.colour.paint(&picture.container, &mut canvas, picture.colour_role())?;
    if let Some(alpha) = &picture.alpha {
        alpha.paint(&picture.container, &mut canvas, Role::Alpha)?;
    }
    Ok(picture.decoded(canvas))
}

struct OpenFile<'a> {
    container: Container<'a>,
    header: Header,
    colour: Plane<'a>,
    alpha: Option<Plane<'a>>,
    premultiplied: bool,
}

/// The parts of a container that are decoded.
struct Selected<'a> {
    colour: Plane<'a>,
    alpha: Option<Plane<'a>>,
    premultiplied: bool,
    nclx: Option<Nclx>,
    icc: Option<Vec<u8>>,
    peak: u32,
    /// Ids of the items of the picture.
    items: Vec<u32>,
    /// Samples that both tracks of a sequence have; 1 for a still.
    frames: u32,
    loops: Loops,
}

impl<'a> OpenFile<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let container = Container::parse(bytes)?;
        let selected = if container.picture_track().is_some() && (container.is_sequence || container.primary.is_none())
        {
            Selected::first_frame(&container)?
        } else {
            Selected::primary_item(&container)?
        };
        let header = read_header(&container, &selected);
        let Selected { colour, alpha, premultiplied, .. } = selected;
        Ok(Self { container, header, colour, alpha, premultiplied })
    }

    /// An empty canvas of the size of the picture.
    fn canvas(&self) -> Canvas {
        let Header { width, height, has_alpha, depth, .. } = self.header;
        Canvas::new(width as usize, height as usize, if has_alpha { 4 } else { 3 }, depth)
    }

    fn colour_role(&self) -> Role {
        Role::Colour(self.header.nclx.unwrap_or(self.colour.first().header.colour))
    }

    /// The picture of a canvas that was painted.
    fn decoded(&self, canvas: Canvas) -> Decoded {
        Decoded {
            width: self.header.width,
            height: self.header.height,
            channels: canvas.channels as u8,
            premultiplied: self.premultiplied,
            samples: canvas.samples,
        }
    }
}

impl<'a> Selected<'a> {
    fn primary_item(container: &Container<'a>) -> Result<Self> {
        let budget = &mut DataBudget::new(container.file_length());
        let primary = container.primary.ok_or("it has no primary item")?;
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
        let icc = icc.map(<[u8]>::to_vec);
        let (peak, loops) = (property::peak(&own).max(property::peak(&of_tile)), Loops::Forever);
        Self { colour, alpha, premultiplied, nclx, icc, peak, items, frames: 1, loops }.checked()
    }

    /// The first sample of the first non-auxiliary track, and of its alpha track.
    fn first_frame(container: &Container<'a>) -> Result<Self> {
        let budget = &mut DataBudget::new(container.file_length());
        let track = container.picture_track().ok_or("it has no AV1 track")?;
        let colour = Plane::of_track(container, track, budget)?;
        let alpha_track = container.alpha_track();
        let alpha = alpha_track.map(|alpha| Plane::of_track(container, alpha, budget)).transpose()?;
        let premultiplied = alpha_track.is_some_and(|alpha| track.premultiplied_by == Some(alpha.id));
        let nclx = find(&track.properties, as_nclx);
        let icc = find(&track.properties, as_icc).map(<[u8]>::to_vec);
        let frames = alpha_track.map_or(u32::MAX, |alpha| alpha.samples.count).min(track.samples.count);
        let (loops, peak, items) = (track.loops, property::peak(&track.properties), Vec::new());
        Self { colour, alpha, premultiplied, nclx, icc, peak, items, frames, loops }.checked()
    }

    /// Fits alpha to the colour, and checks the coded pixels and the matrix before anything is decoded.
    fn checked(mut self) -> Result<Self> {
        if self.colour.width == 0 || self.colour.height == 0 {
            return Err("the picture is empty".into());
        }
        self.alpha = self.alpha.map(|alpha| alpha.fitted_to(&self.colour)).transpose()?;
        for plane in self.alpha.iter().chain([&self.colour]) {
            plane.check_coded_area(self.frames)?;
        }
        let first = &self.colour.first().header;
        if !first.monochrome {
            Matrix::new(self.nclx.unwrap_or(first.colour), first.depth)?;
        }
        self.items.sort_unstable();
        Ok(self)
    }
}

fn read_header(container: &Container<'_>, selected: &Selected<'_>) -> Header {
    let Selected { colour, alpha, .. } = selected;
    let first = &colour.first().header;
    let nclx = selected.nclx.unwrap_or(first.colour);
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
        depth: matrix::rgb_depth(nclx.matrix, first.depth),
        decoded_bytes: decoded_bytes(colour, alpha.as_ref()),
        icc: selected.icc.clone(),
        nclx: Some(nclx),
        peak: selected.peak,
        frames: selected.frames,
        loops: selected.loops,
        frame_bytes: colour.frame_bytes() + alpha.as_ref().map_or(0, Plane::frame_bytes),
        exif: exif_of(container),
        has_others: container.has_others(&selected.items),
    }
}

/// Peak memory: ten bytes a pixel of the picture or of its largest frame, and three a pixel of each other frame that the decoder
/// holds; twice that where samples have more than eight bits.
fn decoded_bytes(colour: &Plane<'_>, alpha: Option<&Plane<'_>>) -> u64 {
    let mut max = (u64::from(colour.width) * u64::from(colour.height), 0);
    let mut depth = 8;
    for plane in alpha.into_iter().chain([colour]) {
        let (pixels, others) = plane.decoded_pixels();
        max = (max.0.max(pixels), max.1.max(others));
        depth = depth.max(plane.first().header.depth);
    }
    let bytes = if depth > 8 { 2 } else { 1 };
    bytes * (10 * max.0 + 3 * max.1)
}

/// The first EXIF item that describes the primary item (23008-12, A.2); an invalid one counts as missing.
fn exif_of(container: &Container<'_>) -> Option<Vec<u8>> {
    let primary = container.primary?;
    let mut items = container.references_to(b"cdsc", primary).filter_map(|id| container.item(id).ok());
    let data = container.data(items.find(|item| item.kind == *b"Exif")?).ok()?;
    exif::behind_offset(&data).map(<[u8]>::to_vec)
}
