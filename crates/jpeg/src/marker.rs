//! Marker codes (ITU T.81 table B.1): the byte behind a 0xFF.

/// For temporary private use in arithmetic coding; has no length.
pub(crate) const TEM: u8 = 0x01;
/// Start of frame: baseline sequential, Huffman coding.
pub(crate) const SOF0: u8 = 0xC0;
/// Start of frame: extended sequential, Huffman coding.
pub(crate) const SOF1: u8 = 0xC1;
/// Start of frame: progressive, Huffman coding.
pub(crate) const SOF2: u8 = 0xC2;
/// The last of the SOFn, of which DHT, JPG and DAC are none.
pub(crate) const SOF15: u8 = 0xCF;
/// Define Huffman tables.
pub(crate) const DHT: u8 = 0xC4;
/// Reserved for extensions.
pub(crate) const JPG: u8 = 0xC8;
/// Define arithmetic conditioning.
pub(crate) const DAC: u8 = 0xCC;
/// Restart 0, the first of eight.
pub const RST0: u8 = 0xD0;
/// Restart 7, the last of eight.
pub(crate) const RST7: u8 = 0xD7;
/// Start of image.
pub(crate) const SOI: u8 = 0xD8;
/// End of image.
pub const EOI: u8 = 0xD9;
/// Start of scan.
pub(crate) const SOS: u8 = 0xDA;
/// Define quantisation tables.
pub(crate) const DQT: u8 = 0xDB;
/// Define number of lines.
pub(crate) const DNL: u8 = 0xDC;
/// Define restart interval.
pub(crate) const DRI: u8 = 0xDD;
/// Application data, the first of sixteen: JFIF.
pub(crate) const APP0: u8 = 0xE0;
/// Application data: EXIF, XMP.
pub(crate) const APP1: u8 = 0xE1;
/// Application data: ICC profiles.
pub(crate) const APP2: u8 = 0xE2;
/// Application data: Adobe's colour transform.
pub(crate) const APP14: u8 = 0xEE;
/// Application data, the last of sixteen.
pub(crate) const APP15: u8 = 0xEF;
/// Comment.
pub(crate) const COM: u8 = 0xFE;
