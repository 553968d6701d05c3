//! On what, and with which versions, a comparison ran.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::peers::{Peer, Places};

/// What the figures hold for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    /// Whether anything but loopback is there, and so perhaps a packet filter with a part in every figure.
    pub(crate) network: String,
    pub(crate) date: String,
    /// Names and versions of what was compared.
    pub(crate) versions: Vec<(String, String)>,
}

impl Machine {
    /// A table of it for a page: with more rows, and then the versions.
    pub(crate) fn table(&self, more: &[(&str, String)]) -> String {
        let mut text = format!(
            "\n| | |\n|---|---|\n| date | {} |\n| machine | {}, {} cores, {} GiB |\n| kernel | {} |\n",
            self.date, self.processor, self.cores, self.memory_gib, self.kernel
        );
        for (name, value) in more {
            let _ = writeln!(text, "| {name} | {value} |");
        }
        for (name, version) in &self.versions {
            let _ = writeln!(text, "| {name} | {version} |");
        }
        text
    }

    /// This one, today. What cannot be found out is left empty.
    pub(crate) fn here(peers: &[Peer], places: &Places) -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: u64 = field(&memory, "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .unwrap_or(0);
        Self {
            processor: field(&cpu, "model name").unwrap_or_default().into(),
            cores: std::thread::available_parallelism()
                .map_or(0, usize::from)
                .max(cpu.matches("processor\t").count()),
            memory_gib: kib >> 20,
            kernel: said("uname", &["-sr"]),
            network: network(&fs::read_to_string("/proc/self/net/dev").unwrap_or_default()).into(),
            date: said("date", &["-u", "+%Y-%m-%d"]),
            versions: peers
                .iter()
                .map(|peer| (peer.name().to_string(), version(*peer, places)))
                .collect(),
        }
    }
}

/// The value behind a name and a colon.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// What the list of network devices says.
fn network(devices: &str) -> &'static str {
    let mut names = devices
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim());
    if names.all(|name| name == "lo") {
        "a namespace of its own: loopback, and no packet filter"
    } else {
        "the host's, with its packet filter if it has one"
    }
}

fn version(peer: Peer, places: &Places) -> String {
    match peer {
        Peer::Roundhouse => {
            let version = said(&places.roundhouse.to_string_lossy(), &["--version"]);
            let commit = said("git", &["rev-parse", "--short", "HEAD"]);
            format!(
                "{}, commit {commit}",
                version.trim_start_matches("roundhouse ")
            )
        }
        Peer::Nginx => said("nginx", &["-v"]).replace("nginx version: nginx/", ""),
        Peer::Haproxy => said("haproxy", &["-v"])
            .split_whitespace()
            .nth(2)
            .unwrap_or_default()
            .into(),
        Peer::Envoy => {
            let text = said(&places.envoy.to_string_lossy(), &["--version"]);
            envoy_version(&text).into()
        }
        Peer::Relay => "of this commit".into(),
    }
}

/// The version of the Redis that everything here is started with.
pub(crate) fn redis_version() -> String {
    let text = said("redis-server", &["--version"]);
    let mut words = text.split_whitespace();
    let version = words.find_map(|word| word.strip_prefix("v="));
    version.unwrap_or_default().into()
}

/// The number in `/path/to/envoy  version: <commit>/1.40.0/Clean/...`.
fn envoy_version(said: &str) -> &str {
    let builds = said
        .split_once("version:")
        .map(|(_, build)| build.split('/'));
    builds
        .and_then(|mut parts| parts.nth(1))
        .unwrap_or_default()
}

/// The first line that a program says, on whichever of its two outputs.
fn said(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return String::new();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines()
        .find(|line| !line.is_empty())
        .unwrap_or_default()
        .trim()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let text = "a: 1\nmodel name\t: Some Processor @ 2 GHz\n";
        assert_eq!(field(text, "model name"), Some("Some Processor @ 2 GHz"));
        assert_eq!(field(text, "missing"), None);
    }

    #[test]
    fn a_network_of_its_own_has_no_device_but_loopback() {
        let heading = "Inter-|   Receive\n face |bytes    packets\n";
        let own = format!("{heading}    lo: 1 2 3\n");
        assert!(network(&own).starts_with("a namespace of its own"));
        assert!(network(&format!("{own}  eth0: 1 2 3\n")).starts_with("the host's"));
    }

    #[test]
    fn envoys_version_is_found_behind_its_path() {
        let said = "/some/where/envoy  version: 0a1b2c/1.40.0/Clean/RELEASE/BoringSSL";
        assert_eq!(envoy_version(said), "1.40.0");
        assert_eq!(envoy_version(""), "");
    }

    #[test]
    fn a_program_that_is_missing_says_nothing() {
        assert_eq!(said("no-such-program-anywhere", &[]), "");
        assert_eq!(said("sh", &["-c", "echo; echo two >&2"]), "two");
    }
}
