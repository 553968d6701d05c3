//! What one process passes to the next: every listening socket that there is.

use std::net::TcpListener;

use tokio::net::UnixListener;

/// All of them, as descriptors of this process.
#[derive(Debug)]
pub(crate) struct Estate {
    /// Where the next successor asks.
    pub(crate) control: UnixListener,
    pub(crate) ops: TcpListener,
    pub(crate) clients: Vec<TcpListener>,
    /// Those for TLS.
    pub(crate) secure: Vec<TcpListener>,
    /// Whether whoever started the first process keeps its listeners open as well.
    pub(crate) kept_elsewhere: bool,
    /// The same of those for TLS.
    pub(crate) secure_kept_elsewhere: bool,
    /// Whether it was the same with the ops listener.
    pub(crate) ops_passed: bool,
}
