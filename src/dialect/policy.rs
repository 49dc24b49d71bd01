//! From what was said to what is meant: signatures, presets, defaults, the width ladder, negotiation.

use std::collections::BTreeMap;

use super::params::{Fit, Params, Wanted};
use super::signature::Keys;
use super::{Error, InvalidParam, InvalidParams, Target, negotiate, query};
use crate::render::geometry::{Gravity, Orientation, Resize, Wish};
use crate::render::recipe::{Metadata, Output, Quality};
use crate::render::{Format, Recipe};
use crate::source::ImageId;

/// What the operator decides about URLs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The quality where none is said.
    pub quality: Quality,
    /// What `format=auto` may choose, best first.
    pub formats: Vec<Format>,
    /// The longest side that can be wished for.
    pub max_dimension: u32,
    /// The widths that exist, rising; empty for all.
    pub widths: Vec<u32>,
    /// What becomes of a width that is not among them.
    pub snap: Snap,
    /// Whether a parameter that tintype does not know is an error.
    pub reject_unknown: bool,
    /// Names for sets of parameters, each written as a query.
    pub presets: BTreeMap<String, String>,
    /// Signing keys.
    pub keys: Keys,
    /// Whether a URL must be signed.
    pub require_signature: bool,
}

/// What becomes of a width that is not on the ladder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Snap {
    /// It is made; there is no ladder.
    #[default]
    Off,
    /// The next larger one is made.
    Up,
    /// It is refused.
    Reject,
}

/// The rules, checked.
#[derive(Debug)]
pub struct Policy {
    config: Config,
    presets: BTreeMap<String, Params>,
}

/// A preset that the settings define wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("preset {name}: {reason}")]
pub struct InvalidPreset {
    /// Which.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Policy {
    /// Checks the rules.
    ///
    /// # Errors
    /// [`InvalidPreset`] where a preset's parameters are wrong, or one refers to another.
    pub fn new(mut config: Config) -> Result<Policy, InvalidPreset> {
        config.widths.sort_unstable();
        let mut presets = BTreeMap::new();
        for (name, text) in &config.presets {
            let invalid = |reason: String| InvalidPreset { name: name.clone(), reason };
            let parsed = query::parse(text).map_err(|wrong| invalid(Error::InvalidParams(wrong).to_string()))?;
            if let Some((name, value)) = parsed.unknown.first() {
                return Err(invalid(query::unknown(name, value).to_string()));
            }
            if parsed.params.preset.is_some() || parsed.params.s.is_some() || parsed.params.expires.is_some() {
                return Err(invalid("preset, s and expires have no place in a preset".into()));
            }
            presets.insert(name.clone(), parsed.params);
        }
        Ok(Policy { config, presets })
    }

    /// Reads a request: the path and the query as they were sent, the Accept headers joined by commas, and the time in
    /// unix seconds.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn target(&self, path: &str, query: Option<&str>, accept: &str, now: u64) -> Result<Target, Error> {
        let parsed = query::parse(query.unwrap_or_default()).map_err(Error::InvalidParams)?;
        self.check_signature(path, &parsed.params)?;
        if parsed.params.expires.is_some_and(|expires| expires < now) {
            return Err(Error::Expired);
        }
        self.check_unknown(&parsed.unknown)?;
        let id = ImageId::parse(path).map_err(|_| Error::InvalidName)?;
        let expires = parsed.params.expires;
        let renders = parsed.params.render();
        let is_signed = parsed.params.s.is_some();
        let mut params = self.expand(parsed.params)?;
        let snapped = self.climb(&mut params)?.then(|| self.snapped(path, &params, is_signed));
        let (download, immutable) = (params.download.clone(), params.v.is_some());
        let negotiable = self.wanted(&params) == Wanted::Auto;
        let recipe = renders.then(|| self.recipe(&params, accept)).transpose()?;
        let negotiable = negotiable && recipe.is_some();
        Ok(Target { id, negotiable, recipe, snapped, download, immutable, expires })
    }

    /// Whether a query, right or wrong, leaves the format to negotiation, by itself or by its preset: answers that refuse it
    /// vary by Accept, too.
    pub fn leaves_the_format_open(&self, query: &str) -> bool {
        let opens = |name: &str| self.presets.get(name).is_some_and(|preset| self.wanted(preset) == Wanted::Auto);
        query::leaves_the_format_open(query) || query::said_preset(query).is_some_and(|name| opens(&name))
    }

    /// The signed form of a path and a query; `None` where there is no key.
    ///
    /// # Errors
    /// [`Error::InvalidParams`] where the URL would be refused anyhow.
    pub fn sign(&self, path: &str, query: &str) -> Result<Option<String>, Error> {
        let parsed = query::parse(query).map_err(Error::InvalidParams)?;
        self.check_unknown(&parsed.unknown)?;
        let canonical = self.signed_text(&parsed.params);
        let Some(signature) = self.config.keys.sign(path, &canonical) else { return Ok(None) };
        let joint = if canonical.is_empty() { "" } else { "&" };
        Ok(Some(format!("{path}?{canonical}{joint}s={signature}")))
    }

    fn check_unknown(&self, unknown: &[(String, String)]) -> Result<(), Error> {
        let mut wrong = InvalidParams::default();
        if self.config.reject_unknown {
            unknown.iter().for_each(|(name, value)| wrong.add(|| query::unknown(name, value)));
        }
        wrong.into_result().map_err(Error::InvalidParams)
    }

    /// Before any file is touched. A wrong signature is refused where none is required, too: its sender believes in it.
    fn check_signature(&self, path: &str, params: &Params) -> Result<(), Error> {
        match &params.s {
            Some(signature) if self.config.keys.verify(path, &self.signed_text(params), signature) => Ok(()),
            Some(_) => Err(Error::Signature("the signature does not match this path and these parameters")),
            None if self.config.require_signature => Err(Error::Signature("this server answers signed URLs only")),
            None => Ok(()),
        }
    }

    /// What is signed: the canonical query with `v`, `expires` and `download`, and without the signature.
    ///
    /// One signature must not be good for two answers. So what is the default stays where leaving it out would mean
    /// something else: beside a preset, which may say otherwise, and where nothing would be left to ask for a rendition,
    /// since nothing asks for the original's own bytes, metadata and all.
    fn signed_text(&self, params: &Params) -> String {
        let normal = self.normal(params.clone());
        let means_more = params.preset.is_some() || params.render() && !normal.render();
        query::canonical(if means_more { params } else { &normal }, &["s"])
    }

    /// The query of the URL that a snapped one stands for. Where that was signed so is this, and holds as long.
    fn snapped(&self, path: &str, params: &Params, is_signed: bool) -> String {
        if !is_signed {
            return self.canonical(params);
        }
        let query = query::canonical(&self.normal(params.clone()), &["s", "v", "download"]);
        match self.config.keys.sign(path, &query) {
            Some(signature) => format!("{query}&s={signature}"),
            None => query,
        }
    }

    /// The query that names the rendition, presets resolved.
    fn canonical(&self, params: &Params) -> String {
        query::canonical(&self.normal(params.clone()), &["s", "v", "expires", "download"])
    }

    /// Without what is the default anyhow, `dpr` folded into the sides.
    fn normal(&self, mut params: Params) -> Params {
        fn drop_default<T: PartialEq>(said: &mut Option<T>, default: T) {
            if said.as_ref() == Some(&default) {
                *said = None;
            }
        }
        fold_dpr(&mut params, self.config.max_dimension);
        if params.auto.is_some_and(|auto| auto.format) && params.format.is_none() {
            params.format = Some(Wanted::Auto);
        }
        params.auto = None;
        let fit = self.default_fit(&params);
        drop_default(&mut params.fit, fit);
        drop_default(&mut params.position, Gravity::CENTER);
        drop_default(&mut params.quality, self.config.quality);
        drop_default(&mut params.lossless, false);
        drop_default(&mut params.enlarge, false);
        drop_default(&mut params.rotate, 0);
        drop_default(&mut params.sharpen, 0);
        drop_default(&mut params.trim, 0);
        drop_default(&mut params.animated, true);
        drop_default(&mut params.metadata, Metadata::None);
        params
    }

    /// `fit` where it is not said: a wished ratio is there to be filled.
    fn default_fit(&self, params: &Params) -> Fit {
        if params.aspect_ratio.is_some() { Fit::Cover } else { Fit::Contain }
    }

    /// Fills in the preset.
    fn expand(&self, mut params: Params) -> Result<Params, Error> {
        let Some(name) = params.preset.take() else { return Ok(params) };
        match self.presets.get(&name) {
            Some(preset) => Ok(params.or(preset)),
            None => {
                let did_you_mean = super::nearest(&name, self.presets.keys().map(String::as_str)).map(str::to_owned);
                let allowed = "the name of a preset that the settings define".into();
                let wrong = InvalidParam { name: "preset".into(), value: name, allowed, did_you_mean };
                Err(Error::InvalidParams(wrong.into()))
            }
        }
    }

    /// Puts the width on the ladder and says whether that changed it.
    fn climb(&self, params: &mut Params) -> Result<bool, Error> {
        fold_dpr(params, self.config.max_dimension);
        let (Some(width), Some(&top)) = (params.width, self.config.widths.last()) else { return Ok(false) };
        if self.config.snap == Snap::Off || self.config.widths.contains(&width) {
            return Ok(false);
        }
        let step = self.config.widths.iter().copied().find(|&step| step >= width);
        if self.config.snap == Snap::Reject {
            let widths = self.config.widths.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            let meant = Some(step.unwrap_or(top).to_string());
            let wrong = InvalidParam::new("width", &width.to_string(), format!("one of {widths}"), meant);
            return Err(Error::InvalidParams(wrong.into()));
        }
        let step = step.unwrap_or(top);
        // a box keeps its ratio
        if let Some(height) = params.height {
            let scaled = f64::from(height) * f64::from(step) / f64::from(width);
            params.height = Some((scaled.round() as u32).clamp(1, self.config.max_dimension));
        }
        params.width = Some(step);
        Ok(true)
    }

    fn wanted(&self, params: &Params) -> Wanted {
        match params.format {
            Some(wanted) => wanted,
            None if params.auto.is_some_and(|auto| auto.format) => Wanted::Auto,
            None => Wanted::Original,
        }
    }

    fn recipe(&self, params: &Params, accept: &str) -> Result<Recipe, Error> {
        let quality = params.quality.unwrap_or(self.config.quality);
        let lossless = params.lossless.unwrap_or(false);
        let output = match self.wanted(params) {
            // the description of an original depends on nothing else
            Wanted::Json => return Ok(Recipe::description()),
            Wanted::Exactly(format) if lossless && !format.can_be_lossless() => {
                return Err(conflict("lossless", "true", &format!("WebP and PNG only, not {format}")));
            }
            Wanted::Exactly(format) => Output::Exactly(format),
            Wanted::Original => Output::Original,
            Wanted::Auto => {
                let fit = |format: &Format| !lossless || format.can_be_lossless();
                let formats: Vec<Format> = self.config.formats.iter().copied().filter(fit).collect();
                Output::Auto(negotiate::choose(accept, &formats))
            }
        };
        let turn = Orientation::quarter_turns(u32::from(params.rotate.unwrap_or(0)) / 90);
        let flip = params.flip.map_or(Orientation::UPRIGHT, |flip| Orientation {
            transpose: false,
            mirror_x: flip.horizontal,
            mirror_y: flip.vertical,
        });
        Ok(Recipe {
            rect: params.rect,
            trim: params.trim.filter(|&tolerance| tolerance > 0),
            turn: turn.then(flip),
            resize: self.resize(params)?,
            blur: params.blur,
            sharpen: params.sharpen.filter(|&amount| amount > 0),
            background: params.background.filter(|colour| colour.0[3] > 0),
            lossless,
            animated: params.animated.unwrap_or(true),
            metadata: params.metadata.unwrap_or_default(),
            // what is lossless has no quality, and two of them must not be two renditions
            ..Recipe::new(output, if lossless { self.config.quality } else { quality })
        })
    }

    fn resize(&self, params: &Params) -> Result<Resize, Error> {
        let max = self.config.max_dimension;
        let [mut width, mut height] = within(max, [params.width, params.height].map(|side| side.map(f64::from)));
        let gravity = params.position.unwrap_or(Gravity::CENTER);
        if let Some(ratio) = params.aspect_ratio {
            match (width, height) {
                (None, None) => return Ok(Resize::Crop(ratio, gravity)),
                (None, Some(h)) => {
                    [width, height] = within(max, [f64::from(h) * ratio.value(), f64::from(h)].map(Some));
                }
                (Some(w), None) => {
                    [width, height] = within(max, [f64::from(w), f64::from(w) / ratio.value()].map(Some));
                }
                _ => {
                    let value = format!("{}:{}", ratio.width, ratio.height);
                    return Err(conflict("aspect_ratio", &value, "with width or height, not with both"));
                }
            }
        }
        let [width, height] = [width, height].map(Option::unwrap_or_default);
        let wish = Wish { width, height, enlarge: params.enlarge.unwrap_or(false) };
        let resize = match params.fit.unwrap_or(self.default_fit(params)) {
            Fit::Contain => Resize::Contain(wish),
            Fit::Cover => Resize::Cover(wish, gravity),
            Fit::Fill => Resize::Fill(wish),
            Fit::Outside => Resize::Outside(wish),
            Fit::Pad => Resize::Pad(wish, gravity),
        };
        Ok(resize.canonical())
    }
}

/// Multiplies the sides by `dpr` and clamps them.
fn fold_dpr(params: &mut Params, max: u32) {
    let dpr = params.dpr.take().map_or(1.0, |hundredths| f64::from(hundredths) / 100.0);
    let sides = [params.width, params.height].map(|side| side.map(|side| f64::from(side) * dpr));
    [params.width, params.height] = within(max, sides);
}

/// The sides in whole pixels, where one is above `max` both scaled down until none is: a box keeps its ratio.
fn within(max: u32, sides: [Option<f64>; 2]) -> [Option<u32>; 2] {
    let longest = sides.into_iter().flatten().fold(1.0, f64::max);
    let scale = (f64::from(max) / longest).min(1.0);
    sides.map(|side| side.map(|side| ((side * scale).round() as u32).clamp(1, max)))
}

/// Parameters that are right each by itself and not together.
fn conflict(name: &str, value: &str, allowed: &str) -> Error {
    Error::InvalidParams(InvalidParam::new(name, value, allowed, None).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::recipe::Choice;

    fn config() -> Config {
        Config {
            quality: Quality::default(),
            formats: vec![Format::Avif, Format::WebP],
            max_dimension: 8192,
            widths: Vec::new(),
            snap: Snap::Off,
            reject_unknown: false,
            presets: BTreeMap::new(),
            keys: Keys::default(),
            require_signature: false,
        }
    }

    fn target(config: Config, query: &str) -> Result<Target, Error> {
        Policy::new(config).expect("good rules").target("/a.jpg", Some(query), "", 1000)
    }

    fn recipe(query: &str) -> Recipe {
        target(config(), query).unwrap_or_else(|error| panic!("{query}: {error}")).recipe.expect("a recipe")
    }

    #[test]
    fn spellings_of_one_wish_are_one_recipe() {
        let check = |queries: &[&str]| {
            for query in queries {
                assert_eq!(recipe(query), recipe(queries[0]), "{query}");
            }
        };
        check(&[
            "width=800",
            "w=800",
            "w=400&dpr=2",
            "w=800&fit=contain",
            "w=800&q=75",
            "w=800&utm_source=x",
            "w=800&v=1",
        ]);
        check(&["w=800&fit=cover", "w=800&fit=contain", "w=800&fit=outside", "w=800&fit=fill"]);
        check(&[
            "w=8&h=9&fit=cover",
            "w=8&h=9&fit=crop&g=center",
            "h=9&w=8&fit=min&pos=0.5x0.5",
            "w=8&h=9&fit=cover&a=c",
        ]);
        check(&["w=99999", "w=8192", "w=9000&dpr=5"]);
        check(&["w=9000&h=4500&fit=cover", "w=8192&h=4096&fit=cover", "w=3000&h=1500&dpr=5&fit=cover"]);
        check(&["h=9999&ar=2:1", "h=4096&ar=2:1", "w=9999&ar=2:1"]);
        check(&["w=1600&ar=16:9", "w=1600&h=900&fit=cover", "w=1600&ar=1.7777777"]);
        check(&["w=100&lossless", "w=100&lossless=1&q=20"]);
        check(&["rotate=180", "flip=hv"]);
        check(&["f=json", "f=json&w=100&q=3"]);
    }

    #[test]
    fn nothing_asked_is_the_original() {
        for query in ["", "utm_source=x", "v=3", "download=a.jpg", "v=3&expires=2000"] {
            assert!(target(config(), query).expect("good").recipe.is_none(), "{query}");
        }
        for query in ["dpr=1", "q=80", "auto=compress", "format=original"] {
            assert!(target(config(), query).expect("good").recipe.is_some(), "{query}");
        }
    }

    #[test]
    fn conflicts() {
        for query in ["ar=1:1&w=1&h=1", "lossless&f=jpeg", "lossless&f=avif", "lossless&f=gif", "preset=none"] {
            assert!(matches!(target(config(), query), Err(Error::InvalidParams(_))), "{query}");
        }
    }

    #[test]
    fn presets_are_overridden() {
        let presets = [("avatar".to_owned(), "w=96&h=96&fit=cover".to_owned())].into();
        let config = Config { presets, ..config() };
        let with = |query| target(config.clone(), query).expect("good").recipe.expect("a recipe");
        assert_eq!(with("preset=avatar"), recipe("w=96&h=96&fit=cover"));
        assert_eq!(with("preset=avatar&w=48"), recipe("w=48&h=96&fit=cover"));
        let Err(Error::InvalidParams(wrong)) = target(config.clone(), "preset=avatr") else { panic!("refused") };
        assert_eq!(wrong[0].did_you_mean.as_deref(), Some("avatar"));
        for bad in ["w=0", "colour=red", "preset=avatar"] {
            let presets = [("bad".to_owned(), bad.to_owned())].into();
            assert!(Policy::new(Config { presets, ..self::config() }).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ladder() {
        let ladder = |snap| Config { widths: vec![640, 320, 1280], snap, ..config() };
        let up = |query| target(ladder(Snap::Up), query).expect("good");
        assert_eq!(up("w=300").recipe, Some(recipe("w=320")));
        assert_eq!(up("w=300").snapped.as_deref(), Some("width=320"));
        assert_eq!(up("w=320").snapped, None);
        assert_eq!(up("w=321&dpr=2").recipe, Some(recipe("w=1280")));
        assert_eq!(up("w=5000").recipe, Some(recipe("w=1280")));
        assert_eq!(up("w=300&h=150&fit=cover").recipe, Some(recipe("w=320&h=160&fit=cover")));
        assert!(target(ladder(Snap::Reject), "w=300").is_err());
        assert!(target(ladder(Snap::Reject), "w=640").is_ok());
    }

    #[test]
    fn negotiation_is_only_where_it_was_left_open() {
        let auto = target(config(), "auto=format,compress").expect("good");
        assert!(auto.negotiable);
        assert_eq!(auto.recipe.map(|recipe| recipe.output), Some(Output::Auto(Choice::Baseline)));
        assert!(!target(config(), "f=webp").expect("good").negotiable);
        assert!(!target(config(), "f=webp&auto=format").expect("good").negotiable);
    }

    #[test]
    fn signatures_are_checked_first() {
        let keys = Keys::new(["0123456789abcdef"]).expect("long enough");
        let presets = [("avatar".to_owned(), "width=96&fit=cover&quality=50".to_owned())].into();
        let config = Config { keys, require_signature: true, presets, ..config() };
        let policy = Policy::new(config.clone()).expect("good rules");
        let signed = policy.sign("/a.jpg", "w=400&dpr=2&f=webp&expires=2000").expect("good").expect("a key");
        let (path, query) = signed.split_once('?').expect("a query");
        assert!(query.starts_with("expires=2000&format=webp&width=800&s="), "{query}");
        assert!(policy.target(path, Some(query), "", 1000).is_ok());
        assert!(matches!(policy.target(path, Some(query), "", 3000), Err(Error::Expired)));
        assert!(matches!(policy.target("/b.jpg", Some(query), "", 1000), Err(Error::Signature(_))));
        let more = format!("{query}&rotate=90");
        assert!(matches!(policy.target(path, Some(&more), "", 1000), Err(Error::Signature(_))));
        assert!(matches!(policy.target("/a.jpg", None, "", 1000), Err(Error::Signature(_))));
        // default or not, what is asked for would not be what was signed
        for (query, other) in [
            ("", "quality=80"),
            ("", "auto=compress"),
            ("quality=80", ""),
            ("v=1", "v=1&dpr=2"),
            ("preset=avatar", "preset=avatar&fit=contain"),
            ("preset=avatar", "preset=avatar&dpr=2"),
            ("preset=avatar", "preset=avatar&quality=80"),
        ] {
            let signed = policy.sign("/a.jpg", query).expect("good").expect("a key");
            let (_, signature) = signed.split_once("s=").expect("a signature");
            let with = |query: &str| policy.target("/a.jpg", Some(&format!("{query}&s={signature}")), "", 1000);
            assert!(with(query).is_ok(), "{query}");
            assert!(matches!(with(other), Err(Error::Signature(_))), "{other} is good with the signature of {query}");
        }
        // the URL that a snapped one stands for is good as well, as long and no longer
        let (widths, snap) = (vec![320, 640], Snap::Up);
        let ladder = Policy::new(Config { widths, snap, ..config.clone() }).expect("good rules");
        let signed = ladder.sign("/a.jpg", "w=500&v=3&expires=2000").expect("good").expect("a key");
        let (path, query) = signed.split_once('?').expect("a query");
        let snapped = ladder.target(path, Some(query), "", 1000).expect("good").snapped.expect("another width");
        assert!(snapped.starts_with("expires=2000&width=640&s="), "{snapped}");
        assert!(ladder.target(path, Some(&snapped), "", 1000).is_ok());
        assert!(matches!(ladder.target(path, Some(&snapped), "", 3000), Err(Error::Expired)));
        let lenient = Policy::new(Config { require_signature: false, ..config }).expect("good rules");
        assert!(lenient.target("/a.jpg", None, "", 1000).is_ok());
        assert!(matches!(lenient.target("/a.jpg", Some("s=AAAA"), "", 1000), Err(Error::Signature(_))));
    }

    #[test]
    fn unknown_parameters_can_be_refused() {
        let config = Config { reject_unknown: true, ..config() };
        for (query, meant) in [("widht=3", "width"), ("width=100&amp;height=50", "height")] {
            let Err(Error::InvalidParams(wrong)) = target(config.clone(), query) else { panic!("refused") };
            assert_eq!(wrong[0].did_you_mean.as_deref(), Some(meant), "{query}");
        }
        let Err(Error::InvalidParams(wrong)) = target(config, &"zz&".repeat(2700)) else { panic!("refused") };
        assert_eq!((wrong.len(), wrong.omitted()), (8, 2692));
    }
}
