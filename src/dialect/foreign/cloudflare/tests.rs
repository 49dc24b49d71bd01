//! URLs of Cloudflare Images: each option, refusals, sources.

use super::*;
use crate::dialect::foreign::tests::status;
use crate::dialect::native::query;

fn cloudflare() -> Cloudflare {
    Cloudflare { sources: Sources::new(["https://www.example.com"]).expect("a base") }
}

/// The canonical query of options, without the metadata that nearly all have, or the status.
fn read(options: &str) -> Result<String, u16> {
    let statement = cloudflare().read(&format!("/{options}/a.jpg"), None, 0).map_err(|error| status(&error))?;
    assert_eq!(statement.id.as_str(), "a.jpg", "{options}");
    let query = query::canonical(&statement.params, &[]).replace("%2C", ",");
    Ok(query.replace("&metadata=copyright", "").replace("metadata=copyright&", ""))
}

#[test]
fn options_have_their_native_equals() {
    let none = "metadata=copyright";
    for (options, expected) in [
        ("w=300,width=200", Ok("width=200")),
        ("w=300,h=200,dpr=2.625", Ok("height=525&width=788")),
        ("w=1,dpr=0.1", Ok("width=1")),
        ("w=300,dpr=6", Err(400)),
        ("w=-1", Err(400)),
        ("w=", Err(400)),
        ("h=auto", Err(400)),
        ("w=auto", Ok("width=auto")),
        ("width=auto,height=100,dpr=2", Ok("dpr=2&height=100&width=auto")),
        ("width=auto,dpr=1,trim=1;2;3;4", Ok("dpr=1&inset=1,2,3,4&width=auto")),
        ("w=300,fit=contain", Ok("enlarge=true&width=300")),
        ("fit=contain", Ok(none)),
        ("fit=squeeze", Ok(none)),
        ("w=300,fit=squeeze", Err(400)),
        ("w=300,fit=crop", Ok("width=300")),
        ("w=300,fit=aspect-crop", Ok("width=300")),
        ("w=300,fit=pad", Ok("enlarge=true&width=300")),
        ("w=300,h=200,fit=crop,dpr=2,g=0.25x1", Ok("fit=cover&height=400&limit=sides&position=0.25x1&width=600")),
        ("w=300,h=200,fit=crop,g=center,flip=h", Err(400)),
        ("w=300,g=top,flip=h", Err(400)),
        (
            "w=300,h=200,fit=cover,g=auto,rotate=90",
            Ok("enlarge=true&fit=cover&height=200&position=smart&rotate=90&width=300"),
        ),
        ("w=300,h=200,fit=cover,g=top,rotate=180", Err(400)),
        ("w=300,h=200,fit=cover,g=top,rotate=0", Ok("enlarge=true&fit=cover&height=200&position=top&width=300")),
        ("w=300,g=2x0", Err(400)),
        ("g=bogus", Err(400)),
        ("fit=bogus", Err(400)),
        ("flip=h,rotate=90", Ok("flip=v&rotate=90")),
        ("flip=hv,rotate=180", Ok("flip=hv&rotate=180")),
        ("flip=vh", Err(400)),
        ("rotate=45", Err(400)),
        ("trim=1;2;3;4,dpr=1.5", Ok("inset=2,3,5,6")),
        ("trim=1;2;3", Err(400)),
        ("trim.left=3", Err(400)),
        ("trim=border", Ok("trim=true")),
        ("blur=1", Ok("blur=0.5")),
        ("blur=250", Ok("blur=100")),
        ("blur=0", Err(400)),
        ("sharpen=3", Ok("sharpen=3")),
        ("sharpen=11", Err(400)),
        ("brightness=0,contrast=1,gamma=0", Ok(none)),
        ("brightness=0.5,contrast=2,gamma=1.5", Ok("brightness=0.5&contrast=2&gamma=1.5")),
        ("brightness=-1", Err(400)),
        ("saturation=1", Ok(none)),
        ("saturation=0.5", Ok("saturation=0.5")),
        ("saturation=0", Ok("greyscale=true")),
        ("background=red", Ok("background=ff0000")),
        ("background=%23f008", Ok("background=ff000088")),
        ("background=rgb%28240%2C40%2C145%29", Ok("background=f02891")),
        ("background=rgb(240%2040%20145%20/%200.5)", Err(400)),
        ("background=rgba%28240%2C40%2C145%2C0.5%29", Ok("background=f0289180")),
        ("background=rgba%28240%2C40%29", Err(400)),
        ("background=rgb%28256%2C0%2C0%29", Err(400)),
        ("background=rgb(240,40,145)", Err(400)),
        ("background=ff0000", Err(400)),
        ("f=webp,q=100", Ok("format=webp&lossless=true")),
        ("f=auto,q=100", Ok("format=auto&quality=100")),
        ("q=auto", Err(400)),
        ("q=0", Err(400)),
        ("f=tiff", Err(400)),
        ("metadata=bogus", Err(400)),
        ("anim=true", Ok(none)),
        ("anim=1", Err(400)),
        ("scq=50,compression=fast,onerror=redirect,slow-connection-quality=3", Ok(none)),
        ("width", Err(400)),
        ("width=300,", Err(400)),
        ("w=%zz", Err(400)),
    ] {
        assert_eq!(read(options).as_deref().map_err(|status| *status), expected, "{options}");
    }
}

#[test]
fn sources_are_paths_or_our_own_addresses() {
    for (rest, expected) in [
        ("/w=3/a%20b%2Fc.jpg", Ok("a b/c.jpg")),
        ("/w=3//a.jpg", Ok("a.jpg")),
        ("/w=3/a+b.jpg?v=1", Ok("a+b.jpg")),
        ("/w=3/https%3A%2F%2Fwww.example.com%2Fa.jpg", Ok("a.jpg")),
        ("/w=3/https://evil.example/a.jpg", Err(403)),
        ("/w=3/../a.jpg", Err(404)),
        ("/w=3/a%zz", Err(404)),
        ("/w=3/", Err(400)),
        ("/w=3", Err(400)),
        ("//a.jpg", Err(400)),
        ("/", Err(400)),
        ("", Err(400)),
    ] {
        let read = cloudflare().read(rest, None, 0);
        let got = read.as_ref().map(|statement| statement.id.as_str()).map_err(status);
        assert_eq!(got, expected, "{rest}");
    }
}

#[test]
fn refusals_tell_whether_the_format_was_left_open() {
    for (rest, expected) in [
        ("/bogus=1,f=auto/a.jpg", true),
        ("/format=auto", true),
        ("/format=%61uto/a.jpg", true),
        ("/f=auto,format=webp/a.jpg", false),
        ("/f/a.jpg", false),
        ("", false),
    ] {
        assert_eq!(cloudflare().negotiates_format(rest, None), expected, "{rest}");
    }
}

/// The options in Cloudflare's documentation.
const VENDOR: &str = "anim background blur border border.color border.width border.top border.right border.bottom border.left \
    brightness compression contrast dpr draw fit flip format f gamma gravity g height h metadata onerror origin-auth quality q rotate \
    saturation segment sharpen slow-connection-quality scq trim trim.width trim.height trim.left trim.top trim.border.color \
    trim.border.tolerance trim.border.keep upscale width w zoom";

#[test]
fn every_option_of_the_vendor_has_one_row() {
    for name in VENDOR.split_whitespace() {
        let rows = OPTIONS.iter().filter(|row| row.name == name || row.aliases.contains(&name));
        assert_eq!(rows.count(), 1, "{name}");
    }
}

#[test]
fn refused_options_name_themselves() {
    for row in OPTIONS.iter().filter(|row| matches!(row.treatment, options::Treatment::Refused)) {
        for name in std::iter::once(row.name).chain(row.aliases.iter().copied()) {
            match cloudflare().read(&format!("/{name}=1/a.jpg"), None, 0) {
                Err(Error::InvalidParams(params)) => assert_eq!(params[0].name, name),
                read => panic!("{name}: {read:?}"),
            }
        }
    }
    let unknown = cloudflare().read("/widht=3/a.jpg", None, 0).expect_err("unknown").to_string();
    assert!(unknown.contains("did you mean \"width\""), "{unknown}");
}
