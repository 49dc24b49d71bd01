//! Fault injection, in debug builds alone: an original that begins with `tintype-fault:` makes a worker do what a codec that was
//! taken over could do, or what a broken one does. Tests send such originals.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::stdio::stdin;
use tintype_isolation::{Answers, Canceller};

/// The beginning of such an original.
const MAGIC: &[u8] = b"tintype-fault:";

/// More than an answer may have.
const HUGE: usize = 16 << 20;

/// Does what the original says.
pub(super) fn inject(original: &[u8], canceller: &Canceller, answers: &mut Answers) -> io::Result<()> {
    let Some(fault) = original.strip_prefix(MAGIC) else { return Ok(()) };
    match fault {
        b"abort" => std::process::abort(),
        b"overflow" => drop(overflow(0)),
        b"loop" => endless(),
        b"chatter" => chatter(canceller)?,
        b"allocate" => drop(std::hint::black_box(vec![1_u8; 4 << 30])),
        b"open" => drop(std::fs::read("/etc/passwd")),
        b"connect" => drop(std::net::TcpStream::connect("127.0.0.1:9")),
        b"fork" => drop(Command::new("/bin/true").status()),
        b"exec" => drop(Command::new("/bin/true").exec()),
        b"huge" => answers.send(&[&vec![0; HUGE]])?,
        b"garbage" => answers.send(&[&[255; 100]])?,
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    }
    Ok(())
}

/// Fills the stack.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn overflow(depth: u64) -> [u64; 512] {
    let frame = std::hint::black_box([depth; 512]);
    let mut deeper = overflow(depth + 1);
    deeper[0] += frame[1];
    std::hint::black_box(deeper)
}

/// Sends empty answers without an end, once the job is cancelled.
fn chatter(canceller: &Canceller) -> io::Result<()> {
    while !canceller.is_cancelled() {}
    loop {
        rustix::io::write(stdin(), &[5, 0, 0, 0, 0].repeat(8192))?;
    }
}

fn endless() {
    let mut count = 0_u64;
    while std::hint::black_box(count) < u64::MAX {
        count += 1;
    }
}
