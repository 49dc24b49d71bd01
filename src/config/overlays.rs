//! The files of overlays, which are read with the settings that name them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::files::read_regular;
use super::live::LiveSettings;
use super::{ConfigError, Loaded, Origin};
use crate::dialect::foreign::OverlayNames;
use crate::render::recipe::OverlayId;
use crate::render::{MAX_OVERLAY_BYTES, OverlayFile, Overlays};

/// An overlay of the settings: the path of a file, and the file once it is read.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub struct OverlaySetting {
    path: PathBuf,
    file: Option<Arc<OverlayFile>>,
}

impl From<PathBuf> for OverlaySetting {
    fn from(path: PathBuf) -> OverlaySetting {
        OverlaySetting { path, file: None }
    }
}

impl From<OverlaySetting> for PathBuf {
    fn from(setting: OverlaySetting) -> PathBuf {
        setting.path
    }
}

impl OverlaySetting {
    /// The digest and the size of its picture; before it is read, of no picture.
    fn id(&self) -> OverlayId {
        let unread = OverlayId { digest: [0; 32], width: 1, height: 1 };
        self.file.as_ref().map_or(unread, |file| file.id())
    }
}

impl LiveSettings {
    /// The files of overlays.
    pub(super) fn overlay_files(&self) -> Overlays {
        self.overlays.values().filter_map(|setting| setting.file.clone()).collect()
    }

    /// The pictures of overlays by name.
    pub(super) fn overlay_ids(&self) -> std::collections::BTreeMap<String, OverlayId> {
        self.overlays.iter().map(|(name, setting)| (name.clone(), setting.id())).collect()
    }

    /// The names under which URLs of other systems may know an overlay: its own, its path and its file's name.
    pub(super) fn overlay_names(&self) -> OverlayNames {
        let names = self.overlays.iter().flat_map(|(name, OverlaySetting { path, .. })| {
            let file = path.file_name().map(|file| file.to_string_lossy().into_owned());
            let known = [Some(name.clone()), Some(path.to_string_lossy().into_owned()), file];
            known.into_iter().flatten().map(move |known| (known, name.clone()))
        });
        names.collect()
    }
}

/// Names of overlays whose files differ, in two settings that give them the same path.
pub(super) fn changed_files(before: &LiveSettings, after: &LiveSettings) -> Vec<String> {
    let is_changed = |(name, now): &(&String, &OverlaySetting)| {
        before.overlays.get(*name).is_some_and(|before| before.path == now.path && before.file != now.file)
    };
    after.overlays.iter().filter(is_changed).map(|(name, _)| format!("overlays.{name}")).collect()
}

/// Reads and validates the files. A relative path is relative to the folder of the settings file that names it.
pub(super) fn read(loaded: &mut Loaded) -> Result<(), ConfigError> {
    for (name, setting) in &mut loaded.config.live.overlays {
        let origin = loaded.origins.get(&format!("overlays.{name}")).unwrap_or(&Origin::Default);
        let path = match origin {
            Origin::File(settings) => settings.parent().unwrap_or(Path::new("")).join(&setting.path),
            _ => setting.path.clone(),
        };
        let file = read_file(&path)
            .map_err(|why| ConfigError(format!("{origin}: overlays.{name} is invalid: {}: {why}", path.display())))?;
        setting.file = Some(Arc::new(file));
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<OverlayFile, String> {
    let bytes = read_regular(path, MAX_OVERLAY_BYTES)?;
    let digest = blake3::hash(&bytes).into();
    OverlayFile::new(bytes, digest).map_err(|error| error.to_string())
}
