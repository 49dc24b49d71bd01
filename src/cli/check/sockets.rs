//! The processes that listen on an address, from `/proc`, as far as this user may see them. Parsed here, since `procfs` drops
//! blanks in the paths of sockets.

use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// The process that listens on a port.
pub(super) fn listener(port: u16) -> Option<Process> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let inode = inode_of_port(&read("/proc/net/tcp"), port).or_else(|| inode_of_port(&read("/proc/net/tcp6"), port))?;
    holder(inode)
}

/// The process that listens on a Unix socket.
pub(super) fn unix_listener(path: &Path) -> Option<Process> {
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    holder(inode_of_path(&table, path.to_str()?)?)
}

/// `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 31337 1 …`; 0A is listening.
fn inode_of_port(table: &str, port: u16) -> Option<u64> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = *words.get(3)? == "0A" && words.get(1)?.rsplit(':').next()? == format!("{port:04X}");
        is_it.then(|| words.get(9)?.parse().ok())?
    })
}

/// `ffff8880: 00000002 00000000 00010000 0001 01 4711 /run/tintype.sock`; the flag 00010000 is listening.
fn inode_of_path(table: &str, path: &str) -> Option<u64> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_it = *words.get(3)? == "00010000" && words.get(7..)?.join(" ") == path;
        is_it.then(|| words.get(6)?.parse().ok())?
    })
}

/// The process that has a socket open.
fn holder(inode: u64) -> Option<Process> {
    let wanted = format!("socket:[{inode}]");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let files = std::fs::read_dir(entry.path().join("fd")).ok()?;
        let has_it =
            files.flatten().any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == &*wanted));
        let name = || std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim().to_owned();
        has_it.then(|| Process { pid, name: name() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_the_kernel_are_parsed() {
        let tcp = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 0 0 31337 1 0\n\
                      1: 0100007F:1F91 0100007F:1F90 01 0:0 00:0 0 0 0 31338 1 0\n";
        assert_eq!(inode_of_port(tcp, 8080), Some(31337));
        assert_eq!(inode_of_port(tcp, 8081), None);
        let unix = "Num RefCount\nffff8: 00000002 00000000 00010000 0001 01 4711 /run/my tintype.sock\n\
                    ffff9: 00000002 00000000 00000000 0001 03 4712 /run/other.sock\n";
        assert_eq!(inode_of_path(unix, "/run/my tintype.sock"), Some(4711));
        assert_eq!(inode_of_path(unix, "/run/other.sock"), None);
    }

    #[test]
    fn listener_of_this_process_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        // some sandboxes show no tables
        if let Some(process) = listener(port) {
            assert_eq!(process.pid, std::process::id());
        }
    }
}
