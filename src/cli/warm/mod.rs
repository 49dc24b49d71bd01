//! `tintype warm`: renders images before visitors request them. URLs come from lists, access logs and HTML pages; each
//! rendition is requested once, at a pace that leaves the server free for live traffic.

mod html;
mod input;
mod pace;
mod plan;
mod server;
mod summary;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Common, UsageError};
use crate::config::Config;
use crate::sync::lock;
use input::Input;
use pace::{LiveTraffic, Pace};
use plan::{Client, Plan, PlannedRequest};
use server::{KeepAlive, Server};
use summary::{Outcome, Summary};

#[derive(Args, Debug)]
#[command(
    after_help = "FILE is a list of URLs, one per line, an access log of nginx (also gzipped), or an HTML page; the format \
        is detected. Hosts of URLs are ignored."
)]
pub(super) struct Arguments {
    /// Files with URLs; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The server, such as https://images.example or unix:/run/tintype/tintype.sock [default: server.listen]
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Concurrent requests
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Print the requests without sending them
    #[arg(long)]
    dry_run: bool,
    /// Clients to request negotiated formats for: avif, webp, any, or an Accept header [default: all three]
    #[arg(long, value_name = "CLIENT")]
    accept: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let loaded = arguments.common.load(&[])?;
    // a remote server checks signatures itself
    let loaded = if arguments.url.is_some() { loaded } else { loaded.with_secrets().map_err(UsageError::from)? };
    let config = loaded.config;
    let clients = clients(&arguments.accept)?;
    let policy = config.live.policy().map_err(|invalid| UsageError(invalid.to_string()))?;
    let mut input = Input::read(&arguments.files)?;
    let plan = Plan::new(&mut input, &policy, &clients, arguments.url.is_some());
    println!(
        "{} entries read: {} originals, {} renditions to request",
        input.entries,
        plan.originals,
        plan.requests.len()
    );
    for (why, count) in &input.skipped {
        println!("{count} skipped: {why}");
    }
    if arguments.dry_run {
        let mut out = std::io::stdout().lock();
        for request in &plan.requests {
            // the reader, such as head, has closed the pipe
            if writeln!(out, "{}", shown(request)).is_err() {
                break;
            }
        }
        return Ok(());
    }
    if plan.requests.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let summary = runtime.block_on(warm(&arguments, &config, plan.requests));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let summary = summary?;
    print!("{}", summary.text());
    match summary.verdict() {
        Some(why) => anyhow::bail!(why),
        None => Ok(()),
    }
}

fn clients(names: &[String]) -> Result<Vec<Client>, UsageError> {
    if names.is_empty() {
        return Ok(Client::all());
    }
    let named = |text: &String| {
        Client::named(text).ok_or_else(|| {
            UsageError(format!("--accept {text} is neither avif, webp, any nor a header such as image/webp,*/*"))
        })
    };
    names.iter().map(named).collect()
}

fn shown(request: &PlannedRequest) -> String {
    if request.is_negotiable { format!("{}\t{}", request.target, request.client.name) } else { request.target.clone() }
}

/// The state that all workers share.
struct Shared {
    server: Server,
    requests: Vec<PlannedRequest>,
    next: AtomicUsize,
    deadline: Duration,
    summary: Mutex<Summary>,
    pace: Mutex<Pace>,
    live_traffic: Mutex<LiveTraffic>,
    concurrency: u16,
    /// No request is sent before this time.
    resume: Mutex<Instant>,
    /// Set when the server has become unreachable.
    is_over: AtomicBool,
    bar: ProgressBar,
}

async fn warm(arguments: &Arguments, config: &Config, requests: Vec<PlannedRequest>) -> anyhow::Result<Summary> {
    let server = Server::find(arguments.url.as_deref(), config).await?;
    println!("sending requests to {server}");
    let bar = ProgressBar::new(requests.len() as u64);
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} left");
    bar.set_style(style.context("the progress bar's template")?);
    let shared = Arc::new(Shared {
        server,
        requests,
        next: AtomicUsize::new(0),
        deadline: config.fixed.limits.deadline.0,
        summary: Mutex::default(),
        pace: Mutex::default(),
        live_traffic: Mutex::default(),
        concurrency: arguments.concurrency,
        resume: Mutex::new(Instant::now()),
        is_over: AtomicBool::new(false),
        bar,
    });
    let progress = tokio::spawn(print_progress(Arc::clone(&shared)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..arguments.concurrency {
        workers.spawn(worker(Arc::clone(&shared)));
    }
    while let Some(done) = workers.join_next().await {
        done.context("a worker failed")?;
    }
    progress.abort();
    let left = (shared.requests.len() as u64).saturating_sub(shared.bar.position());
    shared.bar.finish_and_clear();
    shared.server.finish();
    let mut summary = std::mem::take(&mut *lock(&shared.summary));
    summary.not_sent = left;
    summary.is_unreachable = shared.is_over.load(Ordering::Relaxed);
    Ok(summary)
}

/// Prints lines with the progress where the bar is not shown.
async fn print_progress(shared: Arc<Shared>) {
    const INTERVAL: Duration = Duration::from_secs(10);
    while shared.bar.is_hidden() {
        tokio::time::sleep(INTERVAL).await;
        eprintln!(
            "{} of {} sent, {} failed",
            shared.bar.position(),
            shared.requests.len(),
            lock(&shared.summary).failures()
        );
    }
}

/// Sends requests one after the other, over one connection.
async fn worker(shared: Arc<Shared>) {
    let mut connection = KeepAlive::default();
    while !shared.is_over.load(Ordering::Relaxed)
        && let Some(request) = shared.requests.get(shared.next.fetch_add(1, Ordering::Relaxed))
    {
        shared.send(&mut connection, request).await;
        shared.bar.inc(1);
    }
}

/// How often a request is repeated that is refused (429, 503), and how often one is sent that gets no answer.
const RETRIES: u32 = 6;
const ATTEMPTS: u32 = 3;

impl Shared {
    async fn send(&self, connection: &mut KeepAlive, request: &PlannedRequest) {
        let (mut refused, mut unanswered) = (0, 0);
        loop {
            let resume = *lock(&self.resume);
            tokio::time::sleep_until(resume.into()).await;
            let began = Instant::now();
            let answer = match self.server.get(connection, &request.target, &request.client.accept, self.deadline).await
            {
                Ok(answer) => answer,
                Err(error) => {
                    unanswered += 1;
                    if unanswered == ATTEMPTS {
                        // the connection may be lost for this URL only, such as by a proxy's deadline
                        if !self.server.is_reachable().await {
                            self.is_over.store(true, Ordering::Relaxed);
                        }
                        lock(&self.summary).fail(0, &format!("{error:#}"), &request.target);
                        return;
                    }
                    self.pause(pace::backoff("", unanswered - 1));
                    continue;
                }
            };
            if matches!(answer.status.as_u16(), 429 | 503) && refused < RETRIES {
                self.pause(pace::backoff(&answer.header("retry-after"), refused));
                refused += 1;
                continue;
            }
            if lock(&self.summary).count(&request.target, &answer) == Outcome::Rendered {
                let took = began.elapsed();
                let pause = lock(&self.pace).after(&answer.header("content-type"), took);
                self.poll_live_traffic(connection).await;
                self.pause(pause.max(lock(&self.live_traffic).pause_after(took)));
            }
            return;
        }
    }

    /// Polls the server's count of renders if it is due.
    async fn poll_live_traffic(&self, connection: &mut KeepAlive) {
        if !lock(&self.live_traffic).is_due(Instant::now()) {
            return;
        }
        let answer = self.server.get(connection, "/-/metrics", "*/*", self.deadline).await;
        let text = answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.body);
        let text = text.as_ref().map(|body| String::from_utf8_lossy(body));
        let renders = text.as_ref().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("tintype_renders_total ")?.trim().parse::<u64>().ok())
        });
        let own = lock(&self.summary).rendered;
        lock(&self.live_traffic).record(renders, own, self.concurrency.into());
    }

    fn pause(&self, time: Duration) {
        let mut resume = lock(&self.resume);
        *resume = (*resume).max(Instant::now() + time);
    }
}
