//! The client side's port: one listener per worker, so that the kernel spreads connections and no thread hands them over.

mod accept;
mod inherited;
mod secured;
mod share;
mod turn;
mod visitor;

use std::io;
use std::net::{SocketAddr, TcpListener};

use runtime::BindError;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

pub(crate) use accept::{Door, Listening, accept};
pub use inherited::{InheritError, Inherited};
pub(crate) use share::{complete, deal};
pub(crate) use turn::{Turn, advance};
pub(crate) use visitor::{Entrance, Visitor};

/// Connections that the kernel keeps per listener until they are accepted.
const BACKLOG: i32 = 1024;

/// Listens on `address` with so many listeners. A port that another process has is refused, although sharing it would work: two
/// balancers on one port by mistake would each get some of the requests.
pub(crate) fn bind(address: SocketAddr, listeners: usize) -> Result<Vec<TcpListener>, BindError> {
    bind_all(address, listeners).map_err(|error| BindError::explain(address, error))
}

fn bind_all(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let first = socket(address)?;
    first.bind(&address.into())?;
    // Bound alone; from here on our own listeners may join it. With port 0 they need the port that it got.
    first.set_reuse_port(true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(join(&address)?);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(Into::into).collect())
}

fn join(address: &SockAddr) -> io::Result<Socket> {
    let other = io::Error::from(io::ErrorKind::AddrNotAvailable);
    let socket = socket(address.as_socket().ok_or(other)?)?;
    socket.set_reuse_port(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Without it a restarted process would wait for its own old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listener_has_the_same_port_and_nobody_else_gets_it() {
        let listeners = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let addresses: Vec<_> = listeners
            .iter()
            .map(|one| one.local_addr().unwrap())
            .collect();
        assert!(addresses.iter().all(|address| *address == addresses[0]));
        let error = bind(addresses[0], 1)
            .expect_err("the port is taken")
            .to_string();
        assert!(error.contains(&addresses[0].port().to_string()), "{error}");
    }
}
