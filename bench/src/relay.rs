//! A raw byte relay: what any proxy must at least do, and so the floor that all are compared to.
//!
//! It knows no HTTP. Each client's connection has one connection to the server, and bytes are copied both ways.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::origin::{accept, listen};
use crate::peers::BACKLOG;
use crate::slots::Slots;
use crate::waiting::would_block;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// The listener's token. A pair's two streams have twice its number, and one more.
const LISTENER: Token = Token(usize::MAX);

/// A client's stream and its server's, and what waits to be written to each.
#[derive(Debug)]
struct Pair {
    streams: [TcpStream; 2],
    waiting: [Vec<u8>; 2],
    /// Which of the two have ended their side.
    ended: [bool; 2],
}

/// Relays until the process is ended. Fails where the address cannot be listened at.
pub(crate) fn run(address: SocketAddr, server: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = listen(address, false, BACKLOG)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut pairs = Slots::default();
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept_all(&poll, &listener, server, &mut pairs)?;
                continue;
            }
            let Token(token) = event.token();
            if let Some(pair) = pairs.get_mut(token / 2)
                && pair
                    .turn(token % 2, event.is_read_closed(), &mut buffer)
                    .is_err()
            {
                pairs.remove(token / 2);
            }
        }
    }
}

fn accept_all(
    poll: &Poll,
    listener: &TcpListener,
    server: SocketAddr,
    pairs: &mut Slots<Pair>,
) -> io::Result<()> {
    while let Some(client) = accept(listener)? {
        let upstream = TcpStream::connect(server)?;
        upstream.set_nodelay(true)?;
        let index = pairs.vacant();
        let mut pair = Pair::new([client, upstream]);
        for (side, stream) in pair.streams.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(stream, Token(index * 2 + side), interest)?;
        }
        pairs.put(index, pair);
    }
    Ok(())
}

impl Pair {
    fn new(streams: [TcpStream; 2]) -> Self {
        Self {
            streams,
            waiting: [Vec::new(), Vec::new()],
            ended: [false; 2],
        }
    }

    /// Something happened at one side: what waits for it is written, and what it sent goes to the other. An error
    /// ends the pair.
    fn turn(&mut self, side: usize, closing: bool, buffer: &mut [u8]) -> io::Result<()> {
        if !self.waiting[side].is_empty() && self.flush(side)? {
            self.copy(1 - side, true, buffer)?;
        }
        self.copy(side, closing, buffer)?;
        if self.ended == [true; 2] {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Copies from one side to the other until there is no more, or the other takes no more. A read that does not
    /// fill the buffer was the last one, unless the stream's end is behind it.
    fn copy(&mut self, from: usize, closing: bool, buffer: &mut [u8]) -> io::Result<()> {
        while self.waiting[1 - from].is_empty() && !self.ended[from] {
            match self.streams[from].read(buffer) {
                Ok(0) => {
                    self.ended[from] = true;
                    self.streams[1 - from].shutdown(Shutdown::Write)?;
                }
                Ok(read) => {
                    self.send(1 - from, &buffer[..read])?;
                    if read < buffer.len() && !closing {
                        break;
                    }
                }
                Err(error) if would_block(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send(&mut self, to: usize, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.streams[to].write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if would_block(&error) => {
                    self.waiting[to].extend_from_slice(bytes);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes what waits; true once nothing does.
    fn flush(&mut self, to: usize) -> io::Result<bool> {
        let waiting = std::mem::take(&mut self.waiting[to]);
        self.send(to, &waiting)?;
        Ok(self.waiting[to].is_empty())
    }
}
