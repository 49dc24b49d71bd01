//! Markers: one empty object an original that has renditions in the bucket, named after it. The names of renditions have
//! only its hash, which cannot be reversed when a folder is purged.

use percent_encoding::percent_decode_str;

use crate::source::ImageId;

/// The folder of all markers.
pub(super) const FOLDER: &str = "name";

/// Before folders and before the last segment, so that `a` and `a/b` are never a file and a folder of one name, which stores
/// on file systems do not allow.
const PARENT: char = '+';
const LEAF: char = '=';

/// S3 allows names of 1024 bytes, the prefix included.
const MAX_NAME: usize = 800;

/// The name of an original's marker; `None` for names that are too long, whose renditions are not shared.
pub(super) fn name(id: &ImageId) -> Option<String> {
    let (folders, file) =
        id.as_str().rsplit_once('/').map_or((None, id.as_str()), |(folders, file)| (Some(folders), file));
    let mut name = folder(folders.unwrap_or_default());
    push(&mut name, LEAF, file);
    (name.len() <= MAX_NAME).then_some(name)
}

/// The folder of the markers of originals below a folder, which has no slash at its end and may be empty.
pub(super) fn folder(folders: &str) -> String {
    let mut name = FOLDER.to_owned();
    folders.split('/').filter(|segment| !segment.is_empty()).for_each(|segment| push(&mut name, PARENT, segment));
    name
}

fn push(name: &mut String, mark: char, segment: &str) {
    name.push('/');
    name.push(mark);
    // names have no control characters
    name.push_str(&segment.replace('%', "%25"));
    // Azure allows no dot at the end of a segment
    if name.ends_with('.') {
        name.pop();
        name.push_str("%2E");
    }
}

/// The original of a marker; `None` for other names.
pub(super) fn original(marker: &str) -> Option<ImageId> {
    let mut segments = marker.strip_prefix(FOLDER)?.strip_prefix('/')?.split('/').peekable();
    let mut name = String::new();
    while let Some(segment) = segments.next() {
        let mark = if segments.peek().is_some() { PARENT } else { LEAF };
        let segment = percent_decode_str(segment.strip_prefix(mark)?).decode_utf8().ok()?;
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(&segment);
    }
    ImageId::of(&name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marker_of_a_name_gives_the_name_again() {
        for (original_name, expected) in [
            ("tom.jpg", "name/=tom.jpg"),
            ("cats/tom.jpg", "name/+cats/=tom.jpg"),
            ("cats", "name/=cats"),
            ("a/b/c", "name/+a/+b/=c"),
            ("é/100%.png", "name/+é/=100%25.png"),
            ("a./b.", "name/+a%2E/=b%2E"),
            ("a b/+=c", "name/+a b/=+=c"),
        ] {
            let id = ImageId::of(original_name).expect("a name");
            let marker = name(&id).expect("short enough");
            assert_eq!(marker, expected);
            assert_eq!(original(&marker), Some(id));
        }
        let long = vec!["x".repeat(200); 4].join("/");
        assert_eq!(name(&ImageId::of(&long).expect("a name")), None);
        assert_eq!((folder(""), folder("a"), folder("a/b")), ("name".into(), "name/+a".into(), "name/+a/+b".into()));
    }

    #[test]
    fn other_names_are_no_markers() {
        for name in
            ["", "name", "name/", "name/tom", "name/+a", "name/=a/=b", "name/=", "1/00/11", "name/+a/=..", "name/=%ff"]
        {
            assert_eq!(original(name), None, "{name}");
        }
    }
}
