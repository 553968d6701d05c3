//! The server behind every proxy: as cheap as can be, so that it leaves its core to the client.
//!
//! `/bytes/N` answers with N bytes, everything else with a short text, once the request's body has been swallowed. One
//! thread can listen at all addresses of the loopback device at once, and so stand for ten thousand servers.

mod answer;
mod connection;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::slots::Slots;
use connection::Connection;

/// Connections that wait to be accepted, of all addresses together: ten thousand servers are probed at once.
const BACKLOG: i32 = 4096;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// The listener's token. Connections have their index.
const LISTENER: Token = Token(usize::MAX);

/// What all connections share.
#[derive(Debug)]
struct Shared {
    input: Vec<u8>,
    answers: answer::Answers,
}

/// The addresses from the first one on, one host further each, all with its port.
pub(crate) fn addresses(first: SocketAddrV4, count: usize) -> impl Iterator<Item = SocketAddrV4> {
    let host = u32::from(*first.ip());
    (0..count as u32)
        .map(move |index| SocketAddrV4::new(Ipv4Addr::from(host + index), first.port()))
}

/// Serves until the process is ended, at the address, or at every loopback address with its port. Fails where that cannot be.
pub(crate) fn run(first: SocketAddrV4, everywhere: bool) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = listen(first.into(), everywhere, BACKLOG)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Slots<Connection> = Slots::default();
    let mut events = Events::with_capacity(EVENTS);
    let mut shared = Shared {
        input: vec![0; 256 * 1024],
        answers: answer::Answers::default(),
    };
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(index) = event.token();
            if event.token() == LISTENER {
                accept_all(&poll, &listener, &mut connections)?;
            } else if let Some(connection) = connections.get_mut(index)
                && !connection.turn(event.is_read_closed(), &mut shared)
            {
                connections.remove(index);
            }
        }
    }
}

/// A listener. Everywhere means all addresses of the loopback device, and no other device.
pub(crate) fn listen(
    address: SocketAddr,
    everywhere: bool,
    backlog: i32,
) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if everywhere {
        socket.bind_device(Some(b"lo"))?;
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        socket.bind(&any.into())?;
    } else {
        socket.bind(&address.into())?;
    }
    socket.listen(backlog)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn accept_all(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Slots<Connection>,
) -> io::Result<()> {
    while let Some(mut stream) = accept(listener)? {
        let index = connections.vacant();
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(&mut stream, Token(index), interest)?;
        connections.put(index, Connection::new(stream));
    }
    Ok(())
}

/// The next connection, if one waits. Fails where no more files can be opened: what waits then would wait for ever.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // Without it the last part of an answer could wait for an acknowledgement.
                stream.set_nodelay(true)?;
                return Ok(Some(stream));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            // The other side has already gone.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_go_from_host_to_host() {
        let first = "127.0.0.254:80".parse().expect("an address");
        let all: Vec<_> = addresses(first, 3)
            .map(|address| address.to_string())
            .collect();
        assert_eq!(all, ["127.0.0.254:80", "127.0.0.255:80", "127.0.1.0:80"]);
    }
}
