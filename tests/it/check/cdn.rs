//! `tintype check URL`: proxies and CDNs in front of tintype, and what they do to its answers.

use std::io::{Read, Write};
use std::net::TcpListener;

use super::{Checked, Setup};
use crate::common::tls::Tls;
use crate::common::{Address, Server, testdata, tintype};

/// A proxy between visitors and tintype. It answers by the path, the Accept header and the number of requests
/// before.
struct Between(std::net::SocketAddr);

impl Between {
    fn start(answer: impl Fn(&str, &str, usize) -> String + Send + 'static) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for (count, stream) in listener.incoming().flatten().enumerate() {
                serve_one(stream, |path, accept| answer(path, accept, count).into_bytes());
            }
        });
        Between(address)
    }
}

fn serve_one(mut stream: impl Read + Write, answer: impl Fn(&str, &str) -> Vec<u8>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let accept = head.lines().find_map(|line| line.strip_prefix("accept: ")).unwrap_or_default();
    // the client may have left
    let _ = stream.write_all(&answer(path, accept));
    let _ = stream.flush();
}

/// An answer as tintype's, with more headers, and where `changed` with an ETag of another body.
fn answer(kind: &str, more: &str, changed: bool) -> String {
    let body = match kind {
        "avif" => "\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf and so on",
        "webp" => "RIFF\x10\0\0\0WEBPVP8 \0\0\0\0 and so on",
        _ => "no picture",
    };
    let etag = blake3::hash(if changed { b"another" } else { body.as_bytes() }).to_hex();
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: image/{kind}\r\nContent-Length: {length}\r\nETag: \"{etag}\"\r\n\
         Cache-Control: public, max-age=86400\r\n{more}Connection: close\r\n\r\n{body}"
    )
}

fn check_url(url: &str, settings: &[(&str, &str)]) -> Checked {
    let place = Setup::new();
    let mut command = tintype();
    command.envs(settings.iter().copied());
    place.check_by(command, &[url])
}

fn best(accept: &str) -> &'static str {
    if accept.contains("image/avif") { "avif" } else { "webp" }
}

#[test]
fn cdn_and_proxy_faults_are_reported() {
    const VARY: &str = "Vary: Accept\r\nAge: 7\r\n";
    let open = "/a.png?width=9&format=auto";
    let fixed = "/a.png?width=9&format=webp";
    let check =
        |answer: fn(&str, &str, usize) -> String, path: &str, level: &str, about: &str, cause: &[&str], fix: &str| {
            let between = Between::start(answer);
            check_url(&format!("http://{}{path}", between.0), &[]).says(level, about, cause, fix);
        };
    // the answer for the first client is cached for all
    let mixed = |_: &str, _: &str, _: usize| answer("avif", VARY, false);
    check(mixed, open, "error", "formats", &["accepts no modern format got image/avif"], "Vary");
    let mixed_later = |_: &str, accept: &str, count: usize| {
        let kind = if count == 3 { "png" } else { best(accept) };
        answer(if accept == "*/*" { "png" } else { kind }, VARY, false)
    };
    check(mixed_later, open, "error", "formats", &["Chromium got image/avif first and then image/png"], "Accept");
    let plain = |_: &str, _: &str, _: usize| answer("png", VARY, false);
    check(plain, open, "warning", "formats", &["all clients get image/png"], "proxy_set_header Accept");
    let mute = |_: &str, accept: &str, _: usize| answer(if accept == "*/*" { "png" } else { "avif" }, "", false);
    check(mute, open, "warning", "vary", &["Vary: Accept is missing"], "proxy_hide_header");
    let converts = |_: &str, accept: &str, _: usize| answer(best(accept), "", false);
    check(converts, fixed, "error", "formats", &["something in between converts"], "Polish");
    let changes = |_: &str, _: &str, _: usize| answer("webp", "", true);
    check(changes, fixed, "error", "content", &["was changed on the way"], "Polish");
    let dynamic = |_: &str, _: &str, _: usize| answer("webp", "CF-Cache-Status: DYNAMIC\r\n", false);
    check(dynamic, fixed, "warning", "cdn", &["does not cache it"], "Cache Rule");
    let keeps = |_: &str, _: &str, _: usize| answer("webp", "CF-Cache-Status: HIT\r\nAge: 9\r\n", false);
    check(keeps, fixed, "info", "cdn", &["CF-Cache-Status: HIT", "Age: 9"], "");
    // the fallback of the shipped site while tintype is down, and of tintype under overload
    let away = |_: &str, _: &str, _: usize| {
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nX-Request-Id: a\r\nContent-Length: 8\r\nConnection: close\r\n\r\noriginal"
            .to_owned()
    };
    check(
        away,
        fixed,
        "error",
        "url",
        &["the original", "sent instead of a rendition", "8 bytes"],
        "systemctl status tintype",
    );
    let full = |_: &str, _: &str, _: usize| {
        answer("webp", "Cache-Status: tintype; fwd=uri-miss\r\n", false)
            .replace("max-age=86400", "max-age=10, no-transform")
    };
    check(full, fixed, "warning", "url", &["overload"], "limits.workers");
    let moved = |_: &str, _: &str, _: usize| {
        "HTTP/1.1 301 Moved\r\nLocation: https://elsewhere/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            .to_owned()
    };
    check(moved, fixed, "error", "url", &["301", "https://elsewhere/"], "redirects to");

    // tintype itself, and a closed port
    let place = Setup::new();
    let presets = [("TINTYPE_PRESETS_SMALL", "width=9&format=auto")];
    std::fs::copy(testdata().join("generated/animated.webp"), place.path("originals/moving.webp")).expect("copied");
    let server = Server::start_with(&place.path("originals"), &place.path("cache"), "127.0.0.1:0", &presets);
    let Address::Tcp(address) = server.address else { panic!("TCP") };
    let checked = check_url(&format!("http://{address}{open}"), &[]);
    checked.says("ok", "formats", &["each client gets a format"], "").says(
        "ok",
        "content",
        &["images arrive unchanged"],
        "",
    );
    checked.says("info", "url", &["Chromium image/avif", "WebKit image/avif", "curl image/png"], "").has_no_error();
    check_url(&format!("http://{address}{fixed}"), &[])
        .says("ok", "formats", &["all clients get the same format"], "")
        .has_no_error();
    let preset = check_url(&format!("http://{address}/a.png?preset=small"), &[]);
    preset.says("ok", "formats", &["each client gets a format"], "").has_no_error();
    let moving = check_url(&format!("http://{address}/moving.webp?width=9&format=auto"), &[]);
    moving.says("ok", "formats", &[], "").has_no_error();
    check_url(&format!("http://{address}/none.png?width=9"), &[]).says("error", "url", &["404"], "its log");
    drop(server);
    check_url(&format!("http://{address}{open}"), &[]).says("error", "url", &["cannot connect"], "nothing listens");
    check_url("ftp://127.0.0.1/a", &[]).says("error", "url", &["neither http://"], "https://");
}

#[test]
fn tls_uses_the_system_certificates() {
    let place = Setup::new();
    let bundle = place.path("roots.pem");
    let tls = Tls::new(&bundle);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            tls.serve(stream, |stream| serve_one(stream, |_, _| answer("webp", "", false).into_bytes()));
        }
    });
    let trusted = [("SSL_CERT_FILE", bundle.to_str().expect("text"))];
    let url = format!("https://localhost:{port}/a.png?width=9&format=webp");
    check_url(&url, &trusted).says("ok", "content", &["images arrive unchanged"], "").has_no_error();
    // another name than the certificate's
    let url = format!("https://127.0.0.1:{port}/a.png?width=9&format=webp");
    check_url(&url, &trusted).says("error", "url", &["TLS", "certificate"], "certificate chain");
}
