//! What systemd is told of the service (`Type=notify`, `WatchdogSec=`): that it listens, that it reads its settings again,
//! that it ends, and, as long as it is true, that the workers move. Where no service manager listens, nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::service::Service;

/// How many times its deadline a render may take before it counts as stuck. An encoder that cannot be stopped may well go
/// on for some time after nobody waits for it any more.
const STUCK: u32 = 4;

/// The least that counts as stuck, however short the deadline.
const STUCK_LEAST: Duration = Duration::from_secs(60);

/// The service listens. From now on the watchdog is fed, if it wants to be.
pub(super) fn ready(service: &Arc<Service>) {
    say(&[NotifyState::Ready]);
    if let Some(patience) = sd_notify::watchdog_enabled() {
        tokio::spawn(feed_watchdog(Arc::clone(service), patience));
    }
}

/// The settings are being read again. The time makes it known which request to do so this answers (`Type=notify-reload`,
/// since systemd 253); older ones do without.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "there is no clock"),
    }
}

/// That is over, and how it went.
pub(super) fn reloaded(how: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(how)]);
}

/// The service has been asked to end.
pub(super) fn stopping() {
    say(&[NotifyState::Stopping]);
}

/// That this runs shows that the runtime gives out its threads; that nothing is stuck is looked at.
async fn feed_watchdog(service: Arc<Service>, patience: Duration) {
    let limit = (service.workers().deadline() * STUCK).max(STUCK_LEAST);
    // one may come late, and one more may be lost
    let mut times = tokio::time::interval((patience / 3).max(Duration::from_millis(1)));
    let mut told = false;
    loop {
        times.tick().await;
        match service.workers().longest() {
            Some(since) if since > limit => {
                if !told {
                    tracing::error!(
                        seconds = since.as_secs(),
                        "a render does not end; the watchdog is not fed any more"
                    );
                    told = true;
                }
            }
            _ => {
                told = false;
                say(&[NotifyState::Watchdog]);
            }
        }
    }
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
