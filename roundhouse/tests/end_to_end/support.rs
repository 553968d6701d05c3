//! Real processes, a plain HTTP client and a steady load, for the end-to-end tests.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long anything may take before a test gives up. Generous: the machines are shared.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A running `roundhouse`. It is killed, by its own process id, when the test is over.
pub(crate) struct Process {
    child: Child,
    name: String,
    lines: mpsc::Receiver<String>,
    errors: Arc<Mutex<String>>,
}

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

    /// Starts a command that is `roundhouse`, or becomes it.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let name = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary under test starts");
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        collect(child.stderr.take().expect("a pipe"), errors.clone());
        Self {
            child,
            name,
            lines,
            errors,
        }
    }

    /// The next line of its output that holds all of the given words.
    pub(crate) fn line_with(&self, words: &[&str]) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if words.iter().all(|word| line.contains(word)) => return line,
                Ok(_) => {}
                Err(error) => panic!(
                    "{}: no line with {words:?}: {error}\n{}",
                    self.name,
                    self.errors()
                ),
            }
        }
    }

    /// What it has written to standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().expect("no holder panics").clone()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(
            status.expect("kill runs").success(),
            "kill -{name} {}",
            self.name
        );
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end\n{}",
                self.name,
                self.errors()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.errors());
        }
    }
}

fn collect(mut pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            into.lock()
                .expect("no holder panics")
                .push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    });
}

/// The URLs in a line that a process printed.
pub(crate) fn urls(line: &str) -> impl Iterator<Item = &str> {
    line.split_whitespace()
        .filter(|word| word.starts_with("http://"))
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

/// An HTTP client that keeps its connections, as browsers and services do.
#[derive(Clone)]
pub(crate) struct Http(Client<HttpConnector, Full<Bytes>>);

/// What was answered.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Http {
    pub(crate) fn new() -> Self {
        Self(
            Client::builder(TokioExecutor::new())
                .retry_canceled_requests(false)
                .build_http(),
        )
    }

    /// One that takes a new connection for each request.
    pub(crate) fn without_keeping() -> Self {
        Self(
            Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .retry_canceled_requests(false)
                .build_http(),
        )
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        body: &str,
    ) -> Result<Answer, String> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json")
            .body(Full::from(body.to_owned()))
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let response = self
                .0
                .request(request)
                .await
                .map_err(|error| format!("{error:?}"))?;
            let status = response.status();
            let body = response
                .into_body()
                .collect()
                .await
                .map_err(|error| format!("{error:?}"))?;
            Ok(Answer {
                status,
                body: String::from_utf8_lossy(&body.to_bytes()).into(),
            })
        };
        tokio::time::timeout(DEADLINE, exchange)
            .await
            .map_err(|_| format!("{url}: no answer"))?
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send(Method::GET, url, "")
            .await
            .unwrap_or_else(|error| panic!("GET {url}: {error}"))
    }

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

/// Waits until a condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = Instant::now() + DEADLINE;
    while !condition().await {
        assert!(Instant::now() < deadline, "it never came true that {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
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

/// A port that is free now.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}
