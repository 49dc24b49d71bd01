//! Fuzz targets, one for each kind of untrusted input: no input may panic, hang or exceed the limits, and results must be
//! consistent. libFuzzer drives them through `run`; `tests/it/fuzz.rs` replays the inputs of the corpus. Those of text that is
//! only parsed are in `parsers`.

use std::sync::LazyLock;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use tintype::dialect::Policy;
use tintype::render::{self, Content, Format, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "differential.rs"]
mod differential;
#[path = "parsers.rs"]
pub(crate) mod parsers;
#[path = "world.rs"]
mod world;

use parsers::{Target, policy};
use world::WORLD;

/// Targets by name. A target that decodes images is named after their format.
pub(crate) const TARGETS: &[(&str, Target)] = &[
    ("jpeg", |data| image(Format::Jpeg, data)),
    ("png", |data| image(Format::Png, data)),
    ("gif", |data| image(Format::Gif, data)),
    ("webp", |data| image(Format::WebP, data)),
    ("avif", |data| image(Format::Avif, data)),
    ("jxl", |data| image(Format::Jxl, data)),
    ("bmp", |data| image(Format::Bmp, data)),
    ("tiff", |data| image(Format::Tiff, data)),
    ("ico", |data| image(Format::Ico, data)),
    ("pnm", |data| image(Format::Pnm, data)),
    ("qoi", |data| image(Format::Qoi, data)),
    ("svg", |data| image(Format::Svg, data)),
    ("jpeg-scaled", scaled),
    ("exif", exif),
    ("icc", icc),
    ("conditions", conditions),
    ("wire", wire),
    ("fast-path", differential::fast_path),
    ("canonical", differential::canonical),
];

/// The queries for images: each operation once, and the fast encoders.
const QUERIES: [&str; 12] = [
    "format=png",
    "width=16&format=jpeg",
    "width=7&height=9&fit=cover&position=smart&format=png",
    "format=json",
    "width=8&format=gif",
    "rect=1,1,30,30&format=png&metadata=keep",
    "format=webp&lossless&width=20",
    "trim&rotate=90&flip=h&format=png",
    "blur=2&sharpen=3&tint=06f&background=fff&format=png&width=40",
    "format=original&width=12",
    "width=30&height=20&fit=pad&format=webp&animated=false",
    "aspect_ratio=16:9&metadata=copyright&format=jpeg",
];

/// Small enough for thousands of images a second.
fn small() -> Settings {
    Settings { max_dimension: 64, max_pixels: 1 << 16, max_frames: 8, max_memory: 32 << 20, ..Settings::default() }
}

/// Renders a file of that format; its last byte selects the query.
fn image(format: Format, data: &[u8]) {
    if Format::sniff(data) != Some(format) {
        return;
    }
    let query = QUERIES[usize::from(*data.last().expect("sniffed")) % QUERIES.len()];
    render(data, query);
}

/// Renders a file; a result must be a valid image within the limits.
fn render(original: &[u8], query: &str) {
    static POLICY: LazyLock<Policy> = LazyLock::new(|| policy(&[]));
    let target = POLICY.target("/a", Some(query), "", 0).expect("a valid query");
    let recipe = target.recipe.expect("a rendition");
    let settings = small();
    let Ok(rendered) = render::render(original, &recipe, &settings, &mut |_| true) else { return };
    match rendered.content {
        // the original may be the smallest
        Content::Image(_) if rendered.bytes == original => {}
        Content::Image(format) => {
            let info = render::probe(&rendered.bytes).expect("a rendition is an image");
            let side = info.size.width.max(info.size.height);
            assert!(info.format == format && side <= settings.max_dimension, "{query}: {info:?}");
        }
        Content::Json => assert!(rendered.bytes.starts_with(b"{") && rendered.bytes.ends_with(b"}")),
    }
}

/// Scaled JPEG files: tintype's own decoders read the regular ones, and must refuse every file that the library refuses, but
/// for damage in AC scans that they skip. A fill byte before EOI makes a file irregular, which leaves it to the library.
fn scaled(data: &[u8]) {
    let Some(cut) = data.strip_suffix(&[0xFF, 0xD9]).filter(|_| Format::sniff(data) == Some(Format::Jpeg)) else {
        return;
    };
    let by_library = [cut, &[0xFF, 0xFF, 0xD9]].concat();
    // the byte before EOI selects the size
    let side = [2, 5, 7, 9, 11, 13, 17, 24][usize::from(cut.last().copied().unwrap_or_default()) % 8];
    static POLICY: LazyLock<Policy> = LazyLock::new(|| policy(&[]));
    let target = POLICY.target("/a", Some(&format!("width={side}&height={side}&format=png")), "", 0);
    let recipe = target.expect("a valid query").recipe.expect("a rendition");
    let size_of = |original: &[u8]| {
        let rendered = render::render(original, &recipe, &small(), &mut |_| true).ok()?;
        Some(render::probe(&rendered.bytes).expect("a rendition is an image").size)
    };
    let (ours, by_library) = (size_of(data), size_of(&by_library));
    let is_progressive = data.windows(2).any(|pair| pair == [0xFF, 0xC2]);
    if by_library.is_some() || !is_progressive {
        assert_eq!(ours, by_library);
    }
}

/// EXIF blocks, in a PNG of one pixel.
fn exif(data: &[u8]) {
    let file = png(&[(b"eXIf", data)]);
    render(&file, "format=png&metadata=keep");
    render(&file, "format=jpeg&metadata=copyright");
}

/// Colour profiles, in a PNG of one pixel.
fn icc(data: &[u8]) {
    // stored without compression, so that mutations hit the profile itself
    let mut chunk = b"p\0\0\x78\x01".to_vec();
    let data = &data[..data.len().min(usize::from(u16::MAX))];
    let length = data.len() as u16;
    chunk.push(1);
    chunk.extend(length.to_le_bytes());
    chunk.extend((!length).to_le_bytes());
    chunk.extend(data);
    let (mut a, mut b) = (1u32, 0u32);
    for &byte in data {
        a = (a + u32::from(byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    chunk.extend((b << 16 | a).to_be_bytes());
    let file = png(&[(b"iCCP", &chunk)]);
    render(&file, "format=png");
    render(&file, "format=json");
}

/// A PNG of one pixel with these chunks in front of it.
fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let header: &[u8] = &[0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0];
    // one scanline: filter type, red, green, blue
    let pixel: &[u8] = &[0x78, 1, 1, 4, 0, 0xfb, 0xff, 0, 200, 100, 50, 3, 0xe5, 1, 0x5f];
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", header)].iter().chain(chunks).chain(&[(b"IDAT", pixel), (b"IEND", &[])]) {
        file.extend((content.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(*name);
        file.extend(*content);
        file.extend(crc32(&file[start..]).to_be_bytes());
    }
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Conditional and range headers of a request for an image in memory, one a line.
fn conditions(data: &[u8]) {
    let names = [header::RANGE, header::IF_RANGE, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::ACCEPT];
    let mut headers = HeaderMap::new();
    for (line, name) in data.split(|&byte| byte == b'\n').zip(names) {
        if let (false, Ok(value)) = (line.is_empty(), HeaderValue::from_bytes(line)) {
            headers.insert(name, value);
        }
    }
    WORLD.with_borrow(|world| {
        let mut request = Request::get("/a.png").body(Body::empty()).expect("a request");
        *request.headers_mut() = headers;
        let (parts, body) = world.runtime.block_on(async {
            let (parts, body) = world.app.answer(request).await.into_parts();
            (parts, body.collect().await.expect("a body in memory").to_bytes())
        });
        let header_value = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        match parts.status {
            StatusCode::OK => assert_eq!(body, world.image),
            StatusCode::PARTIAL_CONTENT => {
                let range = header_value(header::CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
                let (range, length) = range.and_then(|range| range.split_once('/')).expect("a range");
                let (first, last) = range.split_once('-').expect("two ends");
                let (first, last): (usize, usize) = (first.parse().expect("a number"), last.parse().expect("a number"));
                assert_eq!((length, &body[..]), (world.image.len().to_string().as_str(), &world.image[first..=last]));
            }
            StatusCode::NOT_MODIFIED => assert!(body.is_empty() && header_value(header::CONTENT_LENGTH).is_none()),
            status => assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE),
        }
    });
}

/// Bytes of a connection: the server answers or closes it, and never with a 500.
fn wire(data: &[u8]) {
    WORLD.with_borrow(|world| {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let app = world.app.clone();
        let service = hyper::service::service_fn(move |request| {
            let app = app.clone();
            async move { Ok::<_, std::convert::Infallible>(app.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .max_buf_size(8 * 1024)
            .half_close(true)
            .serve_connection(hyper_util::rt::TokioIo::new(server), service);
        let answer = world.runtime.block_on(async {
            let talk = async {
                // the server may have closed it already
                let _ = client.write_all(data).await;
                let _ = client.shutdown().await;
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.expect("a pipe");
                answer
            };
            let serve = async {
                let _ = connection.await;
            };
            let serving = async {
                let (answer, ()) = join(talk, serve).await;
                answer
            };
            serving.await
        });
        let status = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5));
        assert!(answer.is_empty() || status.is_some_and(|status| status != b"500"), "{:?}", answer.get(..200));
    });
}

/// Polls two futures to completion in this task.
async fn join<A, B>(a: impl Future<Output = A>, b: impl Future<Output = B>) -> (A, B) {
    let (mut a, mut b) = (Box::pin(a), Box::pin(b));
    let (mut from_a, mut from_b) = (None, None);
    std::future::poll_fn(move |context| {
        if from_a.is_none()
            && let std::task::Poll::Ready(done) = a.as_mut().poll(context)
        {
            from_a = Some(done);
        }
        if from_b.is_none()
            && let std::task::Poll::Ready(done) = b.as_mut().poll(context)
        {
            from_b = Some(done);
        }
        match (from_a.take(), from_b.take()) {
            (Some(a), Some(b)) => std::task::Poll::Ready((a, b)),
            (a, b) => {
                (from_a, from_b) = (a, b);
                std::task::Poll::Pending
            }
        }
    })
    .await
}
