//! Recipes and settings for properties.

use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use tintype_codecs::{AvifEncoder, Effort, Encoding};
use tintype_pixels::{Format, Orientation, Rect};

use crate::geometry::{Area, Gravity, Length, Limit, Offset, Padding, Ratio, Resize, ResizeOptions, TargetSize};
use crate::overlay::Overlays;
use crate::recipe::{
    Choice, Effects, Encode, Geometry, LeftOut, Metadata, Output, Overlay, OverlayId, OverlayPlace, OverlayScale,
    Quality, Recipe, Rgba, Target,
};
use crate::settings::{Settings, SvgMode};

/// Resizes of all kinds, in their canonical form.
pub(crate) fn resizes() -> impl Strategy<Value = Resize> {
    (0_usize..8, 0_u32..3000, 0_u32..3000, any::<bool>(), 0_u16..=10_000, 0_u16..=10_000, any::<bool>()).prop_map(
        |(kind, width, height, enlarge, x, y, smart)| {
            let target = TargetSize { width, height, enlarge };
            let gravity = if smart { Gravity::Smart } else { Gravity::Point(x, y) };
            [
                Resize::Native,
                Resize::Contain(target),
                Resize::Outside(target),
                Resize::Fill(target),
                Resize::Cover(target, gravity),
                Resize::Pad(target, gravity),
                Resize::Contain(target),
                Resize::Auto(target, gravity),
            ][kind]
                .canonical()
        },
    )
}

/// Options of resizes.
pub(crate) fn options() -> impl Strategy<Value = ResizeOptions> {
    let sides = [0_u16..100, 0_u16..100, 0_u16..100, 0_u16..100];
    (0_usize..3, 50_u16..300, -300_000_i32..300_000, -10_000_i32..10_000, sides, any::<bool>(), any::<bool>()).prop_map(
        |(limit, dpr, x, y, [top, right, bottom, left], is_moved, is_padded)| ResizeOptions {
            limit: [Limit::Ratio, Limit::Sides, Limit::Box][limit],
            dpr,
            offset: if is_moved { Offset { x, y } } else { Offset::NONE },
            padding: if is_padded { Padding { top, right, bottom, left } } else { Padding::NONE },
        },
    )
}

/// Parts of originals.
pub(crate) fn areas() -> impl Strategy<Value = Area> {
    let length = || {
        (any::<bool>(), 0_u16..6000).prop_map(|(is_share, length)| match is_share {
            true => Length::Share(length),
            false => Length::Pixels(length.into()),
        })
    };
    let sides = [0_u16..900, 0_u16..900, 0_u16..900, 0_u16..900];
    (0_usize..3, length(), length(), length(), length(), -300_000_i32..300_000, 0_u16..10_000, sides).prop_map(
        |(kind, x, y, width, height, offset, at, [top, right, bottom, left])| {
            let (gravity, offset) = (Gravity::Point(at, 10_000), Offset { x: offset, y: offset / 2 });
            [
                Area::Rect { x, y, width, height },
                Area::Window { width, height, gravity, offset },
                Area::Inset(Padding { top, right, bottom, left }),
            ][kind]
        },
    )
}

fn formats() -> impl Strategy<Value = Format> {
    select(Format::all().collect::<Vec<_>>())
}

fn orientations() -> impl Strategy<Value = Orientation> {
    (1_u32..9).prop_map(Orientation::from_exif)
}

fn colours() -> impl Strategy<Value = Rgba> {
    any::<[u8; 4]>().prop_map(Rgba)
}

fn crops() -> impl Strategy<Value = Resize> {
    (1_u32..2000, 1_u32..2000).prop_filter_map("has no part of 0", |(width, height)| {
        Ratio::new(width, height).map(|ratio| Resize::Crop(ratio, Gravity::Smart))
    })
}

fn geometries() -> impl Strategy<Value = Geometry> {
    let rect = (0_u32..2000, 0_u32..2000, 1_u32..3000, 1_u32..3000);
    let parts = (
        option::of(orientations()),
        option::of(rect.prop_map(|(x, y, width, height)| Rect { x, y, width, height })),
        option::of(areas()),
        option::of(1_u8..=100),
        orientations(),
    );
    let sizing = (prop_oneof![resizes(), crops()], options(), option::of(colours()), option::of(colours()));
    (parts, sizing).prop_map(|((orient, rect, area, trim, turn), (resize, options, canvas, background))| Geometry {
        orient,
        rect,
        area,
        trim,
        turn,
        resize,
        options,
        canvas,
        background,
    })
}

fn effects() -> impl Strategy<Value = Effects> {
    let hundredths = || option::of(1_u16..1000);
    let shapes = (option::of(30_u16..=10_000), hundredths(), option::of(2_u16..500));
    let colours = (any::<bool>(), option::of(any::<[u8; 3]>()));
    (shapes, hundredths(), hundredths(), hundredths(), hundredths(), colours).prop_map(
        |((blur, sharpen, pixelate), brightness, contrast, saturation, gamma, (greyscale, tint))| Effects {
            blur,
            sharpen,
            pixelate,
            brightness,
            contrast,
            saturation,
            gamma,
            greyscale,
            tint,
        },
    )
}

fn overlays() -> impl Strategy<Value = Overlay> {
    let id = (any::<[u8; 32]>(), 1_u32..2000, 1_u32..2000);
    let id = id.prop_map(|(digest, width, height)| OverlayId { digest, width, height });
    let place = prop_oneof![
        Just(OverlayPlace::Repeat),
        (0_u16..=10_000, 0_u16..=10_000).prop_map(|(x, y)| OverlayPlace::At(x, y)),
    ];
    let scale = option::of((100_u16..=10_000, 100_u16..=10_000));
    (id, place, -300_000_i32..300_000, 1_u8..=100, scale).prop_map(|(id, place, x, opacity, scale)| Overlay {
        id,
        place,
        offset: Offset { x, y: x / 2 },
        opacity,
        scale: scale.map(|(width, height)| OverlayScale { width, height }),
    })
}

fn encodes() -> impl Strategy<Value = Encode> {
    let choices = [Choice::Avif, Choice::AvifStill, Choice::WebP, Choice::Baseline];
    let output = prop_oneof![
        Just(Output::Original),
        Just(Output::Json),
        Just(Output::Dominant),
        Just(Output::Lqip),
        formats().prop_map(Output::Exactly),
        select(choices.to_vec()).prop_map(Output::Auto),
    ];
    let quality = (1_u8..=100).prop_filter_map("1 to 100", Quality::new);
    let target = option::of((40_u8..=90).prop_filter_map("40 to 90", Target::new));
    let metadata = select(vec![Metadata::None, Metadata::Copyright, Metadata::Keep]);
    (output, quality, target, any::<bool>(), any::<bool>(), metadata).prop_map(
        |(output, quality, target, lossless, animated, metadata)| Encode {
            output,
            quality,
            target,
            lossless,
            animated,
            metadata,
        },
    )
}

/// Recipes with any of their fields set.
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let left_out = (any::<[bool; 4]>(), any::<u8>());
    let left_out = left_out.prop_map(|([search, kind, drawing_formats, frames], formats)| LeftOut {
        search,
        kind,
        drawing_formats,
        formats,
        frames,
    });
    (geometries(), effects(), option::of(overlays()), encodes(), option::of(any::<u64>()), left_out).prop_map(
        |(geometry, effects, overlay, encode, fonts, left_out)| Recipe {
            geometry,
            effects,
            overlay,
            encode,
            fonts,
            left_out,
        },
    )
}

/// Settings of all kinds.
pub(crate) fn settings() -> impl Strategy<Value = Settings> {
    let limits = (1_u32..70_000, any::<u64>(), any::<u64>(), any::<u32>(), any::<u64>());
    let formats_in = proptest::collection::vec(formats(), 0..14);
    let effort = select(vec![Effort::Fast, Effort::Balanced, Effort::Dense]);
    let svg = (select(vec![SvgMode::Rasterise, SvgMode::Pass, SvgMode::Refuse]), any::<u64>());
    (limits, formats_in, any::<[bool; 3]>(), 1_u32..3, effort, svg).prop_map(
        |(
            (max_dimension, max_enlarged, max_pixels, max_frames, max_memory),
            formats_in,
            switches,
            oversampling,
            effort,
            (svg, fonts),
        )| {
            let [smallest_wins, refuse_damaged, linear] = switches;
            Settings {
                max_dimension,
                max_enlarged,
                max_pixels,
                max_frames,
                max_memory,
                formats_in,
                smallest_wins,
                refuse_damaged,
                linear,
                oversampling,
                encoding: Encoding { effort, avif: AvifEncoder::default() },
                svg,
                fonts,
                overlays: Overlays::default(),
            }
        },
    )
}
