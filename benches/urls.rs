//! URLs parsed into recipes: native ones, and the same rendition in the grammar of each other system.

use criterion::{Criterion, criterion_group, criterion_main};
use tintype::config::read_text;

const SETTINGS: &str = r#"
[dialects]
bases = ["https://www.example.com"]
[dialects.imgproxy]
mount = "/imgproxy"
[dialects.cloudflare]
mount = "/cdn-cgi/image"
[dialects.ipx]
mount = "/_ipx"
[dialects.thumbor]
mount = "/thumbor"
unsafe = true
[dialects.imgix]
mount = "/ix"
[dialects.next]
mount = "/_next/image"
[dialects.wsrv]
mount = "/wsrv"
[[dialects.paths]]
match = "/img/{width}x{height}/{format}/{path}"
query = "fit=cover&quality=70"
"#;

/// By dialect, a box of 640 × 480 that is covered, of some quality and format.
const URLS: [(&str, &str); 9] = [
    ("native", "/photos/tom.jpg?width=640&height=480&fit=cover&enlarge=true&format=webp&quality=70"),
    ("paths", "/img/640x480/webp/photos/tom.jpg"),
    ("next", "/_next/image?url=%2Fphotos%2Ftom.jpg&w=640&q=75"),
    ("imgproxy", "/imgproxy/_/rs:fill:640:480:1/q:70/plain/local:///photos/tom.jpg@webp"),
    ("cloudflare", "/cdn-cgi/image/width=640,height=480,fit=cover,format=webp,quality=70/photos/tom.jpg"),
    ("ipx", "/_ipx/s_640x480,enlarge,f_webp,q_70/photos/tom.jpg"),
    ("thumbor", "/thumbor/unsafe/640x480/filters:format(webp):quality(70)/photos/tom.jpg"),
    ("imgix", "/ix/photos/tom.jpg?w=640&h=480&fit=crop&fm=webp&q=70"),
    ("wsrv", "/wsrv?url=www.example.com/photos/tom.jpg&w=640&h=480&fit=cover&output=webp&q=70"),
];

fn urls(criterion: &mut Criterion) {
    let policy = read_text(SETTINGS).expect("good settings").config.live.policy().expect("no presets");
    let mut group = criterion.benchmark_group("urls");
    for (name, url) in URLS {
        let (path, query) = url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)));
        let target = policy.target(path, query, "", 0).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(target.recipe.is_some() && target.dialect == name);
        group.bench_function(name, |bencher| bencher.iter(|| policy.target(path, query, "", 0)));
    }
    group.finish();
}

criterion_group!(benches, urls);
criterion_main!(benches);
