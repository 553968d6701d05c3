//! The servers that are probed and asked: any number of them, by one thread, each well or not as it is told to be.
//!
//! One listener at every loopback address with a port stands for ten thousand of them. Where one is to refuse connections, each has a
//! listener of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::SockRef;

use crate::Error;
use crate::origin::{accept, addresses, listen};
use crate::request::{Body, Head};
use crate::slots::Slots;

/// What probes ask for, and nobody else.
pub(super) const HEALTH_PATH: &str = "/-/health";

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// Events taken from the kernel at once.
const EVENTS: usize = 1024;

/// That there are orders.
const ORDERS: Token = Token(usize::MAX);

/// The first listener's token. Connections have their index.
const LISTENERS: usize = 1 << 40;

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// It answers probes with 503, and resets every other connection before the first byte of an answer.
    Failing,
    /// Nothing listens there, and its connections are closed.
    Refusing,
}

/// A probe that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Probe {
    pub(super) server: usize,
    /// Since recording began.
    pub(super) at: Duration,
}

/// The probes since recording began, while it goes on.
type Recording = Arc<Mutex<Option<(Instant, Vec<Probe>)>>>;

/// From now on these servers are so; the answer comes when they are.
type Order = (Range<usize>, Mood, mpsc::Sender<std::io::Result<()>>);

/// The servers. Their thread ends with the process.
#[derive(Debug)]
pub(super) struct Servers {
    addresses: Vec<SocketAddrV4>,
    orders: mpsc::Sender<Order>,
    waker: Waker,
    recording: Recording,
}

impl Servers {
    /// So many, from an address on, one host further each. `apart` gives each a listener of its own. Fails where an address cannot be
    /// listened at.
    pub(super) fn start(first: SocketAddrV4, count: usize, apart: bool) -> Result<Self, Error> {
        let addresses: Vec<_> = addresses(first, count).collect();
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), ORDERS)?;
        let (orders, received) = mpsc::channel();
        let recording = Recording::default();
        let mut host = Host {
            poll,
            addresses: addresses.clone(),
            apart,
            listeners: Vec::new(),
            moods: vec![Mood::Well; count],
            connections: Slots::default(),
            orders: received,
            recording: Arc::clone(&recording),
        };
        for index in 0..if apart { count } else { 1 } {
            host.listeners.push(None);
            host.listen(index)?;
        }
        std::thread::spawn(move || host.serve());
        Ok(Self {
            addresses,
            orders,
            waker,
            recording,
        })
    }

    pub(super) fn addresses(&self) -> &[SocketAddrV4] {
        &self.addresses
    }

    /// Makes some of them so, and returns when they are.
    pub(super) fn set(&self, which: Range<usize>, mood: Mood) -> Result<(), Error> {
        let (answer, answered) = mpsc::channel();
        let gone = || Error::Unfit("the servers have ended".into());
        self.orders
            .send((which, mood, answer))
            .map_err(|_| gone())?;
        self.waker.wake()?;
        Ok(answered.recv().map_err(|_| gone())??)
    }

    /// Begins to record probes.
    pub(super) fn record(&self) {
        *lock(&self.recording) = Some((Instant::now(), Vec::new()));
    }

    /// The probes that were recorded; ends the recording.
    pub(super) fn recorded(&self) -> Vec<Probe> {
        let recording = lock(&self.recording).take();
        recording.map_or_else(Vec::new, |(_, probes)| probes)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's own.
struct Host {
    poll: Poll,
    addresses: Vec<SocketAddrV4>,
    apart: bool,
    /// One for each server, or one for all.
    listeners: Vec<Option<TcpListener>>,
    moods: Vec<Mood>,
    connections: Slots<Connection>,
    orders: mpsc::Receiver<Order>,
    recording: Recording,
}

struct Connection {
    stream: TcpStream,
    server: usize,
    /// The beginning of a head that came in parts.
    partial: Vec<u8>,
}

impl Host {
    /// Ends with an error that nobody hears: orders are not answered any more then.
    fn serve(mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; 64 * 1024];
        loop {
            self.poll.poll(&mut events, None)?;
            for event in &events {
                match event.token() {
                    ORDERS => self.obey(),
                    Token(token) if token >= LISTENERS => self.accept_all(token - LISTENERS)?,
                    Token(index) => self.turn(index, &mut buffer),
                }
            }
        }
    }

    fn listen(&mut self, index: usize) -> std::io::Result<()> {
        let address = SocketAddr::V4(self.addresses[index]);
        let mut listener = listen(address, !self.apart, BACKLOG)?;
        let token = Token(LISTENERS + index);
        let registry = self.poll.registry();
        registry.register(&mut listener, token, Interest::READABLE)?;
        self.listeners[index] = Some(listener);
        Ok(())
    }

    fn obey(&mut self) {
        while let Ok((which, mood, answer)) = self.orders.try_recv() {
            // Whoever ordered may have given up.
            let _ = answer.send(self.become_so(which, mood));
        }
    }

    fn become_so(&mut self, which: Range<usize>, mood: Mood) -> std::io::Result<()> {
        if mood == Mood::Refusing && !self.apart {
            return Err(std::io::Error::other("they have one listener together"));
        }
        for server in which {
            self.moods[server] = mood;
            if mood == Mood::Refusing {
                self.listeners[server] = None;
                self.connections.remove_all(|one| one.server == server);
            } else if self.apart && self.listeners[server].is_none() {
                self.listen(server)?;
            }
        }
        Ok(())
    }

    fn accept_all(&mut self, index: usize) -> std::io::Result<()> {
        let Some(listener) = &self.listeners[index] else {
            return Ok(());
        };
        while let Some(mut stream) = accept(listener)? {
            let server = match stream.local_addr()? {
                SocketAddr::V4(local) => self.number_of(local),
                SocketAddr::V6(_) => None,
            };
            let Some(server) = server else { continue };
            let index = self.connections.vacant();
            let registry = self.poll.registry();
            registry.register(&mut stream, Token(index), Interest::READABLE)?;
            let connection = Connection {
                stream,
                server,
                partial: Vec::new(),
            };
            self.connections.put(index, connection);
        }
        Ok(())
    }

    fn number_of(&self, address: SocketAddrV4) -> Option<usize> {
        let first = u32::from(*self.addresses.first()?.ip());
        let number = u32::from(*address.ip()).checked_sub(first)? as usize;
        (number < self.addresses.len()).then_some(number)
    }

    /// Answers what has come over a connection, which may be over then.
    fn turn(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(index) else {
            return;
        };
        let mood = self.moods[connection.server];
        let stays = loop {
            match connection.stream.read(buffer) {
                Ok(0) => break false,
                Ok(read) => {
                    if !connection.take(&buffer[..read], mood, &self.recording) {
                        break false;
                    }
                }
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        if !stays {
            self.connections.remove(index);
        }
    }
}

impl Connection {
    /// Takes in what was read; false where the connection is to be closed.
    fn take(&mut self, bytes: &[u8], mood: Mood, recording: &Recording) -> bool {
        self.partial.extend_from_slice(bytes);
        let whole = std::mem::take(&mut self.partial);
        let mut rest = &whole[..];
        while !rest.is_empty() {
            match Head::parse(rest) {
                Some(Some(head)) if head.body == Body::Length(0) => {
                    if !self.answer(head.target, mood, recording) || head.close {
                        return false;
                    }
                    rest = &rest[head.length..];
                }
                Some(None) => {
                    self.partial = rest.to_vec();
                    return true;
                }
                // Nobody sends bodies here.
                _ => return false,
            }
        }
        true
    }

    fn answer(&mut self, target: &str, mood: Mood, recording: &Recording) -> bool {
        let (status, body) = match (target, mood) {
            (HEALTH_PATH, Mood::Well) => ("200 OK", String::new()),
            (HEALTH_PATH, _) => ("503 Service Unavailable", String::new()),
            (_, Mood::Well) => ("200 OK", self.server.to_string()),
            _ => {
                // To close with nothing waiting for it is a reset.
                let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                return false;
            }
        };
        if target == HEALTH_PATH
            && let Some((since, probes)) = lock(recording).as_mut()
        {
            probes.push(Probe {
                server: self.server,
                at: since.elapsed(),
            });
        }
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
        // So short an answer always finds room.
        self.stream.write_all(answer.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream as Stream;

    use super::*;
    use crate::process::free_address_v4;

    fn ask(stream: &mut Stream, target: &str) -> std::io::Result<String> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(stream, "GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => Ok(String::from_utf8_lossy(&buffer[..read]).into_owned()),
        }
    }

    fn start(count: usize, apart: bool) -> Servers {
        let first = free_address_v4().expect("a free address");
        Servers::start(first, count, apart).expect("they listen")
    }

    #[test]
    fn one_listener_stands_for_many_and_each_says_who_it_is() {
        let servers = start(300, false);
        for index in [0, 1, 299] {
            let mut stream = Stream::connect(servers.addresses()[index]).expect("it listens");
            for _ in 0..2 {
                let answer = ask(&mut stream, "/").expect("an answer");
                assert!(answer.ends_with(&format!("\r\n\r\n{index}")), "{answer}");
            }
        }
    }

    #[test]
    fn only_probes_are_recorded_each_with_its_server() {
        let servers = start(3, false);
        servers.record();
        for (index, target) in [(1, HEALTH_PATH), (2, "/"), (2, HEALTH_PATH)] {
            let mut stream = Stream::connect(servers.addresses()[index]).expect("it listens");
            assert!(ask(&mut stream, target).expect("an answer").contains("200"));
        }
        let probes = servers.recorded();
        let seen: Vec<_> = probes.iter().map(|probe| probe.server).collect();
        assert_eq!(seen, [1, 2]);
        assert!(probes[0].at <= probes[1].at);
        assert_eq!(servers.recorded(), []);
    }

    #[test]
    fn who_fails_answers_probes_with_503_and_resets_all_else_until_it_is_well() {
        let servers = start(2, false);
        let connect = || Stream::connect(servers.addresses()[1]).expect("it listens");
        servers.set(1..2, Mood::Failing).expect("done");
        let answer = ask(&mut connect(), HEALTH_PATH).expect("an answer");
        assert!(answer.contains("503"), "{answer}");
        let error = ask(&mut connect(), "/").expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        servers.set(0..2, Mood::Well).expect("done");
        assert!(ask(&mut connect(), "/").expect("an answer").contains("200"));
    }

    #[test]
    fn who_refuses_does_so_until_it_is_well_and_the_others_do_not() {
        let servers = start(2, true);
        let [refusing, other] = [1, 0].map(|index| servers.addresses()[index]);
        let mut kept = Stream::connect(refusing).expect("it listens");
        ask(&mut kept, "/").expect("an answer");
        servers.set(1..2, Mood::Refusing).expect("done");
        ask(&mut kept, "/").expect_err("closed");
        let error = Stream::connect(refusing).expect_err("nothing listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Stream::connect(other).expect("it listens");
        servers.set(1..2, Mood::Well).expect("done");
        Stream::connect(refusing).expect("it listens again");
        start(2, false)
            .set(0..1, Mood::Refusing)
            .expect_err("they have one listener");
    }
}
