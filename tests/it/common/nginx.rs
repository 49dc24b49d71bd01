//! A real nginx, started for one test.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::{Address, Answer, Connection, poll};

/// nginx as a single process. Killed when dropped.
pub(crate) struct Nginx {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Nginx {
    /// Starts nginx with the `http` block's contents from `site`, which gets the address to listen on.
    pub(crate) fn start(place: &Path, site: impl Fn(SocketAddr) -> String) -> Nginx {
        // nginx cannot choose a free port; another program may take this one before nginx does
        for _ in 0..5 {
            if let Some(nginx) = Nginx::try_start(place, &site) {
                return nginx;
            }
        }
        let log = std::fs::read_to_string(place.join("error.log")).unwrap_or_default();
        panic!("nginx does not start:\n{log}");
    }

    fn try_start(place: &Path, site: &impl Fn(SocketAddr) -> String) -> Option<Nginx> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port").local_addr().expect("its number");
        let (conf, pid, log) = (place.join("nginx.conf"), place.join("nginx.pid"), place.join("error.log"));
        std::fs::write(&conf, settings(place, &site(port))).expect("a file");
        let mut command = Command::new(program().expect("the test needs nginx"));
        command.arg("-e").arg(&log).arg("-p").arg(place).arg("-c").arg(&conf);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut nginx = Nginx { child: child.expect("nginx starts"), address: port };
        // nginx writes its process id once it listens
        let listens = poll("nginx listens", || match nginx.child.try_wait().expect("it is ours") {
            Some(_) => Some(false),
            None => std::fs::metadata(&pid).is_ok_and(|file| file.len() > 0).then_some(true),
        });
        listens.then_some(nginx)
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(&Address::Tcp(self.address))
    }

    pub(crate) fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.connect().ask(method, target, headers)
    }

    pub(crate) fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", target, headers)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // both fail if it has ended already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn settings(place: &Path, site: &str) -> String {
    let place = place.display();
    format!(
        r#"
daemon off;
master_process off;
pid "{place}/nginx.pid";
error_log "{place}/error.log" info;
events {{ worker_connections 128; }}
http {{
    access_log off;
    client_body_temp_path "{place}/body";
    proxy_temp_path "{place}/proxy";
    fastcgi_temp_path "{place}/fastcgi";
    uwsgi_temp_path "{place}/uwsgi";
    scgi_temp_path "{place}/scgi";
{site}
}}
"#
    )
}

/// The program, where it is installed. Debian keeps it out of the PATH of ordinary users.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|folder| folder.join("nginx")).find(|file| file.is_file())
}
