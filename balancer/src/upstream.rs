//! Connections to servers: kept idle per thread, last in, first out, so that few stay warm and the rest end. Those to servers that have
//! a bound are shared by all threads, so that none of them counts and does nothing while another thread's request waits. Those of HTTP/2 carry
//! many requests at the same time, and stay with their thread.

mod connect;
mod http2;
mod idle;
mod shared_idle;

use std::hash::Hasher;

use policy::Place;

use crate::stream::Stream;

pub(crate) use connect::{ConnectError, Dial, connect};
pub(crate) use http2::{Call, Connections};
pub(crate) use idle::{Idle, IdleRoom, Waiting};
pub(crate) use shared_idle::SharedIdle;

/// A connection to a server, and the place that it takes there.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Closed before the place is given back.
    pub(crate) stream: Stream,
    place: Place,
}

impl Connection {
    /// Closes it, and keeps its place for another one.
    pub(crate) fn close(self) -> Place {
        drop(self.stream);
        self.place
    }
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
