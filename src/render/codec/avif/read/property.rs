//! Item properties (ISO/IEC 23008-12, 6.5; AV1-AVIF, 2.3): the boxes of `ipco`.

use super::boxes::{BoxRef, FourCc, Reader};

type Result<T> = std::result::Result<T, String>;

/// Colour as coding-independent code points (ITU-T H.273), from a `colr` box
/// of type `nclx` or from the AV1 sequence header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Nclx {
    /// Colour primaries: 1 is BT.709 and sRGB, 9 BT.2020, 12 Display P3, 2 unspecified.
    pub(crate) primaries: u16,
    /// Transfer characteristics: 13 is sRGB, 16 PQ, 18 HLG, 2 unspecified.
    pub(crate) transfer: u16,
    /// Matrix coefficients: 0 is identity (GBR), 1 BT.709, 6 BT.601, 9 BT.2020, 2 unspecified.
    pub(crate) matrix: u16,
    /// Whether samples use the whole range of their depth.
    pub(crate) full_range: bool,
}

/// The part of `av1C` that tells the kind of picture (AV1-ISOBMFF, 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Av1Config {
    pub(super) depth: u8,
    pub(super) monochrome: bool,
}

/// Clean aperture as stored: numerators and denominators (14496-12, 12.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CleanAperture {
    pub(super) width: (u32, u32),
    pub(super) height: (u32, u32),
    /// Offset of the aperture's centre from the picture's centre.
    pub(super) horizontal: (i32, u32),
    pub(super) vertical: (i32, u32),
}

/// An item property (23008-12, 6.5).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Property<'a> {
    SpatialExtents {
        width: u32,
        height: u32,
    },
    Av1Config(Av1Config),
    Nclx(Nclx),
    Icc(&'a [u8]),
    /// Quarter turns anticlockwise.
    Rotation(u8),
    /// 0 exchanges top and bottom, 1 exchanges left and right.
    Mirror(u8),
    CleanAperture(CleanAperture),
    /// The URN of the auxiliary type, without the closing zero.
    AuxiliaryType(&'a [u8]),
    /// Index of the AV1 operating point to decode.
    OperatingPoint(u8),
    /// Layer to decode; 0xffff is the highest.
    LayerSelector(u16),
    /// Known, and of no effect on the pixels.
    Descriptive,
    /// Not known, or a known one that does not parse.
    Unknown(FourCc),
}

/// A property box; one that does not parse counts as unknown.
pub(super) fn parse_property<'a>(property: &BoxRef<'a>) -> Property<'a> {
    let body = property.body;
    let parsed = match &property.kind {
        b"ispe" => parse_spatial_extents(body),
        b"av1C" => parse_av1_config(body),
        b"colr" => parse_colour(body),
        b"irot" => parse_low_bits(body, 3).map(Property::Rotation),
        b"imir" => parse_low_bits(body, 1).map(Property::Mirror),
        b"clap" => parse_clean_aperture(body),
        b"auxC" => parse_auxiliary_type(body),
        b"a1op" => parse_low_bits(body, 31).map(Property::OperatingPoint),
        b"lsel" => Reader::u16(&mut { body }).map(Property::LayerSelector),
        b"pixi" | b"pasp" | b"a1lx" | b"clli" | b"mdcv" | b"cclv" | b"amve" | b"ndwt" | b"altt" | b"udes" | b"rloc" => {
            Ok(Property::Descriptive)
        }
        _ => Err(String::new()),
    };
    parsed.unwrap_or(Property::Unknown(property.kind))
}

fn parse_spatial_extents(mut body: Reader<'_>) -> Result<Property<'_>> {
    body.version_and_flags()?;
    Ok(Property::SpatialExtents { width: body.u32()?, height: body.u32()? })
}

/// `av1C` (AV1-ISOBMFF, 2.3.3): marker and version, profile and level, flags.
fn parse_av1_config(mut body: Reader<'_>) -> Result<Property<'_>> {
    let [marker, _, flags, _] = body.array()?;
    if marker != 0x81 {
        return Err("av1C version".into());
    }
    let depth = match (flags >> 6 & 1, flags >> 5 & 1) {
        (0, _) => 8,
        (_, 0) => 10,
        _ => 12,
    };
    Ok(Property::Av1Config(Av1Config { depth, monochrome: flags >> 4 & 1 == 1 }))
}

/// `colr` (14496-12, 12.1.5).
fn parse_colour(mut body: Reader<'_>) -> Result<Property<'_>> {
    match &body.four_cc()? {
        b"nclx" => Ok(Property::Nclx(Nclx {
            primaries: body.u16()?,
            transfer: body.u16()?,
            matrix: body.u16()?,
            full_range: body.u8()? >> 7 == 1,
        })),
        b"prof" | b"rICC" => Ok(Property::Icc(body.0)),
        _ => Ok(Property::Descriptive),
    }
}

fn parse_low_bits(mut body: Reader<'_>, mask: u8) -> Result<u8> {
    Ok(body.u8()? & mask)
}

fn parse_clean_aperture(mut body: Reader<'_>) -> Result<Property<'_>> {
    let mut fraction = || Ok::<_, String>((body.u32()?, body.u32()?));
    let (width, height) = (fraction()?, fraction()?);
    let (horizontal, vertical) = (fraction()?, fraction()?);
    Ok(Property::CleanAperture(CleanAperture {
        width,
        height,
        horizontal: (horizontal.0.cast_signed(), horizontal.1),
        vertical: (vertical.0.cast_signed(), vertical.1),
    }))
}

/// `auxC` (23008-12, 6.5.8): a URN closed by a zero, then a subtype.
fn parse_auxiliary_type(mut body: Reader<'_>) -> Result<Property<'_>> {
    body.version_and_flags()?;
    let urn = body.0.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(Property::AuxiliaryType(urn))
}
