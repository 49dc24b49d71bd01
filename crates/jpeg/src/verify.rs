//! Checks that all image data of a file is there and can be decoded, MCU by MCU, as libjpeg decodes it.
//!
//! libjpeg reports only the first of its warnings, and some warnings say nothing about the image data: faults behind such a one are
//! found here. No sample is computed, so that this takes a part of the time of decoding; only files that a decoder complains about
//! are checked.

mod symbols;

use crate::huffman_codes::HuffmanCodes;
use crate::marker::{RST0, RST7};
use crate::structure::{FileStructure, Scan};
use symbols::SymbolReader;

/// The first fault of the image data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// The scan, from 0.
    pub scan: usize,
    /// MCUs of the scan before the fault.
    pub mcus: usize,
    /// The first row of samples that the fault affects.
    pub row: u32,
}

/// The kind of a fault in the entropy-coded data or between scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A marker or the end of the file comes before all MCUs of a scan were read.
    Truncated,
    /// Bits that are no Huffman code.
    BadCode,
    /// A restart marker with another number than is due.
    WrongRestart,
    /// Bytes that belong to no MCU, before a restart or between two scans.
    ExtraneousData,
    /// A scan that does not continue what earlier ones have sent.
    BadProgression,
}

/// The bytes that libjpeg holds, of which it does not notice that they are left over.
const HELD: usize = 8;

/// Reads all scans of a file. If `strict`, not a byte may be left over; else no more than libjpeg does not notice.
///
/// # Errors
/// The first fault.
pub fn verify(bytes: &[u8], file: &FileStructure, strict: bool) -> Result<(), Fault> {
    // by component and block, the set of nonzero coefficients, which later scans must know
    let mut nonzero: Vec<Vec<u64>> = file
        .components
        .iter()
        .map(|component| if file.is_progressive { vec![0; component.columns * component.rows] } else { Vec::new() })
        .collect();
    for (number, scan) in file.scans.iter().enumerate() {
        let mut reader = ScanReader {
            data: SymbolReader::new(&bytes[scan.data_start..scan.data_end]),
            is_progressive: file.is_progressive,
            strict,
            scan,
            left: if scan.restart_interval == 0 { usize::MAX } else { scan.restart_interval },
            restart: 0,
            eob_run: 0,
        };
        let is_last = number + 1 == file.scans.len();
        reader.read(file, &mut nonzero, is_last).map_err(|(kind, mcus, row)| Fault {
            kind,
            scan: number,
            mcus,
            row,
        })?;
    }
    Ok(())
}

/// The state while one scan is read.
struct ScanReader<'a> {
    data: SymbolReader<'a>,
    is_progressive: bool,
    strict: bool,
    scan: &'a Scan,
    /// MCUs until the next restart.
    left: usize,
    /// The number of the next restart, 0 to 7.
    restart: u8,
    /// How many more blocks have no codes in the band.
    eob_run: u32,
}

impl ScanReader<'_> {
    fn read(
        &mut self, file: &FileStructure, nonzero: &mut [Vec<u64>], is_last: bool,
    ) -> Result<(), (FaultKind, usize, u32)> {
        let scan = self.scan;
        if !scan.is_in_order {
            return Err((FaultKind::BadProgression, 0, 0));
        }
        // an MCU of a scan that is not interleaved is one block (§A.2.2)
        let is_interleaved = !matches!(scan.components[..], [_]);
        let first = &file.components[scan.components[0].component];
        let h_max = file.components.iter().map(|component| component.h).max().unwrap_or(1);
        let v_max = file.components.iter().map(|component| component.v).max().unwrap_or(1);
        let (columns, rows) = if is_interleaved {
            ((file.size.width as usize).div_ceil(8 * h_max), (file.size.height as usize).div_ceil(8 * v_max))
        } else {
            (first.columns, first.rows)
        };
        let mcu_height = if is_interleaved { 8 * v_max } else { 8 * v_max / first.v };
        for y in 0..rows {
            for x in 0..columns {
                let at = |kind| (kind, y * columns + x, (y * mcu_height) as u32);
                self.restart_if_due().map_err(at)?;
                self.read_mcu(file, nonzero, (x, y), is_interleaved).map_err(at)?;
                self.left -= 1;
            }
        }
        // data between the last scan and EOI is ignored
        if is_last || self.is_used_up() {
            return Ok(());
        }
        Err((FaultKind::ExtraneousData, columns * rows, file.size.height))
    }

    /// Reads the restart marker where one is due (§E.2.4).
    fn restart_if_due(&mut self) -> Result<(), FaultKind> {
        if self.left > 0 {
            return Ok(());
        }
        if !self.is_used_up() {
            return Err(FaultKind::ExtraneousData);
        }
        let due = RST0 + self.restart;
        match self.data.read_marker() {
            Some(marker) if marker == due => {}
            Some(RST0..=RST7) => return Err(FaultKind::WrongRestart),
            _ => return Err(FaultKind::Truncated),
        }
        (self.left, self.restart, self.eob_run) = (self.scan.restart_interval, (self.restart + 1) & 7, 0);
        Ok(())
    }

    /// Whether nothing but padding is left before the next marker. Some encoders end scans with a byte too many.
    fn is_used_up(&mut self) -> bool {
        let (held, start) = (self.data.discard_bits(), self.data.position);
        let rest = self.data.skip_to_marker();
        if self.strict { held && rest } else { rest || self.data.position - start <= HELD }
    }

    fn read_mcu(
        &mut self, file: &FileStructure, nonzero: &mut [Vec<u64>], (x, y): (usize, usize), is_interleaved: bool,
    ) -> Result<(), FaultKind> {
        let scan = self.scan;
        for of_scan in &scan.components {
            let component = &file.components[of_scan.component];
            let blocks = if is_interleaved { component.h * component.v } else { 1 };
            for _ in 0..blocks {
                if scan.ss == 0 {
                    match &of_scan.dc {
                        Some(dc) => {
                            let size = self.data.decode(dc)?;
                            self.data.receive(size)?;
                        }
                        None => {
                            self.data.receive(1)?;
                        }
                    }
                }
                let Some(ac) = &of_scan.ac else { continue };
                if !self.is_progressive {
                    self.read_ac(ac)?;
                    continue;
                }
                // AC scans have one component
                let nonzero = &mut nonzero[of_scan.component][y * component.columns + x];
                if scan.refine { self.read_ac_refine(ac, nonzero)? } else { self.read_ac_first(ac, nonzero)? }
            }
        }
        Ok(())
    }

    /// The AC coefficients of a block of a sequential file (§F.2.2.2).
    fn read_ac(&mut self, codes: &HuffmanCodes) -> Result<(), FaultKind> {
        let mut k = 1;
        while k < 64 {
            let symbol = self.data.decode(codes)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            if size == 0 && run != 15 {
                break;
            }
            self.data.receive(size)?;
            k += run + 1;
        }
        Ok(())
    }

    /// The first scan of the AC coefficients of a block (§G.1.2.2).
    fn read_ac_first(&mut self, codes: &HuffmanCodes, nonzero: &mut u64) -> Result<(), FaultKind> {
        if self.eob_run > 0 {
            self.eob_run -= 1;
            return Ok(());
        }
        let mut k = self.scan.ss as u32;
        while k <= self.scan.se as u32 {
            let symbol = self.data.decode(codes)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            if size == 0 && run != 15 {
                self.eob_run = (1 << run) + self.data.receive(run)? - 1;
                break;
            }
            k += run;
            if size > 0 {
                self.data.receive(size)?;
                // libjpeg puts coefficients beyond the block into its last place
                *nonzero |= 1 << k.min(63);
            }
            k += 1;
        }
        Ok(())
    }

    /// A refinement scan of the AC coefficients of a block (§G.1.2.3).
    fn read_ac_refine(&mut self, codes: &HuffmanCodes, nonzero: &mut u64) -> Result<(), FaultKind> {
        let (mut k, se) = (self.scan.ss as u32, self.scan.se as u32);
        if self.eob_run == 0 {
            while k <= se {
                let symbol = self.data.decode(codes)?;
                let (mut run, size) = (symbol >> 4, symbol & 15);
                if size > 1 {
                    return Err(FaultKind::BadCode);
                }
                if size == 1 {
                    self.data.receive(1)?;
                } else if run != 15 {
                    self.eob_run = (1 << run) + self.data.receive(run)?;
                    break;
                }
                while k <= se {
                    if *nonzero >> k & 1 == 1 {
                        self.data.receive(1)?;
                    } else if run == 0 {
                        break;
                    } else {
                        run -= 1;
                    }
                    k += 1;
                }
                if size == 1 {
                    *nonzero |= 1 << k.min(63);
                }
                k += 1;
            }
        }
        if self.eob_run > 0 {
            while k <= se {
                self.data.receive((*nonzero >> k.min(63) & 1) as u32)?;
                k += 1;
            }
            self.eob_run -= 1;
        }
        Ok(())
    }
}
