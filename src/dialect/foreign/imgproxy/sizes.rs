//! The meaning of a draft: imgproxy's options as native parameters.
//!
//! Without `enlarge`, a small original reduces `dpr` for everything in pixels of the result. Where only the sides are in pixels, that
//! equals sides that are multiplied first; otherwise `dpr` stays a parameter of its own.

use super::Negotiation;
use super::draft::{Draft, Resizing};
use crate::dialect::Error;
use crate::dialect::foreign::meaning::{Meaning, invalid, unsupported};
use crate::dialect::foreign::values::{show, show_colour};
use crate::dialect::foreign::watermark::{Watermark, on_canvas};
use crate::source::ImageId;

/// The characters of `v`; a longer cache buster is cut, since it changes no picture.
const MAX_VERSION: usize = 64;

/// How the picture fits its box, natively.
struct Fit {
    name: &'static str,
    /// Whether each side is limited by itself.
    by_sides: bool,
}

impl Draft {
    /// The native parameters for an original.
    pub(super) fn meaning(&self, id: &ImageId, auto: Negotiation, watermark: &str) -> Result<Meaning, Error> {
        let mut meaning = Meaning::default();
        self.set_delivery(&mut meaning, id)?;
        if self.raw {
            return Ok(meaning);
        }
        self.set_sizes(&mut meaning)?;
        self.set_window(&mut meaning)?;
        self.set_picture(&mut meaning)?;
        self.set_watermark(&mut meaning, watermark)?;
        self.set_encoding(&mut meaning, auto)?;
        Ok(meaning)
    }

    /// Parameters that change no pixel.
    fn set_delivery(&self, meaning: &mut Meaning, id: &ImageId) -> Result<(), Error> {
        if !self.cache_buster.is_empty() {
            let version: String = self.cache_buster.chars().take(MAX_VERSION).collect();
            meaning.set(("cachebuster", &version), "v", &version)?;
        }
        if self.expires > 0 {
            let expires = self.expires.to_string();
            meaning.set(("expires", &expires), "expires", &expires)?;
        }
        if self.attachment {
            let own = id.file_name();
            let stem = own.rsplit_once('.').map_or(own, |(stem, _)| stem);
            let name = self.filename.as_deref().unwrap_or(stem);
            meaning.set(("filename", name), "download", name)?;
        }
        Ok(())
    }

    fn set_sizes(&self, meaning: &mut Meaning) -> Result<(), Error> {
        self.check_sizes()?;
        let Fit { name, by_sides } = self.fit()?;
        if name != "contain" {
            meaning.set(("resizing_type", name), "fit", name)?;
        }
        if by_sides {
            meaning.set(("resizing_type", name), "limit", "sides")?;
        }
        let gravity = match name {
            "pad" => Some(self.extend_gravity),
            "cover" | "auto" => Some(self.gravity),
            _ => None,
        };
        let mut is_moved = false;
        if let Some(gravity) = gravity {
            let position = gravity.position();
            meaning.set(("gravity", &position), "position", &position)?;
            if let Some(offset) = gravity.offset() {
                let offset = offset.join(",");
                meaning.set(("gravity", &offset), "offset", &offset)?;
                is_moved = true;
            }
        }
        let is_padded = self.set_padding(meaning)?;
        let has_own_dpr = by_sides || is_padded || is_moved || name == "pad";
        self.set_sides(meaning, has_own_dpr)
    }

    /// Combinations that have no native equal.
    fn check_sizes(&self) -> Result<(), Error> {
        let has_side = self.width > 0 || self.height > 0;
        let [x, y] = self.zoom;
        if x != y || x != 1.0 && !has_side {
            return Err(invalid("zoom", &format!("{}:{}", show(x), show(y)), "one factor, beside a width or a height"));
        }
        if !has_side && (self.dpr < 1.0 || self.enlarge && self.dpr > 1.0) {
            return Err(invalid(
                "dpr",
                &show(self.dpr),
                "from 1, without enlarge, where there is no width and no height",
            ));
        }
        let has_both = self.width > 0 && self.height > 0;
        let keeps_ratio = match self.resizing {
            Resizing::Fit | Resizing::Auto => false,
            Resizing::Fill => self.enlarge,
            Resizing::FillDown | Resizing::Force => true,
        };
        if self.extend_ratio && has_both && !keeps_ratio {
            return Err(unsupported("extend_aspect_ratio", "1", Some("natively `fit=pad`")));
        }
        Ok(())
    }

    fn fit(&self) -> Result<Fit, Error> {
        let has_both = self.width > 0 && self.height > 0;
        let has_none = self.width == 0 && self.height == 0;
        let fit = |name, by_sides| Fit { name, by_sides };
        let plain = match self.resizing {
            Resizing::Force if !has_both && !has_none => {
                return Err(invalid("resizing_type", "force", "with width and height"));
            }
            _ if !has_both => fit("contain", false),
            Resizing::Fit => fit("contain", false),
            Resizing::Fill => fit("cover", !self.enlarge),
            Resizing::FillDown => fit("cover", false),
            Resizing::Force => fit("fill", false),
            Resizing::Auto => fit("auto", !self.enlarge),
        };
        let changes_nothing =
            has_none || self.enlarge && (!has_both || !matches!(self.resizing, Resizing::Fit | Resizing::Auto));
        match self.extend {
            false => Ok(plain),
            true if changes_nothing => Ok(plain),
            true if has_both && self.resizing == Resizing::Fit => Ok(fit("pad", false)),
            true => Err(invalid("extend", "1", "with resizing type fit, a width and a height")),
        }
    }

    /// Whether there is padding.
    fn set_padding(&self, meaning: &mut Meaning) -> Result<bool, Error> {
        let is_padded = self.padding != [0; 4];
        if is_padded {
            let padding = self.padding.map(|side| side.to_string()).join(",");
            meaning.set(("padding", &padding), "padding", &padding)?;
        }
        Ok(is_padded)
    }

    fn set_sides(&self, meaning: &mut Meaning, has_own_dpr: bool) -> Result<(), Error> {
        if self.width == 0 && self.height == 0 {
            return Ok(());
        }
        let factor = self.zoom[0] * if has_own_dpr { 1.0 } else { self.dpr };
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side > 0 {
                let pixels = (f64::from(side) * factor).round().max(1.0) as u64;
                meaning.set((name, &side.to_string()), name, &pixels.to_string())?;
            }
        }
        if has_own_dpr && self.dpr != 1.0 {
            let dpr = show(self.dpr);
            meaning.set(("dpr", &dpr), "dpr", &dpr)?;
        }
        if self.enlarge {
            meaning.set(("enlarge", "1"), "enlarge", "true")?;
        }
        Ok(())
    }

    /// The part of the original.
    fn set_window(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if self.crop == [0.0; 2] {
            return Ok(());
        }
        let shown = self.crop.map(show).join(":");
        let gravity = self.crop_gravity.unwrap_or(self.gravity);
        if self.trim.is_some() || self.rotate != 0 || self.flip != [false; 2] {
            return Err(invalid("crop", &shown, "without trim, rotate and flip"));
        }
        if gravity.is_smart() {
            return Err(invalid("crop", &shown, "with a side, a corner or fp"));
        }
        // a share is written below 1, and above 0, which is all
        let extent = |length: f64| match length {
            0.0 => "0".into(),
            1.0.. => show(length.floor()),
            share => show(share.clamp(0.0001, 0.9999)),
        };
        let signed = |distance: String| if distance.starts_with('-') { distance } else { format!("+{distance}") };
        let offset: String = gravity.offset().into_iter().flatten().map(signed).collect();
        let [width, height] = self.crop.map(extent);
        let window = format!("{width}x{height}@{}{offset}", gravity.position());
        meaning.set(("crop", &shown), "window", &window)
    }

    /// Operations on the picture.
    fn set_picture(&self, meaning: &mut Meaning) -> Result<(), Error> {
        if let Some(threshold) = self.trim {
            let percent = (threshold / 2.55).round().clamp(2.0, 100.0);
            meaning.set(("trim", &show(threshold)), "trim", &show(percent))?;
        }
        if !self.auto_rotate {
            meaning.set(("auto_rotate", "0"), "orient", "1")?;
        }
        let angle = self.rotate.to_string();
        if self.rotate != 0 {
            meaning.set(("rotate", &angle), "rotate", &angle)?;
        }
        meaning.set_flip(("flip", "1"), self.flip)?;
        if let Some(colour) = self.background.map(show_colour) {
            meaning.set(("background", &colour), "background", &colour)?;
        }
        for (name, amount) in [("blur", self.blur), ("sharpen", self.sharpen)] {
            if amount != 0.0 {
                meaning.set((name, &show(amount)), name, &show(amount))?;
            }
        }
        let blocks = self.pixelate.to_string();
        if self.pixelate > 1 {
            meaning.set(("pixelate", &blocks), "pixelate", &blocks)?;
        }
        Ok(())
    }

    /// The overlay of that name, where there is a watermark.
    fn set_watermark(&self, meaning: &mut Meaning, overlay: &str) -> Result<(), Error> {
        let Some(watermark) = &self.watermark else { return Ok(()) };
        if watermark.opacity > 0.0 && (self.extend || self.extend_ratio || self.padding != [0; 4]) {
            return Err(on_canvas(watermark.option.0, &watermark.option.1));
        }
        // in pixels before `dpr`, or below 1 a share of the picture; whole pixels, as in imgproxy, so that none becomes a share
        let scaled = |offset: f64| if offset.abs() >= 1.0 { (offset * self.dpr).round_ties_even() } else { offset };
        let offset = watermark.offset.map(scaled);
        Watermark { overlay: overlay.to_owned(), offset, ..watermark.clone() }.set(meaning)
    }

    fn set_encoding(&self, meaning: &mut Meaning, auto: Negotiation) -> Result<(), Error> {
        let metadata = match (self.strip_metadata, self.keep_copyright) {
            (false, _) => "keep",
            (true, true) => "copyright",
            // stated even though it is the default, since without parameters the original is sent as it is
            (true, false) => "none",
        };
        meaning.set(("strip_metadata", "1"), "metadata", metadata)?;
        let format = match (auto, self.format) {
            (Negotiation::Enforce, _) | (Negotiation::Prefer, None) => Some("auto"),
            (_, format) => format,
        };
        if let Some(format) = format {
            meaning.set(("format", format), "format", format)?;
        }
        let quality = self.quality_of(format)?.to_string();
        if quality != "0" {
            meaning.set(("quality", &quality), "quality", &quality)?;
        }
        Ok(())
    }

    /// The quality, 0 for the default: that of the format only where no other is stated.
    fn quality_of(&self, format: Option<&str>) -> Result<u32, Error> {
        if self.quality > 0 || self.format_quality.is_empty() {
            return Ok(self.quality);
        }
        match format {
            None | Some("auto") => {
                let allowed = "with a format that the URL names; natively `quality`";
                Err(invalid("format_quality", &self.format_quality.len().to_string(), allowed))
            }
            named => {
                let own = self.format_quality.iter().rev().find(|(format, _)| *format == named);
                Ok(own.map_or(0, |(_, quality)| *quality))
            }
        }
    }
}
