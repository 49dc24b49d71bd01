//! Inflates the image data of consecutive IDAT or fdAT chunks up to damage.

use fdeflate::Decompressor;
use flate2::{Decompress, FlushDecompress, Status};

use super::chunk::{CRC, Chunk, chunk};

/// The window of zlib in bytes (RFC 1950, §2.2).
pub(super) const WINDOW: usize = 32 << 10;

/// Bytes of the Huffman tables of both inflaters.
pub(super) const INFLATER_MEMORY: usize = 128 << 10;

/// Inflates image data up to damage.
pub(super) struct Inflate<'a> {
    data: ImageData<'a>,
    inflater: Inflater,
    /// Bytes inflated so far.
    written: u64,
    pub(super) fault: Option<&'static str>,
}

enum Inflater {
    Fast(Box<Decompressor>),
    /// Takes over where the fast one fails, since that does not report how much it inflated before the damage.
    Exact(Box<Exact>),
    /// The data have ended.
    Done,
}

impl<'a> Inflate<'a> {
    pub(super) fn new(data: ImageData<'a>) -> Inflate<'a> {
        Inflate { data, inflater: Inflater::Fast(Box::new(Decompressor::new())), written: 0, fault: None }
    }

    /// Inflates into `out` from `at` on, with the window before it; the number of bytes, 0 at the end or without room.
    pub(super) fn read(&mut self, out: &mut [u8], at: usize) -> usize {
        loop {
            let given = match &mut self.inflater {
                Inflater::Fast(fast) => match fast.read(self.data.remaining(), out, at, false) {
                    Ok((taken, given)) => {
                        self.data.consume(taken);
                        if taken == 0 && given == 0 {
                            // excess data are ignored
                            let is_full = at == out.len() && !self.data.remaining().is_empty();
                            if fast.is_done() || is_full || self.data.remaining().is_empty() && !self.data.next_chunk()
                            {
                                self.inflater = Inflater::Done;
                            }
                        }
                        given
                    }
                    Err(_) => {
                        self.data.rewind();
                        self.inflater = Inflater::Exact(Box::new(Exact::skipping(self.written)));
                        0
                    }
                },
                Inflater::Exact(exact) => {
                    let given = exact.read(&mut self.data, &mut out[at..]);
                    if given == 0 {
                        if exact.has_failed {
                            self.fault = Some("the image data are damaged");
                        }
                        self.inflater = Inflater::Done;
                    }
                    given
                }
                Inflater::Done => {
                    if self.data.has_wrong_crc {
                        self.fault = self.fault.or(Some("a CRC of the image data is wrong"));
                    }
                    return 0;
                }
            };
            self.written += given as u64;
            if given > 0 {
                return given;
            }
        }
    }
}

/// Inflates up to the last byte before the damage.
struct Exact {
    inflate: Decompress,
    /// Inflated bytes that were not read. On failure the library drops what does not fit, up to its window.
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes to discard: the fast inflater wrote them.
    skip: u64,
    has_failed: bool,
}

impl Exact {
    fn skipping(skip: u64) -> Exact {
        let buffer = vec![0; 2 * WINDOW];
        Exact { inflate: Decompress::new(true), buffer, at: 0, end: 0, skip, has_failed: false }
    }

    /// Inflates into `out`; the number of bytes, 0 at the end or without room.
    fn read(&mut self, data: &mut ImageData<'_>, out: &mut [u8]) -> usize {
        loop {
            let skipped = (self.end - self.at).min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.at += skipped;
            self.skip -= skipped as u64;
            let given = (self.end - self.at).min(out.len());
            if given > 0 || self.at < self.end {
                out[..given].copy_from_slice(&self.buffer[self.at..self.at + given]);
                self.at += given;
                return given;
            }
            if self.has_failed || !self.refill(data) {
                return 0;
            }
        }
    }

    /// Inflates into the buffer; `false` at the end.
    fn refill(&mut self, data: &mut ImageData<'_>) -> bool {
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let result = self.inflate.decompress(data.remaining(), &mut self.buffer, FlushDecompress::None);
        let taken = (self.inflate.total_in() - before_in) as usize;
        data.consume(taken);
        (self.at, self.end) = (0, (self.inflate.total_out() - before_out) as usize);
        self.has_failed = result.is_err();
        match result {
            Ok(Status::StreamEnd) | Err(_) => self.end > 0,
            Ok(_) => taken > 0 || self.end > 0 || data.remaining().is_empty() && data.next_chunk(),
        }
    }
}

/// The data of consecutive IDAT or fdAT chunks of one picture; other chunks between them are skipped.
pub(super) struct ImageData<'a> {
    file: &'a [u8],
    first: Chunk,
    /// The position of unread data in the current chunk.
    at: usize,
    /// The end of its data.
    end: usize,
    /// Whether the CRC of a chunk is wrong.
    has_wrong_crc: bool,
}

impl<'a> ImageData<'a> {
    /// `first` is the first chunk.
    pub(super) fn from(file: &'a [u8], first: &Chunk) -> ImageData<'a> {
        let mut data = ImageData { file, first: first.clone(), at: 0, end: 0, has_wrong_crc: false };
        data.enter(first);
        data
    }

    fn rewind(&mut self) {
        let first = self.first.clone();
        self.enter(&first);
    }

    fn remaining(&self) -> &'a [u8] {
        &self.file[self.at..self.end]
    }

    fn consume(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Enters the next chunk; `false` where there is none.
    fn next_chunk(&mut self) -> bool {
        let mut next = self.end + CRC;
        while let Some(chunk) = chunk(self.file, next) {
            if chunk.kind == self.first.kind {
                self.enter(&chunk);
                return true;
            }
            if matches!(&chunk.kind, b"IEND" | b"fcTL" | b"fdAT" | b"IDAT" | b"IHDR") {
                return false;
            }
            next = chunk.end();
        }
        false
    }

    fn enter(&mut self, chunk: &Chunk) {
        // the CRC of a truncated chunk is unknown
        let has_crc = chunk.end() <= self.file.len();
        self.has_wrong_crc |= has_crc && !chunk.has_valid_crc(self.file);
        // the data of fdAT begin with a sequence number
        let number = if chunk.kind == *b"fdAT" { 4 } else { 0 };
        (self.at, self.end) = ((chunk.data.start + number).min(chunk.data.end), chunk.data.end);
    }
}
