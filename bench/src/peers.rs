//! What is compared: Roundhouse, its peers and the bare relay, each set up for equal work.
//!
//! Equal work: one worker on a core of its own, kept connections to clients and servers, the peers' limits to their use
//! lifted, `X-Forwarded-For` added, bodies sent on as they come, no access log, the same times within which things must happen, no
//! health checks but ours. Within TLS: the same certificate, TLS 1.2 and 1.3, session tickets, HTTP/2 and HTTP/1.1 to clients and
//! HTTP/1.1 to servers.

mod envoy;
mod haproxy;
mod nginx;
mod roundhouse;

use std::fs;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::admin::Admin;
use crate::identity::Identity;
use crate::process::{Launch, Process, free_address};
use crate::rules::Rules;

/// The core of the process that is measured.
pub(crate) const PROXY_CORE: &str = "0";

/// The core of everything else.
pub(crate) const OTHER_CORE: &str = "1";

/// Both, for a process with a worker on each.
pub(crate) const BOTH_CORES: &str = "0,1";

/// Client connections, and connections to servers, that each must be able to have.
const CONNECTIONS_MAX: usize = 65_536;

/// Connections to servers that are kept for later requests.
const IDLE_UPSTREAM: usize = 1024;

/// Connections that wait to be accepted: as many as a balancer of ours lets wait.
pub(crate) const BACKLOG: i32 = 1024;

/// A program that is compared.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    Roundhouse,
    Nginx,
    Haproxy,
    Envoy,
    /// Copies bytes and knows no HTTP: the floor.
    Relay,
}

/// What a program is set up with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) servers: Vec<SocketAddrV4>,
    pub(crate) threads: usize,
    /// How a server is chosen, as a pool's setting of ours says it; by turns where it is not given.
    pub(crate) algorithm: Option<&'static str>,
    pub(crate) rules: Rules,
    /// What it shows to clients, where they come within TLS.
    pub(crate) identity: Option<Identity>,
}

/// Where programs are found, and where they may write.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The `roundhouse` binary.
    pub(crate) roundhouse: PathBuf,
    pub(crate) envoy: PathBuf,
    /// This program, which also is the relay.
    pub(crate) bench: PathBuf,
    /// Where configurations, logs and state go.
    pub(crate) work: PathBuf,
}

/// A program that serves.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where clients are served.
    pub(crate) address: SocketAddr,
    /// The process that is measured.
    pub(crate) process: Process,
    /// The fleet around it, if it is ours.
    pub(crate) admin: Option<Admin>,
    _others: Vec<Process>,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [
        Self::Roundhouse,
        Self::Nginx,
        Self::Haproxy,
        Self::Envoy,
        Self::Relay,
    ];

    /// As it is listed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Roundhouse => "roundhouse",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Relay => "relay",
        }
    }

    /// Starts it in a folder of its own, below the one for work, until it serves.
    pub(crate) fn start(
        self,
        name: &str,
        setting: &Setting,
        places: &Places,
    ) -> Result<Running, Error> {
        let folder = places.work.join(name);
        fs::create_dir_all(&folder)?;
        match self {
            Self::Roundhouse => roundhouse::start(setting, places, &folder),
            Self::Nginx => {
                let run = |config: &str| {
                    vec![
                        "-p".into(),
                        folder_text(&folder),
                        "-c".into(),
                        config.into(),
                    ]
                };
                configured("nginx", "nginx.conf", &folder, setting, nginx::config, run)
            }
            Self::Haproxy => {
                let run = |config: &str| vec!["-db".into(), "-f".into(), config.into()];
                fs::write(folder.join(haproxy::MAP), haproxy::map(setting))?;
                configured(
                    "haproxy",
                    "haproxy.cfg",
                    &folder,
                    setting,
                    haproxy::config,
                    run,
                )
            }
            Self::Envoy => {
                let program = places.envoy.to_string_lossy();
                configured(
                    &program,
                    "envoy.json",
                    &folder,
                    setting,
                    envoy::config,
                    envoy::arguments,
                )
            }
            Self::Relay => relay(setting, places, &folder),
        }
    }
}

impl Running {
    /// A program that needs no other beside it.
    fn alone(address: SocketAddr, launch: Launch) -> Result<Self, Error> {
        Ok(Self {
            address,
            process: launch.start()?.listening(address)?,
            admin: None,
            _others: Vec::new(),
        })
    }
}

fn folder_text(folder: &Path) -> String {
    folder.to_string_lossy().into_owned()
}

/// A program that reads all it needs from a file.
fn configured(
    program: &str,
    file: &str,
    folder: &Path,
    setting: &Setting,
    config: impl Fn(SocketAddr, &Setting, &Path) -> String,
    arguments: impl Fn(&str) -> Vec<String>,
) -> Result<Running, Error> {
    let address = free_address()?;
    let path = folder.join(file);
    fs::write(&path, config(address, setting, folder))?;
    let launch = Launch::new("proxy", PROXY_CORE, program, folder);
    Running::alone(address, launch.args(arguments(&path.to_string_lossy())))
}

fn relay(setting: &Setting, places: &Places, folder: &Path) -> Result<Running, Error> {
    let address = free_address()?;
    let server = setting.servers.first();
    let server = server.ok_or_else(|| Error::Unfit("a relay needs a server".into()))?;
    let launch = Launch::new("proxy", PROXY_CORE, &places.bench, folder);
    let arguments = ["relay", &address.to_string(), &server.to_string()];
    Running::alone(address, launch.args(arguments))
}

#[cfg(test)]
mod tests;
