//! The table of image formats: names, extensions, media types, capabilities.

use serde::{Deserialize, Serialize};

/// An image format that tintype knows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Format {
    /// JPEG (ITU-T T.81).
    Jpeg,
    /// PNG and its animated form APNG (W3C PNG, third edition).
    Png,
    /// GIF 87a and 89a.
    Gif,
    /// WebP (RFC 9649).
    WebP,
    /// AV1 Image File Format.
    Avif,
    /// Windows bitmap.
    Bmp,
    /// TIFF 6.0.
    Tiff,
    /// Windows icon and cursor.
    Ico,
    /// Portable anymap: PBM, PGM, PPM and PAM.
    Pnm,
    /// Quite OK Image.
    Qoi,
    /// JPEG XL (ISO/IEC 18181).
    Jxl,
    /// HEIF with HEVC: recognised so that it can be refused by name.
    Heic,
    /// SVG: passed through untouched, and drawn where a format of pixels is named.
    Svg,
}

/// One row of the table behind [`Format`]'s methods. A new format is a variant, a row, and a module in `tintype-codecs`.
struct Row {
    format: Format,
    name: &'static str,
    extension: &'static str,
    media_type: &'static str,
    /// Other names and extensions, in lower case.
    aliases: &'static [&'static str],
    /// Nanoseconds of one core to decode a pixel. These figures are of one machine; only their ratios matter.
    decode_time: f64,
    /// The capabilities of the encoder; `None` for a format that is only read.
    output: Option<Output>,
}

/// The capabilities of a format that tintype writes.
struct Output {
    alpha: bool,
    /// Whether any animation may be written in it.
    animation: bool,
    /// Whether it is written without loss on request.
    lossless: bool,
    /// Whether every pixel is kept, whatever the quality.
    ignores_quality: bool,
    /// Whether an ICC profile is written along.
    profile: bool,
    /// Whether every client is assumed to show it, whatever it accepts.
    universal: bool,
    /// Pixels of the longest side that the format can express.
    longest_side: u32,
    /// Bytes of memory that the encoder takes for each pixel: lossy; lossless, or with full chroma.
    memory: [u64; 2],
    /// Nanoseconds of one core to resize and encode a pixel at the fast effort: lossy, lossless.
    time: [f64; 2],
}

/// In the order of the enum, so that a format is its own index; a test holds this.
const TABLE: [Row; 13] = [
    Row {
        format: Format::Jpeg,
        name: "jpeg",
        extension: "jpg",
        media_type: "image/jpeg",
        aliases: &["jpe", "jfif", "pjpg"],
        decode_time: 2.5,
        output: Some(Output {
            alpha: false,
            animation: false,
            lossless: false,
            ignores_quality: false,
            profile: true,
            universal: true,
            // JPEG_MAX_DIMENSION of libjpeg; the format has 65,535
            longest_side: 65_500,
            // coefficients of 4:2:0 or of 4:4:4, and the file
            memory: [4, 10],
            time: [20.0, 20.0],
        }),
    },
    Row {
        format: Format::Png,
        name: "png",
        extension: "png",
        media_type: "image/png",
        aliases: &["apng"],
        decode_time: 10.0,
        output: Some(Output {
            alpha: true,
            // many viewers show the first frame only; an animated PNG that keeps its format stays animated all the same
            animation: false,
            lossless: true,
            ignores_quality: true,
            profile: true,
            universal: true,
            longest_side: i32::MAX as u32,
            memory: [4, 4],
            time: [40.0, 40.0],
        }),
    },
    Row {
        format: Format::Gif,
        name: "gif",
        extension: "gif",
        media_type: "image/gif",
        aliases: &[],
        decode_time: 10.0,
        output: Some(Output {
            alpha: true,
            animation: true,
            lossless: false,
            ignores_quality: true,
            profile: false,
            universal: true,
            longest_side: 65_535,
            memory: [9, 9],
            time: [100.0, 100.0],
        }),
    },
    Row {
        format: Format::WebP,
        name: "webp",
        extension: "webp",
        media_type: "image/webp",
        aliases: &[],
        decode_time: 15.0,
        output: Some(Output {
            alpha: true,
            animation: true,
            lossless: true,
            ignores_quality: false,
            profile: true,
            universal: false,
            // RFC 9649 §2.7: canvas and frame sizes of lossy and lossless bitstreams are 14 bits wide
            longest_side: 16_383,
            memory: [8, 24],
            time: [70.0, 1100.0],
        }),
    },
    Row {
        format: Format::Avif,
        name: "avif",
        extension: "avif",
        media_type: "image/avif",
        aliases: &[],
        decode_time: 25.0,
        output: Some(Output {
            alpha: true,
            animation: false,
            lossless: false,
            ignores_quality: false,
            profile: true,
            universal: false,
            longest_side: 65_535,
            memory: [32, 60],
            time: [110.0, 110.0],
        }),
    },
    read_only(Format::Bmp, "bmp", "bmp", "image/bmp", &["dib"], 8.0),
    read_only(Format::Tiff, "tiff", "tif", "image/tiff", &[], 8.0),
    read_only(Format::Ico, "ico", "ico", "image/vnd.microsoft.icon", &["cur"], 10.0),
    read_only(Format::Pnm, "pnm", "pnm", "image/x-portable-anymap", &["pbm", "pgm", "ppm", "pam"], 8.0),
    read_only(Format::Qoi, "qoi", "qoi", "image/qoi", &[], 8.0),
    read_only(Format::Jxl, "jxl", "jxl", "image/jxl", &[], 60.0),
    read_only(Format::Heic, "heic", "heic", "image/heic", &["heif"], 8.0),
    read_only(Format::Svg, "svg", "svg", "image/svg+xml", &[], 8.0),
];

const fn read_only(
    format: Format, name: &'static str, extension: &'static str, media_type: &'static str,
    aliases: &'static [&'static str], decode_time: f64,
) -> Row {
    Row { format, name, extension, media_type, aliases, decode_time, output: None }
}

impl Format {
    /// Every format, in the order of the enum.
    pub fn all() -> impl Iterator<Item = Format> {
        TABLE.iter().map(|row| row.format)
    }

    fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// The name used in URLs, settings and messages: `jpeg`, `webp`.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The usual file name extension, without the dot.
    pub fn extension(self) -> &'static str {
        self.row().extension
    }

    /// The media type for `Content-Type`.
    pub fn media_type(self) -> &'static str {
        self.row().media_type
    }

    /// The format of that name, alias or extension, in any case.
    pub fn from_name(name: &str) -> Option<Format> {
        let lower = name.to_ascii_lowercase();
        let names = |row: &&Row| row.name == lower || row.extension == lower || row.aliases.contains(&lower.as_str());
        TABLE.iter().find(names).map(|row| row.format)
    }

    fn output(self) -> Option<&'static Output> {
        self.row().output.as_ref()
    }

    /// Whether a picture of this format may have transparent pixels when tintype writes it.
    pub fn supports_alpha(self) -> bool {
        self.output().is_some_and(|output| output.alpha)
    }

    /// Whether tintype writes this format.
    pub fn is_output(self) -> bool {
        self.output().is_some()
    }

    /// Whether any animation may be written in this format. PNG is not among them, as many viewers show its first frame only;
    /// an animated PNG that keeps its format stays animated all the same.
    pub fn supports_animation(self) -> bool {
        self.output().is_some_and(|output| output.animation)
    }

    /// Whether tintype writes this format without loss on request.
    pub fn supports_lossless(self) -> bool {
        self.output().is_some_and(|output| output.lossless)
    }

    /// Whether every pixel is kept whatever the quality, so that a quality makes no difference.
    pub fn ignores_quality(self) -> bool {
        self.output().is_some_and(|output| output.ignores_quality)
    }

    /// Whether tintype writes ICC profiles into this format.
    pub fn keeps_profile(self) -> bool {
        self.output().is_some_and(|output| output.profile)
    }

    /// Whether every client is assumed to show this format, whatever its `Accept` says.
    pub fn is_universal(self) -> bool {
        self.output().is_some_and(|output| output.universal)
    }

    /// Pixels of the longest side that the format can express.
    pub fn longest_side(self) -> u32 {
        self.output().map_or(i32::MAX as u32, |output| output.longest_side)
    }

    /// Bytes of memory that the encoder takes for each pixel of the result; `lossless` for drawings and quality 100, too.
    pub fn encode_memory(self, lossless: bool) -> u64 {
        self.output().map_or(4, |output| output.memory[usize::from(lossless)])
    }

    /// Nanoseconds of one core to resize and encode a pixel of the result at the fast effort; only ratios matter.
    pub fn encode_time(self, lossless: bool) -> f64 {
        self.output().map_or(20.0, |output| output.time[usize::from(lossless)])
    }

    /// Nanoseconds of one core to decode a pixel; only ratios matter.
    pub fn decode_time(self) -> f64 {
        self.row().decode_time
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.format as usize, index, "{}", row.name);
        }
    }

    #[test]
    fn names_and_extensions_lead_back() {
        for format in Format::all() {
            assert_eq!(Format::from_name(format.name()), Some(format));
            assert_eq!(Format::from_name(&format.extension().to_uppercase()), Some(format));
        }
        assert_eq!(Format::from_name("html"), None);
    }
}
