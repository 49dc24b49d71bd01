//! Client libraries of other systems: the URLs that they print are answered, and a browser shows their pages.
//! `tests/clients/README.md` says which libraries, and how they are installed.

use std::process::Command;

use crate::common::need::{clients, needs};
use crate::common::{folder, nginx, run, tintype};

#[test]
fn urls_of_client_libraries_are_answered_and_shown() {
    needs!(Clients, Nginx);
    let place = folder();
    let mut command = Command::new("node");
    command.arg(clients()).arg(tintype().get_program()).arg(nginx::program().expect("the test needs nginx"));
    // the files that a failed run leaves for inspection are removed with the folder
    command.env("TMPDIR", place.path());
    let (code, output, errors) = run(&mut command, b"");
    assert_eq!(code, Some(0), "{}{errors}", String::from_utf8_lossy(&output.stdout));
}
