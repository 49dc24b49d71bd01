//! Latency of hits, renders and refusals at ten times the rate of misses that the machine can render. Open loop: requests are
//! sent at a fixed rate, whether or not earlier ones were answered.
//!
//! `cargo bench --bench overload`; `OVERLOAD_SECONDS=120 OVERLOAD_TIMES=10` set duration and factor, `OVERLOAD_UPGRADE=idle` has
//! the hits upgraded meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Hits a second.
const HIT_RATE: f64 = 200.0;
/// Distinct renditions that are hits.
const CACHED: u64 = 50;

fn main() {
    let seconds = setting("OVERLOAD_SECONDS", 20.0);
    let times = setting("OVERLOAD_TIMES", 10.0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(run(seconds, times));
}

fn setting(name: &str, default: f64) -> f64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn run(seconds: f64, times: f64) {
    let server = Server::start();
    let client = Arc::new(Client::to(&server.address));
    for number in 0..CACHED {
        assert_eq!(client.get(&hit(number)).await.0, 200, "the rendition is cached before the run");
    }

    // long enough that hits become candidates of upgrades
    let idle = load(&client, 15.0, HIT_RATE, 0.0).await;
    println!("hits without load:   {}", idle.hits.summary());
    println!("                     {}", upgrades(&client).await);

    let (began, before) = (Instant::now(), cpu_seconds(server.child.id()));
    let mut workers = Vec::new();
    for _ in 0..4 {
        let client = Arc::clone(&client);
        workers.push(tokio::spawn(async move {
            let mut done = 0;
            while began.elapsed().as_secs_f64() < 8.0 {
                done += u32::from(client.get(&client.miss()).await.0 == 200);
            }
            done
        }));
    }
    let mut done = 0;
    for worker in workers {
        done += worker.await.expect("no panic");
    }
    let capacity = f64::from(done) / began.elapsed().as_secs_f64();
    let cpu = (cpu_seconds(server.child.id()) - before) / began.elapsed().as_secs_f64();
    println!("capacity:            {capacity:.1} renditions a second, with {cpu:.2} cores");

    let before = [cpu_seconds(server.child.id()), cpu_seconds(std::process::id())];

    let overloaded = load(&client, seconds, HIT_RATE, capacity * times).await;
    let after = [cpu_seconds(server.child.id()), cpu_seconds(std::process::id())];
    let [cpu, own] = [0, 1].map(|index| (after[index] - before[index]) / seconds);
    let rate = overloaded.rendered.count(200) as f64 / seconds;
    println!("hits under load:     {}", overloaded.hits.summary());
    println!(
        "renditions:          {rate:.1} a second, {:.2} of capacity; {}",
        rate / capacity,
        overloaded.rendered.summary()
    );
    println!("                     with {cpu:.2} cores, and {own:.2} for the client");
    println!("refused:             {}", overloaded.refused.summary());
    println!("                     {}", upgrades(&client).await);

    let began = Instant::now();
    loop {
        let (hit_status, hit_took) = client.get(&hit(1)).await;
        let (miss_status, miss_took) = client.get(&client.miss()).await;
        if (hit_status, miss_status) == (200, 200) && hit_took < 0.02 && miss_took < 0.5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("recovered:           after {:.2} s", began.elapsed().as_secs_f64());
    println!("peak memory:         {} MB", server.peak_kibibytes() / 1024);
}

/// CPU time of a process, user and system.
fn cpu_seconds(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks = |index: usize| fields.split_whitespace().nth(index).and_then(|text| text.parse::<f64>().ok());
    // in ticks of 10 ms (USER_HZ)
    (ticks(11).expect("user time") + ticks(12).expect("system time")) / 100.0
}

fn hit(number: u64) -> String {
    let format = ["webp", "avif"][number as usize % 2];
    format!("/photos/chelsea.png?width={}&format={format}", 200 + number % CACHED)
}

/// The counters of upgrades in idle time.
async fn upgrades(client: &Client) -> String {
    let text = client.text("/-/metrics").await.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("tintype_upgrade"));
    lines.collect::<Vec<_>>().join(", ")
}

/// Answers of one run.
#[derive(Default)]
struct Answers {
    hits: Times,
    rendered: Times,
    refused: Times,
}

async fn load(client: &Arc<Client>, seconds: f64, hits: f64, misses: f64) -> Answers {
    let answers = Arc::<Mutex<Answers>>::default();
    let began = Instant::now();
    let (mut sent, mut tasks) = ([0_u64; 2], Vec::new());
    while began.elapsed().as_secs_f64() < seconds {
        let now = began.elapsed().as_secs_f64();
        for (kind, rate) in [hits, misses].into_iter().enumerate() {
            while (sent[kind] as f64) < now * rate {
                let url = if kind == 0 { hit(sent[kind]) } else { client.miss() };
                sent[kind] += 1;
                let (client, answers) = (Arc::clone(client), Arc::clone(&answers));
                tasks.push(tokio::spawn(async move {
                    let (status, took) = client.get(&url).await;
                    let mut answers = answers.lock().expect("no panic");
                    let times = match (kind, status) {
                        (0, _) => &mut answers.hits,
                        (_, 503) => &mut answers.refused,
                        _ => &mut answers.rendered,
                    };
                    times.add(status, took);
                }));
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for task in tasks {
        task.await.expect("no panic");
    }
    Arc::into_inner(answers).expect("all have ended").into_inner().expect("no panic")
}

/// Latencies and status codes of answers.
#[derive(Default)]
struct Times {
    seconds: Vec<f64>,
    codes: BTreeMap<u16, u64>,
}

impl Times {
    fn add(&mut self, status: u16, took: f64) {
        self.seconds.push(took);
        *self.codes.entry(status).or_default() += 1;
    }

    fn count(&self, status: u16) -> u64 {
        self.codes.get(&status).copied().unwrap_or_default()
    }

    fn summary(&self) -> String {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let at =
            |part: f64| sorted.get((sorted.len() as f64 * part) as usize).or(sorted.last()).map_or(0.0, |s| s * 1e3);
        format!("p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms, statuses {:?}", at(0.5), at(0.99), at(1.0), self.codes)
    }
}

/// A client with keep-alive connections.
struct Client {
    address: String,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
    misses: AtomicU64,
}

impl Client {
    fn to(address: &str) -> Client {
        Client { address: address.to_owned(), idle: Mutex::default(), misses: AtomicU64::new(0) }
    }

    /// A URL that was not requested before: of several originals, one in ten as AVIF.
    fn miss(&self) -> String {
        let number = self.misses.fetch_add(1, Ordering::Relaxed);
        let originals = ["large-12mp.jpg", "hubble_deep_field.jpg", "rocket.jpg", "astronaut-progressive.jpg"];
        // SplitMix64, so that the order does not resonate with the queue (Steele, Lea and Flood, "Fast splittable pseudorandom
        // number generators", 2014)
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = ((mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as usize;
        let original = originals[mixed % originals.len()];
        let format = ["webp", "jpeg", "webp", "jpeg", "webp", "avif", "webp", "jpeg", "webp", "jpeg"][mixed / 4 % 10];
        let (width, quality) = (900 + number * 197 % 500, 50 + number / 500 % 50);
        format!("/photos/{original}?width={width}&quality={quality}&format={format}")
    }

    /// Status and seconds until the last byte; status 0 without an answer.
    async fn get(&self, url: &str) -> (u16, f64) {
        let began = Instant::now();
        let status = self.try_get(url).await.unwrap_or(0);
        (status, began.elapsed().as_secs_f64())
    }

    async fn try_get(&self, url: &str) -> Option<u16> {
        self.answer(url).await.map(|(status, _)| status)
    }

    async fn text(&self, url: &str) -> Option<String> {
        String::from_utf8(self.answer(url).await?.1.to_vec()).ok()
    }

    async fn answer(&self, url: &str) -> Option<(u16, Bytes)> {
        let idle = self.idle.lock().expect("no panic").pop();
        let mut connection = match idle {
            Some(connection) if connection.is_ready() => connection,
            _ => self.connect().await?,
        };
        let request = http::Request::get(url).header("host", "localhost").body(Empty::new()).ok()?;
        let response = connection.send_request(request).await.ok()?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        self.idle.lock().expect("no panic").push(connection);
        Some((status, body))
    }

    async fn connect(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let stream = TcpStream::connect(&self.address).await.ok()?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

/// The service with its defaults, killed on drop.
struct Server {
    child: Child,
    address: String,
    _cache: tempfile::TempDir,
}

impl Server {
    fn start() -> Server {
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let cache = tempfile::tempdir().expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tintype"));
        command.arg("serve").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"));
        command.args(["--listen", &port.to_string()]).arg("--cache-dir").arg(cache.path());
        // no decode is shared, so that each render has its full cost
        command.env("TINTYPE_LIMITS_DECODE_CACHE", "0");
        if let Ok(upgrade) = std::env::var("OVERLOAD_UPGRADE") {
            command.env("TINTYPE_OUTPUT_UPGRADE", upgrade);
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let server = Server { child, address: port.to_string(), _cache: cache };
        while std::net::TcpStream::connect(&server.address).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn peak_kibibytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("a line");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // both fail only if the process has already ended
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
