//! One process of the fleet, which can be ended and started again with the same addresses and the same folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clock::Clock;
use crate::proxy::Proxy;
use crate::shared::process::{Process, Role};

/// Mounts a small disk that only this process and its children see, and that goes with them.
const ON_A_SMALL_DISK: &str = r#"mount -t tmpfs -o size=256k,mode=0700 small "$0" && exec "$@""#;

pub(crate) struct Member {
    arguments: Vec<String>,
    /// Where it serves; of an orchestrator, its ops address.
    pub(crate) address: SocketAddr,
    /// Where it keeps its state, and the file's name.
    state: Option<(PathBuf, &'static str)>,
    /// What is between it and Redis; nothing where Sentinels say where that is.
    pub(crate) way: Option<Proxy>,
    pub(crate) clock: Option<Clock>,
    pub(crate) small_disk: bool,
    running: Option<Role>,
}

impl Member {
    /// One that is not running yet.
    pub(crate) fn new(role: &str, registry: &str, way: Option<Proxy>) -> Self {
        let (address, ops) = (lasting_address(), lasting_address());
        let mut member = Self {
            arguments: vec![role.into()],
            address,
            state: None,
            way,
            clock: None,
            small_disk: false,
            running: None,
        };
        member.add("--registry", registry);
        member.add("--ops", &ops.to_string());
        if role == "orchestrator" {
            member.address = ops;
        } else {
            member.add("--listen", &address.to_string());
        }
        member
    }

    /// Lists itself by its address, and keeps its state in a folder, under the name that its role gives it.
    pub(crate) fn keeping(mut self, folder: PathBuf, file: &'static str) -> Self {
        std::fs::create_dir_all(&folder).expect("a folder");
        self.add("--state-dir", folder.to_str().expect("a path in text"));
        let address = self.address.to_string();
        self.add("--advertise", &address);
        self.state = Some((folder, file));
        self
    }

    fn add(&mut self, flag: &str, value: &str) {
        self.arguments.extend([flag.into(), value.into()]);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its metrics are.
    pub(crate) fn ops(&self) -> &str {
        &self.role().ops
    }

    pub(crate) fn start(&mut self) {
        self.running = Some(Role::started(Process::spawn(self.command())));
    }

    fn command(&self) -> Command {
        let binary = env!("CARGO_BIN_EXE_roundhouse");
        let mut command = match &self.state {
            Some((folder, _)) if self.small_disk => {
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", ON_A_SMALL_DISK]);
                command.arg(folder).arg(binary);
                command
            }
            _ => Command::new(binary),
        };
        command.args(&self.arguments);
        if let Some(clock) = &self.clock {
            command.envs(clock.environment());
        }
        command
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut role) = self.running.take() {
            role.process.signal("KILL");
            role.process.ended();
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        self.role().process.signal(name);
    }

    /// What it has written to standard error.
    pub(crate) fn errors(&self) -> String {
        self.role().process.errors()
    }

    fn role(&self) -> &Role {
        self.running.as_ref().expect("it is running")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Where its state file is found, on its own disk where it has one.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.state_folder()
            .join(self.state.as_ref().expect("it keeps one").1)
    }

    pub(crate) fn state_folder(&self) -> PathBuf {
        let (folder, _) = self.state.as_ref().expect("it keeps one");
        match &self.running {
            Some(role) if self.small_disk => {
                let seen = Path::new("/proc").join(role.process.pid().to_string());
                let below = folder.strip_prefix("/").expect("an absolute path");
                seen.join("root").join(below)
            }
            _ => folder.clone(),
        }
    }
}

/// Whether processes can be given a disk of their own here: that takes root's rights.
pub(crate) fn can_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs small /mnt"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// A member that is away for a while must find its own free again.
fn lasting_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], registry::testing::free_port()))
}
