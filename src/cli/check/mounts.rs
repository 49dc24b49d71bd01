//! The mounts that this process sees, from `/proc/self/mountinfo` (proc(5)). Parsed here, since `procfs` leaves escaped blanks
//! in paths as they are, and gives up at a line that it cannot parse.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) point: PathBuf,
    /// The folder of its file system that is mounted there.
    pub(super) root: PathBuf,
    pub(super) kind: String,
    /// Whether this mount is read-only.
    pub(super) is_read_only: bool,
    /// Whether the file system itself is read-only, wherever it is mounted.
    pub(super) is_system_read_only: bool,
}

/// In the order in which they were mounted.
pub(super) struct Mounts(Vec<Mount>);

impl Mounts {
    /// The mounts of this process; empty if `/proc` is not available.
    pub(super) fn read() -> Mounts {
        Mounts::parse(&std::fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    fn parse(text: &[u8]) -> Mounts {
        Mounts(text.split(|&byte| byte == b'\n').filter_map(parse).collect())
    }

    /// The mount that a path is in; a later mount at the same point covers an earlier one.
    pub(super) fn of(&self, path: &Path) -> Option<&Mount> {
        let candidates = self.0.iter().filter(|mount| path.starts_with(&mount.point));
        candidates.max_by_key(|mount| mount.point.components().count())
    }

    /// The private `/tmp` or `/var/tmp` that a path is in, which a unit with `PrivateTmp=` has.
    pub(super) fn private_tmp(&self, path: &Path) -> Option<&Path> {
        ["/tmp", "/var/tmp"].map(Path::new).into_iter().find(|tmp| {
            let is_private = |mount: &Mount| {
                mount.point == *tmp
                    && mount.root.components().any(|part| is_private_name(&part.as_os_str().to_string_lossy()))
            };
            path.starts_with(tmp) && self.0.iter().any(is_private)
        })
    }
}

/// systemd names them `systemd-private-<boot>-<unit>-<random>`.
fn is_private_name(name: &str) -> bool {
    name.starts_with("systemd-private-")
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &[u8]) -> Option<Mount> {
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let dash = words.iter().position(|word| *word == b"-")?;
    let has = |options: &[u8], wanted: &[u8]| options.split(|&byte| byte == b',').any(|option| option == wanted);
    Some(Mount {
        root: unescaped(words.get(3)?),
        point: unescaped(words.get(4)?),
        is_read_only: has(words.get(5)?, b"ro"),
        kind: String::from_utf8_lossy(words.get(dash + 1)?).into_owned(),
        is_system_read_only: has(words.get(dash + 3)?, b"ro"),
    })
}

/// Blanks, tabs, line ends and backslashes are written as `\040`.
fn unescaped(text: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let octal =
            after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(|digit| (b'0'..b'8').contains(digit)));
        match octal {
            Some(digits) => {
                bytes.push(digits.iter().fold(0_u8, |sum, digit| sum.wrapping_mul(8).wrapping_add(digit - b'0')));
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        30 22 254:0 / / ro,relatime - ext4 /dev/vda rw\n\
        40 30 0:31 / /mnt/my\\040disk rw - tmpfs tmpfs rw,size=4096k\n\
        41 30 254:0 /tmp/systemd-private-51f0-tintype.service-Xy/tmp /tmp rw - ext4 /dev/vda rw\n\
        42 30 8:1 / /mnt/cd ro - iso9660 /dev/sr0 ro\n\
        torn line\n";

    #[test]
    fn deepest_mount_contains_the_path() {
        let mounts = Mounts::parse(TABLE);
        let root = mounts.of(Path::new("/srv/a")).expect("one");
        assert_eq!((root.is_read_only, root.is_system_read_only, root.kind.as_str()), (true, false, "ext4"));
        let disk = mounts.of(Path::new("/mnt/my disk/cache")).expect("one");
        assert_eq!((disk.kind.as_str(), disk.is_read_only), ("tmpfs", false));
        assert!(mounts.of(Path::new("/mnt/cd/a")).expect("one").is_system_read_only);
        assert_eq!(mounts.of(Path::new("/mnt/my disks")).expect("one").point, Path::new("/"));
    }

    #[test]
    fn private_tmp_is_recognised_by_its_root() {
        let mounts = Mounts::parse(TABLE);
        assert_eq!(mounts.private_tmp(Path::new("/tmp/cache")), Some(Path::new("/tmp")));
        assert_eq!(mounts.private_tmp(Path::new("/var/tmp/cache")), None);
        assert_eq!(mounts.private_tmp(Path::new("/srv")), None);
    }
}
