//! Documents that expand to more than their bytes, and what they may not reach.

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
fn documents_that_expand_to_too_much_are_refused_at_once() {
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
    // 220 canvases in 110 groups
    let layers = "<g style='opacity:.9;isolation:isolate'>".repeat(110) + &"</g>".repeat(110);
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
        ("layers", document(&layers)),
        ("bytes", document(&format!("<!--{}-->", " ".repeat(17 << 20)))),
    ] {
        refuse(name, &svg);
    }
}

/// Checks that a document is refused before anything is built of it.
fn refuse(name: &str, svg: &str) {
    let started = Instant::now();
    let result = Svg.probe(svg.as_bytes());
    let took = started.elapsed();
    assert!(matches!(result, Err(Error::Limit(_) | Error::Malformed { .. })), "{name}: {result:?}");
    assert!(took < Duration::from_millis(500), "{name} took {took:?}");
}

const PATTERN: &str = "width='1' height='1' patternUnits='userSpaceOnUse'";

fn rects(number: usize) -> String {
    "<rect width='9' height='9'/>".repeat(number)
}

/// Each expands to more than the references of the file tell one by one.
#[test]
fn references_are_followed_as_resvg_follows_them() {
    let masks = |first: &str, mask: &dyn Fn(usize) -> String| {
        let masks: String = (1..=9).map(mask).collect();
        document(&format!("{first}<mask id='m0'>{}</mask>{masks}<rect mask='url(#m9)'/>", rects(1)))
    };
    let masked = |n: usize, by: &str| format!("<mask id='m{n}'>{}</mask>", format!("<rect {by}/>").repeat(10));
    let duplicates: String = (0..=9).map(|n| format!("<mask id='m{n}'/>")).collect();
    let in_circle = |first: &str, a: &str| {
        format!(
            "{first}<mask id='{a}'><g mask='url(#b)'/></mask><mask id='b'><g mask='url(#c)'/></mask>\
            <mask id='c'><g mask='url(&quot;#{a}&quot;)'/></mask><rect width='9' height='9' mask='url(&quot;#{a}&quot;)'/>"
        )
    };
    let inherit = |n: usize| {
        let rects = "<rect width='9' height='9' mask='inherit'/>".repeat(10);
        format!("<mask id='m{n}'><g mask='url(#m{})'>{rects}</g></mask>", n - 1)
    };
    let pattern = |number| format!("<pattern id='p' {PATTERN}>{}</pattern>", rects(number));
    let fallback = |filter: &str| {
        format!(
            "<filter id='f'><feImage href='#r'/></filter><g id='r'><rect width='9' height='9' filter='{filter}'/></g>"
        )
    };
    for (name, svg) in [
        ("a duplicate id in front", masks(&duplicates, &|n: usize| masked(n, &format!("mask='url(#m{})'", n - 1)))),
        ("a blank in front of the id", masks("", &|n: usize| masked(n, &format!("mask=' url( #m{})'", n - 1)))),
        ("inherited masks", masks("", &inherit)),
        ("a circle behind a duplicate id", document(&in_circle("<mask id='a'/>", "a"))),
        ("a bracket in an id", document(&in_circle("", "a)"))),
        ("a blank in a list of filters", document(&fallback("url (#f)"))),
        ("a list of filters", document(&fallback("blur(1) url(#f)"))),
        (
            "a paint server of what is used",
            document(&format!("{}<g id='g'>{}</g><use fill='url(#p)' href='#g'/>", pattern(1000), rects(10_000))),
        ),
        (
            "a paint server outside of a mask",
            document(&format!(
                "{}<g fill='url(#p)'><mask id='m'>{}</mask></g>{}",
                pattern(100),
                rects(1000),
                "<rect mask='url(#m)'/>".repeat(100)
            )),
        ),
        (
            "a paint server of markers",
            document(&format!(
                "{}<marker id='m'>{}</marker><path fill='url(#p)' marker-mid='url(#m)' d='M0 0{}'/>",
                pattern(100),
                "<rect fill='context-fill'/>".repeat(10),
                "l1 1".repeat(500)
            )),
        ),
        ("a pattern in what it paints", document(&format!("<g fill='url(#p)'>{}{}</g>", pattern(1), rects(1)))),
        ("markers of two attributes", {
            let marker = format!("<marker id='m'>{}</marker>", rects(100));
            document(&format!("{marker}<polyline marker-mid='url(#m)' d='' points='{}'/>", "1 1 ".repeat(5000)))
        }),
        ("gradients in a circle", {
            let gradient = |id: &str, href: &str| format!("<linearGradient id='{id}' href='#{href}'/>");
            document(&[gradient("a", "b"), gradient("b", "c"), gradient("c", "b")].concat())
        }),
        ("the copies of a long path", {
            let path = format!("<path id='p' d='M0 0{}'/>", "l1 1".repeat(25_000));
            document(&(path + &"<use href='#p'/>".repeat(1000)))
        }),
        ("a long value that is inherited", {
            let dashes = "1 ".repeat(10_000);
            document(&format!("<g stroke='red' stroke-dasharray='{dashes}'>{}</g>", rects(10_000)))
        }),
    ] {
        refuse(name, &svg);
    }
}

#[test]
fn xml_styles_and_numbers_are_bounded() {
    let entities = |value: &str, number: usize| {
        let references = "&a;".repeat(number);
        format!("<!DOCTYPE svg [<!ENTITY a '{value}'>]>{}", document(&format!("<g id='{references}'/>")))
    };
    let styled = |css: &str, content: &str| document(&format!("<style>{css}</style>{content}"));
    let nested = "<g>".repeat(120) + &"</g>".repeat(120);
    let attributes: String = (0..20_000).map(|n| format!(" a{n}=''")).collect();
    let namespaces: String = (0..60).map(|n| format!(" xmlns:a{n}='a'")).collect();
    for (name, svg) in [
        ("references to an entity", entities(&"a".repeat(30_000), 10_000)),
        ("an entity with elements", entities("<g/>", 1)),
        ("an entity that is not closed in front of the next one", entities("<!ENTITY b \"&a;\">", 1)),
        ("attributes", document(&format!("<g{attributes}/>"))),
        ("namespaces", document(&format!("<g{namespaces}/>"))),
        ("a selector of descendants", styled(&format!("x{}{{fill:red}}", " g".repeat(12)), &nested)),
        ("a selector that decides nothing", styled(&format!("x{}{{color:red}}", " g".repeat(12)), &nested)),
        ("a selector of siblings", styled(&format!("g{}{{fill:red}}", "+g".repeat(100_000)), &"<g/>".repeat(100_000))),
        ("a list of selectors", styled(&format!("a{}{{{}}}", ",a".repeat(989), "x:y;".repeat(25_000)), "")),
        ("a rule of many declarations", styled(&format!("a{{{}}}", "x:y;".repeat(200_000)), "<g/>")),
        ("declarations of many elements", styled(&format!("g{{{}}}", "x:y;".repeat(100)), &"<g/>".repeat(100_000))),
        ("a style of many declarations", document(&format!("<g style='{}'/>", "a:b;".repeat(250_000)))),
        ("a style of many numbers", document(&format!("<g style='a:{}'/>", "1,".repeat(250_000)))),
        ("a style that is copied", {
            let style = "a:b;".repeat(1000);
            document(&format!("<g id='g' style='{style}'/>{}", "<use href='#g'/>".repeat(1000)))
        }),
        ("comments in a selector", styled(&format!("a{}{{x:y}}", "/**/".repeat(10_000)), "")),
        ("a text elsewhere", document(&format!("<g id='t'>{}</g><text><tref href='#t'/></text>", "a".repeat(1 << 20)))),
        ("blanks that are not collapsed", document(&format!("<text>a{}</text>", "\u{a0}".repeat(200_000)))),
        ("blanks that are preserved", {
            document(&format!("<g xml:space='preserve'><text>a{}</text></g>", " ".repeat(200_000)))
        }),
        ("a text of many parts", document(&format!("<text>{}</text>", "<tspan>a</tspan>".repeat(5000)))),
        ("the radius of an arc", document("<path d='M0 0A1e70 1e70 0 1 1 9 9'/>")),
        ("the radius of a circle", document("<circle r='1e38'/>")),
        (
            "nested shares",
            document(&format!("{}<circle r='50%'/>{}", "<svg width='900%'>".repeat(40), "</svg>".repeat(40))),
        ),
        ("nested sizes of fonts", {
            let open = "<g style='font:9em serif'>".repeat(40);
            document(&format!("{open}<circle r='1em'/>{}", "</g>".repeat(40)))
        }),
    ] {
        refuse(name, &svg);
    }
}

#[test]
fn common_documents_of_editors_are_drawn() {
    let font = "base64,".to_owned() + &"AB+/09".repeat(50_000);
    let illustrator = document("<path style='&st0;' d='M0 0h9v9z'/><text>&#38;</text>")
        .replace("http://www.w3.org/2000/svg", "&ns_svg;");
    for (name, svg) in [
        (
            "entities of Illustrator",
            format!(
                "<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' 'svg11.dtd' [\
                <!ENTITY ns_svg 'http://www.w3.org/2000/svg'><!ENTITY st0 'fill:#FFFFFF;stroke:none;'>]>{illustrator}"
            ),
        ),
        ("an id given twice", {
            let gradient = "<linearGradient id='a'><stop/><stop offset='1'/></linearGradient>";
            document(&format!("{gradient}<g id='a'><rect width='9' height='9' fill='url(#a)'/></g>{gradient}"))
        }),
        (
            "a marker that its own style sheet applies to",
            document(
                "<style>path{marker-end:url(#m)}</style><marker id='m'><path d='M0 0h1v1z'/></marker><path d='M0 0h9'/>",
            ),
        ),
        (
            "a marker in a group that has it",
            document("<g marker-end='url(#m)'><marker id='m'><path d='M0 0h1v1z'/></marker><path d='M0 0h9'/></g>"),
        ),
        (
            "a gradient in what it paints",
            document(
                "<g fill='url(#a)'><linearGradient id='a'><stop/></linearGradient><rect width='9' height='9'/></g>",
            ),
        ),
        ("links within the document", {
            document("<g id='a'><a href='#b'><rect id='b' width='9' height='9'/></a></g><a href='#a'><g/></a>")
        }),
        ("an embedded font", {
            document(&format!(
                "<style>@font-face{{src:url(\"data:font/woff2;{font}\")}}.a{{fill:red;stroke-width:1.5}}</style><g class='a'/>"
            ))
        }),
        ("an embedded picture of any length", {
            document(&format!("<image href='data:image/png;{font}'/>{}", rects(1)))
        }),
        ("relative lengths", {
            document(
                "<g font-size='120%'><svg width='100%'><circle r='50%'/><rect width='9' height='9' rx='.5em'/></svg></g>",
            )
        }),
        ("coordinates of maps", document("<path d='M20037508.34-20037508.34a1 1 0 0110 10z'/>")),
    ] {
        let refused = drawn(&svg).err();
        assert!(refused.is_none(), "{name}: {refused:?}");
    }
}

#[test]
fn documents_with_text_have_the_fonts_in_their_keys() {
    let image =
        |svg: &str| format!("<image href='data:image/svg+xml,{}'/>", svg.replace('<', "%3C").replace('#', "%23"));
    let text = "<text xml:space='preserve' text-decoration='underline'>   </text>";
    let embedded = |svg: &str| image(&document(svg).replace('\'', "%22"));
    for (content, expected) in [
        (rects(1), false),
        ("<text>a</text>".to_owned(), true),
        (text.to_owned(), true),
        (embedded(&rects(1)), false),
        (embedded("<text>a</text>"), true),
        (format!("<filter id='f'><feImage {}</filter>", &embedded("<text>a</text>")["<image ".len()..]), true),
        // as many as are drawn, and one that is not looked at
        (embedded(&rects(1)).repeat(100), false),
        (embedded(&rects(1)).repeat(101), true),
    ] {
        let info = Svg.probe(document(&content).as_bytes()).expect("a header");
        assert_eq!(info.caps.vector.map(|vector| vector.has_text), Some(expected), "{content:.300}");
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
    // broken ones are none of the documents in each other
    let broken = image("data:image/svg+xml,%3Csvg %3E").repeat(3);
    let blue = image(&encode(&document("<rect width='100' height='100' fill='blue'/>")));
    let pixels = drawn(&document(&(broken + &blue))).expect("drawn");
    assert_eq!(colour(&pixels, 100, 100), [0, 0, 255, 255]);
    // one hundred pictures, and no more
    for (number, is_drawn) in [(99, true), (100, false)] {
        let small = format!("<image width='1' height='1' href='{RED}'/>").repeat(number);
        let pixels = drawn(&document(&(small + &image(RED)))).expect("drawn");
        assert_eq!(colour(&pixels, 100, 100) == [255, 0, 0, 255], is_drawn, "{number}");
    }
}

/// A document that expands to 20,000 elements, shown many times.
#[test]
fn pictures_inside_are_part_of_the_cost() {
    let uses = |id: &str| format!("<use href='%23{id}'/>").repeat(100);
    let row = format!("<g id='row'>{}</g>", "<g id='one'/>".to_owned() + &uses("one"));
    let inner = document(&format!("<defs>{row}</defs>{}", uses("row"))).replace('\'', "%22").replace('<', "%3C");
    let shown = |times: usize| {
        let image = format!("<image id='i' width='9' height='9' href='data:image/svg+xml,{inner}'/>");
        document(&(image + &"<use href='#i'/>".repeat(times)))
    };
    let memory = |times| {
        let info = Svg.probe(shown(times).as_bytes()).expect("a header");
        info.caps.vector.expect("a vector picture").memory
    };
    assert!(memory(0) > 20 << 20, "{}", memory(0));
    assert!(memory(9) > 200 << 20, "{}", memory(9));
    // no more than a bound is prepared, however often it is shown
    assert!(memory(1000) < 500 << 20, "{}", memory(1000));
    let started = Instant::now();
    let result = drawn(&shown(99));
    let took = started.elapsed();
    assert!(result.is_ok() || matches!(result, Err(Error::Limit(_))), "{:?}", result.map(|_| ()));
    assert!(took < Duration::from_secs(2), "{took:?}");
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
    // the fourth has twice as many levels as are drawn
    assert_eq!(thread.join().expect("no overflow"), [true, true, true, false, true]);
}
