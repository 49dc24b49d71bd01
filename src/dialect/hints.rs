//! Client hints and `Save-Data`: headers beside `Accept` that a recipe may depend on, where the settings say so.
//!
//! A recipe has numbers only, of which there are few: equal numbers are one rendition, whatever headers they come from.

use super::native::params::{Params, RequestedFormat, RequestedQuality};
use super::policy::Policy;
use super::{Error, InvalidParam};
use crate::render::recipe::Quality;

/// The headers that are read, in the order of the values of [`Hints::parse`]: those of Responsive Image Client Hints
/// (WICG, for RFC 8942), the former name of the first, and `Save-Data` (WICG Save Data API).
pub const HEADERS: [&str; 5] = ["sec-ch-width", "width", "sec-ch-viewport-width", "sec-ch-dpr", "save-data"];

/// Without allowed widths, a width from a hint is rounded up to a multiple of so many pixels.
const STEP: u32 = 100;

/// The largest device pixel ratio that is taken from a hint, in thousandths; the parameter `dpr` has the same limit.
const MAX_DPR: u32 = 5000;

/// The hints of a request. One that does not parse is as one that is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// The width of the image on the page, in physical pixels.
    pub width: Option<u32>,
    /// The width of the window, in CSS pixels.
    pub viewport_width: Option<u32>,
    /// Physical pixels for each CSS pixel, in thousandths.
    pub dpr: Option<u32>,
    /// Whether the client asks for fewer bytes.
    pub save_data: bool,
}

/// The hints that the recipe of a URL depends on, whatever the request has of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consulted {
    /// `width=auto`: the widths.
    pub width: bool,
    /// `width=auto` without `dpr`: the device pixel ratio.
    pub dpr: bool,
    /// A lossy rendition whose quality the URL leaves open: `Save-Data`.
    pub save_data: bool,
}

impl Hints {
    /// Parses the first value of each of [`HEADERS`].
    pub fn parse(values: [Option<&[u8]>; 5]) -> Hints {
        let text = |value: Option<&[u8]>| Some(std::str::from_utf8(value?).ok()?.trim_matches([' ', '\t']).to_owned());
        let [width, legacy_width, viewport_width, dpr, save_data] = values.map(text);
        let pixels = |text: Option<String>| text.as_deref().and_then(pixels);
        Hints {
            width: pixels(width).or(pixels(legacy_width)),
            viewport_width: pixels(viewport_width),
            dpr: dpr.as_deref().and_then(thousandths),
            save_data: save_data.is_some_and(|text| text.eq_ignore_ascii_case("on")),
        }
    }

    /// The place in [`HEADERS`] of a name in any case.
    pub fn index(name: &str) -> Option<usize> {
        // most headers differ in length
        HEADERS.iter().position(|header| header.len() == name.len() && header.eq_ignore_ascii_case(name))
    }

    /// The width of the image in physical pixels: its own, else that of the window, which is at least as wide. `dpr` is that of the
    /// URL, in hundredths.
    fn displayed_width(self, dpr: Option<u16>) -> Option<u32> {
        let dpr = dpr.map(|dpr| u32::from(dpr) * 10).or(self.dpr).unwrap_or(1000);
        let window = || {
            let physical = (u64::from(self.viewport_width?) * u64::from(dpr)).div_ceil(1000);
            Some(u32::try_from(physical).unwrap_or(u32::MAX))
        };
        self.width.or_else(window)
    }
}

/// Digits, which are an integer of RFC 9651 as well; not 0.
fn pixels(text: &str) -> Option<u32> {
    let is_number = (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse::<u64>().ok().filter(|&number| is_number && number > 0)?;
    Some(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A decimal of RFC 9651 above 0, of which more than [`MAX_DPR`] is that.
fn thousandths(text: &str) -> Option<u32> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str, longest: usize| {
        (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_digits(whole, 12) || !is_digits(fraction, 3) {
        return None;
    }
    let thousandths = whole.parse::<u64>().ok()? * 1000 + format!("{fraction:0<3}").parse::<u64>().ok()?;
    let bounded = thousandths.min(MAX_DPR.into()) as u32;
    (bounded > 0).then_some(bounded)
}

impl Consulted {
    /// The headers, for `Vary`.
    pub fn headers(self) -> impl Iterator<Item = &'static str> {
        let Consulted { width, dpr, save_data } = self;
        [
            ("Sec-CH-Width", width),
            ("Width", width),
            ("Sec-CH-Viewport-Width", width),
            ("Sec-CH-DPR", dpr),
            ("Save-Data", save_data),
        ]
        .into_iter()
        .filter_map(|(name, is_consulted)| is_consulted.then_some(name))
    }

    /// The hints that make a difference, of those of a request.
    pub fn of(self, hints: Hints) -> Hints {
        let width = hints.width.filter(|_| self.width);
        let uses_window = self.width && width.is_none() && hints.viewport_width.is_some();
        Hints {
            width,
            viewport_width: hints.viewport_width.filter(|_| uses_window),
            dpr: hints.dpr.filter(|_| uses_window && self.dpr),
            save_data: hints.save_data && self.save_data,
        }
    }
}

impl Policy {
    /// Replaces `width=auto` by the width that the hints ask for, and lowers the quality for `Save-Data`. Without a hint no width is
    /// asked for.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] for `width=auto` where client hints are off.
    pub(super) fn apply_hints(&self, params: &mut Params, hints: Hints) -> Result<Consulted, Error> {
        let mut consulted = Consulted::default();
        if params.auto_width && params.width.is_none() {
            if !self.config().client_hints {
                let allowed = "an integer from 1; auto needs client hints, the setting output.client_hints";
                return Err(Error::InvalidParams(InvalidParam::new("width", "auto", allowed, None).into()));
            }
            (consulted.width, consulted.dpr) = (true, params.dpr.is_none());
            let width = hints.displayed_width(params.dpr);
            // a hint is in physical pixels: all else in pixels is multiplied by `dpr` without it
            self.fold_dpr(params);
            params.width = width.map(|width| self.step(width));
        }
        params.auto_width = false;
        if let Some(quality) = self.config().save_data_quality.filter(|_| leaves_quality_open(params)) {
            consulted.save_data = true;
            if hints.save_data {
                let quality: Quality = quality.min(self.config().quality);
                params.quality = Some(RequestedQuality::Number(quality));
            }
        }
        Ok(consulted)
    }

    /// The next larger allowed width, or the widest; without allowed widths, the next multiple of [`STEP`].
    fn step(&self, width: u32) -> u32 {
        // sorted
        let widths = &self.config().widths;
        let next = widths.iter().copied().find(|&allowed| allowed >= width).or(widths.last().copied());
        next.unwrap_or_else(|| width.div_ceil(STEP).saturating_mul(STEP)).min(self.config().max_dimension)
    }
}

/// Whether parameters ask for a rendition whose quality they leave to the server.
fn leaves_quality_open(params: &Params) -> bool {
    let is_stated = params.quality.is_some() || params.target.is_some() || params.lossless == Some(true);
    let is_exact = match params.format {
        Some(RequestedFormat::Json | RequestedFormat::Dominant | RequestedFormat::Lqip) => true,
        Some(RequestedFormat::Exactly(format)) => format.ignores_quality(),
        Some(RequestedFormat::Auto | RequestedFormat::Original) | None => false,
    };
    params.asks_for_rendition() && !is_stated && !is_exact
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::policy::{Config, Snap, tests};
    use super::*;
    use crate::dialect::signature::Keys;

    fn config() -> Config {
        Config { client_hints: true, save_data_quality: Quality::new(40), ..tests::config() }
    }

    fn hints(lines: &[(&str, &str)]) -> Hints {
        let value = |name: &str| lines.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_bytes());
        Hints::parse(HEADERS.map(value))
    }

    /// The query that means the same for a client without hints, for which the target of a query with these hints is asserted, and the
    /// headers that it varies by.
    #[track_caller]
    fn check(query: &str, lines: &[(&str, &str)], same: &str, varies: &[&str]) {
        let policy = Policy::new(config()).expect("valid settings");
        let target = policy.target_for("/a.jpg", Some(query), "", hints(lines), 0).expect(query);
        let plain =
            Policy::new(tests::config()).expect("valid settings").target("/a.jpg", Some(same), "", 0).expect(same);
        assert_eq!(target.recipe, plain.recipe, "{query} {lines:?}");
        assert_eq!(target.hints.headers().collect::<Vec<_>>(), varies, "{query}");
    }

    const WIDTHS: [&str; 4] = ["Sec-CH-Width", "Width", "Sec-CH-Viewport-Width", "Sec-CH-DPR"];

    #[test]
    fn width_is_that_of_the_best_hint_rounded_up() {
        let query = "width=auto&quality=75";
        for (lines, same) in [
            (&[][..], "quality=75"),
            (&[("sec-ch-width", "640")], "width=700"),
            (&[("sec-ch-width", "700"), ("width", "100"), ("sec-ch-viewport-width", "3000")], "width=700"),
            (&[("sec-ch-width", "x"), ("width", "101")], "width=200"),
            (&[("sec-ch-viewport-width", "400")], "width=400"),
            (&[("sec-ch-viewport-width", "400"), ("sec-ch-dpr", "2.625")], "width=1100"),
            (&[("sec-ch-viewport-width", "400"), ("sec-ch-dpr", "99")], "width=2000"),
            (&[("sec-ch-dpr", "2.0")], "quality=75"),
            (&[("sec-ch-width", "999999999999999")], "width=8192"),
            (&[("sec-ch-width", " 50 ")], "width=100"),
        ] {
            check(query, lines, same, &WIDTHS);
        }
        for invalid in ["", "0", "-5", "+5", "1.5", "1e3", "640;a=b", "640, 320", "\u{661}", "9999999999999999"] {
            check(query, &[("sec-ch-width", invalid)], "quality=75", &WIDTHS);
        }
        for invalid in ["", "0", "0.0", "-1", "1.", ".5", "1.2345", "two", "1.5;x"] {
            check(query, &[("sec-ch-viewport-width", "400"), ("sec-ch-dpr", invalid)], "width=400", &WIDTHS);
        }
    }

    #[test]
    fn dpr_of_the_url_takes_the_place_of_the_hint() {
        let window = [("sec-ch-viewport-width", "400"), ("sec-ch-dpr", "3")];
        check("width=auto&dpr=2&q=75", &window, "width=800", &WIDTHS[..3]);
        check("width=auto&dpr=1&q=75", &window, "width=400", &WIDTHS[..3]);
        check("width=AUTO&height=50&dpr=2&q=75&fit=cover", &[("width", "300")], "w=300&h=100&fit=cover", &WIDTHS[..3]);
        check("w=300&h=50&dpr=2&q=75&fit=cover", &[("width", "900")], "w=600&h=100&fit=cover", &[]);
    }

    #[test]
    fn save_data_lowers_a_quality_that_is_left_open() {
        let on = [("save-data", "on")];
        check("w=9", &[], "w=9", &["Save-Data"]);
        check("w=9", &on, "w=9&q=40", &["Save-Data"]);
        check("w=9", &[("save-data", "off")], "w=9", &["Save-Data"]);
        check("f=auto", &[("save-data", "On")], "f=auto&q=40", &["Save-Data"]);
        for stated in ["w=9&q=90", "w=9&target=70", "w=9&q=auto", "f=png", "f=json", "f=webp&ll", "v=1", ""] {
            check(stated, &on, stated, &[]);
        }
    }

    #[test]
    fn auto_needs_the_setting_and_is_what_is_signed() {
        let off = Policy::new(tests::config()).expect("valid settings");
        let Err(Error::InvalidParams(invalid)) = off.target("/a.jpg", Some("width=auto"), "", 0) else {
            panic!("refused")
        };
        assert!(invalid.to_string().contains("output.client_hints"), "{invalid}");
        let keys = Keys::new(["0123456789abcdef"]).expect("long enough");
        let policy = Policy::new(Config { keys, require_signature: true, ..config() }).expect("valid settings");
        let mut signatures = HashSet::new();
        for query in ["width=auto", "width=auto&dpr=1", "width=auto&dpr=2", "width=100"] {
            let signed = policy.sign("/a.jpg", query).expect("good").expect("a key");
            let (path, query) = signed.split_once('?').expect("a query");
            signatures.insert(query.split_once("s=").expect("a signature").1.to_owned());
            for width in ["100", "900"] {
                let hints = hints(&[("sec-ch-width", width)]);
                assert!(policy.target_for(path, Some(query), "", hints, 0).is_ok(), "{query}");
            }
        }
        assert_eq!(signatures.len(), 4);
    }

    #[test]
    fn allowed_widths_are_the_only_ones() {
        for snap in [Snap::Off, Snap::Up, Snap::Reject] {
            let policy = Policy::new(Config { widths: vec![640, 320], snap, ..config() }).expect("valid settings");
            for (width, expected) in [("1", 320), ("320", 320), ("321", 640), ("9999", 640)] {
                let hints = hints(&[("sec-ch-width", width)]);
                let target = policy.target_for("/a.jpg", Some("width=auto"), "", hints, 0).expect("good");
                let same = policy.target("/a.jpg", Some(&format!("width={expected}")), "", 0).expect("allowed");
                assert_eq!((target.recipe, target.snapped), (same.recipe, None), "{snap:?} {width}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_other_recipes_than_the_steps(
            values in proptest::array::uniform5(proptest::option::of("[0-9]{1,7}(\\.[0-9]{1,3})?|on|[ -~]{0,12}")),
        ) {
            let policy = Policy::new(config()).expect("valid settings");
            let values = values.each_ref().map(|value| value.as_deref().map(str::as_bytes));
            let target = policy.target_for("/a.jpg", Some("width=auto"), "", Hints::parse(values), 0).expect("good");
            let steps = (1..=82).map(|step| format!("width={}", (step * STEP).min(8192))).chain([String::from("rotate=0")]);
            let mut queries = steps.flat_map(|query| [format!("{query}&quality=75"), format!("{query}&quality=40")]);
            let of = |query: &str| policy.target("/a.jpg", Some(query), "", 0).expect("good").recipe;
            proptest::prop_assert!(queries.any(|query| of(&query) == target.recipe), "{:?}", target.recipe);
        }
    }
}
