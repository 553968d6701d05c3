//! The answers, each head made once.

use std::collections::HashMap;
use std::io::{self, IoSlice, Write};
use std::rc::Rc;

const SHORT: &[u8] = b"Hello from the origin";

/// Bodies are cut from this.
static FILLER: [u8; 256 * 1024] = [b'x'; 256 * 1024];

/// Prepared answers by the length of their body.
#[derive(Debug)]
pub(super) struct Answers {
    short: Rc<[u8]>,
    heads: HashMap<u64, Rc<[u8]>>,
}

/// An answer on its way.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    start: Rc<[u8]>,
    /// Bytes of `start` that were written.
    sent: usize,
    /// Bytes of the body behind `start` that were not.
    left: u64,
}

impl Default for Answers {
    fn default() -> Self {
        let short = [head(SHORT.len() as u64).as_bytes(), SHORT].concat();
        Self {
            short: short.into(),
            heads: HashMap::new(),
        }
    }
}

impl Answers {
    /// What is to be answered for a target.
    pub(super) fn to(&mut self, target: &str) -> Answer {
        let length = target
            .strip_prefix("/bytes/")
            .and_then(|rest| rest.parse().ok());
        let (start, left) = match length {
            Some(length) => (self.head(length), length),
            None => (self.short.clone(), 0),
        };
        Answer {
            start,
            sent: 0,
            left,
        }
    }

    fn head(&mut self, length: u64) -> Rc<[u8]> {
        let made = self.heads.entry(length);
        made.or_insert_with(|| head(length).into_bytes().into())
            .clone()
    }
}

fn head(length: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n")
}

impl Answer {
    /// Writes what the stream takes; true once all of it is written.
    pub(super) fn write(&mut self, stream: &mut impl Write) -> io::Result<bool> {
        while self.sent < self.start.len() || self.left > 0 {
            let body = self.left.min(FILLER.len() as u64) as usize;
            let parts = [
                IoSlice::new(&self.start[self.sent..]),
                IoSlice::new(&FILLER[..body]),
            ];
            match stream.write_vectored(&parts) {
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, written: usize) {
        let of_start = written.min(self.start.len() - self.sent);
        self.sent += of_start;
        self.left -= (written - of_start) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes at a time.
    struct Narrow(Vec<u8>, usize);

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(target: &str, width: usize) -> String {
        let mut narrow = Narrow(Vec::new(), width);
        let mut answer = Answers::default().to(target);
        assert!(answer.write(&mut narrow).expect("it takes all"));
        String::from_utf8(narrow.0).expect("ASCII")
    }

    #[test]
    fn a_body_has_the_length_that_the_target_asks_for() {
        for width in [7, 1 << 20] {
            let text = written("/bytes/300000", width);
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            assert!(head.ends_with("Content-Length: 300000"), "{head}");
            assert_eq!(body.len(), 300_000);
        }
    }

    #[test]
    fn everything_else_gets_the_short_text() {
        let text = written("/", 10);
        assert!(
            text.ends_with("Content-Length: 21\r\n\r\nHello from the origin"),
            "{text}"
        );
    }
}
