//! A real redis-server for a test: on a free port, in a directory of its own, ended with the test.
//!
//! Only tests use this, through the feature `testing`. Everything here panics where it fails, as tests do.

mod certificates;
mod cluster;
mod newer;
mod old;
mod sentinels;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use model::FleetName;
use tempfile::TempDir;

pub use certificates::Certificates;
pub use cluster::Cluster;
pub use newer::NewerChange;
pub use old::OldRedis;
pub use sentinels::Sentinels;

/// How many ports are tried: another process may take one between its choice and its use.
const TRIES: usize = 20;
/// Not one of the ports that connections are given: a client that tries to reach a server that is down would
/// otherwise, once in a while, reach itself.
const PORTS: std::ops::Range<u16> = 10_000..32_000;
/// How long a server may take to be ready, or to end.
const DEADLINE: Duration = Duration::from_secs(20);
/// The users of a fleet's Redis, as every deployment has them.
const USERS_TEMPLATE: &str = include_str!("../../../deploy/redis/users.acl.template");

/// A running redis-server. It ends when this is dropped.
#[derive(Debug)]
pub struct RedisServer {
    process: Option<Child>,
    port: u16,
    directory: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts a server that anybody may use.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments: `["--requirepass", "secret"]`.
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::start_in(directory(), arguments)
    }

    /// Starts a server that anybody may use on a port that is known to be free.
    pub fn start_at(port: u16) -> Self {
        let mut server = Self {
            process: None,
            port,
            directory: directory(),
            arguments: Vec::new(),
        };
        server.restart();
        server
    }

    /// Starts a server with a fleet's users: `balancer`, `orchestrator` and `admin`, and besides them only
    /// `root`, who may do everything. Each one's password is `password_of` it.
    pub fn with_users(fleet: &FleetName) -> Self {
        let directory = directory();
        let users = directory.path().join("users.acl");
        let mut rendered = render(USERS_TEMPLATE, fleet);
        let root = password_of("root");
        rendered.push_str(&format!("user root on >{root} ~* &* +@all\n"));
        std::fs::write(&users, rendered).expect("a file for the users");
        let users = users.to_str().expect("a temporary path is text").to_owned();
        Self::start_in(directory, &["--aclfile", &users])
    }

    fn start_in(directory: TempDir, arguments: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            port: 0,
            directory,
            arguments: arguments.iter().map(|text| (*text).into()).collect(),
        };
        for _ in 0..TRIES {
            server.port = free_port();
            server.process = server.spawn();
            if server.process.is_some() {
                return server;
            }
        }
        panic!("redis-server did not start on any of {TRIES} free ports");
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A server with TLS on a port of its own beside the plain one, which the second value names. Whether it
    /// wants a certificate from its clients is among the other arguments.
    pub fn with_tls(certificates: &Certificates, arguments: &[&str]) -> (Self, u16) {
        let port = free_port();
        let files = certificates.server_arguments();
        let mut all = vec!["--tls-port".to_owned(), port.to_string()];
        all.extend(files);
        let all: Vec<_> = all.iter().map(String::as_str).collect();
        (Self::start_with(&[&all, arguments].concat()), port)
    }

    /// The URL, for a server that anybody may use.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    /// The URL for one of a fleet's users.
    pub fn url_of(&self, user: &str) -> String {
        let password = password_of(user);
        format!("redis://{user}:{password}@{}", self.address())
    }

    /// Changes what one of a fleet's users may do.
    pub fn grant(&self, user: &str, right: &str) {
        self.command_as_root(&["ACL", "SETUSER", user, right]);
    }

    /// Sends a command, as a person with a Redis client would, and gives its answer as text.
    pub fn command(&self, words: &[&str]) -> String {
        self.command_at(&self.url(), words)
    }

    /// Sends a command to a server that has a fleet's users.
    pub fn command_as_root(&self, words: &[&str]) -> String {
        self.command_at(&self.url_of("root"), words)
    }

    fn command_at(&self, url: &str, words: &[&str]) -> String {
        let answer: redis::Value = ask(url, words);
        format!("{answer:?}")
    }

    /// Ends the server as a crash would. What it had on disk stays.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            end(process);
        }
    }

    /// Starts a killed server again, on its old port, with what it had on disk.
    pub fn restart(&mut self) {
        self.kill();
        self.process = self.spawn();
        assert!(self.process.is_some(), "port {} is taken", self.port);
    }

    /// Ends the server, takes what it had on disk away, and starts it again on its old port.
    pub fn restart_empty(&mut self) {
        self.kill();
        let data = self.directory.path();
        let gone = std::fs::remove_dir_all(data.join("appendonlydir"));
        // Before Redis 7 it was one file.
        let gone = gone.or_else(|_| std::fs::remove_file(data.join("appendonly.aof")));
        gone.expect("the server had data");
        self.restart();
    }

    /// Holds the server still, as a machine that hangs: connections stay, and nothing answers.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let process = self.process.as_ref().expect("the server is running");
        let process = process.id().to_string();
        let status = Command::new("kill").args([signal, &process]).status();
        assert!(
            status.expect("kill is installed").success(),
            "kill {signal}"
        );
    }

    /// Starts the process and waits until it is ready. Nothing where the port is taken.
    fn spawn(&self) -> Option<Child> {
        let mut command = Command::new("redis-server");
        command
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", ""])
            .args(["--appendonly", "yes", "--appendfsync", "no"])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.arguments);
        launch(command, "Ready to accept connections")
    }

    /// Starts a replica of this server, which anybody may use, and waits until it has what this one has.
    pub fn replica(&self) -> Self {
        self.command(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
        let port = self.port.to_string();
        let replica = Self::start_with(&["--replicaof", "127.0.0.1", &port]);
        self.wait_for_replica();
        replica
    }

    /// Waits until a replica has what this server has.
    fn wait_for_replica(&self) {
        wait_until("the replica has the master's data", || {
            let said = self.command(&["INFO", "replication"]);
            said.contains("state=online")
        });
    }

    /// Where its files are; a socket may be put there.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Starts a redis-server and waits until it says that it is ready. Nothing where its port is taken.
fn launch(mut command: Command, ready: &'static str) -> Option<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = command.spawn().expect("redis-server is installed");
    let output = process.stdout.take().expect("the output is piped");
    let Err(said) = wait_until_ready(output, ready) else {
        return Some(process);
    };
    end(process);
    let taken = said.contains("Address already in use");
    assert!(taken, "redis-server did not start: {said}");
    None
}

/// Asks again until it is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never was so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a command and reads its answer.
fn ask<T: redis::FromRedisValue>(url: &str, words: &[&str]) -> T {
    let client = redis::Client::open(url).expect("a URL");
    let connection = client.get_connection_with_timeout(DEADLINE);
    let mut connection = connection.expect("the server is running");
    let (name, arguments) = words.split_first().expect("a command has a name");
    let answer = redis::cmd(name).arg(arguments).query(&mut connection);
    answer.expect("the server takes the command")
}

/// The password of one of a test server's users.
pub fn password_of(user: &str) -> String {
    format!("the-{user}-password")
}

fn directory() -> TempDir {
    TempDir::new().expect("a temporary directory")
}

/// A port that is free now, and that the kernel gives nobody who asks for any. They come in turn, from a random one on: one that was given
/// and is not in use yet is not given again.
pub fn free_port() -> u16 {
    static TURN: LazyLock<AtomicUsize> =
        LazyLock::new(|| rand::random_range(0..PORTS.len()).into());
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let next = || TURN.fetch_add(1, Ordering::Relaxed) % PORTS.len();
    let mut tries = std::iter::repeat_with(next).take(PORTS.len());
    let port = tries.find_map(|turn| PORTS.clone().nth(turn).filter(free));
    port.expect("a free port")
}

fn end(mut process: Child) {
    process.kill().expect("a child can be killed");
    process.wait().expect("a child can be waited for");
}

/// Reads the server's log until it is ready; what it said where it is not. A thread reads on until the server
/// ends, since a full pipe would block it.
fn wait_until_ready(
    output: impl Read + Send + 'static,
    marker: &'static str,
) -> Result<(), String> {
    let (sender, answer) = mpsc::channel();
    std::thread::spawn(move || {
        let mut said = String::new();
        let mut ready = false;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if !ready && line.contains(marker) {
                ready = true;
                // Nobody waits any more once the deadline has passed.
                let _ = sender.send(Ok(()));
            } else if !ready {
                said.push_str(&line);
                said.push('\n');
            }
        }
        let _ = sender.send(Err(said));
    });
    let answer = answer.recv_timeout(DEADLINE);
    answer.unwrap_or_else(|_| Err(format!("it was not ready within {DEADLINE:?}")))
}

/// Whether the installed Redis knows rights that only read, and selectors: without them a balancer's user may write whatever it
/// may read. Such a one can also not be asked beforehand what a user may do.
pub fn keeps_roles_apart() -> bool {
    let output = Command::new("redis-server").arg("--version").output();
    let said = output.expect("redis-server is installed").stdout;
    !String::from_utf8_lossy(&said).contains("v=6.")
}

/// Makes the template an ACL file, as `deploy/redis/start` does: comments removed, a user's lines joined, the
/// fleet and the passwords filled in, and for Redis 6.2 what it does not know taken away.
fn render(template: &str, fleet: &FleetName) -> String {
    let mut users = String::new();
    for line in template.lines() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        if line.starts_with(char::is_whitespace) {
            users.push(' ');
        } else if !line.is_empty() {
            users.push('\n');
        }
        users.push_str(line.trim_start());
    }
    if !keeps_roles_apart() {
        users = users.replace("%R~", "~").replace(['(', ')'], "");
    }
    let mut users = users.trim_start().replace("@FLEET@", fleet.as_str());
    for user in ["balancer", "orchestrator", "admin"] {
        let placeholder = format!("@{}_PASSWORD@", user.to_uppercase());
        users = users.replace(&placeholder, &format!(">{}", password_of(user)));
    }
    users.push('\n');
    users
}
