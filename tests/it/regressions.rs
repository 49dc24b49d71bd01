//! Files that were once answered wrongly: `testdata/regressions/table.tsv`, a row each. `testdata/README.md` says how a row
//! is added.

use crate::common::in_process::InProcess;
use crate::common::quarters::Quarters;
use crate::common::testdata;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tintype::render::probe;

/// The fields of a row that describe the answer.
#[derive(Default)]
struct Row {
    status: String,
    format: String,
    size: String,
    frames: String,
    quarters: String,
}

impl Row {
    fn parse(fields: &[&str]) -> Row {
        let &[status, format, size, frames, quarters] = fields else { panic!("{fields:?} are not five fields") };
        let owned = str::to_owned;
        Row {
            status: owned(status),
            format: owned(format),
            size: owned(size),
            frames: owned(frames),
            quarters: owned(quarters),
        }
    }

    /// The answer of the service.
    async fn of(server: &InProcess, uri: &str) -> Row {
        let request = Request::get(uri).body(Body::empty()).expect("a request");
        let (head, body) = server.app.answer(request).await.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let is_damaged = head.headers.get("cache-status").is_some_and(|value| value.as_bytes().ends_with(b"damaged"));
        let status = format!("{}{}", head.status.as_u16(), if is_damaged { " damaged" } else { "" });
        if !head.status.is_success() {
            return Row { status, ..Row::default() };
        }
        let info = probe(&body).unwrap_or_else(|error| panic!("{uri}: {error}"));
        let png = image::load_from_memory_with_format(&body, image::ImageFormat::Png).ok();
        let quarters = png.map_or_else(String::new, |picture| {
            let (width, height) = (picture.width() as usize, picture.height() as usize);
            Quarters::of(&picture.into_rgba8(), 4, width, height).to_string()
        });
        let size = format!("{}x{}", info.size.width, info.size.height);
        Row { status, format: info.format.name().to_owned(), size, frames: info.frames.to_string(), quarters }
    }

    /// Whether an answer is as this row asks. A field `-` may be anything; quarters may differ by 3 levels.
    fn allows(&self, got: &Row) -> bool {
        let near = match (Quarters::parse(&self.quarters), Quarters::parse(&got.quarters)) {
            (Some(expected), Some(got)) => expected.is_near(&got, 3),
            _ => false,
        };
        let same = |expected: &str, got: &str| expected == "-" || expected == got;
        same(&self.status, &got.status)
            && same(&self.format, &got.format)
            && same(&self.size, &got.size)
            && same(&self.frames, &got.frames)
            && (near || same(&self.quarters, &got.quarters))
    }

    fn line(&self) -> String {
        [&self.status, &self.format, &self.size, &self.frames, &self.quarters].map(String::as_str).join("\t")
    }
}

#[tokio::test]
async fn regression_files_are_answered_as_the_table_says() {
    let table = std::fs::read_to_string(testdata().join("regressions/table.tsv")).expect("the table");
    let server = InProcess::new(&testdata(), |_| {});
    let (mut wrong, mut count) = (Vec::new(), 0);
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [input, query, expected @ .., reason] = fields.as_slice() else { panic!("{line}") };
        let (expected, got) = (Row::parse(expected), Row::of(&server, &format!("/{input}?{query}")).await);
        if !expected.allows(&got) {
            wrong.push(format!(
                "{input}?{query} ({reason})\n  answer:   {}\n  expected: {}",
                got.line(),
                expected.line()
            ));
        }
        count += 1;
    }
    assert!(count > 0, "the table is empty");
    assert!(wrong.is_empty(), "{} of {count} rows are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_regression_file_has_a_row() {
    let folder = testdata().join("regressions");
    let table = std::fs::read_to_string(folder.join("table.tsv")).expect("the table");
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let name = entry.expect("an entry").file_name().into_string().expect("text");
        let has_row = table.lines().any(|line| line.starts_with(&format!("regressions/{name}\t")));
        assert!(has_row || name == "table.tsv", "{name} has no row");
    }
}
