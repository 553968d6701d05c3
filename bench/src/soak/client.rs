//! A client: asks, takes the answer, waits a little, asks again, over a connection that it keeps.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::request;
use super::tally::{Ending, Tally};
use crate::load::{Progress, Reader};

/// Longer than a balancer takes until it gives up by itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// Between an answer and the next request.
const PAUSE: std::ops::Range<Duration> = Duration::from_millis(2)..Duration::from_millis(30);

/// One client.
#[derive(Debug)]
pub(super) struct Asker {
    address: SocketAddr,
    random: StdRng,
    connection: Option<TcpStream>,
    tally: Tally,
}

impl Asker {
    pub(super) fn new(address: SocketAddr, seed: u64) -> Self {
        Self {
            address,
            random: StdRng::seed_from_u64(seed),
            connection: None,
            tally: Tally::default(),
        }
    }

    /// Goes on until it is over, and says what it saw.
    pub(super) fn ask_until(mut self, over: &AtomicBool) -> Tally {
        while !over.load(Ordering::Relaxed) {
            let (kind, request) = request::any(&mut self.random);
            let began = Instant::now();
            let ending = self.ask(&request);
            self.tally
                .count(kind, &ending, began.elapsed().as_micros() as u64);
            thread::sleep(self.random.random_range(PAUSE));
        }
        self.tally
    }

    fn ask(&mut self, request: &[u8]) -> Ending {
        match self.exchange(request) {
            Ok(ending) => ending,
            Err(error) => {
                self.connection = None;
                Ending::Broken(error.to_string())
            }
        }
    }

    fn exchange(&mut self, request: &[u8]) -> std::io::Result<Ending> {
        let stream = match &mut self.connection {
            Some(stream) => stream,
            none => none.insert(connect(self.address)?),
        };
        stream.write_all(request)?;
        let mut reader = Reader::default();
        let mut received = Vec::new();
        let mut buffer = [0; 8192];
        loop {
            let read = stream.read(&mut buffer)?;
            received.extend_from_slice(&buffer[..read]);
            match reader.take(&buffer[..read]) {
                Progress::Complete(status) => {
                    if reader.closes() {
                        self.connection = None;
                    }
                    return Ok(ending(status, &received));
                }
                Progress::Partial if read > 0 => {}
                _ => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    Ok(stream)
}

fn ending(status: u16, response: &[u8]) -> Ending {
    if status == 200 {
        return Ending::Answered;
    }
    Ending::Refused {
        status,
        reason: field(response, "roundhouse-reason"),
    }
}

/// A field of a response's head, by its name in small letters.
fn field(response: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(response);
    let (head, _) = text.split_once("\r\n\r\n")?;
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let found = fields
        .into_iter()
        .find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_reason() {
        let text = b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nRoundhouse-Reason: server-timeout\r\n\r\n{}";
        let expected = Ending::Refused {
            status: 502,
            reason: Some("server-timeout".into()),
        };
        assert_eq!(ending(502, text), expected);
    }

    #[test]
    fn the_same_seed_asks_the_same() {
        let address = "127.0.0.1:1".parse().expect("an address");
        let requests = |seed| {
            let mut asker = Asker::new(address, seed);
            (0..20)
                .map(|_| request::any(&mut asker.random).1)
                .collect::<Vec<_>>()
        };
        assert_eq!(requests(1), requests(1));
        assert_ne!(requests(1), requests(2));
    }
}
