//! Parameters, with the preset applied, to a recipe.

use super::{Policy, conflict, geometry, requested_format};
use crate::dialect::native::params::{Params, RequestedFormat, RequestedQuality, defaults};
use crate::dialect::{Error, negotiate};
use crate::render::geometry::{Padding, ResizeOptions, Sizing};
use crate::render::recipe::{Effects, Encode, Geometry, Output, Quality, Target as Score};
use crate::render::{Format, Orientation, Recipe};

impl Policy {
    pub(super) fn recipe(&self, params: &Params, accept: &str) -> Result<Recipe, Error> {
        // without `..`, so that a new parameter does not compile before it has its place
        let Params {
            // in `output`
            format: _,
            auto: _,
            // in `sizing`
            width: _,
            auto_width: _,
            height: _,
            aspect_ratio: _,
            dpr: _,
            fit: _,
            limit: _,
            position: _,
            offset: _,
            padding: _,
            enlarge: _,
            // in `part`
            rect: _,
            window: _,
            inset: _,
            // here
            orient,
            quality,
            target,
            lossless,
            background,
            canvas,
            rotate,
            flip,
            blur,
            sharpen,
            pixelate,
            brightness,
            contrast,
            saturation,
            gamma,
            greyscale,
            tint,
            trim,
            animated,
            metadata,
            // in `overlay_of`
            overlay: _,
            overlay_position: _,
            overlay_offset: _,
            overlay_opacity: _,
            overlay_scale: _,
            // do not change the rendition
            preset: _,
            download: _,
            v: _,
            expires: _,
            s: _,
        } = *params;
        let lossless = lossless.unwrap_or(defaults::LOSSLESS);
        let (quality, target) = self.quality(quality, target, lossless)?;
        let output = self.output(params, lossless, accept)?;
        if output == Output::Json {
            // a description depends on no other parameter
            return Ok(Recipe::description());
        }
        let Sizing { resize, options } = geometry::sizing(self.config.max_dimension, params)?;
        let (rect, area) = geometry::part(params)?;
        let background = background.filter(|colour| colour.0[3] > 0);
        let recipe = Recipe {
            geometry: Geometry {
                orient: orient.map(|orientation| Orientation::from_exif(orientation.into())),
                rect,
                area,
                trim: trim.filter(|&tolerance| tolerance != defaults::TRIM),
                turn: geometry::turn(rotate, flip),
                resize,
                options,
                canvas: canvas.filter(|_| geometry::has_canvas(resize, options)),
                background,
            },
            effects: Effects {
                blur,
                sharpen: sharpen.filter(|&amount| amount != defaults::SHARPEN),
                pixelate: pixelate.filter(|&side| side != defaults::PIXELATE),
                brightness: factor(brightness),
                contrast: factor(contrast),
                saturation: factor(saturation),
                gamma: factor(gamma),
                greyscale: greyscale.unwrap_or(defaults::GREYSCALE),
                tint,
            },
            fonts: None,
            left_out: Default::default(),
            overlay: self.overlay_of(params)?,
            encode: Encode {
                output,
                quality,
                target,
                lossless,
                animated: animated.unwrap_or(defaults::ANIMATED),
                metadata: metadata.unwrap_or(defaults::METADATA),
            },
        };
        Ok(if output.is_placeholder() { placeholder(recipe) } else { recipe })
    }

    /// The quality and the target of a recipe, of which a lossless rendition has none.
    fn quality(
        &self, quality: Option<RequestedQuality>, target: Option<Score>, lossless: bool,
    ) -> Result<(Quality, Option<Score>), Error> {
        if let Some(target) = target {
            let allowed = "the only statement of quality: without quality and lossless";
            return match quality.is_some() || lossless {
                true => Err(conflict("target", &target.get().to_string(), allowed)),
                false => Ok((self.config.quality, Some(target))),
            };
        }
        Ok(match quality {
            // a lossless rendition does not depend on the quality, so it must not be two recipes
            _ if lossless => (self.config.quality, None),
            Some(RequestedQuality::Auto) => (self.config.quality, Some(self.config.target)),
            Some(RequestedQuality::Number(quality)) => (quality, None),
            None => (self.config.quality, None),
        })
    }

    fn output(&self, params: &Params, lossless: bool, accept: &str) -> Result<Output, Error> {
        match requested_format(params) {
            RequestedFormat::Json => Ok(Output::Json),
            RequestedFormat::Dominant => Ok(Output::Dominant),
            RequestedFormat::Lqip => Ok(Output::Lqip),
            RequestedFormat::Exactly(format) if lossless && !format.supports_lossless() => {
                Err(conflict("lossless", "true", &format!("WebP and PNG only, not {format}")))
            }
            RequestedFormat::Exactly(format) => Ok(Output::Exactly(format)),
            RequestedFormat::Original => Ok(Output::Original),
            RequestedFormat::Auto => {
                let suits = |format: &Format| !lossless || format.supports_lossless();
                let formats: Vec<Format> = self.config.formats.iter().copied().filter(suits).collect();
                Ok(Output::Auto(negotiate::choose(accept, &formats)))
            }
        }
    }
}

/// The recipe of a dominant colour or a blurred picture: the part of the original in its colours. Effects whose size is in pixels of
/// the result, padding, the overlay and the choices of an encoder do not belong to it.
fn placeholder(recipe: Recipe) -> Recipe {
    let Recipe { geometry, effects, overlay: _, encode, fonts: _, left_out: _ } = recipe;
    let options = ResizeOptions { padding: Padding::NONE, ..geometry.options };
    let canvas = geometry.canvas.filter(|_| geometry::has_canvas(geometry.resize, options));
    Recipe {
        geometry: Geometry { options, canvas, ..geometry },
        effects: Effects { blur: None, sharpen: None, pixelate: None, ..effects },
        ..Recipe::new(encode.output, Quality::default())
    }
}

/// A factor that changes something.
fn factor(hundredths: Option<u16>) -> Option<u16> {
    hundredths.filter(|&factor| factor != defaults::FACTOR)
}
