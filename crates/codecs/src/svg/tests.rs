//! Documents that mean more than they look, and what they may not reach.

use std::time::{Duration, Instant};

use tintype_pixels::error::{Error, Result};
use tintype_pixels::{Info, Limits, Pixels, Region, Size};

use super::draw::Svg;
use crate::codec::Codec;

const CANVAS: Size = Size::new(200, 200);

/// Draws all of a document on 200 × 200 pixels, within the memory of its own estimate.
fn drawn(svg: &str) -> Result<Pixels> {
    let info: Info = Svg.probe(svg.as_bytes())?;
    let limits = Limits { max_pixels: 1 << 30, max_frames: 1, max_memory: 512 << 20 };
    let memory = info.caps.vector.expect("a vector picture").bytes(CANVAS.pixels());
    let admitted = limits.admit(&info, 1, "drawing", memory)?;
    Svg.draw(svg.as_bytes(), &admitted, Region::whole(info.size), CANVAS)
}

fn document(content: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='100' height='100'>{content}</svg>"
    )
}

fn colour(pixels: &Pixels, x: usize, y: usize) -> [u8; 4] {
    let at = (y * pixels.size.width as usize + x) * 4;
    [0, 1, 2, 3].map(|channel| pixels.data[at + channel])
}

/// Each level refers to the one before it ten times.
fn levels(number: usize, first: &str, level: impl Fn(usize) -> String) -> String {
    let all: String = (1..=number).map(level).collect();
    document(&format!("<defs>{first}{all}</defs><use href='#l{number}'/>"))
}

#[test]
fn documents_that_mean_too_much_are_refused_at_once() {
    let use_bomb = levels(10, "<rect id='l0' width='1' height='1'/>", |n| {
        format!("<g id='l{n}'>{}</g>", format!("<use href='#l{}'/>", n - 1).repeat(10))
    });
    let pattern_bomb = levels(9, "<pattern id='p0' width='1' height='1'><rect width='1' height='1'/></pattern>", |n| {
        let rect = format!("<rect width='9' height='9' fill='url(#p{})'/>", n - 1);
        format!(
            "<pattern id='p{n}' width='.1' height='.1'>{}</pattern><rect id='l{n}' fill='url(#p{n})' width='9' height='9'/>",
            rect.repeat(10)
        )
    });
    let mask_bomb = levels(9, "<mask id='m0'><rect width='9' height='9'/></mask>", |n| {
        let rect = format!("<rect width='9' height='9' style='mask:url(\"#m{}\")'/>", n - 1);
        format!("<mask id='m{n}'>{}</mask><rect id='l{n}' mask='url(#m{n})' width='9' height='9'/>", rect.repeat(10))
    });
    let styled_bomb = levels(9, "<style>.a{fill:url(#p0)}</style><pattern id='p0' width='1' height='1'/>", |n| {
        let rect = format!("<rect width='9' height='9' class='c{}'/>", n - 1);
        format!(
            "<style>.c{n}{{fill:url(#p{n})}}</style><pattern id='p{n}' width='.1' height='.1'>{}</pattern><rect id='l{n}' class='c{n}' width='9' height='9'/>",
            rect.repeat(10)
        )
    });
    let marker = format!("<marker id='m'>{}</marker>", "<path d='M0 0h1v1z'/>".repeat(100));
    let markers = document(&format!("{marker}<path marker-mid='url(#m)' d='M0 0{}'/>", "l1 1".repeat(5000)));
    let nested = document(&format!("{}{}", "<g>".repeat(40_000), "</g>".repeat(40_000)));
    let text = document(&format!("<text>{}</text>", "a".repeat(1 << 20)));
    let rules: String = (0..5000).map(|n| format!(".a{n}{{fill:red}}")).collect();
    let styles = document(&format!("<style>{rules}</style>{}", "<g/>".repeat(5000)));
    let elements = document(&"<g/>".repeat(300_000));
    let entities = format!(
        "<!DOCTYPE svg [<!ENTITY a '{}'>{}]>{}",
        "a".repeat(1000),
        (0..9)
            .map(|n| format!("<!ENTITY {} '{}'>", (b'b' + n) as char, format!("&{};", (b'a' + n) as char).repeat(10)))
            .collect::<String>(),
        document("<text>&j;</text>"),
    );
    let cycles: String = (0..40)
        .map(|n| format!("<pattern id='p{n}' width='1' height='1'><rect fill='url(#p{n})'/></pattern>"))
        .collect();
    for (name, svg) in [
        ("use", use_bomb),
        ("pattern", pattern_bomb),
        ("mask", mask_bomb),
        ("style", styled_bomb),
        ("marker", markers),
        ("nested", nested),
        ("text", text),
        ("rules", styles),
        ("elements", elements),
        ("entities", entities),
        ("cycles", document(&cycles)),
    ] {
        let started = Instant::now();
        let result = Svg.probe(svg.as_bytes());
        let took = started.elapsed();
        assert!(matches!(result, Err(Error::Limit(_) | Error::Malformed { .. })), "{name}: {result:?}");
        assert!(took < Duration::from_millis(500), "{name} took {took:?}");
    }
}

#[test]
fn drawings_that_take_too_long_are_refused_before_they_are_drawn() {
    let convolve =
        format!("<filter id='f'><feConvolveMatrix order='100' kernelMatrix='{}'/></filter>", "1 ".repeat(10_000));
    let noise = "<filter id='f'><feTurbulence baseFrequency='.1' numOctaves='100000'/></filter>";
    let morphology = "<filter id='f'><feMorphology operator='dilate' radius='90'/></filter>";
    let filtered = "<rect width='100' height='100' filter='url(#f)'/>";
    let layers = format!("{}<rect width='100' height='100'/>{}", "<g opacity='.9'>".repeat(100), "</g>".repeat(100));
    let area = "<rect width='100' height='100' opacity='.5'/>".repeat(60_000);
    let tile = "<pattern id='p' width='1e5' height='1e5' patternUnits='userSpaceOnUse'><rect width='9' height='9'/></pattern><rect width='50' height='50' fill='url(#p)'/>";
    let zigzag = format!("<path fill='none' stroke='red' d='M0 0{}'/>", "L1 100L2 0".repeat(60_000));
    let dashes = "<path stroke='red' stroke-dasharray='.0001' d='M0 0H99'/>".repeat(50);
    for (name, content) in [
        ("convolution", format!("{convolve}{filtered}")),
        ("noise", format!("{noise}{filtered}")),
        ("morphology", format!("{morphology}{filtered}")),
        ("layers", layers),
        ("area", area),
        ("tile", tile.to_owned()),
        ("zigzag", zigzag),
        ("dashes", dashes),
    ] {
        let started = Instant::now();
        let result = drawn(&document(&content));
        let took = started.elapsed();
        println!("{name}: {took:?} {:?}", result.as_ref().map(|_| ()));
        let is_drawn_in_time = result.is_ok() && took < Duration::from_secs(2);
        assert!(matches!(result, Err(Error::Limit(_))) || is_drawn_in_time, "{name} took {took:?}");
    }
}

#[test]
fn nothing_outside_of_the_document_is_loaded() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/photos/coffee.png");
    for href in [file.to_owned(), format!("file://{file}"), "http://127.0.0.1:9/a.png".into(), "//host/a.png".into()] {
        let svg = document(&format!(
            "<image width='100' height='100' href='{href}'/><image width='100' height='100' xlink:href='{href}'/>"
        ));
        let pixels = drawn(&svg).expect("the rest is drawn");
        assert!(pixels.data.iter().all(|sample| *sample == 0), "{href}");
    }
    let entity = format!("<!DOCTYPE svg [<!ENTITY a SYSTEM 'file://{file}'>]>{}", document("<text>&a;</text>"));
    assert!(matches!(drawn(&entity), Err(Error::Malformed { .. })));
    let script =
        document("<script>document.documentElement.remove()</script><rect width='100' height='100' fill='red'/>");
    assert_eq!(colour(&drawn(&script).expect("drawn"), 9, 9), [255, 0, 0, 255]);
}

#[test]
fn pictures_inside_are_drawn_within_bounds() {
    // one red pixel
    const RED: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC";
    let image = |href: &str| format!("<image width='100' height='100' href='{href}'/>");
    let pixels = drawn(&document(&image(RED))).expect("drawn");
    assert_eq!(colour(&pixels, 100, 100), [255, 0, 0, 255]);
    // an SVG in an SVG, and no further
    let encode = |svg: &str| {
        format!(
            "data:image/svg+xml;utf8,{}",
            svg.replace('%', "%25").replace('#', "%23").replace('\'', "%27").replace('<', "%3C")
        )
    };
    let mut inner = document("<rect width='100' height='100' fill='blue'/>");
    for (level, is_drawn) in [(1, true), (2, true), (3, false)] {
        inner = document(&image(&encode(&inner)));
        let pixels = drawn(&inner).expect("drawn");
        assert_eq!(colour(&pixels, 100, 100) == [0, 0, 255, 255], is_drawn, "{level}");
    }
}

#[test]
fn region_equals_that_part_of_the_whole() {
    let svg = document("<rect x='10' y='20' width='50' height='30' fill='#1e3cc8'/>");
    let info = Svg.probe(svg.as_bytes()).expect("a header");
    let limits = Limits { max_pixels: 1, max_frames: 1, max_memory: 64 << 20 };
    let admitted = limits.admit(&info, 1, "drawing", 32 << 20).expect("admitted");
    let draw = |region, size| Svg.draw(svg.as_bytes(), &admitted, region, size).expect("drawn");
    let whole = draw(Region::whole(info.size), Size::new(400, 400));
    let part = draw(Region { x: 0.0, y: 15.0, width: 25.0, height: 25.0 }, Size::new(100, 100));
    for (x, y) in [(0, 0), (39, 21), (41, 21), (99, 99), (50, 18), (50, 25)] {
        assert_eq!(colour(&part, x, y), colour(&whole, x, y + 60), "{x}, {y}");
    }
}

/// Threads of the service have stacks of 2 MiB.
#[test]
fn deepest_document_needs_no_large_stack() {
    let deepest = |open: &str, close: &str| {
        document(&format!("{}<rect width='9' height='9'/>{}", open.repeat(120), close.repeat(120)))
    };
    let documents = [
        deepest("<g>", "</g>"),
        deepest("<g opacity='.9'>", "</g>"),
        deepest("<svg>", "</svg>"),
        deepest("<g clip-path='inset(1)'><a>", "</a></g>"),
        document(&format!("<text>{}a{}</text>", "<tspan>".repeat(120), "</tspan>".repeat(120))),
    ];
    let work = move || documents.iter().map(|svg| drawn(svg).is_ok()).collect::<Vec<_>>();
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(work).expect("a thread");
    assert_eq!(thread.join().expect("no overflow").len(), 5);
}
