//! Notifications to systemd (sd_notify(3)): ready, reloading, stopping, and the watchdog as long as no render is stuck.
//! Without a service manager nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::service::Service;

/// A render is stuck after this multiple of its deadline. Without isolation some encoders run on after the deadline.
const STUCK_FACTOR: u32 = 4;

/// The minimum, for short deadlines.
const STUCK_MIN: Duration = Duration::from_secs(60);

/// Reports that the service listens, and starts to feed the watchdog if the unit has one.
pub(super) fn ready(service: &Arc<Service>) {
    notify(&[NotifyState::Ready]);
    if let Some(timeout) = sd_notify::watchdog_enabled() {
        tokio::spawn(feed_watchdog(Arc::clone(service), timeout));
    }
}

/// Reports that a reload begins. The time tells systemd which request it answers (`Type=notify-reload`, since version 253).
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the monotonic clock cannot be read"),
    }
}

/// Reports that the reload is over, with its result.
pub(super) fn reloaded(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Reports that the service is stopping.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog while no render is stuck. Running at all shows that the runtime's threads are not blocked.
async fn feed_watchdog(service: Arc<Service>, timeout: Duration) {
    let limit = (service.workers().deadline() * STUCK_FACTOR).max(STUCK_MIN);
    // a third of the timeout: one may be late and another one lost
    let mut interval = tokio::time::interval((timeout / 3).max(Duration::from_millis(1)));
    let mut is_logged = false;
    loop {
        interval.tick().await;
        match service.workers().longest() {
            Some(since) if since > limit => {
                if !is_logged {
                    tracing::error!(
                        seconds = since.as_secs(),
                        "a render is stuck; systemd is no longer notified (WatchdogSec)"
                    );
                    is_logged = true;
                }
            }
            _ => {
                is_logged = false;
                notify(&[NotifyState::Watchdog]);
            }
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "cannot notify the service manager");
    }
}
