//! Animations with chunks out of order, and truncated ones.

use super::*;

pub(super) fn control(number: u32, size: (u32, u32), at: (u32, u32)) -> Vec<u8> {
    let numbers = [number, size.0, size.1, at.0, at.1].map(u32::to_be_bytes).concat();
    chunk(b"fcTL", &[&numbers[..], &[0, 1, 0, 10, 0, 0]].concat())
}

pub(super) fn colour(size: (u32, u32), rgb: [u8; 3]) -> Vec<u8> {
    let row = [&[0][..], &rgb.repeat(size.0 as usize)].concat();
    deflated(&row.repeat(size.1 as usize))
}

pub(super) fn data(number: u32, data: &[u8]) -> Vec<u8> {
    chunk(b"fdAT", &[&number.to_be_bytes()[..], data].concat())
}

pub(super) fn count(frames: u32) -> Vec<u8> {
    chunk(b"acTL", &[frames.to_be_bytes(), [0; 4]].concat())
}

#[test]
fn invalid_animation_is_its_static_image_and_truncated_one_its_complete_frames() {
    let all = (SIDE, SIDE);
    let red = chunk(b"IDAT", &colour(all, [255, 0, 0]));
    let (green, blue) = (colour(all, [0, 255, 0]), colour(all, [0, 0, 255]));
    let head = header(KINDS[0]);
    let first = || control(0, all, (0, 0));
    let second = || [control(1, all, (0, 0)), data(2, &green)].concat();
    let third = || [control(3, all, (0, 0)), data(4, &blue)].concat();
    let file = |parts: &[Vec<u8>]| [&head[..], &parts.concat(), &END].concat();
    let whole = file(&[count(3), first(), red.clone(), second(), third()]);
    let cut = |bytes: usize| whole[..whole.len() - bytes].to_vec();
    let short = |number: u32| data(number, &green[..green.len() / 2]);
    let cases: [(&str, Vec<u8>, usize, bool); 25] = [
        ("a valid file", whole.clone(), 3, false),
        ("no end", cut(12), 3, false),
        (
            "without the control of the first",
            file(&[
                count(2),
                red.clone(),
                control(0, all, (0, 0)),
                data(1, &green),
                control(2, all, (0, 0)),
                data(3, &blue),
            ]),
            2,
            false,
        ),
        ("more frames stated", file(&[count(9), first(), red.clone(), second(), third()]), 3, false),
        ("fewer frames stated", file(&[count(2), first(), red.clone(), second(), third()]), 2, false),
        ("no frames stated", file(&[count(0), first(), red.clone(), second()]), 1, false),
        ("no animation stated", file(&[first(), red.clone(), second()]), 1, false),
        ("stated behind the data", file(&[first(), red.clone(), count(2), second()]), 1, false),
        (
            "a number left out",
            file(&[count(2), first(), red.clone(), control(5, all, (0, 0)), data(6, &green)]),
            1,
            false,
        ),
        ("a number twice", file(&[count(2), first(), red.clone(), control(1, all, (0, 0)), data(1, &green)]), 1, false),
        (
            "the first number is not 0",
            file(&[count(2), control(1, all, (0, 0)), red.clone(), control(2, all, (0, 0)), data(3, &green)]),
            1,
            false,
        ),
        (
            "data before their control",
            file(&[count(2), first(), red.clone(), data(1, &green), control(2, all, (0, 0))]),
            1,
            false,
        ),
        (
            "two controls",
            file(&[count(2), first(), red.clone(), control(1, all, (0, 0)), control(2, all, (0, 0)), data(3, &green)]),
            1,
            false,
        ),
        (
            "a frame outside",
            file(&[count(2), first(), red.clone(), control(1, all, (1, 0)), data(2, &green)]),
            1,
            false,
        ),
        (
            "a frame of no size",
            file(&[count(2), first(), red.clone(), control(1, (0, 0), (0, 0)), data(2, &green)]),
            1,
            false,
        ),
        (
            "a first frame that is smaller",
            file(&[count(2), control(0, (SIDE, 1), (0, 0)), red.clone(), control(1, all, (0, 0)), data(2, &green)]),
            1,
            false,
        ),
        ("a control without data", file(&[count(2), first(), red.clone(), control(1, all, (0, 0))]), 1, false),
        ("data before the still picture", file(&[count(2), first(), data(1, &green), red.clone()]), 1, false),
        ("cut off in the third", cut(30), 2, true),
        ("cut off behind the second", [&head[..], &count(3), &first(), &red, &second()].concat(), 2, true),
        (
            "cut off in a control",
            [&head[..], &count(3), &first(), &red, &second(), &control(3, all, (0, 0))[..20]].concat(),
            2,
            true,
        ),
        (
            "the third's data are short",
            file(&[count(3), first(), red.clone(), second(), control(3, all, (0, 0)), short(4)]),
            2,
            true,
        ),
        (
            "the second's data are short",
            file(&[count(3), first(), red.clone(), control(1, all, (0, 0)), short(2), third()]),
            1,
            true,
        ),
        (
            "the second's checksum is wrong",
            file(&[
                count(3),
                first(),
                red.clone(),
                control(1, all, (0, 0)),
                wrong_crc(b"fdAT", &[&2_u32.to_be_bytes()[..], &green].concat()),
                third(),
            ]),
            1,
            true,
        ),
        (
            "a small frame in data of two chunks",
            file(&[
                count(2),
                first(),
                red.clone(),
                control(1, (2, 3), (4, 5)),
                data(2, &colour((2, 3), [0, 255, 0])[..9]),
                data(3, &colour((2, 3), [0, 255, 0])[9..]),
            ]),
            2,
            false,
        ),
    ];
    for (name, file, frames, damaged) in cases {
        let (decoded, integrity) = decode_checked(&Png, &file, true).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((decoded.len(), integrity.is_damaged()), (frames, damaged), "{name}: {integrity:?}");
        let first = if name.starts_with("without") { [0, 255, 0] } else { [255, 0, 0] };
        assert_eq!(decoded[0].data[..3], first, "{name}");
        let still = decode_checked(&Png, &file, false).expect("a still picture").0;
        assert_eq!(still[0].data[..3], [255, 0, 0], "{name}");
        if name.starts_with("a small") {
            let at = ((5 * SIDE + 4) * 3) as usize;
            assert_eq!(
                (&decoded[1].data[at..at + 3], &decoded[1].data[at - 3..at]),
                (&[0, 255, 0][..], &[255, 0, 0][..])
            );
        }
    }
}
