//! The fonts that text in SVGs is drawn with: found when the service starts, and loaded before a worker can open no more files.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use tintype_codecs::svg::FontFiles;

/// The beginning of the names of variables that tell a worker process its fonts.
const VARIABLE: &str = "FONT";

/// The fonts of this process; none where none were looked for.
pub fn installed() -> FontFiles {
    tintype_codecs::svg::installed().cloned().unwrap_or_default()
}

/// The digest of the installed fonts; 0 where none were looked for.
pub fn digest() -> u64 {
    tintype_codecs::svg::installed().map_or(0, FontFiles::digest)
}

/// Loads the installed fonts of a worker process, which may end when a file is truncated: they are mapped into its memory, which
/// all workers share. Other processes load them with their first SVG. Builds without SVG load none.
pub fn load_mapped() {
    #[cfg(feature = "svg")]
    tintype_codecs::svg::load_fonts(tintype_codecs::svg::FontMemory::Mapped);
}

/// The environment of a worker process that draws with these files alone, since the digest of others, installed later, is not in
/// the keys: one variable for each file, with its length and its path. Lists of processes do not show them, as they do arguments.
pub fn to_environment(fonts: &FontFiles) -> Vec<(OsString, OsString)> {
    let variable = |(number, (path, length)): (usize, (&Path, u64))| {
        let mut value = OsString::from(format!("{length} "));
        // a worker has another current folder
        value.push(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        (OsString::from(format!("{VARIABLE}{number}")), value)
    };
    fonts.iter().enumerate().map(variable).collect()
}

/// The fonts in the environment of this process.
pub fn from_environment() -> FontFiles {
    from_variables(std::env::vars_os())
}

fn from_variables(variables: impl Iterator<Item = (OsString, OsString)>) -> FontFiles {
    let is_font = |(name, _): &(OsString, OsString)| name.as_bytes().starts_with(VARIABLE.as_bytes());
    variables.filter(is_font).filter_map(|(_, value)| file(&value)).collect()
}

fn file(value: &OsStr) -> Option<(PathBuf, u64)> {
    let value = value.as_bytes();
    let blank = value.iter().position(|byte| *byte == b' ')?;
    let length = std::str::from_utf8(&value[..blank]).ok()?.parse().ok()?;
    Some((PathBuf::from(OsStr::from_bytes(&value[blank + 1..])), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fonts_survive_the_environment() {
        let names: [&[u8]; 3] = [b"/a b.ttf", b"/\xff.otf", b"/c.ttf"];
        let files = names.iter().zip(1_u64..).map(|(name, length)| (PathBuf::from(OsStr::from_bytes(name)), length));
        let fonts: FontFiles = files.collect();
        let mut variables = to_environment(&fonts);
        variables.reverse();
        variables.push(("PATH".into(), "/bin".into()));
        variables.push(("FONT".into(), "no length".into()));
        let received = from_variables(variables.into_iter());
        assert_eq!((received.number(), received.digest()), (3, fonts.digest()));
    }
}
