//! The server that `warm` sends requests to: a running one, or the service in this process if none runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt;

use crate::cache::preflight;
use crate::cli::client::{Answer, Connection, Endpoint};
use crate::cli::{UsageError, build};
use crate::config::Config;
use crate::http::{self as wire, App, State};
use crate::service::Service;

/// The time limit of an answer beyond the deadline of renders.
const MARGIN: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(super) enum Server {
    Running(Endpoint),
    InProcess(App, Arc<Service>),
}

/// A connection that is kept from one request to the next.
#[derive(Default)]
pub(super) struct KeepAlive(Option<Connection>);

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Server::Running(endpoint) => write!(f, "the server at {endpoint}"),
            Server::InProcess(..) => f.write_str("this process, since no server is running"),
        }
    }
}

impl Server {
    /// The server at `url`, or else the one at `server.listen`, or else this process. Only one process may write to a cache
    /// folder, so a running server must answer.
    pub(super) async fn find(url: Option<&str>, config: &Config) -> anyhow::Result<Server> {
        if let Some(url) = url {
            let (endpoint, target) = Endpoint::of_url(url).map_err(|error| UsageError(format!("{error:#}")))?;
            if target != "/" {
                anyhow::bail!(UsageError(format!("{url:?} has a path; give the address of the server only")));
            }
            endpoint.connect().await?;
            return Ok(Server::Running(endpoint));
        }
        let endpoint = Endpoint::of_listener(&config.fixed.server.listen);
        if let Ok(mut connection) = endpoint.connect().await {
            let answer = connection
                .get("/-/live", "*/*", MARGIN)
                .await
                .with_context(|| format!("requesting /-/live from {endpoint}"))?;
            anyhow::ensure!(
                is_tintype(&answer),
                "the server on {endpoint} is not tintype; name the right one with --url"
            );
            return Ok(Server::Running(endpoint));
        }
        if let Some(holder) = config.fixed.cache.folder().and_then(preflight::holder) {
            let who = holder.pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            let (dir, listen) = (config.fixed.cache.dir.display(), &config.fixed.server.listen);
            anyhow::bail!(
                "{who} uses the cache folder {dir} but does not listen on {listen}; name its address with --url"
            );
        }
        let service = build::service(config)?;
        service.follow_purges().await;
        let live = config.live_http().map_err(|invalid| UsageError(invalid.to_string()))?;
        let app = wire::app(State::new(Arc::clone(&service), config.fixed.http(), live));
        Ok(Server::InProcess(app, service))
    }

    /// Sends a GET over the kept connection, or a new one if the server has closed it.
    pub(super) async fn get(
        &self, connection: &mut KeepAlive, target: &str, accept: &str, deadline: Duration,
    ) -> anyhow::Result<Answer> {
        let timeout = deadline + MARGIN;
        match self {
            Server::InProcess(app, _) => {
                let request = Request::get(target).header(header::ACCEPT, accept).body(Body::empty())?;
                let (head, body) = app.answer(request).await.into_parts();
                Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
            }
            Server::Running(endpoint) => {
                if let Some(mut kept) = connection.0.take()
                    && let Ok(answer) = kept.get(target, accept, timeout).await
                {
                    connection.0 = Some(kept);
                    return Ok(answer);
                }
                let mut opened = endpoint.connect().await?;
                let answer = opened.get(target, accept, timeout).await?;
                connection.0 = Some(opened);
                Ok(answer)
            }
        }
    }

    /// Whether anything answers at the server's address, over a new connection.
    pub(super) async fn is_reachable(&self) -> bool {
        self.get(&mut KeepAlive::default(), "/-/live", "*/*", Duration::ZERO).await.is_ok()
    }

    /// Writes the results of this process to disk.
    pub(super) fn finish(&self) {
        if let Server::InProcess(_, service) = self {
            service.flush();
        }
    }
}

/// Whether an answer to `/-/live` is tintype's: of the admin listener, or the 404 of the one for images.
fn is_tintype(answer: &Answer) -> bool {
    let says_live = answer.status == 200 && answer.body.starts_with(b"{\"status\":\"live\"");
    says_live || answer.status == 404 && answer.header("content-type") == "application/problem+json"
}
