//! URLs of thumbor and imagor: each rule of the grammar, signatures, refusals.

use super::*;
use crate::dialect::foreign::tests::status;
use crate::dialect::native::query;

const NOW: u64 = 1_800_000_000;

fn thumbor(flavour: Flavour) -> Thumbor {
    let sources = Sources::new(["https://www.example.com"]).expect("a base");
    Thumbor { sources, overlays: OverlayNames::default(), keys: Keys::default(), allows_unsafe: true, flavour }
}

fn keyed(key: &str, hash: Hash, characters: u8) -> Thumbor {
    let keys = Keys::new(&[key.into()], hash, characters).expect("a key");
    Thumbor { keys, allows_unsafe: false, ..thumbor(Flavour::Thumbor) }
}

/// The canonical query of a path of the original `a.jpg`, or the status.
fn read(flavour: Flavour, parts: &str) -> Result<String, u16> {
    let read = thumbor(flavour).read(&format!("/unsafe/{parts}a.jpg"), None, NOW);
    let statement = read.map_err(|error| status(&error))?;
    assert_eq!(statement.id.as_str(), "a.jpg", "{parts}");
    Ok(query::canonical(&statement.params, &[]).replace("%2C", ","))
}

fn check(flavour: Flavour, table: &[(&str, Result<&str, u16>)]) {
    for (parts, expected) in table {
        let got = read(flavour, parts);
        assert_eq!(got.as_deref().map_err(|status| *status), *expected, "{parts}");
    }
}

#[test]
fn sizes_have_their_native_equals() {
    let native = "format=original";
    check(
        Flavour::Thumbor,
        &[
            ("", Ok(native)),
            ("0x0/", Ok(native)),
            ("x/", Ok(native)),
            ("-x-/", Ok("flip=hv")),
            ("origx100/", Err(400)),
            ("300x/", Ok("enlarge=true&width=300")),
            ("300x0/filters:no_upscale()/", Ok("width=300")),
            ("full-fit-in/300x200/", Ok("enlarge=true&fit=outside&height=200&width=300")),
            ("full-fit-in/300x200/filters:no_upscale()/", Ok("fit=outside&height=200&width=300")),
            ("full-fit-in/300x0/", Ok("enlarge=true&width=300")),
            ("fit-in/stretch/300x200/", Ok("height=200&width=300")),
            ("300x0/filters:stretch()/", Ok("enlarge=true&width=300")),
            ("stretch/300x200/filters:no_upscale()/", Ok("fit=fill&height=200&limit=sides&width=300")),
            ("adaptive-fit-in/300x200/", Err(400)),
            ("fit-in/300x0/filters:upscale()/", Ok("width=300")),
            ("300x200/center/middle/", Ok("enlarge=true&fit=cover&height=200&width=300")),
            ("300x200/left/smart/", Ok("enlarge=true&fit=cover&height=200&position=smart&width=300")),
            ("300x0/left/", Ok("enlarge=true&width=300")),
            ("-300x-200/left/", Ok("enlarge=true&fit=cover&flip=hv&height=200&position=right&width=300")),
            ("300x-200/bottom/", Ok("enlarge=true&fit=cover&flip=v&height=200&position=top&width=300")),
        ],
    );
    check(Flavour::Imagor, &[("fit-in/300x0/filters:upscale()/", Ok("enlarge=true&width=300"))]);
}

#[test]
fn turning_comes_after_resizing() {
    check(
        Flavour::Thumbor,
        &[
            ("300x200/filters:rotate(90)/", Ok("enlarge=true&fit=cover&height=300&rotate=270&width=200")),
            ("300x200/filters:rotate(90):rotate(90)/", Ok("enlarge=true&fit=cover&height=200&rotate=180&width=300")),
            ("300x0/filters:rotate(-90)/", Ok("enlarge=true&height=300&rotate=90")),
            ("-300x200/filters:rotate(90)/", Ok("enlarge=true&fit=cover&flip=v&height=300&rotate=270&width=200")),
            ("filters:rotate(360)/", Ok("format=original")),
            ("300x200/left/filters:rotate(180)/", Err(400)),
            ("fit-in/300x200/left/filters:rotate(180)/", Ok("height=200&rotate=180&width=300")),
            ("300x200/filters:rotate(x)/", Err(400)),
        ],
    );
}

#[test]
fn parts_of_the_original_are_rectangles() {
    check(
        Flavour::Thumbor,
        &[
            ("0x0:1x1/", Ok("rect=0,0,1,1")),
            ("10x20:10x30/", Ok("format=original")),
            ("trim:50/", Ok("trim=20")),
            ("trim:999/", Ok("trim=100")),
            ("trim:top-left/", Ok("trim=2")),
            ("trim:bottom-right/", Err(400)),
            ("trim/10x20:30x40/", Err(400)),
            ("0.1x0.1:0.9x0.9/", Err(400)),
        ],
    );
    check(
        Flavour::Imagor,
        &[
            ("0x0:1x1/", Ok("rect=0p,0p,100p,100p")),
            ("0.1x0.25:0.9x1/", Ok("rect=10p,25p,80p,75p")),
            ("0.1x0.25:0.1x1/", Ok("format=original")),
            ("0.1x0.25:100x200/", Err(400)),
        ],
    );
}

#[test]
fn fill_is_a_canvas_or_a_background() {
    let pad = "fit=pad&height=300&width=300";
    check(
        Flavour::Thumbor,
        &[
            ("fit-in/300x300/filters:fill(f00)/", Ok(&format!("canvas=ff0000&{pad}"))),
            ("fit-in/300x300/filters:fill(none)/", Ok(&format!("canvas=00000000&{pad}"))),
            ("fit-in/300x300/filters:fill(red,true)/", Ok(&format!("background=ff0000&{pad}"))),
            ("fit-in/300x300/filters:fill(red,2)/", Err(400)),
            ("fit-in/300x300/filters:fill(auto)/", Err(400)),
            ("fit-in/300x300/filters:fill(%23fff)/", Err(400)),
            ("fit-in/300x300/filters:fill(red):fill(blue)/", Err(400)),
            ("fit-in/300x300/filters:fill(red):upscale()/", Ok(&format!("canvas=ff0000&{pad}"))),
            ("fit-in/300x300/filters:upscale():fill(red)/", Ok(&format!("canvas=ff0000&enlarge=true&{pad}"))),
            ("fit-in/300x300/filters:no_upscale():fill(red)/", Err(400)),
            ("fit-in/300x300/filters:grayscale():fill(red)/", Err(400)),
            ("fit-in/300x300/filters:rotate(90):fill(red)/", Err(400)),
            (
                "fit-in/300x300/filters:fill(red):rotate(180)/",
                Ok(&format!("canvas=ff0000&{pad}").replace("&width", "&rotate=180&width")),
            ),
            ("filters:fill(red)/", Ok("format=original")),
            ("filters:fill(red,1)/", Ok("background=ff0000")),
            (
                "300x300/10x20/filters:fill(red)/",
                Ok("canvas=ff0000&enlarge=true&fit=cover&height=300&padding=20,10,20,10&width=300"),
            ),
            ("300x300/1x2:3x4/", Err(400)),
            ("filters:background_color(0f0)/", Ok("background=00ff00")),
            ("filters:background_color(0f0):grayscale()/", Ok("background=00ff00&greyscale=true")),
            // filters run one after the other, and native URLs have one colour, which is grey behind a grey picture
            ("filters:background_color(red):background_color(blue)/", Err(400)),
            ("filters:grayscale():background_color(red)/", Err(400)),
            ("filters:grayscale():background_color(white)/", Ok("background=ffffff&greyscale=true")),
            ("filters:grayscale():fill(red,1)/", Err(400)),
            ("filters:grayscale():fill(fff,1)/", Ok("background=ffffff&greyscale=true")),
            ("filters:grayscale():fill(red)/", Ok("greyscale=true")),
            ("fit-in/300x300/filters:fill(red,true):background_color(blue)/", Err(400)),
            ("fit-in/300x300/filters:background_color(blue):fill(red,true)/", Err(400)),
            ("fit-in/300x300/filters:fill(red,1):background_color(f00)/", Ok(&format!("background=ff0000&{pad}"))),
            (
                "fit-in/300x300/filters:fill(red):background_color(blue)/",
                Ok(&format!("background=0000ff&canvas=ff0000&{pad}")),
            ),
        ],
    );
    check(
        Flavour::Imagor,
        &[
            ("fit-in/300x300/filters:fill(red)/", Ok(&format!("background=ff0000&{pad}"))),
            ("fit-in/300x300/filters:fill(red,0)/", Ok(&format!("background=ff0000&{pad}"))),
            ("fit-in/300x0/filters:fill(auto)/", Err(400)),
            ("fit-in/300x300/filters:fill(red):background_color(blue)/", Err(400)),
            ("filters:grayscale():fill(red)/", Err(400)),
            ("fit-in/300x300/filters:fill(red):upscale()/", Ok(&format!("background=ff0000&enlarge=true&{pad}"))),
        ],
    );
}

#[test]
fn filters_have_their_native_equals() {
    let native = "format=original";
    check(
        Flavour::Thumbor,
        &[
            ("filters:blur(7)/", Ok("blur=7")),
            ("filters:blur(7, 2)/", Ok("blur=2")),
            ("filters:blur(0)/", Ok(native)),
            ("filters:blur(500)/", Err(400)),
            ("filters:blur(1):blur(2)/", Err(400)),
            ("filters:sharpen(2,1.0,true)/", Ok("sharpen=2")),
            ("filters:sharpen(99,1.0,true)/", Err(400)),
            (
                "300x200/filters:focal(0.1x0.2:0.3x0.4)/",
                Ok("enlarge=true&fit=cover&height=200&position=0.2x0.3&width=300"),
            ),
            (
                "-300x200/filters:focal(0.2,0.3)/",
                Ok("enlarge=true&fit=cover&flip=h&height=200&position=0.8x0.3&width=300"),
            ),
            ("300x200/filters:focal(10x20:30x40)/", Err(400)),
            ("300x200/smart/filters:focal(0.2,0.3)/", Err(400)),
            ("300x200/filters:focal(0.2,0.3):rotate(90)/", Err(400)),
            ("fit-in/300x200/filters:focal(0.2,0.3)/", Ok("height=200&width=300")),
            ("filters:brightness(0):contrast(0):saturation(0):hue(0)/", Ok(native)),
            ("filters:hue(290)/", Err(400)),
            ("filters:strip_exif():strip_icc():max_age(3):autojpg():preview()/", Ok(native)),
            ("filters:format(WEBP)/", Ok("format=webp")),
            ("filters:format(heic)/", Err(400)),
            ("filters:quality(0)/", Err(400)),
            ("filters:quality(101)/", Err(400)),
            ("filters:quality(70)%3Aformat(png)/", Ok("format=png&quality=70")),
            ("filters:expire(1799999999999)/", Err(410)),
            ("filters:expire(1800000000000)/", Ok("expires=1800000000&format=original")),
            ("filters:expire(x)/", Err(400)),
            ("filters:attachment()/", Ok("download=a.jpg&format=original")),
            ("filters:attachment(b%20c.jpg)/", Ok("download=b%20c.jpg&format=original")),
            ("filters:grayscale/", Err(400)),
            ("filters:/", Err(400)),
            ("filters:bogus()/", Err(400)),
        ],
    );
}

#[test]
fn images_are_decoded_once() {
    for (rest, expected) in [
        ("/unsafe/a%2540b.jpg", Ok("a%40b.jpg")),
        ("/unsafe/a+b.jpg?x", Ok("a+b.jpg")),
        ("/unsafe/www.example.com/a.jpg", Ok("a.jpg")),
        ("/unsafe/https://www.example.com/a.jpg", Ok("a.jpg")),
        ("/unsafe/https:/www.example.com/a.jpg", Ok("a.jpg")),
        ("/unsafe/300x200/smart", Ok("smart")),
        // photos/tom.jpg, with and without padding
        ("/unsafe/b64:cGhvdG9zL3RvbS5qcGc=", Ok("photos/tom.jpg")),
        ("/unsafe/b64:cGhvdG9zL3RvbS5qcGc", Ok("photos/tom.jpg")),
        ("/unsafe/b64:*", Err(400)),
        ("/unsafe/b64:_w", Err(404)),
        ("/unsafe/color:red", Err(400)),
        ("/unsafe/evil.example/a.jpg", Ok("evil.example/a.jpg")),
        ("/unsafe/https://evil.example/a.jpg", Err(403)),
        ("/unsafe/b64:aHR0cHM6Ly9ldmlsLmV4YW1wbGUvYS5qcGc", Err(403)),
        ("/unsafe/a%zz", Err(404)),
        ("/unsafe/%2e%2e/a.jpg", Err(404)),
        ("/unsafe/smart/", Err(404)),
        ("/unsafe/300x200/", Err(404)),
        ("/unsafe/", Err(400)),
        ("/unsafe", Err(400)),
        ("/", Err(404)),
        ("", Err(404)),
        ("/params/unsafe/a.jpg", Err(403)),
        ("/a.jpg", Err(403)),
    ] {
        let read = thumbor(Flavour::Thumbor).read(rest, None, NOW);
        let got = read.as_ref().map(|statement| statement.id.as_str()).map_err(status);
        assert_eq!(got, expected, "{rest}");
    }
}

#[test]
fn signatures_are_those_of_the_clients() {
    const GOPHER: &str = "500x500/top/raw.githubusercontent.com/cshum/imagor/master/testdata/gopher.png";
    for (dialect, path, signature) in [
        (keyed("my-security-key", Hash::Sha1, 0), "300x200/photos/tom.jpg", "k0glDSvhamGR4_HH-6WgAmDrYaw="),
        (keyed("mysecret", Hash::Sha1, 0), GOPHER, "cST4Ko5_FqwT3BDn-Wf4gO3RFSk="),
        (keyed("mysecret", Hash::Sha256, 40), GOPHER, "IGEn3TxngivD0jy4uuiZim2bdUCvhcnVi1Nm0xGy"),
    ] {
        assert_eq!(dialect.sign(&format!("/{path}")), Some(format!("/{signature}/{path}")));
        let status_of = |signature: &str| {
            dialect.read(&format!("/{signature}/{path}"), None, NOW).map(drop).map_err(|error| status(&error))
        };
        assert_eq!(status_of(signature), Ok(()));
        assert_eq!(status_of(&signature.replace('=', "%3D")), Ok(()));
        for wrong in ["unsafe", "", &signature[1..], &signature[..signature.len() - 1], &format!("{signature}=")] {
            assert_eq!(status_of(wrong), Err(403), "{wrong}");
        }
    }
    let sha512 = keyed("mysecret", Hash::Sha512, 0).sign("/a.jpg").expect("a key");
    assert!(keyed("mysecret", Hash::Sha512, 0).read(&sha512, None, NOW).is_ok());
    // before any filter is read
    let unread = keyed("mysecret", Hash::Sha1, 0).read("/wrong/filters:bogus()/a.jpg", None, NOW);
    assert!(matches!(unread, Err(Error::Signature(_))));
    assert_eq!(Keys::new(&[String::new()], Hash::Sha1, 0).err(), Some(EmptyKey));
    assert!(thumbor(Flavour::Thumbor).is_unsigned() && !keyed("a", Hash::Sha1, 0).is_unsigned());
    assert_eq!(thumbor(Flavour::Thumbor).sign("/a.jpg"), None);
}

/// The filters of thumbor 7.8 and of imagor.
const VENDOR: &str = "autojpg background_color blur brightness colorize contrast convolution cover curve equalize extract_focal fill \
    focal format frame gifv grayscale max_age max_bytes no_upscale noise proportion quality redeye red_eye rgb rotate round_corner \
    round_corners saturation sharpen stretch strip_exif strip_icc upscale watermark attachment crop dpi expire hue image label \
    max_frames orient padding page preview raw text to_colorspace trim distributed_collage";

#[test]
fn every_filter_of_the_vendors_has_one_row() {
    let names =
        |name: &str| table::FILTERS.iter().filter(|row| row.name == name || row.aliases.contains(&name)).count();
    for name in VENDOR.split_whitespace() {
        assert_eq!(names(name), 1, "{name}");
    }
}

#[test]
fn refused_filters_name_themselves() {
    for row in table::FILTERS.iter().filter(|row| !matches!(row.treatment, options::Treatment::Read(_))) {
        for name in std::iter::once(row.name).chain(row.aliases.iter().copied()) {
            let read = thumbor(Flavour::Thumbor).read(&format!("/unsafe/filters:{name}(12)/a.jpg"), None, NOW);
            match (&row.treatment, read) {
                (options::Treatment::Ignored, read) => assert!(read.is_ok(), "{name}"),
                (_, Err(Error::InvalidParams(params))) => assert_eq!(params[0].name, name),
                (_, read) => panic!("{name}: {read:?}"),
            }
        }
    }
    let unknown = thumbor(Flavour::Thumbor).read("/unsafe/filters:qality(3)/a.jpg", None, NOW).expect_err("unknown");
    assert!(unknown.to_string().contains("did you mean \"quality\""), "{unknown}");
}
