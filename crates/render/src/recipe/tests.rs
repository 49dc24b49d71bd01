//! Keys of recipes.

use super::*;

const ONE: Padding = Padding { top: 1, ..Padding::NONE };

#[test]
fn recipes_that_differ_have_different_keys() {
    let base = || Recipe::new(Output::Original, Quality::default());
    let target = TargetSize { width: 1, height: 1, enlarge: false };
    let geometry = |change: fn(&mut Geometry)| {
        let mut recipe = base();
        change(&mut recipe.geometry);
        recipe
    };
    let effects = |effects| Recipe { effects, ..base() };
    let overlay = |change: fn(&mut Overlay)| {
        let id = OverlayId { digest: [0; 32], width: 1, height: 1 };
        let place = OverlayPlace::At(0, 0);
        let mut overlay = Overlay { id, place, offset: Offset::NONE, opacity: 100, scale: None };
        change(&mut overlay);
        Recipe { overlay: Some(overlay), ..base() }
    };
    let left_out = |left_out| Recipe { left_out, ..base() };
    let encode = |change: fn(&mut Encode)| {
        let mut recipe = base();
        change(&mut recipe.encode);
        recipe
    };
    let all = [
        base(),
        geometry(|geometry| geometry.rect = Some(Rect { x: 0, y: 0, width: 1, height: 1 })),
        geometry(|geometry| geometry.trim = Some(1)),
        geometry(|geometry| geometry.orient = Some(Orientation::UPRIGHT)),
        geometry(|geometry| geometry.area = Some(Area::Inset(ONE))),
        geometry(|geometry| geometry.canvas = Some(Rgba::WHITE)),
        geometry(|geometry| geometry.options.limit = Limit::Sides),
        geometry(|geometry| geometry.options.limit = Limit::Box),
        geometry(|geometry| geometry.options.dpr = 200),
        geometry(|geometry| geometry.options.offset = Offset { x: 1, y: 0 }),
        geometry(|geometry| geometry.options.padding = ONE),
        geometry(|geometry| geometry.turn = Orientation::quarter_turns(1)),
        geometry(|geometry| geometry.background = Some(Rgba::WHITE)),
        base().with_resize(Resize::Contain(target)),
        base().with_resize(Resize::Contain(TargetSize { enlarge: true, ..target })),
        base().with_resize(Resize::Cover(target, Gravity::Smart)),
        base().with_resize(Resize::Cover(target, Gravity::CENTER)),
        effects(Effects { blur: Some(100), ..Effects::default() }),
        effects(Effects { sharpen: Some(100), ..Effects::default() }),
        effects(Effects { pixelate: Some(100), ..Effects::default() }),
        effects(Effects { brightness: Some(50), ..Effects::default() }),
        effects(Effects { contrast: Some(50), ..Effects::default() }),
        effects(Effects { saturation: Some(50), ..Effects::default() }),
        effects(Effects { gamma: Some(50), ..Effects::default() }),
        effects(Effects { greyscale: true, ..Effects::default() }),
        effects(Effects { tint: Some([0; 3]), ..Effects::default() }),
        effects(Effects { tint: Some([1, 0, 0]), ..Effects::default() }),
        overlay(|_| ()),
        overlay(|overlay| overlay.id.digest = [1; 32]),
        overlay(|overlay| overlay.place = OverlayPlace::At(0, 1)),
        overlay(|overlay| overlay.place = OverlayPlace::Repeat),
        overlay(|overlay| overlay.offset.x = 1),
        overlay(|overlay| overlay.opacity = 50),
        overlay(|overlay| overlay.scale = Some(OverlayScale { width: 1, height: 2 })),
        overlay(|overlay| overlay.scale = Some(OverlayScale { width: 2, height: 2 })),
        base().with_output(Output::Json),
        base().with_output(Output::Dominant),
        base().with_output(Output::Lqip),
        base().with_output(Output::Auto(Choice::Avif)),
        base().with_output(Output::Exactly(Format::Avif)),
        encode(|encode| encode.quality = Quality(81)),
        encode(|encode| encode.target = Target::new(75)),
        encode(|encode| encode.target = Target::new(76)),
        encode(|encode| encode.lossless = true),
        encode(|encode| encode.animated = false),
        encode(|encode| encode.metadata = Metadata::Keep),
        left_out(LeftOut { search: true, ..LeftOut::default() }),
        left_out(LeftOut { kind: true, ..LeftOut::default() }),
        left_out(LeftOut { drawing_formats: true, ..LeftOut::default() }),
        left_out(LeftOut { formats: 1, ..LeftOut::default() }),
        left_out(LeftOut { formats: 2, ..LeftOut::default() }),
        left_out(LeftOut { frames: true, ..LeftOut::default() }),
    ];
    let keys: std::collections::HashSet<Vec<u8>> = all.iter().map(Recipe::canonical).collect();
    assert_eq!(keys.len(), all.len());
}

#[test]
fn key_of_a_plain_recipe_is_pinned() {
    let recipe = Recipe::new(Output::Exactly(Format::WebP), Quality(75));
    let text = String::from_utf8(recipe.canonical()).expect("text");
    let turn = "Orientation { transpose: false, mirror_x: false, mirror_y: false }";
    // another text makes every cached rendition of every installation anew
    assert_eq!(text, format!("(None, None, {turn}, Native, None)(Exactly(WebP), Quality(75), false, true, None)"));
}
