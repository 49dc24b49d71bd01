//! The size that the outermost element of an SVG states.

use tintype_pixels::{Size, svg_attributes};

/// The default size of an embedded picture that states none, in pixels (CSS Images 3 §5.2).
#[cfg(feature = "svg")]
const DEFAULT: (f64, f64) = (300.0, 150.0);

/// Pixels of the longest side that is drawn.
#[cfg(feature = "svg")]
const LONGEST_SIDE: u32 = 100_000_000;

/// The attributes of the outermost element that tell the size.
#[derive(Clone, Copy, Default)]
pub(super) struct SizeAttributes<'a> {
    pub(super) width: Option<&'a str>,
    pub(super) height: Option<&'a str>,
    pub(super) view_box: Option<&'a str>,
}

/// The `width` and `height` of the outermost element in whole pixels, or what its `viewBox` says of those that are absent or
/// relative (SVG 2 §8.2); `None` where neither does.
pub fn stated_size(text: &str) -> Option<Size> {
    let behind = svg_attributes(text.as_bytes())?.len();
    let mut rest = text.get(text.len() - behind..)?;
    let mut attributes = SizeAttributes::default();
    while let Some((name, value, behind)) = attribute(rest) {
        match name {
            "width" => attributes.width = Some(value),
            "height" => attributes.height = Some(value),
            "viewBox" => attributes.view_box = Some(value),
            _ => {}
        }
        rest = behind;
    }
    attributes.stated()
}

impl SizeAttributes<'_> {
    fn stated(self) -> Option<Size> {
        let view_box = self.view_box.and_then(view_box);
        let (width, height) = match (self.width.and_then(pixels), self.height.and_then(pixels), view_box) {
            (Some(width), Some(height), _) => (width, height),
            // one side gives the other
            (Some(width), None, Some((w, h))) => (width, width * h / w),
            (None, Some(height), Some((w, h))) => (height * w / h, height),
            (None, None, Some(sides)) => sides,
            (_, _, None) => return None,
        };
        Some(Size::new(whole(width)?, whole(height)?))
    }

    /// The size at which it is drawn where no other is asked for. Sides that are not stated have the defaults of embedded pictures;
    /// `None` where a side is less than half a pixel, or longer than arithmetic on it may be.
    #[cfg(feature = "svg")]
    pub(super) fn drawn(self) -> Option<Size> {
        let size = if self.view_box.is_some_and(|text| view_box(text).is_some()) {
            self.stated()?
        } else {
            let side = |stated: Option<&str>, default| whole(stated.and_then(pixels).unwrap_or(default));
            Size::new(side(self.width, DEFAULT.0)?, side(self.height, DEFAULT.1)?)
        };
        Some(size).filter(|size| size.width.max(size.height) <= LONGEST_SIDE)
    }
}

fn whole(length: f64) -> Option<u32> {
    (0.5..1e9).contains(&length).then_some(length.round() as u32)
}

/// A length in CSS pixels, of which an inch has 96 (CSS Values 4 §6.2); `None` where it depends on what is around it.
fn pixels(length: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [
        ("px", 1.0),
        ("in", 96.0),
        ("cm", 96.0 / 2.54),
        ("mm", 9.6 / 2.54),
        ("q", 2.4 / 2.54),
        ("pt", 4.0 / 3.0),
        ("pc", 16.0),
    ];
    let length = length.trim().to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|&(unit, pixels)| Some((length.strip_suffix(unit)?, pixels)));
    let (number, pixels) = unit.unwrap_or((&length, 1.0));
    let number: f64 = number.trim_end().parse().ok()?;
    (number.is_finite() && number > 0.0).then_some(number * pixels)
}

/// The columns and rows of a `viewBox`.
fn view_box(text: &str) -> Option<(f64, f64)> {
    let parts = text.split(|c: char| c.is_whitespace() || c == ',').filter(|part| !part.is_empty());
    let numbers: Vec<f64> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let &[_, _, width, height] = numbers.as_slice() else { return None };
    let is_length = |length: f64| length.is_finite() && length > 0.0;
    (is_length(width) && is_length(height)).then_some((width, height))
}

/// The next attribute of a tag: its name, its value, and what follows; `None` at the end of the tag.
fn attribute(tag: &str) -> Option<(&str, &str, &str)> {
    let (name, value) = tag.trim_start().split_once('=')?;
    let name = name.trim_end();
    let value = value.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (value, behind) = value[1..].split_once(quote)?;
    let is_name = !name.contains(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '/'));
    is_name.then_some((name, value, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_stated_in_pixels_or_by_the_view_box() {
        let check = |svg: &str, expected: Option<(u32, u32)>| {
            assert_eq!(stated_size(svg).map(|size| (size.width, size.height)), expected, "{svg}");
        };
        check("<svg width='10' height=\"20\">", Some((10, 20)));
        check("<?xml version='1.0'?><svg height = '20px' width='10.4px' viewBox='0 0 1 1'/>", Some((10, 20)));
        check("<svg viewBox='0 0 300,150'/>", Some((300, 150)));
        check("<svg width='100%' height='50%' viewBox='0 0 30 15'/>", Some((30, 15)));
        check("<svg width='100' viewBox='0 0 10 20'/>", Some((100, 200)));
        check("<svg width='auto' height='100' viewBox='0 0 10 20'/>", Some((50, 100)));
        check("<svg width='10in' height='25.4MM'/>", Some((960, 96)));
        check("<svg width='3pc' height='12 pt'/>", Some((48, 16)));
        check("<svg width='3em' height='12pt'/>", None);
        check("<svg viewBox='0 0 0 10'/>", None);
        check("<svg stroke-width='3'/>", None);
        check("<svg width='1e999' height='-1'/>", None);
        check("<svg width=", None);
        check("<svg width='1' height='2' width", Some((1, 2)));
        check("<svg/><svg width='1' height='1'/>", None);
        check("<svg></svg><g width='1' height='1'/>", None);
        check("<g width='1' height='1'/>", None);
        check("<!-- <svg width='1' height='1'> --><svg width='10' height='20'/>", Some((10, 20)));
        check("<!DOCTYPE svg [<!ENTITY a '<svg width=\"1\">'>]><x:svg width='10' height='20'>", Some((10, 20)));
        check("<svg aria-label='a > b' width='10' height='20'/>", Some((10, 20)));
        check("<svg data-x=' width=\"5\"' width='10' height='20'/>", Some((10, 20)));
    }

    #[cfg(feature = "svg")]
    #[test]
    fn sides_that_are_not_stated_are_those_of_embedded_pictures() {
        let check = |width, height, view_box, expected| {
            let size = SizeAttributes { width, height, view_box }.drawn();
            assert_eq!(size.map(|size| (size.width, size.height)), expected, "{width:?} {height:?} {view_box:?}");
        };
        check(None, None, None, Some((300, 150)));
        check(Some("24"), None, None, Some((24, 150)));
        check(Some("50%"), Some("20"), None, Some((300, 20)));
        check(Some("50%"), Some("20"), Some("0 0 4 2"), Some((40, 20)));
        check(Some("0.2"), None, None, None);
        check(None, None, Some("0 0 1e12 1"), None);
    }
}
