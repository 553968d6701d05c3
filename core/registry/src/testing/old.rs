//! What answers as a Redis that is too old to be a registry does, since none of these is at hand: no more than is asked of
//! what answers for the first time.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// It goes on until the process ends.
#[derive(Debug)]
pub struct OldRedis {
    address: SocketAddr,
}

impl OldRedis {
    /// Starts one of a version such as `6.0.16`.
    pub fn start(version: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || converse(stream, version));
            }
        });
        Self { address }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

/// Answers one command after another.
fn converse(stream: TcpStream, version: &str) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let words = command(&mut reader)?;
        let name = words.first().map(String::as_str).unwrap_or_default();
        stream.write_all(answer(name, version).as_bytes())?;
    }
}

/// Reads a command: an array of strings, each after its length.
fn command(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let words = number(reader)?;
    let mut command = Vec::new();
    for _ in 0..words {
        let mut word = vec![0; number(reader)? + 2];
        reader.read_exact(&mut word)?;
        command.push(String::from_utf8_lossy(&word).trim_end().into());
    }
    Ok(command)
}

/// The number in a line such as `*3` or `$5`.
fn number(reader: &mut impl BufRead) -> io::Result<usize> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let number = line.get(1..).and_then(|text| text.trim_end().parse().ok());
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn answer(command: &str, version: &str) -> String {
    let knows_hello = !version.starts_with(['2', '3', '4', '5']);
    match command {
        "HELLO" if knows_hello => {
            let facts = [
                ("server", "redis"),
                ("version", version),
                ("mode", "standalone"),
                ("role", "master"),
            ];
            let facts: String = facts
                .iter()
                .map(|(name, value)| string(name) + &string(value))
                .collect();
            format!("%4\r\n{facts}")
        }
        "HELLO" => "-ERR unknown command `HELLO`, with args beginning with: `3`, \r\n".into(),
        _ => "+OK\r\n".into(),
    }
}

fn string(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
