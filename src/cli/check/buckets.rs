//! Checks the buckets of originals and of shared results by asking them for an object that cannot exist and, where tintype
//! writes, by an object that is removed again.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::Subject;
use super::remote;
use super::report::Report;
use crate::bucket::{self, Bucket, Condition, NewObject};
use crate::cli::build::is_remote;
use crate::cli::client::{CURL, Endpoint};

/// The time limit of a request.
const LIMIT: Duration = Duration::from_secs(10);

/// The clocks of S3's signatures may differ by 15 minutes.
const MAX_SKEW: Duration = Duration::from_secs(15 * 60);
const SKEW: Duration = Duration::from_secs(60);

/// GETs that are timed.
const ROUNDS: usize = 5;

/// The length of the object that is written: enough to need several segments of TCP.
const PROBE: usize = 60_000;

/// The lengths of an original that is read.
const SAMPLE: std::ops::Range<u64> = 20_000..10_000_000;

/// The delay of acknowledgements by Linux, which Nagle's algorithm waits for.
const DELAYED_ACK: std::ops::Range<Duration> = Duration::from_millis(38)..Duration::from_millis(50);

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let fixed = &subject.config.fixed;
    // invalid settings were reported as such
    let Ok(runtime) = remote::runtime() else { return };
    if let Ok(Some(config)) = fixed.source_bucket() {
        let part = Part::Originals { are_written: fixed.security.upload, forbidden: fixed.source.missing_is_forbidden };
        runtime.block_on(one(part, &config, report));
    }
    if let Ok(Some(config)) = fixed.shared_bucket() {
        if !is_remote(fixed) {
            report.info(
                Part::Results.setting(),
                "versions of files contain their device and inode: servers share results only if they read source.root from the \
                same file system, not from copies of it",
            );
        }
        runtime.block_on(one(Part::Results, &config, report));
    }
}

/// The purpose of a bucket.
#[derive(Clone, Copy)]
enum Part {
    Originals { are_written: bool, forbidden: bool },
    Results,
}

impl Part {
    fn setting(self) -> &'static str {
        match self {
            Part::Originals { .. } => "source.bucket",
            Part::Results => "shared.bucket",
        }
    }

    fn section(self) -> &'static str {
        match self {
            Part::Originals { .. } => "source",
            Part::Results => "shared",
        }
    }
}

async fn one(part: Part, config: &bucket::Config, report: &mut Report) {
    let about = part.setting();
    clock(about, config, report).await;
    let bucket = match config.open() {
        Ok(bucket) => bucket,
        Err(invalid) => {
            let fix = format!("correct the section [{}]; docs/buckets.md has examples", part.section());
            return report.error(about, format!("it cannot be used: {invalid}"), fix);
        }
    };
    let mut probe = Probe { part, config, bucket, report };
    if !probe.missing().await {
        return;
    }
    match part {
        Part::Originals { are_written: false, .. } => probe.sample().await,
        Part::Originals { are_written: true, .. } => probe.write(true).await,
        Part::Results => {
            probe.write(false).await;
            probe.report.info(
                about,
                "expiry is for a lifecycle rule of the bucket, which is not looked at here: tintype removes what is purged, \
                and limits no size",
            );
        }
    }
}

/// Compares the clocks of the store and of this machine.
async fn clock(about: &'static str, config: &bucket::Config, report: &mut Report) {
    let Some(theirs) = date(config).await else { return };
    let ours = SystemTime::now();
    let apart = ours.duration_since(theirs).or_else(|_| theirs.duration_since(ours)).unwrap_or_default();
    let seconds = apart.as_secs();
    let fix = "timedatectl set-ntp true, on this machine or the store's";
    if apart >= MAX_SKEW {
        report.error(about, format!("the clocks differ by {seconds} s: the store refuses all signatures"), fix);
    } else if apart >= SKEW {
        report.warning(
            about,
            format!("the clocks differ by {seconds} s; at 900 s the store refuses all signatures"),
            fix,
        );
    }
}

/// The `Date` of an answer of the store.
async fn date(config: &bucket::Config) -> Option<SystemTime> {
    // a store that cannot be reached is reported by the requests to the bucket
    let (endpoint, _) = Endpoint::of_url(&config.url()).ok()?;
    let mut connection = endpoint.connect().await.ok()?;
    let answer = connection.get("/", CURL, LIMIT).await.ok()?;
    httpdate::parse_http_date(&answer.header("date")).ok()
}

struct Probe<'a> {
    part: Part,
    config: &'a bucket::Config,
    bucket: Arc<dyn Bucket>,
    report: &'a mut Report,
}

/// Waits for a request within the limit, and tells how long it took.
async fn timed<T>(request: impl Future<Output = Result<T, bucket::Error>>) -> (Result<T, bucket::Error>, Duration) {
    let began = Instant::now();
    let result = tokio::time::timeout(LIMIT, request).await.unwrap_or(Err(bucket::Error::TimedOut));
    (result, began.elapsed())
}

impl Probe<'_> {
    fn about(&self) -> &'static str {
        self.part.setting()
    }

    fn shown(&self) -> String {
        let bucket::Config { location, endpoint, .. } = self.config;
        if endpoint.is_empty() { location.to_string() } else { format!("{location} at {endpoint}") }
    }

    /// Asks for an object that does not exist; returns whether the bucket can be used.
    async fn missing(&mut self) -> bool {
        let name = remote::random_name();
        let (answer, time) = timed(self.bucket.get(&name, None, 1)).await;
        let (about, shown, time) = (self.about(), self.shown(), millis(time));
        let is_denied = matches!(&answer, Err(bucket::Error::Credentials(code)) if code == "AccessDenied");
        match (answer, self.part) {
            (Err(bucket::Error::NotFound), _) => {
                self.report.ok(about, format!("{shown} answers 404 for a missing object, after {time}"));
                true
            }
            (Err(_), Part::Originals { forbidden: true, .. }) if is_denied => {
                let text = "answers 403 for a missing object, which is a 404 (missing_is_forbidden)";
                self.report.ok(about, format!("{shown} {text}, after {time}"));
                true
            }
            (Err(_), Part::Originals { .. }) if is_denied => {
                self.report.error(
                    about,
                    format!("{shown} answers 403 (AccessDenied) for a missing object, which is a 502 for clients"),
                    "allow the credentials s3:ListBucket and s3:GetObject, or set source.missing_is_forbidden = true",
                );
                false
            }
            (Ok(_), _) => {
                self.report.error(about, format!("{shown} answers 200 for any object"), "check the endpoint");
                false
            }
            (Err(error), _) => {
                self.fail("is not readable", &error);
                false
            }
        }
    }

    /// Reports a request that failed.
    fn fail(&mut self, what: &str, error: &bucket::Error) {
        let section = self.part.section();
        let fix = match error {
            bucket::Error::Credentials(code) if code == "RequestTimeTooSkewed" => {
                "set the clock: timedatectl set-ntp true".into()
            }
            bucket::Error::Credentials(code) if code == "AccessDenied" => {
                "allow the credentials s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket there".into()
            }
            bucket::Error::Credentials(_) => {
                format!("check access_key, secret_key and region in [{section}], and that they are of this store")
            }
            bucket::Error::Unavailable(error) if error.kind() == std::io::ErrorKind::NotFound => {
                format!("create the bucket, or correct its name in {section}.bucket")
            }
            bucket::Error::Unavailable(error) => remote::fix(error, &format!("{section}.endpoint")),
            _ => format!("check {section}.endpoint, and the store's log"),
        };
        let cause = match error {
            bucket::Error::Unavailable(cause) => cause.to_string(),
            error => error.to_string(),
        };
        self.report.error(self.about(), format!("{} {what}: {cause}", self.shown()), fix);
    }

    /// Times the read of an original.
    async fn sample(&mut self) {
        let (listed, _) = timed(self.bucket.list("", None, 1000)).await;
        let about = self.about();
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let text = format!(
                    "its objects cannot be listed ({error}), so that no read is timed; tintype serves all the same"
                );
                return self.report.info(about, text);
            }
        };
        match listed.iter().find(|object| SAMPLE.contains(&object.length)) {
            Some(object) => self.time_reads(&object.name, object.length).await,
            None => self
                .report
                .info(about, "it has no original of 20 kB to 10 MB among its first, so that no read is timed"),
        }
    }

    /// Times GETs of an object; the median is reported.
    async fn time_reads(&mut self, name: &str, length: u64) {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            match timed(self.bucket.get(name, None, length)).await {
                (Ok(_), time) => times.push(time),
                (Err(error), _) => return self.fail("is not readable", &error),
            }
        }
        times.sort();
        let time = times[ROUNDS / 2];
        let about = self.about();
        self.report.ok(about, format!("{} kB are read in {}", length / 1000, millis(time)));
        if DELAYED_ACK.contains(&time) {
            self.report.warning(
                about,
                format!("a GET takes {}: the store sends small segments late (Nagle's algorithm)", millis(time)),
                "set TCP_NODELAY in the store; Ceph: rgw_frontends = beast … tcp_nodelay=1",
            );
        }
    }

    /// Writes, reads and removes an object. No original and no result can have its name.
    async fn write(&mut self, replaces: bool) {
        let name = format!(".{}", remote::random_name());
        if let Err((what, error)) = self.written(&name, replaces).await {
            self.fail(what, &error);
        }
        match timed(self.bucket.delete(&name)).await {
            (Ok(()), _) => {}
            (Err(error), _) => self.fail(&format!("does not let {name} be removed"), &error),
        }
    }

    async fn written(&mut self, name: &str, replaces: bool) -> Result<(), (&'static str, bucket::Error)> {
        let unwritable = |error| ("is not writable", error);
        let (put, time) = timed(self.bucket.put(name, object(1), Condition::None)).await;
        put.map_err(unwritable)?;
        let about = self.about();
        self.report.ok(about, format!("is writable; {} kB are written in {}", PROBE / 1000, millis(time)));
        let (read, _) = timed(self.bucket.get(name, None, PROBE as u64)).await;
        let revision = read.map_err(|error| ("does not return what was written", error))?.revision;
        self.time_reads(name, PROBE as u64).await;
        self.absent(name).await.map_err(unwritable)?;
        if replaces {
            self.unchanged(name, revision.as_deref()).await.map_err(unwritable)?;
        }
        Ok(())
    }

    /// Whether a conditional PUT of a name that is taken is refused.
    async fn absent(&mut self, name: &str) -> Result<(), bucket::Error> {
        let about = self.about();
        match timed(self.bucket.put(name, object(2), Condition::Absent)).await.0 {
            Err(bucket::Error::Exists) => self.report.ok(about, "conditional writes (If-None-Match: *) are honoured"),
            Ok(_) => {
                let cause = match self.part {
                    Part::Originals { .. } => "two uploads to one name at once replace each other",
                    Part::Results => "of two servers that render one picture at once, the last one wins",
                };
                let cause = format!("the store ignores If-None-Match: * on PUT: {cause}");
                self.report.warning(about, cause, "use a release of the store that has conditional writes");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Whether an object is replaced only if it has the revision that is expected, which it has not after its replacement.
    async fn unchanged(&mut self, name: &str, revision: Option<&str>) -> Result<(), bucket::Error> {
        let about = self.about();
        let revision = revision.unwrap_or("\"0123\"");
        let right = timed(self.bucket.put(name, object(3), Condition::Unchanged(revision))).await.0;
        let wrong = timed(self.bucket.put(name, object(4), Condition::Unchanged(revision))).await.0;
        match (right, wrong) {
            (Ok(_), Err(bucket::Error::Changed)) => {
                self.report.ok(about, "conditional replacements (If-Match) are honoured");
            }
            (Err(bucket::Error::Changed), _) => self.report.warning(
                about,
                "the store refuses If-Match with the right ETag on PUT (Ceph 16): uploads replace with If-Match: * only",
                "use a newer release of the store",
            ),
            (Ok(_), Ok(_)) => self.report.warning(
                about,
                "the store ignores If-Match on PUT: uploads of several servers may replace each other",
                "use a release of the store that has conditional writes",
            ),
            (Err(error), _) | (_, Err(error)) => return Err(error),
        }
        Ok(())
    }
}

fn object(byte: u8) -> NewObject {
    let bytes = vec![byte; PROBE].into();
    NewObject { bytes, media_type: "application/octet-stream", cache_control: None, metadata: Vec::new() }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
