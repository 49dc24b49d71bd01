//! Explains a request without answering it: it renders no picture and counts as no use of the cache. The header of the original
//! is read in the same way and within the same bounds as a render reads it.

use std::sync::Arc;
use std::time::Duration;

use super::header::Header;
use super::render_job::{class_of, unknown_memory};
use super::renderer::{Bounds, IsolationError};
use super::resolve::is_smallest;
use super::workers::{Class, Need, WorkError};
use super::{Error, Service};
use crate::cache::{Key, Peek, rendition_key};
use crate::render::recipe::Output;
use crate::render::{self, Content, Estimate, Explanation, Format, Info, Recipe, Settings};
use crate::source::{self, ImageId, Version};

/// The outcome of a request for an original, as far as it can be told. Without a failure it would be answered.
#[derive(Debug, Default)]
pub struct Explained {
    /// The version of the original.
    pub version: Option<Version>,
    /// Whether that version is used only because the origin fails.
    pub stale: bool,
    /// The header of the original.
    pub header: Option<Facts>,
    /// The rendition; `None` where the answer is the original itself, or unknown.
    pub rendition: Option<Rendition>,
    /// The digest of the original, where it is the answer and was sent before.
    pub digest: Option<crate::cache::Digest>,
    /// Why it would fail.
    pub failure: Option<Error>,
}

/// The original, as far as it is known.
#[derive(Clone, Debug)]
pub enum Facts {
    /// The header of a raster image.
    Raster(Arc<Info>),
    /// An SVG scales by itself.
    Svg,
}

/// A rendition, as far as it is known before it is rendered.
#[derive(Debug)]
pub struct Rendition {
    /// The recipe in its one form for this original.
    pub recipe: Recipe,
    /// The numbers for this original; `None` for an SVG and for a description.
    pub plan: Option<Explanation>,
    /// Memory and time that admission counts with.
    pub estimate: Option<Estimate>,
    /// Whether it waits in the queue of heavy renders.
    pub is_heavy: bool,
    /// Its key in the cache.
    pub key: Key,
    /// Where it is; `None` where it would be rendered.
    pub cached: Option<Peek>,
    /// Whether the original's own bytes may be sent in its place, if they are fewer.
    pub may_be_original: bool,
}

impl Service {
    /// Explains a request, by the deadline. `recipe` is `None` where it is for the original itself.
    pub async fn explain(&self, settings: &Arc<Settings>, id: &ImageId, recipe: Option<&Recipe>) -> Explained {
        let mut explained = Explained::default();
        let explaining = self.try_explain(settings, id, recipe, &mut explained);
        let ended = tokio::time::timeout(self.workers.deadline(), explaining).await;
        if let Err(failure) = ended.unwrap_or(Err(WorkError::DeadlineExceeded.into())) {
            explained.failure = Some(failure);
        }
        explained
    }

    async fn try_explain(
        &self, settings: &Arc<Settings>, id: &ImageId, recipe: Option<&Recipe>, explained: &mut Explained,
    ) -> Result<(), Error> {
        let version = self.source.version(id).await?;
        explained.version = Some(version);
        explained.stale = self.source.is_stale(id);
        let header = self.header(id, version, settings).await;
        explained.header = header.as_ref().ok().map(Facts::of);
        let Some(recipe) = recipe else {
            explained.digest = self.originals.get(&version).map(|info| info.digest);
            // damage does not matter to bytes that nobody changes
            return match header {
                Err(Error::Render(render::Error::Malformed { .. })) => Ok(()),
                header => header.map(drop),
            };
        };
        let header = header?;
        if self.crashes.is_refused(version) {
            return Err(IsolationError::Refused.into());
        }
        let rendition = self.explain_rendition(settings, id, version, recipe, &header)?;
        let failure = self.failures.get(&rendition.key);
        explained.rendition = Some(rendition);
        failure.map_or(Ok(()), Err)
    }

    fn explain_rendition(
        &self, settings: &Settings, id: &ImageId, version: Version, recipe: &Recipe, header: &Header,
    ) -> Result<Rendition, Error> {
        if Facts::of(header).format() == Format::Svg {
            render::check_svg_mode(recipe, settings)?;
        }
        let info = header.info().map(Arc::as_ref);
        // sent as it is, or described by its text
        let is_svg = |info: &&Info| info.is_vector() && recipe.passes_svg_through();
        let passed = info.filter(is_svg).is_some();
        let recipe = header.effective(recipe, settings);
        // a description has no size and no format
        let drawn = info.filter(|_| recipe.encode.output != Output::Json && !passed);
        let plan = drawn.map(|info| render::explain(info, &recipe, settings)).transpose()?;
        let estimate = info.map(|info| render::estimate(info, version.length, &recipe, settings)).transpose()?;
        let key = rendition_key(id, &version, &recipe, settings);
        let is_heavy = class_of(&recipe, settings, estimate.map(|estimate| estimate.time)) == Class::Heavy;
        let mut rendition = Rendition { key, is_heavy, estimate, plan, cached: None, may_be_original: false, recipe };
        // as in a request: where the original may be the smallest, the rendition that it is compared with comes first
        if let Some(compared) = self.compared(version, settings, &rendition.recipe) {
            let key = rendition_key(id, &version, &compared, settings);
            let cached = self.cache.peek(key);
            let facts = cached.as_ref().and_then(|peek| peek.facts);
            rendition.may_be_original = facts.is_none();
            if facts.is_none_or(|facts| is_smallest(facts.length, facts.damaged, version)) {
                return Ok(Rendition { key, cached, ..rendition });
            }
        }
        rendition.cached = self.cache.peek(rendition.key);
        rendition.may_be_original |= rendition.plan.as_ref().is_some_and(|plan| plan.may_be_original);
        Ok(rendition)
    }

    /// The header of an original: remembered, from its first bytes, or read by a worker.
    pub(super) async fn header(
        &self, id: &ImageId, version: Version, settings: &Arc<Settings>,
    ) -> Result<Header, Error> {
        self.read_header(id, version, settings).await;
        if let Some(header) = self.headers.get(&version) {
            return Ok(header);
        }
        let local = self.source.make_local(id, version).await?;
        let mut admission = self.workers.admission();
        let need = Need { class: Class::Light, bytes: unknown_memory(version), time: None };
        let permit = admission.permit(need).await?;
        let original = self.source.fetch_local(id, &local).await?.filter(|original| original.version == version);
        let original = original.ok_or(source::Error::Changing)?;
        let bounds = Bounds { memory: need.bytes, deadline: admission.deadline(), is_idle: false };
        let (renderer, settings) = (Arc::clone(&self.renderer), Arc::clone(settings));
        let read = permit.run(move |grant| {
            grant.exclude_from_stats();
            renderer.head(&original.bytes, &settings, bounds)
        });
        let header = read.await??.map_or(Header::Svg, |info| Header::Raster(Arc::new(info)));
        self.headers.insert(version, header.clone());
        Ok(header)
    }

    /// The header of an original.
    ///
    /// # Errors
    /// All of [`Error`].
    pub async fn facts(&self, id: &ImageId) -> Result<(Version, Facts), Error> {
        let settings = self.settings.load_full();
        let read = async {
            let version = self.source.version(id).await?;
            Ok((version, Facts::of(&self.header(id, version, &settings).await?)))
        };
        tokio::time::timeout(self.workers.deadline(), read).await.unwrap_or(Err(WorkError::DeadlineExceeded.into()))
    }

    /// Whether a rendition is the original's own bytes, which are sent where they are fewer.
    ///
    /// # Errors
    /// Those of the source.
    pub async fn is_original(&self, id: &ImageId, rendition: &[u8]) -> Result<bool, Error> {
        let version = self.source.version(id).await?;
        if version.length != rendition.len() as u64 {
            return Ok(false);
        }
        let local = self.source.make_local(id, version).await?;
        let original = self.source.fetch_local(id, &local).await?.ok_or(source::Error::Changing)?;
        Ok(original.bytes == rendition)
    }

    /// The SSIMULACRA2 of a picture to an exact one of the same size, both as files that were rendered here; `None` where they cannot
    /// be compared. A worker compares them.
    ///
    /// # Errors
    /// [`WorkError`], and those of the decoders.
    pub async fn score(
        &self, exact: bytes::Bytes, made: bytes::Bytes, pixels: u64, settings: &Arc<Settings>,
    ) -> Result<Option<f64>, Error> {
        let bytes = pixels * render::COMPARE_MEMORY + render::FIXED_MEMORY;
        let time = Some(Duration::from_nanos(pixels * SCORE_TIME));
        let permit = self.workers.admission().permit(Need { class: Class::Heavy, bytes, time }).await?;
        let settings = Arc::clone(settings);
        let score = permit.run(move |grant| {
            grant.exclude_from_stats();
            render::compare(&exact, &made, &settings)
        });
        Ok(score.await??)
    }
}

/// Nanoseconds that a comparison takes for each pixel.
const SCORE_TIME: u64 = 400;

impl Facts {
    fn of(header: &Header) -> Facts {
        match header.info() {
            Some(info) if !info.is_vector() => Facts::Raster(Arc::clone(info)),
            _ => Facts::Svg,
        }
    }

    /// The format.
    pub fn format(&self) -> Format {
        match self {
            Facts::Raster(info) => info.format,
            Facts::Svg => Format::Svg,
        }
    }
}

impl Rendition {
    /// The type of the result, where it is certain before the render.
    pub fn content(&self) -> Option<Content> {
        let cached = self.cached.as_ref().and_then(|peek| peek.facts).map(|facts| facts.content);
        let is_certain = |plan: &&Explanation| plan.drawing_formats.is_empty() && !self.may_be_original;
        if self.recipe.encode.output == Output::Json {
            return Some(Content::Json);
        }
        cached.or_else(|| self.plan.as_ref().filter(is_certain).map(|plan| Content::Image(plan.format)))
    }
}
