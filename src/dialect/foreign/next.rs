//! The URLs of Next.js's image optimiser: `/_next/image?url=…&w=…&q=…`, as `next/image` prints them.
//!
//! As there, the widths and qualities are lists, so that clients cannot ask for every size (`imageSizes`, `deviceSizes` and
//! `qualities` of `next.config.js`).

use std::borrow::Cow;

use super::meaning::{Meaning, invalid};
use super::options::{self, ForeignOption, OptionDoc, Treatment};
use super::source::Sources;
use super::values::{form_decode, pairs, percent_decode, whole};
use crate::dialect::{Dialect, Error, Statement};

/// The longest `url`, in characters, as in Next.js.
const MAX_URL: usize = 3072;

/// The dialect of `next/image`.
#[derive(Clone, Debug)]
pub struct Next {
    /// The path that it is mounted at.
    pub mount: String,
    /// The addresses of our own originals.
    pub sources: Sources,
    /// Allowed values of `w`; empty allows all.
    pub widths: Vec<u32>,
    /// Allowed values of `q`; empty allows 1 to 100.
    pub qualities: Vec<u32>,
}

/// The parameters as they are sent.
#[derive(Default)]
struct Draft<'a> {
    url: Option<Cow<'a, str>>,
    w: Option<Cow<'a, str>>,
    q: Option<Cow<'a, str>>,
}

/// The parameters, for documentation: all three are required once.
const OPTIONS: &[ForeignOption<()>] = &[
    ForeignOption {
        name: "url",
        aliases: &[],
        allowed: "a path that begins with /, or an address below `bases`; at most 3072 characters",
        about: "the original",
        treatment: Treatment::Read(|(), _, _| Ok(())),
    },
    ForeignOption {
        name: "w",
        aliases: &[],
        allowed: "one of `widths`",
        about: "`width`",
        treatment: Treatment::Read(|(), _, _| Ok(())),
    },
    ForeignOption {
        name: "q",
        aliases: &[],
        allowed: "one of `qualities`",
        about: "`quality`",
        treatment: Treatment::Read(|(), _, _| Ok(())),
    },
    ForeignOption {
        name: "dpl",
        aliases: &[],
        allowed: "any",
        about: "the name of a deployment",
        treatment: Treatment::Ignored,
    },
];

impl Dialect for Next {
    fn name(&self) -> &'static str {
        "next"
    }

    fn read(&self, rest: &str, query: Option<&str>, _now: u64) -> Result<Statement, Error> {
        if !rest.is_empty() {
            return Err(Error::InvalidName);
        }
        let draft = Draft::parse(query.unwrap_or_default())?;
        let required = |value: Option<Cow<'_, str>>, name| {
            value.map(Cow::into_owned).ok_or_else(|| invalid(name, "", "it is required, once"))
        };
        let (url, w, q) = (required(draft.url, "url")?, required(draft.w, "w")?, required(draft.q, "q")?);
        let mut meaning = Meaning::default();
        meaning.set(("w", &w), "width", &listed("w", &w, &self.widths, 1..=u32::MAX)?)?;
        meaning.set(("q", &q), "quality", &listed("q", &q, &self.qualities, 1..=100)?)?;
        meaning.set(("url", &url), "format", "auto")?;
        let id = self.original(&url)?;
        Ok(Statement { refuses_svg: true, ..Statement::new(id, meaning.into_params()) })
    }

    fn negotiates_format(&self, _rest: &str, _query: Option<&str>) -> bool {
        true
    }

    fn options(&self) -> Vec<OptionDoc> {
        options::docs(OPTIONS)
    }

    fn write(&self, id: &crate::source::ImageId, params: &crate::dialect::Params) -> Vec<String> {
        super::write::next(id, params)
    }

    fn is_unsigned(&self) -> bool {
        true
    }
}

impl Next {
    /// The original that `url` names, whose path is encoded once more.
    fn original(&self, url: &str) -> Result<crate::source::ImageId, Error> {
        let is_address = ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        let path = &url[..url.find(['?', '#']).unwrap_or(url.len())];
        let decoded = percent_decode(path);
        let allowed = match () {
            () if url.chars().count() > MAX_URL => Some("it has at most 3072 characters"),
            () if url.starts_with("//") => Some("it may not begin with //"),
            () if !url.starts_with('/') && !is_address => Some("it begins with /, or is an http or https address"),
            () if decoded.as_deref().is_some_and(|path| is_below(path, &self.mount)) => {
                Some("it may not be a URL of this dialect")
            }
            () => None,
        };
        if let Some(allowed) = allowed {
            return Err(invalid("url", url, allowed));
        }
        if is_address {
            return self.sources.id(url);
        }
        self.sources.id(&decoded.ok_or(Error::InvalidName)?)
    }
}

impl<'a> Draft<'a> {
    fn parse(query: &'a str) -> Result<Draft<'a>, Error> {
        let mut draft = Draft::default();
        for (name, value) in pairs(query) {
            let field = match name {
                "url" => &mut draft.url,
                "w" => &mut draft.w,
                "q" => &mut draft.q,
                _ => continue,
            };
            let value = value.unwrap_or_default();
            let decoded = form_decode(value).ok_or_else(|| invalid(name, value, "it is percent-encoded UTF-8"))?;
            if field.replace(decoded).is_some() {
                return Err(invalid(name, value, "it may be given only once"));
            }
        }
        Ok(draft)
    }
}

fn is_below(path: &str, mount: &str) -> bool {
    path.strip_prefix(mount).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

/// A number of a list, or of a range where that is empty.
fn listed(name: &str, text: &str, list: &[u32], range: std::ops::RangeInclusive<u32>) -> Result<String, Error> {
    let number =
        whole(text).filter(|number| if list.is_empty() { range.contains(number) } else { list.contains(number) });
    number.map(|number| number.to_string()).ok_or_else(|| {
        let all = list.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        let allowed = if list.is_empty() { format!("{} or more", range.start()) } else { format!("one of {all}") };
        invalid(name, text, allowed)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lists_allow_all_widths_and_qualities() {
        let sources = Sources::default();
        let next = Next { mount: "/img".into(), sources, widths: Vec::new(), qualities: Vec::new() };
        for (query, is_allowed) in [
            ("w=1&q=1", true),
            ("w=401&q=100", true),
            ("w=20000&q=50", true),
            ("w=0&q=75", false),
            ("w=640&q=0", false),
            ("w=640&q=101", false),
            ("w=640", false),
        ] {
            let read = next.read("", Some(&format!("url=/a.jpg&{query}")), 0);
            assert_eq!(read.is_ok(), is_allowed, "{query}");
        }
        for (url, expected) in
            [("/img/a.jpg", false), ("/img?url=/a.jpg", false), ("/_next/image", true), ("/imgs/a.jpg", true)]
        {
            let url = url.replace('?', "%3F");
            let read = next.read("", Some(&format!("url={url}&w=9&q=9")), 0);
            assert_eq!(read.is_ok(), expected, "{url}");
        }
        assert_eq!(next.read("/", Some("url=/a.jpg&w=9&q=9"), 0).err(), Some(Error::InvalidName));
    }
}
