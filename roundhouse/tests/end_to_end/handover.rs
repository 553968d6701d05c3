//! Balancers that are replaced by new processes, by hand and as systemd does it, without losing a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use command_fds::{CommandFdExt, FdMapping};
use hyper::StatusCode;
use registry::testing::RedisServer;

use crate::support::{DEADLINE, Http, Load, Process, eventually, free_address, urls};

/// A fleet with one server, whose balancers the tests start.
struct Fleet {
    redis: RedisServer,
    folder: tempfile::TempDir,
    _orchestrator: Process,
    _admin: Process,
    _server: Process,
}

/// A balancer process, and where it serves.
struct Balancer {
    process: Process,
    address: SocketAddr,
    ops: String,
}

impl Fleet {
    fn start() -> Self {
        let redis = RedisServer::start();
        let url = redis.url();
        let any = "127.0.0.1:0";
        let orchestrator = Process::start(&["orchestrator", "--registry", &url, "--ops", any]);
        let admin = [
            "admin-api",
            "--registry",
            &url,
            "--listen",
            any,
            "--ops",
            any,
        ];
        let admin = Process::start(&admin);
        let line = admin.line_with(&["http://"]);
        let server = Process::start(&[
            "demo-server",
            "--name",
            "1",
            "--listen",
            any,
            "--register",
            urls(&line).next().expect("an address"),
        ]);
        server.line_with(&["http://"]);
        Self {
            redis,
            folder: tempfile::tempdir().expect("a folder"),
            _orchestrator: orchestrator,
            _admin: admin,
            _server: server,
        }
    }

    fn path(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        path.to_str().expect("a path in text").to_owned()
    }

    fn arguments(&self, registry: &str, threads: &str) -> Vec<String> {
        let handover = self.path("handover");
        [
            "balancer",
            "--registry",
            registry,
            "--listen",
            "127.0.0.1:0",
            "--ops",
            "127.0.0.1:0",
            "--threads",
            threads,
            "--handover",
            &handover,
        ]
        .map(str::to_owned)
        .into()
    }

    fn launch(&self, registry: &str, threads: &str) -> Process {
        let arguments = self.arguments(registry, threads);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Process::start(&arguments)
    }

    /// Starts a balancer, and returns when it accepts clients.
    fn balancer(&self, threads: &str) -> Balancer {
        Balancer::started(self.launch(&self.redis.url(), threads))
    }

    /// One that already answers with the server's greeting.
    async fn serving(&self, threads: &str) -> Balancer {
        let balancer = self.balancer(threads);
        balancer.serves().await;
        balancer
    }
}

impl Balancer {
    fn started(process: Process) -> Self {
        let line = process.line_with(&["balancer", "http://"]);
        let mut urls = urls(&line);
        let url = urls.next().expect("an address");
        let address = url.trim_start_matches("http://").parse();
        Self {
            process,
            address: address.expect("an address"),
            ops: urls.next().expect("an address").to_owned(),
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn serves(&self) {
        let http = Http::new();
        let url = self.url();
        eventually("the balancer serves", || async {
            http.get(&url).await.status == StatusCode::OK
        })
        .await;
    }
}

/// A request on a connection of its own: what was read, where the connection was refused or nothing came.
fn ask(address: SocketAddr) -> Result<String, String> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)
        .map_err(|error| format!("connecting: {error}"))?;
    let mut answer = String::new();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let asked = stream
        .set_read_timeout(Some(DEADLINE))
        .and_then(|()| stream.write_all(request))
        .and_then(|()| stream.read_to_string(&mut answer));
    asked.map_err(|error| format!("asking: {error}"))?;
    if answer.starts_with("HTTP/1.1 200 ") {
        Ok(answer)
    } else {
        Err(format!("asking: {answer:?}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_is_replaced_ten_times_under_load_and_no_request_fails() {
    let fleet = Fleet::start();
    let mut running = fleet.serving("2").await;
    let load = Load::mixed(&running.url());
    for _ in 0..10 {
        load.proceeds(100).await;
        let next = fleet.balancer("2");
        assert_eq!(next.address, running.address);
        assert_eq!(next.ops, running.ops);
        assert!(running.process.ended().success());
        running = next;
    }
    load.proceeds(100).await;
    load.stop_without_failures().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_process_may_have_other_threads() {
    let fleet = Fleet::start();
    let mut running = fleet.serving("2").await;
    let load = Load::mixed(&running.url());
    for threads in ["4", "1", "3", "5", "2"] {
        load.proceeds(100).await;
        let next = fleet.balancer(threads);
        assert!(running.process.ended().success());
        running = next;
    }
    load.proceeds(100).await;
    load.stop_without_failures().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_before_it_is_ready_changes_nothing() {
    let fleet = Fleet::start();
    let mut running = fleet.serving("2").await;
    let load = Load::mixed(&running.url());
    // No registry answers there, so it is never ready.
    let nowhere = format!("redis://{}", free_address());
    for _ in 0..3 {
        let mut stuck = fleet.launch(&nowhere, "3");
        eventually("it has the listeners", || async {
            stuck.errors().contains("it prepares to take its place")
        })
        .await;
        let mut third = fleet.launch(&fleet.redis.url(), "2");
        assert_eq!(third.ended().code(), Some(1));
        eventually("it says why", || async {
            third
                .errors()
                .contains("another process is taking over already")
        })
        .await;
        load.proceeds(50).await;
        let noticed = running.process.errors().matches("goes on").count();
        stuck.signal("KILL");
        stuck.ended();
        eventually("its end is noticed", || async {
            running.process.errors().matches("goes on").count() > noticed
        })
        .await;
    }
    load.proceeds(50).await;
    let next = fleet.balancer("2");
    assert!(running.process.ended().success());
    load.proceeds(50).await;
    load.stop_without_failures().await;
    drop(next);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_refused_when_the_old_process_is_killed_right_after_the_handover() {
    let fleet = Fleet::start();
    let mut running = fleet.serving("2").await;
    let address = running.address;
    let clients = Arc::new(AtomicBool::new(true));
    let connecting: Vec<_> = (0..4)
        .map(|_| {
            let go_on = Arc::clone(&clients);
            std::thread::spawn(move || {
                while go_on.load(Ordering::Relaxed) {
                    // What was in flight in the process that is killed is lost.
                    if let Err(lost) = ask(address) {
                        assert!(lost.starts_with("asking"), "{lost}");
                    }
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let next = fleet.balancer("2");
        running.process.signal("KILL");
        running.process.ended();
        for _ in 0..20 {
            ask(address).expect("an answer");
        }
        running = next;
    }
    clients.store(false, Ordering::Relaxed);
    for client in connecting {
        client.join().expect("nobody was refused");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_of_a_killed_process_is_no_hindrance() {
    let fleet = Fleet::start();
    let mut running = fleet.serving("2").await;
    running.process.signal("KILL");
    running.process.ended();
    assert!(PathBuf::from(fleet.path("handover")).exists());
    fleet.serving("2").await;
}

/// Starts a balancer as systemd does: with these sockets from descriptor 3 on, the first of which has the name `ops`.
fn activated(fleet: &Fleet, ops: &TcpListener, clients: &[TcpListener], more: &[&str]) -> Process {
    let mut names = vec!["ops"];
    names.extend(clients.iter().map(|_| "http"));
    let variables = format!(
        "LISTEN_FDS={} LISTEN_FDNAMES={} LISTEN_PID=$$ exec \"$@\"",
        names.len(),
        names.join(":")
    );
    let registry = fleet.redis.url();
    let mut command = Command::new("sh");
    command
        .args(["-c", &variables, "sh", env!("CARGO_BIN_EXE_roundhouse")])
        .args(["balancer", "--registry", &registry, "--threads", "2"])
        .args(more);
    let descriptors: Vec<OwnedFd> = std::iter::once(ops)
        .chain(clients)
        .map(|one| one.as_fd().try_clone_to_owned().expect("a descriptor"))
        .collect();
    let mappings = descriptors.into_iter().zip(3..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command
        .fd_mappings(mappings.collect())
        .expect("different descriptors");
    Process::spawn(command)
}

fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").expect("a free port")
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_are_passed_are_used_and_what_comes_between_two_processes_waits() {
    let fleet = Fleet::start();
    let (ops, clients) = (listener(), [listener(), listener()]);
    let addresses = clients
        .each_ref()
        .map(|one| one.local_addr().expect("an address"));
    let start = || activated(&fleet, &ops, &clients, &[]);
    let mut running = Balancer::started(start());
    assert_eq!(running.address, addresses[0]);
    let ops_address = ops.local_addr().expect("an address");
    assert_eq!(running.ops, format!("http://{ops_address}"));
    running.serves().await;
    for _ in 0..3 {
        running.process.signal("TERM");
        assert!(running.process.ended().success());
        // Nobody runs, and nobody is refused.
        let early: Vec<_> = addresses
            .map(|address| std::thread::spawn(move || ask(address)))
            .into();
        running = Balancer::started(start());
        for client in early {
            let answer = client.join().expect("no panic");
            answer.expect("an answer of a server's, although it had to wait");
        }
        running.serves().await;
        for address in addresses {
            ask(address).expect("an answer at each address");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_are_passed_are_handed_over_as_well() {
    let fleet = Fleet::start();
    let (ops, clients) = (listener(), [listener()]);
    let handover = fleet.path("handover");
    let mut running = Balancer::started(activated(
        &fleet,
        &ops,
        &clients,
        &["--handover", &handover],
    ));
    running.serves().await;
    let load = Load::mixed(&running.url());
    for threads in ["1", "3", "2"] {
        load.proceeds(100).await;
        // Started by hand: the sockets come from the process that runs, whatever --listen says.
        let next = fleet.balancer(threads);
        assert_eq!(next.address, running.address);
        assert!(running.process.ended().success());
        running = next;
    }
    load.proceeds(100).await;
    load.stop_without_failures().await;
    running.process.signal("TERM");
    assert!(running.process.ended().success());
    // The test keeps them open as systemd would, so the next start serves them.
    let again = Balancer::started(activated(&fleet, &ops, &clients, &[]));
    again.serves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ops_socket_that_was_passed_alone_is_handed_over_whatever_the_flag_says() {
    let fleet = Fleet::start();
    let listen = [
        "--listen",
        "127.0.0.1:0",
        "--handover",
        &fleet.path("handover"),
    ];
    let mut running = Balancer::started(activated(&fleet, &listener(), &[], &listen));
    let mut arguments = fleet.arguments(&fleet.redis.url(), "1");
    let flag = arguments.iter().position(|one| one == "--ops");
    arguments[flag.expect("the flag") + 1] = free_address().to_string();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let next = Balancer::started(Process::start(&arguments));
    assert_eq!((next.address, &next.ops), (running.address, &running.ops));
    assert!(running.process.ended().success());
}

/// What systemd hears.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(fleet: &Fleet) -> Self {
        let path = fleet.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        Self { socket, path }
    }

    fn hears(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message in time");
        String::from_utf8_lossy(&message[..length]).into_owned()
    }

    /// The main process of the next message that says that one is ready.
    fn hears_of_ready(&self) -> String {
        loop {
            let message = self.hears();
            assert!(!message.contains("STOPPING=1"), "the service does not stop");
            if message.contains("READY=1") {
                let main = message
                    .lines()
                    .find_map(|line| line.strip_prefix("MAINPID="));
                return main.expect("a process").to_owned();
            }
        }
    }
}

/// A process that another one started. It is killed, by its own process id, when the test is over.
struct Grandchild(String);

impl Grandchild {
    fn signal(&self, name: &str) {
        // It may have ended.
        let _ = Command::new("kill").args([name, &self.0]).output();
    }
}

impl Drop for Grandchild {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_and_a_signal_replaces_the_process() {
    let fleet = Fleet::start();
    let manager = Manager::new(&fleet);
    let arguments = fleet.arguments(&fleet.redis.url(), "2");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let variables = [("NOTIFY_SOCKET", manager.path.as_str())];
    let mut first = Balancer::started(Process::start_with(&arguments, &variables));
    assert_eq!(manager.hears_of_ready(), first.process.pid().to_string());
    first.serves().await;
    let load = Load::mixed(&first.url());
    load.proceeds(50).await;
    first.process.signal("USR2");
    let second = Grandchild(manager.hears_of_ready());
    assert_ne!(second.0, first.process.pid().to_string());
    assert!(first.process.ended().success());
    load.proceeds(50).await;
    load.stop_without_failures().await;
    second.signal("-TERM");
    while !manager.hears().contains("STOPPING=1") {}
    eventually("the port is closed", || async {
        TcpStream::connect(first.address).is_err()
    })
    .await;
}
