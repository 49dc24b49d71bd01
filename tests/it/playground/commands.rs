//! `tintype explain` and `tintype srcset`.

use crate::common::{Address, Server, folder, run, testdata, tintype};

fn output(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = tintype();
    command.args(arguments).envs(variables.iter().copied());
    let (code, output, said) = run(&mut command, b"");
    (code, String::from_utf8_lossy(&output.stdout).into_owned(), said)
}

#[test]
fn explain_asks_the_running_server() {
    let cache = folder();
    let token = [("TINTYPE_SECURITY_ADMIN_TOKEN", "a token for tests")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &token);
    let Address::Tcp(address) = server.address else { panic!("{:?}", server.address) };
    let listen = address.to_string();
    let ask = |arguments: &[&str], token: &str| {
        let variables = [("TINTYPE_SERVER_LISTEN", listen.as_str()), ("TINTYPE_SECURITY_ADMIN_TOKEN", token)];
        output(&[&["explain"], arguments].concat(), &variables)
    };
    let url = "/photos/coffee.png?w=200&format=auto";
    // with the token, and without one by the playground
    for token in ["a token for tests", ""] {
        let (code, shown, said) = ask(&[url], token);
        assert_eq!(code, Some(0), "{said}");
        for line in [
            "original   png",
            "size       200x133",
            "cache      absent",
            "format     avif",
            "native     /photos/coffee.png?format=auto&width=200",
        ] {
            assert!(shown.lines().any(|shown| shown.starts_with(line)), "{line}: {shown}");
        }
    }
    let (code, shown, said) = ask(&["--json", "--accept", "curl", "http://a.example/photos/coffee.png?w=0"], "");
    assert_eq!(code, Some(0), "{said}");
    let explained: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(explained["problem"]["status"], 400);
    let (code, _, said) = ask(&[url], "a wrong token");
    assert!(code == Some(1) && said.contains("401"), "{said}");
    let (code, _, said) = ask(&["photo"], "");
    assert!(code == Some(2) && said.contains("photo"), "{said}");
}

#[test]
fn explain_says_what_it_needs() {
    let cache = folder();
    let off = [("TINTYPE_SERVER_PLAYGROUND", "false")];
    let server = Server::start_with(&testdata(), cache.path(), "127.0.0.1:0", &off);
    let Address::Tcp(address) = server.address else { panic!("{:?}", server.address) };
    let (code, _, said) = output(&["explain", "/a.jpg"], &[("TINTYPE_SERVER_LISTEN", &address.to_string())]);
    assert!(code == Some(1) && said.contains("security.admin_token") && said.contains("server.playground"), "{said}");
}

#[test]
fn srcset_prints_markup_without_a_server() {
    let root = testdata();
    let root = root.to_str().expect("UTF-8");
    let print = |arguments: &[&str]| output(&[&["srcset", "--root", root], arguments].concat(), &[]);
    let (code, shown, said) =
        print(&["photos/coffee.png", "--width", "300", "--lqip", "--sizes", "50vw", "--base", "https://img.example/"]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "src=\"https://img.example/photos/coffee.png?format=auto&amp;width=320\"",
        " 600w",
        "sizes=\"50vw\"",
        "width=\"300\" height=\"200\" alt=\"\" loading=\"lazy\" decoding=\"async\"",
        "style=\"background: url(data:image/png;base64,",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let (code, shown, said) = print(&[
        "photos/coffee.png",
        "--layout",
        "fixed",
        "--width",
        "96",
        "--height",
        "96",
        "--params",
        "fit=cover&position=smart",
        "--kind",
        "picture",
    ]);
    assert_eq!(code, Some(0), "{said}");
    assert!(shown.contains("height=192&amp;position=smart&amp;width=192 2x") && !shown.contains("sizes="), "{shown}");
    for (arguments, code, text) in [
        (vec!["photos/none.png"], 1, "no such original"),
        (vec!["../secret.png"], 2, "names no original"),
        (vec!["photos/coffee.png", "--params", "fitt=cover"], 2, "fit"),
        (vec!["photos/coffee.png", "--params", "format=jpeg&lossless"], 2, "lossless"),
        (vec!["photos/coffee.png", "--layout", "wide"], 2, "constrained"),
        (vec!["photos/coffee.png", "--width", "0"], 2, "pixel"),
        (vec!["hostile/text.txt"], 1, "image"),
    ] {
        let (found, _, said) = print(&arguments);
        assert!(found == Some(code) && said.contains(text), "{arguments:?}: {found:?} {said}");
    }
}

#[test]
fn srcset_urls_are_signed_with_the_keys_of_the_settings() {
    let root = testdata();
    let keys =
        [("TINTYPE_SECURITY_KEYS", "a key of sixteen bytes"), ("TINTYPE_SOURCE_ROOT", root.to_str().expect("UTF-8"))];
    let (code, shown, said) = output(&["srcset", "photos/coffee.png", "--width", "300"], &keys);
    assert_eq!(code, Some(0), "{said}");
    let urls: Vec<&str> = shown.split(['"', ' ', '\n', ',']).filter(|word| word.starts_with("/photos/")).collect();
    assert!(urls.len() > 3 && urls.iter().all(|url| url.contains("&amp;s=")), "{shown}");
}

#[test]
fn help_has_defaults_variables_and_signals() {
    let (code, help, said) = output(&["serve", "--help"], &[]);
    assert_eq!(code, Some(0), "{said}");
    for setting in tintype::config::settings().iter().filter(|setting| setting.flag().is_some()) {
        let default = setting.default.as_str().expect("text");
        let variable = setting.variable().expect("a variable");
        for part in [format!("[env: {variable}]"), format!("[default: {default}")] {
            assert!(help.contains(&part), "{part}: {help}");
        }
    }
    for part in ["SIGHUP", "SIGTERM", "RUST_LOG", "TINTYPE_SECTION_KEY"] {
        assert!(help.contains(part), "{part}: {help}");
    }
    let (_, help, _) = output(&["--help"], &[]);
    for command in ["explain", "srcset", "Exit status"] {
        assert!(help.contains(command), "{command}: {help}");
    }
}
