//! Overlays of the settings: where they are, what refuses them, the one that every image has, and files that change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::StatusCode;
use rustix::process::Signal;
use tintype::config;
use tintype::render::recipe::{Encode, Output};
use tintype::render::{Format, OverlayFile, Recipe, Settings, render};
use tintype::source::ImageId;

use crate::common::in_process::{Answer, InProcess};
use crate::common::{Server, folder, poll, run, serve, testdata, tintype};

const RED: [u8; 3] = [255, 0, 0];
const KEY: &str = "0123456789abcdef";

/// A folder with a grey original, an SVG, and an overlay of 10 × 6 red pixels that the settings name `logo`.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(settings: &str) -> Place {
        let place = Place { folder: folder() };
        std::fs::create_dir(place.folder.path().join("originals")).expect("a folder");
        place.save("originals/grey.png", 100, 60, [90; 3]);
        std::fs::write(place.path("originals/drawing.svg"), "<svg xmlns='http://www.w3.org/2000/svg'/>")
            .expect("written");
        place.save("logo.png", 10, 6, RED);
        std::fs::write(place.path("tintype.toml"), settings).expect("written");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn save(&self, name: &str, width: u32, height: u32, colour: [u8; 3]) {
        let picture = image::RgbImage::from_pixel(width, height, image::Rgb(colour));
        picture.save(self.path(name)).expect("saved");
    }

    /// The service over the originals, with the live settings of the file.
    fn service(&self) -> InProcess {
        let loaded = config::load(Some(&self.path("tintype.toml")), &[]).expect("good settings");
        InProcess::new(&self.path("originals"), |config| config.live = loaded.config.live)
    }

    fn error(&self) -> String {
        config::load(Some(&self.path("tintype.toml")), &[]).expect_err("bad settings").to_string()
    }
}

async fn get(server: &InProcess, uri: &str) -> Answer {
    server.get_with(uri, &[]).await
}

/// The left, top, right and bottom edges of what is red; `None` where nothing is.
fn red(file: &[u8]) -> Option<[u32; 4]> {
    let picture = image::load_from_memory(file).expect("a picture").into_rgb8();
    let is_red = |pixel: &image::Rgb<u8>| pixel[0] > 200 && pixel[1] < 60;
    let found: Vec<(u32, u32)> =
        picture.enumerate_pixels().filter(|(.., pixel)| is_red(pixel)).map(|(x, y, _)| (x, y)).collect();
    let xs = || found.iter().map(|(x, _)| *x);
    let ys = || found.iter().map(|(_, y)| *y);
    Some([xs().min()?, ys().min()?, xs().max()? + 1, ys().max()? + 1])
}

#[tokio::test]
async fn overlay_is_where_the_url_puts_it() {
    let place = Place::new("[overlays]\nlogo = 'logo.png'\n");
    let server = place.service();
    for (query, expected) in [
        ("", [90, 54, 100, 60]),
        ("&overlay_position=top-left", [0, 0, 10, 6]),
        ("&overlay_position=center", [45, 27, 55, 33]),
        ("&overlay_position=0.25x0.5", [22, 27, 32, 33]),
        ("&overlay_offset=5,3", [85, 51, 95, 57]),
        ("&overlay_offset=0.1,0.1", [80, 48, 90, 54]),
        ("&overlay_scale=0.2", [80, 48, 100, 60]),
        ("&overlay_scale=0.5x0.1", [90, 54, 100, 60]),
        ("&overlay_position=repeat&overlay_offset=10,10", [5, 0, 95, 60]),
        ("&width=5", [0, 0, 5, 3]),
        // it is on the picture, not on the canvas or the padding around it
        ("&padding=0,40,40,0", [90, 54, 100, 60]),
        ("&width=200&height=60&fit=pad&position=left&canvas=00f", [90, 54, 100, 60]),
        // neither greyscale nor tint changes its colours
        ("&greyscale", [90, 54, 100, 60]),
        ("&tint=00f&blur=3&pixelate=9", [90, 54, 100, 60]),
    ] {
        let answer = get(&server, &format!("/grey.png?format=png&overlay=logo{query}")).await;
        assert_eq!((answer.status, red(&answer.body)), (StatusCode::OK, Some(expected)), "{query}");
    }
    let faint = get(&server, "/grey.png?format=png&overlay=logo&overlay_opacity=50").await;
    let picture = image::load_from_memory(&faint.body).expect("a picture").into_rgb8();
    assert_eq!(picture.get_pixel(95, 57).0, [173, 45, 45]);
    for query in ["overlay=none", "overlay=none&overlay_opacity=50", "overlay_position=top"] {
        assert_eq!(red(&get(&server, &format!("/grey.png?format=png&{query}")).await.body), None, "{query}");
    }
}

#[tokio::test]
async fn unknown_overlay_is_refused_with_the_known_names() {
    let place = Place::new("[overlays]\nlogo = 'logo.png'\nstamp = 'logo.png'\n");
    let server = place.service();
    let answer = get(&server, "/grey.png?overlay=lgo").await;
    let problem = String::from_utf8(answer.body).expect("text");
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(problem.contains("logo, stamp") && problem.contains("\"logo\""), "{problem}");
    let none = Place::new("").service();
    assert_eq!(get(&none, "/grey.png?overlay=logo").await.status, StatusCode::BAD_REQUEST);
    // an SVG has no pixels to put it on until it is drawn
    let drawn = get(&server, "/drawing.svg?overlay=logo").await;
    assert!(red(&drawn.body).is_some());
    assert!(get(&server, "/drawing.svg").await.body.starts_with(b"<svg"));
    let place = Place::new("[source]\nsvg = 'pass'\n[overlays]\nlogo = 'logo.png'\n");
    assert_eq!(get(&place.service(), "/drawing.svg?overlay=logo").await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

const REQUIRED: &str = "[overlays]\nlogo = 'logo.png'\nblue = 'blue.png'\n[output]\noverlay = 'overlay=logo'\n\
    [presets]\nplain = 'overlay=none&width=80'\n[dialects.ipx]\nmount = '/ipx'\n[dialects.imgproxy]\nmount = '/imgproxy'\n";

#[tokio::test]
async fn required_overlay_is_not_evaded() {
    let place = Place::new(REQUIRED);
    place.save("blue.png", 10, 6, [0, 0, 255]);
    let server = place.service();
    for url in [
        "/grey.png",
        "/grey.png?download=a.png",
        "/grey.png?v=1",
        "/grey.png?unknown=1",
        "/grey.png?format=original",
        "/grey.png?format=png&lossless",
        "/grey.png?overlay=none",
        "/grey.png?overlay=none&download=a.png",
        "/grey.png?overlay=blue&overlay_position=top&overlay_opacity=1",
        "/grey.png?overlay_opacity=1&overlay_scale=0.01&overlay_offset=5000,5000",
        "/grey.png?preset=plain",
        "/grey.png?metadata=keep",
        "/grey.png?padding=0,900,900,0",
        "/grey.png?greyscale&pixelate=50&format=original",
        "/drawing.svg",
        "/drawing.svg?format=auto",
        "/drawing.svg?download=a.svg",
        "/drawing.svg?overlay=none",
        "/ipx/_/grey.png",
        "/ipx/w_50/grey.png",
        "/imgproxy/_/raw:1/plain/local:///grey.png",
        "/imgproxy/_/wm:0/plain/local:///grey.png",
    ] {
        let answer = get(&server, url).await;
        assert_eq!(answer.status, StatusCode::OK, "{url}");
        let edges = red(&answer.body).unwrap_or_else(|| panic!("{url} has no overlay"));
        assert!(edges[0] > 0 && edges[1] > 0, "{url}: {edges:?}");
        let part = server.get_with(url, &[("range", "bytes=0-39")]).await;
        assert_eq!((part.status, &part.body[..]), (StatusCode::PARTIAL_CONTENT, &answer.body[..40]), "{url}");
    }
    // these show nothing that an overlay would protect
    for format in ["json", "dominant", "lqip"] {
        assert_eq!(get(&server, &format!("/grey.png?format={format}")).await.status, StatusCode::OK, "{format}");
    }
    // the original in place of a rendition that is refused for overload would be one without an overlay
    let id = ImageId::parse("/grey.png").expect("a name");
    let target = server.config.live.policy().expect("valid").target("/grey.png", None, "", 0).expect("valid");
    let recipe = target.recipe.expect("no original is sent as it is");
    assert!(server.service.overload_fallback(&id, &recipe).await.is_none());
    let without = Recipe { overlay: None, ..recipe };
    assert!(server.service.overload_fallback(&id, &without).await.is_some());
}

#[tokio::test]
async fn signed_url_may_state_its_own_overlay_or_none() {
    let place = Place::new(&format!("{REQUIRED}[security]\nkeys = ['{KEY}']\nrequire_signature = false\n"));
    place.save("blue.png", 10, 6, [0, 0, 255]);
    let server = place.service();
    let policy = server.config.live.policy().expect("valid");
    let signed = |query: &str| policy.sign("/grey.png", query).expect("valid").expect("a key");
    for (query, expected) in [
        ("overlay=none", None),
        ("overlay=none&width=50", None),
        ("overlay=logo&overlay_position=top-left", Some([0, 0, 10, 6])),
        ("overlay=blue", None),
        ("format=png", Some([90, 54, 100, 60])),
        ("download=a.png", Some([90, 54, 100, 60])),
    ] {
        let answer = get(&server, &signed(query)).await;
        assert_eq!((answer.status, red(&answer.body)), (StatusCode::OK, expected), "{query}");
    }
    // a signature is for its own parameters
    let signature = signed("width=50").split("s=").last().expect("a signature").to_owned();
    for query in ["overlay=none&width=50", "overlay=none"] {
        let answer = get(&server, &format!("/grey.png?{query}&s={signature}")).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{query}");
    }
}

#[test]
fn bad_overlays_are_errors_that_name_setting_and_file() {
    let check = |settings: &str, parts: &[&str]| {
        let place = Place::new(settings);
        std::fs::write(place.path("text.png"), "no picture").expect("written");
        let png = std::fs::read(place.path("logo.png")).expect("a file");
        std::fs::write(place.path("cut.png"), &png[..png.len() / 2]).expect("written");
        std::fs::write(place.path("large.png"), vec![0; (4 << 20) + 1]).expect("written");
        let error = place.error();
        assert!(parts.iter().all(|part| error.contains(part)), "{settings}: {error}");
    };
    check("[overlays]\nlogo = 'missing.png'", &["tintype.toml", "overlays.logo", "missing.png", "No such file"]);
    check("[overlays]\nlogo = 'text.png'", &["overlays.logo", "text.png"]);
    check("[overlays]\nlogo = 'cut.png'", &["overlays.logo", "cut.png"]);
    check("[overlays]\nlogo = 'large.png'", &["overlays.logo", "4194304"]);
    check("[overlays]\nlogo = 5", &["overlays.logo"]);
    check("[overlays]\n'My Logo' = 'logo.png'", &["overlays is invalid"]);
    check("[overlays]\nnone = 'logo.png'", &["overlays is invalid"]);
    check("[output]\noverlay = 'overlay=logo'", &["output.overlay is invalid", "logo"]);
    check("[overlays]\nlogo = 'logo.png'\n[output]\noverlay = 'overlay=logo&width=5'", &["output.overlay is invalid"]);
    check("[overlays]\nlogo = 'logo.png'\n[output]\noverlay = 'overlay_opacity=5'", &["output.overlay is invalid"]);
    check("[overlays]\nlogo = 'logo.png'\n[presets]\na = 'overlay=lgo'", &["preset a", "logo"]);
}

fn start(place: &Place, settings: &[(&str, &str)]) -> Server {
    let mut command = serve(tintype(), &place.path("originals"), &place.path("cache"), "127.0.0.1:0", settings);
    command.arg("--config").arg(place.path("tintype.toml"));
    Server::spawn(command).unwrap_or_else(|log| panic!("it does not start:\n{log}"))
}

#[test]
fn changed_file_gives_new_renditions_after_a_reload() {
    let place = Place::new("[overlays]\nlogo = 'logo.png'\n");
    let server = start(&place, &[]);
    let url = "/grey.png?format=png&overlay=logo";
    let before = server.get(url, &[]);
    assert_eq!(red(&before.body), Some([90, 54, 100, 60]));
    let reload = |words: &str| {
        let lines = || server.log().matches(words).count();
        let before = lines();
        server.signal(Signal::HUP);
        poll(words, || (lines() > before).then_some(()));
    };
    place.save("logo.png", 20, 12, RED);
    // until then the file that was read counts
    assert_eq!(server.get(url, &[]).header("etag"), before.header("etag"));
    reload("settings reloaded");
    assert!(server.log().contains("overlays.logo"), "{}", server.log());
    let after = server.get(url, &[]);
    assert_eq!(red(&after.body), Some([80, 48, 100, 60]));
    assert_ne!(after.header("etag"), before.header("etag"));
    std::fs::write(place.path("logo.png"), "no picture").expect("written");
    reload("invalid settings were not applied");
    assert_eq!(server.get(url, &[]).header("etag"), after.header("etag"));
    let (status, output, error) = run(tintype().arg("check").arg("--config").arg(place.path("tintype.toml")), b"");
    assert_ne!(status, Some(0));
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.contains("overlays.logo") && output.contains("logo.png"), "{output}{error}");
}

#[tokio::test]
async fn workers_draw_the_same_overlay() {
    let place = Place::new("[overlays]\nlogo = 'logo.png'\n[output]\noverlay = 'overlay=logo&overlay_scale=0.3'\n");
    for name in ["photos/rocket.jpg", "generated/alpha.webp", "generated/animated.gif", "generated/p3.png"] {
        let to = place.path("originals").join(Path::new(name).file_name().expect("a name"));
        std::fs::copy(testdata().join(name), to).expect("copied");
    }
    let inside = place.service();
    let workers = start(&place, &[("TINTYPE_SECURITY_ISOLATION", "on")]);
    for url in [
        "/grey.png",
        "/rocket.jpg?width=200",
        "/rocket.jpg?width=200&format=webp",
        "/alpha.webp?width=60&format=png",
        "/animated.gif?width=40",
        "/p3.png?metadata=keep&format=jpeg",
    ] {
        let (one, other) = (get(&inside, url).await, workers.get(url, &[]));
        assert_eq!((one.status.as_u16(), other.status), (200, 200), "{url}");
        assert!(one.body == other.body, "{url}: {} bytes, not {}", one.body.len(), other.body.len());
    }
}

#[test]
fn every_frame_has_the_overlay() {
    let bytes = std::fs::read(testdata().join("generated/animated.gif")).expect("a file");
    let red = image::RgbImage::from_pixel(4, 4, image::Rgb(RED));
    let mut png = std::io::Cursor::new(Vec::new());
    red.write_to(&mut png, image::ImageFormat::Png).expect("a PNG");
    let file = Arc::new(OverlayFile::new(png.into_inner(), [3; 32]).expect("a picture"));
    let id = file.id();
    let settings = Settings { overlays: [file].into_iter().collect(), ..Settings::default() };
    let overlay = tintype::render::recipe::Overlay {
        id,
        place: tintype::render::recipe::OverlayPlace::At(0, 0),
        offset: tintype::render::geometry::Offset::NONE,
        opacity: 100,
        scale: None,
    };
    let plain = Recipe::new(Output::Exactly(Format::WebP), Default::default());
    let encode = Encode { lossless: true, ..plain.encode };
    let recipe = Recipe { overlay: Some(overlay), encode, ..plain };
    let made = render(&bytes, &recipe, &settings, &mut |_| true).expect("an animation").bytes;
    let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(made)).expect("a WebP");
    assert!(decoder.num_frames() > 1);
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut frame = vec![0; decoder.output_buffer_size().expect("a size")];
    for _ in 0..decoder.num_frames() {
        decoder.read_frame(&mut frame).expect("a whole frame");
        assert_eq!(frame[channels..][..3], RED);
    }
    // one that is not loaded is an error, never a picture without it
    assert!(render(&bytes, &recipe, &Settings::default(), &mut |_| true).is_err());
}

#[tokio::test]
async fn placeholders_are_pictures_of_their_own() {
    let server = InProcess::new(&testdata(), |_| {});
    for name in ["photos/coffee.png", "photos/rocket.jpg", "generated/alpha.png", "generated/orient-6.jpg"] {
        let json: serde_json::Value =
            serde_json::from_slice(&get(&server, &format!("/{name}?format=json")).await.body).expect("JSON");
        let dominant = get(&server, &format!("/{name}?format=dominant")).await;
        assert_eq!(dominant.headers["content-type"], "image/png");
        let picture = image::load_from_memory(&dominant.body).expect("a PNG").into_rgb8();
        assert_eq!(picture.dimensions(), (1, 1));
        let [r, g, b] = picture.get_pixel(0, 0).0;
        assert_eq!(json["dominant_color"], format!("#{r:02x}{g:02x}{b:02x}"), "{name}");
        let lqip = get(&server, &format!("/{name}?format=lqip")).await;
        assert_eq!(lqip.headers["content-type"], "image/webp");
        assert!(lqip.headers.contains_key("etag") && lqip.body.len() < 700, "{name}: {} bytes", lqip.body.len());
        let info = tintype::render::probe(&lqip.body).expect("a WebP");
        assert!(info.size.width.max(info.size.height) <= 32, "{name}: {}", info.size);
    }
    let size = async |query: &str| {
        let body = get(&server, &format!("/photos/coffee.png?format=lqip&{query}")).await.body;
        let size = tintype::render::probe(&body).expect("a WebP").size;
        (size.width, size.height)
    };
    assert_eq!(size("").await, (32, 21));
    assert_eq!(size("width=300&height=300&fit=cover").await, (32, 32));
    assert_eq!(size("rect=0,0,100,200").await, (16, 32));
    assert_eq!(size("rotate=90&blur=5&padding=1,2,3,4").await, (21, 32));
    // of the part that is shown, and in its colours
    let colour = async |query: &str| {
        let body = get(&server, &format!("/photos/coffee.png?format=dominant{query}")).await.body;
        image::load_from_memory(&body).expect("a PNG").into_rgb8().get_pixel(0, 0).0
    };
    assert_ne!(colour("").await, colour("&rect=0,0,60,60").await);
    let [r, g, b] = colour("&greyscale").await;
    assert!(r == g && g == b, "{r} {g} {b}");
}
