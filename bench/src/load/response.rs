//! Reads responses off a connection: where one ends, and whether it was a success.

/// A response's fields, at most.
const FIELDS_MAX: usize = 64;

/// What has come of the response that is awaited.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of a head that came in parts.
    partial: Vec<u8>,
    /// Bytes of the body that are still to come, once the head has come.
    left: Option<u64>,
    status: u16,
    closes: bool,
}

/// What became of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More is to come.
    Partial,
    /// It has come whole, with this status.
    Complete(u16),
    /// It is not what a proxy may send.
    Nonsense,
}

impl Reader {
    /// Whether the response that came last is the last one of its connection, as its `Connection` says.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Takes in what was read.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Progress {
        if let Some(left) = self.left {
            return self.take_body(left, bytes.len() as u64);
        }
        if self.partial.is_empty() {
            return self.take_head(bytes);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(bytes);
        self.take_head(&whole)
    }

    fn take_head(&mut self, bytes: &[u8]) -> Progress {
        match parse(bytes) {
            Parsed::Partial => {
                self.partial = bytes.to_vec();
                Progress::Partial
            }
            Parsed::Nonsense => Progress::Nonsense,
            Parsed::Head {
                status,
                closes,
                head_bytes,
                body_bytes,
            } => {
                self.status = status;
                self.closes = closes;
                self.take_body(body_bytes, (bytes.len() - head_bytes) as u64)
            }
        }
    }

    fn take_body(&mut self, left: u64, came: u64) -> Progress {
        match left.checked_sub(came) {
            Some(0) => {
                self.left = None;
                Progress::Complete(self.status)
            }
            Some(left) => {
                self.left = Some(left);
                Progress::Partial
            }
            // Nothing more was asked for.
            None => Progress::Nonsense,
        }
    }
}

enum Parsed {
    Partial,
    Nonsense,
    Head {
        status: u16,
        closes: bool,
        head_bytes: usize,
        body_bytes: u64,
    },
}

fn parse(bytes: &[u8]) -> Parsed {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let head_bytes = match response.parse(bytes) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) => return Parsed::Partial,
        Err(_) => return Parsed::Nonsense,
    };
    let length = response
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    let closes = response.headers.iter().any(|field| {
        field.name.eq_ignore_ascii_case("connection") && field.value.eq_ignore_ascii_case(b"close")
    });
    match (response.code, length) {
        (Some(status), Some(body_bytes)) => Parsed::Head {
            status,
            closes,
            head_bytes,
            body_bytes,
        },
        // The origin gives every answer a length, and no proxy has a reason to take it away.
        _ => Parsed::Nonsense,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

    #[test]
    fn a_response_is_complete_with_its_last_byte_however_it_is_cut() {
        for cut in 1..TEXT.len() {
            let mut reader = Reader::default();
            assert_eq!(reader.take(&TEXT[..cut]), Progress::Partial, "{cut}");
            assert_eq!(reader.take(&TEXT[cut..]), Progress::Complete(200), "{cut}");
            assert_eq!(reader.take(TEXT), Progress::Complete(200), "{cut}");
        }
    }

    #[test]
    fn bytes_that_nothing_asked_for_are_nonsense() {
        let mut reader = Reader::default();
        assert_eq!(
            reader.take(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab"),
            Progress::Nonsense
        );
        assert_eq!(
            Reader::default().take(b"HTTP/1.1 200 OK\r\n\r\n"),
            Progress::Nonsense
        );
        assert_eq!(Reader::default().take(b"what?\r\n\r\n"), Progress::Nonsense);
    }

    #[test]
    fn a_response_says_whether_it_is_the_last_one() {
        let mut reader = Reader::default();
        let last = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(reader.take(last), Progress::Complete(200));
        assert!(reader.closes());
        assert_eq!(reader.take(TEXT), Progress::Complete(200));
        assert!(!reader.closes());
    }

    #[test]
    fn a_refusal_has_its_status() {
        let text = b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(Reader::default().take(text), Progress::Complete(503));
    }
}
