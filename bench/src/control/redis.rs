//! Redis, asked as any client may ask it: what it counted, what is published, and how soon it answers a bystander.
//!
//! The registry's own client shows none of this, and has no part in what is measured here.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::Error;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A connection of one's own.
#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

/// An answer, or a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Nothing,
    Number(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
}

/// What Redis has counted since it began.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Counts {
    at: Instant,
    commands: f64,
    input_bytes: f64,
    output_bytes: f64,
    cpu_seconds: f64,
}

/// The same, for each second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    pub(super) commands: f64,
    pub(super) input_bytes: f64,
    pub(super) output_bytes: f64,
    /// Of one core.
    pub(super) cpu_share: f64,
}

impl Connection {
    pub(super) fn open(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a command and waits for its answer.
    pub(super) fn ask(&mut self, words: &[&str]) -> Result<Reply, Error> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.get_mut().write_all(command.as_bytes())?;
        self.next()
    }

    /// The next answer or message. An error that Redis answers is one here.
    pub(super) fn next(&mut self) -> Result<Reply, Error> {
        read(&mut self.stream)
    }

    /// The payload of the next message of a channel that was subscribed to.
    pub(super) fn next_message(&mut self) -> Result<Vec<u8>, Error> {
        match self.next()? {
            Reply::List(parts) => match parts.into_iter().nth(2) {
                Some(Reply::Text(payload)) => Ok(payload),
                other => Err(unexpected(&format!("{other:?}"))),
            },
            other => Err(unexpected(&format!("{other:?}"))),
        }
    }

    /// What `INFO` says, by name.
    pub(super) fn info(&mut self, section: &str) -> Result<BTreeMap<String, String>, Error> {
        match self.ask(&["INFO", section])? {
            Reply::Text(text) => Ok(fields(&String::from_utf8_lossy(&text))),
            other => Err(unexpected(&format!("{other:?}"))),
        }
    }

    pub(super) fn counts(&mut self) -> Result<Counts, Error> {
        let mut info = self.info("stats")?;
        info.extend(self.info("cpu")?);
        let count = |name: &str| -> Result<f64, Error> {
            let value = info.get(name).and_then(|text| text.parse().ok());
            value.ok_or_else(|| unexpected(&format!("no number of {name}")))
        };
        Ok(Counts {
            at: Instant::now(),
            commands: count("total_commands_processed")?,
            input_bytes: count("total_net_input_bytes")?,
            output_bytes: count("total_net_output_bytes")?,
            cpu_seconds: count("used_cpu_user")? + count("used_cpu_sys")?,
        })
    }

    /// What a command took within Redis, in microseconds, in the mean over all calls; nothing where it was never called.
    pub(super) fn call_us(&mut self, command: &str) -> Result<Option<f64>, Error> {
        let info = self.info("commandstats")?;
        let stats = info.get(&format!("cmdstat_{command}"));
        Ok(stats.and_then(|stats| per_call(stats)))
    }

    /// How long a PING takes.
    pub(super) fn ping(&mut self) -> Result<Duration, Error> {
        let begun = Instant::now();
        self.ask(&["PING"])?;
        Ok(begun.elapsed())
    }
}

impl Counts {
    pub(super) fn since(self, earlier: Self) -> Rates {
        let seconds = (self.at - earlier.at).as_secs_f64();
        Rates {
            commands: (self.commands - earlier.commands) / seconds,
            input_bytes: (self.input_bytes - earlier.input_bytes) / seconds,
            output_bytes: (self.output_bytes - earlier.output_bytes) / seconds,
            cpu_share: (self.cpu_seconds - earlier.cpu_seconds) / seconds,
        }
    }
}

fn unexpected(what: &str) -> Error {
    Error::Unfit(format!("Redis answered something unexpected: {what}"))
}

/// One value of Redis's protocol.
fn read(stream: &mut impl BufRead) -> Result<Reply, Error> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(std::io::Error::from(ErrorKind::UnexpectedEof).into());
    }
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).ok_or_else(|| unexpected(line))?;
    let number = || rest.parse().map_err(|_| unexpected(line));
    match kind {
        "+" => Ok(Reply::Text(rest.into())),
        "-" => Err(unexpected(rest)),
        ":" => Ok(Reply::Number(number()?)),
        "$" => match usize::try_from(number()?) {
            Ok(length) => text(stream, length),
            Err(_) => Ok(Reply::Nothing),
        },
        "*" => {
            let values = (0..number()?).map(|_| read(stream));
            Ok(Reply::List(values.collect::<Result<_, _>>()?))
        }
        _ => Err(unexpected(line)),
    }
}

fn text(stream: &mut impl Read, length: usize) -> Result<Reply, Error> {
    // The line's end belongs to it.
    let mut bytes = vec![0; length + 2];
    stream.read_exact(&mut bytes)?;
    bytes.truncate(length);
    Ok(Reply::Text(bytes))
}

/// Lines of a name, a colon and a value.
fn fields(info: &str) -> BTreeMap<String, String> {
    let pairs = info.lines().filter_map(|line| line.split_once(':'));
    pairs
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// From `calls=3,usec=30,usec_per_call=10.00,...`.
fn per_call(stats: &str) -> Option<f64> {
    let mut pairs = stats.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .find(|(name, _)| *name == "usec_per_call")?
        .1
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(mut text: &[u8]) -> Result<Reply, Error> {
        read(&mut text)
    }

    #[test]
    fn every_kind_of_answer_is_read() {
        let text = |text: &str| Reply::Text(text.into());
        assert_eq!(parse(b"+OK\r\n").unwrap(), text("OK"));
        assert_eq!(parse(b":-7\r\n").unwrap(), Reply::Number(-7));
        assert_eq!(parse(b"$-1\r\n").unwrap(), Reply::Nothing);
        assert_eq!(parse(b"$4\r\na\r\nb\r\n").unwrap(), text("a\r\nb"));
        let list = Reply::List(vec![text("a"), Reply::Number(1)]);
        assert_eq!(parse(b"*2\r\n$1\r\na\r\n:1\r\n").unwrap(), list);
    }

    #[test]
    fn an_error_is_told_and_so_is_the_end() {
        let refused = parse(b"-NOAUTH Authentication required.\r\n").expect_err("refused");
        assert!(refused.to_string().contains("NOAUTH"), "{refused}");
        parse(b"$4\r\nab").expect_err("cut short");
        parse(b"").expect_err("closed");
    }

    #[test]
    fn info_is_read_by_name() {
        let info = fields("# CPU\r\nused_cpu_sys:1.25\r\nused_cpu_user:0.75\r\n");
        assert_eq!(info["used_cpu_sys"], "1.25");
        let stats = "calls=3,usec=30,usec_per_call=10.50,rejected_calls=0";
        assert_eq!(per_call(stats), Some(10.5));
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let at = Instant::now();
        let before = Counts {
            at,
            commands: 10.0,
            input_bytes: 0.0,
            output_bytes: 100.0,
            cpu_seconds: 1.0,
        };
        let after = Counts {
            at: at + Duration::from_secs(2),
            commands: 30.0,
            input_bytes: 4.0,
            output_bytes: 100.0,
            cpu_seconds: 1.5,
        };
        let expected = Rates {
            commands: 10.0,
            input_bytes: 2.0,
            output_bytes: 0.0,
            cpu_share: 0.25,
        };
        assert_eq!(after.since(before), expected);
    }
}
