//! Kernels that have no Landlock or seccomp, as strace imitates them, and what is said about it.

use std::process::Command;

use super::ISOLATED;
use crate::common::need::needs;
use crate::common::{Server, folder, run, serve, testdata, tintype};

/// The program under a kernel that has neither.
fn on_an_old_kernel(arguments: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new("strace");
    let calls = "trace=seccomp,landlock_create_ruleset";
    let fault = "inject=seccomp,landlock_create_ruleset:error=ENOSYS";
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", calls, "-e", fault]);
    // the server ends with strace
    command.args(["setpriv", "--pdeathsig", "KILL"]);
    command.arg(tintype().get_program()).args(arguments).envs(settings.iter().copied());
    command
}

#[test]
fn service_renders_itself_where_the_kernel_isolates_nothing() {
    needs!(Strace);
    let cache = folder();
    let server =
        Server::spawn(serve(on_an_old_kernel(&[], &[ISOLATED]), &testdata(), cache.path(), "127.0.0.1:0", &[]));
    let server = server.unwrap_or_else(|log| panic!("{log}"));
    assert_eq!(server.get("/photos/rocket.jpg?w=40", &[]).status, 200);
    assert!(server.log().contains("renders run in this process"), "{}", server.log());
    assert!(server.get("/-/ready", &[]).text().contains("\"isolation\":\"off\""));
    assert_eq!(server.metric("tintype_workers_started_total"), 0.0);
    assert_eq!(server.metric("tintype_workers_recycled_total"), 0.0);
    assert_eq!(server.metric("tintype_worker_failed_starts_total"), 0.0);
}

#[test]
fn service_that_must_isolate_does_not_start_where_the_kernel_cannot() {
    needs!(Strace);
    let (cache, folder) = (folder(), testdata());
    for setting in ["on", "job"] {
        let command = on_an_old_kernel(&[], &[("TINTYPE_SECURITY_ISOLATION", setting)]);
        let mut command = serve(command, &folder, cache.path(), "127.0.0.1:0", &[]);
        let (code, _, stderr) = run(&mut command, b"");
        assert_eq!(code, Some(1), "{setting}: {stderr}");
        assert!(stderr.contains("security.isolation cannot be met"), "{setting}: {stderr}");
    }
}

#[test]
fn layers_are_reported() {
    let cache = folder();
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &[ISOLATED]);
    let text = server.get("/-/metrics", &[]).text();
    assert!(text.contains("tintype_isolation{layer=\"seccomp\"} 1"), "{text}");
    assert!(server.log().contains("renders run in isolated processes"), "{}", server.log());
    assert!(server.get("/-/ready", &[]).text().contains("\"isolation\":\"seccomp"));
    let off = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &[("TINTYPE_SECURITY_ISOLATION", "off")]);
    assert_eq!(off.get("/photos/rocket.jpg?w=41", &[]).status, 200);
    assert_eq!(off.metric("tintype_workers_started_total"), 0.0);
}

#[test]
fn check_says_whether_renders_are_isolated() {
    let (_, output, _) = run(tintype().arg("check").envs([ISOLATED]), b"");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("renders run in processes under seccomp"), "{stdout}");
    let (_, output, _) = run(tintype().arg("check").env("TINTYPE_SECURITY_ISOLATION", "off"), b"");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("a memory error in a codec"), "{stdout}");
}

#[test]
fn worker_command_without_a_parent_fails() {
    let (code, _, stderr) = run(tintype().arg("render-worker"), b"");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("this command is for the service itself"), "{stderr}");
}
