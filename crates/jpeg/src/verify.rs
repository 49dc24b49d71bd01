//! Whether all image data of a JPEG file is there and can be read, unit by unit, as libjpeg reads it.
//!
//! libjpeg tells the first of its warnings alone, and some say nothing about the image data: what comes behind such a one is
//! found here. No sample is computed, so that this takes a part of the time of decoding; only files that a decoder complains
//! about are read.

use crate::codes::Codes;
use crate::scans::{File, RST0, RST7, Scan};

/// The first fault of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub kind: Kind,
    /// Which scan it is in, from 0.
    pub scan: usize,
    /// How many units of the scan are before it.
    pub units: usize,
    /// The first row of the picture that it touches.
    pub row: u32,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A marker or the end of the file comes before all of a scan was read.
    Ends,
    /// Bits that are no code.
    Code,
    /// A restart marker with another number than is due.
    Restart,
    /// Bytes that no unit takes, before a restart or between two scans.
    Surplus,
    /// A scan that does not fit what earlier ones have sent.
    Order,
}

/// So many bytes libjpeg holds, and does not see when they are left over.
const HELD: usize = 8;

/// Reads all scans of a file. If `strict`, not a byte may be left over; else no more than libjpeg does not see.
pub fn verify(bytes: &[u8], file: &File, strict: bool) -> Result<(), Fault> {
    // for each component and block which coefficients are not zero: what a later scan must know of the earlier ones
    let mut nonzero: Vec<Vec<u64>> = file
        .components
        .iter()
        .map(|component| if file.progressive { vec![0; component.columns * component.rows] } else { Vec::new() })
        .collect();
    for (number, scan) in file.scans.iter().enumerate() {
        let mut reader = ScanReader {
            data: Data::new(&bytes[scan.start..scan.end]),
            progressive: file.progressive,
            strict,
            scan,
            left: if scan.interval == 0 { usize::MAX } else { scan.interval },
            restart: 0,
            ended: 0,
        };
        let is_last = number + 1 == file.scans.len();
        reader.read(file, &mut nonzero, is_last).map_err(|(kind, units, row)| Fault {
            kind,
            scan: number,
            units,
            row,
        })?;
    }
    Ok(())
}

/// One scan while it is read.
struct ScanReader<'a> {
    data: Data<'a>,
    progressive: bool,
    strict: bool,
    scan: &'a Scan,
    /// Units until the next restart, and its number.
    left: usize,
    restart: u8,
    /// How many more blocks have no coefficients of their own.
    ended: u32,
}

impl ScanReader<'_> {
    fn read(&mut self, file: &File, nonzero: &mut [Vec<u64>], is_last: bool) -> Result<(), (Kind, usize, u32)> {
        let scan = self.scan;
        if !scan.is_in_order {
            return Err((Kind::Order, 0, 0));
        }
        // a unit of one component is one block (§A.2.2)
        let alone = matches!(scan.parts[..], [_]);
        let first = &file.components[scan.parts[0].component];
        let widest = file.components.iter().map(|component| component.across).max().unwrap_or(1);
        let tallest = file.components.iter().map(|component| component.down).max().unwrap_or(1);
        let (across, down) = if alone {
            (first.columns, first.rows)
        } else {
            ((file.size.width as usize).div_ceil(8 * widest), (file.size.height as usize).div_ceil(8 * tallest))
        };
        let rows_of_unit = if alone { 8 * tallest / first.down } else { 8 * tallest };
        for y in 0..down {
            for x in 0..across {
                let at = |kind| (kind, y * across + x, (y * rows_of_unit) as u32);
                self.pass_restart().map_err(at)?;
                self.unit(file, nonzero, (x, y), alone).map_err(at)?;
                self.left -= 1;
            }
        }
        // what stands before the end of the file is nobody's
        if is_last || self.is_used_up() {
            return Ok(());
        }
        Err((Kind::Surplus, across * down, file.size.height))
    }

    /// Goes past a restart where it is due (§E.2.4).
    fn pass_restart(&mut self) -> Result<(), Kind> {
        if self.left > 0 {
            return Ok(());
        }
        if !self.is_used_up() {
            return Err(Kind::Surplus);
        }
        let due = RST0 + self.restart;
        match self.data.pass_marker() {
            Some(marker) if marker == due => {}
            Some(RST0..=RST7) => return Err(Kind::Restart),
            _ => return Err(Kind::Ends),
        }
        (self.left, self.restart, self.ended) = (self.scan.interval, (self.restart + 1) & 7, 0);
        Ok(())
    }

    /// Whether nothing but filling is left before the next marker. Some encoders end scans with a byte too many.
    fn is_used_up(&mut self) -> bool {
        let (held, start) = (self.data.drop_held(), self.data.at);
        let rest = self.data.pass_filling();
        if self.strict { held && rest } else { rest || self.data.at - start <= HELD }
    }

    fn unit(&mut self, file: &File, nonzero: &mut [Vec<u64>], (x, y): (usize, usize), alone: bool) -> Result<(), Kind> {
        let scan = self.scan;
        for part in &scan.parts {
            let component = &file.components[part.component];
            let blocks = if alone { 1 } else { component.across * component.down };
            for _ in 0..blocks {
                if scan.first == 0 {
                    match &part.means {
                        Some(means) => {
                            let size = self.data.symbol(means)?;
                            self.data.bits(size)?;
                        }
                        None => {
                            self.data.bits(1)?;
                        }
                    }
                }
                let Some(others) = &part.others else { continue };
                if !self.progressive {
                    self.block(others)?;
                    continue;
                }
                // bands are of one component
                let known = &mut nonzero[part.component][y * component.columns + x];
                if scan.finer { self.finer(others, known)? } else { self.band(others, known)? }
            }
        }
        Ok(())
    }

    /// The coefficients of a block of a sequential file, but for the mean (§F.2.2.2).
    fn block(&mut self, codes: &Codes) -> Result<(), Kind> {
        let mut k = 1;
        while k < 64 {
            let symbol = self.data.symbol(codes)?;
            let (zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros != 15 {
                break;
            }
            self.data.bits(size)?;
            k += zeros + 1;
        }
        Ok(())
    }

    /// A band of coefficients of which nothing is known (§G.1.2.2).
    fn band(&mut self, codes: &Codes, known: &mut u64) -> Result<(), Kind> {
        if self.ended > 0 {
            self.ended -= 1;
            return Ok(());
        }
        let mut k = self.scan.first as u32;
        while k <= self.scan.last as u32 {
            let symbol = self.data.symbol(codes)?;
            let (zeros, size) = (symbol >> 4, symbol & 15);
            if size == 0 && zeros != 15 {
                self.ended = (1 << zeros) + self.data.bits(zeros)? - 1;
                break;
            }
            k += zeros;
            if size > 0 {
                self.data.bits(size)?;
                // libjpeg puts what is beyond the block into its last place
                *known |= 1 << k.min(63);
            }
            k += 1;
        }
        Ok(())
    }

    /// One more bit of a band (§G.1.2.3).
    fn finer(&mut self, codes: &Codes, known: &mut u64) -> Result<(), Kind> {
        let (mut k, last) = (self.scan.first as u32, self.scan.last as u32);
        if self.ended == 0 {
            while k <= last {
                let symbol = self.data.symbol(codes)?;
                let (mut zeros, size) = (symbol >> 4, symbol & 15);
                if size > 1 {
                    return Err(Kind::Code);
                }
                if size == 1 {
                    self.data.bits(1)?;
                } else if zeros != 15 {
                    self.ended = (1 << zeros) + self.data.bits(zeros)?;
                    break;
                }
                while k <= last {
                    if *known >> k & 1 == 1 {
                        self.data.bits(1)?;
                    } else if zeros == 0 {
                        break;
                    } else {
                        zeros -= 1;
                    }
                    k += 1;
                }
                if size == 1 {
                    *known |= 1 << k.min(63);
                }
                k += 1;
            }
        }
        if self.ended > 0 {
            while k <= last {
                self.data.bits((*known >> k.min(63) & 1) as u32)?;
                k += 1;
            }
            self.ended -= 1;
        }
        Ok(())
    }
}

/// The bits of a scan.
struct Data<'a> {
    bytes: &'a [u8],
    at: usize,
    /// From the highest bit down, and how many.
    held: u64,
    count: u32,
}

impl<'a> Data<'a> {
    fn new(bytes: &'a [u8]) -> Data<'a> {
        Data { bytes, at: 0, held: 0, count: 0 }
    }

    /// The next byte of data, without what is stuffed in (§B.1.1.5); `None` at a marker, and at the end.
    fn byte(&self) -> Option<(u8, usize)> {
        let &byte = self.bytes.get(self.at)?;
        if byte != 0xFF {
            return Some((byte, self.at + 1));
        }
        // any number of them may stand before a zero or a marker
        let behind = self.at + self.bytes[self.at..].iter().position(|&byte| byte != 0xFF)?;
        (self.bytes[behind] == 0).then_some((0xFF, behind + 1))
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let Some((byte, next)) = self.byte() else { break };
            self.held |= u64::from(byte) << (56 - self.count);
            (self.count, self.at) = (self.count + 8, next);
        }
    }

    /// So many bits, 16 at most.
    fn bits(&mut self, size: u32) -> Result<u32, Kind> {
        if size > self.count {
            self.fill();
            if size > self.count {
                return Err(Kind::Ends);
            }
        }
        let bits = (self.held >> 1 >> (63 - size)) as u32;
        self.held <<= size;
        self.count -= size;
        Ok(bits)
    }

    /// The symbol of the next code.
    fn symbol(&mut self, codes: &Codes) -> Result<u32, Kind> {
        if self.count < 16 {
            self.fill();
        }
        // behind the last bit there are zeros
        match codes.find((self.held >> 48) as u32) {
            Some((length, symbol)) => {
                self.bits(length)?;
                Ok(symbol)
            }
            None if self.count < 16 => Err(Kind::Ends),
            None => Err(Kind::Code),
        }
    }

    /// Drops the bits that are held. Whether they are nothing but what fills them up to a byte, or whole bytes of filling.
    fn drop_held(&mut self) -> bool {
        let (whole, held) = (self.count / 8, self.held << (self.count % 8));
        (self.held, self.count) = (0, 0);
        held.to_be_bytes().iter().take(whole as usize).all(|byte| matches!(byte, 0 | 0xFF))
    }

    /// Goes on to the next marker. Whether there is nothing but filling before it.
    fn pass_filling(&mut self) -> bool {
        let mut is_filling = true;
        while let Some((byte, next)) = self.byte() {
            is_filling &= matches!(byte, 0 | 0xFF);
            self.at = next;
        }
        is_filling
    }

    /// Goes past the marker that stands here and says which one it is.
    fn pass_marker(&mut self) -> Option<u8> {
        let behind = self.at + self.bytes.get(self.at..)?.iter().position(|&byte| byte != 0xFF)?;
        self.at = behind + 1;
        Some(self.bytes[behind])
    }
}
