//! Who is asked: a running server, or the service itself in this process where none runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::body::Body;
use http::{Request, header};
use http_body_util::BodyExt;

use crate::cache::preflight;
use crate::cli::client::{Answer, Connection, Place};
use crate::cli::{Wrong, build};
use crate::config::Config;
use crate::http::{self as wire, App, State};
use crate::service::Service;

/// How long an answer may take beyond the deadline of renders.
const MARGIN: Duration = Duration::from_secs(30);

/// Who is asked.
#[derive(Clone)]
pub(super) enum Server {
    /// One that runs.
    Running(Place),
    /// This process.
    Own(App, Arc<Service>),
}

/// What goes from one request to the next.
#[derive(Default)]
pub(super) struct Line(Option<Connection>);

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Server::Running(place) => write!(f, "the server at {place}"),
            Server::Own(..) => f.write_str("this process, since no server runs"),
        }
    }
}

impl Server {
    /// The one of that URL; or the one that listens where the settings say; or, where none does, this process. One
    /// process at a time writes in a cache folder, so a server that runs has to be the one that is asked.
    pub(super) async fn find(url: Option<&str>, config: &Config) -> anyhow::Result<Server> {
        if let Some(url) = url {
            let (place, target) = Place::of_url(url).map_err(|error| Wrong(format!("{error:#}")))?;
            if target != "/" {
                anyhow::bail!(Wrong(format!("{url:?} has a path; the URLs that are read have theirs")));
            }
            place.connect().await?;
            return Ok(Server::Running(place));
        }
        let place = Place::of_listener(&config.fixed.server.listen);
        if let Ok(mut connection) = place.connect().await {
            let answer = connection.get("/-/live", "*/*", MARGIN).await.with_context(|| format!("asking {place}"))?;
            anyhow::ensure!(is_tintype(&answer), "what listens on {place} is no tintype; say with --url where it is");
            return Ok(Server::Running(place));
        }
        if let Some(holder) = config.fixed.cache.folder().and_then(preflight::holder) {
            let who = holder.pid.map_or_else(|| "another process".into(), |pid| format!("process {pid}"));
            let (dir, listen) = (config.fixed.cache.dir.display(), &config.fixed.server.listen);
            anyhow::bail!(
                "{who} uses the cache folder {dir} and does not listen on {listen}; say with --url where it does"
            );
        }
        let service = build::service(config)?;
        let policy = config.live.policy().map_err(|invalid| Wrong(invalid.to_string()))?;
        let app = wire::app(State::new(Arc::clone(&service), policy, config.http()));
        Ok(Server::Own(app, service))
    }

    /// One GET. What was connected is kept for the next; a connection that the other side ended is opened again.
    pub(super) async fn get(
        &self, line: &mut Line, target: &str, accept: &str, deadline: Duration,
    ) -> anyhow::Result<Answer> {
        let patience = deadline + MARGIN;
        match self {
            Server::Own(app, _) => {
                let request = Request::get(target).header(header::ACCEPT, accept).body(Body::empty())?;
                let (head, body) = app.answer(request).await.into_parts();
                Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
            }
            Server::Running(place) => {
                if let Some(mut connection) = line.0.take()
                    && let Ok(answer) = connection.get(target, accept, patience).await
                {
                    line.0 = Some(connection);
                    return Ok(answer);
                }
                let mut connection = place.connect().await?;
                let answer = connection.get(target, accept, patience).await?;
                line.0 = Some(connection);
                Ok(answer)
            }
        }
    }

    /// Brings what was made in this process onto disk.
    pub(super) fn finish(&self) {
        if let Server::Own(_, service) = self {
            service.flush();
        }
    }
}

/// Whether that was tintype's answer to whether it lives, or its refusal where that is told elsewhere.
fn is_tintype(answer: &Answer) -> bool {
    let says_live = answer.status == 200 && answer.body.starts_with(b"{\"status\":\"live\"");
    says_live || answer.status == 404 && answer.header("content-type") == "application/problem+json"
}
