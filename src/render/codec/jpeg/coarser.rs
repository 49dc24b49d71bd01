//! What of a progressive file can be left out when it is scaled down while it is decoded.
//!
//! A progressive file (T.81 Annex G) sends its coefficients in scans, coarse ones first, and decoding them is most of the
//! work: four times that of a sequential file. The last scans hold the lowest bits of the coefficients, which are most of
//! the bytes and the least that can be seen. Where the picture is made smaller they are left out before the decoder
//! sees them.
//!
//! libjpeg smooths blocks whose coefficients are not known to the last bit, for pictures that are still being
//! transmitted. That takes longer than the scan that was left out. A last scan of a few bytes, which says of all blocks that
//! there is nothing to add (one long end-of-band run, §G.1.2.2), tells it that they are complete. It remarks that the
//! order is odd, as its first and only warning about a file that is sound: [`REMARK`].

/// What libjpeg says of the closing scans.
pub(super) const REMARK: &str = "Inconsistent progression sequence";

/// The marker codes that matter here (T.81 table B.1).
const SOF2: u8 = 0xC2;
const SOF10: u8 = 0xCA;
const DHT: u8 = 0xC4;
const DRI: u8 = 0xDD;
const SOS: u8 = 0xDA;
const EOI: u8 = 0xD9;

/// One component of the frame.
struct Component {
    id: u8,
    /// Blocks in a scan of its own.
    blocks: u64,
    /// For the coefficients 1 to 9, at which libjpeg looks: up to which bit they are known, if at all.
    known: [Option<u8>; 9],
}

/// What a scan adds.
struct Scan {
    first: u8,
    last: u8,
    /// The bit that was known before, 0 where nothing was.
    high: u8,
    /// The bit that is known after it.
    low: u8,
}

/// The file without what does not show at that scale; `None` where it is better decoded as it is: it is not progressive,
/// nothing can be left out, or it does not end as it should, which is for the decoder to tell.
pub(super) fn coarser(original: &[u8], eighths: u32) -> Option<Vec<u8>> {
    if eighths > 4 {
        return None;
    }
    let mut out = Vec::with_capacity(original.len());
    out.extend(original.get(..2)?);
    let mut components: Vec<Component> = Vec::new();
    let mut left_out = false;
    let mut at = 2;
    loop {
        // fill bytes may stand before any marker
        let marker_at = at + original.get(at..)?.iter().position(|&byte| byte != 0xFF)?;
        if marker_at == at {
            // something stands between the segments
            return None;
        }
        let marker = original[marker_at];
        if marker == EOI {
            break;
        }
        let length = usize::from(u16::from_be_bytes([*original.get(marker_at + 1)?, *original.get(marker_at + 2)?]));
        let mut end = marker_at + 1 + length;
        let body = original.get(marker_at + 3..end)?;
        let mut keep = true;
        match marker {
            SOF2 => components = read_components(body)?,
            // arithmetic coding is rare and has no runs to close with
            SOF10 => return None,
            0xC0..=0xCF if !matches!(marker, DHT | 0xC8 | 0xCC) => return None,
            SOS => {
                end += scan_length(&original[end..])?;
                let (scan, ids) = read_scan(body)?;
                // the first component is luma where there is chroma at all
                let of_luma = components.first().is_some_and(|luma| ids.contains(&luma.id));
                keep = shows(scan.first, scan.high, scan.low, of_luma, eighths);
                left_out |= !keep;
                if keep {
                    for component in components.iter_mut().filter(|component| ids.contains(&component.id)) {
                        let range = usize::from(scan.first.max(1))..usize::from(scan.last.min(9)) + 1;
                        range.for_each(|coefficient| component.known[coefficient - 1] = Some(scan.low));
                    }
                }
            }
            _ => {}
        }
        if keep {
            out.push(0xFF);
            out.extend(&original[marker_at..end]);
        }
        at = end;
    }
    if !left_out || components.is_empty() {
        return None;
    }
    close(&mut out, &components);
    Some(out)
}

/// Whether a scan adds anything to be seen at so many eighths of the size. Measured by SSIMULACRA2 against the whole file on five photographs
/// of 6 to 13 megapixels: an eighth needs no more than the means of the blocks (100, as it uses nothing else); at a quarter
/// the lowest bits can go (above 96; the two lowest, 94 to 96); at a half only those of chroma can (luma's too, 93 to 95).
pub(super) fn shows(first: u8, high: u8, low: u8, of_luma: bool, eighths: u32) -> bool {
    let is_finest = high > 0 && low == 0;
    if first == 0 {
        return true;
    }
    match eighths {
        0 | 1 => false,
        2 => !is_finest,
        3 | 4 => of_luma || !is_finest,
        _ => true,
    }
}

fn read_components(frame: &[u8]) -> Option<Vec<Component>> {
    let &[_, h1, h0, w1, w0, count, ref table @ ..] = frame else { return None };
    let (width, height) = (u64::from(u16::from_be_bytes([w1, w0])), u64::from(u16::from_be_bytes([h1, h0])));
    let parts = table.get(..usize::from(count) * 3)?;
    let factors = |part: &[u8]| (u64::from(part[1] >> 4), u64::from(part[1] & 15));
    let widest = parts.chunks_exact(3).map(|part| factors(part).0).max()?.max(1);
    let tallest = parts.chunks_exact(3).map(|part| factors(part).1).max()?.max(1);
    let component = |part: &[u8]| {
        let (across, down) = factors(part);
        let blocks = (width * across).div_ceil(widest * 8) * (height * down).div_ceil(tallest * 8);
        Component { id: part[0], blocks, known: [None; 9] }
    };
    Some(parts.chunks_exact(3).map(component).collect())
}

/// A scan's header, and the components that it is of.
fn read_scan(body: &[u8]) -> Option<(Scan, Vec<u8>)> {
    let count = usize::from(*body.first()?);
    let ids = body.get(1..1 + count * 2)?.chunks_exact(2).map(|part| part[0]).collect();
    let &[first, last, bits] = body.get(1 + count * 2..)? else { return None };
    (first <= last && last < 64).then_some((Scan { first, last, high: bits >> 4, low: bits & 15 }, ids))
}

/// How long a scan's data is: up to the next marker that is neither a stuffed zero nor a restart.
pub(super) fn scan_length(data: &[u8]) -> Option<usize> {
    memchr::memchr_iter(0xFF, data).find(|&at| !matches!(data.get(at + 1), Some(0x00 | 0xD0..=0xD7 | 0xFF) | None))
}

/// Adds the scans that end it, and the end.
fn close(out: &mut Vec<u8>, components: &[Component]) {
    // no restarts, which would want markers
    out.extend([0xFF, DRI, 0, 4, 0, 0]);
    // one code of one bit: a run of 2^14 blocks, and as many more as the 14 bits behind it say
    out.extend([0xFF, DHT, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE0]);
    for component in components.iter().filter(|component| component.known != [Some(0); 9]) {
        out.extend([0xFF, SOS, 0, 8, 1, component.id, 0x00, 1, 63, 0x00]);
        const RUN: u64 = (1 << 15) - 1;
        let mut bits = Bits::default();
        for _ in 0..component.blocks.div_ceil(RUN) {
            bits.put(0, 1);
            bits.put((1 << 14) - 1, 14);
        }
        out.extend(bits.finish());
    }
    out.extend([0xFF, EOI]);
}

/// Bits of a scan, with a zero stuffed behind each byte that looks like a marker (T.81 §F.1.2.3).
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u32, count: u32) {
        self.pending = self.pending << count | value;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.pending >> self.count) as u8;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
            self.pending &= (1 << self.count) - 1;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            // padded with ones
            let rest = 8 - self.count;
            self.put((1 << rest) - 1, rest);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sound_progressive_files_are_made_coarser() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/photos");
        let progressive = std::fs::read(root.join("astronaut-progressive.jpg")).expect("a file of testdata");
        for eighths in 1..=4 {
            let coarse = coarser(&progressive, eighths).expect("its last scans are fine ones");
            assert!(coarse.len() < progressive.len(), "{eighths}");
            assert!(coarse.ends_with(&[0xFF, EOI]));
        }
        assert!(coarser(&progressive, 5).is_none());
        // cut off anywhere it is for the decoder to refuse
        for length in (0..progressive.len()).step_by(997).chain([progressive.len() - 1]) {
            assert!(coarser(&progressive[..length], 2).is_none(), "{length} bytes");
        }
        let sequential = std::fs::read(root.join("rocket.jpg")).expect("a file of testdata");
        assert!(coarser(&sequential, 2).is_none());
    }

    #[test]
    fn bits_that_look_like_a_marker_are_stuffed() {
        let mut bits = Bits::default();
        bits.put(0xFF, 8);
        bits.put(1, 1);
        assert_eq!(bits.finish(), [0xFF, 0x00, 0xFF, 0x00]);
    }
}
