//! One connection of the origin: read a head, swallow the body, answer, again.

use std::io::{self, Read};

use mio::net::TcpStream;

use super::Shared;
use super::answer::Answer;
use crate::request::{Body, Head};

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The beginning of a head that came in parts.
    partial: Vec<u8>,
    /// Bytes of the request's body that are still to come.
    swallow: u64,
    answer: Option<Answer>,
    close: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            swallow: 0,
            answer: None,
            close: false,
        }
    }

    /// Does what can be done now; false once the connection is over.
    pub(super) fn turn(&mut self, closing: bool, shared: &mut Shared) -> bool {
        loop {
            match self.write() {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
            match self.stream.read(&mut shared.input) {
                Ok(0) => return false,
                Ok(read) => {
                    // The stream's end may be behind it.
                    let drained = read < shared.input.len() && !closing;
                    if !self.take(read, shared) || !self.write().is_ok_and(|_| !self.is_over()) {
                        return false;
                    }
                    if drained {
                        return true;
                    }
                }
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Whether the last answer has gone out.
    fn is_over(&self) -> bool {
        self.close && self.answer.is_none()
    }

    /// Writes the answer, if there is one and the body has been swallowed; false where the stream takes no more.
    fn write(&mut self) -> io::Result<bool> {
        let Some(answer) = self.answer.as_mut().filter(|_| self.swallow == 0) else {
            return Ok(true);
        };
        let done = answer.write(&mut self.stream)?;
        if done {
            self.answer = None;
        }
        Ok(done)
    }

    /// Takes in what was read; false where it is no request.
    fn take(&mut self, read: usize, shared: &mut Shared) -> bool {
        let mut bytes = &shared.input[..read];
        if !self.partial.is_empty() {
            self.partial.extend_from_slice(bytes);
            bytes = &self.partial;
        }
        let of_body = (bytes.len() as u64).min(self.swallow);
        self.swallow -= of_body;
        let bytes = &bytes[of_body as usize..];
        if bytes.is_empty() {
            self.partial.clear();
            return true;
        }
        match Head::parse(bytes) {
            Some(Some(head)) => {
                let Body::Length(body) = head.body else {
                    // No proxy here turns a length into chunks; one that did would be told by the failures.
                    return false;
                };
                let came = bytes.len() - head.length;
                let is_alone = came <= body;
                self.swallow = body.saturating_sub(came) as u64;
                self.close = head.close;
                self.answer = Some(shared.answers.to(head.target));
                self.partial.clear();
                // Proxies do not pipeline.
                is_alone
            }
            Some(None) => {
                self.partial = bytes.to_vec();
                true
            }
            None => false,
        }
    }
}
