//! Tests that need more than every machine has. A test whose need is not met is skipped, and says so in a line
//! `skipped: TEST needs WHAT`, which `make test` counts in its closing line; libtest has no such outcome.
//!
//! `TINTYPE_REQUIRE` names the needs that the machine is known to meet, as in `root mounts strace`: the test fails there
//! instead of being skipped. `.ci/run` sets it.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::geteuid;

use super::{cases, corpus, nginx, testdata, tintype};

/// Requirements that a machine may lack.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    /// To change owners and users.
    Root,
    /// To run the program as the user nobody: root, and a build folder that others can reach.
    Nobody,
    /// A mount namespace in which a tmpfs can be mounted.
    Mounts,
    /// strace, and the permission to trace.
    Strace,
    /// A control group with a memory limit can be made.
    Cgroups,
    /// Ports below 1024 are for root alone.
    Ports,
    Nginx,
    /// The libraries of `tests/clients`, Node to run them, and a browser.
    Clients,
    /// Node, Chromium and Firefox, which open the pages of `deploy/demo`.
    Demo,
    /// mdBook; `MDBOOK` may name the program.
    Mdbook,
    /// zsh and fish.
    Shells,
    /// The packages of `tests/browser`, Node to run them, and Chromium.
    Browser,
    /// The corpus of real and hostile images: `TINTYPE_CORPUS`.
    Corpus,
    /// Files out of public reports, beside the corpus.
    Cases,
    /// SeaweedFS (`tests/cluster/install`), and a build with buckets.
    ObjectStore,
}

impl Need {
    /// Its name in `TINTYPE_REQUIRE`.
    fn name(self) -> &'static str {
        match self {
            Need::Root => "root",
            Need::Nobody => "nobody",
            Need::Mounts => "mounts",
            Need::Strace => "strace",
            Need::Cgroups => "cgroups",
            Need::Ports => "ports",
            Need::Nginx => "nginx",
            Need::Clients => "clients",
            Need::Demo => "demo",
            Need::Mdbook => "mdbook",
            Need::Shells => "shells",
            Need::Browser => "browser",
            Need::Corpus => "corpus",
            Need::Cases => "cases",
            Need::ObjectStore => "weed",
        }
    }

    fn is_met(self) -> bool {
        match self {
            Need::Root => geteuid().is_root(),
            Need::Nobody => geteuid().is_root() && nobody_reaches_the_program(),
            Need::Mounts => succeeds(Command::new("unshare").args(namespace_flags()).args([
                "sh",
                "-c",
                "mount -t tmpfs tmpfs /mnt",
            ])),
            Need::Strace => succeeds(Command::new("strace").args(["-qq", "-o", "/dev/null", "true"])),
            Need::Cgroups => can_make_cgroup(),
            Need::Ports => first_unprivileged_port() > 997,
            Need::Nginx => nginx::program().is_some(),
            Need::Clients => succeeds(Command::new("node").arg(clients()).arg("--ready")),
            Need::Mdbook => {
                let program = std::env::var_os("MDBOOK").unwrap_or_else(|| "mdbook".into());
                succeeds(Command::new(program).arg("--version"))
            }
            Need::Shells => ["zsh", "fish"].iter().all(|shell| succeeds(Command::new(shell).args(["-c", "true"]))),
            Need::Demo => succeeds(Command::new("node").arg(demo()).arg("--ready")),
            Need::Browser => succeeds(Command::new("node").arg(browser()).arg("--ready")),
            Need::Corpus => corpus().is_some(),
            Need::Cases => cases().is_some(),
            Need::ObjectStore => cfg!(feature = "buckets") && tintype_testing::object_store::program().is_some(),
        }
    }
}

/// Ends the test here unless all of these are met: `needs!(Root, Mounts);`
macro_rules! needs {
    ($($need:ident),+) => {
        if !($($crate::common::need::check($crate::common::need::Need::$need))&&+) {
            return;
        }
    };
}
pub(crate) use needs;

/// Whether the need is met. Where it is not, the test that asks is reported as skipped.
pub(crate) fn check(need: Need) -> bool {
    let is_met = need.is_met();
    if !is_met {
        let name = need.name();
        let required = std::env::var("TINTYPE_REQUIRE").unwrap_or_default();
        assert!(
            !required.split_whitespace().any(|one| one == name),
            "TINTYPE_REQUIRE names {name}, which is not there"
        );
        report(name);
    }
    is_met
}

/// Writes the line past libtest, which captures only what `print!` writes.
fn report(need: &'static str) {
    static REPORTED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let thread = std::thread::current();
    let line = format!("skipped: {} needs {need}\n", thread.name().unwrap_or("a test"));
    let mut reported = REPORTED.lock().unwrap_or_else(PoisonError::into_inner);
    if reported.insert(line.clone()) {
        // standard output may be closed
        let _ = std::io::stdout().write_all(line.as_bytes());
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// How `unshare` makes a mount namespace: users other than root need a user namespace around it.
pub(crate) fn namespace_flags() -> &'static [&'static str] {
    if geteuid().is_root() { &["-m"] } else { &["-r", "-m"] }
}

/// Runs a program as the user nobody; only root may.
pub(crate) fn as_nobody() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command
}

/// The program that runs client libraries.
pub(crate) fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/run.mjs")
}

/// The program that opens the pages of the demo.
pub(crate) fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/demo/run.mjs")
}

/// The program that opens the playground and the status page.
pub(crate) fn browser() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/run.mjs")
}

fn nobody_reaches_the_program() -> bool {
    let mut test = as_nobody();
    test.args(["test", "-x"])
        .arg(tintype().get_program())
        .arg("-a")
        .arg("-r")
        .arg(testdata().join("generated/grey.png"));
    succeeds(&mut test)
}

/// The folder of control groups that bound memory, and the name of the file that holds the bound. Version 1 has a
/// hierarchy for each controller.
pub(crate) fn memory_cgroups() -> (&'static Path, &'static str) {
    let first = Path::new("/sys/fs/cgroup/memory");
    if first.join("memory.limit_in_bytes").exists() {
        (first, "memory.limit_in_bytes")
    } else {
        (Path::new("/sys/fs/cgroup"), "memory.max")
    }
}

fn can_make_cgroup() -> bool {
    let (hierarchy, bound) = memory_cgroups();
    let group = hierarchy.join(format!("tintype-need-{}", std::process::id()));
    let made = std::fs::create_dir(&group).and_then(|()| std::fs::write(group.join(bound), "314572800"));
    // it may have been made without the controller
    let _ = std::fs::remove_dir(&group);
    made.is_ok()
}

fn first_unprivileged_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}
