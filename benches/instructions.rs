//! Instructions that whole renders take, counted by valgrind: the same from run to run whatever else the machine does, so
//! that a change of a percent is a change. Valgrind knows no AVX-512, so the codecs take their next best way.
//!
//! `cargo install gungraun-runner --version 0.20.0 && cargo bench --bench instructions`, with Debian's `valgrind`.

// the macros make items without documentation
#![allow(missing_docs)]

use std::hint::black_box;
use std::path::Path;

use gungraun::{library_benchmark, library_benchmark_group, main};
use tintype::render::geometry::{Resize, TargetSize};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{Format, Recipe, Settings, render};

/// An original of testdata and what is made of it.
struct Wanted {
    original: Vec<u8>,
    recipe: Recipe,
}

fn wanted((path, format, width): (&str, Format, u32)) -> Wanted {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(path);
    let resize = Resize::Contain(TargetSize { width, height: 0, enlarge: false });
    let recipe = Recipe::new(Output::Exactly(format), Quality::default()).with_resize(resize);
    Wanted { original: std::fs::read(path).expect("a file of testdata"), recipe }
}

#[library_benchmark]
#[bench::jpeg_to_webp(args = (("photos/large-12mp.jpg", Format::WebP, 640)), setup = wanted)]
#[bench::jpeg_to_avif(args = (("photos/large-12mp.jpg", Format::Avif, 640)), setup = wanted)]
#[bench::jpeg_to_jpeg(args = (("photos/large-12mp.jpg", Format::Jpeg, 640)), setup = wanted)]
#[bench::progressive_to_webp(args = (("photos/astronaut-progressive.jpg", Format::WebP, 128)), setup = wanted)]
#[bench::png_to_webp(args = (("photos/coffee.png", Format::WebP, 300)), setup = wanted)]
#[bench::png_to_png(args = (("photos/coffee.png", Format::Png, 300)), setup = wanted)]
fn whole_render(wanted: Wanted) -> usize {
    let Wanted { original, recipe } = wanted;
    black_box(render(&original, &recipe, &Settings::default(), &mut |_| true)).expect("rendered").bytes.len()
}

library_benchmark_group!(name = renders, benchmarks = [whole_render]);
main!(library_benchmark_groups = renders);
