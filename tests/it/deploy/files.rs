//! The service manager, `deploy/install`, and the files of `deploy/` among each other.

use super::*;

#[test]
fn service_manager_is_notified_of_start_and_stop() {
    let place = SiteFolder::new();
    let manager = place.0.path().join("notify");
    let notified = UnixDatagram::bind(&manager).expect("a socket");
    notified.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let next = || {
        let mut buffer = [0; 512];
        let count = notified.recv(&mut buffer).expect("it says something");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let manager = manager.to_str().expect("UTF-8");
    let mut server = place.tintype(&[("NOTIFY_SOCKET", manager), ("WATCHDOG_USEC", "60000")]);
    assert_eq!(next(), "READY=1\n");
    assert_eq!(Connection::open(&Address::Unix(place.socket())).ask("GET", "/-/ready", &[]).status, 200);
    assert_eq!((next(), next()), ("WATCHDOG=1\n".to_owned(), "WATCHDOG=1\n".to_owned()));
    server.signal(Signal::TERM);
    while next() != "STOPPING=1\n" {}
    assert!(server.wait().success());
}

/// Every file below a folder, with its bytes.
fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => {
                    files.push((path.strip_prefix(root).expect("below").to_owned(), std::fs::read(&path).expect("it")))
                }
            }
        }
    }
    files.sort();
    files
}

#[test]
fn install_keeps_changed_settings() {
    let root = folder();
    // a small stand-in that writes the manual
    let program = root.path().join("program");
    let writes = "#!/bin/sh\n[ $1 != man ] || { mkdir $2 && touch $2/tintype.1 $2/tintype-serve.1; }\n";
    std::fs::write(&program, writes).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let root = root.path().join("root");
    std::fs::create_dir(&root).expect("a folder");
    let install = |more: &[&str]| {
        let mut command = Command::new("sh");
        command.arg(shipped("install")).arg("--root").arg(&root).arg("--binary").arg(&program).args(more);
        let (code, output, stderr) = run(&mut command, b"");
        assert_eq!(code, Some(0), "{stderr}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let count = |list: &str, what: &str| list.lines().filter(|line| line.starts_with(&format!("{what} "))).count();

    let list = install(&["--dry-run"]);
    assert!(tree(&root).is_empty());
    assert_eq!(count(&list, "new"), 14, "{list}");
    assert_eq!(count(&install(&[]), "new"), 14);
    let first = tree(&root);
    assert_eq!(first.len(), 15, "with the record");
    let unit = std::fs::read_to_string(root.join("usr/local/lib/systemd/system/tintype.service")).expect("the unit");
    assert!(unit.contains("ExecStart=/usr/local/bin/tintype serve --config /etc/tintype/tintype.toml\n"));
    assert_eq!(count(&install(&[]), "same"), 14);
    assert!(tree(&root) == first);

    // a new program replaces the old one; changed settings stay
    std::fs::write(&program, format!("{writes}# newer\n")).expect("a file");
    let settings = root.join("etc/tintype/tintype.toml");
    std::fs::write(&settings, "# mine\n").expect("a file");
    for _ in 0..2 {
        let list = install(&["--dry-run"]);
        assert_eq!(count(&list, "kept"), 1, "{list}");
        install(&[]);
        assert_eq!(std::fs::read_to_string(&settings).expect("it"), "# mine\n");
        let new = std::fs::read_to_string(settings.with_extension("toml.new")).expect("it");
        assert_eq!(new, text_of("tintype.toml"));
        assert!(std::fs::read_to_string(root.join("usr/local/bin/tintype")).expect("it").contains("newer"));
    }
    install(&["--uninstall"]);
    let left: Vec<PathBuf> = tree(&root).into_iter().map(|(path, _)| path).collect();
    assert_eq!(left, ["etc/tintype/tintype.toml", "etc/tintype/tintype.toml.new"].map(PathBuf::from));
}

#[test]
fn deployment_files_agree_with_the_program() {
    let networks = |text: &str| -> BTreeSet<String> {
        let is_network = |word: &&str| {
            word.rsplit_once('/').is_some_and(|(address, bits)| {
                address.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok() && address != "fe80::"
            })
        };
        text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';'))
            .filter(is_network)
            .map(str::to_owned)
            .collect()
    };
    let trusted = networks(&text_of("nginx-cloudflare.conf"));
    assert_eq!(trusted.len(), 22);
    for name in ["nftables.conf", "iptables.rules", "Caddyfile"] {
        assert_eq!(networks(&text_of(name)), trusted, "{name}");
    }

    let unit = text_of("tintype.service");
    let option = |name: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}"))
    };
    let seconds = |name: &str| option(name).trim_end_matches('s').parse::<u64>().expect("seconds");
    let defaults = tintype::config::Config::default();
    assert!(seconds("TimeoutStopSec") > defaults.fixed.server.shutdown_timeout.0.as_secs() + 5);
    assert_eq!((option("Type"), option("ExecReload")), ("notify", "/bin/sh -c 'kill -HUP $MAINPID'"));
    assert_eq!(seconds("WatchdogSec"), 30);
    let settings: toml::Table = text_of("tintype.toml").parse().expect("TOML");
    assert_eq!(settings["source"]["root"].as_str(), Some("/srv/images"));
    let socket = settings["server"]["listen"].as_str().expect("an address");
    // the settings and the site name the socket that systemd keeps open, and it outlives the service
    let kept = text_of("tintype.socket");
    let has = |line: &str| kept.lines().any(|this| this == line);
    assert!(has(&format!("ListenStream={}", socket.trim_start_matches("unix:"))));
    assert!(has("SocketMode=0660") && has("SocketGroup=tintype") && has("FileDescriptorName=tintype"));
    assert_eq!(defaults.fixed.server.socket_mode.to_string(), "0660");
    assert_eq!((option("RuntimeDirectory"), option("RuntimeDirectoryPreserve")), ("tintype", "yes"));
    // tintype trusts the client addresses of the site, which overwrites those that clients claim
    assert_eq!(settings["server"]["real_ip_from"].as_array().map(Vec::len), Some(1));
    assert!(text_of("nginx.conf").contains("proxy_set_header X-Forwarded-For $remote_addr;"));
    assert_eq!(defaults.fixed.server.real_ip_header, "X-Forwarded-For");
    assert!(text_of("nginx.conf").contains(&format!("server {socket} ")));
    // a credential whose file is missing would keep the service from starting
    let credentials: Vec<&str> = unit.lines().filter_map(|line| line.strip_prefix("LoadCredential=")).collect();
    assert_eq!(credentials.len(), 2);
    for (name, path) in credentials.iter().map(|one| one.split_once(':').expect("a name and a path")) {
        assert!(text_of("tmpfiles.d/tintype.conf").contains(&format!("f {path} ")), "{path}");
        assert!(text_of("tintype.toml").contains(&format!("_file = \"{name}\"")), "{name}");
    }
    let mut config = tintype();
    let (code, output, stderr) = run(config.arg("config").arg("--config").arg(shipped("tintype.toml")), b"");
    assert_eq!(code, Some(0), "{stderr}");
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(shown.contains(&format!("listen = \"{socket}\"")), "{shown}");
    assert!(text_of("sysusers.d/tintype.conf").lines().any(|line| line.starts_with("u tintype ")));

    // the files of the package
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let deb = &manifest["package"]["metadata"]["deb"];
    let makefile = std::fs::read_to_string(root.join("Makefile")).expect("the Makefile");
    let mut places = BTreeSet::new();
    for asset in deb["assets"].as_array().expect("a list") {
        let (from, to) = (asset[0].as_str().expect("a path"), asset[1].as_str().expect("a path"));
        // the program is built later; `*.md` is a pattern
        let is_there = from.starts_with("target/") || root.join(from.replace("*.md", "")).exists();
        if let Some(made) = from.strip_prefix("target/release/manual/") {
            assert!(makefile.contains(made.trim_start_matches("*.")), "{made} is made by `make deb`");
        }
        assert!(is_there, "{from}");
        let name = if to.ends_with('/') { from.rsplit('/').next().unwrap_or_default() } else { "" };
        places.insert(format!("/{to}{name}"));
    }
    let manual = unit.lines().find_map(|line| line.strip_prefix("Documentation=file:///usr/share/doc/tintype/"));
    assert!(root.join(manual.expect("a manual")).exists(), "{manual:?}");
    for file in deb["conf-files"].as_array().expect("a list") {
        assert!(places.contains(file.as_str().expect("a path")), "{file}");
    }
    assert!(places.contains("/usr/bin/tintype"), "as the unit says");
    // its scripts call them, and a bare system has neither
    for tool in ["sysusers", "tmpfiles"] {
        assert!(deb["depends"].as_str().expect("a list").contains(&format!("systemd | systemd-standalone-{tool}")));
    }
    assert!(unit.contains("ExecStart=/usr/bin/tintype serve "));
}
