//! A master, two replicas, and three Sentinels that watch over them.

use std::collections::HashMap;
use std::process::{Child, Command};

use tempfile::TempDir;

use super::{RedisServer, TRIES, ask, directory, end, free_port, launch, wait_until};

/// What the Sentinels call the master.
const SERVICE: &str = "fleet";

/// They end when this is dropped.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

#[derive(Debug)]
struct Sentinel {
    process: Option<Child>,
    port: u16,
    /// Where its configuration is, which it rewrites.
    _directory: TempDir,
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            end(process);
        }
    }
}

impl Sentinels {
    /// Starts all of them, and waits until each knows of the others.
    pub fn start() -> Self {
        let master = RedisServer::start_with(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port.to_string();
        let follow = ["--replicaof", "127.0.0.1", &port];
        let servers = vec![
            RedisServer::start_with(&follow),
            RedisServer::start_with(&follow),
            master,
        ];
        let master = servers.last().expect("a master");
        wait_until("both replicas have the master's data", || {
            master
                .command(&["INFO", "replication"])
                .matches("state=online")
                .count()
                == 2
        });
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(master.port)).collect();
        wait_until("each Sentinel knows all others and the replicas", || {
            sentinels.iter().all(Sentinel::knows_all)
        });
        Self { servers, sentinels }
    }

    /// The registry's URL: all Sentinels and the service.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(Sentinel::address).collect();
        format!("redis+sentinel://{}/{SERVICE}", hosts.join(","))
    }

    /// The same with another name for the service.
    pub fn url_of(&self, service: &str) -> String {
        let url = self.url();
        let hosts = url.strip_suffix(SERVICE).expect("it ends with the service");
        format!("{hosts}{service}")
    }

    /// The master that there was at the start, which can be killed.
    pub fn first_master(&mut self) -> &mut RedisServer {
        self.servers.last_mut().expect("a master")
    }

    /// Where the master is, as the first Sentinel says.
    pub fn master(&self) -> String {
        let url = format!("redis://{}", self.sentinels[0].address());
        let (host, port): (String, u16) =
            ask(&url, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE]);
        format!("{host}:{port}")
    }

    /// Makes another server the master, as an operator would.
    pub fn fail_over(&self) {
        let url = format!("redis://{}", self.sentinels[0].address());
        let _: redis::Value = ask(&url, &["SENTINEL", "FAILOVER", SERVICE]);
    }

    /// Gives the Sentinels a password, which whoever connects from now on must know, and the user `asker` with
    /// the same one, who may ask for the master and nothing else.
    pub fn protect(&self, password: &str) {
        for sentinel in &self.sentinels {
            let url = format!("redis://{}", sentinel.address());
            let password = format!(">{password}");
            let right = "+sentinel|get-master-addr-by-name";
            let asker = ["ACL", "SETUSER", "asker", "on", &password, right];
            let _: redis::Value = ask(&url, &asker);
            let default = ["ACL", "SETUSER", "default", "resetpass", &password];
            let _: redis::Value = ask(&url, &default);
        }
    }

    /// Ends one of the Sentinels.
    pub fn kill_sentinel(&mut self, index: usize) {
        if let Some(process) = self.sentinels[index].process.take() {
            end(process);
        }
    }
}

impl Sentinel {
    fn start(master: u16) -> Self {
        for _ in 0..TRIES {
            let (port, directory) = (free_port(), directory());
            let file = directory.path().join("sentinel.conf");
            let folder = directory.path().display();
            let configuration = format!(
                "port {port}\nbind 127.0.0.1\ndir {folder}\n\
                 sentinel monitor {SERVICE} 127.0.0.1 {master} 2\n\
                 sentinel down-after-milliseconds {SERVICE} 700\n\
                 sentinel failover-timeout {SERVICE} 3000\n"
            );
            std::fs::write(&file, configuration).expect("a file");
            let mut command = Command::new("redis-server");
            command.arg(file).arg("--sentinel");
            let process = launch(command, "Sentinel ID is");
            if process.is_some() {
                return Self {
                    process,
                    port,
                    _directory: directory,
                };
            }
        }
        panic!("no Sentinel started on any of {TRIES} free ports");
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn knows_all(&self) -> bool {
        let url = format!("redis://{}", self.address());
        let known: HashMap<String, String> = ask(&url, &["SENTINEL", "MASTER", SERVICE]);
        ["num-slaves", "num-other-sentinels"]
            .iter()
            .all(|count| known.get(*count).is_some_and(|known| known == "2"))
    }
}
