//! Whole renders: each pair of formats at three widths, throughput in pixels of the original.

use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tintype::render::geometry::{Resize, TargetSize};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{Format, Recipe, Settings, probe, render};

const ORIGINALS: &[(&str, &str)] = &[
    ("jpeg-12mp", "photos/large-12mp.jpg"),
    ("jpeg-progressive", "photos/astronaut-progressive.jpg"),
    ("png", "photos/coffee.png"),
    ("png-alpha", "generated/alpha.png"),
    ("webp-alpha", "generated/alpha.webp"),
    ("gif-animated", "generated/animated.gif"),
];

const OUTPUTS: &[Format] = &[Format::WebP, Format::Avif, Format::Jpeg, Format::Png];

fn pairs(criterion: &mut Criterion) {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    for (name, path) in ORIGINALS {
        let original = std::fs::read(testdata.join(path)).expect("a file of testdata");
        let size = probe(&original).expect("an image").size;
        for output in OUTPUTS {
            let mut group = criterion.benchmark_group(format!("{name}-to-{output}"));
            group.throughput(Throughput::Elements(size.pixels())).sample_size(10);
            group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
            for width in [320, 640, 1280] {
                let recipe = Recipe::new(Output::Exactly(*output), Quality::default());
                let recipe = recipe.with_resize(Resize::Contain(TargetSize { width, height: 0, enlarge: false }));
                group.bench_function(width.to_string(), |bencher| {
                    bencher.iter(|| render(&original, &recipe, &Settings::default(), &mut |_| true).expect("rendered"));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, pairs);
criterion_main!(benches);
