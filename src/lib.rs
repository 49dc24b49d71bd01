//! tintype is an on-demand image service: it answers `/photo.jpg?width=800&format=webp`, keeps what it made, and never
//! takes more of the machine than it was given.
//!
//! *A URL is read by a dialect into a target; the target and what the client accepts become a recipe; the service finds
//! the rendition of that recipe in the cache, or fetches the original from its source, renders it, and keeps it.*
//!
//! Every noun in that sentence is a module or a type, every verb a function. In reading order, each module uses only
//! modules before it (a test holds this). Below them are the crates, whose order the compiler holds:
//!
//! | crate | what it is for |
//! |---|---|
//! | `tintype-pixels` | the types that codecs and operations share: sizes, pixels, planes, profiles, headers, limits |
//! | `tintype-jpeg`, `tintype-vp8` | decoders that scale while they decode |
//! | `tintype-codec-sys` | libwebp, libaom and libjpeg-turbo behind safe functions |
//! | `tintype-codecs` | one module a format behind one trait |
//! | `tintype-render` | a recipe becomes a plan, pixels, bytes |
//! | `tintype-isolation` | worker processes that can touch nothing: bytes in, bytes out |
//! | `tintype-store` | files under a bound: staged, synced, verified, evicted |
//! | `tintype-single-flight` | concurrent calls for one key share one execution |
//!
//! The modules of the service:
//!
//! | module | what it is for | what it refuses to know |
//! |---|---|---|
//! | [`render`] | a crate of its own: bytes and a recipe in, bytes out | where bytes come from, URLs, time, threads |
//! | `clock` | the time to some milliseconds, for next to nothing | what it is needed for |
//! | `sync` | a lock that ignores poisoning | what it guards |
//! | `net` | connections to other servers: names, addresses, TLS | what is sent over them |
//! | [`bucket`] | objects in S3, Google Cloud Storage and Azure, behind one trait | what the objects are |
//! | [`source`] | where originals live, and which version of one is current | what is wanted from an original |
//! | [`cache`] | where results are kept, once each, under a bound | how a result is made |
//! | [`dialect`] | what a URL asks for: mounts, native and foreign grammars, policy, negotiation, signatures | originals; it does no I/O |
//! | [`service`] | the path of one request: version, key, cache, workers | URLs, headers, status codes |
//! | [`http`] | the wire: routes, headers, conditions, every failure's status | files and pixels |
//! | [`config`] | settings from file, environment and flags; the modules' own `Config`s side by side | – |
//! | [`cli`] | the commands; the only place that builds everything | – |
//!
//! # Three lowerings
//!
//! [`Params`](dialect::Params) are the parameters of a URL, each optional. A [`Recipe`](render::Recipe) has preset, defaults and
//! negotiation applied; it needs no original, so a hit needs none. A [`Plan`](render::plan::Plan) has the pixel numbers for
//! one original.
//!
//! # Where each invariant lives
//!
//! | invariant | where | how it is held |
//! |---|---|---|
//! | A cache key covers everything that shapes the bytes | `cache/key.rs`, `crates/render/src/recipe.rs` | structs are taken apart without `..` |
//! | Code that changes output bytes changes cache keys | `crates/render/src/settings.rs`: `EPOCH` | a test pins digests of small renditions |
//! | No pixel is decoded before the limits are checked | `crates/pixels/src/limits.rs` | decoders take an `&Admitted`, which only `Limits::admit` makes |
//! | Requests for the same image have the same key | `crates/render/src/effective.rs` | the recipe is reduced by the original's header before it is a key, and by `render_from` itself |
//! | A rendition of a damaged original is marked | `crates/pixels/src/decoded.rs`: `Integrity`, `cache/attributes.rs` | decoders return it; it is part of the stored file's name |
//! | A panic in a codec fails one request | `crates/codecs/src/formats.rs`: `Guarded` | every call to a codec goes through it |
//! | A codec that crashes or was taken over reaches nothing but its own render | `crates/isolation`, `service/isolated/` | worker processes under seccomp and Landlock; answers are bounded and validated |
//! | An encoder is stopped at the deadline | `service/isolated/mod.rs` | a worker that does not stop within 50 ms is killed, whatever it sends |
//! | An original's name cannot leave its source | `source/id.rs`, `source/root.rs` | `ImageId::parse` and `ImageId::of` alone make names; the kernel opens them beneath the root |
//! | An origin's address is checked where it is connected to | `net/connect.rs`, `address.rs` | exactly the addresses that were filtered are connected to, for redirects too |
//! | No request to an origin is made under a worker's permit | `source/mod.rs`: `make_local`, `fetch_local` | an original that was downloaded and evicted again is downloaded without the permit |
//! | An original that was purged or removed does not come back after a kill | `source/version_log.rs` | removals are recorded before they are answered; a file that may lack one is void |
//! | An origin that is down costs no cached picture, also after a restart | `source/known_versions.rs`, `freshness.rs` | versions are recorded, and stale ones used while the origin fails |
//! | A slow origin holds no worker | `service/render_job.rs` | the original is downloaded to this machine before the permit is taken |
//! | An acknowledged upload is valid and durable | `source/upload_store/`, `service/uploads.rs` | it is decoded, staged, synced, renamed and its folders synced before the answer; a bucket has acknowledged it |
//! | Concurrent uploads do not replace each other | same | a new name is renamed without replacing, or put on the condition that there is none; replacements run one at a time |
//! | Two versions of an object are never mixed | `source/bucket.rs` | one GET brings all bytes; its version is a digest of them |
//! | The client's address comes from trusted proxies only | `http/clients.rs` | one header, read from its end as long as the writers are trusted |
//! | Chroma stays aligned with luma at odd sizes | `crates/render/src/ops/planes.rs` | a region is read in whole samples of chroma; tests at odd sizes |
//! | Our JPEG decoder and libjpeg-turbo accept the same files, except for damage that is not visible | `crates/jpeg` | a file with any irregularity is left to the library; a fuzz target compares them |
//! | Our LZW decoder and the libraries decode GIF and TIFF alike | `crates/codecs/src/lzw.rs`, `gif/frames.rs` | an irregular file is left to the library; tests compare them |
//! | Our VP8 decoder equals libwebp's output at full size to the bit | `crates/vp8` | an irregular frame is left to the library; tests compare every plane, of damaged files too |
//! | C is called from one crate | `crates/codec-sys` | the other crates forbid `unsafe_code`; this one denies it but in `cache/memfd.rs` and `cli/sockets.rs` |
//! | Bytes that the kernel sends out of memory cannot change | `cache/memfd.rs` | a file without a name, sealed against writing |
//! | Both paths allow the same origins to read an answer | `http/cors.rs` | one type decides; a test compares both paths byte for byte |
//! | A half-closed client gets its answer; the work of a disconnected one is dropped | `http/stream/half_close.rs` | the first bytes of the answer are sent ahead, which only a half-closed client receives |
//! | A request has exactly one valid host | `http/host.rs` | both paths call the same function before they read anything else |
//! | The fast path gives the same answers as the slow path | `http/fast_path/` | hyper's parser, shared functions, only while hyper is between requests; `tests/it/fast_path.rs` compares them byte for byte |
//! | A body that is not recognised as a file's is sent all the same | `http/fast_path/sendfile.rs` | bodies are recognised by their address, and all bytes are in memory in any case |
//! | A cached request is parsed under the current settings | `http/request_cache.rs` | the cache belongs to `LiveConfig` and is dropped with it; `expires` and the version are checked every time |
//! | A slow reader of the log blocks neither requests nor the shutdown | `http/access/writer.rs` | a bounded buffer and a thread for all lines; dropped lines are counted and logged |
//! | A result does not depend on concurrent requests | `service/decode_cache.rs` | decoded images are shared by version and scale; scales decoded in one pass equal those decoded alone to the bit |
//! | An image decoded by rows or by region equals the one decoded whole | `crates/render/src/bands.rs`, `plan.rs` | one function resizes both, in the same bands; regions begin at block boundaries |
//! | Rendered bytes are stored under the version they were rendered from | `service/render_job.rs` | another version than the key's starts the request over |
//! | One rendition is rendered once at a time | `crates/single-flight`, `cache/mod.rs`: `get_or_make` | concurrent requests for it wait for one execution; its locks are tested under a random scheduler |
//! | A client that leaves does not cancel a render that others wait for | `cache/mod.rs`: `get_or_make` | the render runs in a task of its own |
//! | A waiting render holds no memory | `service/render_job.rs`, `source/original_cache.rs` | it reads the original after it has a permit; what is not on disk is held within a budget |
//! | All renders together stay within `limits.memory` | `service/queue.rs`, `crates/render/src/cost.rs` | each waits for the memory that is estimated from its header; `tests/it/memory.rs` compares with the measured |
//! | A render whose clients have all left is not started | `service/render_job.rs`, `crates/single-flight`: `Waiters` | the wait for a permit ends when the last waiter leaves |
//! | A file in the cache is whole or absent | `crates/store`: `disk/write.rs` | it is staged, synced and renamed; its name has its digest, which every read compares |
//! | A file that nginx is told to send was verified | `crates/store`: `disk/verified.rs` | its digest within ten minutes, and each time that it is the same inode, unchanged |
//! | With X-Accel-Redirect, nginx applies only plain ranges | `http/x_accel.rs` | tests compare its answers with tintype's, header for header |
//! | A purged rendition does not come back by an upgrade | `cache/replace.rs`, `crates/store`: `disk/put.rs` | the key must still have the digest that the upgrade began with, compared under the locks that a purge takes |
//! | A purge reaches every server of a cluster, or the answer says that it did not | `service/purge.rs`, `cache/journal.rs` | its entry in the bucket is durable before the answer; every server applies all entries after its position; files that cannot be removed are reported |
//! | A cache folder sends nothing that was purged while it was not open | `cache/trust.rs`, `service/cluster.rs` | its renditions are sent once the journal was read from the position that is kept beside them |
//! | A rendition reported as stored survives the process | `crates/store`: `disk/write.rs`, `disk/scan.rs` | it is staged before the answer; the next start takes over staged files |
//! | The cache folder never exceeds its bounds | `crates/store`: `index/` | space is reserved before a byte is written and released after the file is gone |
//! | One process writes in a cache folder | `crates/store`: `disk/mod.rs`, `open` | it holds a file lock for as long as it uses the folder |
//! | Links and devices planted in the cache folder are not followed | `crates/store`: `folder.rs` | the kernel opens paths and their folders beneath the folder, without links |
//! | Two states of an original have two versions | `source/files.rs`: `stable_stat` | a file that was changed within the last clock tick is waited for |
//! | A failing bucket never fails a request, nor delays it by more than a hedge | `cache/shared/lookup.rs`, `breaker.rs` | the render starts beside a slow look-up; errors are misses, and several of them end look-ups for a while |
//! | Bytes read from the shared bucket are the bytes written for that key | `cache/shared/object.rs`: `Signer` | key, digest and MAC are compared with each read; tests damage, swap and plant objects |
//! | A purged rendition does not come back from the shared bucket | `cache/shared/stamps.rs`, `put_behind.rs` | purges are remembered for a minute: what was begun before is not written, what was written before is not taken; 1,000 races in a test |
//! | A broken cache folder never fails a request | `crates/store`: `store.rs` | faults are logged and counted there; callers see a miss |
//! | An original is in memory at most once | `source/shared_bytes.rs` | concurrent fetches of a version share its bytes |
//! | Sending an original takes bounded memory, whatever its size | `source/chunks.rs`, `http/response_body.rs` | it is read in chunks, one for each connection |
//! | A response never mixes two versions of an original | `source/chunks.rs` | after each chunk is read the file must be unchanged; otherwise the response is cut off |
//! | An original is read once for its digest | `service/passthrough.rs` | single flight by version, in a task of its own; 256 wait at most, and only while their clients do |
//! | An idle connection keeps no body in memory | `http/fast_path/sendfile.rs` | only bytes in flight keep the file that they are in |
//! | Stalled clients are disconnected after `send_timeout` | `http/stream/timeout.rs` | limits on heads, on answers that are not received, on silence |
//! | No header makes other renditions than a few | `dialect/hints.rs`, `dialect/negotiate.rs` | a width from a hint is rounded up to a step; a property compares recipes with those of the steps |
//! | All missing originals share the renditions of one fallback picture | `source/fallback.rs` | its key has the digest of its bytes, and no name of a URL |
//! | An overlay that the settings require is on every image whose URL is not signed | `dialect/policy/overlay.rs` | it takes the place of the URL's own before there is a recipe; a recipe with one is never the original; `tests/it/overlays.rs` tries the ways around it |
//! | A signature is valid for one answer only | `dialect/policy.rs`: `signed_text` | defaults are signed where leaving them out would change the answer |
//! | No change of settings makes a signed URL invalid | `dialect/policy.rs`: `is_signature_of` | a signature of the parameters as they are stated is accepted, too, and `sign` prints the text that it signs |
//! | A foreign URL and its native equal are one rendition | `dialect/foreign/meaning.rs` | foreign options are set as the text of native parameters; vectors compare the recipes |
//! | A foreign URL names our own originals only | `dialect/foreign/source.rs` | addresses are compared with `dialects.bases` as text, before `ImageId::of` |
//! | A request that arrives during the shutdown is answered | `http/server/connection.rs`, `cli/sockets.rs` | idle connections get a moment for one more; sockets of the service manager stay open |
//! | Connections never run out of file descriptors | `http/server/listener.rs`: `max_connections` | their number is limited by the process's limit |
//! | CPU work and the wait for it are bounded | `service/workers.rs`, `queue.rs` | the only `spawn_blocking`; the queue is bounded by length and by expected wait |
//! | A page of another site reads no playground and purges nothing | `http/playground/mod.rs`, `http/status/access.rs` | local names only where it is on by itself; Fetch Metadata, `Origin` and the token |
//! | No name, URL or error is read as HTML | `dialect/markup.rs`: `escape`, `http/page.rs` | one function escapes; a policy without inline scripts and styles |
//! | Explaining a URL renders nothing and counts as no use | `service/explain.rs`, `cache/peek.rs` | it peeks; tests compare what is explained with what is answered |
//! | Listing originals stays beneath the root and within bounds | `source/listing.rs` | the kernel opens folders beneath it; entries, time and the page are bounded |
//! | Status codes of errors are chosen in one place | `http/problem.rs` | exhaustive matches without a `_` arm |
//! | Settings are read in one place | `config/mod.rs` | no other file names `std::env` |
//! | No request is answered under a mixture of old and new settings | `http/state.rs`: `LiveConfig` | a reload swaps one pointer, which is loaded once for policy, parsed request and render settings |
//! | A setting that needs a restart keeps its value until then | `config/fixed.rs`, `config/live.rs` | two types; a reload replaces the live one alone |
//! | Every setting is documented | `config/reference.rs` | its doc comment is the users' documentation; it does not compile without |

pub mod bucket;
pub mod cache;
pub mod cli;
mod clock;
pub mod config;
pub mod dialect;
pub mod http;
mod net;
pub mod service;
pub mod source;
mod sync;

pub use tintype_render as render;
