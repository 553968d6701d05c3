//! A server that can be killed, hung, made to reset and slowed down, and become well again.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::request;

/// How soon a change of mood is noticed.
const LOOK_EACH: Duration = Duration::from_millis(2);

/// How long a slow one takes.
const SLOW: Duration = Duration::from_millis(400);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell";

/// What a server does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Mood {
    Well,
    /// It does not listen, and its connections are closed.
    Killed,
    /// It accepts, reads, and never answers.
    Hung,
    /// It resets the connection instead of answering.
    Resetting,
    /// It takes its time.
    Slow,
}

/// One server. Its threads go on until the program ends.
#[derive(Debug)]
pub(super) struct Victim {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    mood: AtomicU8,
    connections: Mutex<Vec<TcpStream>>,
}

impl Mood {
    /// All but the good one.
    pub(super) const TROUBLES: [Self; 4] = [Self::Killed, Self::Hung, Self::Resetting, Self::Slow];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Killed => "killed",
            Self::Hung => "hung",
            Self::Resetting => "reset",
            Self::Slow => "slowed",
        }
    }
}

impl Victim {
    /// Fails where the address cannot be listened at.
    pub(super) fn start(address: SocketAddr) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            address,
            mood: AtomicU8::new(Mood::Well as u8),
            connections: Mutex::default(),
        });
        let listener = TcpListener::bind(address)?;
        let server = shared.clone();
        thread::spawn(move || server.live(listener));
        Ok(Self { shared })
    }

    pub(super) fn set(&self, mood: Mood) {
        self.shared.mood.store(mood as u8, Ordering::SeqCst);
    }

    pub(super) fn is_well(&self) -> bool {
        self.shared.is(Mood::Well)
    }
}

impl Shared {
    fn is(&self, mood: Mood) -> bool {
        self.mood.load(Ordering::SeqCst) == mood as u8
    }

    /// Serves, and is dead while it is to be.
    fn live(self: Arc<Self>, mut listener: TcpListener) {
        loop {
            self.clone().accept_until_killed(&listener);
            drop(listener);
            for connection in self.connections().drain(..) {
                // It may have been closed by the other side.
                let _ = connection.shutdown(std::net::Shutdown::Both);
            }
            while self.is(Mood::Killed) {
                thread::sleep(LOOK_EACH);
            }
            listener = loop {
                // The address is its own, but what it was told to close may still be closing.
                match TcpListener::bind(self.address) {
                    Ok(listener) => break listener,
                    Err(_) => thread::sleep(LOOK_EACH),
                }
            };
        }
    }

    fn accept_until_killed(self: Arc<Self>, listener: &TcpListener) {
        if listener.set_nonblocking(true).is_err() {
            return;
        }
        while !self.is(Mood::Killed) {
            match listener.accept() {
                Ok((stream, _)) => self.clone().take(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK_EACH),
                Err(_) => return,
            }
        }
    }

    fn take(self: Arc<Self>, stream: TcpStream) {
        let Ok(again) = stream.try_clone() else {
            return;
        };
        if stream.set_nonblocking(false).is_err() {
            return;
        }
        self.connections().push(again);
        thread::spawn(move || {
            self.serve(&stream);
            self.forget(&stream);
        });
    }

    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request after the other, each by the mood in which it finds the server.
    fn serve(&self, mut stream: &TcpStream) {
        let mut received = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            received.extend_from_slice(&buffer[..read]);
            match request::length(&received) {
                Some(Some(length)) if length <= received.len() => received.clear(),
                Some(_) => continue,
                None => return,
            }
            if !self.answer(stream) {
                return;
            }
        }
    }

    /// False where the connection is not to be used again.
    fn answer(&self, mut stream: &TcpStream) -> bool {
        if self.is(Mood::Resetting) {
            // To close with nothing waiting for it is a reset.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            self.forget(stream);
            return false;
        }
        if self.is(Mood::Hung) {
            while self.is(Mood::Hung) {
                thread::sleep(LOOK_EACH);
            }
            self.forget(stream);
            return false;
        }
        if self.is(Mood::Slow) {
            thread::sleep(SLOW);
        }
        stream.write_all(ANSWER).is_ok()
    }

    /// Lets go of the second handle, without which closing the first would close nothing.
    fn forget(&self, stream: &TcpStream) {
        let peer = stream.peer_addr().ok();
        self.connections()
            .retain(|kept| kept.peer_addr().ok() != peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n")?;
        stream.write_all(b"xx")?;
        let mut buffer = [0; 1024];
        let read = stream.read(&mut buffer)?;
        Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
    }

    #[test]
    fn a_server_does_as_its_mood_says_and_gets_well_again() {
        let address = crate::process::free_address().expect("an address");
        let victim = Victim::start(address).expect("it listens");
        assert!(ask(address).expect("an answer").ends_with("well"));
        victim.set(Mood::Resetting);
        let error = ask(address).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        victim.set(Mood::Killed);
        while TcpStream::connect(address).is_ok() {
            thread::sleep(LOOK_EACH);
        }
        victim.set(Mood::Slow);
        while TcpStream::connect(address).is_err() {
            thread::sleep(LOOK_EACH);
        }
        assert!(ask(address).expect("an answer, late").ends_with("well"));
    }
}
