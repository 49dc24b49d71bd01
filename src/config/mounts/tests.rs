//! Settings of dialects: which are invalid, and which mounts are refused.

use crate::config::read_text;

/// The error of settings; `None` where they are good.
fn error(settings: &str) -> Option<String> {
    read_text(settings).err().map(|error| error.to_string())
}

#[test]
fn errors_name_the_setting() {
    for (settings, setting) in [
        ("[dialects.imgproxy]\nmount = '/i'\nkeys = ['aa']", "dialects.imgproxy.salts"),
        ("[dialects.imgproxy]\nmount = '/i'\nkeys = ['zz']\nsalts = ['aa']", "dialects.imgproxy.keys"),
        ("[dialects.imgproxy]\nmount = '/i'\nkeys = ['aa']\nsalts = ['']", "dialects.imgproxy.salts"),
        ("[dialects.imgproxy]\nmount = '/i'\nsignature_size = 33", "dialects.imgproxy.signature_size"),
        ("[dialects.imgproxy]\nmount = '/i'\nseparator = ''", "dialects.imgproxy.separator"),
        ("[dialects.imgproxy]\nmount = '/i'\npresets = { a = 'w:x' }", "dialects.imgproxy.presets"),
        ("[dialects.imgproxy]\nmount = 'i'", "dialects is invalid"),
        ("[dialects.thumbor]\nmount = '/t'", "dialects.thumbor.keys"),
        ("[dialects.thumbor]\nmount = '/t'\nkeys = ['']", "dialects.thumbor.keys"),
        ("[dialects.thumbor]\nmount = '/t'\nkeys = ['a']\ntruncate = 7", "dialects.thumbor.truncate"),
        ("[dialects.thumbor]\nmount = '/t'\nunsafe = true\n[dialects.imgproxy]\nmount = '/t'", "two dialects"),
    ] {
        let error = error(settings).unwrap_or_else(|| panic!("{settings}"));
        assert!(error.contains(setting), "{settings}: {error}");
    }
    for settings in [
        "[dialects.imgproxy]\nmount = '/i'",
        "[dialects.imgproxy]\nmount = '/i'\nkeys = ['aa']\nsalts = ['bb']\npresets = { default = 'q:70', a = 'pr:default' }",
        "[dialects.thumbor]\nmount = '/t'\nunsafe = true",
        "[dialects.thumbor]\nmount = '/t'\nkeys = ['a']\nalgorithm = 'sha256'\ntruncate = 40\nflavour = 'imagor'",
        "[dialects.cloudflare]\nmount = '/cdn-cgi/image'",
    ] {
        assert_eq!(error(settings), None, "{settings}");
    }
}

#[test]
fn dialects_do_not_go_around_signatures() {
    const KEYS: &str = "[security]\nkeys = ['0123456789abcdef']\n";
    for (dialect, is_signed) in [
        ("[dialects.imgproxy]\nmount = '/i'", false),
        ("[dialects.imgproxy]\nmount = '/i'\nkeys = ['aa']\nsalts = ['bb']", true),
        ("[dialects.imgproxy]\nmount = '/i'\nkeys_file = '/etc/keys'", true),
        ("[dialects.thumbor]\nmount = '/t'\nkeys = ['a']", true),
        ("[dialects.thumbor]\nmount = '/t'\nkeys_file = '/etc/keys'", true),
        ("[dialects.thumbor]\nmount = '/t'\nkeys_file = '/etc/keys'\nunsafe = true", false),
        ("[dialects.thumbor]\nmount = '/t'\nkeys = ['a']\nunsafe = true", false),
        ("[dialects.cloudflare]\nmount = '/c'", false),
    ] {
        assert_eq!(error(&format!("{KEYS}{dialect}")).is_none(), is_signed, "{dialect}");
        assert_eq!(error(&format!("{KEYS}[dialects]\nunsigned = true\n{dialect}")), None, "{dialect}");
    }
}

/// Originals were sent in place of thumbnails under overload where native URLs were off and those of a dialect signed.
#[test]
fn originals_are_sent_under_overload_only_where_none_needs_a_signature() {
    const KEYS: &str = "[security]\nkeys = ['0123456789abcdef']\n";
    const IMGPROXY: &str = "[dialects.imgproxy]\nmount = '/i'\nkeys = ['aa']\nsalts = ['bb']\n";
    const IPX: &str = "[dialects.ipx]\nmount = '/x'\n";
    const OFF: &str = "[dialects]\nnative = ''\n";
    for (settings, is_sent) in [
        (String::new(), true),
        (KEYS.to_owned(), false),
        (format!("{KEYS}require_signature = false"), true),
        (format!("{KEYS}[dialects]\nunsigned = true\n{IPX}"), false),
        (IMGPROXY.to_owned(), true),
        (format!("{OFF}{IMGPROXY}"), false),
        (format!("{OFF}{IMGPROXY}{IPX}"), false),
        (format!("{OFF}{IPX}"), true),
        (format!("{OFF}[dialects.imgproxy]\nmount = '/i'"), true),
        (format!("{OFF}[dialects.thumbor]\nmount = '/t'\nkeys = ['a']"), false),
        (format!("{OFF}[dialects.imgix]\nmount = '/ix'\ntoken = 's3cr3t'"), false),
    ] {
        let config = read_text(&format!("[limits]\noverload = 'original'\n{settings}")).expect("good settings").config;
        assert_eq!(config.live_http().expect("a policy").overload_fallback, is_sent, "{settings}");
    }
    let refused = read_text("[limits]\noverload = 'refuse'").expect("good settings").config;
    assert!(!refused.live_http().expect("a policy").overload_fallback);
}

#[test]
fn mounts_are_prefixes_that_can_be_told_apart() {
    for (settings, is_good) in [
        ("[dialects.ipx]\nmount = '/'", false),
        ("[dialects]\nnative = '/n'\n[dialects.ipx]\nmount = '/'", true),
        ("[dialects]\nnative = ''\n[dialects.ipx]\nmount = '/'", true),
        ("[dialects]\nnative = '/n'\n[dialects.ipx]\nmount = '/n'", false),
        ("[dialects.ipx]\nmount = '/a'\n[dialects.wsrv]\nmount = '/a'", false),
        ("[dialects.ipx]\nmount = '/a'\n[dialects.wsrv]\nmount = '/a/b'", true),
        ("[dialects.ipx]\nmount = '/a/'", false),
        ("[dialects.next]\nmount = 'a'", false),
        ("[dialects.imgix]\nmount = '/-/ix'", false),
        ("[dialects]\nbases = ['www.example.com']", false),
        ("[dialects]\nbases = ['https://www.example.com/files']", true),
        ("[[dialects.paths]]\nmatch = '/crop/{size}/{path}'\nquery = 'fit=cover&limit=sides'", true),
        ("[[dialects.paths]]\nmatch = '/crop/{size}/{path}'\nquery = 'fit=bogus'", false),
        ("[[dialects.paths]]\nmatch = '/crop/{size}'", false),
    ] {
        assert_eq!(error(settings).is_none(), is_good, "{settings}: {:?}", error(settings));
    }
}

#[test]
fn dialects_without_keys_need_unsigned() {
    const KEYS: &str = "[security]\nkeys = ['0123456789abcdef']\n";
    for (dialect, is_signed) in [
        ("[dialects.ipx]\nmount = '/i'", false),
        ("[dialects.next]\nmount = '/i'", false),
        ("[dialects.wsrv]\nmount = '/i'", false),
        ("[dialects.imgix]\nmount = '/i'", false),
        ("[dialects.imgix]\nmount = '/i'\ntoken = 's3cr3t'", true),
        ("[[dialects.paths]]\nmatch = '/i/{path}'", false),
    ] {
        assert_eq!(error(&format!("{KEYS}{dialect}")).is_none(), is_signed, "{dialect}");
        assert_eq!(error(&format!("{KEYS}[dialects]\nunsigned = true\n{dialect}")), None, "{dialect}");
    }
}
