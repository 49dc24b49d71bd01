//! Properties of items and tracks (ISO/IEC 23008-12, 6.5; AV1-AVIF, 2.3): the boxes of `ipco` and of sample entries.

use crate::boxes::{BoxRef, FourCc, Reader};

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
    /// Spatial layer to decode; 0xffff is the highest.
    LayerSelector(u16),
    /// MaxCLL of content light levels in cd/m² (14496-12, 12.1.6).
    ContentPeak(u16),
    /// The maximum luminance of the mastering display in 0.0001 cd/m² (14496-12, 12.1.7).
    DisplayPeak(u32),
    /// A known property without effect on the pixels.
    Descriptive,
    /// A known property that is invalid.
    Invalid(FourCc),
    /// An unknown property.
    Unknown(FourCc),
}

/// Parses a property box. Damage is an error only in an essential property.
pub(super) fn parse_property<'a>(property: &BoxRef<'a>) -> Property<'a> {
    let body = property.body;
    let parsed = match &property.kind {
        b"ispe" => parse_spatial_extents(body),
        b"colr" => parse_colour(body),
        b"irot" => parse_low_bits(body, 3).map(Property::Rotation),
        b"imir" => parse_low_bits(body, 1).map(Property::Mirror),
        b"clap" => parse_clean_aperture(body),
        b"auxC" | b"auxi" => parse_auxiliary_type(body),
        b"a1op" => parse_low_bits(body, 31).map(Property::OperatingPoint),
        b"lsel" => Reader::u16(&mut { body }).map(Property::LayerSelector),
        b"clli" => Reader::u16(&mut { body }).map(Property::ContentPeak),
        b"mdcv" => parse_display_peak(body).map(Property::DisplayPeak),
        // `av1C` repeats the sequence header, which decoders use
        b"av1C" | b"pixi" | b"pasp" | b"a1lx" | b"cclv" | b"amve" | b"ndwt" | b"altt" | b"udes" | b"rloc" => {
            Ok(Property::Descriptive)
        }
        _ => Ok(Property::Unknown(property.kind)),
    };
    parsed.unwrap_or(Property::Invalid(property.kind))
}

fn parse_spatial_extents(mut body: Reader<'_>) -> Result<Property<'_>> {
    body.version_and_flags()?;
    Ok(Property::SpatialExtents { width: body.u32()?, height: body.u32()? })
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

/// `mdcv`: primaries and white, the maximum and the minimum.
fn parse_display_peak(mut body: Reader<'_>) -> Result<u32> {
    body.take(16)?;
    body.u32()
}

/// `auxC` (23008-12, 6.5.8) and `auxi` (7.5.3): a URN closed by a zero, and a subtype in `auxC`.
fn parse_auxiliary_type(mut body: Reader<'_>) -> Result<Property<'_>> {
    body.version_and_flags()?;
    let urn = body.0.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(Property::AuxiliaryType(urn))
}

/// The first property that `pick` takes.
pub(super) fn find<'a, T>(properties: &[Property<'a>], pick: fn(&Property<'a>) -> Option<T>) -> Option<T> {
    properties.iter().find_map(pick)
}

pub(super) fn as_nclx(property: &Property<'_>) -> Option<Nclx> {
    if let Property::Nclx(nclx) = property { Some(*nclx) } else { None }
}

pub(super) fn as_icc<'a>(property: &Property<'a>) -> Option<&'a [u8]> {
    if let Property::Icc(icc) = property { Some(icc) } else { None }
}

/// The peak luminance of the picture in 0.0001 cd/m²: of its content, or else of the display that it was mastered on; 0 where
/// neither is stated.
pub(super) fn peak(properties: &[Property<'_>]) -> u32 {
    let content = |property: &Property<'_>| match property {
        Property::ContentPeak(peak) if *peak > 0 => Some(u32::from(*peak) * 10_000),
        _ => None,
    };
    let display = |property: &Property<'_>| match property {
        Property::DisplayPeak(peak) => Some(*peak),
        _ => None,
    };
    find(properties, content).or_else(|| find(properties, display)).unwrap_or(0)
}

pub(super) fn as_size(property: &Property<'_>) -> Option<(u32, u32)> {
    if let Property::SpatialExtents { width, height } = *property { Some((width, height)) } else { None }
}

pub(super) fn as_operating_point(property: &Property<'_>) -> Option<u8> {
    if let Property::OperatingPoint(index) = property { Some(*index) } else { None }
}

/// The selected spatial layer; `None` for the highest one (AV1-AVIF, 2.3.2.4).
pub(super) fn as_layer(property: &Property<'_>) -> Option<u16> {
    if let Property::LayerSelector(layer) = property { Some(*layer).filter(|&layer| layer != u16::MAX) } else { None }
}

pub(super) fn as_auxiliary_type<'a>(property: &Property<'a>) -> Option<&'a [u8]> {
    if let Property::AuxiliaryType(urn) = property { Some(urn) } else { None }
}
