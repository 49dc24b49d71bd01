//! Gaussian blur of a whole picture, in place, for `sigma` between 0.3 and 100 pixels.
//!
//! Surprising: a larger sigma is *cheaper*. From sigma 4 on, the picture is first reduced to a
//! grid `sigma / 2` pixels apart, blurred there and spread out again, and the error against the
//! true Gaussian stays below one level: a tent filter going down and a quadratic B-spline coming
//! up each widen every edge by the same known variance, wherever the edge lies relative to the
//! grid, and that variance is simply taken off the Gaussian in the middle.
//!
//! Everything streams: no more than `2 × radius + 1` rows are held as floats, at most 25, so a
//! 20-megapixel picture needs two megabytes beside itself.
//!
//! Sources: P. Burt, "Fast filter transforms for image processing" (1981) for blurring on a
//! reduced grid; M. Unser, "Splines: a perfect fit for signal and image processing" (1999) for
//! the B-spline weights. Three box blurs (W. Wells 1986; P. Gwosdek et al., "Theoretical
//! foundations of Gaussian convolution by extended box filtering", 2011) were passed over: their
//! excess kurtosis of -0.4 costs 2.5 levels on every black-to-white edge, and four still 1.9.

use tintype_pixels::Pixels;

/// Smallest sigma on offer. A neighbour weighs 0.4 % at it, which is a single level of 255.
pub(crate) const MIN_SIGMA: f32 = 0.3;
/// Largest sigma on offer, in output pixels.
pub(crate) const MAX_SIGMA: f32 = 100.0;

/// From here on the blur is made on a reduced grid.
const REDUCE_FROM: f64 = 4.0;
/// Sigma on the reduced grid is at least this many of its cells (less what the filters add).
/// At 2 the grid's own pattern is damped by exp(-2π²·2²/2), which is nothing at all.
const CELLS_PER_SIGMA: f64 = 2.0;

/// Samples worked on at once. Eight SSE registers of four floats: enough independent sums to
/// hide the latency of an addition, and still half the register file.
const LANES: usize = 32;

/// Blurs `pixels` by a Gaussian with standard deviation `sigma`, in pixels.
///
/// `sigma` is held to [`MAX_SIGMA`]; one below [`MIN_SIGMA`] (or not a number) does nothing.
/// Beyond its edges the picture goes on with its outermost pixels. RGBA is blurred
/// premultiplied, so that the colour of a transparent pixel never shows; a pixel whose alpha
/// comes out as 0 is written as transparent black.
///
/// The blur works on the sRGB values as they are, not on linear light, as browsers' CSS
/// `blur()`, sharp and imgix all do.
pub(crate) fn blur(pixels: &mut Pixels, sigma: f32) {
    // written this way round so that NaN leaves too
    let usable = sigma >= MIN_SIGMA;
    if !usable || pixels.size.width == 0 || pixels.size.height == 0 {
        return;
    }
    let sigma = f64::from(sigma.min(MAX_SIGMA));
    match (pixels.channels == 4, sigma < REDUCE_FROM) {
        (false, true) => direct::<3>(pixels, sigma),
        (false, false) => reduced::<3>(pixels, sigma),
        (true, true) => direct::<4>(pixels, sigma),
        (true, false) => reduced::<4>(pixels, sigma),
    }
}

/// The sampled Gaussian itself, at full size. Cost grows with sigma.
fn direct<const C: usize>(pixels: &mut Pixels, sigma: f64) {
    let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
    let mut window = Window::new(Kernel::gaussian(sigma), width, C);
    let mut line = window.line();
    let stride = width * C;
    for y in 0..height + window.radius() * 2 {
        // Row `y` of the picture extended by `radius` rows at the top and the bottom. It is read
        // `radius` rows ahead of the one written, so in place is safe.
        let from = y.saturating_sub(window.radius()).min(height - 1);
        let row = &pixels.data[from * stride..][..stride];
        window.push(|interior| load::<C>(row, interior));
        if let Some(done) = y.checked_sub(window.radius() * 2) {
            window.blurred(&mut line);
            store::<C>(&line, &mut pixels.data[done * stride..][..stride]);
        }
    }
}

/// Blur on a grid of every `step`-th pixel. Cost falls with sigma, down to that of reading and
/// writing the picture.
fn reduced<const C: usize>(pixels: &mut Pixels, sigma: f64) {
    let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
    let stride = width * C;
    let step = (sigma / CELLS_PER_SIGMA) as usize;
    let grid = Grid { step };

    // Variances of filters applied after one another add up. Tent: twice a box of `step`, each
    // (step² - 1) / 12. Quadratic B-spline: exactly a quarter of a cell² in every phase.
    let cell = (step * step) as f64;
    let tent = (cell - 1.0) / 6.0;
    let inner = ((sigma * sigma - tent) / cell - 0.25).sqrt();

    // The window's interior is the cells -1..=count, as the spline reaches one to either side.
    let (columns, rows) = (grid.cells(width), grid.cells(height));
    let mut window = Window::new(Kernel::gaussian(inner), columns + 2, C);
    let radius = window.radius();
    let mut cells = window.line();
    let mut tall = vec![0.0; stride];
    let mut spread = [vec![0.0; stride], vec![0.0; stride], vec![0.0; stride]];
    let mut line = vec![0.0; stride];
    let phases = grid.phases();
    let mut written = 0;

    for pushed in 0..rows + 2 + 2 * radius {
        let cell_row = pushed as isize - (radius + 1) as isize;
        grid.reduce_rows::<C>(&pixels.data, width, height, cell_row, &mut tall);
        let lead = (radius + 1) as isize;
        window.push_extended(|i, out| {
            grid.reduce_cell::<C>(&tall, width, i as isize - lead, out);
        });
        let Some(blurred) = pushed.checked_sub(2 * radius) else {
            continue;
        };
        window.blurred(&mut cells);
        // `blurred` counts from cell row -1; the slot is its number modulo 3
        spread_row::<C>(&cells, step, &phases, &mut spread[blurred % 3]);
        if blurred < 2 {
            continue;
        }
        // rows whose nearest cell row is the middle one of the three at hand
        let middle = blurred - 2;
        while written < height && (written + step / 2) / step == middle {
            let [above, here, below] = phases[written % step];
            let (a, b, c) = (
                &spread[middle % 3][..stride],
                &spread[(middle + 1) % 3][..stride],
                &spread[(middle + 2) % 3][..stride],
            );
            for (i, out) in line.iter_mut().enumerate() {
                *out = above * a[i] + here * b[i] + below * c[i];
            }
            store::<C>(&line, &mut pixels.data[written * stride..][..stride]);
            written += 1;
        }
    }
}

/// Cells `step` pixels apart; cell `i` is centred on pixel `i × step`.
struct Grid {
    step: usize,
}

impl Grid {
    /// Number of cells that are the nearest one to some pixel of a side `length` pixels long.
    fn cells(&self, length: usize) -> usize {
        (length - 1 + self.step / 2) / self.step + 1
    }

    /// For each `x mod step`, the quadratic B-spline's weights of the nearest cell's left
    /// neighbour, the nearest cell and its right neighbour. The nearest cell to `x` is
    /// `(x + step / 2) / step`.
    fn phases(&self) -> Vec<[f32; 3]> {
        (0..self.step)
            .map(|x| {
                let nearest = (x + self.step / 2) / self.step;
                let d = x as f32 / self.step as f32 - nearest as f32; // -0.5..=0.5
                [0.5 * (0.5 - d) * (0.5 - d), 0.75 - d * d, 0.5 * (0.5 + d) * (0.5 + d)]
            })
            .collect()
    }

    /// Weight of the pixel at `offset` (-step < offset < step) from a cell's centre.
    fn tent(&self, offset: isize) -> f32 {
        let step = self.step as isize;
        (step - offset.abs()) as f32 / (step * step) as f32
    }

    /// Sums the rows of the cell row `cell` into `out`: width × channels floats.
    fn reduce_rows<const C: usize>(&self, data: &[u8], width: usize, height: usize, cell: isize, out: &mut [f32]) {
        let stride = width * C;
        let (step, last) = (self.step as isize, height as isize - 1);
        let centre = cell * step;
        if centre + step <= 1 || centre - step + 1 >= last {
            // wholly outside (or on the outermost row): a single row, many times over
            let row = centre.clamp(0, last) as usize;
            load::<C>(&data[row * stride..][..stride], out);
            return;
        }
        out.fill(0.0);
        for offset in 1 - step..step {
            let row = (centre + offset).clamp(0, last) as usize;
            add::<C>(&data[row * stride..][..stride], self.tent(offset), &mut out[..stride]);
        }
    }

    /// Sums the pixels of `row` that belong to cell `cell` into `out`: `channels` floats.
    fn reduce_cell<const C: usize>(&self, row: &[f32], width: usize, cell: isize, out: &mut [f32]) {
        let (step, last) = (self.step as isize, width as isize - 1);
        let centre = cell * step;
        let mut sum = [0.0; C];
        let pixels = row.as_chunks::<C>().0;
        if centre + step <= 1 || centre - step + 1 >= last {
            sum = pixels[centre.clamp(0, last) as usize];
        } else if centre - step + 1 >= 0 && centre + step - 1 <= last {
            // well inside; split so that the common case is spared the clamping
            let first = (centre - step + 1) as usize;
            for (offset, pixel) in (1 - step..step).zip(&pixels[first..]) {
                let weight = self.tent(offset);
                for c in 0..C {
                    sum[c] += weight * pixel[c];
                }
            }
        } else {
            for offset in 1 - step..step {
                let pixel = pixels[(centre + offset).clamp(0, last) as usize];
                let weight = self.tent(offset);
                for c in 0..C {
                    sum[c] += weight * pixel[c];
                }
            }
        }
        out.copy_from_slice(&sum);
    }
}

/// Spreads a row of cells (the first is number -1) over the pixels of `out`.
fn spread_row<const C: usize>(cells: &[f32], step: usize, phases: &[[f32; 3]], out: &mut [f32]) {
    let cells = cells.as_chunks::<C>().0;
    let pixels = out.as_chunks_mut::<C>().0;
    // pixels 0..step - step/2 are nearest to cell 0, then `step` at a time to the next ones
    let mut from = 0;
    let mut nearest = 0;
    while from < pixels.len() {
        let to = ((nearest + 1) * step - step / 2).min(pixels.len());
        let [a, b, c] = [cells[nearest], cells[nearest + 1], cells[nearest + 2]];
        let first = (from + step - nearest * step) % step;
        for (k, pixel) in pixels[from..to].iter_mut().enumerate() {
            // `first + k` passes `step` at most once
            let phase = first + k;
            let weights = phases[if phase < step { phase } else { phase - step }];
            for i in 0..C {
                pixel[i] = weights[0] * a[i] + weights[1] * b[i] + weights[2] * c[i];
            }
        }
        from = to;
        nearest += 1;
    }
}

/// Half of a symmetrical kernel whose weights sum to 1 over both halves; all are positive.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// `half[0]` is the centre's weight, `half[k]` that of both pixels `k` away.
    half: Vec<f32>,
}

impl Kernel {
    /// The Gaussian sampled at whole pixels (as libvips and OpenCV do), cut off at 3 sigma.
    pub(crate) fn gaussian(sigma: f64) -> Self {
        let radius = (3.0 * sigma).ceil().max(1.0) as usize;
        let raw = |k: usize| (-((k * k) as f64) / (2.0 * sigma * sigma)).exp();
        let sum: f64 = raw(0) + 2.0 * (1..=radius).map(raw).sum::<f64>();
        Self { half: (0..=radius).map(|k| (raw(k) / sum) as f32).collect() }
    }

    /// Pixels reached to either side.
    fn radius(&self) -> usize {
        self.half.len() - 1
    }
}

/// The last `2 × radius + 1` rows pushed, from which the middle one can be had blurred.
///
/// Rows are pushed from `radius` above the picture to `radius` below it. Both passes add shifted
/// *contiguous* runs of samples to one another, so that the compiler can use vector instructions
/// however many channels are interleaved.
pub(crate) struct Window {
    kernel: Kernel,
    width: usize,
    channels: usize,
    /// Samples a row takes in `ring`, a multiple of [`LANES`].
    stride: usize,
    ring: Vec<f32>,
    /// Which row of the ring is replaced next, which is also the oldest.
    next: usize,
    /// Where in the ring the rows start, oldest first.
    order: Vec<usize>,
    /// The sum over the columns, still with its margins.
    column: Vec<f32>,
}

impl Window {
    /// For rows of `width` pixels × `channels` samples.
    pub(crate) fn new(kernel: Kernel, width: usize, channels: usize) -> Self {
        let radius = kernel.radius();
        // The horizontal pass reads whole blocks, the last of which may start just before the
        // end of the row and then sees all the shifts.
        let samples = (width * channels).next_multiple_of(LANES) + 2 * radius * channels;
        let stride = samples.next_multiple_of(LANES);
        Self {
            width,
            channels,
            stride,
            ring: vec![0.0; stride * (2 * radius + 1)],
            next: 0,
            order: vec![0; 2 * radius + 1],
            column: vec![0.0; stride],
            kernel,
        }
    }

    /// Rows and pixels needed around a pixel.
    pub(crate) fn radius(&self) -> usize {
        self.kernel.radius()
    }

    /// A buffer fit for [`Self::blurred`]: at least width × channels samples.
    pub(crate) fn line(&self) -> Vec<f32> {
        vec![0.0; (self.width * self.channels).next_multiple_of(LANES)]
    }

    fn slot(&mut self) -> &mut [f32] {
        let at = self.next * self.stride;
        self.next = (self.next + 1) % (2 * self.radius() + 1);
        &mut self.ring[at..][..self.stride]
    }

    /// Adds a row: `fill` writes its width × channels samples, the margins are made here from
    /// the outermost pixels.
    pub(crate) fn push(&mut self, fill: impl FnOnce(&mut [f32])) {
        let (channels, samples) = (self.channels, self.width * self.channels);
        let margin = self.radius() * channels;
        let slot = self.slot();
        fill(&mut slot[margin..][..samples]);
        for at in (0..margin).step_by(channels) {
            slot.copy_within(margin..margin + channels, at);
            slot.copy_within(margin + samples - channels..margin + samples, margin + samples + at);
        }
    }

    /// Adds a row whose margins are known: `fill(i, pixel)` writes pixel `i - radius`.
    fn push_extended(&mut self, mut fill: impl FnMut(usize, &mut [f32])) {
        let (channels, pixels) = (self.channels, self.width + 2 * self.radius());
        let slot = self.slot();
        for (i, pixel) in slot[..pixels * channels].chunks_exact_mut(channels).enumerate() {
            fill(i, pixel);
        }
    }

    /// Blurs the middle row into `out`, a [`Self::line`].
    pub(crate) fn blurred(&mut self, out: &mut [f32]) {
        let (radius, rows) = (self.radius(), self.order.len());
        for (i, at) in self.order.iter_mut().enumerate() {
            *at = (self.next + i) % rows * self.stride;
        }
        let half = &self.kernel.half[..=radius];
        for (at, block) in (0..).step_by(LANES).zip(self.column.as_chunks_mut().0) {
            *block = symmetrical(half, |k| {
                (lanes(&self.ring, self.order[radius - k] + at), lanes(&self.ring, self.order[radius + k] + at))
            });
        }
        for (at, block) in (0..).step_by(LANES).zip(out.as_chunks_mut().0) {
            *block = symmetrical(half, |k| {
                (
                    lanes(&self.column, at + (radius - k) * self.channels),
                    lanes(&self.column, at + (radius + k) * self.channels),
                )
            });
        }
    }
}

/// `half[0] × a₀ + Σ half[k] × (aₖ + bₖ)` for a block of samples; `pair(k)` gives aₖ and bₖ.
#[inline(always)]
fn symmetrical<'a>(half: &[f32], pair: impl Fn(usize) -> (&'a [f32; LANES], &'a [f32; LANES])) -> [f32; LANES] {
    let (centre, _) = pair(0);
    let mut sum = centre.map(|v| v * half[0]);
    for (k, weight) in half.iter().enumerate().skip(1) {
        let (a, b) = pair(k);
        for i in 0..LANES {
            sum[i] += weight * (a[i] + b[i]);
        }
    }
    sum
}

#[inline(always)]
fn lanes(samples: &[f32], at: usize) -> &[f32; LANES] {
    samples[at..].first_chunk().expect("rows are as long as whole blocks")
}

/// Bytes to floats of 0..=255, colours premultiplied.
fn load<const C: usize>(row: &[u8], out: &mut [f32]) {
    if C == 4 {
        for (from, to) in row.as_chunks::<4>().0.iter().zip(out.as_chunks_mut().0) {
            *to = premultiplied(*from);
        }
    } else {
        for (from, to) in row.iter().zip(out) {
            *to = f32::from(*from);
        }
    }
}

/// Adds `weight` × the row to `out`, colours premultiplied.
fn add<const C: usize>(row: &[u8], weight: f32, out: &mut [f32]) {
    if C == 4 {
        for (from, to) in row.as_chunks::<4>().0.iter().zip(out.as_chunks_mut::<4>().0) {
            let from = premultiplied(*from);
            for c in 0..4 {
                to[c] += weight * from[c];
            }
        }
    } else {
        for (from, to) in row.iter().zip(out) {
            *to += weight * f32::from(*from);
        }
    }
}

#[inline(always)]
fn premultiplied([r, g, b, a]: [u8; 4]) -> [f32; 4] {
    let share = f32::from(a) / 255.0;
    [f32::from(r) * share, f32::from(g) * share, f32::from(b) * share, f32::from(a)]
}

/// Floats to bytes, the reverse of [`load`].
fn store<const C: usize>(line: &[f32], row: &mut [u8]) {
    if C == 4 {
        for (to, from) in row.as_chunks_mut::<4>().0.iter_mut().zip(line.as_chunks().0) {
            let [r, g, b, a]: [f32; 4] = *from;
            // below half a level alpha is written as 0 and there is no colour to tell
            let scale = if a > 0.5 { 255.0 / a } else { 0.0 };
            *to = [r * scale, g * scale, b * scale, a].map(|v| to_byte(v.min(255.0)));
        }
    } else {
        for (to, from) in row.iter_mut().zip(line) {
            *to = to_byte(*from);
        }
    }
}

/// Rounds `v`, which must be in 0..=255 (a rounding error above is fine).
///
/// Adding 2²³ leaves no bits for a fraction, so the whole number is in the lowest byte of the
/// float. `v.round() as u8` says the same, but neither it nor its saturation is vectorised for
/// SSE2: with it a blur at sigma 10 took 7.7 ms instead of 2.6, one at sigma 5 10.8 instead of 5.6
/// (1280 × 960 RGB); with `(v + 0.5) as u8` 4.0 and 7.1.
#[inline(always)]
pub(crate) fn to_byte(v: f32) -> u8 {
    (v + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tintype_pixels::Size;

    fn picture(width: u32, height: u32, channels: usize, at: impl Fn(u32, u32, usize) -> u8) -> Pixels {
        let mut data = Vec::new();
        for y in 0..height {
            for x in 0..width {
                data.extend((0..channels).map(|c| at(x, y, c)));
            }
        }
        Pixels { size: Size::new(width, height), channels, data }
    }

    fn noise(x: u32, y: u32, c: usize) -> u8 {
        let mut n = x
            .wrapping_mul(0x9E37_79B1)
            .wrapping_add(y.wrapping_mul(0x85EB_CA77))
            .wrapping_add((c as u32).wrapping_mul(0xC2B2_AE3D));
        n ^= n >> 15;
        n = n.wrapping_mul(0x2C1B_3C6D);
        (n ^ (n >> 12)) as u8
    }

    /// A cartoon of a photograph: gradients, hard edges of full contrast at odd places, a
    /// disc, thin lines and a patch of noise.
    fn scene(x: u32, y: u32, c: usize) -> u8 {
        let (fx, fy) = (f64::from(x), f64::from(y));
        let disc = (fx - 40.0).powi(2) + (fy - 50.0).powi(2) < 600.0;
        match (x, y) {
            _ if disc => [250, 200, 30][c % 3],
            (70.., 20..=44) => [0, 255, 255][c % 3],
            (90..=93, _) => 255,
            (_, 60..=61) => 0,
            (100.., 62..) => noise(x, y, c),
            _ => (fx * 1.3 + fy * 0.7 + 20.0 * c as f64) as u8,
        }
    }

    fn checker(x: u32, y: u32, _: usize) -> u8 {
        if (x / 37 + y / 29).is_multiple_of(2) { 255 } else { 0 }
    }

    /// How much each of `length` samples counts for each: the Gaussian out to 5 sigma, what
    /// lies outside counting for the outermost sample. Only what is not 0 is listed.
    fn weights(length: usize, sigma: f64) -> Vec<Vec<(usize, f64)>> {
        let radius = (5.0 * sigma).ceil() as i64;
        let kernel = |k: i64| (-((k * k) as f64) / (2.0 * sigma * sigma)).exp();
        let total: f64 = (-radius..=radius).map(kernel).sum();
        let last = length as i64 - 1;
        (0..=last)
            .map(|at| {
                let mut row = vec![0.0; length];
                for k in -radius..=radius {
                    row[(at + k).clamp(0, last) as usize] += kernel(k) / total;
                }
                let row = row.into_iter().enumerate();
                row.filter(|(_, weight)| *weight > 0.0).collect()
            })
            .collect()
    }

    /// The Gaussian in f64, no tricks.
    fn reference(pixels: &Pixels, sigma: f64) -> Vec<f64> {
        let (w, h, c) = (pixels.size.width as usize, pixels.size.height as usize, pixels.channels);
        let mut all: Vec<f64> = pixels.data.iter().map(|v| f64::from(*v)).collect();
        if c == 4 {
            for [r, g, b, a] in all.as_chunks_mut::<4>().0 {
                (*r, *g, *b) = (*r * *a / 255.0, *g * *a / 255.0, *b * *a / 255.0);
            }
        }
        let across = weights(w, sigma);
        let down = weights(h, sigma);
        let mut half = vec![0.0; all.len()];
        for (i, out) in half.iter_mut().enumerate() {
            let (row, x, channel) = (i / (w * c) * w * c, i / c % w, i % c);
            for (from, weight) in &across[x] {
                *out += weight * all[row + from * c + channel];
            }
        }
        all.fill(0.0);
        for (i, out) in all.iter_mut().enumerate() {
            let (y, along) = (i / (w * c), i % (w * c));
            for (from, weight) in &down[y] {
                *out += weight * half[from * w * c + along];
            }
        }
        if c == 4 {
            for [r, g, b, a] in all.as_chunks_mut::<4>().0 {
                let s = if *a > 0.0 { 255.0 / *a } else { 0.0 };
                (*r, *g, *b) = (*r * s, *g * s, *b * s);
            }
        }
        all
    }

    #[test]
    fn stays_near_the_true_gaussian() {
        // (sigma, most that any sample may be off, in levels; rounding alone is 0.5)
        let table = [
            (0.3, 0.6),
            (0.5, 0.6),
            (1.0, 1.0),
            (2.0, 1.0),
            (3.0, 1.0),
            (3.99, 1.0),
            (4.0, 1.0),
            (4.5, 1.0),
            (5.0, 1.0),
            (5.99, 1.0),
            (6.0, 1.0),
            (8.0, 1.0),
            (13.7, 1.0),
            (40.0, 1.0),
            (100.0, 1.0),
        ];
        type Scene = fn(u32, u32, usize) -> u8;
        let scenes: [(&str, Scene); 3] = [("scene", scene), ("checker", checker), ("noise", noise)];
        for (name, at) in scenes {
            let original = picture(131, 87, 3, at);
            for (sigma, limit) in table {
                let mut blurred = original.clone();
                blur(&mut blurred, sigma);
                let worst = reference(&original, f64::from(sigma))
                    .iter()
                    .zip(&blurred.data)
                    .map(|(a, b)| (a - f64::from(*b)).abs())
                    .fold(0.0, f64::max);
                println!("{name} sigma {sigma}: off by {worst:.3}");
                assert!(worst <= limit, "{name}, sigma {sigma}: off by {worst}");
            }
        }
    }

    #[test]
    fn alpha_is_near_the_true_gaussian_too() {
        let original = picture(90, 70, 4, |x, y, c| match c {
            3 if (x / 20 + y / 20) % 2 == 0 => 0,
            3 => 255 - (x % 64) as u8,
            _ => scene(x, y, c),
        });
        for sigma in [1.5, 4.0, 9.0] {
            let mut blurred = original.clone();
            blur(&mut blurred, sigma);
            let exact = reference(&original, f64::from(sigma));
            for (got, want) in blurred.data.as_chunks::<4>().0.iter().zip(exact.as_chunks::<4>().0) {
                assert!((f64::from(got[3]) - want[3]).abs() <= 1.5, "{sigma}");
                // a colour is worth as much as its alpha
                for c in 0..3 {
                    let off = (f64::from(got[c]) - want[c]).abs() * want[3] / 255.0;
                    assert!(off <= 2.0, "sigma {sigma}: {got:?} is not {want:?}");
                }
            }
        }
    }

    #[test]
    fn transparent_colours_do_not_bleed() {
        // invisible green left, opaque red right
        for sigma in [1.0, 3.0, 5.0, 30.0] {
            let mut p = picture(64, 9, 4, |x, _, c| match (x < 32, c) {
                (true, 1) | (false, 0 | 3) => 255,
                _ => 0,
            });
            blur(&mut p, sigma);
            for px in p.data.as_chunks::<4>().0 {
                assert_eq!(px[1], 0, "sigma {sigma}");
                assert!(px[0] >= 254 || px[3] == 0, "sigma {sigma}: {px:?}");
            }
        }
    }

    #[test]
    fn flat_stays_flat() {
        for (channels, value) in [(3, 0), (3, 1), (3, 128), (3, 255), (4, 255), (4, 77)] {
            for sigma in [0.3, 2.2, 4.0, 11.0, 100.0] {
                let original = picture(33, 21, channels, |_, _, c| if c == 3 { 200 } else { value });
                let mut p = original.clone();
                blur(&mut p, sigma);
                assert_eq!(p, original, "{channels} × {value}, sigma {sigma}");
            }
        }
    }

    #[test]
    fn too_little_does_nothing() {
        let original = picture(20, 20, 3, noise);
        for sigma in [0.0, -3.0, 0.29, f32::NAN, f32::NEG_INFINITY] {
            let mut p = original.clone();
            blur(&mut p, sigma);
            assert_eq!(p, original, "{sigma}");
        }
        let mut most = original.clone();
        blur(&mut most, MAX_SIGMA);
        let mut more = original.clone();
        blur(&mut more, f32::INFINITY);
        assert_eq!(most, more);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Nothing leaves the range of what was there, in any shape of picture.
        #[test]
        fn stays_in_range(
            w in 1u32..40, h in 1u32..40, alpha: bool, sigma in 0.3f32..100.0, lo in 0u8..200, span in 0u8..55
        ) {
            let channels = if alpha { 4 } else { 3 };
            let mut p = picture(w, h, channels, |x, y, c| {
                if c == 3 { 255 } else { lo + noise(x, y, c) % (span + 1) }
            });
            let before = p.data.len();
            blur(&mut p, sigma);
            prop_assert_eq!(p.data.len(), before);
            for px in p.data.chunks(channels) {
                for v in &px[..3] {
                    prop_assert!((lo..=lo + span).contains(v));
                }
            }
        }
    }
}
