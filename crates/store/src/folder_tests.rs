//! System calls beneath a folder: files are created, found and removed, and planted ones are refused.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use crate::folder::*;

fn open() -> (tempfile::TempDir, Folder) {
    let place = tempfile::tempdir().expect("a folder");
    let folder = Folder::open(place.path()).expect("it opens");
    (place, folder)
}

fn write(folder: &Folder, path: &str, bytes: &[u8]) {
    folder.create(path).and_then(|mut file| file.write_all(bytes)).expect("it is written");
}

fn text(mut file: std::fs::File) -> String {
    let mut text = String::new();
    file.read_to_string(&mut text).expect("it is read");
    text
}

fn names(folder: &Folder, name: &str) -> Vec<(String, bool)> {
    let mut names = Vec::new();
    let blocks = folder.list(name, |name, is_file| names.push((name.to_string_lossy().into_owned(), is_file)));
    assert!(blocks.expect("it is listed") < 1000, "blocks and not bytes");
    names.sort();
    names
}

/// The permissions of a file, and those of a new file that asks for `mode`: the umask takes some away.
fn modes(path: &std::path::Path, mode: u32) -> (u32, u32) {
    let place = tempfile::tempdir().expect("a folder");
    let other = place.path().join("a");
    std::fs::OpenOptions::new().write(true).create(true).mode(mode).open(&other).expect("a file");
    (
        std::fs::metadata(path).expect("its mode").mode() & 0o7777,
        std::fs::metadata(&other).expect("its mode").mode() & 0o7777,
    )
}

/// Makes each kind of file that is no regular one.
fn plant(place: &std::path::Path) {
    std::fs::write(place.join("target"), "target").expect("written");
    symlink("target", place.join("link")).expect("a link");
    symlink(".", place.join("around")).expect("a link");
    std::fs::create_dir(place.join("folder")).expect("a folder");
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, place.join("fifo"), fifo, 0o600.into(), 0).expect("a FIFO");
    std::os::unix::net::UnixListener::bind(place.join("socket")).expect("a socket");
}

#[test]
fn blocks_are_counted_in_units_of_4096_bytes() {
    for (length, expected) in [(0, 0), (1, 1), (4095, 1), (4096, 1), (4097, 2), (40_960, 10)] {
        assert_eq!(blocks(length), expected, "{length}");
    }
    let (place, folder) = open();
    let own = std::fs::metadata(place.path()).expect("its metadata").blocks() * 512;
    assert_eq!(folder.list(".", |_, _| {}).expect("it is listed"), own.div_ceil(BLOCK));
    write(&folder, "a", &[1; 100_000]);
    let file = folder.open_file("a").expect("it opens");
    file.sync_all().expect("its space is allocated");
    let allocated = std::fs::metadata(place.path().join("a")).expect("its metadata").blocks() * 512;
    assert!(allocated >= 100_000);
    assert_eq!(blocks_of(&file).expect("its space"), allocated.div_ceil(BLOCK));
    assert_eq!(folder.file_info("a").expect("its metadata").blocks, allocated.div_ceil(BLOCK));
}

#[test]
fn files_are_created_found_and_removed() {
    let (place, folder) = open();
    folder.make_folder("below").expect("it is made");
    folder.make_folder("below").expect("it is there");
    let (mode, expected) = modes(&place.path().join("below"), 0o750);
    assert_eq!(mode, expected);
    write(&folder, "below/a", b"text");
    let (mode, expected) = modes(&place.path().join("below/a"), 0o640);
    assert_eq!(mode, expected);
    assert_eq!(folder.create("below/a").expect_err("it is there").kind(), ErrorKind::AlreadyExists);
    assert_eq!(text(folder.read("below/a", 4).expect("it is read")), "text");
    assert_eq!(folder.read("below/a", 5).expect_err("another length").kind(), ErrorKind::InvalidData);
    assert_eq!(folder.read("below/b", 4).expect_err("no file").kind(), ErrorKind::NotFound);
    assert_eq!(text(folder.open_file("below/a").expect("it is opened")), "text");

    folder.append("below/a").and_then(|mut file| file.write_all(b" and more")).expect("it is longer");
    folder.append("below/new").and_then(|mut file| file.write_all(b"new")).expect("it is made");
    assert_eq!(text(folder.folder("below").and_then(|below| below.open_file("a")).expect("it")), "text and more");
    let (mode, expected) = modes(&place.path().join("below/new"), 0o640);
    assert_eq!(mode, expected);

    folder.link("below/a", "b").expect("it is linked");
    assert_eq!(folder.link("below/a", "b"), Err(rustix::io::Errno::EXIST));
    let info = folder.file_info("b").expect("its metadata");
    assert_eq!((info.is_file, info.length, info.links), (true, 13, 2));
    assert_eq!(info.inode(), std::fs::metadata(place.path().join("below/a")).expect("its metadata").ino());
    folder.rename("below/new", "c").expect("it is renamed");
    let mut inodes = Vec::new();
    folder.list_inodes(".", |name, _, inode| inodes.push((name.to_owned(), inode))).expect("it is listed");
    assert!(inodes.contains(&(c"b".to_owned(), info.inode())), "{inodes:?}");

    assert_eq!(names(&folder, "."), [("b".into(), true), ("below".into(), false), ("c".into(), true)]);
    assert_eq!(names(&folder, "below"), [("a".into(), true)]);
    for _ in 0..2 {
        folder.remove("below/a").expect("it is removed, or missing");
    }
    assert!(folder.remove("below").is_err(), "it is a folder");
    assert_eq!(names(&folder, "below"), []);
    assert_eq!(folder.file_info("b").expect("its metadata").links, 1);
}

#[test]
fn use_is_marked_by_a_whole_second() {
    let (_place, folder) = open();
    write(&folder, "a", b"text");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let info = folder.file_info("a").expect("its metadata");
    assert!(u64::from(info.seconds).abs_diff(now) < 10 && !info.is_marked, "{}", info.seconds);
    folder.mark_used("a", 1_234_567).expect("it is marked");
    let info = folder.file_info("a").expect("its metadata");
    assert_eq!((info.seconds, info.is_marked), (1_234_567, true));
}

#[test]
fn planted_files_are_refused() {
    let (place, folder) = open();
    plant(place.path());
    for name in ["link", "folder", "fifo", "socket", "around/target"] {
        assert_eq!(folder.read(name, 6).expect_err(name).kind(), ErrorKind::InvalidData, "{name}");
        assert!(folder.open_file(name).is_err() && folder.append(name).is_err(), "{name}");
    }
    // by their length they would be what is asked for
    let length = folder.file_info("folder").expect("its metadata").length;
    assert_eq!(folder.read("folder", length).expect_err("a folder").kind(), ErrorKind::InvalidData);
    assert_eq!(folder.read("fifo", 0).expect_err("a FIFO").kind(), ErrorKind::InvalidData);
    for path in ["around/a", "../a", "/tmp/a"] {
        assert!(folder.create(path).is_err() && folder.append(path).is_err(), "{path}");
        assert!(folder.link("target", path).is_err() && folder.rename("target", path).is_err(), "{path}");
    }
    assert!(folder.remove("around/target").is_err() && folder.mark_used("around/target", 1).is_err());
    assert!(folder.folder("link").is_err() && folder.folder("around").is_err() && folder.folder("target").is_err());
    assert!(!folder.file_info("link").expect("its metadata").is_file);
    folder.remove("link").expect("the link is removed");
    assert_eq!(text(folder.open_file("target").expect("and not its target")), "target");
    let regular = names(&folder, ".").into_iter().filter(|(_, is_file)| *is_file).map(|(name, _)| name);
    assert_eq!(regular.collect::<Vec<_>>(), ["target"]);
    let file = Folder::open(&place.path().join("target"));
    assert_eq!(file.err().map(|error| error.kind()), Some(ErrorKind::NotADirectory));
}

#[test]
fn removed_and_replaced_folders_are_noticed() {
    let (place, _) = open();
    let (path, other) = (place.path().join("a"), place.path().join("b"));
    let make = || {
        std::fs::create_dir(&path).expect("made");
        Folder::open(&path).expect("it opens")
    };
    let folder = make();
    assert!(folder.is_current());
    assert_eq!(folder.path(), path);
    std::fs::remove_dir(&path).expect("removed");
    assert!(!folder.is_current(), "removed");
    let folder = make();
    std::fs::rename(&path, &other).expect("moved");
    assert!(!folder.is_current(), "moved");
    std::fs::create_dir(&path).expect("made");
    assert!(!folder.is_current(), "replaced");
    std::fs::remove_dir(&path).expect("removed");
    symlink(&path, &path).expect("a link");
    assert!(!folder.is_current(), "a link to itself");
    std::fs::remove_file(&path).expect("removed");
    std::fs::rename(&other, &path).expect("moved back");
    assert!(folder.is_current(), "moved back");
    let below = path.join("below");
    std::fs::create_dir(&below).expect("made");
    let folder = Folder::open(&below).expect("it opens");
    std::fs::remove_dir(&below).expect("removed");
    std::fs::remove_dir(&path).expect("removed");
    std::fs::write(&path, "a file").expect("written");
    assert!(!folder.is_current(), "a file is on the way");
}

#[test]
fn folders_that_others_may_write_to_are_refused() {
    let (place, folder) = open();
    let set = |mode: u32| {
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let own = rustix::process::geteuid().as_raw();
    for (mode, is_writable) in [(0o750, false), (0o775, false), (0o777, true), (0o702, true), (0o1777, false)] {
        set(mode);
        assert_eq!(folder.ownership().expect("its owner"), (own, mode));
        let expected = is_writable.then_some(PermissionIssue::WorldWritable { mode });
        assert_eq!(permission_issue(&folder).expect("its owner"), expected, "{mode:o}");
    }

    // an empty one is closed, one with files is not
    set(0o777);
    check_permissions(&folder).expect("it is closed");
    assert_eq!(folder.ownership().expect("its mode").1, 0o755);
    check_permissions(&folder).expect("it is safe");
    write(&folder, "a", b"text");
    set(0o777);
    let error = check_permissions(&folder).expect_err("it has a file");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("writable by all users (mode 0777)"), "{error}");
    assert_eq!(folder.ownership().expect("its mode").1, 0o777);

    if own == 0 {
        set(0o750);
        std::os::unix::fs::chown(place.path(), Some(12_345), None).expect("another owner");
        let issue = permission_issue(&folder).expect("its owner");
        assert_eq!(issue, Some(PermissionIssue::ForeignOwner { owner: 12_345, own: 0 }));
        let error = check_permissions(&folder).expect_err("it is another user's");
        assert!(error.to_string().contains("belongs to user 12345, and tintype runs as 0"), "{error}");
        // not even an empty one is closed for its owner
        folder.remove("a").expect("removed");
        set(0o777);
        assert!(check_permissions(&folder).is_err());
        assert_eq!(folder.ownership().expect("its mode"), (12_345, 0o777));
    }
}

#[test]
fn probe_leaves_nothing() {
    let (_place, folder) = open();
    folder.make_folder("below").expect("it is made");
    for _ in 0..2 {
        folder.probe("below").expect("it can be written to");
    }
    assert_eq!(names(&folder, "below"), []);
    // of a process that ended meanwhile
    write(&folder, &format!("below/probe-{}", std::process::id()), b"old");
    folder.probe("below").expect("it can be written to");
    assert_eq!(names(&folder, "below"), []);
    assert!(folder.probe("missing").is_err());
}

#[test]
fn free_space_is_that_of_the_file_system() {
    let (place, folder) = open();
    // others write to it meanwhile
    let is_close = (0..10).any(|_| {
        let system = rustix::fs::statvfs(place.path()).expect("its file system");
        let free = folder.free().expect("its free space");
        let files = free.files.map(|files| (files.free, files.all));
        let expected = (system.f_files > 0).then_some((system.f_favail, system.f_files));
        let is_equal = (free.bytes, files) == (system.f_bavail * system.f_frsize, expected);
        std::thread::sleep(Duration::from_millis(5));
        is_equal
    });
    assert!(is_close);
}

#[test]
fn folders_are_created_for_the_own_group() {
    let (place, _) = open();
    let path = place.path().join("a/b/c");
    create_all(&path).expect("they are made");
    create_all(&path).expect("they are there");
    for folder in [&path, &place.path().join("a")] {
        let (mode, expected) = modes(folder, 0o750);
        assert_eq!(mode, expected);
    }
}
