//! Paths of the operator's own, such as those of nginx's image filter or of a Lua script: `/resize/{size}/{path}`.
//!
//! A template is literal text with placeholders. `{width}`, `{height}`, `{format}`, `{quality}` and `{fit}` are native parameters,
//! `{size}` is `WxH`, `W` or `xH`, and `{path}`, which may have slashes, is the name of the original. Native parameters that
//! all URLs of a template have stand in its `query`.

use super::meaning::{Meaning, invalid};
use super::options::OptionDoc;
use super::source::Sources;
use super::values::percent_decode;
use crate::dialect::native::{Params, query};
use crate::dialect::{Dialect, Error, InvalidParams, Statement};

/// Templates in the order in which they are tried.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    templates: Vec<Template>,
    sources: Sources,
}

#[derive(Clone, Debug)]
struct Template {
    parts: Vec<Part>,
    /// The folder of all its paths, with a slash at its end; `/` for none.
    folder: String,
    /// The parameters of all its URLs.
    params: Params,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    Size,
    Path,
    /// A native parameter.
    Parameter(&'static str),
}

const PLACEHOLDERS: [(&str, Placeholder); 7] = [
    ("width", Placeholder::Parameter("width")),
    ("height", Placeholder::Parameter("height")),
    ("format", Placeholder::Parameter("format")),
    ("quality", Placeholder::Parameter("quality")),
    ("fit", Placeholder::Parameter("fit")),
    ("size", Placeholder::Size),
    ("path", Placeholder::Path),
];

/// Why a template is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// It does not begin with a slash.
    #[error("{0:?} does not begin with /")]
    Relative(String),
    /// Its text is in no path that could be a template's.
    #[error("{0:?} matches no path: it has other characters than percent-encoded paths have, or begins with /-/")]
    Text(String),
    /// A placeholder that does not exist, or a brace alone.
    #[error(
        "{0:?} has a placeholder other than {{width}}, {{height}}, {{size}}, {{format}}, {{quality}}, {{fit}} and {{path}}"
    )]
    Placeholder(String),
    /// One `{path}` is needed, and every other placeholder at most once, with text between them.
    #[error("{0:?} must have one {{path}}, each placeholder at most once, and text between two of them")]
    Shape(String),
    /// Invalid parameters.
    #[error("the query of {0:?}: {1}")]
    Query(String, String),
}

impl Templates {
    /// Templates of pairs of `match` and `query`.
    ///
    /// # Errors
    /// [`InvalidTemplate`].
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>, sources: Sources,
    ) -> Result<Templates, InvalidTemplate> {
        let templates = pairs.into_iter().map(|(path, query)| Template::new(path, query));
        Ok(Templates { templates: templates.collect::<Result<_, _>>()?, sources })
    }

    /// Whether a path belongs to the templates: one of them matches it, or all paths of its folder are theirs.
    pub fn has(&self, path: &str) -> bool {
        let owns = |template: &Template| template.folder != "/" && path.starts_with(&template.folder);
        self.templates.iter().any(|template| owns(template) || template.matched(path).is_some())
    }

    /// The first template that matches a path, and the values of its placeholders.
    fn matched<'a>(&self, path: &'a str) -> Option<(&Template, Vec<(Placeholder, &'a str)>)> {
        self.templates.iter().find_map(|template| Some((template, template.matched(path)?)))
    }
}

impl Dialect for Templates {
    fn name(&self) -> &'static str {
        "paths"
    }

    fn read(&self, rest: &str, _query: Option<&str>, _now: u64) -> Result<Statement, Error> {
        let (template, values) = self.matched(rest).ok_or(Error::InvalidName)?;
        let mut meaning = Meaning::from(template.params.clone());
        let mut source = "";
        for (placeholder, value) in values {
            match placeholder {
                Placeholder::Path => source = value,
                Placeholder::Size => set_size(&mut meaning, value)?,
                Placeholder::Parameter(name) => meaning.set((name, value), name, value)?,
            }
        }
        let source = percent_decode(source).ok_or(Error::InvalidName)?;
        Ok(Statement::new(self.sources.id(&source)?, meaning.into_params()))
    }

    fn negotiates_format(&self, rest: &str, _query: Option<&str>) -> bool {
        let read = self.read(rest, None, 0);
        let by_template = |params: &Params| query::negotiates_format(&query::canonical(params, &[]));
        match read {
            Ok(statement) => by_template(&statement.params),
            Err(_) => self.matched(rest).is_some_and(|(template, values)| {
                let is_auto = |(placeholder, value): &(Placeholder, &str)| {
                    *placeholder == Placeholder::Parameter("format") && value.eq_ignore_ascii_case("auto")
                };
                by_template(&template.params) || values.iter().any(is_auto)
            }),
        }
    }

    fn options(&self) -> Vec<OptionDoc> {
        let doc = |(name, placeholder): &(&'static str, Placeholder)| OptionDoc {
            names: vec![name],
            allowed: match placeholder {
                Placeholder::Size => "`WxH`, `W` or `xH`; `-` or nothing for a side that follows",
                Placeholder::Path => "the rest of the path, or what stands before the text behind it",
                Placeholder::Parameter(_) => "as in native URLs",
            },
            about: "",
            treatment: "read",
        };
        PLACEHOLDERS.iter().map(doc).collect()
    }

    fn is_unsigned(&self) -> bool {
        true
    }
}

/// Sets the sides of `WxH`.
fn set_size(meaning: &mut Meaning, size: &str) -> Result<(), Error> {
    let (width, height) = size.split_once('x').unwrap_or((size, ""));
    let is_given = |side: &str| !matches!(side, "" | "-");
    if !is_given(width) && !is_given(height) {
        return Err(invalid("size", size, "a width, a height or both, such as 300x200, 300 or x200"));
    }
    for (name, side) in [("width", width), ("height", height)] {
        if is_given(side) {
            meaning.set(("size", size), name, side)?;
        }
    }
    Ok(())
}

impl Template {
    fn new(path: &str, query: &str) -> Result<Template, InvalidTemplate> {
        if !path.starts_with('/') {
            return Err(InvalidTemplate::Relative(path.into()));
        }
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#');
        if path.starts_with("/-/") || !path.chars().all(is_plain) {
            return Err(InvalidTemplate::Text(path.into()));
        }
        let parts = parts(path).ok_or_else(|| InvalidTemplate::Placeholder(path.into()))?;
        let placeholders: Vec<_> = parts.iter().filter(|part| matches!(part, Part::Placeholder(_))).collect();
        let is_path = |part: &&&Part| ***part == Part::Placeholder(Placeholder::Path);
        let has_one_path = placeholders.iter().filter(is_path).count() == 1;
        let is_repeated = (1..placeholders.len()).any(|at| placeholders[..at].contains(&placeholders[at]));
        let touches = |pair: &[Part]| pair.iter().all(|part| matches!(part, Part::Placeholder(_)));
        if !has_one_path || is_repeated || parts.windows(2).any(touches) {
            return Err(InvalidTemplate::Shape(path.into()));
        }
        let wrong = |why: String| InvalidTemplate::Query(path.into(), why);
        let parsed = query::parse(query).map_err(|invalid: InvalidParams| wrong(invalid.to_string()))?;
        if let Some((name, value)) = parsed.unknown.first() {
            return Err(wrong(query::unknown(name, value).to_string()));
        }
        if parsed.params.s.is_some() || parsed.params.expires.is_some() {
            return Err(wrong("s and expires are not allowed in a template".into()));
        }
        let literal = path.split('{').next().unwrap_or_default();
        let folder = literal[..literal.rfind('/').map_or(0, |at| at + 1)].to_owned();
        Ok(Template { parts, folder, params: parsed.params })
    }

    /// The values of the placeholders, where the path matches. Each has no slash and is as short as possible, but for `{path}`,
    /// which is as long as possible and not empty.
    fn matched<'a>(&self, path: &'a str) -> Option<Vec<(Placeholder, &'a str)>> {
        let mut values = Vec::with_capacity(self.parts.len());
        let mut rest = path;
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Placeholder(placeholder) => {
                    let end = match (self.parts.get(at + 1), placeholder) {
                        // the text behind the path is the end of the URL, or begins its last occurrence
                        (Some(Part::Text(text)), Placeholder::Path) => rest.rfind(text.as_str())?,
                        (Some(Part::Text(text)), _) => rest.find(text.as_str())?,
                        _ => rest.len(),
                    };
                    let value = &rest[..end];
                    let is_valid =
                        if *placeholder == Placeholder::Path { !value.is_empty() } else { !value.contains('/') };
                    if !is_valid {
                        return None;
                    }
                    values.push((*placeholder, value));
                    rest = &rest[end..];
                }
            }
        }
        rest.is_empty().then_some(values)
    }
}

/// The parts of a template; `None` where a placeholder does not exist.
fn parts(path: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let (text, behind) = rest.split_once('{').unwrap_or((rest, ""));
        if text.contains('}') {
            return None;
        }
        if !text.is_empty() {
            parts.push(Part::Text(text.to_owned()));
        }
        if text.len() == rest.len() {
            break;
        }
        let (name, after) = behind.split_once('}')?;
        let &(_, placeholder) = PLACEHOLDERS.iter().find(|(known, _)| *known == name)?;
        parts.push(Part::Placeholder(placeholder));
        rest = after;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(matches: &[&'static str]) -> Templates {
        Templates::new(matches.iter().map(|path| (*path, "")), Sources::default()).expect("good templates")
    }

    /// The name and the canonical query of a path.
    fn read(templates: &Templates, path: &str) -> Option<(String, String)> {
        let statement = templates.read(path, None, 0).ok()?;
        Some((statement.id.as_str().to_owned(), query::canonical(&statement.params, &[])))
    }

    #[test]
    fn first_template_that_matches_reads_the_path() {
        for (matches, path, id, query) in [
            (&["/a/{width}/{path}", "/a/{height}/{path}"][..], "/a/9/b.jpg", "b.jpg", "width=9"),
            (&["/a/{height}/{path}", "/a/{width}/{path}"], "/a/9/b.jpg", "b.jpg", "height=9"),
            (&["/a/{width}x{height}/{path}", "/a/{size}/{path}"], "/a/9/b.jpg", "b.jpg", "width=9"),
            (&["/{width}-{height}/{path}"], "/3-4/5-6.jpg", "5-6.jpg", "height=4&width=3"),
            (&["/{fit}/{quality}/{width}/{path}"], "/cover/7/8/b.jpg", "b.jpg", "fit=cover&quality=7&width=8"),
            (&["/t/{path}/{size}.webp"], "/t/a/b.jpg/3x4.webp", "a/b.jpg", "height=4&width=3"),
            (&["/t/{path}.{format}"], "/t/a.b.png", "a.b", "format=png"),
            (&["/t-{path}"], "/t-a/b.jpg", "a/b.jpg", ""),
            (&["/t/{path}@2x.jpg"], "/t/a@2x.jpg/b@2x.jpg", "a@2x.jpg/b", ""),
        ] {
            let expected = Some((id.to_owned(), query.to_owned()));
            assert_eq!(read(&templates(matches), path), expected, "{matches:?} {path}");
        }
    }

    #[test]
    fn placeholders_override_the_query() {
        let pairs = [("/q/{quality}/{size}/{path}", "quality=70&width=5&fit=cover")];
        let templates = Templates::new(pairs, Sources::default()).expect("a good template");
        let expected = Some(("a.jpg".to_owned(), "fit=cover&height=4&quality=9&width=5".to_owned()));
        assert_eq!(read(&templates, "/q/9/x4/a.jpg"), expected);
    }

    #[test]
    fn refusals_vary_by_accept_as_the_template_that_matches_does() {
        let pairs =
            [("/a/{width}/{path}", "format=auto"), ("/b/{width}/{path}", ""), ("/{fit}/{width}/{path}", "auto=format")];
        let templates = Templates::new(pairs, Sources::default()).expect("good templates");
        for (path, expected) in [("/a/0/c.jpg", true), ("/b/0/c.jpg", false), ("/cover/0/c.jpg", true), ("/b", false)] {
            assert!(templates.read(path, None, 0).is_err(), "{path}");
            assert_eq!(templates.negotiates_format(path, None), expected, "{path}");
        }
    }

    #[test]
    fn paths_of_a_folder_belong_to_its_templates() {
        let templates = templates(&["/crop/{size}/{path}", "/w{width}/{path}"]);
        for (path, expected) in
            [("/crop/9", true), ("/crop", false), ("/cropped/9/a.jpg", false), ("/w9/a.jpg", true), ("/w9", false)]
        {
            assert_eq!(templates.has(path), expected, "{path}");
        }
    }

    #[test]
    fn invalid_templates_are_refused() {
        for (path, query) in [
            ("crop/{path}", ""),
            ("/crop/{size}", ""),
            ("/crop/{path}/{path}", ""),
            ("/{size}/{size}/{path}", ""),
            ("/{width}{height}/{path}", ""),
            ("/{name}/{path}", ""),
            ("/{path", ""),
            ("/path}/{path}", ""),
            ("/{path}", "width=0"),
            ("/{path}", "widht=9"),
            ("/{path}", "s=abc"),
            ("/{path}", "expires=1"),
            // no path has these
            ("/a b/{path}", ""),
            ("/a?b/{path}", ""),
            ("/{path}#b", ""),
            ("/caf\u{e9}/{path}", ""),
            ("/-/{path}", ""),
        ] {
            assert!(Templates::new([(path, query)], Sources::default()).is_err(), "{path} {query}");
        }
    }
}
