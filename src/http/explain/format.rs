//! Why a result has the format that it has.

use crate::dialect::Target;
use crate::dialect::native::params::RequestedFormat;
use crate::dialect::policy::Reading;
use crate::render::recipe::{Choice, Output};
use crate::render::{Content, Format, Settings};
use crate::service::explain::{Facts, Rendition};

/// The format of the answer, where it is known, and the reasons.
pub(super) fn chosen(
    reading: &Reading, target: &Target, header: Option<&Facts>, rendition: Option<&Rendition>, accept: &str,
    settings: &Settings,
) -> (Option<Format>, Vec<String>) {
    let Some(recipe) = &target.recipe else {
        return (header.map(Facts::format), vec!["the original is sent as it is".into()]);
    };
    let mut why = vec![asked(reading, recipe.encode.output, accept)];
    let Some(header) = header else { return (None, why) };
    let Some(rendition) = rendition else { return (None, why) };
    if matches!(header, Facts::Svg) && recipe.passes_svg_through() {
        why.push("an SVG scales by itself and is sent as it is, unless a raster format is named".into());
        return (Some(Format::Svg), why);
    }
    why.extend(of_original(header, recipe.encode.output, rendition));
    if rendition.may_be_original && settings.smallest_wins {
        why.push(format!("the original ({}) is sent if that is smaller", header.format()));
    }
    let certain = match rendition.content() {
        Some(Content::Image(format)) => Some(format),
        Some(Content::Json) => None,
        None => rendition.plan.as_ref().map(|plan| plan.format),
    };
    (certain, why)
}

/// The reason that the URL gives.
fn asked(reading: &Reading, output: Output, accept: &str) -> String {
    let by = |what: &str| match reading.params.format.is_some() || reading.params.auto.is_some() {
        true => format!("the URL names {what}"),
        false => format!("the preset names {what}"),
    };
    match output {
        Output::Json => by("format=json, a description"),
        Output::Dominant => by("format=dominant, one pixel as PNG"),
        Output::Lqip => by("format=lqip, a small WebP"),
        Output::Exactly(format) => by(&format!("format={format}")),
        Output::Original if reading.effective.format == Some(RequestedFormat::Original) => by("format=original"),
        Output::Original => "the URL names no format, so the original's is kept".into(),
        Output::Auto(choice) => format!("{}, and {}", by("format=auto"), negotiated(choice, accept)),
    }
}

fn negotiated(choice: Choice, accept: &str) -> String {
    let named = match choice {
        Choice::Avif | Choice::AvifStill => "image/avif",
        Choice::WebP => "image/webp",
        Choice::Baseline if accept.is_empty() => {
            return "there is no Accept header, so every client must show it".into();
        }
        Choice::Baseline => return format!("Accept ({}) prefers no modern format by name", shortened(accept)),
    };
    format!("Accept ({}) names {named}, the first of output.formats that it prefers", shortened(accept))
}

fn shortened(accept: &str) -> String {
    const LONGEST: usize = 120;
    match accept.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &accept[..end]),
        None => accept.to_owned(),
    }
}

/// The reasons that lie in the original.
fn of_original(header: &Facts, output: Output, rendition: &Rendition) -> Vec<String> {
    let mut why = Vec::new();
    let Facts::Raster(info) = header else { return why };
    let Some(plan) = &rendition.plan else { return why };
    let (own, format) = (info.format, plan.format);
    let is_exact = matches!(output, Output::Exactly(_)) || output.is_placeholder();
    if is_exact {
        return why;
    }
    if !own.is_output() {
        why.push(format!("{own} is read and not written: {format} in its place"));
    }
    if info.frames > 1 && plan.frames == info.frames {
        why.push(format!("it has {} frames, which {format} keeps", info.frames));
    } else if matches!(output, Output::Auto(Choice::Baseline)) {
        let alpha = if info.has_alpha { "it may be transparent" } else { "it is opaque" };
        why.push(format!("{alpha}, hence {format}"));
    }
    if !plan.drawing_formats.is_empty() {
        let others = plan.drawing_formats.iter().map(|format| format.name()).collect::<Vec<_>>().join(" and ");
        why.push(format!(
            "if the pixels turn out to be a drawing, {others} is tried as well, and the smallest is sent"
        ));
    }
    if let Some(facts) = rendition.cached.and_then(|peek| peek.facts)
        && facts.content != Content::Image(format)
    {
        why.push(format!("the rendition in the cache is {}", facts.content.media_type()));
    }
    why
}
