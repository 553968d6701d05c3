//! Connections that ask once and then stay open without a word, for what each of them costs in memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Request;
use super::response::{Progress, Reader};
use crate::Error;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Open connections, until they are dropped.
#[derive(Debug)]
pub(crate) struct Held {
    streams: Vec<TcpStream>,
}

/// Opens so many connections, each of which gets one answer. Fails at the first that does not.
pub(crate) fn hold(address: SocketAddr, connections: usize) -> Result<Held, Error> {
    let request = Request::get("/").texts(address).concat();
    let streams = (0..connections).map(|_| ask(address, &request));
    Ok(Held {
        streams: streams.collect::<Result<_, _>>()?,
    })
}

impl Held {
    /// How many are still open.
    pub(crate) fn open(&self) -> usize {
        let is_open = |stream: &&TcpStream| {
            let told = stream
                .set_nonblocking(true)
                .and_then(|()| stream.peek(&mut [0]));
            told.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        self.streams.iter().filter(is_open).count()
    }
}

fn ask(address: SocketAddr, request: &[u8]) -> Result<TcpStream, Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.write_all(request)?;
    let mut reader = Reader::default();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        match reader.take(&buffer[..read]) {
            Progress::Complete(200) => return Ok(stream),
            Progress::Partial if read > 0 => {}
            other => return Err(Error::Unfit(format!("an idle connection got {other:?}"))),
        }
    }
}
