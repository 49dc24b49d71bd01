//! Concurrent renders of one original give the same bytes as single ones for fewer decodes, within the bound.

use std::cell::Cell;
use std::sync::atomic::AtomicU32;

use super::*;
use crate::render::recipe::{Output, Quality};
use crate::render::{Format, render_from};

fn version(number: u8) -> Version {
    Version { identity: [number; 32], modified: Some(std::time::SystemTime::UNIX_EPOCH), length: 1 }
}

fn photograph() -> Vec<u8> {
    original("photos/rocket.jpg")
}

fn original(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    std::fs::read(path).expect("a file of testdata")
}

/// Counts the decodes that are not served from the cache.
struct Counted<'a>(&'a dyn render::SharedDecodes, AtomicU32);

impl render::SharedDecodes for Counted<'_> {
    fn get_or_decode(&self, info: &Info, scale: DecodeKey, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        self.0.get_or_decode(info, scale, &mut |others| {
            self.1.fetch_add(1, Ordering::Relaxed);
            decode(others)
        })
    }

    fn decline(&self) {
        self.0.decline();
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }
}

/// Decodes by a function instead, which is given the further scales that are asked for and the decoder.
struct DecodedBy<'a, F>(&'a DecodeTicket, F);

impl<F> render::SharedDecodes for DecodedBy<'_, F>
where
    F: Fn(&[DecodeKey], Decode<'_>) -> render::Result<Vec<(DecodeKey, Decoded)>>,
{
    fn get_or_decode(&self, info: &Info, scale: DecodeKey, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        self.0.get_or_decode(info, scale, &mut |others| (self.1)(others, decode))
    }

    fn decline(&self) {
        self.0.decline();
    }

    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }
}

fn wide(format: Format, width: u32) -> Recipe {
    use crate::render::geometry::{Resize, TargetSize};
    let target = TargetSize { width, height: 0, enlarge: false };
    Recipe::new(Output::Exactly(format), Quality::default()).with_resize(Resize::Contain(target))
}

fn render_wide(decodes: &dyn render::SharedDecodes, format: Format, width: u32) -> Vec<u8> {
    render(decodes, &photograph(), &wide(format, width))
}

fn render(decodes: &dyn render::SharedDecodes, original: &[u8], recipe: &Recipe) -> Vec<u8> {
    render_from(decodes, original, None, recipe, &Settings::default(), &mut |_| true).expect("rendered").bytes
}

fn join(cache: &Arc<DecodeCache>, number: u8, recipe: &Recipe) -> DecodeTicket {
    cache.join(version(number), &Arc::new(recipe.clone()), &Arc::default())
}

#[test]
fn concurrent_renders_share_one_decode_and_equal_single_ones() {
    let cache = DecodeCache::new(64 << 20);
    let (first, second) = (join(&cache, 1, &wide(Format::WebP, 300)), join(&cache, 1, &wide(Format::WebP, 300)));
    let counted = Counted(&first, AtomicU32::new(0));
    for (format, width) in [(Format::WebP, 300), (Format::Jpeg, 310), (Format::Avif, 290), (Format::WebP, 300)] {
        let alone = render_wide(&join(&DecodeCache::new(0), 1, &wide(format, width)), format, width);
        assert!(render_wide(&counted, format, width) == alone, "{format} at {width}");
    }
    assert_eq!(counted.1.load(Ordering::Relaxed), 1);
    assert!(cache.bytes() > 0);
    // another scale or version is another image
    render_wide(&counted, Format::WebP, 60);
    assert_eq!(counted.1.load(Ordering::Relaxed), 2);
    let other = (join(&cache, 2, &wide(Format::WebP, 300)), join(&cache, 2, &wide(Format::WebP, 300)));
    let counted = Counted(&other.0, AtomicU32::new(0));
    render_wide(&counted, Format::WebP, 300);
    assert_eq!(counted.1.load(Ordering::Relaxed), 1);
    drop((first, second, other.1));
    assert!(cache.sweep(), "used a moment ago");
}

#[test]
fn scales_of_waiting_renders_come_from_one_decode_and_equal_single_ones() {
    // 1/8, 1/4, 3/8 twice, 1/2, 3/4 and full size, which only our decoder of progressive files gives in the same pass
    let recipes: Vec<Recipe> = [(Format::WebP, 35), (Format::Jpeg, 60), (Format::Avif, 90), (Format::WebP, 94)]
        .into_iter()
        .chain([(Format::Png, 120), (Format::WebP, 180), (Format::WebP, 300)])
        .map(|(format, width)| wide(format, width))
        .collect();
    for (name, native, pure) in [("rocket.jpg", 2, 4), ("astronaut-progressive.jpg", 1, 3)] {
        let original = original(&format!("photos/{name}"));
        let cache = DecodeCache::new(64 << 20);
        let waiting: Vec<DecodeTicket> = recipes.iter().map(|recipe| join(&cache, 1, recipe)).collect();
        let mut decoded = 0;
        for (recipe, ticket) in recipes.iter().zip(waiting) {
            let counted = Counted(&ticket, AtomicU32::new(0));
            let alone = render(&join(&DecodeCache::new(0), 1, recipe), &original, recipe);
            assert!(render(&counted, &original, recipe) == alone, "{name}: {recipe}");
            decoded += counted.1.into_inner();
        }
        // builds without `native` decode one scale at a time, and have fewer of them
        assert_eq!(decoded, if cfg!(feature = "native") { native } else { pure }, "{name}");
        let cached: u64 = cache
            .lock()
            .images
            .values()
            .map(|entry| match entry {
                Entry::Ready { decoded, .. } => decoded.bytes(),
                Entry::Pending(_) => panic!("no decode is running"),
            })
            .sum();
        assert_eq!(cache.bytes(), cached);
    }
}

#[test]
fn images_decoded_for_waiting_renders_stay_within_the_bound() {
    let recipes = [30, 60, 90, 120, 180].map(|width| wide(Format::WebP, width));
    for max_bytes in [1000, 20_000, 100_000, 300_000] {
        let cache = DecodeCache::new(max_bytes);
        let waiting: Vec<DecodeTicket> = recipes.iter().map(|recipe| join(&cache, 1, recipe)).collect();
        for (recipe, ticket) in recipes.iter().zip(&waiting) {
            let counted = Counted(ticket, AtomicU32::new(0));
            render(&counted, &photograph(), recipe);
            assert!(cache.bytes() <= max_bytes, "{} of {max_bytes}", cache.bytes());
        }
    }
}

#[test]
fn queue_with_more_originals_than_fit_decodes_each_scale_once() {
    let widths = [60, 120, 240];
    let recipes = widths.map(|width| wide(Format::WebP, width));
    for max_bytes in [0, 100_000, 300_000, 1_000_000] {
        let cache = DecodeCache::new(max_bytes);
        // the widths of an original are far apart in the queue
        let order = recipes.iter().flat_map(|recipe| (0..20_u8).map(move |number| (number, recipe)));
        let waiting: Vec<_> = order.map(|(number, recipe)| (join(&cache, number, recipe), recipe)).collect();
        let scales = Cell::new(0);
        for (ticket, recipe) in waiting {
            let counted = DecodedBy(&ticket, |others: &[DecodeKey], decode: Decode<'_>| {
                scales.set(scales.get() + 1 + others.len());
                decode(others)
            });
            render(&counted, &photograph(), recipe);
            assert!(cache.bytes() <= max_bytes, "{} of {max_bytes}", cache.bytes());
        }
        let scales = scales.get();
        assert!(scales <= 60, "{scales} scales of 60 renders with {max_bytes} bytes");
    }
}

/// A PNG of a photograph with an alpha channel.
fn with_alpha(alpha: impl Fn(usize) -> u8) -> Vec<u8> {
    let decoded = image::load_from_memory(&original("photos/chelsea.png")).expect("a photograph").into_rgb8();
    let pixels = decoded.as_raw().chunks_exact(3).enumerate();
    let data: Vec<u8> = pixels.flat_map(|(at, pixel)| [pixel[0], pixel[1], pixel[2], alpha(at)]).collect();
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, decoded.width(), decoded.height());
    encoder.set_color(png::ColorType::Rgba);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&data).expect("pixels");
    writer.finish().expect("the end");
    out
}

#[test]
fn streamed_rows_render_the_same_as_a_whole_image() {
    use crate::render::Rect;
    use crate::render::geometry::{Resize, TargetSize};
    let opaque = with_alpha(|_| 255);
    let translucent = with_alpha(|at| (at / 451) as u8);
    let of_other_kinds = ["grey", "grey-alpha", "palette-trns", "rgb16", "p3", "alpha", "thin-lines"];
    let of_other_kinds = of_other_kinds.map(|name| (name, original(&format!("generated/{name}.png"))));
    let photographs = [("rgb", original("photos/chelsea.png")), ("opaque", opaque), ("translucent", translucent)];
    let gif = ("animated.gif", original("generated/animated.gif"));
    let tiffs = ["rgb", "rgb-deflate", "grey", "orient-6"];
    let tiffs = tiffs.map(|name| (name, original(&format!("generated/{name}.tif"))));
    for (name, original) in photographs.into_iter().chain(of_other_kinds).chain([gif]).chain(tiffs) {
        for (linear, crops, width) in
            [(false, false, 97), (false, true, 300), (true, true, 130), (false, false, 700), (true, false, 20)]
        {
            let resize = Resize::Contain(TargetSize { width, height: 0, enlarge: true });
            // GIF keeps the delay of a frame
            let format = if name.ends_with(".gif") && !linear { Format::Gif } else { Format::Png };
            let recipe = Recipe::new(Output::Exactly(format), Quality::default());
            let mut recipe = recipe.with_resize(resize);
            recipe.encode.animated = false;
            if crops {
                recipe.geometry.rect = Some(Rect { x: 11, y: 31, width: 99, height: 41 });
            }
            let settings = Settings { linear, ..Settings::default() };
            let render_with = |decodes: &dyn render::SharedDecodes| {
                render_from(decodes, &original, None, &recipe, &settings, &mut |_| true).expect("rendered").bytes
            };
            let cache = DecodeCache::new(64 << 20);
            let alone = join(&cache, 1, &wide(Format::WebP, 300));
            let streamed = render_with(&Counted(&alone, AtomicU32::new(0)));
            let ticket = join(&cache, 1, &wide(Format::WebP, 300));
            let counted = Counted(&ticket, AtomicU32::new(0));
            let shared = render_with(&counted);
            assert_eq!(counted.1.load(Ordering::Relaxed), 1);
            assert!(streamed == shared, "{name}, {width} columns, linear {linear}");
        }
    }
}

#[test]
fn regions_decoded_alone_render_the_same_as_those_of_a_whole_image() {
    use crate::render::Rect;
    use crate::render::geometry::{Gravity, Resize, TargetSize};
    let box_of = |width, height| TargetSize { width, height, enlarge: false };
    let of = |resize, rect| {
        let mut recipe = Recipe::new(Output::Exactly(Format::WebP), Quality::default()).with_resize(resize);
        recipe.geometry.rect = rect;
        recipe
    };
    let rect = |x, y, width, height| Some(Rect { x, y, width, height });
    let cases = [
        (of(Resize::Contain(box_of(50, 0)), rect(301, 13, 203, 199)), true),
        (of(Resize::Contain(box_of(30, 0)), rect(0, 227, 190, 200)), true),
        (of(Resize::Cover(box_of(40, 100), Gravity::Point(10_000, 5000)), None), true),
        // a region at full size is not shared
        (of(Resize::Contain(box_of(150, 0)), rect(401, 100, 200, 150)), false),
        (of(Resize::Native, rect(401, 101, 99, 151)), false),
    ];
    for (recipe, shares) in cases {
        for (name, linear) in [("rocket.jpg", false), ("rocket.jpg", true), ("retina.jpg", false)] {
            let original = original(&format!("photos/{name}"));
            let settings = Settings { linear, ..Settings::default() };
            let render_with = |decodes: &dyn render::SharedDecodes| {
                render_from(decodes, &original, None, &recipe, &settings, &mut |_| true).expect("rendered").bytes
            };
            let cache = DecodeCache::new(64 << 20);
            let alone = join(&cache, 1, &wide(Format::WebP, 300));
            let by_itself = render_with(&alone);
            let ticket = join(&cache, 1, &wide(Format::WebP, 300));
            let counted = Counted(&ticket, AtomicU32::new(0));
            assert!(render_with(&counted) == by_itself, "{name}, linear {linear}: {recipe:?}");
            // builds without `native` decode no regions
            let decoded = u32::from(shares || cfg!(not(feature = "native")));
            assert_eq!(counted.1.load(Ordering::Relaxed), decoded, "{recipe:?}");
        }
    }
}

#[test]
fn single_renders_and_images_beyond_the_bound_are_not_cached() {
    let cache = DecodeCache::new(64 << 20);
    let alone = join(&cache, 1, &wide(Format::WebP, 300));
    render_wide(&alone, Format::WebP, 300);
    assert_eq!(cache.bytes(), 0);
    let cache = DecodeCache::new(1000);
    let both = (join(&cache, 1, &wide(Format::WebP, 300)), join(&cache, 1, &wide(Format::WebP, 300)));
    render_wide(&both.0, Format::WebP, 300);
    assert_eq!(cache.bytes(), 0);
    // older images are evicted
    let cache = DecodeCache::new(1_000_000);
    for number in 1..20 {
        let both = (join(&cache, number, &wide(Format::WebP, 300)), join(&cache, number, &wide(Format::WebP, 300)));
        render_wide(&both.0, Format::WebP, 300);
        assert!((1..=1_000_000).contains(&cache.bytes()), "{}", cache.bytes());
    }
}

fn info() -> Info {
    render::probe(&photograph()).expect("a photograph")
}

#[test]
fn failed_or_panicked_decode_wakes_the_waiting_render() {
    use crate::render::SharedDecodes as _;
    let scale = DecodeKey::default();
    for panics in [false, true] {
        let cache = DecodeCache::new(64 << 20);
        let (first, second) = (join(&cache, 1, &wide(Format::WebP, 300)), join(&cache, 1, &wide(Format::WebP, 300)));
        let (begun, begin) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            begin.recv().expect("it begins");
            second.get_or_decode(&info(), scale, &mut |_| Err(Error::Cancelled)).err()
        });
        let failing = std::thread::spawn(move || {
            let mut decode = |_: &[DecodeKey]| {
                begun.send(()).expect("the other waits");
                std::thread::sleep(Duration::from_millis(20));
                if panics { panic!("a bug") } else { Err(Error::UnknownFormat) }
            };
            first.get_or_decode(&info(), scale, &mut decode).is_err()
        });
        assert!(matches!(waiting.join().expect("no panic"), Some(Error::Cancelled)));
        assert_eq!(failing.join().is_err(), panics);
        assert_eq!(cache.bytes(), 0);
    }
}

#[test]
fn renders_after_a_failed_decode_do_not_wait_for_each_other() {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use crate::render::SharedDecodes as _;
    let cache = DecodeCache::new(64 << 20);
    let [first, second, third] = [(); 3].map(|()| join(&cache, 1, &wide(Format::WebP, 300)));
    let failed = first.get_or_decode(&info(), DecodeKey::default(), &mut |_| Err(Error::UnknownFormat));
    assert!(failed.is_err());
    // each signals the other while it decodes, which is possible only if both run at a time
    let (to_third, from_second) = channel();
    let (to_second, from_third) = channel();
    let meets = |ticket: DecodeTicket, to: Sender<()>, from: Receiver<()>| {
        std::thread::spawn(move || {
            let mut met = false;
            let decoded = ticket.get_or_decode(&info(), DecodeKey::default(), &mut |others| {
                assert!(others.is_empty());
                to.send(()).expect("the other listens");
                met = from.recv_timeout(Duration::from_secs(20)).is_ok();
                Err(Error::UnknownFormat)
            });
            decoded.is_err() && met
        })
    };
    let threads = [meets(second, to_third, from_third), meets(third, to_second, from_second)];
    assert!(threads.map(|thread| thread.join().expect("no panic")).iter().all(|met| *met));
}

#[test]
fn declined_scale_is_not_decoded() {
    use crate::render::SharedDecodes as _;
    let (half, whole) = (wide(Format::WebP, 120), wide(Format::WebP, 180));
    for needs in [false, true] {
        let cache = DecodeCache::new(64 << 20);
        let (first, second) = (join(&cache, 1, &half), join(&cache, 1, &whole));
        if !needs {
            second.decline();
        }
        render(&first, &photograph(), &half);
        let images = cache.lock().images.len();
        assert_eq!(images, if needs && cfg!(feature = "native") { 2 } else { 1 });
    }
}

#[test]
fn file_that_yields_fewer_scales_is_decoded_for_one_at_a_time() {
    let recipes = [120, 180, 60].map(|width| wide(Format::WebP, width));
    let cache = DecodeCache::new(64 << 20);
    let waiting = recipes.each_ref().map(|recipe| join(&cache, 1, recipe));
    let told: Vec<usize> = recipes
        .iter()
        .zip(&waiting)
        .map(|(recipe, ticket)| {
            let told = Cell::new(0);
            // only the requested scale
            let decoder = DecodedBy(ticket, |others: &[DecodeKey], decode: Decode<'_>| {
                told.set(others.len());
                decode(others).map(|mut decoded| decoded.drain(..1).collect())
            });
            render(&decoder, &photograph(), recipe);
            told.get()
        })
        .collect();
    assert_eq!(told, if cfg!(feature = "native") { [2, 0, 0] } else { [0, 0, 0] });
    assert!(cache.lock().images.values().all(|entry| matches!(entry, Entry::Ready { .. })));
}

#[test]
fn unused_image_is_evicted() {
    let cache = DecodeCache::new(64 << 20);
    let recipe = wide(Format::WebP, 300);
    let (first, second) = (join(&cache, 1, &recipe), join(&cache, 1, &recipe));
    render(&first, &photograph(), &recipe);
    cache.lock().sweep(Instant::now() + TTL * 2);
    assert_eq!(cache.lock().images.len(), 1, "a render waits");
    drop((first, second));
    cache.lock().sweep(Instant::now());
    assert_eq!(cache.lock().images.len(), 1, "used a moment ago");
    cache.lock().sweep(Instant::now() + TTL * 2);
    assert!(cache.lock().images.is_empty());
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn image_that_comes_twice_is_counted_once() {
    let cache = DecodeCache::new(64 << 20);
    let recipe = wide(Format::WebP, 300);
    let (first, second) = (join(&cache, 1, &recipe), join(&cache, 1, &recipe));
    let twice = DecodedBy(&first, |_: &[DecodeKey], decode: Decode<'_>| {
        let [one, two] = [decode(&[])?, decode(&[])?];
        Ok(one.into_iter().chain(two).collect())
    });
    render(&twice, &photograph(), &recipe);
    assert!(cache.bytes() > 0);
    drop((first, second));
    cache.lock().sweep(Instant::now() + TTL * 2);
    assert_eq!(cache.bytes(), 0);
}
