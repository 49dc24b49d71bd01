//! `tintype warm`: has renditions made before somebody waits for them. What is asked for comes from lists, logs and
//! pages; each wish is asked once, slowly enough that live traffic does not notice.

mod html;
mod input;
mod pace;
mod plan;
mod server;
mod tally;

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Common, Wrong};
use crate::config::Config;
use input::Input;
use pace::{Others, Pace};
use plan::{Client, Plan, TargetSize};
use server::{Line, Server};
use tally::{Tally, Told};

#[derive(Args, Debug)]
#[command(
    after_help = "A file is a list of URLs, one a line, an access log of nginx (also gzipped), or an HTML page; \
        which, it says \
    itself. Hosts in URLs make no difference."
)]
pub(super) struct Arguments {
    /// What to read; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The server to ask, such as https://images.example or unix:/run/tintype/tintype.sock, where it is not that of
    /// the settings
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Requests at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,
    /// Only say what would be asked
    #[arg(long)]
    dry_run: bool,
    /// As whom to ask where a URL leaves the format open: avif, webp, any, or an Accept header [default: all three]
    #[arg(long, value_name = "CLIENT")]
    accept: Vec<String>,
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let loaded = arguments.common.load(&[])?;
    // a server that is asked checks signatures by itself
    let loaded = if arguments.url.is_some() { loaded } else { loaded.with_secrets().map_err(Wrong::from)? };
    let config = loaded.config;
    let clients = clients(&arguments.accept)?;
    let policy = config.live.policy().map_err(|invalid| Wrong(invalid.to_string()))?;
    let mut input = Input::read(&arguments.files)?;
    let plan = Plan::new(&mut input, &policy, &clients, arguments.url.is_some());
    println!(
        "{} entries read: {} originals, {} renditions to ask for",
        input.entries,
        plan.originals,
        plan.wishes.len()
    );
    for (why, count) in &input.passed {
        println!("{count} passed over: {why}");
    }
    if arguments.dry_run {
        let mut out = std::io::stdout().lock();
        for wish in &plan.wishes {
            // whoever has seen enough, as head has, closes the pipe
            if writeln!(out, "{}", shown(wish)).is_err() {
                break;
            }
        }
        return Ok(());
    }
    if plan.wishes.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tally = runtime.block_on(warm(&arguments, &config, plan.wishes));
    runtime.shutdown_timeout(Duration::from_secs(1));
    let tally = tally?;
    print!("{}", tally.text());
    match tally.verdict() {
        Some(why) => anyhow::bail!(why),
        None => Ok(()),
    }
}

fn clients(said: &[String]) -> Result<Vec<Client>, Wrong> {
    if said.is_empty() {
        return Ok(Client::all());
    }
    let named = |text: &String| {
        Client::named(text)
            .ok_or_else(|| Wrong(format!("--accept {text}: it is avif, webp, any, or a header such as image/webp,*/*")))
    };
    said.iter().map(named).collect()
}

fn shown(wish: &TargetSize) -> String {
    if wish.is_negotiable { format!("{}\t{}", wish.target, wish.client.name) } else { wish.target.clone() }
}

/// What all who ask share.
struct Shared {
    server: Server,
    wishes: Vec<TargetSize>,
    next: AtomicUsize,
    deadline: Duration,
    tally: Mutex<Tally>,
    pace: Mutex<Pace>,
    others: Mutex<Others>,
    concurrency: u16,
    /// Nobody asks before.
    resume: Mutex<Instant>,
    /// Set when the server is gone.
    is_over: AtomicBool,
    bar: ProgressBar,
}

async fn warm(arguments: &Arguments, config: &Config, wishes: Vec<TargetSize>) -> anyhow::Result<Tally> {
    let server = Server::find(arguments.url.as_deref(), config).await?;
    println!("asking {server}");
    let bar = ProgressBar::new(wishes.len() as u64);
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len}, {eta} left");
    bar.set_style(style.context("the progress bar's template")?);
    let shared = Arc::new(Shared {
        server,
        wishes,
        next: AtomicUsize::new(0),
        deadline: config.fixed.limits.deadline.0,
        tally: Mutex::default(),
        pace: Mutex::default(),
        others: Mutex::default(),
        concurrency: arguments.concurrency,
        resume: Mutex::new(Instant::now()),
        is_over: AtomicBool::new(false),
        bar,
    });
    let said = tokio::spawn(tell_now_and_then(Arc::clone(&shared)));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..arguments.concurrency {
        workers.spawn(ask_all(Arc::clone(&shared)));
    }
    while let Some(done) = workers.join_next().await {
        done.context("a request was not finished")?;
    }
    said.abort();
    let left = (shared.wishes.len() as u64).saturating_sub(shared.bar.position());
    shared.bar.finish_and_clear();
    shared.server.finish();
    let mut tally = std::mem::take(&mut *lock(&shared.tally));
    tally.unasked = left;
    Ok(tally)
}

/// Where nobody sees a bar, a line says how far it is.
async fn tell_now_and_then(shared: Arc<Shared>) {
    const EVERY: Duration = Duration::from_secs(10);
    while shared.bar.is_hidden() {
        tokio::time::sleep(EVERY).await;
        eprintln!(
            "{} of {} asked, {} failed",
            shared.bar.position(),
            shared.wishes.len(),
            lock(&shared.tally).failures()
        );
    }
}

/// One after the other, over one connection.
async fn ask_all(shared: Arc<Shared>) {
    let mut line = Line::default();
    while !shared.is_over.load(Ordering::Relaxed)
        && let Some(wish) = shared.wishes.get(shared.next.fetch_add(1, Ordering::Relaxed))
    {
        shared.ask(&mut line, wish).await;
        shared.bar.inc(1);
    }
}

/// How often a server that refuses, or does not answer, is asked for the same.
const ATTEMPTS: u32 = 6;
const UNREACHED: u32 = 3;

impl Shared {
    async fn ask(&self, line: &mut Line, wish: &TargetSize) {
        let (mut refused, mut unreached) = (0, 0);
        loop {
            let resume = *lock(&self.resume);
            tokio::time::sleep_until(resume.into()).await;
            let began = Instant::now();
            let answer = match self.server.get(line, &wish.target, &wish.client.accept, self.deadline).await {
                Ok(answer) => answer,
                Err(error) => {
                    unreached += 1;
                    if unreached == UNREACHED {
                        self.is_over.store(true, Ordering::Relaxed);
                        lock(&self.tally).fail(0, &format!("{error:#}"), &wish.target);
                        return;
                    }
                    self.pause(pace::refused("", unreached - 1));
                    continue;
                }
            };
            if matches!(answer.status.as_u16(), 429 | 503) && refused < ATTEMPTS {
                self.pause(pace::refused(&answer.header("retry-after"), refused));
                refused += 1;
                continue;
            }
            if lock(&self.tally).count(&wish.target, &answer) == Told::Made {
                let took = began.elapsed();
                let pause = lock(&self.pace).after(&answer.header("content-type"), took);
                self.look_for_others(line).await;
                self.pause(pause.max(lock(&self.others).share(took)));
            }
            return;
        }
    }

    /// Asks the server now and then how much it does for others.
    async fn look_for_others(&self, line: &mut Line) {
        if !lock(&self.others).is_due(Instant::now()) {
            return;
        }
        let answer = self.server.get(line, "/-/metrics", "*/*", self.deadline).await;
        let text = answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.body);
        let text = text.as_ref().map(|body| String::from_utf8_lossy(body));
        let renders = text.as_ref().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("tintype_renders_total ")?.trim().parse::<u64>().ok())
        });
        let own = lock(&self.tally).made;
        lock(&self.others).learn(renders, own, self.concurrency.into());
    }

    fn pause(&self, time: Duration) {
        let mut resume = lock(&self.resume);
        *resume = (*resume).max(Instant::now() + time);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // what is behind these is whole whenever the lock is let go of
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
