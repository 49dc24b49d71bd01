//! Folders of the cache and of originals: permissions, file systems, links.

use super::*;

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).expect("root may");
}

/// The check after a shell script, in a mount namespace of its own.
fn in_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    // opened first: a mount may cover the folder of the program
    let script = format!("exec 9<\"$0\"; {{ {script}; }} >&2 && exec /proc/self/fd/9 \"$@\"");
    command.args(["-m", "sh", "-ec", &script]).arg(tintype().get_program());
    command
}

#[test]
fn folders_without_permission_are_errors() {
    needs!(Nobody);
    // the folder is missing and cannot be made
    let place = Setup::new();
    let checked = place.check_as_nobody();
    let cache = place.path("cache").display().to_string();
    let install = format!("install -d -o nobody -m 0750 {cache}");
    checked.says(
        "error",
        "cache.dir",
        &[&cache, "cannot be created", "root (0)", "mode 0755", "nobody (65534)"],
        &install,
    );

    // owned by another user
    let dir = place.folder("cache");
    place.check_as_nobody().says(
        "error",
        "cache.dir",
        &["is not writable by nobody", "root (0)"],
        &format!("chown nobody: {cache}"),
    );

    // owned by the user, without permission to write
    give(&dir, NOBODY);
    set_mode(&dir, 0o500);
    place.check_as_nobody().says("error", "cache.dir", &["is not writable by nobody", "mode 0500"], "chmod u+");
    set_mode(&dir, 0o750);
    place.check_as_nobody().has_no_error();

    // owned by a third user
    give(&dir, OTHER_USER);
    set_mode(&dir, 0o777);
    let checked = place.check_as_nobody();
    checked.says("error", "cache.dir", &["is world-writable", "0777"], &format!("chmod o-w {cache}"));
    set_mode(&dir, 0o750);
    let checked = place.check();
    checked.says("error", "cache.dir", &["is owned by 12345", "root (0)"], "runuser -u 12345");

    // a sticky folder with a layout of another user
    give(&dir, 0);
    set_mode(&dir, 0o1777);
    let left = place.folder("cache/v2");
    give(&left, OTHER_USER);
    place.check_as_nobody().says("error", "cache.dir", &["v2 is owned by 12345", "sticky"], "chown -R nobody:");
    std::fs::remove_dir(&left).expect("empty");
    place.check_as_nobody().has_no_error();

    // a parent folder that cannot be searched
    let inner = place.folder("closed/cache");
    give(&inner, NOBODY);
    set_mode(&place.path("closed"), 0o700);
    let place = place.with("CACHE_DIR", inner.display());
    let closed = place.path("closed").display().to_string();
    place.check_as_nobody().says(
        "error",
        "cache.dir",
        &[&closed, "is not searchable by nobody", "0700"],
        &format!("chmod o+x {closed}"),
    );

    // originals
    set_mode(&place.path("originals/a.png"), 0o600);
    place.check_as_nobody().says(
        "warning",
        "source.root",
        &["1 of the sampled originals", "a.png is not readable by nobody"],
        "chmod o+r",
    );
    set_mode(&place.path("originals"), 0o700);
    place.check_as_nobody().says("error", "source.root", &["is not readable by nobody", "0700"], "chmod o+rx");
}

#[test]
fn unwritable_upload_folder_is_an_error() {
    needs!(Nobody);
    let place = Setup::new().with("SECURITY_UPLOAD", true).with("SECURITY_ADMIN_TOKEN", "a token for tests");
    let cache = place.folder("cache");
    give(&cache, NOBODY);
    let originals = place.path("originals");
    place.check_as_nobody().says(
        "error",
        "security.upload",
        &["uploads are disabled", "root (0)"],
        &format!("chown nobody: {}", originals.display()),
    );
    give(&originals, NOBODY);
    place.check_as_nobody().has_no_error();
    // a staging folder of root
    let staging = place.folder("originals/.tintype-uploads");
    set_mode(&staging, 0o700);
    place.check_as_nobody().says("error", "security.upload", &[".tintype-uploads", "root (0)"], "chown -R nobody:");
}

#[test]
fn missing_and_unsafe_folders_are_reported() {
    let place = Setup::new();
    let dir = place.folder("cache");
    set_mode(&dir, 0o777);
    // empty and ours: serve will close it, and the check does not
    place
        .check()
        .says("warning", "cache.dir", &["0777", "serve will remove the permission"], "chmod o-w")
        .has_no_error();
    assert_eq!(std::fs::metadata(&dir).expect("there").permissions().mode() & 0o7777, 0o777);
    std::fs::write(dir.join("planted"), b"x").expect("written");
    place.check().says("error", "cache.dir", &["is world-writable", "serve refuses to use it"], "chmod o-w");
    std::fs::remove_file(dir.join("planted")).expect("there");
    set_mode(&dir, 0o750);

    // the parent folder
    set_mode(place.folder.path(), 0o777);
    place.check().says("warning", "cache.dir", &["is world-writable", "0777"], "chmod o-w");
    set_mode(place.folder.path(), 0o755);

    std::fs::create_dir(dir.join("v9")).expect("made");
    place.check().says("error", "cache.dir", &["a newer tintype (v9"], "cache.dir = another folder");
    std::fs::remove_dir_all(&dir).expect("removed");

    std::fs::write(&dir, b"a file").expect("written");
    let cause = format!("{} is not a folder", dir.display());
    place.check().says("error", "cache.dir", &[&cause], "remove or rename");
    let place = place.with("CACHE_DIR", dir.join("below/it").display());
    place.check().says("error", "cache.dir", &[&cause], "remove or rename");

    let place = place.with("CACHE_DIR", "");
    let inside = place.path("originals/cache");
    let place = place.with("CACHE_DIR", inside.display());
    place.check().says("error", "cache.dir", &["lie within each other"], "cache.dir = ");

    let place = place.with("SOURCE_ROOT", "/nowhere/at/all");
    place.check().says("error", "source.root", &["/nowhere does not exist"], "mkdir -p");
    let file = place.path("originals/a.png");
    let place = place.with("SOURCE_ROOT", file.display());
    place.check().says("error", "source.root", &["a.png is not a folder"], "use the folder");
}

#[test]
fn full_and_read_only_file_systems_are_reported() {
    needs!(Root, Mounts);
    let place = Setup::new().with("CACHE_MIN_FREE", "0").with("CACHE_MAX_BYTES", "1MiB");
    let dir = place.folder("cache");
    let shown = dir.display();
    let check = |script: String, level: &str, about: &str, cause: &[&str], fix: &str| {
        place.check_by(in_namespace(&script), &[]).says(level, about, cause, fix);
    };
    let fill = format!("mount -t tmpfs -o size=256k tmpfs {shown}; head -c 1000000 /dev/zero > {shown}/x || true");
    check(fill, "error", "cache.dir", &["is full"], "df -h");
    let use_up = format!(
        "mount -t tmpfs -o nr_inodes=20 tmpfs {shown}; for n in $(seq 40); do true > {shown}/$n || break; done 2>/dev/null"
    );
    check(use_up, "error", "cache.dir", &["no inodes left", "20 files"], "df -i");
    let read_only = format!("mount -t tmpfs tmpfs {shown}; mount -o remount,ro {shown}");
    check(read_only, "error", "cache.dir", &["(tmpfs at", "is read-only"], "mount -o remount,rw");
    // as with ProtectSystem= of a unit
    let protected = format!("mount --bind {shown} {shown}; mount -o remount,bind,ro {shown}");
    check(protected, "error", "cache.dir", &["mounted read-only here", "ProtectSystem="], "ReadWritePaths=");
    let apart = format!("mkdir -p {shown}/v2/staging; mount -t tmpfs tmpfs {shown}/v2/staging");
    check(apart, "error", "cache.dir", &["v2/staging is on another file system"], "umount");
    // a leftover of the script
    let _ = std::fs::remove_dir_all(dir.join("v2"));
    check(format!("mount -t tmpfs tmpfs {shown}"), "ok", "cache.dir", &["is writable"], "");
    let check = |setting, value, about: &str, cause: &[&str], fix: &str| {
        let command = in_namespace(&format!("mount -t tmpfs -o size=16m tmpfs {shown}"));
        let place = Setup { folder: folder(), settings: place.settings.clone() };
        place.with(setting, value).check_by(command, &[]).says("warning", about, cause, fix).has_no_error();
    };
    let larger = ["1.00 GiB", "16.00 MiB"];
    check("CACHE_MAX_BYTES", "1GiB", "cache.max_bytes", &larger, "cache.max_bytes = \"1");
    check("CACHE_MIN_FREE", "1GiB", "cache.min_free", &["no space to store results"], "cache.min_free = ");
}

#[test]
fn missing_cache_folder_is_sound() {
    let place = Setup::new().with("CACHE_DIR", "none");
    let before = listing(place.folder.path());
    let checked = place.check();
    checked.says("ok", "cache.dir", &["memory only", "cache.memory"], "").has_no_error();
    assert_eq!(listing(place.folder.path()), before);
    let place = place.with("SERVER_X_ACCEL", "/_store");
    place.check().says("warning", "server.x_accel", &["has no effect"], "cache.dir").has_no_error();
}

#[test]
fn private_tmp_is_reported() {
    needs!(Root, Mounts);
    // originals outside of /tmp, which is covered
    let originals = tempfile::tempdir_in("/var/tmp").expect("a folder");
    set_mode(originals.path(), 0o755);
    std::fs::copy(testdata().join("generated/alpha.png"), originals.path().join("a.png")).expect("copied");
    let private =
        tempfile::Builder::new().prefix("systemd-private-51f0-tintype.service-").tempdir_in("/tmp").expect("a folder");
    std::fs::create_dir(private.path().join("tmp")).expect("made");
    let command = in_namespace(&format!("mount --bind {}/tmp /tmp", private.path().display()));
    let place = Setup::new().with("CACHE_DIR", "/tmp/cache").with("SOURCE_ROOT", originals.path().display());
    let checked = place.check_by(command, &["--nginx-user", "nobody"]);
    checked.says(
        "warning",
        "cache.dir",
        &["/tmp/cache", "PrivateTmp=", "deleted when the unit stops"],
        "CacheDirectory=tintype",
    );
    checked.says("error", "nginx", &["nobody does not see /tmp/cache", "PrivateTmp="], "CacheDirectory=tintype");
}

#[test]
fn links_out_of_the_root_are_reported() {
    let place = Setup::new();
    let shared = place.folder("shared");
    std::fs::copy(testdata().join("generated/alpha.png"), shared.join("b.png")).expect("copied");
    for (target, name) in [("../shared/b.png", "b.png"), ("a.png", "within.png"), ("../shared", "more")] {
        std::os::unix::fs::symlink(target, place.path("originals").join(name)).expect("a link");
    }
    let fix = format!("source.links = [{:?}]", shared.canonicalize().expect("there"));
    place
        .check()
        .says("warning", "source.links", &["2 of the sampled symbolic links", "are a 404"], &fix)
        .has_no_error();
    let place = place.with("SOURCE_LINKS", shared.display());
    let checked = place.check();
    assert!(!checked.all.contains("source.links"), "{}", checked.all);
    let place = place.with("SOURCE_LINKS", format!("{},/nowhere", shared.display()));
    place.check().says("warning", "source.links", &["/nowhere"], "").has_no_error();
    // files of a cache below them would be sent as originals
    let place = place.with("SOURCE_LINKS", shared.display()).with("CACHE_DIR", shared.join("cache").display());
    place.check().says("error", "cache.dir", &["lie within each other"], "cache.dir = ");
}
