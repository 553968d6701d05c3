//! The requests of a soak: what a client sends, and where a server finds the end of it.

use std::ops::Range;

use rand::RngExt;
use rand::rngs::StdRng;

use super::tally::Kind;
use crate::request::{Body, Head};

/// The bodies that most have.
const SHORT: Range<usize> = 1..4096;

/// Bodies of some requests that can be repeated: nearly all that a balancer keeps to send again, which is 64 KiB by default.
const LONG: [usize; 2] = [48 * 1024, 60 * 1024];

/// The length of a chunk, but for the last one.
const CHUNK: usize = 4096;

/// How a body says where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunks,
}

/// A request by chance: six of ten have no body, two can be repeated with theirs, and two cannot.
pub(super) fn any(random: &mut StdRng) -> (Kind, Vec<u8>) {
    match random.random_range(0..10) {
        0..6 => (
            Kind::Repeatable,
            b"GET / HTTP/1.1\r\nHost: soak\r\n\r\n".to_vec(),
        ),
        6..8 => (Kind::Repeatable, put(random)),
        _ => {
            let body = random.random_range(SHORT);
            (Kind::Once, with_body("POST", body, Framing::Length))
        }
    }
}

/// Half of them are short, and a third of them comes in chunks.
fn put(random: &mut StdRng) -> Vec<u8> {
    let body = match random.random_range(0..4) {
        long @ 0..2 => LONG[long],
        _ => random.random_range(SHORT),
    };
    let framing = match random.random_range(0..3) {
        0 => Framing::Chunks,
        _ => Framing::Length,
    };
    with_body("PUT", body, framing)
}

fn with_body(method: &str, body: usize, framing: Framing) -> Vec<u8> {
    let field = match framing {
        Framing::Length => format!("Content-Length: {body}"),
        Framing::Chunks => "Transfer-Encoding: chunked".into(),
    };
    let mut bytes = format!("{method} / HTTP/1.1\r\nHost: soak\r\n{field}\r\n\r\n").into_bytes();
    match framing {
        Framing::Length => bytes.resize(bytes.len() + body, b'x'),
        Framing::Chunks => write_chunks(body, &mut bytes),
    }
    bytes
}

fn write_chunks(mut left: usize, bytes: &mut Vec<u8>) {
    while left > 0 {
        let length = left.min(CHUNK);
        bytes.extend_from_slice(format!("{length:x}\r\n").as_bytes());
        bytes.resize(bytes.len() + length, b'x');
        bytes.extend_from_slice(b"\r\n");
        left -= length;
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
}

/// The bytes of the request at the beginning, its body included: none while it is not known, none at all where it is not a request.
pub(super) fn length(bytes: &[u8]) -> Option<Option<usize>> {
    let Some(head) = Head::parse(bytes)? else {
        return Some(None);
    };
    let body = match head.body {
        Body::Length(length) => Some(length),
        Body::Chunks => chunks_length(&bytes[head.length..])?,
    };
    Some(body.map(|body| head.length + body))
}

/// The bytes of all chunks and of the empty trailer behind the last one.
fn chunks_length(bytes: &[u8]) -> Option<Option<usize>> {
    let mut at = 0;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let httparse::Status::Complete((size, length)) = httparse::parse_chunk_size(rest).ok()?
        else {
            return Some(None);
        };
        at += size + length as usize + 2;
        if length == 0 {
            return Some((at <= bytes.len()).then_some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_server_finds_the_end_of_each_request_and_not_before_it_is_there() {
        for framing in [Framing::Length, Framing::Chunks] {
            for body in [1, CHUNK, CHUNK + 1, LONG[1]] {
                let bytes = with_body("PUT", body, framing);
                assert_eq!(
                    length(&bytes),
                    Some(Some(bytes.len())),
                    "{framing:?} {body}"
                );
                let is_whole = |cut: usize| {
                    length(&bytes[..cut])
                        .expect("a request")
                        .is_some_and(|length| length <= cut)
                };
                assert!(!(0..bytes.len()).any(is_whole), "{framing:?} {body}");
            }
        }
        assert_eq!(length(b"\x01\x02\r\n\r\n"), None);
    }

    #[test]
    fn no_body_is_more_than_a_balancer_keeps() {
        let longest = with_body("PUT", LONG[1], Framing::Chunks);
        assert!(longest.len() < 64 * 1024);
    }

    #[test]
    fn requests_of_every_kind_come_by_chance() {
        let mut random = StdRng::seed_from_u64(1);
        let all: Vec<_> = (0..1000).map(|_| any(&mut random)).collect();
        let is_there = |kind, start: &[u8], longer: usize| {
            all.iter().any(|(found, bytes)| {
                *found == kind && bytes.starts_with(start) && bytes.len() > longer
            })
        };
        assert!(is_there(Kind::Repeatable, b"GET /", 0));
        assert!(is_there(Kind::Once, b"POST /", 0));
        let put = "PUT / HTTP/1.1\r\nHost: soak\r\n";
        for field in [
            "Content-Length: 61440\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            let start = format!("{put}{field}");
            assert!(is_there(Kind::Repeatable, start.as_bytes(), LONG[1]));
        }
    }
}
