//! Socket activation (sd_listen_fds(3)): listening sockets that the service manager passes at the start. They outlive this
//! process, so connections wait in the kernel while it restarts.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use anyhow::Context;

use crate::http::server::Listener;

/// The `FileDescriptorName=` of sockets for health, metrics and administration; all others are for images.
const ADMIN: &str = "admin";

const UNUSABLE: &str = "the sockets in LISTEN_FDS cannot be used";

#[derive(Default)]
pub(super) struct Sockets {
    pub(super) images: Vec<Listener>,
    pub(super) admin: Vec<Listener>,
    /// Whether the service manager passed any.
    pub(super) are_passed: bool,
}

/// A descriptor that the service manager passed.
pub(super) struct PassedSocket {
    socket: OwnedFd,
    number: RawFd,
    name: String,
}

/// Takes the descriptors that the service manager passed. To be called once, before any file is opened: an announced
/// descriptor that is missing could be reused otherwise.
pub(super) fn passed_sockets() -> anyhow::Result<Vec<PassedSocket>> {
    // without LISTEN_FDS, names are of another process's sockets
    if sd_notify::listen_fds().context(UNUSABLE)?.len() == 0 {
        return Ok(Vec::new());
    }
    let all = sd_notify::listen_fds_with_names().context(UNUSABLE)?;
    Ok(all.map(|(number, name)| PassedSocket { socket: own(number), number, name }).collect())
}

impl Sockets {
    /// To be called within the runtime.
    pub(super) fn listen(all: Vec<PassedSocket>) -> anyhow::Result<Sockets> {
        let mut sockets = Sockets { are_passed: !all.is_empty(), ..Sockets::default() };
        for PassedSocket { socket, number, name } in all {
            let listener = Listener::inherited(socket);
            let listener =
                listener.with_context(|| format!("socket {number} ({name}) in LISTEN_FDS cannot be used"))?;
            match name.as_str() {
                ADMIN => sockets.admin.push(listener),
                _ => sockets.images.push(listener),
            }
        }
        Ok(sockets)
    }
}

/// Takes ownership of a descriptor.
#[allow(unsafe_code, reason = "descriptors are passed by number")]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: the descriptor is open, since marking it close-on-exec has succeeded. LISTEN_PID confirms that it was passed to
    // this process, which has opened nothing itself so far. It gets an owner here only, once.
    unsafe { OwnedFd::from_raw_fd(number) }
}
