//! Gaussian blur of a whole picture, in place, for `sigma` between 0.3 and 100 pixels.
//!
//! Surprising: a larger sigma is *cheaper*. From sigma 4 on, the picture is first reduced to a
//! grid `sigma / 2` pixels apart, blurred there and spread out again, and the error against the
//! true Gaussian stays below one level: a tent filter going down and a quadratic B-spline coming
//! up each widen every edge by the same known variance, wherever the edge lies relative to the
//! grid, and that variance is simply taken off the Gaussian in the middle.
//!
//! Everything streams: no more than `2 × radius + 1` rows are held as floats, or as 16-bit whole
//! numbers where the picture is opaque and sigma below 4, at most 25, so a 20-megapixel picture
//! needs two megabytes beside itself.
//!
//! Sources: P. Burt, "Fast filter transforms for image processing" (1981) for blurring on a
//! reduced grid; M. Unser, "Splines: a perfect fit for signal and image processing" (1999) for
//! the B-spline weights. Three box blurs (W. Wells 1986; P. Gwosdek et al., "Theoretical
//! foundations of Gaussian convolution by extended box filtering", 2011) were passed over: their
//! excess kurtosis of -0.4 costs 2.5 levels on every black-to-white edge, and four still 1.9.

use tintype_pixels::Pixels;

use super::kernel::{Kernel, Sample, Window, to_byte};

/// Smallest sigma on offer. A neighbour weighs 0.4 % at it, which is a single level of 255.
pub(crate) const MIN_SIGMA: f32 = 0.3;
/// Largest sigma on offer, in output pixels.
pub(crate) const MAX_SIGMA: f32 = 100.0;

/// From here on the blur is made on a reduced grid.
const REDUCE_FROM: f64 = 4.0;
/// Sigma on the reduced grid is at least this many of its cells (less what the filters add).
/// At 2 the grid's own pattern is damped by exp(-2π²·2²/2), which is nothing at all.
const CELLS_PER_SIGMA: f64 = 2.0;

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
        (false, true) => direct(pixels, sigma, load_fixed, store_fixed),
        (false, false) => reduced::<3>(pixels, sigma),
        // little alpha needs the precision of floats
        (true, true) => direct(pixels, sigma, load::<4>, |line, _, row| store::<4>(line, row)),
        (true, false) => reduced::<4>(pixels, sigma),
    }
}

/// The sampled Gaussian itself, at full size. Cost grows with sigma. `load` reads a row, and `store` writes one that was blurred
/// by a kernel of that radius.
fn direct<S: Sample>(
    pixels: &mut Pixels, sigma: f64, load: impl Fn(&[u8], &mut [S]), store: impl Fn(&[S], usize, &mut [u8]),
) {
    let (width, height) = (pixels.size.width as usize, pixels.size.height as usize);
    let mut window = Window::<S>::new(&Kernel::gaussian(sigma), width, pixels.channels);
    let mut line = window.line();
    let stride = width * pixels.channels;
    for y in 0..height + window.radius() * 2 {
        // Row `y` of the picture extended by `radius` rows at the top and the bottom. It is read
        // `radius` rows ahead of the one written, so in place is safe.
        let from = y.saturating_sub(window.radius()).min(height - 1);
        let row = &pixels.data[from * stride..][..stride];
        window.push(|interior| load(row, interior));
        if let Some(done) = y.checked_sub(window.radius() * 2) {
            window.blurred(&mut line);
            store(&line, window.radius(), &mut pixels.data[done * stride..][..stride]);
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
    let mut window: Window = Window::new(&Kernel::gaussian(inner), columns + 2, C);
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

/// Bytes to 128ths of a level.
fn load_fixed(row: &[u8], out: &mut [u16]) {
    for (from, to) in row.iter().zip(out) {
        *to = u16::from(*from) << 7;
    }
}

/// 128ths of a level to bytes, rounded. Each pass has lost half a 128th on average for every weight.
fn store_fixed(line: &[u16], radius: usize, row: &mut [u8]) {
    let rounding = 64 + radius as u16 + 1;
    for (to, from) in row.iter_mut().zip(line) {
        *to = ((from + rounding) >> 7) as u8;
    }
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

#[cfg(test)]
mod tests;
