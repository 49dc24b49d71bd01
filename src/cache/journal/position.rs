//! The file with the position of the journal that the files of a cache folder have, beside them.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Position;

/// Its name in the cache folder.
const NAME: &str = "purge-position";

/// The version of its format.
const VERSION: &str = "1";

/// The file of one cache folder.
#[derive(Clone, Debug)]
pub(crate) struct PositionFile {
    dir: PathBuf,
    /// A digest of the bucket's name: a position in another journal is none.
    bucket: String,
}

impl PositionFile {
    /// The file in that cache folder for the journal in that bucket.
    pub(crate) fn new(dir: &Path, bucket: &str) -> PositionFile {
        let digest = blake3::hash(bucket.as_bytes()).to_hex();
        PositionFile { dir: dir.to_owned(), bucket: digest[..16].to_owned() }
    }

    /// The position; `None` where there is no valid one of this bucket. Blocks.
    pub(crate) fn read(&self) -> Option<Position> {
        let text = std::fs::read_to_string(self.dir.join(NAME)).ok()?;
        let rest = text.strip_suffix('\n')?.strip_prefix(VERSION)?.strip_prefix(' ')?;
        let (position, bucket) = rest.split_once(' ')?;
        Position::parse(position).filter(|_| bucket == self.bucket)
    }

    /// Replaces the position, durably. Blocks.
    ///
    /// # Errors
    /// The errors of the file system.
    pub(crate) fn write(&self, position: Position) -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(NAME).tempfile_in(&self.dir)?;
        writeln!(file, "{VERSION} {position} {}", self.bucket)?;
        // a file without its text would cost the whole cache
        file.as_file().sync_data()?;
        file.persist(self.dir.join(NAME))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = PositionFile::new(dir.path(), "s3://a");
        assert_eq!(file.read(), None);
        for _ in 0..2 {
            let position = Position::now();
            file.write(position).expect("written");
            assert_eq!(file.read(), Some(position));
            assert_eq!(PositionFile::new(dir.path(), "s3://b").read(), None, "another bucket");
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 1);
        let path = dir.path().join(NAME);
        let text = std::fs::read_to_string(&path).expect("a text");
        for end in 0..text.len() {
            std::fs::write(&path, &text[..end]).expect("written");
            assert_eq!(file.read(), None, "{end}");
        }
    }
}
