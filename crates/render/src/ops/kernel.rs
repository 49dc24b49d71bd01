//! The arithmetic that effects share: the separable Gaussian with the window of rows that it slides over, luma, rounding.

/// Samples worked on at once. Eight SSE registers of four floats: enough independent sums to
/// hide the latency of an addition, and still half the register file.
pub(crate) const LANES: usize = 32;

/// Half of a symmetrical kernel whose weights sum to 1 over both halves; all are positive.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// `half[0]` is the centre's weight, `half[k]` that of both pixels `k` away.
    half: Vec<f32>,
}

/// A number of which rows are blurred.
pub(crate) trait Sample: Copy + Default {
    /// The weights of a kernel.
    fn weights(kernel: &Kernel) -> Vec<Self>;

    /// `half[0] × a₀ + Σ half[k] × (aₖ + bₖ)` for a block of samples; `pair(k)` gives aₖ and bₖ.
    fn symmetrical<'a>(half: &[Self], pair: impl Fn(usize) -> (&'a [Self; LANES], &'a [Self; LANES])) -> [Self; LANES]
    where
        Self: 'a;
}

impl Sample for f32 {
    fn weights(kernel: &Kernel) -> Vec<f32> {
        kernel.half.clone()
    }

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
}

/// Levels in 128ths, so that two of them still fit; weights in 65,536ths. Each product loses less than a 128th of a level. Twice as
/// many fit into a register as floats, and bytes become them by a shift: a blur takes half the time.
impl Sample for u16 {
    fn weights(kernel: &Kernel) -> Vec<u16> {
        let mut half: Vec<u16> = kernel.half.iter().map(|weight| (weight * 65_536.0).round() as u16).collect();
        let others: u32 = half.iter().skip(1).map(|&weight| 2 * u32::from(weight)).sum();
        // together they are one, or a flat picture would change
        half[0] = (65_536 - others) as u16;
        half
    }

    #[inline(always)]
    fn symmetrical<'a>(half: &[u16], pair: impl Fn(usize) -> (&'a [u16; LANES], &'a [u16; LANES])) -> [u16; LANES] {
        let (centre, _) = pair(0);
        let mut sum = centre.map(|v| high(v, half[0]));
        for (k, &weight) in half.iter().enumerate().skip(1) {
            let (a, b) = pair(k);
            for i in 0..LANES {
                sum[i] += high(a[i] + b[i], weight);
            }
        }
        sum
    }
}

/// The upper half of a product, for which processors have an instruction.
#[inline(always)]
fn high(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
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
pub(crate) struct Window<S = f32> {
    half: Vec<S>,
    width: usize,
    channels: usize,
    /// Samples a row takes in `ring`, a multiple of [`LANES`].
    stride: usize,
    ring: Vec<S>,
    /// Which row of the ring is replaced next, which is also the oldest.
    next: usize,
    /// Where in the ring the rows start, oldest first.
    order: Vec<usize>,
    /// The sum over the columns, still with its margins.
    column: Vec<S>,
}

impl<S: Sample> Window<S> {
    /// For rows of `width` pixels × `channels` samples.
    pub(crate) fn new(kernel: &Kernel, width: usize, channels: usize) -> Self {
        let radius = kernel.radius();
        // The horizontal pass reads whole blocks, the last of which may start just before the
        // end of the row and then sees all the shifts.
        let samples = (width * channels).next_multiple_of(LANES) + 2 * radius * channels;
        let stride = samples.next_multiple_of(LANES);
        Self {
            width,
            channels,
            stride,
            ring: vec![S::default(); stride * (2 * radius + 1)],
            next: 0,
            order: vec![0; 2 * radius + 1],
            column: vec![S::default(); stride],
            half: S::weights(kernel),
        }
    }

    /// Rows and pixels needed around a pixel.
    pub(crate) fn radius(&self) -> usize {
        self.half.len() - 1
    }

    /// A buffer fit for [`Self::blurred`]: at least width × channels samples.
    pub(crate) fn line(&self) -> Vec<S> {
        vec![S::default(); (self.width * self.channels).next_multiple_of(LANES)]
    }

    fn slot(&mut self) -> &mut [S] {
        let at = self.next * self.stride;
        self.next = (self.next + 1) % (2 * self.radius() + 1);
        &mut self.ring[at..][..self.stride]
    }

    /// Adds a row: `fill` writes its width × channels samples, the margins are made here from
    /// the outermost pixels.
    pub(crate) fn push(&mut self, fill: impl FnOnce(&mut [S])) {
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
    pub(crate) fn push_extended(&mut self, mut fill: impl FnMut(usize, &mut [S])) {
        let (channels, pixels) = (self.channels, self.width + 2 * self.radius());
        let slot = self.slot();
        for (i, pixel) in slot[..pixels * channels].chunks_exact_mut(channels).enumerate() {
            fill(i, pixel);
        }
    }

    /// Blurs the middle row into `out`, a [`Self::line`].
    pub(crate) fn blurred(&mut self, out: &mut [S]) {
        let (radius, rows) = (self.radius(), self.order.len());
        for (i, at) in self.order.iter_mut().enumerate() {
            *at = (self.next + i) % rows * self.stride;
        }
        let half = &self.half[..=radius];
        for (at, block) in (0..).step_by(LANES).zip(self.column.as_chunks_mut().0) {
            *block = S::symmetrical(half, |k| {
                (lanes(&self.ring, self.order[radius - k] + at), lanes(&self.ring, self.order[radius + k] + at))
            });
        }
        for (at, block) in (0..).step_by(LANES).zip(out.as_chunks_mut().0) {
            *block = S::symmetrical(half, |k| {
                (
                    lanes(&self.column, at + (radius - k) * self.channels),
                    lanes(&self.column, at + (radius + k) * self.channels),
                )
            });
        }
    }
}

#[inline(always)]
pub(crate) fn lanes<S>(samples: &[S], at: usize) -> &[S; LANES] {
    samples[at..].first_chunk().expect("rows are as long as whole blocks")
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

/// BT.601 luma of a pixel, 0.0..=255.0.
#[inline(always)]
pub(crate) fn luma<const C: usize>(px: &[u8; C]) -> f32 {
    0.299 * f32::from(px[0]) + 0.587 * f32::from(px[1]) + 0.114 * f32::from(px[2])
}
