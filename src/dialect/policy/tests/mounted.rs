//! Answers of a policy about paths and originals where other dialects are mounted.

use std::sync::Arc;

use super::*;
use crate::dialect::Mount;
use crate::dialect::foreign::imgix::Imgix;

/// Native URLs at `native`, and imgix with a token at a prefix for each.
fn policy(native: &str, tokens: &[(&str, &str)], require_signature: bool) -> Policy {
    let mount = |&(prefix, token): &(&str, &str)| Mount {
        prefix: prefix.to_owned(),
        dialect: Arc::new(Imgix {
            sources: Default::default(),
            overlays: Default::default(),
            token: token.to_owned(),
            reject_unknown: false,
        }),
    };
    let mounts = Mounts::new(native, tokens.iter().map(mount).collect(), None).expect("good mounts");
    let presets = [("automatic", "format=auto"), ("fixed", "format=webp")];
    let presets = presets.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
    Policy::new(Config { mounts, require_signature, presets, ..config() }).expect("valid settings")
}

#[test]
fn originals_are_open_where_a_url_for_them_needs_no_signature() {
    const UNSIGNED: (&str, &str) = ("/open", "");
    const SIGNED: (&str, &str) = ("/signed", "a token of imgix");
    for (native, foreign, require_signature, expected) in [
        ("/", &[][..], false, true),
        ("/", &[], true, false),
        ("/", &[SIGNED], false, true),
        ("/", &[SIGNED], true, false),
        ("", &[UNSIGNED], false, true),
        ("", &[UNSIGNED], true, false),
        ("", &[SIGNED], false, false),
        ("", &[UNSIGNED, SIGNED], false, false),
    ] {
        let policy = policy(native, foreign, require_signature);
        assert_eq!(policy.originals_are_open(), expected, "{native:?} {foreign:?} {require_signature}");
    }
}

#[test]
fn paths_have_the_dialect_of_their_mount() {
    let policy = policy("/native", &[("/imgix", "")], false);
    for (path, expected) in [("/imgix/a.jpg", "imgix"), ("/native/a.jpg", "native"), ("/elsewhere", "native")] {
        assert_eq!(policy.dialect(path), expected, "{path}");
    }
    let id = ImageId::parse("/b/a%20c.jpg").expect("a name");
    assert_eq!(policy.native_path(&id), "/native/b/a%20c.jpg");
    assert_eq!(policy.mounts().foreign().map(|(prefix, _)| prefix).collect::<Vec<_>>(), ["/imgix"]);
}

#[test]
fn format_is_negotiated_by_the_url_or_its_preset() {
    let policy = policy("/", &[("/imgix", "")], false);
    for (path, query, expected) in [
        ("/a.jpg", None, false),
        ("/a.jpg", Some("width=5"), false),
        ("/a.jpg", Some("format=auto"), true),
        ("/a.jpg", Some("preset=automatic"), true),
        ("/a.jpg", Some("preset=fixed"), false),
        ("/a.jpg", Some("preset=unknown"), false),
        ("/imgix/a.jpg", Some("auto=format"), true),
        ("/imgix/a.jpg", Some("w=5"), false),
        ("/imgix/a.jpg", Some("preset=automatic"), false),
    ] {
        assert_eq!(policy.negotiates_format(path, query), expected, "{path} {query:?}");
    }
}
