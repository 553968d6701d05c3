//! Connections to servers: kept idle per thread, last in, first out, so that few stay warm and the rest end. Those to servers that have
//! a bound are shared by all threads, so that none of them counts and does nothing while another thread's request waits.

mod connect;
mod idle;
mod shared_idle;

use std::hash::Hasher;
use std::io;
use std::mem::MaybeUninit;

use policy::Place;
use socket2::SockRef;
use tokio::net::TcpStream;

pub(crate) use connect::{ConnectError, connect};
pub(crate) use idle::{Idle, IdleRoom};
pub(crate) use shared_idle::SharedIdle;

/// A connection to a server, and the place that it takes there.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Closed before the place is given back.
    pub(crate) stream: TcpStream,
    place: Place,
}

impl Connection {
    /// Closes it, and keeps its place for another one.
    pub(crate) fn close(self) -> Place {
        drop(self.stream);
        self.place
    }
}

/// Whether the server has neither closed the connection nor said anything unasked. Costs a system call only where something happened.
fn is_quiet(stream: &TcpStream) -> bool {
    let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    stream
        .try_read(&mut [0])
        .is_err_and(|error| would_block(&error))
}

/// Whether the kernel has anything to say of the connection.
fn has_news(stream: &TcpStream) -> bool {
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(stream).peek(&mut byte);
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Numbers given in order are spread well enough by a multiplication.
#[derive(Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
