//! Three servers behind nginx with the shipped site, which share results in a real object store.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tintype_testing::object_store::{ACCESS_KEY, ObjectStore, SECRET_KEY};

use crate::common::need::needs;
use crate::common::nginx::Nginx;
use crate::common::site::{text_of, with};
use crate::common::{Address, Answer, Connection, Server, folder, poll, testdata};

struct Cluster {
    nginx: Nginx,
    nodes: [Option<Server>; 3],
    addresses: [SocketAddr; 3],
    store: ObjectStore,
    place: tempfile::TempDir,
}

impl Cluster {
    fn start() -> Cluster {
        let (store, place) = (ObjectStore::start().expect("it is installed"), folder());
        let free = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let addresses = free.each_ref().map(|listener| listener.local_addr().expect("its address"));
        drop(free);
        let nginx = Nginx::start(place.path(), |listen| {
            with(
                text_of("cluster/nginx.conf"),
                &[
                    ("listen 80;", &format!("listen {listen};")),
                    ("listen [::]:80;", ""),
                    ("10.0.0.1:8080", &addresses[0].to_string()),
                    ("10.0.0.2:8080", &addresses[1].to_string()),
                    ("10.0.0.3:8080", &addresses[2].to_string()),
                ],
            )
        });
        let mut cluster = Cluster { nginx, nodes: [None, None, None], addresses, store, place };
        (0..3).for_each(|number| cluster.start_node(number));
        cluster
    }

    fn start_node(&mut self, number: usize) {
        let cache = self.place.path().join(format!("cache-{number}"));
        let (bucket, endpoint) = (self.store.location("results"), self.store.endpoint());
        let settings = [
            ("TINTYPE_SHARED_BUCKET", bucket.as_str()),
            ("TINTYPE_SHARED_ENDPOINT", &endpoint),
            ("TINTYPE_SHARED_ACCESS_KEY", ACCESS_KEY),
            ("TINTYPE_SHARED_SECRET_KEY", SECRET_KEY),
            ("TINTYPE_SHARED_KEY", "a secret of all three"),
        ];
        let listen = self.addresses[number].to_string();
        let server = Server::start_with(&testdata(), &cache, &listen, &settings);
        self.nodes[number] = Some(server);
    }

    /// Ends a server without notice.
    fn kill(&mut self, number: usize) {
        let mut node = self.nodes[number].take().expect("it runs");
        node.signal(Signal::KILL);
        node.wait();
    }

    /// The renders of all running servers.
    fn renders(&self) -> f64 {
        self.nodes.iter().flatten().map(|node| node.metric("tintype_renders_total")).sum()
    }
}

/// URLs of several originals and sizes.
fn urls(first: usize, count: usize) -> Vec<String> {
    let names = ["coffee.png", "chelsea.png", "rocket.jpg", "astronaut.png"];
    (0..count).map(|at| format!("/photos/{}?width={}&format=webp", names[at % names.len()], first + at)).collect()
}

fn ask(address: SocketAddr, target: &str) -> Answer {
    Connection::open(&Address::Tcp(address)).ask("GET", target, &[])
}

#[test]
fn cold_url_is_rendered_once_in_the_cluster() {
    needs!(Nginx, ObjectStore);
    let cluster = Cluster::start();
    let (urls, address) = (urls(60, 12), cluster.nginx.address);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| urls.iter().for_each(|url| assert_eq!(ask(address, url).status, 200, "{url}")));
        }
    });
    assert_eq!(cluster.renders(), 12.0);
    let busy = cluster.nodes.iter().flatten().filter(|node| node.metric("tintype_renders_total") > 0.0).count();
    assert!(busy > 1, "the originals are on several servers");
}

#[test]
fn killed_server_fails_no_request_and_its_results_are_in_the_store() {
    needs!(Nginx, ObjectStore);
    let mut cluster = Cluster::start();
    let (urls, address) = (urls(40, 24), cluster.nginx.address);
    let bodies: Vec<Vec<u8>> = urls.iter().map(|url| ask(address, url).body).collect();
    let renders = cluster.renders();
    let stored = |cluster: &Cluster| {
        let puts = cluster.nodes.iter().flatten().map(|node| {
            let text = node.get("/-/metrics", &[]).text();
            let put = r#"tintype_shared_requests_total{op="put",result="stored"} "#;
            text.lines().find_map(|line| line.strip_prefix(put)).map_or(0.0, |value| value.parse().expect("a number"))
        });
        puts.sum::<f64>()
    };
    poll("all results in the store", || (stored(&cluster) >= renders).then_some(()));

    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (urls, bodies, stop, asked) = (&urls, &bodies, &stop, &asked);
            scope.spawn(move || {
                for at in (thread..urls.len()).cycle() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = ask(address, &urls[at]);
                    assert_eq!(answer.status, 200, "{}", answer.head);
                    assert!(answer.body == bodies[at], "{} has other bytes", urls[at]);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 0..3 {
            let before = asked.load(Ordering::Relaxed);
            cluster.kill(number);
            poll("requests meanwhile", || (asked.load(Ordering::Relaxed) > before + 100).then_some(()));
            cluster.start_node(number);
            // nginx leaves a server out for five seconds
            std::thread::sleep(Duration::from_secs(6));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(cluster.renders(), 0.0, "each server was started again, and rendered nothing since");
}

#[test]
fn results_survive_the_disks_of_all_servers() {
    needs!(Nginx, ObjectStore);
    let mut cluster = Cluster::start();
    let (urls, address) = (urls(50, 12), cluster.nginx.address);
    let etags: Vec<String> = urls.iter().map(|url| ask(address, url).header("etag")).collect();
    for number in 0..3 {
        // results on their way are written before the end
        assert!(cluster.nodes[number].take().expect("it runs").stop().success());
        std::fs::remove_dir_all(cluster.place.path().join(format!("cache-{number}"))).expect("a cache");
        cluster.start_node(number);
    }
    for (url, etag) in urls.iter().zip(&etags) {
        let answer = ask(address, url);
        assert_eq!((answer.status, &answer.header("etag")), (200, etag), "{url}");
        assert_eq!(answer.header("cache-status"), "tintype; hit; detail=shared", "{url}");
    }
    assert_eq!(cluster.renders(), 0.0);
}
