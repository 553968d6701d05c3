//! The codec's reading of raw bytes against hyper's: what we take, it takes as the same; what it
//! takes and we do not, we refuse. Where we may differ is named here, each with its reason.

use hyper::{Method, Uri};

use super::super::checker::latin;
use super::super::hyper_reading::{self, Reading};
use super::responses::{asked, request};
use crate::l7::codec::{
    Asked, BodyDecoder, Carry, Fields, Framing, Limits, Parse, RequestHead, ResponseHead,
    parse_request, parse_response,
};

/// Why no message follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// What comes next is refused.
    Refused,
    /// The connection ends with the last message.
    Closed,
    /// More input is needed.
    Unfinished,
}

/// What holds of bytes from a client or, where they begin as such, from a server.
pub(crate) fn readings(bytes: &[u8]) {
    if bytes.starts_with(b"HTTP/") {
        for asked in asked() {
            same_response(bytes, asked);
        }
    } else {
        same_requests(bytes);
    }
}

fn same_requests(bytes: &[u8]) {
    let (ours, end) = requests(bytes);
    let theirs = hyper_reading::requests(bytes);
    let common = ours.len().min(theirs.len());
    for (own, other) in ours.iter().zip(&theirs) {
        assert_eq!(own.reading, *other);
    }
    if let Some(own) = ours.get(common) {
        assert!(own.is_beyond_hyper, "hyper refuses {own:#?}");
    }
    if let Some(other) = theirs.get(common) {
        assert_ne!(end, End::Unfinished, "hyper reads {other:#?}");
    }
}

fn same_response(bytes: &[u8], asked: Asked) {
    let theirs = hyper_reading::response(bytes, request(asked));
    match response(bytes, asked) {
        Ok(ours) => assert_eq!(theirs, Some(ours)),
        Err(End::Unfinished) => assert_eq!(theirs, None),
        Err(_) => {}
    }
}

/// A request as the codec reads it.
#[derive(Debug)]
struct Own {
    reading: Reading,
    is_beyond_hyper: bool,
}

impl Own {
    fn new(buf: &[u8], head: &RequestHead, body: Vec<u8>) -> Self {
        let line = buf.split(|byte| *byte == b'\n').find(|line| *line != b"\r");
        let line = latin(line.unwrap_or_default());
        let mut parts = line.trim_end().split(' ');
        let (method, target) = (parts.next().unwrap(), parts.next().unwrap());
        let uri = target.parse::<Uri>();
        // Hyper knows no later minor version, which RFC 9110 (2.5) has us read as 1.1, and its types for
        // methods and targets have narrower rules of their own.
        let is_later = !["HTTP/1.0", "HTTP/1.1"].contains(&parts.next().unwrap());
        let is_beyond_hyper = is_later || uri.is_err() || method.parse::<Method>().is_err();
        let target = uri.map_or(target.to_owned(), |uri| uri.to_string());
        Self {
            reading: reading(format!("{method} {target}"), &head.fields, buf, body),
            is_beyond_hyper,
        }
    }
}

fn reading(start: String, fields: &Fields, buf: &[u8], body: Vec<u8>) -> Reading {
    let fields = fields
        .iter(buf)
        .map(|(name, value)| (latin(name), latin(value)));
    Reading::new(start, fields, body)
}

/// Every request that the codec reads whole, and why no other follows.
fn requests(bytes: &[u8]) -> (Vec<Own>, End) {
    let mut read = Vec::new();
    let mut head = RequestHead::new();
    let mut rest = bytes;
    loop {
        head.reset();
        let head_length = match parse_request(rest, &Limits::default(), &mut head) {
            Ok(Parse::Complete { head_length }) => head_length,
            Ok(Parse::Incomplete) => return (read, End::Unfinished),
            Err(_) => return (read, End::Refused),
        };
        let (body, length) = match body(head.framing, &rest[head_length..]) {
            Ok(body) => body,
            Err(end) => return (read, end),
        };
        read.push(Own::new(rest, &head, body));
        rest = &rest[head_length + length..];
        if !head.keep_alive {
            return (read, End::Closed);
        }
    }
}

/// The final response, if the codec reads it whole.
fn response(bytes: &[u8], asked: Asked) -> Result<Reading, End> {
    let mut head = ResponseHead::new();
    let mut rest = bytes;
    loop {
        head.reset();
        let parse = parse_response(rest, asked, &Limits::for_responses(), &mut head);
        let Parse::Complete { head_length } = parse.map_err(|_| End::Refused)? else {
            return Err(End::Unfinished);
        };
        if head.is_interim() {
            rest = &rest[head_length..];
            continue;
        }
        let (body, _) = body(head.framing, &rest[head_length..])?;
        return Ok(reading(head.status.to_string(), &head.fields, rest, body));
    }
}

/// A body's content and its length on the wire.
fn body(framing: Framing, bytes: &[u8]) -> Result<(Vec<u8>, usize), End> {
    let mut decoder = BodyDecoder::new(framing, Carry::Content, &Limits::default());
    let mut content = Vec::new();
    let mut used = 0;
    while !decoder.is_done() {
        let step = decoder.advance(&bytes[used..]).map_err(|_| End::Refused)?;
        let relayed = used + step.relay.start..used + step.relay.end;
        content.extend_from_slice(&bytes[relayed]);
        used += step.consumed;
        if step.consumed == 0 {
            decoder.end_of_input().map_err(|_| End::Unfinished)?;
        }
    }
    Ok((content, used))
}
