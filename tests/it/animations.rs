//! Animated originals of every format: frames, delays and loops of their results.

use crate::golden::{make, testdata};

#[test]
fn animations_keep_frames_delays_and_loop_count() {
    let table = std::fs::read_to_string(testdata().join("expected-frames.tsv")).expect("the table");
    let rows: Vec<Vec<&str>> =
        table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    let same = |name: &'static str| (format!("generated/{name}"), format!("generated/{name}"));
    let generated = ["animated.gif", "animated-once.gif", "animated-3.gif", "animated.png", "animated.webp"].map(same);
    // made of the same frames
    let others = ["avif/animated.avif", "jxl/animated.jxl"].map(|path| (path.into(), "generated/animated.webp".into()));
    for (path, of) in generated.into_iter().chain(others) {
        let name = path.as_str();
        let frames: Vec<&Vec<&str>> = rows.iter().filter(|row| row[0] == of).collect();
        assert_eq!(frames.len(), 5, "{name}");
        let webp = make(&path, "w=48&format=webp&lossless");
        let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(&webp)).expect("a WebP");
        assert_eq!((decoder.num_frames(), decoder.dimensions()), (5, (48, 32)), "{name}");
        let plays = match decoder.loop_count() {
            image_webp::LoopCount::Forever => 0,
            image_webp::LoopCount::Times(times) => times.get(),
        };
        assert_eq!(plays.to_string(), frames[0][1], "{name}");
        let mut canvas = vec![0; decoder.output_buffer_size().expect("it fits")];
        for row in &frames {
            let delay = decoder.read_frame(&mut canvas).expect("a frame");
            assert_eq!(delay.to_string(), row[3], "{name} frame {}", row[2]);
        }
        let gif = make(&path, "w=48&format=gif");
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(std::io::Cursor::new(&gif)).expect("a GIF");
        let mut delays = Vec::new();
        while let Some(frame) = decoder.read_next_frame().expect("a frame") {
            delays.push((u32::from(frame.delay) * 10).to_string());
        }
        let plays = match decoder.repeat() {
            gif::Repeat::Infinite => 0,
            gif::Repeat::Finite(more) => more + 1,
        };
        assert_eq!(
            (plays.to_string(), &delays),
            (frames[0][1].to_owned(), &frames.iter().map(|row| row[3].to_owned()).collect())
        );
        let still = make(&path, "w=48&format=webp&animated=false");
        let decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(&still)).expect("a WebP");
        assert!(!decoder.is_animated(), "{name}");
    }
}

/// The frames of an animated WebP, RGBA.
fn webp_frames(webp: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = image_webp::WebPDecoder::new(std::io::Cursor::new(webp)).expect("a WebP");
    let mut canvas = vec![0; decoder.output_buffer_size().expect("it fits")];
    let frames = (0..decoder.num_frames()).map(|_| {
        decoder.read_frame(&mut canvas).expect("a frame");
        canvas.clone()
    });
    frames.collect()
}

#[test]
fn frames_of_avif_and_jxl_have_the_right_pixels() {
    for (path, source, tolerance) in [
        ("avif/animated.avif", "generated/animated.webp", 3.0),
        // as the reference decoder shows it
        ("jxl/animated.jxl", "jxl/animated.png", 0.5),
    ] {
        let wanted = webp_frames(&make(source, "format=webp&lossless"));
        let got = webp_frames(&make(path, "format=webp&lossless"));
        assert_eq!(got.len(), wanted.len(), "{path}");
        for (number, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
            // transparent pixels have no colour
            let visible = got.chunks_exact(4).zip(wanted.chunks_exact(4)).filter(|(_, wanted)| wanted[3] > 0);
            let (sum, count) = visible.fold((0.0, 0.0), |(sum, count), (got, wanted)| {
                (sum + got.iter().zip(wanted).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>(), count + 4.0)
            });
            assert!(sum / count <= tolerance, "{path}: frame {number} is off by {:.2}", sum / count);
        }
    }
}
