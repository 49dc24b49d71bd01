//! `make demo`: its pages in Chromium and Firefox, and what is left when it ends.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};

use super::*;
use crate::common::need::demo;
use rustix::process::{Pid, kill_process};

/// `deploy/demo/try`. Ended when dropped.
struct Demo {
    child: Child,
    address: SocketAddr,
}

impl Demo {
    fn start(place: &Path) -> Demo {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        drop(free);
        let mut command = Command::new(shipped("demo/try"));
        command.env("TINTYPE", tintype().get_program()).env("FOLDER", place.join("demo")).env("TMPDIR", place);
        command.env("PORT", address.port().to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("bash");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let mut demo = Demo { child, address };
        let url = format!("http://{address}/");
        // the last line that it prints
        let said: Vec<String> = lines.take_while(|line| !line.contains("Ctrl-C")).collect();
        let opens = said.iter().any(|line| line.trim_start().starts_with("Open") && line.ends_with(&url));
        assert!(opens, "{said:?}, {:?}", demo.child.try_wait());
        demo
    }

    /// Ends it as Ctrl-C does.
    fn end(&mut self) -> Option<i32> {
        if self.child.try_wait().expect("ours").is_none() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).expect("ours");
        }
        self.child.wait().expect("ours").code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.end();
    }
}

#[test]
fn demo_is_shown_without_broken_pictures_and_layout_shifts() {
    needs!(Nginx, Demo);
    let place = folder();
    let mut running = Demo::start(place.path());
    let mut command = Command::new("node");
    command.arg(demo()).arg(running.address.port().to_string());
    // what a failed run leaves for inspection is removed with the folder
    command.env("TMPDIR", place.path());
    let (code, output, errors) = run(&mut command, b"");
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(code, Some(0), "{report}{errors}");
    // both pages, at two sizes of the screen in Chromium and at one in Firefox
    assert_eq!(report.lines().filter(|line| line.contains(" pictures, ")).count(), 9, "{report}");

    assert_eq!(running.end(), Some(0));
    assert!(TcpStream::connect(running.address).is_err(), "nginx has ended");
    let left = std::fs::read_dir(place.path()).expect("a folder").flatten().map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["demo"], "the folder of the socket is removed");
}

/// The page with originals has the same pictures in the same places.
#[test]
fn pages_of_the_demo_agree() {
    let pictures = |name: &str| -> Vec<(String, String)> {
        let page = text_of(&format!("demo/site/{name}"));
        let value = |tag: &str, name: &str| tag.split_once(&format!(" {name}=\"")).map(|(_, rest)| rest.to_owned());
        let images = page.split("<img").skip(1).map(|rest| format!(" {}", rest.replace('\n', " ")));
        let facts = images.map(|tag| {
            let text = |name| value(&tag, name).and_then(|rest| Some(rest.split_once('"')?.0.to_owned()));
            let path = text("src").expect("a source");
            (path.split('?').next().unwrap_or_default().to_owned(), text("alt").expect("a text"))
        });
        facts.collect()
    };
    let originals = pictures("originals.html");
    assert_eq!(pictures("index.html"), originals);
    for (path, _) in originals {
        assert!(crate::common::testdata().join(&path[1..]).exists(), "{path}");
    }
}
