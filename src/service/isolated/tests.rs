//! The checks of a worker's answers.

use super::*;
use crate::render::Recipe;
use crate::render::recipe::{Output, Quality};

#[test]
fn decoded_images_are_the_wanted_one_and_others_once() {
    for (made, is_accepted) in
        [(&[1][..], true), (&[1, 2, 3], true), (&[], false), (&[2, 1], false), (&[1, 1], false), (&[1, 2, 2], false)]
    {
        assert_eq!(are_as_asked(made, 1), is_accepted, "{made:?}");
    }
}

/// An answer of another format or size than asked for is refused.
#[test]
fn result_has_the_format_and_the_size_that_were_asked_for() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/photos/rocket.jpg");
    let original = std::fs::read(path).expect("a photograph");
    let (settings, info) = (Settings::default(), render::probe(&original).expect("a header"));
    let wide = |format, width| {
        let target = render::geometry::TargetSize { width, height: 0, enlarge: false };
        Recipe::new(Output::Exactly(format), Quality::default()).with_resize(render::geometry::Resize::Contain(target))
    };
    let rendered =
        |recipe: &Recipe| render::render(&original, recipe, &settings, &mut |_: render::Stage| true).expect("rendered");
    let asked = wide(Format::WebP, 40);
    let bounds = Bounds { memory: 1 << 28, deadline: std::time::Instant::now(), is_idle: false };
    let info = Some(&info);
    let work = RenderInput { original: &original, info, recipe: &asked, settings: &settings, bounds };
    for (made, is_accepted) in
        [(wide(Format::WebP, 40), true), (wide(Format::Png, 40), false), (wide(Format::WebP, 41), false)]
    {
        assert_eq!(is_as_asked(&work, &rendered(&made)), is_accepted, "{made}");
    }
}
