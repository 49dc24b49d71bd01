//! The fallback picture: a file beside the settings, read and rendered once before it is used.

use super::files::read_regular;
use super::live::FallbackStatus;
use super::table::Config;
use super::{Loaded, Origin};
use crate::http::Fallback;
use crate::render::geometry::{Resize, TargetSize};
use crate::render::recipe::{Output, Quality};
use crate::render::{self, Format, Recipe};

/// Bytes of the largest file.
const MAX_BYTES: u64 = 4 << 20;

/// The longest side of the rendition that shows whether the picture can be decoded.
const TRIAL_SIDE: u32 = 64;

/// A file that cannot be the fallback picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("output.fallback: {path}: {reason}")]
pub struct InvalidFallback {
    /// The file.
    pub path: String,
    /// Why it cannot be used.
    pub reason: String,
}

/// Makes a relative path one from the folder of the settings file that it stands in.
pub(super) fn resolve(loaded: &mut Loaded) {
    let path = &mut loaded.config.live.output.fallback;
    if let Some(Origin::File(file)) = loaded.origins.get("output.fallback")
        && let Some(folder) = file.parent()
        && !path.as_os_str().is_empty()
    {
        *path = folder.join(&*path);
    }
}

impl Config {
    /// Reads the fallback picture; `None` where the settings name none.
    ///
    /// # Errors
    /// [`InvalidFallback`] where it cannot be read or rendered.
    pub fn fallback(&self) -> Result<Option<Fallback>, InvalidFallback> {
        let output = &self.live.output;
        if output.fallback.as_os_str().is_empty() {
            return Ok(None);
        }
        let invalid = |reason: String| InvalidFallback { path: output.fallback.display().to_string(), reason };
        let bytes = read_regular(&output.fallback, MAX_BYTES).map_err(invalid)?;
        let size = TargetSize { width: TRIAL_SIDE, height: TRIAL_SIDE, enlarge: false };
        let trial = Recipe::new(Output::Exactly(Format::Png), Quality::default()).with_resize(Resize::Contain(size));
        let rendered = render::render(&bytes, &trial, &self.render(), &mut |_| true);
        rendered.map_err(|error| invalid(format!("it cannot be rendered: {error}")))?;
        Ok(Some(Fallback { bytes: bytes.into(), is_ok: output.fallback_status == FallbackStatus::Ok }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn fallback_is_beside_the_settings_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tintype.toml");
        std::fs::write(&file, "[output]\nfallback = \"missing.png\"\nfallback_status = \"200\"\n").expect("written");
        let loaded = config::load(Some(&file), &[]).expect("good settings");
        let error = loaded.config.fallback().expect_err("missing");
        let path = folder.path().join("missing.png");
        assert_eq!(error.path, path.display().to_string());
        for (bytes, reason) in [
            (&b"no picture"[..], "it cannot be rendered"),
            (b"P5 9 9 255\n", "it cannot be rendered"),
            (&[0; MAX_BYTES as usize + 1], "it has more than"),
        ] {
            std::fs::write(&path, bytes).expect("written");
            let error = loaded.config.fallback().expect_err("no picture").to_string();
            assert!(error.contains(reason) && error.contains("missing.png"), "{error}");
        }
        std::fs::write(&path, b"P5 2 1 255\n\0\xff").expect("written");
        let fallback = loaded.config.fallback().expect("a picture").expect("one");
        assert!(fallback.is_ok && fallback.bytes.len() == 13);
        std::fs::remove_file(&path).expect("removed");
        std::fs::create_dir(&path).expect("a folder");
        assert!(loaded.config.fallback().expect_err("a folder").reason.contains("regular"));
    }
}
