//! Pictures that settings name.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads a regular file of at most `max` bytes.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read_regular(path: &Path, max: u64) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("it cannot be read: {error}");
    // without this flag, opening a FIFO blocks until it has a writer
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    // a FIFO or a device would not end
    if !file.metadata().map_err(failed)?.is_file() {
        return Err("it is not a regular file".into());
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > max {
        true => Err(format!("it has more than {max} bytes")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode};

    use super::*;

    /// A FIFO as overlay or fallback picture blocked the start, and each reload.
    #[test]
    fn only_regular_files_within_the_bound_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let [fifo, file, missing] = ["fifo", "file", "missing"].map(|name| folder.path().join(name));
        rustix::fs::mkfifoat(CWD, &fifo, Mode::RUSR | Mode::WUSR).expect("a fifo");
        std::fs::write(&file, b"1234").expect("written");
        for (path, max, expected) in [
            (file.as_path(), 4, Ok(&b"1234"[..])),
            (file.as_path(), 3, Err("more than 3 bytes")),
            (fifo.as_path(), 4, Err("not a regular file")),
            (folder.path(), 4, Err("not a regular file")),
            (Path::new("/dev/zero"), 4, Err("not a regular file")),
            (missing.as_path(), 4, Err("cannot be read")),
        ] {
            match (read_regular(path, max), expected) {
                (Ok(bytes), Ok(expected)) => assert_eq!(bytes, expected),
                (Err(why), Err(part)) => assert!(why.contains(part), "{}: {why}", path.display()),
                (read, _) => panic!("{}: {read:?}", path.display()),
            }
        }
    }
}
