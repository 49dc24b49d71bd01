//! The addresses to listen on: whether they can be had.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::Subject;
use super::paths::{barrier, facts, why_not_written};
use super::people::{Person, SEARCH, WRITE, group_name};
use super::report::Report;
use super::sockets;
use crate::cache::preflight;

/// The longest path of a socket, without the NUL behind it (unix(7)).
const LONGEST_PATH: usize = 107;

pub(super) fn check(subject: &Subject, report: &mut Report) {
    let server = &subject.config.fixed.server;
    one(subject, "server.listen", &server.listen, report);
    if server.admin_listen.is_empty() {
        return;
    }
    if server.admin_listen == server.listen && !server.listen.ends_with(":0") {
        report.error(
            "server.admin_listen",
            format!("{} is server.listen already", server.listen),
            "server.admin_listen = \"\" puts /-/ on the main listener; or take another port",
        );
        return;
    }
    one(subject, "server.admin_listen", &server.admin_listen, report);
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
                format!("{host} has no address: {error}"),
                format!("getent hosts {host}; or {about} = \"127.0.0.1:8080\""),
            );
            return;
        }
    };
    // as the server does: the first that can be had
    let Some(error) = addresses.iter().try_fold(None, |_, address| TcpListener::bind(address).err().map(Some)) else {
        report.ok(about, format!("{address} can be listened on"));
        return;
    };
    let port = addresses.first().map_or(0, SocketAddr::port);
    match error.as_ref().map(std::io::Error::kind) {
        Some(ErrorKind::AddrInUse) => taken(subject, about, address, sockets::listener(port), report),
        Some(ErrorKind::AddrNotAvailable) => report.error(
            about,
            format!("{address} is no address of this machine"),
            format!("ip address; or {about} = \"127.0.0.1:{port}\", or 0.0.0.0:{port} for all that it has"),
        ),
        Some(ErrorKind::PermissionDenied) => report.error(
            about,
            format!("port {port} is privileged, and this runs as {}", subject.own.shown()),
            format!(
                "{about} = \"127.0.0.1:8080\" behind nginx; or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit"
            ),
        ),
        _ => {
            let why = error.map_or_else(|| "no address was found".into(), |error| error.to_string());
            report.error(
                about,
                format!("{address} cannot be listened on: {why}"),
                format!("{about} = \"127.0.0.1:8080\""),
            );
        }
    }
}

/// What is taken by the very service that these settings are of is no fault.
fn taken(subject: &Subject, about: &'static str, address: &str, by: Option<sockets::Process>, report: &mut Report) {
    let holder = subject.config.fixed.cache.folder().and_then(preflight::holder).and_then(|holder| holder.pid);
    let who = by.as_ref().map_or_else(|| "another process".into(), |by| format!("{} (process {})", by.name, by.pid));
    if by.as_ref().is_some_and(|by| Some(by.pid) == holder) {
        report.ok(
            about,
            format!("{address} is listened on by {who}, which has the cache folder of these settings: it runs"),
        );
        return;
    }
    let mend = match &by {
        Some(by) => format!("stop it (systemctl status {}), or take another port with {about}", by.pid),
        None => format!("ss -ltnp; stop it, or take another port with {about}"),
    };
    report.error(about, format!("{address} is taken by {who}"), mend);
}

fn unix(subject: &Subject, about: &'static str, path: &Path, report: &mut Report) {
    let shown = path.display();
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        report.error(
            about,
            format!("the path of the socket has {length} bytes, and a socket's may have {LONGEST_PATH}: {shown}"),
            format!("{about} = \"unix:/run/tintype/tintype.sock\""),
        );
        return;
    }
    let Some(folder) = path.parent() else { return };
    let (socket, folder_shown) = (path.symlink_metadata(), folder.display());
    let made_by_systemd = "RuntimeDirectory=tintype in the unit makes /run/tintype";
    if !folder.is_dir() {
        let (cause, mend) = barrier(&subject.own, folder, SEARCH).unwrap_or_else(|| {
            (format!("{folder_shown} is a file where a folder should be"), format!("remove {folder_shown}"))
        });
        report.error(
            about,
            format!("the folder of the socket cannot be used: {cause}"),
            format!("{mend}; {made_by_systemd}"),
        );
        return;
    }
    match &socket {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            report.error(
                about,
                format!("{shown} is there and is no socket"),
                format!("remove it, or take another path with {about}"),
            );
            return;
        }
        Ok(_) => match UnixStream::connect(path).map_err(|error| error.kind()) {
            Ok(_) => return taken(subject, about, &format!("unix:{shown}"), sockets::unix_listener(path), report),
            Err(ErrorKind::ConnectionRefused) => {
                report
                    .info(about, format!("{shown} was left behind by a process that was killed; serve takes it over"));
            }
            Err(_) => {}
        },
        Err(_) => {}
    }
    match tempfile::Builder::new().prefix(".tintype-probe").tempfile_in(folder) {
        Ok(_) => report.ok(about, format!("unix:{shown} can be listened on")),
        Err(error) => {
            let (cause, mend) =
                why_not_written(&subject.own, &subject.mounts, folder, error_of(&error).as_ref().unwrap_or(&error));
            report.error(about, format!("the socket cannot be made: {cause}"), format!("{mend}; {made_by_systemd}"));
        }
    }
}

/// The system's error; tempfile wraps it with the path.
fn error_of(error: &std::io::Error) -> Option<std::io::Error> {
    use std::error::Error;
    let inner = error.source()?.downcast_ref::<std::io::Error>()?;
    Some(inner.raw_os_error().map_or_else(|| inner.kind().into(), std::io::Error::from_raw_os_error))
}

/// Whether somebody may connect to a socket: go to it, and write to it.
pub(super) fn reachable(subject: &Subject, person: &Person, path: &Path, report: &mut Report) {
    const ABOUT: &str = "nginx";
    let shown = path.display();
    let Some(folder) = path.parent() else { return };
    if let Some((cause, mend)) = barrier(person, folder, SEARCH) {
        report.error(ABOUT, format!("{} cannot connect to {shown}: {cause}", person.name), mend);
        return;
    }
    if let Ok(metadata) = std::fs::metadata(path) {
        if person.may(WRITE, &metadata) {
            report.ok(ABOUT, format!("{} may connect to {shown}", person.name));
        } else {
            let cause =
                format!("{} cannot connect to {shown}, for which it has to write: {}", person.name, facts(&metadata));
            report.error(ABOUT, cause, person.joins(metadata.gid()));
        }
        return;
    }
    // as serve will make it
    let above = std::fs::metadata(folder).ok();
    let own_group = subject.own.groups.first().copied().unwrap_or_default();
    let group = above.filter(|folder| folder.mode() & 0o2000 != 0).map_or(own_group, |folder| folder.gid());
    let mode = subject.config.fixed.server.socket_mode.0;
    if person.may_with(WRITE, mode, subject.own.uid, group) {
        report.ok(ABOUT, format!("{} will be able to connect to {shown}", person.name));
    } else {
        report.error(
            ABOUT,
            format!(
                "{} will not be able to connect to {shown}: serve makes it for {} and the group {}, mode {mode:04o}",
                person.name,
                subject.own.shown(),
                group_name(group)
            ),
            format!("{}; or chgrp {} {} and chmod g+s it", person.joins(group), person.name, folder.display()),
        );
    }
}
