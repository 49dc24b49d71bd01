//! The wire: routes, requests and answers. Never touches a codec or a file.
//!
//! Everything that is not an image is under `/-/`; every other path is an original's. In reading order:
//!
//! | file | what it does |
//! |---|---|
//! | `request_id`, `host`, `ranges`, `clients`, `rate_limit`, `cors` | one header each, and rate limits; no state |
//! | `problem` | every error's status and body (RFC 9457) |
//! | `traffic`, `history` | the counters of requests and connections; what the status page remembers |
//! | `conditions`, `freshness`, `headers` | preconditions and 304 (RFC 9110 §13), `Cache-Control`, an image's headers |
//! | `fallback` | the heads of answers with another picture than the one that was asked for |
//! | `access` | the access log |
//! | `request_cache` | requests that were parsed before |
//! | `state` | settings, and what all requests share |
//! | `x_accel`, `response_body`, `image` | a request for an image |
//! | `request_body`, `admin`, `beacon`, `health`, `metrics`, `upload` | requests under `/-/` |
//! | `explain`, `markup` | what a URL means; HTML for an original |
//! | `page`, `playground`, `status` | pages under `/-/` |
//! | `app`, `bad_head` | one request, from its head to its answer |
//! | `stream` | the layers of a connection's byte stream: counters, timeouts, half-closed clients, refusals |
//! | `fast_path` | hits and 304s out of memory, answered without hyper |
//! | `server` | listeners and connections |

mod access;
mod admin;
mod app;
mod bad_head;
mod beacon;
mod clients;
mod conditions;
mod cors;
mod explain;
mod fallback;
mod fast_path;
mod freshness;
mod headers;
mod health;
mod history;
mod host;
mod image;
pub(crate) mod markup;
mod metrics;
mod page;
mod playground;
mod problem;
mod ranges;
mod rate_limit;
mod request_body;
mod request_cache;
mod request_id;
mod response_body;
pub mod server;
mod state;
mod status;
mod stream;
mod traffic;
mod upload;
mod x_accel;

pub use access::LogWriter;
pub use app::{App, admin_app, app};
pub use clients::{InvalidProxies, Peer, Proxies};
pub use cors::{AllowOrigin, InvalidOrigin};
pub use state::{Config, Fallback, LiveConfig, Playground, State};
