//! Processes by their arguments, commands run to their end, and a steady load, for the end-to-end tests.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::{Method, StatusCode};

pub(crate) use crate::shared::http::{Answer, Http};
pub(crate) use crate::shared::process::{Process, Role, urls};
pub(crate) use crate::shared::{DEADLINE, eventually};

impl Process {
    /// Starts `roundhouse` with the given arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts `roundhouse` with variables in its environment.
    pub(crate) fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roundhouse"));
        command.args(arguments).envs(variables.iter().copied());
        Self::spawn(command)
    }
}

/// Runs a command to its end: exit code, standard output, standard error.
pub(crate) fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_roundhouse"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary under test runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.code().expect("an exit code"),
        text(output.stdout),
        text(output.stderr),
    )
}

impl Http {
    pub(crate) async fn post(&self, url: &str, body: &str) -> Answer {
        self.send(Method::POST, url, body)
            .await
            .unwrap_or_else(|error| panic!("POST {url}: {error}"))
    }

    pub(crate) async fn delete(&self, url: &str) -> Answer {
        self.send(Method::DELETE, url, "")
            .await
            .unwrap_or_else(|error| panic!("DELETE {url}: {error}"))
    }

    /// The bodies of a number of GETs, one after another, without their line ends.
    pub(crate) async fn bodies(&self, url: &str, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            let answer = self.get(url).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            bodies.push(answer.body.trim_end().to_owned());
        }
        bodies
    }
}

/// Steady GETs over several connections, each answer recorded.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(urls: &[String], connections: usize) -> Self {
        let mut load = Self::new();
        for index in 0..connections {
            load.add(Http::new(), Method::GET, urls[index % urls.len()].clone());
        }
        load
    }

    /// GETs and POSTs, by clients that keep their connections and by clients that do not.
    pub(crate) fn mixed(url: &str) -> Self {
        let mut load = Self::new();
        for _ in 0..3 {
            for http in [Http::new(), Http::without_keeping()] {
                load.add(http.clone(), Method::GET, url.to_owned());
                load.add(http, Method::POST, url.to_owned());
            }
        }
        load
    }

    fn new() -> Self {
        Self {
            stop: Arc::default(),
            sent: Arc::default(),
            failures: Arc::default(),
            clients: Vec::new(),
        }
    }

    fn add(&mut self, http: Http, method: Method, url: String) {
        let stop = Arc::clone(&self.stop);
        let sent = Arc::clone(&self.sent);
        let failures = Arc::clone(&self.failures);
        self.clients.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                match http.send(method.clone(), &url, "").await {
                    Ok(answer) if answer.status == StatusCode::OK => {}
                    Ok(answer) => failures
                        .lock()
                        .expect("no holder panics")
                        .push(format!("{answer:?}")),
                    Err(error) => failures.lock().expect("no holder panics").push(error),
                }
                sent.fetch_add(1, Ordering::Relaxed);
                // A pace, not a wait for anything: an open tap would starve what is tested.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }));
    }

    /// Waits until so many more requests were answered.
    pub(crate) async fn proceeds(&self, requests: u64) {
        let goal = self.sent.load(Ordering::Relaxed) + requests;
        eventually("the load proceeds", || async {
            self.sent.load(Ordering::Relaxed) >= goal
        })
        .await;
    }

    /// Ends the load, of which no request may have failed.
    pub(crate) async fn stop_without_failures(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client does not panic");
        }
        let sent = self.sent.load(Ordering::Relaxed);
        let failures = self.failures.lock().expect("no holder panics");
        let first = failures.first();
        assert!(
            failures.is_empty(),
            "{} of {sent} failed: {first:?}",
            failures.len()
        );
    }
}

/// A port that is free now, and that the kernel gives nobody who asks for any.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], registry::testing::free_port()))
}
