//! Writing GIF: what each frame changes of the ones before, and one colour table for all frames where that shows them well.

use super::FORMAT;
use super::colours::{Colours, Global, TRANSPARENT, shown};
use super::lzw_encoder::LzwEncoder;
use super::screen::{Screen, disappearing};
use super::write::{file_end, file_start, frame_start};
use crate::EncodeInput;
use crate::canvas::Area;
use crate::quantise::{Histogram, LEVEL, distance};
use tintype_pixels::Pixels;
use tintype_pixels::error::{Error, Result};

/// Writes the first frame as a full-screen image, and of each later one the rectangle that differs from what is shown.
///
/// # Errors
/// [`Error::Impossible`] for a side of more than 65535 pixels.
pub(super) fn encode(input: &EncodeInput) -> Result<Vec<u8>> {
    encode_watched(input, |_| {})
}

/// The same; `watch` is called with what is shown after each frame.
fn encode_watched(input: &EncodeInput, mut watch: impl FnMut(&Screen)) -> Result<Vec<u8>> {
    let size = input.first().size;
    let side = |length: u32| {
        u16::try_from(length).map_err(|_| Error::Impossible(format!("{FORMAT} holds at most 65535 pixels a side")))
    };
    let (width, height) = (side(size.width)?, side(size.height)?);
    let frames = input.frames();
    let pixels: Vec<&Pixels> = frames.iter().map(|frame| &frame.pixels).collect();
    let global = Global::of(&pixels);
    let mut out = Vec::new();
    let loops = (frames.len() > 1).then_some(input.loops);
    file_start(&mut out, [width, height], &global.colours.table, loops);
    let mut encoder = FrameEncoder { global, screen: Screen::new(size), cleared: None, is_first: true, out };
    let mut delay_error = 0;
    for (number, frame) in frames.iter().enumerate() {
        let next = &frames[(number + 1) % frames.len()];
        // the first frame is shown again behind the last one
        let disposed = if frames.len() > 1 { disappearing(&frame.pixels, &next.pixels) } else { None };
        let before = number.checked_sub(1).map(|before| &frames[before].pixels);
        encoder.write(&frame.pixels, before, disposed, centiseconds(frame.delay, &mut delay_error));
        watch(&encoder.screen);
    }
    let mut out = encoder.out;
    file_end(&mut out);
    Ok(out)
}

/// The largest squared distance at which a pixel that changed is left as it is, that of two levels of luma.
const INVISIBLE: u32 = (2 * LEVEL).pow(2);

/// A pixel of a frame.
#[derive(Clone, Copy)]
struct IndexedPixel {
    index: u8,
    /// Whether a transparent pixel shows the same.
    stays: bool,
}

/// Writes the frames one by one.
struct FrameEncoder {
    global: Global,
    screen: Screen,
    /// The area of the last frame, if it is cleared before the next one.
    cleared: Option<Area>,
    /// Whether no frame is written yet.
    is_first: bool,
    out: Vec<u8>,
}

impl FrameEncoder {
    /// Writes a frame that is shown for `delay` hundredths of a second. If any pixels of it disappear, the rectangle of those is
    /// `disposed`.
    fn write(&mut self, frame: &Pixels, before: Option<&Pixels>, disposed: Option<Area>, delay: u16) {
        if let Some(area) = self.cleared.take() {
            self.screen.clear(area);
        }
        let tolerance = if self.global.is_exact { 0 } else { INVISIBLE };
        let (changed, area) = self.screen.changes(frame, before, tolerance);
        let areas = [self.is_first.then(|| self.screen.area()), area, disposed];
        let area = areas.into_iter().flatten().reduce(Area::union).unwrap_or(Area::ONE);
        let mut local = self.local_colours(frame, &changed, area);
        let indices = self.indices(frame, &changed, area, local.as_mut());
        let table = local.as_ref().map_or(&self.global.colours.table, |local| &local.table);
        frame_start(
            &mut self.out,
            area,
            delay,
            disposed.is_some(),
            table.transparent,
            local.as_ref().map(|local| &local.table),
        );
        write_pixels(&mut self.out, &indices, table.transparent);
        self.is_first = false;
        self.cleared = disposed.map(|_| area);
    }

    /// The indices of the pixels of an area, which are set on the screen.
    fn indices(
        &mut self, frame: &Pixels, changed: &[bool], area: Area, local: Option<&mut Colours>,
    ) -> Vec<IndexedPixel> {
        let colours = local.unwrap_or(&mut self.global.colours);
        let transparent = colours.table.transparent;
        let mut indices = Vec::with_capacity(area.size.pixels() as usize);
        for pixel in area.pixels(self.screen.width()) {
            let wanted = shown(&frame.data[pixel * frame.channels..][..frame.channels]);
            let now = self.screen.at(pixel);
            let (index, error) = colours.nearest.find(if changed[pixel] { wanted } else { now });
            // the colour that is shown may be nearer than any of the table
            let stays = !changed[pixel] || now != TRANSPARENT && distance(wanted, now) <= error;
            indices.push(match transparent.filter(|_| stays) {
                Some(transparent) if error > 0 => IndexedPixel { index: transparent, stays: true },
                Some(_) => IndexedPixel { index, stays: true },
                None => {
                    self.screen.set(pixel, colours.colour(index));
                    IndexedPixel { index, stays: false }
                }
            });
        }
        indices
    }

    /// The local colour table of a frame, if the global one does not show well what it changes.
    fn local_colours(&mut self, frame: &Pixels, changed: &[bool], area: Area) -> Option<Colours> {
        // some readers take a local table of the first frame for the global one
        if self.global.is_exact || self.is_first {
            return None;
        }
        let mut histogram = Histogram::new();
        let pixels = area.pixels(self.screen.width()).filter(|&pixel| changed[pixel]);
        let colours = pixels.map(|pixel| shown(&frame.data[pixel * frame.channels..][..frame.channels]));
        histogram.add(colours.filter(|colour| *colour != TRANSPARENT));
        self.global.colours.local(&histogram)
    }
}

/// Writes the image data of a frame: pixels that stay as they are as their colour or as transparent, whichever takes fewer bytes.
fn write_pixels(out: &mut Vec<u8>, pixels: &[IndexedPixel], transparent: Option<u8>) {
    let start = out.len();
    write_codes(out, pixels, |pixel| (pixel.index, transparent.filter(|_| pixel.stays)));
    if let Some(transparent) = transparent.filter(|_| pixels.iter().any(|pixel| pixel.stays)) {
        let end = out.len();
        write_codes(out, pixels, |pixel| match pixel.stays {
            true => (transparent, Some(pixel.index)),
            false => (pixel.index, None),
        });
        let [first, second] = [end - start, out.len() - end];
        if second < first {
            out.copy_within(end.., start);
        }
        out.truncate(start + first.min(second));
    }
}

/// Writes the image data with the first index that `choose` gives for each pixel, or the second one, which shows the same.
fn write_codes(out: &mut Vec<u8>, pixels: &[IndexedPixel], choose: impl Fn(IndexedPixel) -> (u8, Option<u8>)) {
    let highest = pixels.iter().map(|&pixel| choose(pixel).0).max().unwrap_or(0);
    // the minimum code size is at least 2
    let literal_bits = (u8::BITS - highest.leading_zeros()).max(2);
    let mut codes = LzwEncoder::new(out, literal_bits);
    for &pixel in pixels {
        let (index, other) = choose(pixel);
        codes.push(index, other);
    }
    codes.finish();
}

/// A delay in hundredths of a second, from milliseconds. The rounding error, in milliseconds, is carried over to the next frame.
/// Delays over 10 ms become 2 at least: most viewers show a delay of 1 as 10.
fn centiseconds(delay: u32, error: &mut i64) -> u16 {
    let exact = i64::from(delay) - *error;
    let least = if delay > 10 { 2 } else { 0 };
    let rounded = ((exact + 5).div_euclid(10)).clamp(least, u16::MAX.into());
    // a delay longer than 655.35 s is cut, and not carried over
    *error = (rounded * 10 - exact).max(-10);
    rounded as u16
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::gif::{ColorOutput, DecodeOptions, DisposalMethod};
    use proptest::prelude::*;

    use super::super::Gif;
    use super::super::colours::OPAQUE;
    use super::*;
    use crate::PictureData;
    use crate::canvas::{Blend, Canvas, Disposal};
    use crate::testing;

    use tintype_pixels::{Frame, Size};

    /// The frames as the encoder, the crate `gif` and our own decoder show them, which have to be equal, and the bytes of the file.
    fn round_trip(frames: &[Pixels]) -> (Vec<Pixels>, usize) {
        let frames = frames.iter().map(|pixels| Frame { pixels: pixels.clone(), delay: 40 }).collect();
        let input = EncodeInput::new(PictureData::Frames(frames), 80.0);
        let mut screens = Vec::new();
        let mut watch = |screen: &Screen| {
            screens.push((0..input.size().pixels() as usize).flat_map(|at| screen.at(at)).collect::<Vec<u8>>());
        };
        let file = encode_watched(&input, &mut watch).expect("encoded");
        let length = file.len();
        let (ours, integrity) = testing::decode(&Gif, &file, true).expect("a GIF");
        assert!(!integrity.is_damaged(), "{integrity:?}");
        let ours: Vec<Pixels> = ours.into_iter().map(|frame| testing::packed(frame).with_alpha()).collect();
        assert_eq!(ours.len(), input.frames().len());
        let mut decoder = DecodeOptions::new();
        decoder.set_color_output(ColorOutput::RGBA);
        let mut decoder = decoder.read_info(Cursor::new(file)).expect("a GIF");
        let mut canvas = Canvas::new(input.size());
        for (ours, screen) in ours.iter().zip(screens) {
            let frame = decoder.read_next_frame().expect("a frame").expect("a frame");
            let is_disposed = frame.dispose == DisposalMethod::Background;
            assert!(!is_disposed || frame.transparent.is_some(), "disposed frames have a transparent colour");
            assert_eq!(frame.delay, 4);
            let size = Size::new(frame.width.into(), frame.height.into());
            let area = Area { left: frame.left.into(), top: frame.top.into(), size };
            let disposal = if is_disposed { Disposal::Background } else { Disposal::None };
            canvas.draw(area, &frame.buffer, Blend::Over, disposal);
            assert!(canvas.snapshot().data == ours.data && ours.data == screen);
        }
        (ours, length)
    }

    /// The pixels as GIF can show them.
    fn opaque_or_transparent(pixels: &Pixels) -> Vec<u8> {
        pixels.data.chunks_exact(pixels.channels).flat_map(shown).collect()
    }

    fn noise(at: usize) -> usize {
        (at.wrapping_mul(2_654_435_761) >> 13) % 251
    }

    proptest! {
        #[test]
        fn frames_of_few_colours_are_exact(
            width in 1_u32..20, height in 1_u32..20, seeds in prop::collection::vec((any::<u32>(), 1_u32..40), 1..6),
            bits in 1_u32..9, alpha: bool,
        ) {
            let size = Size::new(width, height);
            let pixels = size.pixels() as usize;
            let mut picture = vec![[0, 0, 0, 255]; pixels];
            let mut frames = Vec::new();
            for (seed, changes) in seeds {
                for change in 0..changes {
                    let random = seed.wrapping_add(change).wrapping_mul(2_654_435_761) >> 4;
                    let colour = random % (1 << bits);
                    let is_visible = !alpha || random >> 20 & 3 > 0;
                    picture[random as usize % pixels] =
                        [colour as u8, (colour * 7) as u8, 5, if is_visible { 255 } else { 9 }];
                }
                let channels = if alpha { 4 } else { 3 };
                let data = picture.iter().flat_map(|pixel| &pixel[..channels]).copied().collect();
                frames.push(Pixels { size, channels, data });
            }
            let (read, _) = round_trip(&frames);
            for (written, read) in frames.iter().zip(&read) {
                prop_assert!(read.data == opaque_or_transparent(written));
            }
        }

        #[test]
        fn quantised_frames_are_shown_and_near(
            seeds in prop::collection::vec(any::<usize>(), 1..5), width in 30_u32..60, colours in 1_usize..5, holes: bool,
        ) {
            let size = Size::new(width, 40);
            let frame = |&seed: &usize| {
                let pixel = |at: usize| {
                    let level = |channel: usize| ((at / 7 + noise(at * channel) / 16 + seed % 64 * colours) % 256) as u8;
                    [level(1), level(2), level(3), if holes && noise(at / 9 + seed % 1000) < 60 { 0 } else { 255 }]
                };
                Pixels { size, channels: 4, data: (0..size.pixels() as usize).flat_map(pixel).collect() }
            };
            let frames: Vec<Pixels> = seeds.iter().map(frame).collect();
            let (read, _) = round_trip(&frames);
            for (written, read) in frames.iter().zip(&read) {
                let pairs = written.data.as_chunks::<4>().0.iter().zip(read.data.as_chunks::<4>().0);
                let errors: Vec<u32> = pairs.map(|(written, read)| distance(shown(written), *read)).collect();
                // opaque for transparent would be far above this
                prop_assert!(errors.iter().all(|&error| error < (60 * LEVEL).pow(2)), "{:?}", errors.iter().max());
                let mean = errors.iter().map(|&error| u64::from(error)).sum::<u64>() / errors.len() as u64;
                prop_assert!(mean < u64::from(5 * LEVEL).pow(2), "{mean}");
            }
        }
    }

    #[test]
    fn animation_round_trip_keeps_transparent_pixels() {
        let size = Size::new(20, 20);
        let red = Pixels::filled(size, &[255, 0, 0]);
        let mut translucent = Pixels::filled(size, &[0, 255, 0, 255]);
        for (at, pixel) in translucent.data.chunks_exact_mut(4).enumerate() {
            // every value of alpha, and more colours than fit a colour table
            pixel[3] = (at % 256) as u8;
            pixel[0] = (at / 2) as u8;
            pixel[2] = (at * 7) as u8;
        }
        let colourful = Pixels { size, channels: 3, data: (0..1200).map(|at| (at * 31 % 251) as u8).collect() };
        let frames = [red.clone(), translucent, colourful, red];
        let (read, _) = round_trip(&frames);
        for (number, (written, read)) in frames.iter().zip(&read).enumerate() {
            let written = written.clone().with_alpha();
            let mut difference = 0;
            for (written, read) in written.data.chunks_exact(4).zip(read.data.chunks_exact(4)) {
                assert_eq!(read[3], if written[3] < OPAQUE { 0 } else { 255 }, "frame {number}");
                if read[3] == 255 {
                    difference += written.iter().zip(read).take(3).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
                }
            }
            assert!(difference / 1200 <= 6, "frame {number}: {difference}");
        }
    }

    #[test]
    fn colours_that_fit_the_table_are_exact() {
        let colour = |at: u32| [at as u8, 255 - at as u8, 7];
        let opaque = Pixels { size: Size::new(16, 16), channels: 3, data: (0..256).flat_map(colour).collect() };
        let mut translucent = opaque.clone().with_alpha();
        translucent.data[..4].fill(0);
        let turned = translucent.data.as_chunks::<4>().0.iter().rev().flatten().copied().collect();
        let turned = Pixels { data: turned, ..translucent.clone() };
        for frames in [vec![opaque.clone()], vec![translucent.clone()], vec![translucent, turned]] {
            let (read, _) = round_trip(&frames);
            for (written, read) in frames.iter().zip(&read) {
                assert!(read.data == opaque_or_transparent(written));
            }
        }
        // 256 colours leave no index for transparency
        let mut changed = opaque.clone();
        changed.data[300..600].copy_from_slice(&opaque.data[..300]);
        let (read, _) = round_trip(&[opaque.clone(), changed.clone(), opaque]);
        assert!(read[1].data == opaque_or_transparent(&changed));
    }

    #[test]
    fn only_changes_are_written() {
        let size = Size::new(200, 200);
        let noise = |channels: usize| (0..size.pixels() as usize * channels).map(|at| noise(at) as u8).collect();
        let still = Pixels { size, channels: 3, data: noise(3) };
        let mut moved = still.clone();
        for pixel in moved.data[60_000..60_090].chunks_exact_mut(3) {
            pixel.copy_from_slice(&[255, 0, 0]);
        }
        let (_, one) = round_trip(std::slice::from_ref(&still));
        let (read, three) = round_trip(&[still.clone(), still.clone(), moved]);
        assert!(three < one + 400, "{one} bytes of one frame, {three} of three");
        assert!(read[0].data == read[1].data, "the same picture is shown as the same");
    }

    #[test]
    fn frame_of_other_colours_gets_a_table_of_its_own() {
        let size = Size::new(120, 120);
        let shades = |channel: usize| {
            let pixel = |at: usize| {
                let mut pixel = [noise(at) as u8 / 4; 3];
                pixel[channel] = (at / 57) as u8;
                pixel
            };
            Pixels { size, channels: 3, data: (0..size.pixels() as usize).flat_map(pixel).collect() }
        };
        let frames = [shades(0), shades(1), shades(2)];
        let (read, _) = round_trip(&frames);
        for (written, read) in frames.iter().zip(&read) {
            let written = opaque_or_transparent(written);
            let difference: u32 = written.iter().zip(&read.data).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            assert!(difference / (120 * 120 * 3) <= 5, "{difference}");
        }
    }

    #[test]
    fn rounding_errors_of_delays_are_carried_over() {
        let rounded = |delays: &[u32]| {
            let mut error = 0;
            delays.iter().map(|&delay| centiseconds(delay, &mut error)).collect::<Vec<_>>()
        };
        assert_eq!(rounded(&[5, 10, 20, 70]), [1, 1, 2, 7]);
        assert_eq!(rounded(&[33, 33, 34, 33, 33, 34]), [3, 4, 3, 3, 4, 3]);
        assert_eq!(rounded(&[16, 17, 17, 50]), [2, 2, 2, 4], "2 at least");
        assert_eq!(rounded(&[105, 105]), [11, 10]);
        assert_eq!(rounded(&[1_000_000, 40]), [u16::MAX, 5]);
    }
}
