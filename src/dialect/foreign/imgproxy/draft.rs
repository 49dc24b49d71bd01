//! The options of one URL in imgproxy's own terms.

use super::gravity::Gravity;
use crate::dialect::Error;
use crate::dialect::foreign::meaning::invalid;
use crate::dialect::foreign::watermark::Watermark;

/// How a picture fits its box.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Resizing {
    #[default]
    Fit,
    Fill,
    FillDown,
    Force,
    Auto,
}

impl Resizing {
    pub(super) fn of(name: &str) -> Option<Resizing> {
        Some(match name {
            "fit" => Resizing::Fit,
            "fill" => Resizing::Fill,
            "fill-down" => Resizing::FillDown,
            "force" => Resizing::Force,
            "auto" => Resizing::Auto,
            _ => return None,
        })
    }
}

/// The values of all options; of two equal ones the later.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) separator: String,
    /// The number of options that came from presets.
    pub(super) of_presets: usize,
    pub(super) resizing: Resizing,
    /// 0 is none.
    pub(super) width: u32,
    /// 0 is none.
    pub(super) height: u32,
    pub(super) zoom: [f64; 2],
    pub(super) dpr: f64,
    pub(super) enlarge: bool,
    pub(super) extend: bool,
    pub(super) extend_gravity: Gravity,
    pub(super) extend_ratio: bool,
    pub(super) gravity: Gravity,
    /// Pixels from 1, shares below, 0 for all.
    pub(super) crop: [f64; 2],
    pub(super) crop_gravity: Option<Gravity>,
    pub(super) trim: Option<f64>,
    /// Top, right, bottom and left.
    pub(super) padding: [u32; 4],
    pub(super) auto_rotate: bool,
    /// 0 to 270.
    pub(super) rotate: u16,
    /// Horizontally and vertically.
    pub(super) flip: [bool; 2],
    pub(super) background: Option<[u8; 4]>,
    pub(super) blur: f64,
    pub(super) sharpen: f64,
    pub(super) pixelate: u32,
    /// Its opacity is 0 to 100.
    pub(super) watermark: Option<Watermark>,
    pub(super) strip_metadata: bool,
    pub(super) keep_copyright: bool,
    /// 0 is the default.
    pub(super) quality: u32,
    /// The native name of a format, `None` for one that is not offered, and its quality.
    pub(super) format_quality: Vec<(Option<&'static str>, u32)>,
    /// The native name.
    pub(super) format: Option<&'static str>,
    pub(super) cache_buster: String,
    /// 0 is never.
    pub(super) expires: u64,
    pub(super) filename: Option<String>,
    pub(super) attachment: bool,
    pub(super) raw: bool,
}

impl Draft {
    pub(super) fn new(separator: &str) -> Draft {
        Draft {
            separator: separator.to_owned(),
            of_presets: 0,
            resizing: Resizing::Fit,
            width: 0,
            height: 0,
            zoom: [1.0; 2],
            dpr: 1.0,
            enlarge: false,
            extend: false,
            extend_gravity: Gravity::default(),
            extend_ratio: false,
            gravity: Gravity::default(),
            crop: [0.0; 2],
            crop_gravity: None,
            trim: None,
            padding: [0; 4],
            auto_rotate: true,
            rotate: 0,
            flip: [false; 2],
            background: None,
            blur: 0.0,
            sharpen: 0.0,
            pixelate: 0,
            watermark: None,
            strip_metadata: true,
            keep_copyright: true,
            quality: 0,
            format_quality: Vec::new(),
            format: None,
            cache_buster: String::new(),
            expires: 0,
            filename: None,
            attachment: false,
            raw: false,
        }
    }

    /// The arguments of an option, at most `most`.
    pub(super) fn arguments<'a>(&self, name: &str, value: &'a str, most: usize) -> Result<Vec<&'a str>, Error> {
        let arguments: Vec<&str> = value.split(self.separator.as_str()).collect();
        match arguments.len() {
            count if count <= most => Ok(arguments),
            _ => Err(invalid(name, value, format!("at most {most} arguments"))),
        }
    }

    /// The only argument of an option; `None` where it is empty, which keeps what was before.
    pub(super) fn argument<'a>(&self, name: &str, value: &'a str) -> Result<Option<&'a str>, Error> {
        Ok(self.arguments(name, value, 1)?.first().copied().filter(|argument| !argument.is_empty()))
    }
}
