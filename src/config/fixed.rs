//! The settings that need a restart, a struct for each section of the file, with their defaults: those of listeners,
//! workers and the cache, which are created once.
//!
//! The doc comment of a field is the users' documentation, in `tintype config --default` and in `docs/configuration.md`: one
//! or two sentences with the unit.

use std::path::{Path, PathBuf};
use std::time::Duration;

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use super::units::{Bytes, Mode, Span};
use crate::render;

/// The region where none is set; stores other than Amazon's accept any.
const REGION: &str = "us-east-1";

/// Every setting that needs a restart.
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct FixedSettings {
    /// Listeners and connections.
    pub server: Server,
    /// The originals.
    pub source: Source,
    /// The cache of results.
    pub cache: Cache,
    /// Results in a bucket, which several servers share.
    pub shared: Shared,
    /// The other servers that share results.
    pub cluster: Cluster,
    /// Limits of memory, concurrency, time and size.
    pub limits: Limits,
    /// Signed URLs, administration, uploads and beacons.
    pub security: Security,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address to listen on for images: `host:port` or `unix:/path`.
    pub listen: String,
    /// Address to listen on for health, metrics and administration (`/-/`); empty serves them on `listen`.
    pub admin_listen: String,
    /// Whether there is a page to try parameters at `/-/playground`, to which `GET /` leads. It needs no token and lists the names
    /// of all originals. `tintype serve FOLDER` without a settings file switches it on where it listens on loopback only; it
    /// then answers to local names such as `localhost` alone.
    pub playground: bool,
    /// Permissions of the socket at `unix:/path`.
    pub socket_mode: Mode,
    /// Maximum number of open connections; 0 is as many as the limit on open files allows.
    pub max_connections: usize,
    /// Trusted proxies, whose `real_ip_header` gives the client's address: addresses, networks, and `unix:` for all peers of a
    /// Unix socket.
    pub real_ip_from: Vec<String>,
    /// The header in which trusted proxies give the client's address.
    pub real_ip_header: String,
    /// Path of nginx's internal location for the cache folder (X-Accel-Redirect), so that nginx sends hits itself; empty switches
    /// it off.
    pub x_accel: String,
    /// How long new connections are still accepted after SIGTERM, while `/-/ready` answers 503, so that load balancers notice.
    pub drain_delay: Span,
    /// Time limit to receive the head of a request.
    pub header_timeout: Span,
    /// A client that receives nothing of a response for this long is disconnected.
    pub send_timeout: Span,
    /// How long an idle connection is kept open (keep-alive). It should exceed the keep-alive timeout of the proxy.
    pub idle_timeout: Span,
    /// Time limit of requests in flight after SIGTERM.
    pub shutdown_timeout: Span,
}

/// `[source]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Source {
    /// Folder of the originals.
    pub root: PathBuf,
    /// URL that the originals are below, in place of `root`: `https://origin.example/images/`, or with credentials
    /// `https://user:password@origin.example/images/`.
    pub url: String,
    /// Bucket of the originals, in place of `root`: `s3://name/prefix`, `gs://name/prefix` or `az://container/prefix`.
    pub bucket: String,
    /// With `bucket`: URL of the object store; empty for that of the cloud.
    pub endpoint: String,
    /// With `bucket`: the region of S3.
    pub region: String,
    /// With `bucket`: the access key of S3, or the account of Azure; Google has none.
    pub access_key: String,
    /// File with the access key.
    pub access_key_file: PathBuf,
    /// With `bucket`: the secret key of S3, the key of Azure's account, or Google's service account as JSON.
    pub secret_key: String,
    /// File with the secret key.
    pub secret_key_file: PathBuf,
    /// With `bucket`: sends requests without a signature, for a public bucket.
    pub skip_signature: bool,
    /// With `bucket`: a 403 of the store means that there is no such original, as in S3 without the permission to list.
    pub missing_is_forbidden: bool,
    /// With `url` and `bucket`: maximum size of originals that are kept on this machine's disk; 0 keeps none.
    pub cache_bytes: Bytes,
    /// Folders outside of `root` that symbolic links in it may lead to, such as `shared/` of a deployment; other links out of
    /// `root` are a 404.
    pub links: Vec<PathBuf>,
    /// Maximum size of an original; larger ones are refused with 413.
    pub max_bytes: Bytes,
    /// How long a version check is cached: an original's modification time is read again after this time; `0s` reads it for every
    /// request. With `url` or `bucket` it is 60 s unless it is set, and the origin is asked by a conditional GET.
    pub revalidate: Span,
    /// With `url` or `bucket`: how much longer an original is used while the origin is asked whether it has changed.
    pub stale_while_revalidate: Span,
    /// With `url` or `bucket`: how long an original is used while the origin is down.
    pub stale_if_error: Span,
    /// With `url` or `bucket`: how long a request waits for the origin before what is known of the original is used.
    pub patience: Span,
    /// Accepted formats of originals; others are refused with 415.
    pub formats_in: Vec<String>,
    /// Folders of fonts (TTF, OTF, TTC) for text in SVG originals; without fonts there is no text. Other fonts are other renditions of
    /// SVGs with text.
    pub fonts: Vec<PathBuf>,
}

/// `[cache]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Folder of the cache. If it is not set, the first writable one of $CACHE_DIRECTORY, this default and
    /// $XDG_CACHE_HOME/tintype. "none" keeps results in memory only, for read-only containers; a folder of that name is "./none".
    pub dir: PathBuf,
    /// Maximum size of the cache on disk.
    pub max_bytes: Bytes,
    /// Maximum number of files in the cache.
    pub max_files: u64,
    /// Space of the file system to keep free; with less, results are not stored.
    pub min_free: Bytes,
    /// Maximum size of results in memory.
    pub memory: Bytes,
}

/// `[shared]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shared {
    /// Bucket of the results that several servers share: `s3://name/prefix`, `gs://name/prefix` or `az://container/prefix`.
    pub bucket: String,
    /// URL of the object store; empty for that of the cloud.
    pub endpoint: String,
    /// The region of S3.
    pub region: String,
    /// The access key of S3, or the account of Azure; Google has none.
    pub access_key: String,
    /// File with the access key.
    pub access_key_file: PathBuf,
    /// The secret key of S3, the key of Azure's account, or Google's service account as JSON.
    pub secret_key: String,
    /// File with the secret key.
    pub secret_key_file: PathBuf,
    /// Secret that signs what is stored in the bucket, equal on all servers, so that others who may write there cannot plant
    /// pictures; empty signs nothing.
    pub key: String,
    /// File with that secret.
    pub key_file: PathBuf,
    /// Results to store in the bucket: `all`, those that are `heavy` to make (200 ms or more), or those that are asked for `twice`.
    pub store: SharedResults,
}

/// The results that are stored in a shared bucket.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SharedResults {
    /// All of them.
    #[default]
    All,
    /// Results that took at least 200 ms to make, fetch included: for stores that charge for requests.
    Heavy,
    /// Results that are asked for again after they were made.
    Twice,
}

/// `[cluster]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cluster {
    /// URLs of the other servers, such as `http://10.0.0.2:8080`, which are told of purges at once; they need the same
    /// `security.admin_token`.
    pub peers: Vec<String>,
    /// How often purges of other servers are looked for in the shared bucket, from `100ms` to `60s`.
    pub poll: Span,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Maximum memory of all renders together; one that would need more alone is a 422.
    pub memory: Bytes,
    /// Maximum memory of decoded originals that concurrent renders share; 0 shares none.
    pub decode_cache: Bytes,
    /// Concurrent renders; 0 is one per core.
    pub workers: usize,
    /// Maximum number of waiting renders; further ones are refused with 503.
    pub queue: usize,
    /// Response for renders refused because of overload: 503 (`refuse`), or the unchanged `original`, cached for ten seconds, if
    /// it has at most 2 MB and URLs need no signature.
    pub overload: Overload,
    /// Time limit of an image, waiting included; then it is a 504.
    pub deadline: Span,
    /// Rate limit: renders per second and client, further ones are refused with 429; 0 is no limit.
    pub rate: u32,
    /// Renders that an idle client may cause at once before `rate` applies.
    pub burst: u32,
    /// Concurrent uploads.
    pub uploads: usize,
    /// Time limit to receive an upload.
    pub upload_timeout: Span,
}

/// The response for renders refused because of overload.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Overload {
    /// 503.
    #[default]
    Refuse,
    /// The unchanged original, cached for ten seconds, if it has at most 2 MB and a format that every browser shows. Not if URLs
    /// must be signed, native ones or, where these are off, those of a dialect: permission for a small rendition is none for the
    /// original.
    Original,
}

/// `[security]`
#[derive(Clone, Debug, Default, Deserialize, DocumentedFields, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Whether originals are read and rendered in worker processes that can open neither files nor connections: where the kernel
    /// allows it (`auto`, which warns where it does not), always (`on` refuses to start otherwise), always and with a process of
    /// its own for each step of a render (`job`, 5 ms each), or never (`off`).
    pub isolation: Isolation,
    /// Whether originals can be uploaded to `/-/upload`.
    pub upload: bool,
    /// Whether `POST /-/log` logs beacons of web pages.
    pub log_beacons: bool,
}

/// Where originals are read and rendered.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// In worker processes where the kernel can lock them down, otherwise in the process of the service.
    #[default]
    Auto,
    /// In worker processes that are locked down.
    On,
    /// The same, and no process has seen another original than its own.
    Job,
    /// In the process of the service.
    Off,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: "127.0.0.1:8080".into(),
            admin_listen: String::new(),
            playground: false,
            socket_mode: Mode(0o660),
            max_connections: 0,
            real_ip_from: Vec::new(),
            real_ip_header: "X-Forwarded-For".into(),
            x_accel: String::new(),
            drain_delay: Span(Duration::ZERO),
            header_timeout: Span(Duration::from_secs(10)),
            send_timeout: Span(Duration::from_secs(30)),
            // above nginx's default of 60 s, so that nginx closes the connection
            idle_timeout: Span(Duration::from_secs(75)),
            shutdown_timeout: Span(Duration::from_secs(25)),
        }
    }
}

impl Default for Source {
    fn default() -> Self {
        let formats_in = render::Settings::default().formats_in.iter().map(|format| format.name().to_owned()).collect();
        Source {
            root: ".".into(),
            url: String::new(),
            bucket: String::new(),
            endpoint: String::new(),
            region: REGION.into(),
            access_key: String::new(),
            access_key_file: PathBuf::new(),
            secret_key: String::new(),
            secret_key_file: PathBuf::new(),
            skip_signature: false,
            missing_is_forbidden: false,
            cache_bytes: Bytes(2 << 30),
            links: Vec::new(),
            max_bytes: Bytes(64 << 20),
            revalidate: Span(Duration::ZERO),
            stale_while_revalidate: Span(Duration::from_secs(600)),
            stale_if_error: Span(Duration::from_secs(7 * 86_400)),
            patience: Span(Duration::from_secs(2)),
            formats_in,
            fonts: vec!["/usr/share/fonts".into(), "/usr/local/share/fonts".into()],
        }
    }
}

impl Cache {
    /// The folder; `None` if results are kept in memory only.
    pub fn folder(&self) -> Option<&Path> {
        // a folder of that name is set as ./none
        (self.dir.as_os_str() != "none").then_some(self.dir.as_path())
    }
}

impl Default for Cache {
    fn default() -> Self {
        Cache {
            dir: "/var/cache/tintype".into(),
            max_bytes: Bytes(10 << 30),
            max_files: 1_000_000,
            min_free: Bytes(1 << 30),
            memory: Bytes(64 << 20),
        }
    }
}

impl Default for Shared {
    fn default() -> Self {
        Shared {
            bucket: String::new(),
            endpoint: String::new(),
            region: REGION.into(),
            access_key: String::new(),
            access_key_file: PathBuf::new(),
            secret_key: String::new(),
            secret_key_file: PathBuf::new(),
            key: String::new(),
            key_file: PathBuf::new(),
            store: SharedResults::default(),
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Cluster { peers: Vec::new(), poll: Span(Duration::from_secs(2)) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let settings = render::Settings::default();
        Limits {
            memory: Bytes(settings.max_memory),
            decode_cache: Bytes(64 << 20),
            workers: 0,
            queue: 128,
            overload: Overload::default(),
            deadline: Span(Duration::from_secs(30)),
            rate: 0,
            burst: 50,
            uploads: 4,
            upload_timeout: Span(Duration::from_secs(60)),
        }
    }
}
