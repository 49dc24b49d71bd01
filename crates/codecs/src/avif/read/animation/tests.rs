//! Image sequences: their first frame, all frames, delays, loops, and damage.

use super::super::testing::{
    BLUE, File, GREEN, Item, RED, Track, assert_flat, boxed, coded, coded_alpha, decode_file, full, ispe, nclx, pixel,
};
use super::super::{Failure, location, probe};
use super::Animation;
use tintype_pixels::Loops;

const ALPHA: u8 = 100;
const TRANSLUCENT_RED: [u8; 4] = [RED[0], RED[1], RED[2], ALPHA];

fn red_track() -> Track {
    Track::new(1, (64, 48), coded(64, 48, RED))
}

fn alpha_track() -> Track {
    let auxiliary = full(b"auxi", 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0");
    Track::new(2, (64, 48), coded_alpha(64, 48, ALPHA)).references(b"auxl", 1).with(auxiliary)
}

fn depth_track() -> Track {
    let auxiliary = full(b"auxi", 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth\0");
    Track::new(3, (64, 48), coded_alpha(64, 48, 10)).references(b"auxl", 1).with(auxiliary)
}

#[test]
fn sequence_shows_its_first_frame() {
    let green = || vec![Item::av1(1, coded(64, 48, GREEN)).with(ispe(64, 48))];
    let both = |brand: &[u8; 4]| File { brand: *brand, tracks: vec![red_track()], ..File::of_items(green()) };
    let large = Track { is_large: true, ..red_track() };
    // an edit list that begins behind the first frame, ahead of the track header
    let edits = boxed(b"edts", &full(b"elst", 0, &[0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 5, 0, 1, 0, 0]));
    let edited = Track { boxes: edits, ..red_track() };
    let sound = Track { format: *b"mp4a", ..Track::new(7, (0, 0), vec![0; 9]) };
    let old_alpha = Track { properties: Vec::new(), ..alpha_track() };
    let sequence = File::of_tracks;
    let table: [(&str, File, &[u8]); 14] = [
        ("no meta box", sequence(vec![red_track()]), &RED),
        ("64-bit offsets", sequence(vec![large]), &RED),
        ("an edit list", sequence(vec![edited]), &RED),
        ("no track size", sequence(vec![Track { size: (0, 0), ..red_track() }]), &RED),
        ("an alpha track", sequence(vec![red_track(), alpha_track()]), &TRANSLUCENT_RED),
        ("an alpha track first", sequence(vec![alpha_track(), red_track()]), &TRANSLUCENT_RED),
        ("an alpha track without type", sequence(vec![red_track(), old_alpha]), &TRANSLUCENT_RED),
        ("a depth track", sequence(vec![depth_track(), red_track()]), &RED),
        ("a sound track first", sequence(vec![sound, red_track()]), &RED),
        ("avis with an item", both(b"avis"), &RED),
        ("avif with a track", both(b"avif"), &GREEN),
        ("mif1 with a track", both(b"mif1"), &RED),
        ("no primary item", File { primary: None, ..both(b"avif") }, &RED),
        ("avis without a track", File { tracks: Vec::new(), ..both(b"avis") }, &GREEN),
    ];
    for (name, file, colour) in table {
        assert_flat(name, &file.to_bytes(), (64, 48), colour);
    }
}

/// The frames of a sequence: the top left pixel and the delay of each, and the error that ends them early.
fn frames(file: &[u8]) -> (Vec<(Vec<u8>, u32)>, Option<Failure>) {
    let header = probe(file).expect("a header");
    let mut animation = Animation::open(file).expect("a sequence");
    let mut all = Vec::new();
    for _ in 0..header.frames {
        match animation.next() {
            Ok((decoded, delay)) => all.push((pixel(&decoded, 0, 0), delay)),
            Err(failure) => return (all, Some(failure)),
        }
    }
    (all, None)
}

fn is_near(got: &[u8], wanted: &[u8]) -> bool {
    got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) < 12)
}

#[test]
fn sequence_has_all_frames_with_their_delays_and_alpha() {
    let colours = red_track().then(&coded(64, 48, GREEN), 70).then(&coded(64, 48, BLUE), 90);
    let alphas = alpha_track().then(&coded_alpha(64, 48, 200), 70).then(&coded_alpha(64, 48, 30), 90);
    let (opaque, failure) = frames(&File::of_tracks(vec![colours.clone()]).to_bytes());
    assert_eq!(failure, None);
    for ((got, delay), (wanted, expected)) in opaque.iter().zip([(RED, 50), (GREEN, 70), (BLUE, 90)]) {
        assert!(is_near(got, &wanted) && *delay == expected, "{got:?} for {delay} ms");
    }
    let both = File::of_tracks(vec![colours.clone(), alphas]).to_bytes();
    let (translucent, _) = frames(&both);
    let wanted = [(RED, ALPHA), (GREEN, 200), (BLUE, 30)].map(|([r, g, b], alpha)| [r, g, b, alpha]);
    assert!(translucent.len() == 3 && translucent.iter().zip(wanted).all(|((got, _), wanted)| is_near(got, &wanted)));
    // as in libavif, frames without alpha are not shown
    let fewer = alpha_track().then(&coded_alpha(64, 48, 200), 70);
    assert_eq!(probe(&File::of_tracks(vec![colours, fewer]).to_bytes()).expect("a header").frames, 2);
}

#[test]
fn damaged_frame_ends_the_sequence() {
    let colours = red_track().then(&coded(64, 48, GREEN), 70).then(&[0x32, 0x05, 1, 2, 3, 4, 5], 90);
    let (whole, failure) = frames(&File::of_tracks(vec![colours]).to_bytes());
    assert!(whole.len() == 2 && is_near(&whole[1].0, &GREEN), "{whole:?}");
    assert!(matches!(failure, Some(Failure::Damaged(_))), "{failure:?}");
    // a later frame that is larger than the first one's header states is refused
    let colours = red_track().then(&coded(640, 480, GREEN), 70);
    let (whole, failure) = frames(&File::of_tracks(vec![colours]).to_bytes());
    assert!(whole.len() == 1 && matches!(failure, Some(Failure::Damaged(_))), "{failure:?}");
    assert!(
        Animation::open(&File::of_items(vec![Item::av1(1, coded(64, 48, RED)).with(ispe(64, 48))]).to_bytes()).is_err(),
        "a still picture"
    );
}

#[test]
fn samples_that_share_their_data_are_bounded() {
    // an OBU of padding ahead of the frame, which no decoder reads
    let data = [&[0x7a_u8, 0xe8, 0x07][..], &[0; 1000], &coded(64, 48, RED)].concat();
    let repeated = |repeats: usize| {
        let track = Track { repeats, ..Track::new(1, (64, 48), data.clone()) };
        frames(&File::of_tracks(vec![track]).to_bytes())
    };
    let (shown, failure) = repeated(5);
    assert!(shown.len() == 5 && failure.is_none(), "{failure:?}");
    let (shown, failure) = repeated(40);
    assert!((5..40).contains(&shown.len()), "{}", shown.len());
    assert_eq!(failure, Some(Failure::Damaged("tiles or samples share too much data".into())));
}

#[test]
fn edit_list_states_the_loops_of_a_sequence() {
    let looped = |flags: u8| {
        let edits = boxed(b"edts", &full(b"elst", 0, &[0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0]));
        let mut edits = edits;
        // version and flags follow two box headers
        edits[19] = flags;
        let track = Track { boxes: edits, ..red_track().then(&coded(64, 48, GREEN), 70) };
        // the duration in the track header is 9
        probe(&File::of_tracks(vec![track]).to_bytes()).expect("a header").loops
    };
    assert_eq!([looped(0), looped(1)], [Loops::Times(1), Loops::Times(3)]);
    let endless = File::of_tracks(vec![red_track().then(&coded(64, 48, GREEN), 70)]);
    assert_eq!(probe(&endless.to_bytes()).expect("a header").loops, Loops::Forever);
}

#[test]
fn sequence_keeps_the_colours_and_transforms_of_its_sample_entry() {
    let track = red_track().with(nclx([12, 13, 6])).with(boxed(b"irot", &[1])).with(boxed(b"imir", &[1]));
    let header = probe(&File::of_tracks(vec![track]).to_bytes()).expect("a header");
    assert_eq!((header.nclx.expect("code points").primaries, header.rotation, header.mirror), (12, 1, Some(1)));
}

#[test]
fn sequence_states_premultiplied_alpha() {
    let premultiplied = File::of_tracks(vec![red_track().references(b"prem", 2), alpha_track()]);
    assert!(decode_file(&premultiplied.to_bytes()).expect("a picture").1.premultiplied);
    let straight = File::of_tracks(vec![red_track(), alpha_track()]);
    assert!(!decode_file(&straight.to_bytes()).expect("a picture").1.premultiplied);
}

#[test]
fn sequence_with_cut_sample_is_refused() {
    let file = File::of_tracks(vec![red_track()]).to_bytes();
    // boxes ahead of the data, as writers for streaming have them
    let mdat = file.windows(4).position(|kind| kind == b"mdat").expect("data") - 4;
    let moov = file.windows(4).position(|kind| kind == b"moov").expect("tracks") - 4;
    let mut file = [&file[..mdat], &file[moov..], &file[mdat..moov]].concat();
    let offset = (mdat + file.len() - moov + 8) as u32;
    let table = file.windows(4).position(|kind| kind == b"stco").expect("offsets");
    file[table + 12..table + 16].copy_from_slice(&offset.to_be_bytes());
    assert_flat("whole", &file, (64, 48), &RED);
    file.truncate(file.len() - 1);
    assert!(matches!(probe(&file), Err(Failure::Damaged(_))));

    // missing frames behind the first one
    let sequence = |samples: u32| {
        let mut file = File::of_tracks(vec![Track { is_large: true, ..red_track() }]).to_bytes();
        let table = file.windows(4).position(|kind| kind == b"stsc").expect("chunks");
        file[table + 16..table + 20].copy_from_slice(&samples.to_be_bytes());
        file
    };
    assert!(probe(&sequence(1)).is_ok());
    for samples in [100, u32::MAX] {
        assert_eq!(probe(&sequence(samples)).map(|_| ()), Err(location::truncated()), "{samples}");
    }
}
