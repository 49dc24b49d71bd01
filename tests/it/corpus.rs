//! Every file of the corpus of real and hostile images: in `TINTYPE_CORPUS`, or in `shared/corpus`
//! beside the project. Its `MANIFEST.tsv` says what is right for each file; `corpus-exceptions.tsv` beside this test
//! lists the files that are answered otherwise, each with the reason.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::corpus;
use crate::common::in_process::InProcess;
use crate::common::need::needs;
use crate::common::quarters::Quarters;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use tintype::http::App;

/// One row of the manifest.
struct Row {
    path: String,
    format: String,
    shown: Option<(u32, u32)>,
    frames: Option<u32>,
    expect: String,
    quarters: Vec<Quarters>,
}

fn manifest(corpus: &Path) -> Vec<Row> {
    let text = std::fs::read_to_string(corpus.join("MANIFEST.tsv")).expect("the manifest");
    text.lines().skip(1).map(|line| row(&line.split('\t').collect::<Vec<_>>())).collect()
}

fn row(fields: &[&str]) -> Row {
    let number = |index: usize| fields[index].parse::<u32>().ok();
    Row {
        path: fields[0].to_owned(),
        format: fields[2].to_owned(),
        shown: number(5).zip(number(6)),
        frames: number(7),
        expect: fields[8].to_owned(),
        quarters: fields[9].split('|').filter_map(Quarters::parse).collect(),
    }
}

/// An answer and its time.
struct Got {
    status: StatusCode,
    body: Vec<u8>,
    took: Duration,
}

async fn get(app: &App, path: &str, query: &str) -> Got {
    let started = Instant::now();
    let encode =
        |segment| percent_encoding::utf8_percent_encode(segment, percent_encoding::NON_ALPHANUMERIC).to_string();
    let path: String = path.split('/').map(|segment| format!("/{}", encode(segment))).collect();
    let request = Request::get(format!("{path}{query}")).body(Body::empty()).expect("a request");
    let response = app.answer(request).await;
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes().to_vec();
    Got { status, body, took: started.elapsed() }
}

/// The image in an answer.
struct Seen {
    size: (u32, u32),
    frames: u32,
    quarters: Quarters,
}

fn look(webp: &[u8]) -> Seen {
    let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(webp)).expect("a WebP");
    let (width, height) = decoder.dimensions();
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let frames = if decoder.is_animated() { decoder.num_frames() } else { 1 };
    let mut pixels = vec![0; decoder.output_buffer_size().expect("it fits")];
    if decoder.is_animated() {
        decoder.read_frame(&mut pixels).expect("a frame");
    } else {
        decoder.read_image(&mut pixels).expect("a picture");
    }
    Seen { size: (width, height), frames, quarters: Quarters::of(&pixels, channels, width as usize, height as usize) }
}

/// The fault of the answer to `width=200&format=webp`.
fn judge(row: &Row, got: &Got) -> Option<String> {
    let (word, _) = row.expect.split_once([':', ';', ' ']).unwrap_or((&row.expect, ""));
    if got.status.is_server_error() {
        return Some(format!("answered {}: {}", got.status, detail(&got.body)));
    }
    if got.took > Duration::from_secs(20) {
        return Some(format!("took {:?}", got.took));
    }
    let picture = got.status == StatusCode::OK;
    match word {
        // the readable part of a damaged image is shown, and marked
        "rejects" if row.expect.contains("a server documented as lenient") => return None,
        "rejects" if picture => return Some("was answered with a picture".into()),
        "decodes" if !picture => {
            return Some(format!("answered {}: {}", got.status, detail(&got.body)));
        }
        "decodes-if-supported" if !picture && got.status != StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            return Some(format!("answered {}: {}", got.status, detail(&got.body)));
        }
        _ if !picture => return None,
        _ => {}
    }
    if word == "either" {
        return None;
    }
    let seen = look(&got.body);
    if let Some((width, height)) = row.shown {
        // a vector is drawn at any size
        let expected = if width > 200 || row.format == "svg" {
            (200, ((f64::from(height) * 200.0 / f64::from(width)).round() as u32).max(1))
        } else {
            (width, height)
        };
        if seen.size != expected {
            return Some(format!("has {:?} pixels, not {expected:?}", seen.size));
        }
    }
    if row.expect.contains("animated") && row.frames.is_some_and(|frames| frames != seen.frames) {
        return Some(format!("has {} frames, not {:?}", seen.frames, row.frames));
    }
    // lossy, with the colour at half the resolution: small pictures shift the most
    let tolerance = match u64::from(seen.size.0) * u64::from(seen.size.1) {
        0..=1000 => 24,
        1001..=4000 => 16,
        _ => 10,
    };
    if !row.quarters.is_empty() && !row.quarters.iter().any(|one| one.is_near(&seen.quarters, tolerance)) {
        let expected: Vec<String> = row.quarters.iter().map(Quarters::to_string).collect();
        return Some(format!("shows {}, not {}", seen.quarters, expected.join(" or ")));
    }
    None
}

/// The fault of the answer to the bare path: it must be the file itself, or a refusal.
fn judge_bare(row: &Row, got: &Got, file: &[u8]) -> Option<String> {
    match got.status {
        StatusCode::OK if got.body == file => None,
        StatusCode::OK => Some("is not the file's own bytes".into()),
        status if status.is_server_error() => Some(format!("answered {status}")),
        status if row.expect.starts_with("decodes:") => Some(format!("answered {status}: {}", detail(&got.body))),
        _ => None,
    }
}

fn detail(problem: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(problem).unwrap_or_default();
    json["detail"].as_str().unwrap_or("no problem document").to_owned()
}

fn exceptions() -> BTreeMap<String, String> {
    include_str!("corpus-exceptions.tsv")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once('\t').expect("a path, a tab and a reason"))
        .map(|(path, reason)| (path.to_owned(), reason.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn corpus_files_are_answered_as_the_manifest_says() {
    needs!(Corpus);
    let corpus = corpus().expect("the test needs it");
    let served = InProcess::new(&corpus, |config| config.fixed.limits.queue = 10_000);
    let app = &served.app;
    let rows = manifest(&corpus);
    assert!(rows.len() > 1000, "the manifest has {} rows", rows.len());
    let mut expected = exceptions();
    let mut wrong = Vec::new();
    let mut slowest = (Duration::ZERO, String::new());
    for pair in rows.chunks(2) {
        let answers = pair.iter().map(|row| get(app, &row.path, "?width=200&format=webp"));
        let answers = join(answers.collect()).await;
        for (row, got) in pair.iter().zip(answers) {
            let bare = get(app, &row.path, "").await;
            let file = std::fs::read(corpus.join(&row.path)).expect("a file of the manifest");
            let problem =
                judge(row, &got).or_else(|| judge_bare(row, &bare, &file).map(|text| format!("(bare) {text}")));
            if let Some(problem) = problem
                && expected.remove(&row.path).is_none()
            {
                wrong.push(format!("{}\t{problem}\t[{}]", row.path, row.expect));
            }
            if got.took > slowest.0 {
                slowest = (got.took, row.path.clone());
            }
        }
    }
    println!("{} files, {} exceptions, slowest {slowest:?}", rows.len(), exceptions().len());
    assert!(wrong.is_empty(), "{} files are answered wrongly:\n{}", wrong.len(), wrong.join("\n"));
    assert!(expected.is_empty(), "these are answered rightly now, take them off the list: {expected:#?}");
}

/// Polls all of them in turn: one request for each of two cores.
async fn join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in futures.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
