//! Renders in worker processes: they are equal to those in the process of the service, and what happens in a worker stays
//! there.

mod faults;
mod layers;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tintype::render::fonts::FontFiles;
use tintype::render::geometry::{Resize, TargetSize};
use tintype::render::recipe::{Output, Quality};
use tintype::render::{
    self, Decode, DecodeKey, Decoded, Format, Info, Progress, Recipe, Settings, SharedDecodes, Stage,
};
use tintype::service::Error;
use tintype::service::isolated::{self, Isolated};
use tintype::service::renderer::{Bounds, InProcess, IsolationError, Monitor, RenderInput, Renderer, StageTimes};
use tintype_isolation::Program;

/// The setting of a server that renders in worker processes where it can.
const ISOLATED: (&str, &str) = ("TINTYPE_SECURITY_ISOLATION", "auto");

use crate::common::need::needs;
use crate::common::{corpus, poll, testdata};

/// Workers of the built program.
fn isolated(per_job: bool) -> Isolated {
    let program = Program {
        path: env!("CARGO_BIN_EXE_tintype").into(),
        name: "tintype".into(),
        args: vec!["render-worker".into()],
        envs: Vec::new(),
    };
    Isolated::start(isolated::Config { program, per_job, ..isolated::Config::this(2, per_job, &FontFiles::default()) })
        .expect("workers start")
}

/// Runs a test with both implementations.
fn both(test: impl Fn(&dyn Renderer)) {
    test(&InProcess);
    test(&isolated(false));
}

fn bounds(memory: u64) -> Bounds {
    Bounds { memory, deadline: Instant::now() + Duration::from_secs(60), is_idle: false }
}

/// Goes on until `left` stages have begun, and keeps the times.
struct Watcher {
    left: usize,
    times: Option<StageTimes>,
}

impl Watcher {
    fn new() -> Watcher {
        Watcher { left: usize::MAX, times: None }
    }
}

impl Progress for Watcher {
    fn begin(&mut self, _: Stage) -> bool {
        self.left = self.left.saturating_sub(1);
        self.keep_going()
    }

    fn keep_going(&mut self) -> bool {
        self.left > 0
    }

    fn threads(&mut self) -> u32 {
        2
    }
}

impl Monitor for Watcher {
    fn spent(&mut self, times: StageTimes) {
        self.times = Some(times);
    }
}

/// Keeps each image.
#[derive(Default)]
struct Kept {
    images: Mutex<Vec<(DecodeKey, Arc<Decoded>)>>,
    decodes: Mutex<usize>,
}

impl SharedDecodes for Kept {
    fn get_or_decode(&self, _: &Info, key: DecodeKey, decode: Decode<'_>) -> render::Result<Arc<Decoded>> {
        let mut images = self.images.lock().expect("no panic");
        if let Some((_, image)) = images.iter().find(|(kept, _)| *kept == key) {
            return Ok(Arc::clone(image));
        }
        *self.decodes.lock().expect("no panic") += 1;
        images.extend(decode(&[])?.into_iter().map(|(key, image)| (key, Arc::new(image))));
        Ok(images
            .iter()
            .find(|(kept, _)| *kept == key)
            .map(|(_, image)| Arc::clone(image))
            .expect("what was asked for"))
    }

    fn decline(&self) {}

    fn is_shared(&self) -> bool {
        true
    }
}

/// The result of a request: the header, and the file or why there is none.
type Outcome = Result<(Vec<u8>, render::Content, bool), String>;

fn render_with(
    renderer: &dyn Renderer, original: &[u8], recipe: &Recipe, settings: &Settings, decodes: Option<&dyn SharedDecodes>,
) -> Outcome {
    let length = original.len() as u64;
    let attempt = || -> Result<render::Encoded, Error> {
        let info = renderer.head(original, settings, bounds(length + render::FIXED_MEMORY))?;
        let info = info.as_ref();
        let recipe = &info.map_or(recipe.clone(), |info| recipe.effective(info, settings));
        let memory = match info {
            Some(info) => render::estimate(info, length, recipe, settings)?.memory,
            None => length + render::FIXED_MEMORY,
        };
        renderer.render(
            &RenderInput { original, info, recipe, settings, bounds: bounds(memory) },
            decodes,
            &mut Watcher::new(),
        )
    };
    let encoded = attempt().map_err(|error| error.to_string())?;
    Ok((encoded.bytes, encoded.content, encoded.damaged))
}

fn contain(output: Output, width: u32) -> Recipe {
    let size = TargetSize { width, height: 0, enlarge: false };
    Recipe::new(output, Quality::default()).with_resize(Resize::Contain(size))
}

fn recipes() -> Vec<Recipe> {
    vec![
        contain(Output::Exactly(Format::WebP), 200),
        contain(Output::Exactly(Format::Avif), 96),
        contain(Output::Original, 61),
        Recipe::new(Output::Original, Quality::default()),
        Recipe::description(),
        Recipe::passthrough(),
    ]
}

/// Files of these folders and below.
fn files(folders: &[PathBuf]) -> Vec<PathBuf> {
    let (mut folders, mut files) = (folders.to_vec(), Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => files.push(path),
            }
        }
    }
    files.sort();
    files
}

/// Asserts that a file is rendered alike by both, shared decodes or not.
fn assert_alike(isolated: &dyn Renderer, path: &Path, recipes: &[Recipe]) {
    let original = std::fs::read(path).expect("a file");
    let settings = Settings::default();
    for recipe in recipes {
        let here = render_with(&InProcess, &original, recipe, &settings, None);
        let there = render_with(isolated, &original, recipe, &settings, None);
        assert!(here == there, "{} {recipe}: {:?} {:?}", path.display(), shown(&here), shown(&there));
        let kept = Kept::default();
        let shared = render_with(isolated, &original, recipe, &settings, Some(&kept));
        assert!(here == shared, "{} {recipe}, shared: {:?} {:?}", path.display(), shown(&here), shown(&shared));
    }
}

fn shown(outcome: &Outcome) -> Result<(usize, render::Content, bool), &str> {
    outcome.as_ref().map(|(bytes, content, damaged)| (bytes.len(), *content, *damaged)).map_err(String::as_str)
}

/// Renders files by as many threads as there are workers; no worker may die.
fn assert_all_alike(files: &[PathBuf], recipes: &[Recipe]) {
    let isolated = isolated(false);
    let next = Mutex::new(files.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(path) = next.lock().expect("no panic").next() else { return };
                    assert_alike(&isolated, path, recipes);
                }
            });
        }
    });
    let stats = isolated.isolation().expect("it is isolated").stats;
    assert!(stats.deaths.is_empty(), "{:?}", stats.deaths);
}

#[test]
fn test_pictures_are_rendered_alike() {
    assert_all_alike(&files(&[testdata()]), &recipes());
}

#[test]
fn corpus_is_rendered_alike() {
    needs!(Corpus);
    assert_all_alike(&files(&[corpus().expect("it is there")]), &recipes()[..2]);
}

#[test]
fn process_for_each_job_renders_alike() {
    let isolated = isolated(true);
    for name in ["photos/retina.jpg", "generated/alpha.png", "generated/animated.gif"] {
        assert_alike(&isolated, &testdata().join(name), &recipes()[..3]);
    }
    // a header and a render each, then a decode as well
    assert!(isolated.isolation().expect("it is isolated").stats.started >= 3 * 3 * 4);
}

#[test]
fn decoded_image_is_shared_between_renders() {
    let original = std::fs::read(testdata().join("photos/retina.jpg")).expect("a file");
    both(|renderer| {
        let kept = Kept::default();
        for output in [Format::WebP, Format::Jpeg, Format::Avif] {
            let recipe = contain(Output::Exactly(output), 300);
            let shared = render_with(renderer, &original, &recipe, &Settings::default(), Some(&kept));
            assert!(shared == render_with(&InProcess, &original, &recipe, &Settings::default(), None), "{output:?}");
        }
        assert_eq!(*kept.decodes.lock().expect("no panic"), 1);
    });
}

/// The profile is in the header of the image, and may be larger than its samples.
#[test]
fn decoded_image_with_a_large_profile_is_shared() {
    let p3 = std::fs::read(testdata().join("generated/p3.png")).expect("a file");
    let reader = png::Decoder::new(std::io::Cursor::new(p3)).read_info().expect("a PNG");
    let mut icc = reader.info().icc_profile.clone().expect("a profile").into_owned();
    icc.resize(1_000_000, 0);
    let mut info = png::Info::with_size(300, 200);
    (info.color_type, info.icc_profile) = (png::ColorType::Rgb, Some(icc.into()));
    let mut original = Vec::new();
    let mut writer =
        png::Encoder::with_info(&mut original, info).and_then(png::Encoder::write_header).expect("a header");
    writer.write_image_data(&[[200_u8, 30, 90]; 300 * 200].concat()).expect("pixels");
    writer.finish().expect("an end");
    both(|renderer| {
        let (kept, recipe, settings) =
            (Kept::default(), contain(Output::Exactly(Format::WebP), 100), Settings::default());
        let shared = render_with(renderer, &original, &recipe, &settings, Some(&kept));
        assert!(shared.is_ok(), "{:?}", shown(&shared));
        assert!(shared == render_with(&InProcess, &original, &recipe, &settings, None));
        assert_eq!(*kept.decodes.lock().expect("no panic"), 1);
    });
}

#[test]
fn upload_is_checked_alike() {
    let settings = Settings::default();
    both(|renderer| {
        let check = |original: &[u8]| {
            let memory = bounds(64 << 20);
            let info = renderer.head(original, &settings, memory)?;
            renderer.check(original, info.as_ref(), &settings, memory, &mut |_: Stage| true)
        };
        for name in ["photos/retina.jpg", "generated/alpha.png", "generated/animated.gif", "generated/svg.svg"] {
            let file = std::fs::read(testdata().join(name)).expect("a file");
            assert!(check(&file).is_ok(), "{name}: {:?}", check(&file));
            let cut = check(&file[..file.len() * 2 / 3]);
            assert!(matches!(cut, Err(Error::Render(render::Error::Malformed { .. }))), "{name}: {cut:?}");
        }
        assert!(matches!(check(b"text"), Err(Error::Render(render::Error::UnknownFormat))));
    });
}

#[test]
fn cancelled_render_has_no_result() {
    let original = std::fs::read(testdata().join("photos/large-12mp.jpg")).expect("a file");
    let settings = Settings::default();
    let recipe = contain(Output::Exactly(Format::WebP), 1600);
    both(|renderer| {
        let info = renderer.head(&original, &settings, bounds(64 << 20)).expect("a header");
        let work = RenderInput {
            original: &original,
            info: info.as_ref(),
            recipe: &recipe,
            settings: &settings,
            bounds: bounds(1 << 28),
        };
        let mut watcher = Watcher { left: 0, times: None };
        let ended = renderer.render(&work, None, &mut watcher);
        assert!(matches!(ended, Err(Error::Render(render::Error::Cancelled))), "{ended:?}");
    });
}

#[test]
fn times_of_a_worker_are_reported() {
    let original = std::fs::read(testdata().join("photos/retina.jpg")).expect("a file");
    let (settings, recipe) = (Settings::default(), contain(Output::Exactly(Format::WebP), 600));
    let isolated = isolated(false);
    let info = isolated.head(&original, &settings, bounds(64 << 20)).expect("a header");
    let work = RenderInput {
        original: &original,
        info: info.as_ref(),
        recipe: &recipe,
        settings: &settings,
        bounds: bounds(1 << 27),
    };
    // a busy machine may leave the worker without a core for longer than it encodes
    poll("an encoding on a core of its own", || {
        let mut watcher = Watcher::new();
        isolated.render(&work, None, &mut watcher).expect("a rendition");
        let times = watcher.times.expect("the times");
        assert!(!times.encode.is_zero() && !times.resize.is_zero() && !times.cpu.is_zero(), "{times:?}");
        (times.cpu > times.encode / 2).then_some(())
    });
}

#[test]
fn idle_work_runs_in_a_worker_of_its_own() {
    let original = std::fs::read(testdata().join("photos/retina.jpg")).expect("a file");
    let (settings, isolated) = (Settings::default(), isolated(false));
    let started = || isolated.isolation().expect("it is isolated").stats.started;
    poll("two workers", || (started() == 2).then_some(()));
    let idle = Bounds { is_idle: true, ..bounds(64 << 20) };
    for _ in 0..2 {
        isolated.head(&original, &settings, idle).expect("a header");
        assert_eq!(started(), 3);
    }
}

#[test]
fn memory_beyond_the_estimate_is_refused() {
    let original = std::fs::read(testdata().join("photos/large-12mp.jpg")).expect("a file");
    let (settings, isolated) = (Settings::default(), isolated(false));
    let info = isolated.head(&original, &settings, bounds(64 << 20)).expect("a header").expect("no SVG");
    // all pixels of it at once, of which the estimate is said to be nothing
    let recipe = Recipe::new(Output::Exactly(Format::Png), Quality::default());
    let work =
        RenderInput { original: &original, info: Some(&info), recipe: &recipe, settings: &settings, bounds: bounds(0) };
    let ended = isolated.render(&work, None, &mut Watcher::new());
    let is_refused = matches!(ended, Err(Error::Isolation(IsolationError::OutOfMemory | IsolationError::Crashed)));
    assert!(is_refused, "{:?}", ended.map(|encoded| encoded.bytes.len()));
    // and the next one is rendered
    assert_alike(&isolated, &testdata().join("photos/retina.jpg"), &recipes()[..1]);
}
