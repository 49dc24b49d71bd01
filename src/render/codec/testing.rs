//! Files for the tests of codecs.

use std::path::{Path, PathBuf};

use super::{Codec, Integrity, Plan};
use crate::render::error::Result;
use crate::render::pixels::{Pixels, Samples};
use crate::render::recipe::{Output, Quality, Recipe};
use crate::render::settings::Settings;

/// The pictures of a small file, all of them or the one that stands for it, and whether all of it was there. Where the codec
/// gives rows, too, the only picture is held to be made of the same.
pub(super) fn shown(codec: &dyn Codec, file: &[u8], animated: bool) -> Result<(Vec<Pixels>, Integrity)> {
    let info = codec.probe(file)?;
    let recipe = Recipe { animated, ..Recipe::new(Output::Original, Quality::default()) };
    let plan = Plan::new(&info, &recipe, &Settings::default())?;
    let mut shown = Vec::new();
    let decoded = codec.decode(file, &info, &plan, &mut |decoded| {
        let Samples::Packed(pixels) = decoded.samples else { panic!("planes of a small picture") };
        shown.push(pixels);
        Ok(())
    });
    if info.streamed.is_some() && plan.frames == 1 {
        let mut rows = None;
        let streamed = codec.stream(file, &info, &mut |lines, _| {
            let channels = lines.channels();
            let mut data = vec![0; info.size.pixels() as usize * channels];
            lines.read(&mut data)?;
            let data = if channels == 1 { crate::render::pixels::grey_to_rgb(&data, 1) } else { data };
            rows = Some(Pixels { size: info.size, channels: channels.max(3), data });
            Ok(())
        });
        match (&decoded, &streamed) {
            (Ok(whole), Ok(streamed)) => {
                assert_eq!(whole, streamed);
                let [whole, rows] = [shown.last().cloned(), rows].map(|pixels| pixels.expect("a picture").with_alpha());
                assert!(whole.data == rows.data, "rows are those of the whole picture");
            }
            _ => assert!(decoded.is_err() && streamed.is_err(), "{decoded:?}, {streamed:?}"),
        }
    }
    let integrity = decoded?;
    assert!(shown.iter().all(|pixels| pixels.size == info.size), "of the size that was announced");
    let is_complete = shown.len() == plan.frames as usize;
    assert!(is_complete || integrity.is_damaged() && !shown.is_empty(), "{} of {}", shown.len(), plan.frames);
    Ok((shown, integrity))
}

/// The files of testdata, and of the corpus where it is there, that are of a kind by their first bytes.
pub(super) fn originals(is_of_kind: fn(&[u8]) -> bool) -> impl Iterator<Item = (PathBuf, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all = [root.join("testdata"), root.join("../shared/corpus")].map(|folder| files(&folder));
    let with_bytes = move |path: PathBuf| {
        let bytes = std::fs::read(&path).expect("a file");
        is_of_kind(&bytes).then_some((path, bytes))
    };
    all.into_iter().flatten().filter_map(with_bytes)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
