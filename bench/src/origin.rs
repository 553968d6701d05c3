//! The server behind every proxy: as cheap as can be, so that it leaves its core to the client.
//!
//! `/bytes/N` answers with N bytes, everything else with a short text, once the request's body has been swallowed. One
//! thread listens at as many addresses as are asked for, so that it can stand for ten thousand servers.

mod answer;
mod connection;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::slots::Slots;
use connection::Connection;

pub(crate) use connection::request_length;

/// Connections that wait to be accepted, per address.
const BACKLOG: i32 = 4096;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

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

/// Serves until the process is ended. Fails where an address cannot be listened at.
pub(crate) fn run(first: SocketAddrV4, count: usize) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listeners = Vec::new();
    for address in addresses(first, count) {
        let mut listener = listen(address.into())?;
        let token = Token(listeners.len());
        poll.registry()
            .register(&mut listener, token, Interest::READABLE)?;
        listeners.push(listener);
    }
    serve(&mut poll, &listeners)
}

/// A listener with a long queue.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn serve(poll: &mut Poll, listeners: &[TcpListener]) -> io::Result<()> {
    let mut connections: Slots<Connection> = Slots::default();
    let mut events = Events::with_capacity(EVENTS);
    let mut shared = Shared {
        input: vec![0; 256 * 1024],
        answers: answer::Answers::default(),
    };
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(token) = event.token();
            if let Some(listener) = listeners.get(token) {
                accept_all(poll, listener, listeners.len(), &mut connections)?;
            } else if let Some(connection) = connections.get_mut(token - listeners.len())
                && !connection.turn(event.is_read_closed(), &mut shared)
            {
                connections.remove(token - listeners.len());
            }
        }
    }
}

fn accept_all(
    poll: &Poll,
    listener: &TcpListener,
    first_token: usize,
    connections: &mut Slots<Connection>,
) -> io::Result<()> {
    while let Some(mut stream) = accept(listener) {
        let index = connections.vacant();
        let token = Token(first_token + index);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, token, interest)?;
        connections.put(index, Connection::new(stream));
    }
    Ok(())
}

/// The next connection, if one waits.
pub(crate) fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    // Without it the last part of an answer could wait for an acknowledgement.
    stream.set_nodelay(true).ok()?;
    Some(stream)
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
