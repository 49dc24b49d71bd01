//! A cached request as it comes from a connection: found in memory, and answered 304.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::BodyExt;
use tintype::config::Config;
use tintype::http::{State, app};
use tintype::service::Service;
use tintype::source::Files;

fn hits(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cache = tempfile::tempdir().expect("a folder");
    let mut config = Config::default();
    config.fixed.cache.dir = cache.path().to_owned();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let source = Files::new(&root, config.fixed.source.max_bytes.0).expect("testdata");
    let service = Service::new(Arc::new(source), &config.fixed.cache(), config.fixed.workers(), config.render());
    let app = app(State::new(service, config.fixed.http(), config.live_http().expect("no presets")));

    let ask = async |if_none_match: Option<&str>| {
        let mut request = Request::get("/photos/coffee.png?width=300&format=webp");
        if let Some(etag) = if_none_match {
            request = request.header("if-none-match", etag);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = app.answer(request).await;
        let etag = response.headers()["etag"].to_str().expect("ASCII").to_owned();
        response.into_body().collect().await.expect("a body");
        etag
    };
    let etag = runtime.block_on(ask(None));
    let mut group = criterion.benchmark_group("hit");
    group.bench_function("memory", |bencher| bencher.iter(|| runtime.block_on(ask(None))));
    group.bench_function("not-modified", |bencher| bencher.iter(|| runtime.block_on(ask(Some(&etag)))));
    group.finish();
}

criterion_group!(benches, hits);
criterion_main!(benches);
