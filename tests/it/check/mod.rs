//! `tintype check` in circumstances that are really broken: each is made, and the check has to name the cause and the mend.

mod cdn;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::common::need::{as_nobody, memory_cgroups, needs};
use crate::common::{Address, Server, run, testdata, tintype};
use serde_json::Value;

/// Nobody, and a user that there is not.
const NOBODY: u32 = 65534;
const STRANGER: u32 = 12345;

/// A folder that others may go through, with the originals and the settings of one test.
struct Place {
    folder: tempfile::TempDir,
    settings: BTreeMap<&'static str, String>,
}

/// What a check said.
struct Checked {
    code: Option<i32>,
    findings: Vec<Value>,
    all: String,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        set_mode(folder.path(), 0o755);
        let place = Place { folder, settings: BTreeMap::new() };
        place.folder("originals");
        std::fs::copy(testdata().join("generated/alpha.png"), place.path("originals/a.png")).expect("copied");
        let (root, cache) = (place.path("originals"), place.path("cache"));
        let listen = "127.0.0.1:0".to_owned();
        place.with("SOURCE_ROOT", root.display()).with("CACHE_DIR", cache.display()).with("SERVER_LISTEN", listen)
    }

    fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Place {
        self.settings.insert(name, value.to_string());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder in it that everyone may read.
    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("made");
        set_mode(&path, 0o755);
        path
    }

    fn check(&self) -> Checked {
        self.check_by(tintype(), &[])
    }

    /// As somebody whom permissions hinder.
    fn check_as_nobody(&self) -> Checked {
        self.check_by(nobody(), &[])
    }

    fn check_by(&self, mut command: Command, arguments: &[&str]) -> Checked {
        command.args(["check", "--json"]).args(arguments);
        command.envs(self.settings.iter().map(|(name, value)| (format!("TINTYPE_{name}"), value)));
        checked(&mut command)
    }
}

fn checked(command: &mut Command) -> Checked {
    let (code, output, said) = run(command, b"");
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let json: Value = serde_json::from_str(&all).unwrap_or_else(|_| panic!("no JSON: {all}{said}"));
    let findings = json["findings"].as_array().expect("findings").clone();
    Checked { code, findings, all }
}

impl Checked {
    /// There is one finding of that level about that setting that says all of this of its cause, and that of its mend.
    #[track_caller]
    fn says(&self, level: &str, about: &str, cause: &[&str], mend: &str) -> &Checked {
        let fits = |finding: &&Value| {
            let text = |name: &str| finding[name].as_str().unwrap_or_default();
            text("level") == level
                && text("about") == about
                && cause.iter().all(|part| text("cause").contains(part))
                && text("mend").contains(mend)
        };
        assert!(
            self.findings.iter().any(|finding| fits(&finding)),
            "no {level} {about} {cause:?} {mend:?} in {}",
            self.all
        );
        assert_eq!(self.code, Some(i32::from(self.has("error"))), "{}", self.all);
        self
    }

    fn has(&self, level: &str) -> bool {
        self.findings.iter().any(|finding| finding["level"] == level)
    }

    #[track_caller]
    fn has_no_error(&self) -> &Checked {
        assert!(!self.has("error") && self.code == Some(0), "{}", self.all);
        self
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

fn give(path: &Path, uid: u32) {
    chown(path, Some(uid), Some(uid)).expect("root may");
}

fn nobody() -> Command {
    let mut command = as_nobody();
    command.arg(tintype().get_program());
    command
}

/// The check after that script, in a mount namespace of its own.
fn in_namespace(script: &str) -> Command {
    let mut command = Command::new("unshare");
    // opened beforehand, since a mount may cover the folder that the program lies in
    let script = format!("exec 9<\"$0\"; {{ {script}; }} >&2 && exec /proc/self/fd/9 \"$@\"");
    command.args(["-m", "sh", "-ec", &script]).arg(tintype().get_program());
    command
}

#[test]
fn sound_setup_is_reported_and_unchanged() {
    let place = Place::new().with("CACHE_MAX_BYTES", "64MiB").with("CACHE_MIN_FREE", "0");
    let before = listing(place.folder.path());
    let checked = place.check();
    checked.has_no_error();
    // where temporary folders are
    checked.says("warning", "cache.dir", &["temporary files"], "/var/cache/tintype");
    checked.says("ok", "cache.dir", &["can be written", "not there yet"], "");
    checked.says("ok", "source.root", &["1 files"], "");
    checked.says("ok", "server.listen", &["127.0.0.1:0"], "");
    checked.says("info", "backends", &["webp: libwebp", "SIMD"], "");
    assert_eq!(listing(place.folder.path()), before);
    // nor is anything made where no folder is named
    let home = place.folder("home");
    let mut command = tintype();
    command.args(["check", "--json"]).env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache"));
    command.env("CACHE_DIRECTORY", home.join("systemd")).current_dir(place.path("originals"));
    checked_ok(&mut command);
    assert_eq!(listing(&home), Vec::<PathBuf>::new());

    // and for people
    let mut command = tintype();
    command.arg("check").envs(place.settings.iter().map(|(name, value)| (format!("TINTYPE_{name}"), value)));
    let (code, output, _) = run(&mut command, b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning  cache.dir: ") && text.contains("\n         mend: cache.dir = "), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.starts_with("no errors, ")), "{text}");
}

fn checked_ok(command: &mut Command) {
    checked(command).says("ok", "settings", &["no file was named"], "");
}

/// Everything below a folder.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    let mut all: Vec<PathBuf> = entries
        .flat_map(|path| if path.is_dir() { [vec![path.clone()], listing(&path)].concat() } else { vec![path] })
        .collect();
    all.sort();
    all
}

#[test]
fn invalid_settings_are_errors() {
    let place = Place::new();
    let file = place.path("settings.toml");
    let config = format!("--config={}", file.display());
    for (text, part) in
        [("[cashe]\ndir = \"/a\"\n", "[cache]"), ("[limits]\ndeadline = 30\n", "30s"), ("[server\n", "settings.toml")]
    {
        std::fs::write(&file, text).expect("written");
        place.check_by(tintype(), &[&config]).says("error", "settings", &[part], "tintype config --default");
    }
    place.check_by(tintype(), &["--config=/nowhere/a.toml"]).says(
        "error",
        "settings",
        &["/nowhere is not there"],
        "mkdir -p /nowhere, or name another path",
    );
    assert_eq!(run(tintype().args(["check", "--jsn"]), b"").0, Some(2));
}

#[test]
fn unreadable_settings_file_is_an_error() {
    needs!(Nobody);
    let place = Place::new();
    let file = place.path("settings.toml");
    std::fs::write(&file, "").expect("written");
    set_mode(&file, 0o600);
    let config = format!("--config={}", file.display());
    let cause = "settings.toml cannot be read by nobody (65534)";
    place.check_by(nobody(), &[&config]).says("error", "settings", &[cause, "mode 0600"], "chmod o+r");
}

#[test]
fn folders_without_permission_are_errors() {
    needs!(Nobody);
    // no folder, and none can be made
    let place = Place::new();
    let checked = place.check_as_nobody();
    let cache = place.path("cache").display().to_string();
    let install = format!("install -d -o nobody -m 0750 {cache}");
    checked.says(
        "error",
        "cache.dir",
        &[&cache, "cannot be made", "root (0)", "mode 0755", "nobody (65534)"],
        &install,
    );

    // another's
    let dir = place.folder("cache");
    place.check_as_nobody().says(
        "error",
        "cache.dir",
        &["cannot be written by nobody", "root (0)"],
        &format!("chown nobody: {cache}"),
    );

    // our own, closed to ourselves
    give(&dir, NOBODY);
    set_mode(&dir, 0o500);
    place.check_as_nobody().says("error", "cache.dir", &["cannot be written by nobody", "mode 0500"], "chmod u+");
    set_mode(&dir, 0o750);
    place.check_as_nobody().has_no_error();

    // somebody's who is neither root nor us
    give(&dir, STRANGER);
    set_mode(&dir, 0o777);
    let checked = place.check_as_nobody();
    checked.says("error", "cache.dir", &["may be written by everyone", "0777"], &format!("chmod o-w {cache}"));
    set_mode(&dir, 0o750);
    let checked = place.check();
    checked.says("error", "cache.dir", &["belongs to 12345", "root (0)"], "runuser -u 12345");

    // a sticky folder in which another user's service left its own
    give(&dir, 0);
    set_mode(&dir, 0o1777);
    let left = place.folder("cache/v2");
    give(&left, STRANGER);
    place.check_as_nobody().says("error", "cache.dir", &["v2 belongs to 12345", "sticky"], "chown -R nobody:");
    std::fs::remove_dir(&left).expect("empty");
    place.check_as_nobody().has_no_error();

    // a folder on the way that cannot be gone through
    let inner = place.folder("closed/cache");
    give(&inner, NOBODY);
    set_mode(&place.path("closed"), 0o700);
    let place = place.with("CACHE_DIR", inner.display());
    let closed = place.path("closed").display().to_string();
    place.check_as_nobody().says(
        "error",
        "cache.dir",
        &[&closed, "cannot be searched by nobody", "0700"],
        &format!("chmod o+x {closed}"),
    );

    // originals
    set_mode(&place.path("originals/a.png"), 0o600);
    place.check_as_nobody().says(
        "warning",
        "source.root",
        &["1 of the originals", "a.png cannot be read by nobody"],
        "chmod o+r",
    );
    set_mode(&place.path("originals"), 0o700);
    place.check_as_nobody().says("error", "source.root", &["cannot be read by nobody", "0700"], "chmod o+rx");
}

#[test]
fn unwritable_upload_folder_is_an_error() {
    needs!(Nobody);
    let place = Place::new().with("SECURITY_UPLOAD", true).with("SECURITY_ADMIN_TOKEN", "a token for tests");
    let cache = place.folder("cache");
    give(&cache, NOBODY);
    let originals = place.path("originals");
    place.check_as_nobody().says(
        "error",
        "security.upload",
        &["nothing can be uploaded", "root (0)"],
        &format!("chown nobody: {}", originals.display()),
    );
    give(&originals, NOBODY);
    place.check_as_nobody().has_no_error();
    // left behind by root
    let staging = place.folder("originals/.tintype-uploads");
    set_mode(&staging, 0o700);
    place.check_as_nobody().says("error", "security.upload", &[".tintype-uploads", "root (0)"], "chown -R nobody:");
}

#[test]
fn missing_and_unsafe_folders_are_reported() {
    let place = Place::new();
    let dir = place.folder("cache");
    set_mode(&dir, 0o777);
    // empty and ours: serve will close it, and the check does not
    place.check().says("warning", "cache.dir", &["0777", "serve will close it"], "chmod o-w").has_no_error();
    assert_eq!(std::fs::metadata(&dir).expect("there").permissions().mode() & 0o7777, 0o777);
    std::fs::write(dir.join("planted"), b"x").expect("written");
    place.check().says("error", "cache.dir", &["may be written by everyone", "serve refuses it"], "chmod o-w");
    std::fs::remove_file(dir.join("planted")).expect("there");
    set_mode(&dir, 0o750);

    // the folder above
    set_mode(place.folder.path(), 0o777);
    place.check().says("warning", "cache.dir", &["everyone may write in", "0777"], "chmod o-w");
    set_mode(place.folder.path(), 0o755);

    std::fs::create_dir(dir.join("v9")).expect("made");
    place.check().says("error", "cache.dir", &["a newer tintype (v9"], "cache.dir = another folder");
    std::fs::remove_dir_all(&dir).expect("removed");

    std::fs::write(&dir, b"a file").expect("written");
    let cause = format!("{} is a file where a folder should be", dir.display());
    place.check().says("error", "cache.dir", &[&cause], "remove or rename");
    let place = place.with("CACHE_DIR", dir.join("below/it").display());
    place.check().says("error", "cache.dir", &[&cause], "remove or rename");

    let place = place.with("CACHE_DIR", "");
    let inside = place.path("originals/cache");
    let place = place.with("CACHE_DIR", inside.display());
    place.check().says("error", "cache.dir", &["lie within each other"], "cache.dir = ");

    let place = place.with("SOURCE_ROOT", "/nowhere/at/all");
    place.check().says("error", "source.root", &["/nowhere is not there"], "mkdir -p");
    let file = place.path("originals/a.png");
    let place = place.with("SOURCE_ROOT", file.display());
    place.check().says("error", "source.root", &["a.png is a file"], "name the folder");
}

#[test]
fn full_and_read_only_file_systems_are_reported() {
    needs!(Root, Mounts);
    let place = Place::new().with("CACHE_MIN_FREE", "0").with("CACHE_MAX_BYTES", "1MiB");
    let dir = place.folder("cache");
    let shown = dir.display();
    let check = |script: String, level: &str, about: &str, cause: &[&str], mend: &str| {
        place.check_by(in_namespace(&script), &[]).says(level, about, cause, mend);
    };
    let fill = format!("mount -t tmpfs -o size=256k tmpfs {shown}; head -c 1000000 /dev/zero > {shown}/x || true");
    check(fill, "error", "cache.dir", &["is full"], "df -h");
    let use_up = format!(
        "mount -t tmpfs -o nr_inodes=20 tmpfs {shown}; for n in $(seq 40); do true > {shown}/$n || break; done 2>/dev/null"
    );
    check(use_up, "error", "cache.dir", &["no inodes left", "20 files"], "df -i");
    let read_only = format!("mount -t tmpfs tmpfs {shown}; mount -o remount,ro {shown}");
    check(read_only, "error", "cache.dir", &["(tmpfs at", "is read-only"], "mount -o remount,rw");
    // as a unit's ProtectSystem= has it
    let protected = format!("mount --bind {shown} {shown}; mount -o remount,bind,ro {shown}");
    check(protected, "error", "cache.dir", &["mounted read-only here", "ProtectSystem="], "ReadWritePaths=");
    let apart = format!("mkdir -p {shown}/v2/staging; mount -t tmpfs tmpfs {shown}/v2/staging");
    check(apart, "error", "cache.dir", &["v2/staging is on another file system"], "umount");
    // made by the script, where there can be one
    let _ = std::fs::remove_dir_all(dir.join("v2"));
    check(format!("mount -t tmpfs tmpfs {shown}"), "ok", "cache.dir", &["can be written"], "");
    let check = |setting, value, about: &str, cause: &[&str], mend: &str| {
        let command = in_namespace(&format!("mount -t tmpfs -o size=16m tmpfs {shown}"));
        let place = Place { folder: tempfile::tempdir().expect("a folder"), settings: place.settings.clone() };
        place.with(setting, value).check_by(command, &[]).says("warning", about, cause, mend).has_no_error();
    };
    let larger = ["1.00 GiB", "16.00 MiB"];
    check("CACHE_MAX_BYTES", "1GiB", "cache.max_bytes", &larger, "cache.max_bytes = \"1");
    check("CACHE_MIN_FREE", "1GiB", "cache.min_free", &["nothing more can be kept"], "cache.min_free = ");
}

#[test]
fn missing_cache_folder_is_sound() {
    let place = Place::new().with("CACHE_DIR", "none");
    let before = listing(place.folder.path());
    let checked = place.check();
    checked.says("ok", "cache.dir", &["memory alone", "cache.memory"], "").has_no_error();
    assert_eq!(listing(place.folder.path()), before);
    let place = place.with("SERVER_X_ACCEL", "/_store");
    place.check().says("warning", "server.x_accel", &["does nothing"], "cache.dir").has_no_error();
}

#[test]
fn private_tmp_is_reported() {
    needs!(Root, Mounts);
    // the originals lie elsewhere than in the /tmp that is covered, wherever the project's own files are
    let originals = tempfile::tempdir_in("/var/tmp").expect("a folder");
    set_mode(originals.path(), 0o755);
    std::fs::copy(testdata().join("generated/alpha.png"), originals.path().join("a.png")).expect("copied");
    let private =
        tempfile::Builder::new().prefix("systemd-private-51f0-tintype.service-").tempdir_in("/tmp").expect("a folder");
    std::fs::create_dir(private.path().join("tmp")).expect("made");
    let command = in_namespace(&format!("mount --bind {}/tmp /tmp", private.path().display()));
    let place = Place::new().with("CACHE_DIR", "/tmp/cache").with("SOURCE_ROOT", originals.path().display());
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
    let place = Place::new();
    let shared = place.folder("shared");
    std::fs::copy(testdata().join("generated/alpha.png"), shared.join("b.png")).expect("copied");
    for (target, name) in [("../shared/b.png", "b.png"), ("a.png", "within.png"), ("../shared", "more")] {
        std::os::unix::fs::symlink(target, place.path("originals").join(name)).expect("a link");
    }
    let mend = format!("source.links = [{:?}]", shared.canonicalize().expect("there"));
    place.check().says("warning", "source.links", &["2 of the links", "are a 404"], &mend).has_no_error();
    let place = place.with("SOURCE_LINKS", shared.display());
    let checked = place.check();
    assert!(!checked.all.contains("source.links"), "{}", checked.all);
    let place = place.with("SOURCE_LINKS", format!("{},/nowhere", shared.display()));
    place.check().says("warning", "source.links", &["/nowhere"], "").has_no_error();
    // a cache below them would be sent as originals
    let place = place.with("SOURCE_LINKS", shared.display()).with("CACHE_DIR", shared.join("cache").display());
    place.check().says("error", "cache.dir", &["lie within each other"], "cache.dir = ");
}

#[test]
fn low_limits_are_reported() {
    let place = Place::new().with("LIMITS_MEMORY", "4MiB");
    place.check().says("warning", "limits.memory", &["less than any render needs"], "limits.memory = ").has_no_error();
    let place = place.with("LIMITS_MEMORY", "16MiB");
    place.check().says("warning", "limits.memory", &["less than photographs need"], "limits.memory = ").has_no_error();
    let place = place.with("LIMITS_MEMORY", "128MiB").with("SECURITY_UPLOAD", "yes");
    place.check().says("warning", "security.upload", &["does nothing without a token"], "/dev/urandom");
    let place = place.with("SECURITY_ADMIN_TOKEN", "fifteen letters");
    place.check().says("warning", "security.admin_token", &["15 bytes", "short"], "/dev/urandom");
}

#[test]
fn unavailable_addresses_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address");
    let place = Place::new().with("SERVER_LISTEN", taken);
    // this very test has it
    let who = format!("(process {})", std::process::id());
    place.check().says("error", "server.listen", &["is taken by", &who], "another port");
    let place = place.with("SERVER_LISTEN", "127.0.0.1:0").with("SERVER_ADMIN_LISTEN", taken);
    place.check().says("error", "server.admin_listen", &["is taken by"], "another port");
    let place = place.with("SERVER_LISTEN", "127.0.0.1:29999").with("SERVER_ADMIN_LISTEN", "127.0.0.1:29999");
    place.check().says("error", "server.admin_listen", &["is server.listen already"], "another port");
    let place = place.with("SERVER_ADMIN_LISTEN", "");
    let place = place.with("SERVER_LISTEN", "192.0.2.1:8080");
    place.check().says("error", "server.listen", &["no address of this machine"], "127.0.0.1:8080");
    let place = place.with("SERVER_LISTEN", "no-such-host.invalid:8080");
    place.check().says("error", "server.listen", &["no-such-host.invalid has no address"], "getent hosts");

    let place = place.with("SERVER_LISTEN", format!("unix:/run/{}.sock", "x".repeat(110)));
    place.check().says("error", "server.listen", &["has 120 bytes", "107"], "unix:/run/tintype/tintype.sock");
    let missing = place.path("run/tintype.sock");
    let place = place.with("SERVER_LISTEN", format!("unix:{}", missing.display()));
    let cause = format!("{} is not there", place.path("run").display());
    place.check().says("error", "server.listen", &[&cause], "RuntimeDirectory=tintype");
    place.folder("run");
    place.check().says("ok", "server.listen", &["can be listened on"], "");
    std::fs::write(&missing, b"no socket").expect("written");
    place.check().says("error", "server.listen", &["is there and is no socket"], "remove it");
    std::fs::remove_file(&missing).expect("there");
    drop(std::os::unix::net::UnixListener::bind(&missing).expect("a socket"));
    place.check().says("info", "server.listen", &["left behind"], "").has_no_error();
}

#[test]
fn socket_in_a_folder_of_another_user_is_an_error() {
    needs!(Nobody);
    let place = Place::new();
    let socket = place.folder("run").join("tintype.sock");
    let place = place.with("SERVER_LISTEN", format!("unix:{}", socket.display()));
    place.check_as_nobody().says("error", "server.listen", &["cannot be written by nobody"], "chown nobody:");
}

#[test]
fn privileged_port_is_an_error() {
    needs!(Nobody, Ports);
    let place = Place::new().with("SERVER_LISTEN", "127.0.0.1:997");
    place.check_as_nobody().says("error", "server.listen", &["port 997 is privileged"], "CAP_NET_BIND_SERVICE");
}

#[test]
fn running_server_is_recognised() {
    let place = Place::new();
    let cache = place.path("cache");
    let server = Server::start(&place.path("originals"), &cache);
    let Address::Tcp(address) = server.address else { panic!("TCP") };
    let place = place.with("SERVER_LISTEN", address);
    let checked = place.check();
    let pid = format!("(process {})", server.pid());
    checked.says("info", "cache.dir", &["serves from", &pid], "").has_no_error();
    checked.says("ok", "server.listen", &["tintype", &pid, "it runs"], "");
    // the same port, for another cache
    let place = place.with("CACHE_DIR", cache.with_extension("other").display());
    place.check().says("error", "server.listen", &["is taken by tintype", &pid], "stop it");
    // and what was tried in the folder did not disturb it
    assert_eq!(server.get("/a.png?width=9", &[]).header("cache-status"), "tintype; fwd=uri-miss; stored");
}

#[test]
fn limits_above_the_machine_are_reported() {
    let place = Place::new().with("LIMITS_MEMORY", "10TiB").with("LIMITS_WORKERS", "4000");
    let checked = place.check();
    checked.says("warning", "limits.memory", &["10TiB", "the kernel would end the process"], "limits.memory = ");
    checked.says("warning", "limits.workers", &["4000 workers share"], "limits.workers = ").has_no_error();

    let mut few = Command::new("prlimit");
    few.arg("--nofile=64:64").arg(tintype().get_program());
    place.check_by(few, &[]).says("warning", "files", &["16 connections"], "LimitNOFILE=");
}

#[test]
fn cgroup_memory_limit_is_reported() {
    needs!(Cgroups);
    let (hierarchy, bound) = memory_cgroups();
    let group = hierarchy.join(format!("tintype-check-{}", std::process::id()));
    std::fs::create_dir(&group).expect("a control group");
    std::fs::write(group.join(bound), "314572800").expect("a bound");
    let mut command = Command::new("sh");
    let script = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.display());
    command.args(["-ec", &script]).arg(tintype().get_program());
    let checked = Place::new().check_by(command, &[]);
    std::fs::remove_dir(&group).expect("nobody is in it");
    checked.says("warning", "limits.memory", &["the control group's bound is 300.00 MiB"], "MemoryMax=").has_no_error();
}

#[test]
fn exposed_secrets_are_reported() {
    let place = Place::new();
    let file = place.path("settings.toml");
    let config = format!("--config={}", file.display());
    let text = "[security]\nkeys = [\"aaaaaaaaaaaaaaaaaaaaaaaa\"]\nadmin_token = \"short\"\n[server]\nlisten = \"0.0.0.0:0\"\n";
    std::fs::write(&file, text).expect("written");
    let mut place = place;
    place.settings.remove("SERVER_LISTEN");
    let checked = place.check_by(tintype(), &[&config]);
    checked.says("warning", "security", &["holds secrets", "everyone on this machine"], "chmod o-rwx");
    checked.says("warning", "security.keys", &["few"], "/dev/urandom");
    checked.says("warning", "security.admin_token", &["short"], "/dev/urandom");
    checked
        .says("warning", "server.listen", &["reached from outside without TLS"], "server.admin_listen")
        .has_no_error();
    assert!(!checked.all.contains("aaaaaaaa"), "a secret is shown");
    set_mode(&file, 0o640);
    place.check_by(tintype(), &[&config]).says("ok", "security", &["not everyone may read it"], "");
}

#[test]
fn original_from_the_future_is_reported() {
    let place = Place::new();
    let file = std::fs::File::options().write(true).open(place.path("originals/a.png")).expect("there");
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400 * 400)).expect("it is ours");
    place.check().says("warning", "clock", &["a.png", "in the future"], "touch").has_no_error();
}

#[test]
fn permissions_of_nginx_are_checked() {
    needs!(Root);
    let place = Place::new();
    let ask = |place: &Place| place.check_by(tintype(), &["--nginx-user", "nobody"]);
    let socket = place.folder("run").join("tintype.sock");
    let place = place.with("SERVER_LISTEN", format!("unix:{}", socket.display()));
    let checked = ask(&place);
    checked.says("error", "nginx", &["will not be able to connect", "mode 0660"], "User=tintype");
    checked.says("ok", "nginx", &["may read originals"], "");
    checked.says("warning", "nginx", &["cannot read renditions", "mode 0750"], "usermod -aG tintype nobody");
    let place = place.with("SERVER_X_ACCEL", "/_tintype_store");
    ask(&place).says("error", "nginx", &["cannot read renditions", "server.x_accel"], "usermod -aG tintype nobody");

    let server =
        Server::start_with(&place.path("originals"), &place.path("cache"), &place.settings["SERVER_LISTEN"], &[]);
    assert_eq!(server.get("/a.png?width=9", &[]).status, 200);
    server.wait_for("tintype_cache_stored_total", 1.0);
    ask(&place).says("error", "nginx", &["cannot connect", "has to write", "0660"], "User=tintype");
    chown(&socket, None, Some(NOBODY)).expect("root may");
    for path in [place.path("cache"), place.path("cache/v2")].iter().chain(&listing(&place.path("cache"))) {
        chown(path, None, Some(NOBODY)).expect("root may");
    }
    let checked = ask(&place);
    checked.says("ok", "nginx", &["may connect to"], "");
    checked.says("ok", "nginx", &["may read renditions"], "").has_no_error();
    set_mode(&place.path("run"), 0o750);
    ask(&place).says("error", "nginx", &["cannot connect", "run cannot be searched by nobody"], "chmod o+x");
    set_mode(&place.path("originals"), 0o750);
    ask(&place).says("warning", "nginx", &["cannot read originals"], "chmod o+x");

    place.check_by(tintype(), &["--nginx-user", "no-such-user"]).says(
        "error",
        "nginx",
        &["no user no-such-user"],
        "ps -o user=",
    );
}
