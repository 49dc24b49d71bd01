//! The playground and the status page in a browser: `tests/browser/README.md` says what is tested, and how it is installed.

use std::io::Write;
use std::process::Command;

use crate::common::need::{browser, needs};
use crate::common::{folder, run, tintype};

#[test]
fn pages_work_in_a_browser() {
    needs!(Browser);
    let place = folder();
    let mut command = Command::new("node");
    command.arg(browser()).arg(tintype().get_program());
    // what a failed run leaves for inspection is removed with the folder
    command.env("TMPDIR", place.path());
    let (code, output, errors) = run(&mut command, b"");
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(code, Some(0), "{report}{errors}");
    if report.contains("FAILED") {
        // past the capture of a passed test's output, so that the first failure is seen
        let _ = writeln!(std::io::stderr(), "browser: passed at the second attempt\n{report}{errors}");
    }
}
