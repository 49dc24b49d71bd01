//! `tintype check` in circumstances that are really broken: each is made, and the check has to name the cause and the fix.

mod cdn;
mod folders;
mod remote;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::common::need::{as_nobody, memory_cgroups, needs};
use crate::common::{Address, Server, folder, run, testdata, tintype};
use serde_json::Value;

/// The user nobody, and a user id without a name.
const NOBODY: u32 = 65534;
const OTHER_USER: u32 = 12345;

/// A set-up for one test: a folder that others can enter, with originals, and settings.
struct Setup {
    folder: tempfile::TempDir,
    settings: BTreeMap<&'static str, String>,
}

/// The output of a check.
struct Checked {
    code: Option<i32>,
    findings: Vec<Value>,
    all: String,
}

impl Setup {
    fn new() -> Setup {
        let folder = folder();
        set_mode(folder.path(), 0o755);
        let place = Setup { folder, settings: BTreeMap::new() };
        place.folder("originals");
        std::fs::copy(testdata().join("generated/alpha.png"), place.path("originals/a.png")).expect("copied");
        let (root, cache) = (place.path("originals"), place.path("cache"));
        let listen = "127.0.0.1:0".to_owned();
        place.with("SOURCE_ROOT", root.display()).with("CACHE_DIR", cache.display()).with("SERVER_LISTEN", listen)
    }

    fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Setup {
        self.settings.insert(name, value.to_string());
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a folder in it that everyone may read.
    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("made");
        set_mode(&path, 0o755);
        path
    }

    fn check(&self) -> Checked {
        self.check_by(tintype(), &[])
    }

    /// As a user without root's permissions.
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
    let (code, output, stderr) = run(command, b"");
    let all = String::from_utf8_lossy(&output.stdout).into_owned();
    let json: Value = serde_json::from_str(&all).unwrap_or_else(|_| panic!("no JSON: {all}{stderr}"));
    let findings = json["findings"].as_array().expect("findings").clone();
    Checked { code, findings, all }
}

impl Checked {
    /// There is one finding of that level about that setting that says all of this of its cause, and that of its fix.
    #[track_caller]
    fn says(&self, level: &str, about: &str, cause: &[&str], fix: &str) -> &Checked {
        let fits = |finding: &&Value| {
            let text = |name: &str| finding[name].as_str().unwrap_or_default();
            text("level") == level
                && text("about") == about
                && cause.iter().all(|part| text("cause").contains(part))
                && text("fix").contains(fix)
        };
        assert!(
            self.findings.iter().any(|finding| fits(&finding)),
            "no {level} {about} {cause:?} {fix:?} in {}",
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

fn nobody() -> Command {
    let mut command = as_nobody();
    command.arg(tintype().get_program());
    command
}

#[test]
fn sound_setup_is_reported_and_unchanged() {
    let place = Setup::new().with("CACHE_MAX_BYTES", "64MiB").with("CACHE_MIN_FREE", "0");
    let before = listing(place.folder.path());
    let checked = place.check();
    checked.has_no_error();
    // temporary folders lie below /tmp
    checked.says("warning", "cache.dir", &["temporary files"], "/var/cache/tintype");
    checked.says("ok", "cache.dir", &["is writable", "does not exist yet"], "");
    checked.says("ok", "source.root", &["1 files"], "");
    checked.says("ok", "server.listen", &["127.0.0.1:0"], "");
    checked.says("info", "backends", &["webp: libwebp", "SIMD"], "");
    assert_eq!(listing(place.folder.path()), before);
    // the default folder is not made either
    let home = place.folder("home");
    let mut command = tintype();
    command.args(["check", "--json"]).env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache"));
    command.env("CACHE_DIRECTORY", home.join("systemd")).current_dir(place.path("originals"));
    checked_ok(&mut command);
    assert_eq!(listing(&home), Vec::<PathBuf>::new());

    // the same as text
    let mut command = tintype();
    command.arg("check").envs(place.settings.iter().map(|(name, value)| (format!("TINTYPE_{name}"), value)));
    let (code, output, _) = run(&mut command, b"");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("warning  cache.dir: ") && text.contains("\n         fix: cache.dir = "), "{text}");
    assert!(text.lines().last().is_some_and(|line| line.starts_with("no errors, ")), "{text}");
}

fn checked_ok(command: &mut Command) {
    checked(command).says("ok", "settings", &["no settings file"], "");
}

/// The sorted paths of all files and folders below a folder.
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
    let place = Setup::new();
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
        &["/nowhere does not exist"],
        "mkdir -p /nowhere, or use another path",
    );
    assert_eq!(run(tintype().args(["check", "--jsn"]), b"").0, Some(2));
}

#[test]
fn unreadable_settings_file_is_an_error() {
    needs!(Nobody);
    let place = Setup::new();
    let file = place.path("settings.toml");
    std::fs::write(&file, "").expect("written");
    set_mode(&file, 0o600);
    let config = format!("--config={}", file.display());
    let cause = "settings.toml is not readable by nobody (65534)";
    place.check_by(nobody(), &[&config]).says("error", "settings", &[cause, "mode 0600"], "chmod o+r");
}

#[test]
fn playground_that_others_reach_is_reported() {
    let place = Setup::new().with("SERVER_PLAYGROUND", "true");
    assert!(!place.check().all.contains("server.playground"), "only this machine reaches it");
    let place = place.with("SERVER_LISTEN", "0.0.0.0:0");
    let checked = place.check();
    checked
        .says("warning", "server.playground", &["0.0.0.0:0", "names of all originals"], "admin_listen = ")
        .has_no_error();
    let place = place.with("SERVER_ADMIN_LISTEN", "127.0.0.1:0");
    assert!(!place.check().all.contains("server.playground"), "it is on the other listener");
}

#[test]
fn low_limits_are_reported() {
    let place = Setup::new().with("LIMITS_MEMORY", "4MiB");
    place.check().says("warning", "limits.memory", &["less than any render needs"], "limits.memory = ").has_no_error();
    let place = place.with("LIMITS_MEMORY", "16MiB");
    place.check().says("warning", "limits.memory", &["less than photographs need"], "limits.memory = ").has_no_error();
    let place = place.with("LIMITS_MEMORY", "128MiB").with("SECURITY_UPLOAD", "yes");
    place.check().says("warning", "security.upload", &["stay disabled without security.admin_token"], "/dev/urandom");
    let place = place.with("SECURITY_ADMIN_TOKEN", "fifteen letters");
    place.check().says("warning", "security.admin_token", &["15 bytes", "short"], "/dev/urandom");
}

#[test]
fn unavailable_addresses_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address");
    let place = Setup::new().with("SERVER_LISTEN", taken);
    // this test holds the port
    let who = format!("(process {})", std::process::id());
    place.check().says("error", "server.listen", &["is already in use by", &who], "another port");
    let place = place.with("SERVER_LISTEN", "127.0.0.1:0").with("SERVER_ADMIN_LISTEN", taken);
    place.check().says("error", "server.admin_listen", &["is already in use by"], "another port");
    let place = place.with("SERVER_LISTEN", "127.0.0.1:29999").with("SERVER_ADMIN_LISTEN", "127.0.0.1:29999");
    place.check().says("error", "server.admin_listen", &["is the address of server.listen as well"], "another port");
    let place = place.with("SERVER_ADMIN_LISTEN", "");
    let place = place.with("SERVER_LISTEN", "192.0.2.1:8080");
    place.check().says("error", "server.listen", &["is not an address of this machine"], "127.0.0.1:8080");
    let place = place.with("SERVER_LISTEN", "no-such-host.invalid:8080");
    place.check().says("error", "server.listen", &["no-such-host.invalid does not resolve"], "getent hosts");

    let place = place.with("SERVER_LISTEN", format!("unix:/run/{}.sock", "x".repeat(110)));
    place.check().says("error", "server.listen", &["120 bytes", "107"], "unix:/run/tintype/tintype.sock");
    let missing = place.path("run/tintype.sock");
    let place = place.with("SERVER_LISTEN", format!("unix:{}", missing.display()));
    let cause = format!("{} does not exist", place.path("run").display());
    place.check().says("error", "server.listen", &[&cause], "RuntimeDirectory=tintype");
    place.folder("run");
    place.check().says("ok", "server.listen", &["is available"], "");
    std::fs::write(&missing, b"no socket").expect("written");
    place.check().says("error", "server.listen", &["exists and is not a socket"], "remove it");
    std::fs::remove_file(&missing).expect("there");
    drop(std::os::unix::net::UnixListener::bind(&missing).expect("a socket"));
    place.check().says("info", "server.listen", &["stale socket"], "").has_no_error();
}

#[test]
fn socket_in_a_folder_of_another_user_is_an_error() {
    needs!(Nobody);
    let place = Setup::new();
    let socket = place.folder("run").join("tintype.sock");
    let place = place.with("SERVER_LISTEN", format!("unix:{}", socket.display()));
    place.check_as_nobody().says("error", "server.listen", &["is not writable by nobody"], "chown nobody:");
}

#[test]
fn privileged_port_is_an_error() {
    needs!(Nobody, Ports);
    let place = Setup::new().with("SERVER_LISTEN", "127.0.0.1:997");
    place.check_as_nobody().says("error", "server.listen", &["port 997 is privileged"], "CAP_NET_BIND_SERVICE");
}

#[test]
fn running_server_is_recognised() {
    let place = Setup::new();
    let cache = place.path("cache");
    let server = Server::start(&place.path("originals"), &cache);
    let Address::Tcp(address) = server.address else { panic!("TCP") };
    let place = place.with("SERVER_LISTEN", address);
    let checked = place.check();
    let pid = format!("(process {})", server.pid());
    checked.says("info", "cache.dir", &["a running tintype", &pid], "").has_no_error();
    checked.says("ok", "server.listen", &["tintype", &pid, "the running service"], "");
    // the same port, for another cache
    let place = place.with("CACHE_DIR", cache.with_extension("other").display());
    place.check().says("error", "server.listen", &["is already in use by tintype", &pid], "stop it");
    // and what was tried in the folder did not disturb it
    assert_eq!(server.get("/a.png?width=9", &[]).header("cache-status"), "tintype; fwd=uri-miss; stored");
}

#[test]
fn limits_above_the_machine_are_reported() {
    let place = Setup::new().with("LIMITS_MEMORY", "10TiB").with("LIMITS_WORKERS", "4000");
    let checked = place.check();
    checked.says("warning", "limits.memory", &["10TiB", "the OOM killer would end the process"], "limits.memory = ");
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
    let checked = Setup::new().check_by(command, &[]);
    std::fs::remove_dir(&group).expect("nobody is in it");
    checked
        .says("warning", "limits.memory", &["the memory limit of the cgroup is 300.00 MiB"], "MemoryMax=")
        .has_no_error();
}

#[test]
fn exposed_secrets_are_reported() {
    let place = Setup::new();
    let file = place.path("settings.toml");
    let config = format!("--config={}", file.display());
    let text = "[security]\nkeys = [\"aaaaaaaaaaaaaaaaaaaaaaaa\"]\nadmin_token = \"short\"\n[server]\nlisten = \"0.0.0.0:0\"\n";
    std::fs::write(&file, text).expect("written");
    let mut place = place;
    place.settings.remove("SERVER_LISTEN");
    let checked = place.check_by(tintype(), &[&config]);
    checked.says("warning", "security", &["contains secrets", "is world-readable"], "chmod o-rwx");
    checked.says("warning", "security.keys", &["fewer than 8"], "/dev/urandom");
    checked.says("warning", "security.admin_token", &["short"], "/dev/urandom");
    checked
        .says("warning", "server.listen", &["reachable from other machines without TLS"], "server.admin_listen")
        .has_no_error();
    assert!(!checked.all.contains("aaaaaaaa"), "a secret is shown");
    set_mode(&file, 0o640);
    place.check_by(tintype(), &[&config]).says("ok", "security", &["is not world-readable"], "");
}

#[test]
fn original_from_the_future_is_reported() {
    let place = Setup::new();
    let file = std::fs::File::options().write(true).open(place.path("originals/a.png")).expect("there");
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400 * 400)).expect("it is ours");
    place.check().says("warning", "clock", &["a.png", "in the future"], "touch").has_no_error();
}

#[test]
fn permissions_of_nginx_are_checked() {
    needs!(Root);
    let place = Setup::new();
    let ask = |place: &Setup| place.check_by(tintype(), &["--nginx-user", "nobody"]);
    let socket = place.folder("run").join("tintype.sock");
    let place = place.with("SERVER_LISTEN", format!("unix:{}", socket.display()));
    let checked = ask(&place);
    checked.says("error", "nginx", &["will not be able to connect", "mode 0660"], "User=tintype");
    checked.says("ok", "nginx", &["can read originals"], "");
    checked.says("warning", "nginx", &["cannot read renditions", "mode 0750"], "usermod -aG tintype nobody");
    let place = place.with("SERVER_X_ACCEL", "/_tintype_store");
    ask(&place).says("error", "nginx", &["cannot read renditions", "server.x_accel"], "usermod -aG tintype nobody");

    let server =
        Server::start_with(&place.path("originals"), &place.path("cache"), &place.settings["SERVER_LISTEN"], &[]);
    assert_eq!(server.get("/a.png?width=9", &[]).status, 200);
    server.wait_for("tintype_cache_stored_total", 1.0);
    ask(&place).says("error", "nginx", &["cannot connect", "needs write permission", "0660"], "User=tintype");
    chown(&socket, None, Some(NOBODY)).expect("root may");
    for path in [place.path("cache"), place.path("cache/v2")].iter().chain(&listing(&place.path("cache"))) {
        chown(path, None, Some(NOBODY)).expect("root may");
    }
    let checked = ask(&place);
    checked.says("ok", "nginx", &["can connect to"], "");
    checked.says("ok", "nginx", &["can read renditions"], "").has_no_error();
    set_mode(&place.path("run"), 0o750);
    ask(&place).says("error", "nginx", &["cannot connect", "run is not searchable by nobody"], "chmod o+x");
    set_mode(&place.path("originals"), 0o750);
    ask(&place).says("warning", "nginx", &["cannot read originals"], "chmod o+x");

    place.check_by(tintype(), &["--nginx-user", "no-such-user"]).says(
        "error",
        "nginx",
        &["no user no-such-user"],
        "ps -o user=",
    );
}
