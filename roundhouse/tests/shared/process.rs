//! A real process: started, listened to, signalled, and ended by its own id.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::DEADLINE;

/// A running `roundhouse`. It is killed, by its own process id, when the test is over.
pub(crate) struct Process {
    child: Child,
    name: String,
    lines: mpsc::Receiver<String>,
    errors: Arc<Mutex<String>>,
}

impl Process {
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

/// A process of one role, with the addresses from the line that it prints when it has started.
pub(crate) struct Role {
    pub(crate) process: Process,
    /// Where it serves; an orchestrator only has its ops address.
    pub(crate) url: String,
    /// Where its metrics are.
    pub(crate) ops: String,
}

impl Role {
    pub(crate) fn started(process: Process) -> Self {
        let line = process.line_with(&["http://"]);
        let url = urls(&line).next().expect("an address");
        let ops = urls(&line).last().expect("an address");
        Self {
            process,
            url: url.to_owned(),
            ops: ops.to_owned(),
        }
    }
}
