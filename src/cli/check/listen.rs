//! Checks the addresses to listen on: whether they can be bound.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Subject;
use super::paths::{barrier, facts, why_not_written};
use super::report::Report;
use super::sockets;
use super::users::{SEARCH, UnixUser, WRITE, group_name};
use crate::cache::preflight;
use crate::config::fixed::Server;

/// The longest path of a socket, without the NUL behind it (unix(7)).
const LONGEST_PATH: usize = 107;

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let server = &subject.config.fixed.server;
    one(subject, "server.listen", &server.listen, report);
    playground(server, report);
    if server.admin_listen.is_empty() {
        return;
    }
    if server.admin_listen == server.listen && !server.listen.ends_with(":0") {
        report.error(
            "server.admin_listen",
            format!("{} is the address of server.listen as well", server.listen),
            "server.admin_listen = \"\" puts /-/ on the main listener; or use another port",
        );
        return;
    }
    one(subject, "server.admin_listen", &server.admin_listen, report);
}

/// The playground shows the names of all originals to every client that reaches it.
fn playground(server: &Server, report: &mut Report) {
    let address = if server.admin_listen.is_empty() { &server.listen } else { &server.admin_listen };
    let is_local = |address: &SocketAddr| address.ip().is_loopback();
    let is_open = address.to_socket_addrs().is_ok_and(|mut addresses| !addresses.all(|address| is_local(&address)));
    if server.playground && is_open {
        report.warning(
            "server.playground",
            format!("each client that reaches {address} sees the names of all originals, and may cause renders"),
            "server.playground = false; or server.admin_listen = \"127.0.0.1:9000\"",
        );
    }
}

fn one(subject: &Subject, about: &'static str, address: &str, report: &mut Report) {
    match address.strip_prefix("unix:") {
        Some(path) => unix(subject, about, Path::new(path), report),
        None => tcp(subject, about, address, report),
    }
}

fn tcp(subject: &Subject, about: &'static str, address: &str, report: &mut Report) {
    let addresses: Vec<SocketAddr> = match address.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
            report.error(
                about,
                format!("{host} does not resolve: {error}"),
                format!("getent hosts {host}; or {about} = \"127.0.0.1:8080\""),
            );
            return;
        }
    };
    // as the server does: the first that can be bound
    let Some(error) = addresses.iter().try_fold(None, |_, address| TcpListener::bind(address).err().map(Some)) else {
        report.ok(about, format!("{address} is available"));
        return;
    };
    let port = addresses.first().map_or(0, SocketAddr::port);
    match error.as_ref().map(std::io::Error::kind) {
        Some(ErrorKind::AddrInUse) => in_use(subject, about, address, sockets::listener(port), report),
        Some(ErrorKind::AddrNotAvailable) => report.error(
            about,
            format!("{address} is not an address of this machine"),
            format!("ip address; or {about} = \"127.0.0.1:{port}\", or 0.0.0.0:{port} for all of them"),
        ),
        Some(ErrorKind::PermissionDenied) => report.error(
            about,
            format!("port {port} is privileged, and {} may not bind it", subject.own),
            format!(
                "{about} = \"127.0.0.1:8080\" behind nginx; or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
            ),
        ),
        _ => {
            let why = error.map_or_else(|| "no address found".into(), |error| error.to_string());
            report.error(about, format!("cannot bind {address}: {why}"), format!("{about} = \"127.0.0.1:8080\""));
        }
    }
}

/// An address in use is no error if the service of these settings has it.
fn in_use(subject: &Subject, about: &'static str, address: &str, by: Option<sockets::Process>, report: &mut Report) {
    let holder = subject.config.fixed.cache.folder().and_then(preflight::holder).and_then(|holder| holder.pid);
    let who = by.as_ref().map_or_else(|| "another process".into(), |by| format!("{} (process {})", by.name, by.pid));
    if by.as_ref().is_some_and(|by| Some(by.pid) == holder) {
        report.ok(about, format!("{address} is in use by {who}, the running service of these settings"));
        return;
    }
    let fix = match &by {
        Some(by) => format!("stop it (systemctl status {}), or set another port with {about}", by.pid),
        None => format!("ss -ltnp; stop it, or set another port with {about}"),
    };
    report.error(about, format!("{address} is already in use by {who}"), fix);
}

fn unix(subject: &Subject, about: &'static str, path: &Path, report: &mut Report) {
    let shown = path.display();
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        report.error(
            about,
            format!("the path of the socket is too long ({length} bytes, at most {LONGEST_PATH}): {shown}"),
            format!("{about} = \"unix:/run/tintype/tintype.sock\""),
        );
        return;
    }
    let Some(folder) = path.parent() else { return };
    let (socket, folder_shown) = (path.symlink_metadata(), folder.display());
    let created_by_systemd = "RuntimeDirectory=tintype in the unit creates /run/tintype";
    if !folder.is_dir() {
        let (cause, fix) = barrier(&subject.own, folder, SEARCH)
            .unwrap_or_else(|| (format!("{folder_shown} is not a folder"), format!("remove {folder_shown}")));
        report.error(about, format!("cannot create the socket: {cause}"), format!("{fix}; {created_by_systemd}"));
        return;
    }
    match &socket {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            report.error(
                about,
                format!("{shown} exists and is not a socket"),
                format!("remove it, or set another path with {about}"),
            );
            return;
        }
        Ok(_) => match UnixStream::connect(path).map_err(|error| error.kind()) {
            Ok(_) => return in_use(subject, about, &format!("unix:{shown}"), sockets::unix_listener(path), report),
            Err(ErrorKind::ConnectionRefused) => {
                report.info(about, format!("{shown} is a stale socket of a killed process; serve replaces it"));
            }
            Err(_) => {}
        },
        Err(_) => {}
    }
    match tempfile::Builder::new().prefix(".tintype-probe").tempfile_in(folder) {
        Ok(_) => report.ok(about, format!("unix:{shown} is available")),
        Err(error) => {
            let (cause, fix) =
                why_not_written(&subject.own, &subject.mounts, folder, error_of(&error).as_ref().unwrap_or(&error));
            report.error(about, format!("cannot create the socket: {cause}"), format!("{fix}; {created_by_systemd}"));
        }
    }
}

/// The system's error, which tempfile wraps with the path.
fn error_of(error: &std::io::Error) -> Option<std::io::Error> {
    use std::error::Error;
    let inner = error.source()?.downcast_ref::<std::io::Error>()?;
    Some(inner.raw_os_error().map_or_else(|| inner.kind().into(), std::io::Error::from_raw_os_error))
}

/// Whether a user may connect to a socket, which needs search permission on its folders and write permission on it.
pub(super) fn reachable(subject: &Subject, user: &UnixUser, path: &Path, report: &mut Report) {
    const ABOUT: &str = "nginx";
    let shown = path.display();
    let Some(folder) = path.parent() else { return };
    if let Some((cause, fix)) = barrier(user, folder, SEARCH) {
        report.error(ABOUT, format!("{} cannot connect to {shown}: {cause}", user.name), fix);
        return;
    }
    if let Ok(metadata) = std::fs::metadata(path) {
        if user.can_access(WRITE, &metadata) {
            report.ok(ABOUT, format!("{} can connect to {shown}", user.name));
        } else {
            let cause =
                format!("{} cannot connect to {shown}, which needs write permission: {}", user.name, facts(&metadata));
            report.error(ABOUT, cause, user.suggest_group(metadata.gid()));
        }
        return;
    }
    // the permissions that serve will set
    let above = std::fs::metadata(folder).ok();
    let own_group = subject.own.groups.first().copied().unwrap_or_default();
    let group = above.filter(|folder| folder.mode() & 0o2000 != 0).map_or(own_group, |folder| folder.gid());
    let mode = subject.config.fixed.server.socket_mode.0;
    if user.can_access_mode(WRITE, mode, subject.own.uid, group) {
        report.ok(ABOUT, format!("{} will be able to connect to {shown}", user.name));
    } else {
        report.error(
            ABOUT,
            format!(
                "{} will not be able to connect to {shown}: serve creates it with owner {}, group {}, mode {mode:04o}",
                user.name,
                subject.own,
                group_name(group)
            ),
            format!("{}; or chgrp {} {} and chmod g+s it", user.suggest_group(group), user.name, folder.display()),
        );
    }
}
