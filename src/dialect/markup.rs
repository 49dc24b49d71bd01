//! Markup for an original: `<img srcset>`, `<picture>`, CSS `image-set` and curl, with widths that suit it and the layout.
//!
//! Text only: sizes come from the caller, which knows the original.

use std::fmt::Write;

use super::Params;
use super::native::params::RequestedFormat;
use crate::render::{Format, Size};

/// How the picture stands on its page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// As wide as its column, up to its own width.
    #[default]
    Constrained,
    /// Always of one size.
    Fixed,
    /// As wide as the window.
    Full,
}

/// The kind of markup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// `<img srcset>`; the server chooses the format.
    #[default]
    Srcset,
    /// `<picture>` with a source for each format.
    Picture,
    /// CSS `image-set`.
    ImageSet,
    /// A command.
    Curl,
}

impl Layout {
    /// The names of all layouts.
    pub const NAMES: [(&str, Layout); 3] =
        [("constrained", Layout::Constrained), ("fixed", Layout::Fixed), ("full", Layout::Full)];
}

impl Kind {
    /// The names of all kinds.
    pub const NAMES: [(&str, Kind); 4] =
        [("srcset", Kind::Srcset), ("picture", Kind::Picture), ("image-set", Kind::ImageSet), ("curl", Kind::Curl)];
}

/// The input of markup.
pub struct Markup<'a> {
    /// The URL of parameters.
    pub url: &'a dyn Fn(&Params) -> String,
    /// The parameters that all URLs share. Width and height are those of the picture on the page, in CSS pixels.
    pub params: Params,
    /// The size of the picture on its page in CSS pixels.
    pub shown: Size,
    /// The size of the largest result that is not enlarged.
    pub largest: Size,
    /// The kind of markup.
    pub kind: Kind,
    /// How it stands on its page.
    pub layout: Layout,
    /// The attribute `sizes`; `None` for the one of the layout.
    pub sizes: Option<String>,
    /// The allowed widths, sorted; empty for any.
    pub allowed: &'a [u32],
    /// The formats of the sources of `<picture>`, best first; the last one is shown by every browser.
    pub formats: &'a [Format],
    /// A data URI to show until the picture is loaded.
    pub placeholder: Option<&'a str>,
}

/// From one width to the next: the bytes of a photograph grow with the 1.6th power of its width, so this is 30 percent more.
const STEP: f64 = 1.18;

/// The narrowest width that is offered, in pixels.
const NARROWEST: u32 = 320;

/// The widest that a page as wide as its window is offered.
const WIDEST: u32 = 3840;

/// Factors of pixels on screens.
const DENSITIES: [u32; 2] = [1, 2];

impl Markup<'_> {
    /// The text.
    pub fn text(&self) -> String {
        match self.kind {
            Kind::Srcset => self.img(&self.negotiated(), ""),
            Kind::Picture => self.picture(),
            Kind::ImageSet => self.image_set(),
            Kind::Curl => self.curl(),
        }
    }

    /// The widths that are offered, ascending.
    fn widths(&self) -> Vec<u32> {
        self.widths_of(self.layout)
    }

    fn widths_of(&self, layout: Layout) -> Vec<u32> {
        let top = self.largest.width.max(1);
        let widths = match layout {
            Layout::Fixed => DENSITIES.map(|density| self.shown.width * density).to_vec(),
            Layout::Constrained => steps(NARROWEST, (self.shown.width * 2).min(top)),
            Layout::Full => steps(NARROWEST, WIDEST.min(top)),
        };
        let mut widths: Vec<u32> = widths.into_iter().map(|width| self.allowed_width(width.min(top))).collect();
        widths.sort_unstable();
        widths.dedup();
        widths
    }

    /// The next allowed width that does not enlarge; else the widest such one.
    fn allowed_width(&self, width: u32) -> u32 {
        let next = self.allowed.iter().copied().find(|&allowed| allowed >= width);
        next.filter(|&next| next <= self.largest.width).unwrap_or_else(|| {
            let narrower = self.allowed.iter().copied().filter(|&allowed| allowed <= self.largest.width).max();
            narrower.or(next).unwrap_or(width)
        })
    }

    /// The parameters of one width.
    fn of_width(&self, params: &Params, width: u32) -> Params {
        let height = params.width.zip(params.height).map(|(of, height)| scaled(height, width, of));
        Params { width: Some(width), height, dpr: None, ..params.clone() }
    }

    fn url(&self, params: &Params, width: u32) -> String {
        (self.url)(&self.of_width(params, width))
    }

    /// The attribute `srcset` of these parameters.
    fn srcset(&self, params: &Params) -> String {
        let candidate = |width: &u32| {
            let descriptor = match self.layout {
                Layout::Fixed => density(*width, self.shown.width),
                Layout::Constrained | Layout::Full => format!("{width}w"),
            };
            format!("{} {descriptor}", self.url(params, *width))
        };
        self.widths().iter().map(candidate).collect::<Vec<_>>().join(",\n    ")
    }

    /// The attribute `sizes`, which densities have no use for.
    fn sizes(&self) -> Option<String> {
        let width = self.shown.width;
        match self.layout {
            Layout::Fixed => None,
            Layout::Constrained => {
                Some(self.sizes.clone().unwrap_or_else(|| format!("(min-width: {width}px) {width}px, 100vw")))
            }
            Layout::Full => Some(self.sizes.clone().unwrap_or_else(|| "100vw".into())),
        }
    }

    /// For clients without `srcset`: the narrowest width that fills the picture's place on the page, of which at most 1280 count.
    fn fallback_width(&self) -> u32 {
        let widths = self.widths();
        let enough = widths.iter().copied().find(|&width| width >= self.shown.width.min(1280));
        enough.or(widths.last().copied()).unwrap_or(self.shown.width)
    }

    /// The parameters, with the format left to the server where they name none.
    fn negotiated(&self) -> Params {
        let is_open = self.params.format.is_none() && self.params.auto.is_none();
        let format = if is_open { Some(RequestedFormat::Auto) } else { self.params.format };
        Params { format, ..self.params.clone() }
    }

    fn img(&self, params: &Params, indent: &str) -> String {
        let mut tag = String::from("<img");
        attribute(&mut tag, indent, "src", &self.url(params, self.fallback_width()));
        attribute(&mut tag, indent, "srcset", &self.srcset(params));
        if let Some(sizes) = self.sizes() {
            attribute(&mut tag, indent, "sizes", &sizes);
        }
        attribute(&mut tag, indent, "width", &self.shown.width.to_string());
        attribute(&mut tag, indent, "height", &self.shown.height.to_string());
        attribute(&mut tag, indent, "alt", "");
        attribute(&mut tag, indent, "loading", "lazy");
        attribute(&mut tag, indent, "decoding", "async");
        if let Some(placeholder) = self.placeholder {
            let style = format!("background: url({placeholder}) center / cover no-repeat");
            attribute(&mut tag, indent, "style", &style);
        }
        tag.push('>');
        tag
    }

    fn picture(&self) -> String {
        let named = |format: &Format| Params {
            format: Some(RequestedFormat::Exactly(*format)),
            auto: None,
            ..self.params.clone()
        };
        let (last, better) = self.formats.split_last().unwrap_or((&Format::Jpeg, &[]));
        let mut text = String::from("<picture>\n");
        for format in better {
            text.push_str("  <source");
            attribute(&mut text, "  ", "type", format.media_type());
            attribute(&mut text, "  ", "srcset", &self.srcset(&named(format)));
            if let Some(sizes) = self.sizes() {
                attribute(&mut text, "  ", "sizes", &sizes);
            }
            text.push_str(">\n");
        }
        let img = self.img(&named(last), "  ");
        // infallible: it is a string
        let _ = write!(text, "  {img}\n</picture>");
        text
    }

    fn image_set(&self) -> String {
        let params = self.negotiated();
        let widths = self.widths_of(Layout::Fixed);
        let image =
            |width: &u32| format!("    url(\"{}\") {}", self.url(&params, *width), density(*width, self.shown.width));
        let images = widths.iter().map(image).collect::<Vec<_>>().join(",\n");
        format!("background-image: image-set(\n{images}\n);")
    }

    fn curl(&self) -> String {
        let is_auto = self.params.format == Some(RequestedFormat::Auto) || self.params.auto.is_some();
        let accept = if is_auto { "-H 'Accept: image/avif,image/webp,*/*' " } else { "" };
        // an encoded URL has no quotes
        format!("curl -fsS {accept}-OJ '{}'", (self.url)(&self.params).replace('\'', "%27"))
    }
}

/// Adds an attribute on a line of its own.
fn attribute(tag: &mut String, indent: &str, name: &str, value: &str) {
    let value = escape(value);
    // infallible: it is a string
    let _ = match name {
        "src" | "srcset" | "sizes" | "style" | "type" | "width" => write!(tag, "\n{indent}  {name}=\"{value}\""),
        _ => write!(tag, " {name}=\"{value}\""),
    };
}

/// Widths from `from` to `to` in equal steps of about [`STEP`].
fn steps(from: u32, to: u32) -> Vec<u32> {
    if to <= from {
        return vec![to];
    }
    let (from, to) = (f64::from(from), f64::from(to));
    let count = ((to / from).ln() / STEP.ln()).round().max(1.0);
    (0..=count as u32).map(|step| (from * (to / from).powf(f64::from(step) / count)).round() as u32).collect()
}

/// A width as a density descriptor.
fn density(width: u32, shown: u32) -> String {
    let hundredths = (f64::from(width) * 100.0 / f64::from(shown.max(1))).round() as u32;
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    format!("{}x", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A side in another scale, at least one pixel.
fn scaled(side: u32, to: u32, of: u32) -> u32 {
    (f64::from(side) * f64::from(to) / f64::from(of.max(1))).round().max(1.0) as u32
}

/// Text in the content or a quoted attribute of HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // lines of a `srcset`
            '\n' => escaped.push('\n'),
            // not valid in HTML
            c if c.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::native::query;

    fn url(params: &Params) -> String {
        format!("/a.jpg?{}", query::canonical(params, &[]))
    }

    fn markup(query: &str, shown: (u32, u32), largest: (u32, u32), layout: Layout) -> Markup<'static> {
        Markup {
            url: &url,
            params: query::parse(query).expect("good").params,
            shown: Size::new(shown.0, shown.1),
            largest: Size::new(largest.0, largest.1),
            kind: Kind::Srcset,
            layout,
            sizes: None,
            allowed: &[],
            formats: &[Format::Avif, Format::WebP, Format::Jpeg],
            placeholder: None,
        }
    }

    #[test]
    fn widths_suit_original_and_layout() {
        let check = |shown: u32, top: u32, layout: Layout, first: u32, last: u32| {
            let widths = markup("", (shown, shown), (top, top), layout).widths();
            assert_eq!((widths[0], *widths.last().expect("one")), (first, last), "{widths:?}");
            for pair in widths.windows(2) {
                let growth = (f64::from(pair[1]) / f64::from(pair[0])).powf(1.6);
                assert!(layout == Layout::Fixed || (1.2..1.4).contains(&growth), "{pair:?}: {growth}");
            }
        };
        check(800, 4000, Layout::Constrained, 320, 1600);
        check(800, 1000, Layout::Constrained, 320, 1000);
        check(200, 300, Layout::Constrained, 300, 300);
        check(800, 6000, Layout::Full, 320, 3840);
        check(300, 4000, Layout::Fixed, 300, 600);
        check(300, 500, Layout::Fixed, 300, 500);
    }

    #[test]
    fn allowed_widths_are_the_only_ones() {
        let allowed = [100, 400, 800, 1600, 3200];
        let widths =
            |top| Markup { allowed: &allowed, ..markup("", (700, 700), (top, top), Layout::Constrained) }.widths();
        assert_eq!(widths(5000), [400, 800, 1600]);
        assert_eq!(widths(1000), [400, 800]);
        assert_eq!(widths(50), [100]);
    }

    #[test]
    fn img_has_sizes_and_keeps_the_ratio() {
        let text = markup("w=400&h=300&fit=cover", (400, 300), (2000, 1500), Layout::Fixed).text();
        for part in [
            "src=\"/a.jpg?fit=cover&amp;format=auto&amp;height=300&amp;width=400\"",
            "height=600&amp;width=800 2x\"",
            "width=\"400\" height=\"300\" alt=\"\" loading=\"lazy\" decoding=\"async\">",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("sizes="));
    }

    #[test]
    fn picture_names_each_format() {
        let markup = markup("q=60", (800, 600), (1200, 900), Layout::Constrained);
        let hostile = Some("\"><script>".to_owned());
        let text = Markup { kind: Kind::Picture, sizes: hostile, ..markup }.text();
        assert!(text.contains("type=\"image/avif\"") && text.contains("type=\"image/webp\""), "{text}");
        assert!(text.contains("format=jpeg") && !text.contains("<script>"), "{text}");
    }
}
