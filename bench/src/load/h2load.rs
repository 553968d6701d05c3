//! HTTP/2 within TLS by h2load, of nghttp2: a client that many others use, and that leaves its core as little to do as can be.
//!
//! It opens no connection in place of one that a proxy ends, so that no proxy may bound how many requests a connection makes. It tells
//! no quantile of the times that requests took.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Report;
use crate::Error;
use crate::identity::HOST;
use crate::peers::OTHER_CORE;
use crate::process::Launch;
use crate::usage::{Cpu, Memory};

/// A load of many streams.
#[derive(Debug, Clone)]
pub(crate) struct Streaming {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// Requests that are under way on each at the same time.
    pub(crate) streams: usize,
    /// How long it goes on before anything counts.
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// The process whose use is counted.
    pub(crate) watch: u32,
}

/// What h2load says of a load.
#[derive(Debug, PartialEq)]
struct Said {
    /// Answers with a status of 2xx.
    requests: u64,
    failures: u64,
}

impl Streaming {
    /// Carries it out, with h2load's files in the folder. Processor time is that of the whole run, its few handshakes included.
    pub(crate) fn run(&self, folder: &Path) -> Result<Report, Error> {
        self.ask_for(self.warm_up, folder)?;
        let before = Cpu::of(self.watch)?;
        let said = self.ask_for(self.duration, folder)?;
        let cpu = Cpu::of(self.watch)?.since(before);
        Ok(Report {
            seconds: self.duration.as_secs_f64(),
            requests: said.requests,
            failures: said.failures,
            resumed: 0,
            cpu_ns: cpu.total_ns,
            user_share: cpu.user_share(),
            latencies: None,
            peak_kib: Memory::of(self.watch)?.peak,
        })
    }

    fn ask_for(&self, duration: Duration, folder: &Path) -> Result<Said, Error> {
        let launch = Launch::new("h2load", OTHER_CORE, "h2load", folder);
        let text = launch.args(self.arguments(duration)).output()?;
        parse(&text)
    }

    fn arguments(&self, duration: Duration) -> Vec<String> {
        vec![
            format!("--clients={}", self.connections),
            format!("--max-concurrent-streams={}", self.streams),
            format!("--duration={}ms", duration.as_millis().max(1)),
            "--tls13-ciphers=TLS_AES_128_GCM_SHA256".into(),
            format!("--connect-to={}", self.address),
            format!("https://{HOST}:{}/", self.address.port()),
        ]
    }
}

/// Fails where it spoke anything but HTTP/2 over TLS 1.3, or says something else than what is known of it.
fn parse(text: &str) -> Result<Said, Error> {
    for (what, wanted) in [
        ("TLS Protocol: ", "TLSv1.3"),
        ("Application protocol: ", "h2"),
    ] {
        let spoken = after(text, what).unwrap_or("nothing");
        if spoken != wanted {
            let said = format!("h2load spoke {spoken} instead of {wanted}");
            return Err(Error::Unfit(said));
        }
    }
    read(text).ok_or_else(|| Error::Unfit(format!("h2load says what nobody knows:\n{text}")))
}

fn read(text: &str) -> Option<Said> {
    let ended = counted(after(text, "requests: ")?, "done")?;
    let requests = counted(after(text, "status codes: ")?, "2xx")?;
    Some(Said {
        requests,
        failures: ended.checked_sub(requests)?,
    })
}

/// The rest of the line that begins so.
fn after<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(beginning))
}

/// The number before a word, in `5 total, 4 started`.
fn counted(list: &str, word: &str) -> Option<u64> {
    let parts = list.split(", ").filter_map(|part| part.split_once(' '));
    let mut numbers = parts.filter(|(_, of)| *of == word);
    numbers.next()?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "starting benchmark...
TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Application protocol: h2

finished in 1.50s, 57870.00 req/s, 3.92MB/s
requests: 86805 total, 87205 started, 86805 done, 86803 succeeded, 2 failed, 2 errored, 0 timeout
status codes: 86800 2xx, 0 3xx, 0 4xx, 3 5xx
";

    #[test]
    fn what_was_answered_otherwise_or_not_at_all_is_a_failure() {
        let said = Said {
            requests: 86_800,
            failures: 5,
        };
        assert_eq!(parse(TEXT).expect("it is known"), said);
    }

    #[test]
    fn another_protocol_is_no_measurement() {
        for (spoken, other) in [("TLSv1.3", "TLSv1.2"), ("l: h2", "l: http/1.1")] {
            let error = parse(&TEXT.replace(spoken, other)).expect_err("it is not HTTP/2");
            assert!(error.to_string().contains("instead of"), "{error}");
        }
    }

    #[test]
    fn what_is_not_known_is_shown() {
        let error = parse(&TEXT.replace("status", "state")).expect_err("it is not known");
        assert!(error.to_string().contains("state codes"), "{error}");
    }
}
