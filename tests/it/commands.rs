//! The commands of the built program: `healthcheck`, `purge`, `cache`, `convert`, `sign`, and usage errors of all.

use std::path::Path;

use crate::common::{Address, Server, folder, poll, run, testdata, tintype};
use tintype::render::Format;

#[test]
fn healthcheck_and_purge_reach_a_running_server() {
    let cache = folder();
    let settings = [("TINTYPE_SECURITY_ADMIN_TOKEN", "a token for tests")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &settings);
    let Address::Tcp(address) = server.address else { panic!("{:?}", server.address) };
    let url = "/generated/alpha.png?width=20";
    assert_eq!(server.get(url, &[]).status, 200);
    // a container listens on every address, and its health check has the same settings
    let listen = format!("0.0.0.0:{}", address.port());
    let ask = |arguments: &[&str], token: &str| {
        let mut command = tintype();
        command.env("TINTYPE_SERVER_LISTEN", &listen).env("TINTYPE_SECURITY_ADMIN_TOKEN", token);
        let (code, output, stderr) = run(command.args(arguments), b"");
        (code, String::from_utf8_lossy(&output.stdout).into_owned(), stderr)
    };
    assert_eq!(ask(&["healthcheck"], "").0, Some(0));
    let (code, _, stderr) = ask(&["purge", "generated/alpha.png"], "another token");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("401"), "{stderr}");
    assert_eq!(server.get(url, &[]).header("cache-status"), "tintype; hit");
    let (code, shown, stderr) = ask(&["purge", "generated/alpha.png"], "a token for tests");
    assert_eq!((code, shown.trim()), (Some(0), "{\"purged\":1}"), "{stderr}");
    assert_eq!(server.get(url, &[]).header("cache-status"), "tintype; fwd=uri-miss; stored");
    let (code, shown, stderr) = ask(&["purge", "generated/"], "a token for tests");
    assert_eq!((code, shown.trim()), (Some(0), "{\"purged\":1}"), "{stderr}");
    assert_eq!(server.stop().code(), Some(0));
    let (code, _, stderr) = ask(&["healthcheck"], "");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&listen), "{stderr}");
}

#[test]
fn cache_stats_and_verify_read_the_folder() {
    let cache = folder();
    let server = Server::start(&testdata(), cache.path());
    for url in ["/generated/alpha.png?width=20", "/generated/alpha.png?width=30", "/photos/coffee.png?width=300"] {
        assert_eq!(server.get(url, &[]).header("cache-status"), "tintype; fwd=uri-miss; stored");
    }
    server.wait_for("tintype_cache_stored_total", 3.0);
    let ask = |what: &str| {
        let mut command = tintype();
        let (code, output, stderr) = run(command.args(["cache", what, "--cache-dir"]).arg(cache.path()), b"");
        (code, String::from_utf8_lossy(&output.stdout).into_owned(), stderr)
    };
    // while the server runs
    let (code, shown, stderr) = ask("stats");
    assert_eq!(code, Some(0), "{stderr}");
    for expected in ["entries      3 of at most 1,000,000 files", "10.00 GiB", "foreign      0", "originals    2"] {
        assert!(shown.contains(expected), "{expected} is not in:\n{shown}");
    }
    assert!(!shown.contains("shared"), "no two are equal:\n{shown}");
    let coffee = shown.find("photos/coffee.png").expect("its name");
    assert!(coffee < shown.find("generated/alpha.png").expect("its name"), "not the largest first:\n{shown}");
    let (code, shown, stderr) = ask("verify");
    assert_eq!((code, shown.as_str()), (Some(0), "3 sound, 0 damaged\n"), "{stderr}");
    assert_eq!(server.stop().code(), Some(0));

    let file = std::fs::read_dir(cache.path().join("v2")).expect("a folder").flatten().find_map(|folder| {
        let mut files = std::fs::read_dir(folder.path()).ok()?.flatten().map(|entry| entry.path());
        files.find(|path| path.extension().is_some())
    });
    let file = file.expect("a rendition");
    let mut bytes = std::fs::read(&file).expect("its bytes");
    bytes[20] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let (code, shown, stderr) = ask("verify");
    assert_eq!(code, Some(1), "{stderr}");
    let name = file.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(shown.contains(&name) && shown.contains("2 sound, 1 damaged"), "{shown}");
    std::fs::remove_dir_all(cache.path().join("v2")).expect("removed");
    let (code, _, stderr) = ask("stats");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("cannot read"), "{stderr}");
}

#[test]
fn convert_writes_files_and_pipes() {
    let place = folder();
    let (input, output) = (testdata().join("photos/coffee.png"), place.path().join("small.webp"));
    let mut command = tintype();
    let (code, _, stderr) = run(command.arg("convert").arg(&input).arg(&output).args(["--width", "120"]), b"");
    assert_eq!(code, Some(0), "{stderr}");
    let file = std::fs::read(&output).expect("the result");
    let info = tintype::render::probe(&file).expect("a picture");
    assert_eq!((info.format, info.size.width, info.size.height), (Format::WebP, 120, 80));

    let original = std::fs::read(&input).expect("the original");
    let mut command = tintype();
    let (code, piped, stderr) = run(command.args(["convert", "-", "-", "--width=120", "--format=webp"]), &original);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(piped.stdout == file, "the same options give other bytes through a pipe");

    // a value may begin with a minus
    let negative = ["--width", "40", "--height", "40", "--fit", "cover", "--offset", "-5,3"];
    let (code, _, stderr) = run(tintype().arg("convert").arg(&input).arg("-").args(negative), b"");
    assert_eq!(code, Some(0), "{stderr}");

    // a failure keeps the earlier result
    let hostile = testdata().join("hostile/png-header-100000.png");
    let mut command = tintype();
    let (code, _, stderr) = run(command.arg("convert").arg(&hostile).arg(&output), b"");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(std::fs::read(&output).expect("the earlier result") == file);
}

#[test]
fn convert_isolated_writes_the_same_bytes() {
    let place = folder();
    let crash = place.path().join("crash.jpg");
    std::fs::write(&crash, "tintype-fault:abort").expect("a file");
    let convert = |input: &Path, options: &[&str]| {
        run(tintype().arg("convert").args(options).arg(input).args(["-", "--width=90", "--format=webp"]), b"")
    };
    for name in ["photos/retina.jpg", "generated/alpha.png", "generated/animated.gif", "photos/large-12mp.jpg"] {
        let (code, there, stderr) = convert(&testdata().join(name), &["--isolate"]);
        assert_eq!(code, Some(0), "{name}: {stderr}");
        assert!(!there.stdout.is_empty() && there.stdout == convert(&testdata().join(name), &[]).1.stdout, "{name}");
    }
    let (code, _, stderr) = convert(&testdata().join("hostile/png-header-100000.png"), &["--isolate"]);
    assert_eq!(code, Some(1), "{stderr}");
    // debug builds commit what such an original says
    let (code, _, stderr) = convert(&crash, &["--isolate"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(!cfg!(debug_assertions) || stderr.contains("the render crashed"), "{stderr}");
}

#[test]
fn usage_errors_exit_with_2_and_a_suggestion() {
    let place = folder();
    let settings = |text: &str| {
        let path = place.path().join("settings.toml");
        std::fs::write(&path, text).expect("a file");
        format!("--config={}", path.display())
    };
    let check = |arguments: &[&str], environment: &[(&str, &str)], meant: &str| {
        let (code, _, stderr) = run(tintype().args(arguments).envs(environment.iter().copied()), b"");
        assert_eq!(code, Some(2), "{arguments:?} {environment:?}: {stderr}");
        assert!(stderr.contains(meant), "{arguments:?} {environment:?}: {stderr}");
    };
    check(&["sreve"], &[], "serve");
    check(&["serve", "--lisen", "127.0.0.1:0"], &[], "--listen");
    check(&["config"], &[("TINTYPE_CACHE_MAX_BITES", "1GiB")], "TINTYPE_CACHE_MAX_BYTES");
    check(&["serve"], &[("TINTYPE_LIMITS_DEADLINE", "30")], "30s");
    check(&["serve", &settings("[cashe]\nmax_bytes = \"1GiB\"\n")], &[], "[cache]");
    check(&["serve", &settings("[limits]\nmax_pixel = 1\n")], &[], "max_pixels");
    check(&["serve", &settings("[output]\nquality = 101\n")], &[], "output.quality");
    check(&["serve", "--config=/nowhere/settings.toml"], &[], "/nowhere/settings.toml");
    check(&["serve", "--cache-size=10apples"], &[], "10GiB");
    check(&["convert", "in.png", "out.webp", "--qualty", "3"], &[], "--quality");
    check(&["convert", "in.png", "out.webp", "--format", "wepb"], &[], "webp");
    check(&["convert", "in.png", "out.webp", "--width", "0"], &[], "width");
}

#[test]
fn cache_folder_among_the_originals_is_refused() {
    let place = folder();
    let root = place.path().join("pictures");
    std::fs::create_dir(&root).expect("a folder");
    std::os::unix::fs::symlink(&root, place.path().join("link")).expect("a link");
    let check = |root: &Path, cache: &Path| {
        let mut command = tintype();
        command.arg("serve").arg(root).arg("--cache-dir").arg(cache).args(["--listen", "127.0.0.1:0"]);
        let (code, _, stderr) = run(&mut command, b"");
        assert_eq!(code, Some(2), "{}: {stderr}", cache.display());
        assert!(stderr.contains("--cache-dir"), "{stderr}");
    };
    check(&root, &root);
    check(&root, &root.join("not/there/yet"));
    check(&root, &place.path().join("link/cache"));
    check(&root, place.path());
    assert_eq!(std::fs::read_dir(&root).expect("a folder").count(), 0, "nothing is made in the refused place");
}

#[test]
fn urls_are_signed_with_keys_from_a_file() {
    let place = folder();
    let keys = place.path().join("keys");
    std::fs::write(&keys, "# the one that signs\n0123456789abcdef\nfedcba9876543210\n").expect("written");
    let environment = [("TINTYPE_SECURITY_KEYS_FILE", keys.to_str().expect("text"))];
    let sign = |arguments: &[&str], input: &str| {
        let (code, output, stderr) = run(tintype().arg("sign").args(arguments).envs(environment), input.as_bytes());
        let lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        (code, lines, stderr)
    };
    let (code, lines, stderr) =
        sign(&["/generated/alpha.png?w=20", "-"], "https://a.example/x%20y.png?w=1\n\n/b.png\n");
    assert_eq!((code, lines.len()), (Some(0), 3), "{stderr}");
    assert!(lines[0].starts_with("/generated/alpha.png?width=20&s="), "{lines:?}");
    assert!(lines[1].starts_with("https://a.example/x%20y.png?width=1&s="), "{lines:?}");
    assert!(lines[2].starts_with("/b.png?s="), "{lines:?}");
    let (_, until, stderr) = sign(&["--expires", "4102444800", "/generated/alpha.png"], "");
    assert!(until[0].starts_with("/generated/alpha.png?expires=4102444800&s="), "{until:?} {stderr}");
    let (_, hour, stderr) = sign(&["--expires=1h", "/generated/alpha.png?w=20"], "");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let second = hour[0].split(['=', '&']).nth(1).and_then(|text| text.parse::<u64>().ok()).expect("a second");
    assert!((now + 3000..now + 3601).contains(&second), "{hour:?} {stderr}");
    for wrong in [&["--expires=soon", "/a.png"][..], &["a.png"], &["/a.png?w=0"], &["/a.png?expires=1", "--expires=1h"]]
    {
        assert_eq!(sign(wrong, "").0, Some(2), "{wrong:?}");
    }

    let cache = folder();
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &environment);
    assert_eq!(server.get(&lines[0], &[]).status, 200);
    assert_eq!(server.get(&hour[0], &[]).status, 200);
    server.get("/generated/alpha.png?w=20", &[]).assert_problem(403);
    poll("a warning", || server.log().contains("is world-readable").then_some(()));
    assert!(!server.log().contains("0123456789abcdef"));
    std::fs::write(&keys, "short\n").expect("written");
    let (code, _, stderr) =
        run(tintype().args(["serve", "--listen=127.0.0.1:0"]).arg(testdata()).envs(environment), b"");
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("line 1") && !stderr.contains("short"), "{stderr}");
}
