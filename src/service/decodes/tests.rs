//! Whoever asks together gets what each gets alone, for less, and never more is kept than may be.

use std::sync::atomic::AtomicU32;

use super::*;
use crate::render::recipe::{Output, Quality};
use crate::render::{Format, render_from};

fn version(number: u8) -> Version {
    Version { identity: [number; 32], modified: std::time::SystemTime::UNIX_EPOCH, length: 1 }
}

fn photograph() -> Vec<u8> {
    original("photos/rocket.jpg")
}

fn original(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name);
    std::fs::read(path).expect("a file of testdata")
}

/// Counts decodings that really happen.
struct Counted<'a>(&'a dyn render::Decodes, AtomicU32);

impl render::Decodes for Counted<'_> {
    fn get_or_decode(&self, info: &Info, scale: Scale, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        self.0.get_or_decode(info, scale, &mut |others| {
            self.1.fetch_add(1, Ordering::Relaxed);
            decode(others)
        })
    }

    fn do_without(&self) {
        self.0.do_without();
    }

    fn are_shared(&self) -> bool {
        self.0.are_shared()
    }
}

fn wide(format: Format, width: u32) -> Recipe {
    use crate::render::geometry::{Resize, Wish};
    let wish = Wish { width, height: 0, enlarge: false };
    Recipe { resize: Resize::Contain(wish), ..Recipe::new(Output::Exactly(format), Quality::default()) }
}

fn make(decodes: &dyn render::Decodes, format: Format, width: u32) -> Vec<u8> {
    make_of(decodes, &photograph(), &wide(format, width))
}

fn make_of(decodes: &dyn render::Decodes, original: &[u8], recipe: &Recipe) -> Vec<u8> {
    render_from(decodes, original, None, recipe, &Settings::default(), &mut |_| true).expect("rendered").bytes
}

fn join(all: &Arc<Decodes>, number: u8, recipe: &Recipe) -> Together {
    all.join(version(number), &Arc::new(recipe.clone()), &Arc::default())
}

#[test]
fn what_is_asked_for_together_is_decoded_once_and_is_the_same() {
    let all = Decodes::new(64 << 20);
    let (first, second) = (join(&all, 1, &wide(Format::WebP, 300)), join(&all, 1, &wide(Format::WebP, 300)));
    let counted = Counted(&first, AtomicU32::new(0));
    for (format, width) in [(Format::WebP, 300), (Format::Jpeg, 310), (Format::Avif, 290), (Format::WebP, 300)] {
        let alone = make(&join(&Decodes::new(0), 1, &wide(format, width)), format, width);
        assert!(make(&counted, format, width) == alone, "{format} at {width}");
    }
    assert_eq!(counted.1.load(Ordering::Relaxed), 1);
    assert!(all.bytes() > 0);
    // another scale is another picture, and so is another version
    make(&counted, Format::WebP, 60);
    assert_eq!(counted.1.load(Ordering::Relaxed), 2);
    let other = (join(&all, 2, &wide(Format::WebP, 300)), join(&all, 2, &wide(Format::WebP, 300)));
    let counted = Counted(&other.0, AtomicU32::new(0));
    make(&counted, Format::WebP, 300);
    assert_eq!(counted.1.load(Ordering::Relaxed), 1);
    drop((first, second, other.1));
    assert!(all.sweep(), "used a moment ago");
}

#[test]
fn what_is_waited_for_at_other_scales_comes_of_the_same_decoding_and_is_the_same() {
    // an eighth, a quarter, three eighths twice, a half, three quarters; and all of it, which only our decoder of
    // progressive files gives
    let recipes: Vec<Recipe> = [(Format::WebP, 35), (Format::Jpeg, 60), (Format::Avif, 90), (Format::WebP, 94)]
        .into_iter()
        .chain([(Format::Png, 120), (Format::WebP, 180), (Format::WebP, 300)])
        .map(|(format, width)| wide(format, width))
        .collect();
    for (name, native, pure) in [("rocket.jpg", 2, 4), ("astronaut-progressive.jpg", 1, 3)] {
        let original = original(&format!("photos/{name}"));
        let all = Decodes::new(64 << 20);
        let waiting: Vec<Together> = recipes.iter().map(|recipe| join(&all, 1, recipe)).collect();
        let mut decoded = 0;
        for (recipe, together) in recipes.iter().zip(waiting) {
            let counted = Counted(&together, AtomicU32::new(0));
            let alone = make_of(&join(&Decodes::new(0), 1, recipe), &original, recipe);
            assert!(make_of(&counted, &original, recipe) == alone, "{name}: {recipe}");
            decoded += counted.1.into_inner();
        }
        // other builds decode to one scale at a time, of which they have fewer
        assert_eq!(decoded, if cfg!(feature = "native") { native } else { pure }, "{name}");
        let kept: u64 = all
            .lock()
            .pictures
            .values()
            .map(|picture| match picture {
                Picture::Ready { decoded, .. } => decoded.bytes(),
                Picture::Pending(_) => panic!("nothing is decoded any more"),
            })
            .sum();
        assert_eq!(all.bytes(), kept);
    }
}

#[test]
fn what_is_decoded_for_others_stays_within_the_bound() {
    let recipes = [30, 60, 90, 120, 180].map(|width| wide(Format::WebP, width));
    for max_bytes in [1000, 20_000, 100_000, 300_000] {
        let all = Decodes::new(max_bytes);
        let waiting: Vec<Together> = recipes.iter().map(|recipe| join(&all, 1, recipe)).collect();
        for (recipe, together) in recipes.iter().zip(&waiting) {
            let counted = Counted(together, AtomicU32::new(0));
            make_of(&counted, &photograph(), recipe);
            assert!(all.bytes() <= max_bytes, "{} of {max_bytes}", all.bytes());
        }
    }
}

/// A PNG of a photograph's colours and some opacity.
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
fn rows_used_as_they_come_make_the_same_as_a_picture_held_whole() {
    use crate::render::geometry::{Rect, Resize, Wish};
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
            let wish = Wish { width, height: 0, enlarge: true };
            let resize = Resize::Contain(wish);
            // a format that says how long a picture is shown
            let format = if name.ends_with(".gif") && !linear { Format::Gif } else { Format::Png };
            let recipe = Recipe::new(Output::Exactly(format), Quality::default());
            let mut recipe = Recipe { resize, animated: false, ..recipe };
            if crops {
                recipe.rect = Some(Rect { x: 11, y: 31, width: 99, height: 41 });
            }
            let settings = Settings { linear, ..Settings::default() };
            let make = |decodes: &dyn render::Decodes| {
                render_from(decodes, &original, None, &recipe, &settings, &mut |_| true).expect("rendered").bytes
            };
            let all = Decodes::new(64 << 20);
            let alone = join(&all, 1, &wide(Format::WebP, 300));
            let streamed = make(&Counted(&alone, AtomicU32::new(0)));
            let together = join(&all, 1, &wide(Format::WebP, 300));
            let counted = Counted(&together, AtomicU32::new(0));
            let shared = make(&counted);
            assert_eq!(counted.1.load(Ordering::Relaxed), 1);
            assert!(streamed == shared, "{name}, {width} columns, linear {linear}");
        }
    }
}

#[test]
fn parts_decoded_alone_make_the_same_as_those_of_a_whole() {
    use crate::render::geometry::{Gravity, Rect, Resize, Wish};
    let box_of = |width, height| Wish { width, height, enlarge: false };
    let of = |resize, rect| Recipe { resize, rect, ..Recipe::new(Output::Exactly(Format::WebP), Quality::default()) };
    let rect = |x, y, width, height| Some(Rect { x, y, width, height });
    let cases = [
        (of(Resize::Contain(box_of(50, 0)), rect(301, 13, 203, 199)), true),
        (of(Resize::Contain(box_of(30, 0)), rect(0, 227, 190, 200)), true),
        (of(Resize::Cover(box_of(40, 100), Gravity::Point(10_000, 5000)), None), true),
        // at full size a part is nobody else's
        (of(Resize::Contain(box_of(150, 0)), rect(401, 100, 200, 150)), false),
        (of(Resize::Native, rect(401, 101, 99, 151)), false),
    ];
    for (recipe, shares) in cases {
        for (name, linear) in [("rocket.jpg", false), ("rocket.jpg", true), ("retina.jpg", false)] {
            let original = original(&format!("photos/{name}"));
            let settings = Settings { linear, ..Settings::default() };
            let make = |decodes: &dyn render::Decodes| {
                render_from(decodes, &original, None, &recipe, &settings, &mut |_| true).expect("rendered").bytes
            };
            let all = Decodes::new(64 << 20);
            let alone = join(&all, 1, &wide(Format::WebP, 300));
            let by_itself = make(&alone);
            let together = join(&all, 1, &wide(Format::WebP, 300));
            let counted = Counted(&together, AtomicU32::new(0));
            assert!(make(&counted) == by_itself, "{name}, linear {linear}: {recipe:?}");
            // other builds decode no parts
            let decoded = u32::from(shares || cfg!(not(feature = "native")));
            assert_eq!(counted.1.load(Ordering::Relaxed), decoded, "{recipe:?}");
        }
    }
}

#[test]
fn nothing_is_kept_for_one_that_comes_alone_nor_beyond_the_bound() {
    let all = Decodes::new(64 << 20);
    let alone = join(&all, 1, &wide(Format::WebP, 300));
    make(&alone, Format::WebP, 300);
    assert_eq!(all.bytes(), 0);
    let all = Decodes::new(1000);
    let both = (join(&all, 1, &wide(Format::WebP, 300)), join(&all, 1, &wide(Format::WebP, 300)));
    make(&both.0, Format::WebP, 300);
    assert_eq!(all.bytes(), 0);
    // room is made for what is new
    let all = Decodes::new(1_000_000);
    for number in 1..20 {
        let both = (join(&all, number, &wide(Format::WebP, 300)), join(&all, number, &wide(Format::WebP, 300)));
        make(&both.0, Format::WebP, 300);
        assert!((1..=1_000_000).contains(&all.bytes()), "{}", all.bytes());
    }
}

fn info() -> Info {
    render::probe(&photograph()).expect("a photograph")
}

#[test]
fn a_decoding_that_fails_or_panics_leaves_nobody_waiting() {
    use crate::render::Decodes as _;
    let scale = Scale::default();
    for panics in [false, true] {
        let all = Decodes::new(64 << 20);
        let (first, second) = (join(&all, 1, &wide(Format::WebP, 300)), join(&all, 1, &wide(Format::WebP, 300)));
        let (begun, begin) = std::sync::mpsc::channel();
        let waiting = std::thread::spawn(move || {
            begin.recv().expect("it begins");
            second.get_or_decode(&info(), scale, &mut |_| Err(Error::Cancelled)).err()
        });
        let failing = std::thread::spawn(move || {
            let mut decode = |_: &[Scale]| {
                begun.send(()).expect("the other waits");
                std::thread::sleep(Duration::from_millis(20));
                if panics { panic!("a bug") } else { Err(Error::UnknownFormat) }
            };
            first.get_or_decode(&info(), scale, &mut decode).is_err()
        });
        assert!(matches!(waiting.join().expect("no panic"), Some(Error::Cancelled)));
        assert_eq!(failing.join().is_err(), panics);
        assert_eq!(all.bytes(), 0);
    }
}

#[test]
fn after_one_has_failed_the_others_do_not_wait_for_each_other() {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use crate::render::Decodes as _;
    let all = Decodes::new(64 << 20);
    let [first, second, third] = [(); 3].map(|()| join(&all, 1, &wide(Format::WebP, 300)));
    let failed = first.get_or_decode(&info(), Scale::default(), &mut |_| Err(Error::UnknownFormat));
    assert!(failed.is_err());
    // each tells the other that it decodes, and hears of the other, before it ends
    let (to_third, from_second) = channel();
    let (to_second, from_third) = channel();
    let meets = |together: Together, to: Sender<()>, from: Receiver<()>| {
        std::thread::spawn(move || {
            let mut met = false;
            let decoded = together.get_or_decode(&info(), Scale::default(), &mut |others| {
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
fn who_needs_no_picture_has_none_made() {
    use crate::render::Decodes as _;
    let (half, whole) = (wide(Format::WebP, 120), wide(Format::WebP, 180));
    for needs in [false, true] {
        let all = Decodes::new(64 << 20);
        let (first, second) = (join(&all, 1, &half), join(&all, 1, &whole));
        if !needs {
            second.do_without();
        }
        make_of(&first, &photograph(), &half);
        let pictures = all.lock().pictures.len();
        assert_eq!(pictures, if needs && cfg!(feature = "native") { 2 } else { 1 });
    }
}

/// Gives what is wanted and nothing else, and notes of how many others it was told.
struct Stingy<'a>(&'a Together, std::cell::Cell<usize>);

impl render::Decodes for Stingy<'_> {
    fn get_or_decode(&self, info: &Info, scale: Scale, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        self.0.get_or_decode(info, scale, &mut |others| {
            self.1.set(others.len());
            decode(others).map(|mut decoded| decoded.drain(..1).collect())
        })
    }

    fn do_without(&self) {
        self.0.do_without();
    }

    fn are_shared(&self) -> bool {
        self.0.are_shared()
    }
}

#[test]
fn a_file_that_gives_fewer_than_asked_for_is_read_for_one_at_a_time() {
    let recipes = [120, 180, 60].map(|width| wide(Format::WebP, width));
    let all = Decodes::new(64 << 20);
    let waiting = recipes.each_ref().map(|recipe| join(&all, 1, recipe));
    let told: Vec<usize> = recipes
        .iter()
        .zip(&waiting)
        .map(|(recipe, together)| {
            let stingy = Stingy(together, Default::default());
            make_of(&stingy, &photograph(), recipe);
            stingy.1.get()
        })
        .collect();
    assert_eq!(told, if cfg!(feature = "native") { [2, 0, 0] } else { [0, 0, 0] });
    assert!(all.lock().pictures.values().all(|picture| matches!(picture, Picture::Ready { .. })));
}
