//! Listening sockets that whoever started this process has passed to it, as systemd's socket units do.

use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// The name of the socket for `/livez`, `/readyz` and `/metrics`.
const OPS: &str = "ops";

/// The name of those for clients within TLS; all others are for clients without.
const HTTPS: &str = "https";

/// What was passed; empty where nothing was.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(crate) clients: Vec<TcpListener>,
    /// Those for TLS.
    pub(crate) secure: Vec<TcpListener>,
    pub(crate) ops: Option<TcpListener>,
}

/// What was passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    #[error("socket {number} of LISTEN_FDS is not a listening TCP socket")]
    NotListening { number: usize },
    #[error("LISTEN_FDS passes several sockets named `ops`: one is enough")]
    SeveralOps,
}

impl Inherited {
    /// Takes them from `LISTEN_FDS`, if `LISTEN_PID` means this process. To be called before any thread is started, since
    /// both variables are removed: they are not for this process's children.
    ///
    /// # Errors
    /// Where one is of another kind.
    pub fn take() -> Result<Self, InheritError> {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut passed = ListenFd::from_env();
        let mut inherited = Self::default();
        for index in 0..passed.len() {
            let unfit = InheritError::NotListening { number: index + 1 };
            let Ok(Some(listener)) = passed.take_tcp_listener(index) else {
                return Err(unfit);
            };
            if !SockRef::from(&listener).is_listener().unwrap_or(false) {
                return Err(unfit);
            }
            inherited.add(names.next().unwrap_or_default(), listener)?;
        }
        Ok(inherited)
    }

    fn add(&mut self, name: &str, listener: TcpListener) -> Result<(), InheritError> {
        match name {
            OPS if self.ops.is_some() => return Err(InheritError::SeveralOps),
            OPS => self.ops = Some(listener),
            HTTPS => self.secure.push(listener),
            _ => self.clients.push(listener),
        }
        Ok(())
    }
}
