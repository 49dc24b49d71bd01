//! Sockets that the service manager listens on and hands over at the start (sd_listen_fds(3)). They outlive this process:
//! while it is restarted, connections wait in the kernel.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use anyhow::Context;

use crate::http::server::Listener;

/// The name (`FileDescriptorName=`) of those for health, metrics and administration; all others are for images.
const ADMIN: &str = "admin";

const WRONG: &str = "the sockets in LISTEN_FDS cannot be used";

/// The sockets that were handed over.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) images: Vec<Listener>,
    pub(super) admin: Vec<Listener>,
}

/// A descriptor that was handed over, with its number and name.
pub(super) struct HandedOver {
    socket: OwnedFd,
    number: RawFd,
    name: String,
}

/// The descriptors that were handed over. To be called once, before anything else is opened: a descriptor that is announced
/// and not there would otherwise be another's.
pub(super) fn handed_over() -> anyhow::Result<Vec<HandedOver>> {
    // names alone are those of another process's sockets
    if sd_notify::listen_fds().context(WRONG)?.len() == 0 {
        return Ok(Vec::new());
    }
    let all = sd_notify::listen_fds_with_names().context(WRONG)?;
    Ok(all.map(|(number, name)| HandedOver { socket: own(number), number, name }).collect())
}

impl Inherited {
    /// Listens on them. To be called within the runtime.
    pub(super) fn listen(all: Vec<HandedOver>) -> anyhow::Result<Inherited> {
        let mut inherited = Inherited::default();
        for HandedOver { socket, number, name } in all {
            let listener = Listener::inherited(socket);
            let listener =
                listener.with_context(|| format!("socket {number} ({name}) in LISTEN_FDS cannot be used"))?;
            match name.as_str() {
                ADMIN => inherited.admin.push(listener),
                _ => inherited.images.push(listener),
            }
        }
        Ok(inherited)
    }
}

/// The descriptor of that number.
#[allow(unsafe_code, reason = "only a number says which descriptors were handed over")]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: it is open, or marking it close-on-exec would have failed. LISTEN_PID vouches that it was handed to this process,
    // which has opened nothing itself so far. Only this function makes an owner of it, once.
    unsafe { OwnedFd::from_raw_fd(number) }
}
