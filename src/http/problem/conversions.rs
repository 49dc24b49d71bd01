//! The status of every error of the other modules. The matches have no `_` arm: a new error does not compile before it has a
//! status here.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::{MAX_LIST_BYTES, MAX_TEXT_BYTES, Problem, internal, truncate};
use crate::dialect;
use crate::http::admin;
use crate::render;
use crate::service;
use crate::service::purge::Incomplete;
use crate::service::renderer::IsolationError;
use crate::service::uploads::UploadError;
use crate::service::workers::WorkError;
use crate::source::{self, Rejected};

impl From<dialect::Error> for Problem {
    fn from(error: dialect::Error) -> Problem {
        let detail = error.to_string();
        match error {
            dialect::Error::InvalidName => Problem::new(StatusCode::NOT_FOUND, "Not found", detail),
            dialect::Error::InvalidParams(wrong) => {
                let mut problem = Problem::new(StatusCode::BAD_REQUEST, "Invalid parameter", detail);
                let listed = listed(&wrong);
                let omitted = wrong.len() - listed.len() + wrong.omitted();
                problem.extra.push(("invalid_params", listed.into()));
                if omitted > 0 {
                    problem.extra.push(("invalid_params_omitted", omitted.into()));
                }
                problem
            }
            dialect::Error::Signature(_) | dialect::Error::ForeignSource => {
                Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail)
            }
            dialect::Error::Expired => Problem::new(StatusCode::GONE, "Gone", detail),
        }
    }
}

impl From<service::Error> for Problem {
    fn from(error: service::Error) -> Problem {
        match error {
            service::Error::Source(error) => error.into(),
            service::Error::Render(error) => error.into(),
            service::Error::Isolation(error) => error.into(),
            service::Error::Work(error) => error.into(),
        }
    }
}

impl From<source::Error> for Problem {
    fn from(error: source::Error) -> Problem {
        let detail = error.to_string();
        match error {
            source::Error::NotFound => Problem::new(StatusCode::NOT_FOUND, "Not found", detail),
            source::Error::Forbidden => Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail),
            source::Error::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Original too large", detail),
            source::Error::Changing => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Original is changing", detail),
            // EMFILE and ENFILE: this server is overloaded
            source::Error::Unavailable(cause) if matches!(cause.raw_os_error(), Some(23 | 24)) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", "too many files are open")
            }
            source::Error::Unavailable(cause) => {
                tracing::error!(error = %cause, "an original cannot be read");
                Problem::new(StatusCode::BAD_GATEWAY, "Original unavailable", detail)
            }
            source::Error::TimedOut => Problem::new(StatusCode::GATEWAY_TIMEOUT, "Original unavailable", detail),
            // the credentials are this server's: a 403 would tell the client, and caches, that it lacks permission
            source::Error::Credentials | source::Error::Status(_) => {
                tracing::error!(error = detail, "an original cannot be fetched");
                Problem::new(StatusCode::BAD_GATEWAY, "Original unavailable", detail)
            }
            source::Error::Refused(why) => {
                tracing::error!(error = why, "an original cannot be fetched");
                Problem::new(StatusCode::BAD_GATEWAY, "Original unavailable", detail)
            }
        }
    }
}

impl From<render::Error> for Problem {
    fn from(error: render::Error) -> Problem {
        let detail = error.to_string();
        match error {
            render::Error::UnknownFormat => Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not an image", detail),
            render::Error::Unsupported { .. } => {
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported image", detail)
            }
            render::Error::Malformed { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Damaged image", detail),
            render::Error::Limit(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Image over a limit", detail),
            render::Error::Impossible(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Impossible result", detail),
            render::Error::Cancelled => WorkError::DeadlineExceeded.into(),
            render::Error::Encode { .. } => {
                tracing::error!(%detail, "an encoder failed");
                internal()
            }
        }
    }
}

impl From<IsolationError> for Problem {
    fn from(error: IsolationError) -> Problem {
        let detail = error.to_string();
        match error {
            IsolationError::Crashed | IsolationError::Refused => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Render crashed", detail)
            }
            IsolationError::OutOfMemory => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "Image over a limit", detail),
            IsolationError::Unavailable => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", detail).retry_after(Duration::from_secs(1))
            }
        }
    }
}

impl From<Incomplete> for Problem {
    fn from(incomplete: Incomplete) -> Problem {
        let mut problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Purge incomplete", incomplete.to_string());
        if let Value::Object(members) = admin::described(&incomplete.purged) {
            problem
                .extra
                .extend(["purged", "nodes"].into_iter().filter_map(|name| Some((name, members.get(name)?.clone()))));
        }
        problem
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Problem {
        match error {
            UploadError::Service(error) => error.into(),
            UploadError::Rejected(rejected) => rejected.into(),
            UploadError::Conflict => Problem::conflict(&error.to_string()),
            UploadError::Disabled => Problem::no_such_path(),
        }
    }
}

impl From<Rejected> for Problem {
    fn from(rejected: Rejected) -> Problem {
        let detail = rejected.to_string();
        match rejected {
            Rejected::Exists | Rejected::Changed | Rejected::NoFolder => Problem::conflict(&detail),
            Rejected::Outside | Rejected::Forbidden => Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail),
            Rejected::TooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "Original too large", detail),
            Rejected::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "No space left", detail),
            Rejected::Unavailable(cause) => source::Error::Unavailable(cause).into(),
            Rejected::Source(error) => error.into(),
        }
    }
}

impl From<WorkError> for Problem {
    fn from(error: WorkError) -> Problem {
        let detail = error.to_string();
        match error {
            WorkError::Overloaded { retry } => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "Overloaded", detail).retry_after(retry)
            }
            WorkError::DeadlineExceeded => Problem::new(StatusCode::GATEWAY_TIMEOUT, "Deadline passed", detail),
            WorkError::RateLimited(wait) => {
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail).retry_after(wait)
            }
            WorkError::Panicked => {
                tracing::error!("a render ended without a result");
                internal()
            }
        }
    }
}

/// As many of these parameters as fit into [`MAX_LIST_BYTES`].
fn listed(wrong: &[dialect::InvalidParam]) -> Vec<Value> {
    let each = wrong.iter().map(|one| {
        let allowed = truncate(&one.allowed, MAX_TEXT_BYTES);
        json!({ "name": one.name, "value": one.value, "allowed": allowed, "did_you_mean": one.did_you_mean })
    });
    let mut room = MAX_LIST_BYTES;
    let fits = each.map_while(|one| {
        room = room.checked_sub(one.to_string().len())?;
        Some(one)
    });
    fits.collect()
}
