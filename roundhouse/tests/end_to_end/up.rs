//! `roundhouse up` on free ports: a whole fleet for the tests that need no process of its own for each role.

use std::process::Command;

use crate::support::{Http, Process, urls};

/// The flags that say where something listens.
const LISTENERS: [&str; 5] = [
    "--listen",
    "--balancer-ops",
    "--admin",
    "--orchestrator-ops",
    "--server-listen",
];

/// A running `roundhouse up`, with the addresses that it printed.
pub(crate) struct Up {
    pub(crate) process: Process,
    pub(crate) balancers: Vec<String>,
    pub(crate) admin: String,
    pub(crate) servers: Vec<String>,
}

impl Up {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::of(Command::new(env!("CARGO_BIN_EXE_roundhouse")), arguments)
    }

    /// In a process that may have so many files open.
    pub(crate) fn with_files(most: usize, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        let limited = format!("ulimit -n {most}; exec \"$@\"");
        shell.args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_roundhouse")]);
        Self::of(shell, arguments)
    }

    fn of(mut command: Command, arguments: &[&str]) -> Self {
        command.arg("up");
        for flag in LISTENERS {
            command.args([flag, "127.0.0.1:0"]);
        }
        command.args(arguments);
        let process = Process::spawn(command);
        let (mut balancers, mut servers, mut admin) = (Vec::new(), Vec::new(), None);
        loop {
            let line = process.line_with(&[]);
            let address = urls(&line).next().map(str::to_owned);
            match line.split_whitespace().next() {
                Some("balancer") => balancers.extend(address),
                Some("server") => servers.extend(address),
                Some("admin") => admin = address,
                Some("Ctrl-C") => break,
                _ => {}
            }
        }
        Self {
            process,
            balancers,
            admin: admin.expect("an admin API"),
            servers,
        }
    }

    pub(crate) fn servers_url(&self) -> String {
        format!("{}/v1/pools/default/servers", self.admin)
    }

    pub(crate) async fn health_of(&self, http: &Http, id: &str) -> String {
        let answer = http.get(&format!("{}/{id}", self.servers_url())).await;
        answer.json()["health"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}
