//! Opening a listening port, and saying in one line why that did not work.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// A port that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("port {port} of {ip} is already in use: free it, or choose another address")]
    InUse { ip: IpAddr, port: u16 },
    #[error("{ip} is not an address of this machine")]
    NotHere { ip: IpAddr },
    #[error("listening on {address} is not permitted: choose a port above 1023, or another user")]
    NotPermitted { address: SocketAddr },
    #[error("cannot listen on {address}: {source}")]
    Other {
        address: SocketAddr,
        source: io::Error,
    },
}

/// Listens on `address`, alone: a port that another process shares is refused too. Port 0 takes a free one.
///
/// # Errors
/// One line that names the port.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    listen(address).map_err(|error| BindError::explain(address, error))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Without it a restarted process would wait for its own old connections' TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl BindError {
    /// Says what the system meant, for those who bind by themselves.
    pub fn explain(address: SocketAddr, source: io::Error) -> Self {
        let (ip, port) = (address.ip(), address.port());
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { ip, port },
            io::ErrorKind::AddrNotAvailable => Self::NotHere { ip },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            _ => Self::Other { address, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = bind(address)
            .await
            .expect_err("the port is taken")
            .to_string();
        assert!(
            error.contains(&format!("port {} of 127.0.0.1", address.port())),
            "{error}"
        );
        assert!(!error.contains('\n'));
    }

    #[tokio::test]
    async fn a_port_that_was_just_freed_can_be_taken_again() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        drop(first);
        assert_eq!(bind(address).await.unwrap().local_addr().unwrap(), address);
    }

    #[tokio::test]
    async fn another_machines_address_is_named() {
        let error = bind("192.0.2.1:8000".parse().unwrap())
            .await
            .expect_err("not here");
        assert_eq!(
            error.to_string(),
            "192.0.2.1 is not an address of this machine"
        );
    }
}
