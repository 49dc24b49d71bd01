//! The time and the memory of drawing a parsed SVG at one size, before it is drawn: drawing cannot be stopped.
//!
//! Every visit is counted, patterns and masks where they are used, so that the count ends early where it is over a bound.
//! The figures were measured; a bound on their sum is what matters, not their precision.

use resvg::tiny_skia::{Point, Rect, Transform};
use resvg::usvg::filter::{Filter, Kind};
use resvg::usvg::{ClipPath, Group, Image, ImageKind, Mask, Node, Paint, Path, Pattern, Stroke};
use tintype_pixels::error::Result;

use super::complexity::too_complex;

/// The longest estimate that is drawn, in nanoseconds.
const MAX_TIME: f64 = 2e9;
/// Groups and shapes that are visited, each as often as it is drawn.
const MAX_VISITS: u64 = 500_000;
/// Groups in each other: drawing recurses.
const MAX_DEPTH: u32 = 400;

/// Nanoseconds for each pixel: of one colour, of a gradient, of a pattern, of a picture; of a layer that is cleared and laid over
/// another.
const SOLID: f64 = 1.5;
const GRADIENT: f64 = 8.0;
const PATTERN: f64 = 40.0;
const LAYER: f64 = 5.0;
const MASKING: f64 = 10.0;
/// Nanoseconds for each row that an edge crosses, for each segment of a stroke, and for each shape.
const EDGE_ROW: f64 = 12.0;
const SEGMENT: f64 = 150.0;
const SHAPE: f64 = 1500.0;
/// Nanoseconds to cut off a dash, and dashes of the longest stroke; tiny-skia draws no stroke of more.
const DASH: f64 = 20.0;
const MAX_DASHES: f64 = 1e6;
/// Nanoseconds to decode a pixel of an embedded picture.
const DECODED: f64 = 15.0;

/// The cost of drawing.
#[derive(Debug, Default)]
pub(super) struct Cost {
    /// Nanoseconds of one core.
    time: f64,
    visits: u64,
}

/// A canvas: its size, and where it lies in the coordinates that its content is drawn in.
#[derive(Clone, Copy)]
struct Canvas {
    area: Rect,
    /// The largest layer that is made on it.
    largest_layer: Rect,
    transform: Transform,
    depth: u32,
}

/// The bytes of memory that drawing a tree takes at most, the canvas itself not among them.
///
/// # Errors
/// [`Error::Limit`](tintype_pixels::Error) where it takes too long.
pub(super) fn memory(root: &Group, transform: Transform, width: u32, height: u32) -> Result<u64> {
    let (width, height) = (width as f32, height as f32);
    let area = Rect::from_xywh(0.0, 0.0, width, height);
    // as in resvg
    let largest_layer = Rect::from_xywh(-2.0 * width, -2.0 * height, 5.0 * width, 5.0 * height);
    let (Some(area), Some(largest_layer)) = (area, largest_layer) else { return Ok(0) };
    let bytes = Cost::default().children(root, Canvas { area, largest_layer, transform, depth: 0 })?;
    Ok(bytes as u64)
}

impl Cost {
    fn spend(&mut self, time: f64) -> Result<()> {
        // a NaN is over no bound
        self.time += if time.is_nan() { MAX_TIME } else { time };
        self.visits += 1;
        if self.time > MAX_TIME || self.visits > MAX_VISITS {
            return Err(too_complex("takes too long to draw at this size".into()));
        }
        Ok(())
    }

    /// The most bytes that one of the children takes.
    fn children(&mut self, group: &Group, canvas: Canvas) -> Result<f64> {
        let mut most = 0.0_f64;
        for node in group.children() {
            let bytes = match node {
                Node::Group(group) => self.group(group, canvas)?,
                Node::Path(path) => self.path(path, canvas)?,
                Node::Image(image) => self.image(image, canvas)?,
                Node::Text(text) => self.group(text.flattened(), canvas)?,
            };
            most = most.max(bytes);
        }
        Ok(most)
    }

    fn group(&mut self, group: &Group, canvas: Canvas) -> Result<f64> {
        if canvas.depth > MAX_DEPTH {
            return Err(too_complex(format!("has more than {MAX_DEPTH} nested groups")));
        }
        let transform = canvas.transform.pre_concat(group.transform());
        let canvas = Canvas { transform, depth: canvas.depth + 1, ..canvas };
        self.spend(100.0)?;
        if !group.should_isolate() {
            return self.children(group, canvas);
        }
        let bounds = group.layer_bounding_box().transform(transform).map(|bounds| bounds.to_rect());
        let layer = bounds.and_then(|bounds| bounds.outset(2.0, 2.0)?.intersect(&canvas.largest_layer));
        let Some(layer) = layer else { return Ok(0.0) };
        let pixels = area(layer);
        self.spend(pixels * LAYER)?;
        let inner = Canvas { area: layer, ..canvas };
        let mut most = self.children(group, inner)?;
        for filter in group.filters() {
            most = most.max(self.filter(filter, inner)?);
        }
        if let Some(clip) = group.clip_path() {
            most = most.max(self.clip(clip, inner)?);
        }
        if let Some(mask) = group.mask() {
            most = most.max(self.mask(mask, inner)?);
        }
        Ok(pixels * 4.0 + most)
    }

    fn clip(&mut self, clip: &ClipPath, canvas: Canvas) -> Result<f64> {
        let pixels = area(canvas.area);
        self.spend(pixels * MASKING)?;
        let transform = canvas.transform.pre_concat(clip.transform());
        let mut most = self.children(clip.root(), Canvas { transform, depth: canvas.depth + 1, ..canvas })?;
        if let Some(clip) = clip.clip_path() {
            most = most.max(self.clip(clip, canvas)?);
        }
        Ok(pixels * 5.0 + most)
    }

    fn mask(&mut self, mask: &Mask, canvas: Canvas) -> Result<f64> {
        let pixels = area(canvas.area);
        self.spend(pixels * 2.0 * MASKING)?;
        let mut most = self.children(mask.root(), Canvas { depth: canvas.depth + 1, ..canvas })?;
        if let Some(mask) = mask.mask() {
            most = most.max(self.mask(mask, canvas)?);
        }
        Ok(pixels * 6.0 + most)
    }

    /// Each primitive keeps its result, and works on up to three copies.
    fn filter(&mut self, filter: &Filter, canvas: Canvas) -> Result<f64> {
        let pixels = area(canvas.area);
        let mut most = 0.0_f64;
        for primitive in filter.primitives() {
            self.spend(pixels * (20.0 + filter_time(primitive.kind(), canvas)))?;
            if let Kind::Image(image) = primitive.kind() {
                most = most.max(self.children(image.root(), Canvas { depth: canvas.depth + 1, ..canvas })?);
            }
        }
        Ok(pixels * 4.0 * (filter.primitives().len() as f64 + 4.0) + most)
    }

    fn path(&mut self, path: &Path, canvas: Canvas) -> Result<f64> {
        if !path.is_visible() {
            return Ok(0.0);
        }
        let bounds = path.stroke_bounding_box().transform(canvas.transform);
        // a horizontal or vertical line has no area
        let shown = bounds.and_then(|bounds| bounds.outset(1.0, 1.0)?.intersect(&canvas.area));
        let Some(shown) = shown else { return self.spend(SHAPE).map(|()| 0.0) };
        let lines = Lines::of(path, canvas);
        let mut bytes = 64.0 * f64::from(lines.segments);
        if let Some(fill) = path.fill() {
            self.spend(SHAPE + lines.rows * EDGE_ROW)?;
            bytes += self.paint(fill.paint(), area(shown), canvas)?;
        }
        if let Some(stroke) = path.stroke() {
            let dashes = lines.dashes(stroke);
            self.spend(dashes.min(MAX_DASHES) * DASH)?;
            let dashes = if dashes <= MAX_DASHES { dashes } else { 0.0 };
            let segments = f64::from(lines.segments) + dashes;
            // two sides, with joins and ends; each dash is as high as its end at least
            let end = f64::from(stroke.width().get()) * scale(canvas.transform);
            let rows = lines.rows * 4.0 + dashes * end.min(f64::from(canvas.area.height()));
            self.spend(SHAPE + segments * SEGMENT * 4.0 + rows * EDGE_ROW)?;
            bytes += segments * 400.0 + self.paint(stroke.paint(), area(shown), canvas)?;
        }
        Ok(bytes)
    }

    /// Paints an area of so many pixels.
    fn paint(&mut self, paint: &Paint, pixels: f64, canvas: Canvas) -> Result<f64> {
        match paint {
            Paint::Color(_) => self.spend(pixels * SOLID).map(|()| 0.0),
            Paint::LinearGradient(gradient) => self.gradient(gradient.stops().len(), pixels),
            Paint::RadialGradient(gradient) => self.gradient(gradient.stops().len(), pixels),
            Paint::Pattern(pattern) => {
                self.spend(pixels * PATTERN)?;
                self.pattern(pattern, canvas)
            }
        }
    }

    fn gradient(&mut self, stops: usize, pixels: f64) -> Result<f64> {
        // more than two stops are searched for each pixel
        let stops = stops as f64;
        self.spend(pixels * (GRADIENT + stops) + stops * 100.0)?;
        Ok(stops * 100.0)
    }

    /// One tile is drawn at the scale at which it is shown, however much of it is.
    fn pattern(&mut self, pattern: &Pattern, canvas: Canvas) -> Result<f64> {
        let (sx, sy) = canvas.transform.pre_concat(pattern.transform()).get_scale();
        let (width, height) = ((pattern.rect().width() * sx).round(), (pattern.rect().height() * sy).round());
        let Some(area_of_tile) = Rect::from_xywh(0.0, 0.0, width, height) else { return Ok(0.0) };
        let pixels = area(area_of_tile);
        self.spend(pixels * LAYER)?;
        let transform = Transform::from_scale(sx, sy);
        let tile = Canvas { area: area_of_tile, transform, depth: canvas.depth + 1, ..canvas };
        Ok(pixels * 4.0 + self.children(pattern.root(), tile)?)
    }

    /// A picture is decoded each time that it is drawn.
    fn image(&mut self, image: &Image, canvas: Canvas) -> Result<f64> {
        if !image.is_visible() {
            return Ok(0.0);
        }
        if let ImageKind::SVG(tree) = image.kind() {
            // on a canvas of its own
            let pixels = area(canvas.area);
            self.spend(pixels * LAYER)?;
            return Ok(pixels * 4.0 + self.children(tree.root(), Canvas { depth: canvas.depth + 1, ..canvas })?);
        }
        let decoded = f64::from(image.size().width()) * f64::from(image.size().height());
        let bounds = image.bounding_box().transform(canvas.transform);
        let shown = bounds.and_then(|bounds| bounds.intersect(&canvas.area)).map_or(0.0, area);
        self.spend(decoded * DECODED + shown * PATTERN)?;
        Ok(decoded * 8.0)
    }
}

/// Nanoseconds of one pixel beyond what every primitive takes.
fn filter_time(kind: &Kind, canvas: Canvas) -> f64 {
    let scale = scale(canvas.transform);
    match kind {
        Kind::ConvolveMatrix(it) => f64::from(it.matrix().columns()) * f64::from(it.matrix().rows()) * 25.0,
        Kind::Morphology(it) => {
            let length = |radius: f32, side: f32| (f64::from(radius) * scale).ceil().mul_add(2.0, 1.0).min(side.into());
            length(it.radius_x().get(), canvas.area.width()) * length(it.radius_y().get(), canvas.area.height()) * 6.0
        }
        Kind::Turbulence(it) => f64::from(it.num_octaves()) * 150.0,
        Kind::GaussianBlur(_) | Kind::DropShadow(_) => 60.0,
        Kind::DiffuseLighting(_) | Kind::SpecularLighting(_) => 150.0,
        Kind::ColorMatrix(_) | Kind::ComponentTransfer(_) | Kind::DisplacementMap(_) => 30.0,
        Kind::Merge(it) => 15.0 * it.inputs().len() as f64,
        Kind::Tile(_) => PATTERN,
        _ => 15.0,
    }
}

/// The outline of a path, by its points.
struct Lines {
    segments: u32,
    /// Rows of the canvas that its edges cross, each edge by itself.
    rows: f64,
    /// In units of the path.
    length: f64,
}

impl Lines {
    fn of(path: &Path, canvas: Canvas) -> Lines {
        let mut lines = Lines { segments: 0, rows: 0.0, length: 0.0 };
        let highest = f64::from(canvas.area.height());
        let mut last: Option<(Point, Point)> = None;
        for point in path.data().points() {
            let mut drawn = *point;
            canvas.transform.map_point(&mut drawn);
            if let Some((before, drawn_before)) = last {
                lines.segments += 1;
                lines.rows += f64::from((drawn.y - drawn_before.y).abs()).min(highest) + 1.0;
                lines.length += f64::from(before.distance(*point));
            }
            last = Some((*point, drawn));
        }
        lines
    }

    /// The dashes of a stroke.
    fn dashes(&self, stroke: &Stroke) -> f64 {
        let Some(array) = stroke.dasharray() else { return 0.0 };
        let period: f64 = array.iter().map(|length| f64::from(*length)).sum();
        self.length / period * array.len() as f64 / 2.0
    }
}

fn area(rect: Rect) -> f64 {
    f64::from(rect.width()) * f64::from(rect.height())
}

/// The larger factor of a transformation.
fn scale(transform: Transform) -> f64 {
    let (sx, sy) = transform.get_scale();
    f64::from(sx.max(sy))
}
