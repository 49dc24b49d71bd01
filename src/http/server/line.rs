//! The first line of a connection, cut where its URL is too long for anything but being told so.
//!
//! hyper holds a head of 64 KiB at most. A URL beyond would end the connection with a bare 431; what is left of it after
//! this is still too long, and gets the answer of every URL that is.

use tokio::io::ReadBuf;

/// The bytes of a first line that are let through, whatever it says.
const LONGEST: usize = 16 * 1024;

/// How much of the first line has come.
#[derive(Debug, Default)]
pub(super) struct FirstLine {
    seen: usize,
    /// Blanks in what was let through: the URL stands between the first and the second.
    blanks: usize,
    over: bool,
}

impl FirstLine {
    /// Takes out of what was read into `buffer` behind `before` what is too much. Says whether anything is left.
    pub(super) fn cut(&mut self, buffer: &mut ReadBuf<'_>, before: usize) -> bool {
        let end = buffer.filled().len();
        if self.over || end == before {
            return true;
        }
        let new = &mut buffer.filled_mut()[before..];
        let room = LONGEST.saturating_sub(self.seen).min(new.len());
        self.seen = self.seen.saturating_add(new.len());
        self.blanks += new[..room].iter().filter(|&&byte| byte == b' ').count();
        if self.blanks > 1 || new[..room].contains(&b'\n') {
            self.over = true;
            return true;
        }
        // from here on it is the URL, up to the blank behind it
        let rest = &new[room..];
        let kept = rest.iter().position(|byte| matches!(byte, b' ' | b'\r' | b'\n')).unwrap_or(rest.len());
        self.over = kept < rest.len();
        new.copy_within(room + kept.., room);
        buffer.set_filled(end - kept);
        end - kept > before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_urls_stay_too_long_and_no_longer() {
        let check = |url: usize, step: usize| {
            let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(url), "b c".repeat(9000));
            let (mut line, mut got) = (FirstLine::default(), Vec::new());
            for part in head.as_bytes().chunks(step) {
                let mut bytes = vec![0; 9 + part.len()];
                let mut buffer = ReadBuf::new(&mut bytes);
                buffer.put_slice(b"something");
                buffer.put_slice(part);
                let some = line.cut(&mut buffer, 9);
                assert_eq!(some, buffer.filled().len() > 9);
                assert!(buffer.filled().starts_with(b"something"));
                got.extend_from_slice(&buffer.filled()[9..]);
            }
            let got = String::from_utf8(got).expect("ASCII");
            let (first, rest) = got.split_once("\r\n").expect("a line");
            assert_eq!(first.len(), ("GET / HTTP/1.1".len() + url).min(LONGEST + " HTTP/1.1".len()), "{url} {step}");
            assert!(first.ends_with(" HTTP/1.1") && head.ends_with(rest), "{url} {step}");
        };
        for step in [1, 7, 4096, 16_384, 3_000_000] {
            for url in [0, 10, 8192, LONGEST - 6, LONGEST - 5, LONGEST - 4, LONGEST + 9000, 1 << 20] {
                check(url, step);
            }
        }
    }
}
