//! Processes that the comparison starts: pinned to cores, with their output in a file, and ended with it.
//!
//! Each is killed by its own id when its owner lets go of it. Should the comparison itself be killed, the kernel ends
//! them all, since `setpriv --pdeathsig` asked it to: so Ctrl-C, an error and a crash need no code of their own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Error;

/// How long a process may take until it listens.
const START_WITHIN: Duration = Duration::from_secs(60);

/// How often it is looked for meanwhile.
const LOOK_EACH: Duration = Duration::from_millis(20);

/// A running process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

/// A process to be started.
#[derive(Debug)]
pub(crate) struct Launch {
    name: String,
    command: Command,
    log: PathBuf,
}

impl Launch {
    /// A program on the given cores, as `taskset` names them; what it says goes to a file in the folder.
    pub(crate) fn new(name: &str, cores: &str, program: impl AsRef<OsStr>, folder: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "taskset", "-c", cores])
            .arg(program)
            .stdin(Stdio::null());
        Self {
            name: name.into(),
            command,
            log: folder.join(format!("{name}.log")),
        }
    }

    pub(crate) fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Starts it. Fails where the program cannot be run at all.
    pub(crate) fn start(mut self) -> Result<Process, Error> {
        let child = self.spawn();
        let child = child.map_err(|source| Error::Start {
            name: self.name.clone(),
            source,
        })?;
        Ok(Process {
            child,
            name: self.name,
            log: self.log,
        })
    }

    fn spawn(&mut self) -> io::Result<Child> {
        let log = File::create(&self.log)?;
        self.command.stderr(log.try_clone()?).stdout(log).spawn()
    }

    /// Runs it to its end and gives its output. Fails where it fails.
    pub(crate) fn output(mut self) -> Result<String, Error> {
        let output = self.command.stderr(Stdio::inherit()).output();
        let output = output.map_err(|source| Error::Start {
            name: self.name.clone(),
            source,
        })?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(Error::Ended {
                name: self.name,
                said,
            })
        }
    }
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Moves all its threads to other cores.
    pub(crate) fn pin(&self, cores: &str) -> Result<(), Error> {
        let mut taskset = Command::new("taskset");
        let moved = taskset
            .args(["-apc", cores, &self.pid().to_string()])
            .stdout(Stdio::null())
            .status()?;
        match moved.success() {
            true => Ok(()),
            false => Err(Error::Unfit(format!(
                "{} could not be moved to core {cores}",
                self.name
            ))),
        }
    }

    /// Waits until something accepts connections at the address. Fails where the process ends before, or takes too long.
    pub(crate) fn listening(mut self, address: SocketAddr) -> Result<Self, Error> {
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() > deadline {
                return Err(Error::Ended {
                    said: self.said(),
                    name: self.name.clone(),
                });
            }
            std::thread::sleep(LOOK_EACH);
        }
        Ok(self)
    }

    /// The end of what it wrote.
    fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(2000);
        String::from_utf8_lossy(&text[from..]).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback at which nothing listens.
pub(crate) fn free_address() -> Result<SocketAddr, Error> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    let address = listener.and_then(|listener| listener.local_addr());
    address.map_err(Error::Io)
}

/// The same, of version 4: from such a one, origins count their hosts.
pub(crate) fn free_address_v4() -> Result<SocketAddrV4, Error> {
    match free_address()? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(_) => Err(Error::Unfit("loopback has no address of version 4".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_said_is_told_where_it_ends_early() {
        let folder = tempfile::tempdir().expect("a folder");
        let launch = Launch::new("early", "0", "sh", folder.path())
            .args(["-c", "echo no such file; exit 3"]);
        let process = launch.start().expect("sh runs");
        let nowhere = free_address().expect("a free port");
        let error = process.listening(nowhere).expect_err("it ended");
        assert!(error.to_string().contains("no such file"), "{error}");
    }

    #[test]
    fn a_process_ends_with_its_owner() {
        let folder = tempfile::tempdir().expect("a folder");
        let launch = Launch::new("sleep", "0", "sleep", folder.path()).args(["600"]);
        let process = launch.start().expect("sleep runs");
        let proc = PathBuf::from(format!("/proc/{}", process.pid()));
        assert!(proc.exists());
        drop(process);
        assert!(!proc.exists());
    }

    #[test]
    fn a_process_can_be_moved_to_another_core() {
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address().expect("a free port");
        let port = address.port().to_string();
        let launch = Launch::new("redis", "0,1", "redis-server", folder.path());
        let launch = launch.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
        let process = launch.start().expect("redis-server runs");
        // Until it listens, what moves it to its first cores may not have run yet.
        let process = process.listening(address).expect("it listens");
        process.pin("0").expect("there is a first core");
        let status =
            fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it runs");
        assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    }

    #[test]
    fn the_output_of_what_ran_to_its_end_is_given() {
        let folder = tempfile::tempdir().expect("a folder");
        let launch = Launch::new("echo", "0", "echo", folder.path()).args(["well"]);
        assert_eq!(launch.output().expect("echo runs"), "well\n");
    }
}
