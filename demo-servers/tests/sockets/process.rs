//! The role as a process: its command line, its signals, its exit codes.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::SOON;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_demo-servers"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().expect("the binary runs");
    (status.code(), String::from_utf8(stderr).expect("text"))
}

/// A running process, and the address that it printed. It is killed if the test fails.
struct Running {
    child: Child,
    address: String,
    stderr: BufReader<ChildStderr>,
    /// What was read of standard error.
    errors: String,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = command(arguments);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("the binary starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line
            .trim()
            .rsplit_once("http://")
            .expect("an address")
            .1
            .to_owned();
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let errors = String::new();
        Self {
            child,
            address,
            stderr,
            errors,
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it says something on standard error.
    fn says(&mut self, words: &str) {
        while !self.errors.contains(words) {
            let read = self.stderr.read_line(&mut self.errors).expect("text");
            assert!(
                read > 0,
                "it ended without saying {words:?}: {}",
                self.errors
            );
        }
    }

    /// Waits for its end: exit code and standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + SOON;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        };
        self.stderr.read_to_string(&mut self.errors).expect("text");
        (status.code(), std::mem::take(&mut self.errors))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_wrong_command_line_is_one_line_and_exit_code_2() {
    for (arguments, named) in [
        (["--listne", "127.0.0.1:0"], "--listne"),
        (["--listen", "nonsense"], "nonsense"),
        (["--register", "https://admin"], "https://admin"),
        (["--log", "loud=noise"], "loud=noise"),
        (["--config", "/no/such/file"], "/no/such/file"),
    ] {
        let (code, errors) = run(&mut command(&arguments));
        assert_eq!(code, Some(2), "{errors}");
        assert!(
            errors.starts_with("roundhouse: ") && errors.contains(named),
            "{errors}"
        );
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
}

#[test]
fn a_variable_is_a_flag_too() {
    let (code, errors) = run(command(&[]).env("ROUNDHOUSE_LISTEN", "nonsense"));
    assert_eq!(code, Some(2));
    assert!(
        errors.starts_with("roundhouse: ROUNDHOUSE_LISTEN: "),
        "{errors}"
    );
}

#[test]
fn a_port_in_use_is_one_line_and_exit_code_1() {
    let first = Running::start(&["--listen", "127.0.0.1:0"]);
    let (code, errors) = run(&mut command(&["--listen", &first.address]));
    assert_eq!(code, Some(1));
    let port = first.address.rsplit_once(':').expect("a port").1;
    assert!(
        errors.contains(&format!("port {port}")) && errors.contains("in use"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn either_signal_ends_it_in_order() {
    for signal in ["INT", "TERM"] {
        let running = Running::start(&["--listen", "127.0.0.1:0"]);
        let address = running.address.clone();
        running.signal(signal);
        let (code, errors) = running.end();
        assert_eq!(code, Some(0), "{errors}");
        std::net::TcpListener::bind(&address).expect("the port is free");
    }
}

#[test]
fn a_second_signal_ends_it_at_once_and_says_what_was_not_waited_for() {
    // Nobody listens on port 1: leaving the fleet is tried for some seconds.
    let mut running = Running::start(&[
        "--listen",
        "127.0.0.1:0",
        "--id",
        "s1",
        "--register",
        "http://127.0.0.1:1",
    ]);
    running.signal("INT");
    running.says("stopping");
    running.signal("INT");
    let (code, errors) = running.end();
    assert_eq!(code, Some(1), "{errors}");
    let said = "ended at the second signal, without waiting for the fleet to let go of this server";
    assert!(errors.contains(said), "{errors}");
}
