//! Native parameters in the words of other systems: candidates, of which the caller takes the one that a dialect reads as the
//! same picture. So these need not know every rule of a system, and what a system has no word for has no URL.

use percent_encoding::utf8_percent_encode;

use crate::dialect::Params;
use crate::dialect::native::query::RESERVED;
use crate::source::ImageId;

/// The parameters that the systems have in common.
struct Words {
    width: Option<String>,
    height: Option<String>,
    fit: Option<String>,
    position: Option<String>,
    format: Option<String>,
    quality: Option<String>,
    blur: Option<String>,
}

impl Words {
    fn of(params: &Params) -> Words {
        let value = |name: &str| params.stated().find(|(stated, _)| *stated == name).map(|(_, value)| value);
        Words {
            width: value("width"),
            height: value("height"),
            fit: value("fit"),
            position: value("position"),
            format: value("format"),
            quality: value("quality"),
            blur: value("blur"),
        }
    }

    /// The words of a system for the native fit, in a list of both; the empty word is the default.
    fn fits(&self, words: &[(&str, &'static str)]) -> Vec<&'static str> {
        let fit = self.fit.as_deref().unwrap_or("contain");
        let known = words.iter().filter(|(native, _)| *native == fit).map(|(_, word)| *word);
        known.chain([""]).collect()
    }

    /// The sides, with a word for one that is not given.
    fn sides(&self, absent: &str) -> (String, String) {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| absent.to_owned());
        (side(&self.width), side(&self.height))
    }

    /// Names and values that are given, joined.
    fn pairs(&self, names: [&'static str; 5], fit: &str, joint: &str, between: &str) -> String {
        let [width, height, fit_name, format, quality] = names;
        let fit = Some(fit.to_owned()).filter(|fit| !fit.is_empty());
        let all = [
            (width, &self.width),
            (height, &self.height),
            (fit_name, &fit),
            (format, &self.format),
            (quality, &self.quality),
        ];
        let given = all.into_iter().filter_map(|(name, value)| Some(format!("{name}{joint}{}", value.as_ref()?)));
        given.collect::<Vec<_>>().join(between)
    }
}

/// `/width=800,format=webp,metadata=none/photo.jpg`.
pub(super) fn cloudflare(id: &ImageId, params: &Params) -> Vec<String> {
    let words = Words::of(params);
    let fits = words.fits(&[
        ("contain", "scale-down"),
        ("contain", "contain"),
        ("cover", "crop"),
        ("cover", "cover"),
        ("pad", "pad"),
        ("fill", "squeeze"),
    ]);
    let gravity = match words.position.as_deref() {
        Some("smart") => ",gravity=auto".to_owned(),
        Some(position) => format!(",gravity={position}"),
        None => String::new(),
    };
    let url = |(fit, metadata): (&str, &str)| {
        let options = words.pairs(["width", "height", "fit", "format", "quality"], fit, "=", ",");
        let options = format!("{options}{gravity}{metadata}");
        format!("/{}{}", options.trim_start_matches(','), id.to_path())
    };
    // it keeps the copyright unless it is told not to
    fits.into_iter().flat_map(|fit| [(fit, ",metadata=none"), (fit, "")]).map(url).collect()
}

/// `/unsafe/rs:fit:800:0/kcr:0/plain/local:///photo.jpg@webp`.
pub(super) fn imgproxy(id: &ImageId, params: &Params) -> Vec<String> {
    let words = Words::of(params);
    let (width, height) = words.sides("0");
    let quality = words.quality.as_ref().map_or(String::new(), |quality| format!("/q:{quality}"));
    let extension = words.format.as_ref().map_or(String::new(), |format| format!("@{format}"));
    let source = format!("/plain/local://{}{extension}", id.to_path());
    let fits = words.fits(&[("contain", "fit"), ("cover", "fill"), ("fill", "force")]);
    let gravity = match words.position.as_deref().map(|position| (position, position.split_once('x'))) {
        Some(("smart", _)) => "/g:sm".to_owned(),
        Some((_, Some((x, y)))) => format!("/g:fp:{x}:{y}"),
        _ => String::new(),
    };
    let url = |(fit, metadata): (&str, &str)| match fit {
        "" => format!("/unsafe{quality}{metadata}{source}"),
        fit => format!("/unsafe/rs:{fit}:{width}:{height}{gravity}{quality}{metadata}{source}"),
    };
    // it keeps the copyright unless it is told not to
    fits.into_iter().flat_map(|fit| [(fit, "/kcr:0"), (fit, "")]).map(url).collect()
}

/// `/w_800,f_webp/photo.jpg`.
pub(super) fn ipx(id: &ImageId, params: &Params) -> Vec<String> {
    let words = Words::of(params);
    let fits = words.fits(&[
        ("contain", "inside"),
        ("cover", "cover"),
        ("fill", "fill"),
        ("pad", "contain"),
        ("outside", "outside"),
    ]);
    let size = match (&words.width, &words.height) {
        (Some(width), Some(height)) => vec![format!("s_{width}x{height}")],
        (Some(width), None) => vec![format!("w_{width}")],
        (None, Some(height)) => vec![format!("h_{height}")],
        (None, None) => Vec::new(),
    };
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}_{value}"));
    let url = |(fit, animated): (&str, bool)| {
        let mut all = size.clone();
        all.extend(Some(fit).filter(|fit| !fit.is_empty()).map(|fit| format!("fit_{fit}")));
        all.extend(named("f", &words.format));
        all.extend(named("q", &words.quality));
        all.extend(named("blur", &words.blur));
        all.extend(animated.then(|| "animated".to_owned()));
        let all = if all.is_empty() { "_".to_owned() } else { all.join(",") };
        format!("/{all}{}", id.to_path())
    };
    fits.into_iter().flat_map(|fit| [(fit, false), (fit, true)]).map(url).collect()
}

/// `/unsafe/fit-in/800x0/filters:format(webp)/photo.jpg`.
pub(super) fn thumbor(id: &ImageId, params: &Params) -> Vec<String> {
    let words = Words::of(params);
    let (width, height) = words.sides("0");
    let named = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}({value})"));
    let filters: Vec<String> =
        [named("format", &words.format), named("quality", &words.quality), named("blur", &words.blur)]
            .into_iter()
            .flatten()
            .collect();
    let filters = |more: &str| {
        let all: Vec<&str> =
            filters.iter().map(String::as_str).chain(Some(more).filter(|more| !more.is_empty())).collect();
        if all.is_empty() { String::new() } else { format!("/filters:{}", all.join(":")) }
    };
    let size =
        if words.width.is_none() && words.height.is_none() { String::new() } else { format!("/{width}x{height}") };
    let fits = words.fits(&[("contain", "/fit-in"), ("cover", "")]);
    let url = |(fit, more): (&str, &str)| format!("/unsafe{fit}{size}{}{}", filters(more), id.to_path());
    fits.into_iter().flat_map(|fit| [(fit, ""), (fit, "no_upscale()")]).map(url).collect()
}

/// `/photo.jpg?w=800&fm=webp`.
pub(super) fn imgix(id: &ImageId, params: &Params) -> Vec<String> {
    let words = Words::of(params);
    let fits = words.fits(&[
        ("contain", "max"),
        ("contain", "clip"),
        ("cover", "crop"),
        ("cover", "min"),
        ("fill", "scale"),
        ("pad", "fillmax"),
        ("pad", "fill"),
    ]);
    let query = |fit: &str| {
        let query = words.pairs(["w", "h", "fit", "fm", "q"], fit, "=", "&");
        query.replace("fm=auto", "auto=format")
    };
    fits.into_iter().map(|fit| format!("{}?{}", id.to_path(), query(fit))).collect()
}

/// `?url=%2Fphoto.jpg&w=640&q=75`: a width and a quality, and the format is negotiated.
pub(super) fn next(id: &ImageId, params: &Params) -> Vec<String> {
    let words = Words::of(params);
    let Some(width) = words.width else { return Vec::new() };
    let url = utf8_percent_encode(&id.to_path(), RESERVED).to_string();
    vec![format!("?url={url}&w={width}&q={}", words.quality.as_deref().unwrap_or("75"))]
}

/// `/?url=www.example.com/photo.jpg&w=800&output=webp`, below that address.
pub(super) fn wsrv(base: Option<String>, id: &ImageId, params: &Params) -> Vec<String> {
    let Some(base) = base else { return Vec::new() };
    let words = Words::of(params);
    let url = utf8_percent_encode(&format!("{base}{}", id.to_path()), RESERVED).to_string();
    let fits = words.fits(&[("contain", "inside"), ("cover", "cover"), ("fill", "fill"), ("pad", "contain")]);
    let query = |fit: &str| words.pairs(["w", "h", "fit", "output", "q"], fit, "=", "&");
    let candidates =
        |fit: &'static str| ["", "&we", "&we&n=-1", "&n=-1"].map(|more| format!("/?url={url}&{}{more}", query(fit)));
    fits.into_iter().flat_map(candidates).collect()
}
