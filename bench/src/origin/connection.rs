//! One connection of the origin: read a head, swallow the body, answer, again.

use std::io::{self, Read};

use mio::net::TcpStream;

use super::Shared;
use super::answer::Answer;

/// A head's fields, at most; proxies add some.
const FIELDS_MAX: usize = 64;

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

/// A request's head, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
struct Request<'a> {
    target: &'a str,
    head_bytes: usize,
    body_bytes: u64,
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
        match parse(bytes) {
            Some(Some(request)) => {
                let came = (bytes.len() - request.head_bytes) as u64;
                let is_alone = came <= request.body_bytes;
                self.swallow = request.body_bytes.saturating_sub(came);
                self.close = request.close;
                self.answer = Some(shared.answers.to(request.target));
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

/// The request at the beginning of the bytes: none in it while its head is not whole, none at all where it is not one.
fn parse(bytes: &[u8]) -> Option<Option<Request<'_>>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head_bytes) = parsed.parse(bytes).ok()? else {
        return Some(None);
    };
    let mut request = Request {
        target: parsed.path?,
        head_bytes,
        body_bytes: 0,
        close: false,
    };
    for field in parsed.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            request.body_bytes = std::str::from_utf8(field.value).ok()?.parse().ok()?;
        } else if field.name.eq_ignore_ascii_case("connection") {
            request.close = field.value.eq_ignore_ascii_case(b"close");
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            // No proxy here turns a length into chunks; one that did would be told by the failures.
            return None;
        }
    }
    Some(Some(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_how_much_to_swallow_and_whether_it_is_the_last() {
        let text =
            b"POST /x HTTP/1.1\r\nHost: a\r\ncontent-length: 12\r\nConnection: close\r\n\r\nabc";
        let expected = Request {
            target: "/x",
            head_bytes: text.len() - 3,
            body_bytes: 12,
            close: true,
        };
        assert_eq!(parse(text), Some(Some(expected)));
    }

    #[test]
    fn half_a_head_is_waited_for_and_nonsense_is_not() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost"), Some(None));
        assert_eq!(parse(b"\x01\x02\r\n\r\n"), None);
        assert_eq!(
            parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            None
        );
    }
}
