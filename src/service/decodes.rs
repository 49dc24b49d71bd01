//! Decoded originals, for as long as renditions of them are asked for together: a page whose `srcset` names six widths
//! has its photograph read once, not six times.
//!
//! Nothing is kept for a request that comes alone. A picture is kept when others of the same original wait, or one was
//! made within [`KEPT`]; it goes when it has not been used for so long, or when others need the room. Whoever decodes is
//! told what those who wait will want, and makes of the same work what comes of it. What is kept and what is put by for it
//! stays within the bound. Decoding gives the same picture every time, so results do not depend on what is kept here.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::render::codec::Info;
use crate::render::{self, Decode, Decoded, Error, Recipe, Scale, Settings};
use crate::source::Version;

/// How long a decoded picture is kept after its last use, and for how long another request of the same original counts
/// as made together with it.
const KEPT: Duration = Duration::from_secs(2);

/// Of how many that wait it is looked what they will want.
const LOOKED_AT: usize = 32;

/// The decoded pictures.
pub(super) struct Decodes {
    state: Mutex<State>,
    /// Something was decoded, or its decoding has failed.
    changed: Condvar,
    max_bytes: u64,
}

#[derive(Default)]
struct State {
    pictures: HashMap<(Version, Scale), Picture>,
    /// Of the pictures that are kept, and what is put by for those that are decoded for others.
    bytes: u64,
    asked: HashMap<Version, Asked>,
    /// How many have joined so far.
    joined: u64,
    /// Whether a task sees to it that what is kept goes.
    is_swept: bool,
}

/// Who wants renditions of a version.
#[derive(Default)]
struct Asked {
    /// How many renders there are, waiting ones included.
    renders: u32,
    /// When one was last made.
    last: Option<Instant>,
    /// What those want that have not asked for a picture yet, by their numbers.
    waiting: BTreeMap<u64, Wish>,
    /// Its decoding has failed, or gave more than can be kept: each does it by itself, and none waits for another in vain.
    is_apart: bool,
    /// It was read for several and gave only what was wanted, as some damaged files do: that would be twice the work again.
    is_one_by_one: bool,
}

type Wish = (Arc<Recipe>, Arc<Settings>);

enum Picture {
    /// Somebody decodes it, and has so many bytes put by for it.
    Pending(u64),
    Ready {
        decoded: Arc<Decoded>,
        used: Instant,
    },
}

/// Says that a rendition of a version is wanted, until it is dropped.
pub(super) struct Together {
    all: Arc<Decodes>,
    version: Version,
    number: u64,
    /// Whether others decoded for it, or it for others.
    has_shared: AtomicBool,
}

/// What becomes of a wish for a picture.
enum Claim {
    /// It is there.
    Ready(Arc<Decoded>),
    /// Whoever wants it decodes it, and nobody else hears of it.
    Apart,
    /// Whoever wants it decodes it while others wait for it; these are what more may be wanted.
    Pending(Vec<Wish>),
}

impl Decodes {
    /// A store of at most so many bytes of pixels.
    pub(super) fn new(max_bytes: u64) -> Arc<Decodes> {
        Arc::new(Decodes { state: Mutex::default(), changed: Condvar::new(), max_bytes })
    }

    /// To be called as soon as it is known that a rendition of that version has to be made.
    pub(super) fn join(
        self: &Arc<Decodes>, version: Version, recipe: &Arc<Recipe>, settings: &Arc<Settings>,
    ) -> Together {
        let mut state = self.lock();
        let now = Instant::now();
        state.sweep(now);
        state.joined += 1;
        let number = state.joined;
        let asked = state.asked.entry(version).or_default();
        asked.renders += 1;
        asked.waiting.insert(number, (Arc::clone(recipe), Arc::clone(settings)));
        Together { all: Arc::clone(self), version, number, has_shared: AtomicBool::new(false) }
    }

    /// Sees to it that what is kept goes when it is no longer used, though nobody may ask for anything any more.
    pub(super) fn sweep_later(self: &Arc<Decodes>) {
        let mut state = self.lock();
        if state.is_swept || state.pictures.is_empty() {
            return;
        }
        state.is_swept = true;
        drop(state);
        let all = Arc::clone(self);
        tokio::spawn(async move {
            while all.sweep() {
                tokio::time::sleep(KEPT / 2).await;
            }
        });
    }

    /// Drops what has not been used for a while. `true` where something is left to be dropped later.
    fn sweep(&self) -> bool {
        let mut state = self.lock();
        state.sweep(Instant::now());
        // in the same moment as it is seen that nothing is left, so that what comes then is not forgotten
        state.is_swept = !state.pictures.is_empty();
        state.is_swept
    }

    /// Bytes of the pictures that are kept, and of what is put by for those that are being decoded for others.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        let is_recent = |last: Instant| now.duration_since(last) < KEPT;
        self.asked.retain(|_, asked| asked.renders > 0 || asked.last.is_some_and(is_recent));
        let asked = &self.asked;
        let mut freed = 0;
        self.pictures.retain(|(version, _), picture| match picture {
            Picture::Pending(_) => true,
            Picture::Ready { decoded, used } => {
                let wanted = asked.get(version).is_some_and(|asked| asked.renders > 0);
                let keep = wanted || now.duration_since(*used) < KEPT;
                freed += if keep { 0 } else { decoded.bytes() };
                keep
            }
        });
        self.bytes -= freed;
    }

    /// Whether renditions of that version are made together.
    fn is_shared(&self, version: &Version) -> bool {
        let is_recent = |last: Instant| last.elapsed() < KEPT;
        let is_shared = |asked: &Asked| asked.renders > 1 || asked.last.is_some_and(is_recent);
        self.asked.get(version).is_some_and(|asked| !asked.is_apart && is_shared(asked))
    }

    /// Makes room by dropping what was used longest ago; `false`, and nothing dropped, where it would not be enough.
    fn make_room(&mut self, bytes: u64, max_bytes: u64) -> bool {
        let mut kept: Vec<_> = self
            .pictures
            .iter()
            .filter_map(|(key, picture)| match picture {
                Picture::Pending(_) => None,
                Picture::Ready { used, decoded } => Some((*used, *key, decoded.bytes())),
            })
            .collect();
        let droppable: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
        if self.bytes - droppable + bytes > max_bytes {
            return false;
        }
        kept.sort_by_key(|(used, ..)| *used);
        let mut oldest_first = kept.iter();
        while self.bytes + bytes > max_bytes {
            let Some((_, key, _)) = oldest_first.next() else { return false };
            self.remove(key);
        }
        true
    }

    fn remove(&mut self, key: &(Version, Scale)) {
        self.bytes -= match self.pictures.remove(key) {
            Some(Picture::Ready { decoded, .. }) => decoded.bytes(),
            Some(Picture::Pending(bytes)) => bytes,
            None => 0,
        };
    }
}

impl Together {
    /// Whether others decoded for it, or it for others, so that the time it took is not its own.
    pub(super) fn has_shared(&self) -> bool {
        self.has_shared.load(Ordering::Relaxed)
    }

    /// Takes or waits for a picture, or says that it is made here.
    fn claim(&self, scale: Scale) -> Claim {
        let key = (self.version, scale);
        let mut state = self.all.lock();
        state.asked.entry(self.version).and_modify(|asked| _ = asked.waiting.remove(&self.number));
        loop {
            match state.pictures.get_mut(&key) {
                Some(Picture::Ready { decoded, used }) => {
                    *used = Instant::now();
                    return Claim::Ready(Arc::clone(decoded));
                }
                // it will be there sooner than if it were begun now
                Some(Picture::Pending(_)) => {
                    self.has_shared.store(true, Ordering::Relaxed);
                    state = self.all.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                None => break,
            }
        }
        if self.all.max_bytes == 0 || !state.is_shared(&self.version) {
            return Claim::Apart;
        }
        state.pictures.insert(key, Picture::Pending(0));
        let others = state.asked.get(&self.version).filter(|asked| !asked.is_one_by_one);
        let others = others.into_iter().flat_map(|asked| asked.waiting.values());
        Claim::Pending(others.take(LOOKED_AT).cloned().collect())
    }
}

impl render::Decodes for Together {
    fn get_or_decode(&self, info: &Info, scale: Scale, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        let waiting = match self.claim(scale) {
            Claim::Ready(decoded) => {
                self.has_shared.store(true, Ordering::Relaxed);
                return Ok(decoded);
            }
            Claim::Apart => {
                let (_, decoded) = decode(&[])?.swap_remove(0);
                return Ok(Arc::new(decoded));
            }
            Claim::Pending(waiting) => waiting,
        };
        let mut pending = Pending { all: &self.all, version: self.version, scales: vec![scale] };
        if scale.comes_with_others(info) {
            pending.put_by(info, &waiting);
        }
        let others = pending.scales[1..].to_vec();
        if !others.is_empty() {
            self.has_shared.store(true, Ordering::Relaxed);
        }
        let decoded = decode(&others).inspect_err(|error| {
            if !matches!(error, Error::Cancelled) {
                pending.asked(|asked| asked.is_apart = true);
            }
        })?;
        Ok(pending.are_there(decoded))
    }

    fn do_without(&self) {
        self.all.lock().asked.entry(self.version).and_modify(|asked| _ = asked.waiting.remove(&self.number));
    }

    fn are_shared(&self) -> bool {
        self.all.max_bytes > 0 && self.all.lock().is_shared(&self.version)
    }
}

impl Drop for Together {
    fn drop(&mut self) {
        if let Some(asked) = self.all.lock().asked.get_mut(&self.version) {
            asked.renders -= 1;
            asked.last = Some(Instant::now());
            asked.waiting.remove(&self.number);
        }
    }
}

/// Decodings under way; nobody waits for them in vain, however they end.
struct Pending<'a> {
    all: &'a Decodes,
    version: Version,
    /// Those that are not there yet, the wanted one first.
    scales: Vec<Scale>,
}

impl Pending<'_> {
    /// Puts by what else those who wait will want and nobody has or makes, as far as there is room.
    fn put_by(&mut self, info: &Info, waiting: &[Wish]) {
        let wanted = waiting.iter().filter_map(|(recipe, settings)| Scale::wanted(info, recipe, settings));
        let wanted: Vec<(Scale, u64)> = wanted.filter(|(scale, _)| scale.comes_with_others(info)).collect();
        let mut state = self.all.lock();
        for (scale, bytes) in wanted {
            let key = (self.version, scale);
            if !state.pictures.contains_key(&key) && state.make_room(bytes, self.all.max_bytes) {
                state.bytes += bytes;
                state.pictures.insert(key, Picture::Pending(bytes));
                self.scales.push(scale);
            }
        }
    }

    /// Keeps what was decoded, as far as there is room, and gives the first, which is the wanted one.
    fn are_there(mut self, decoded: Vec<(Scale, Decoded)>) -> Arc<Decoded> {
        let decoded: Vec<_> = decoded.into_iter().map(|(scale, decoded)| (scale, Arc::new(decoded))).collect();
        let wanted = Arc::clone(&decoded[0].1);
        let is_one_by_one = decoded.len() < self.scales.len();
        let mut state = self.all.lock();
        for scale in self.scales.drain(..) {
            state.remove(&(self.version, scale));
        }
        let mut is_apart = false;
        for (number, (scale, decoded)) in decoded.into_iter().enumerate() {
            if state.make_room(decoded.bytes(), self.all.max_bytes) {
                state.bytes += decoded.bytes();
                state.pictures.insert((self.version, scale), Picture::Ready { decoded, used: Instant::now() });
            } else {
                is_apart |= number == 0;
            }
        }
        drop(state);
        self.asked(|asked| {
            asked.is_one_by_one |= is_one_by_one;
            asked.is_apart |= is_apart;
        });
        wanted
    }

    fn asked(&self, note: impl FnOnce(&mut Asked)) {
        self.all.lock().asked.entry(self.version).and_modify(note);
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        let mut state = self.all.lock();
        for scale in &self.scales {
            state.remove(&(self.version, *scale));
        }
        drop(state);
        self.all.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
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
        let of =
            |resize, rect| Recipe { resize, rect, ..Recipe::new(Output::Exactly(Format::WebP), Quality::default()) };
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
}
