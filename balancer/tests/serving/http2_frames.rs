//! HTTP/2 frame by frame, as a client that may break every rule.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::wire::LIMIT;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as it came.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// A client's end of a connection.
pub(crate) struct Frames {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

/// How a stream or its connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By an answer with this status.
    Answered(u16),
    /// The stream was reset, for this reason.
    Reset(u32),
    /// The connection ended behind a GOAWAY with this reason.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals that enter no table (RFC 7541, 6.2.2), byte for byte.
pub(crate) fn fields(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(text.len(), &mut block);
            block.extend(*text);
        }
    }
    block
}

/// A length in seven bits, or more (RFC 7541, 5.1).
pub(crate) fn length(length: usize, block: &mut Vec<u8>) {
    let narrow = |number: usize| u8::try_from(number).expect("a byte");
    if length < 127 {
        return block.push(narrow(length));
    }
    block.push(127);
    let mut left = length - 127;
    while left >= 128 {
        block.push(narrow(left % 128) | 128);
        left /= 128;
    }
    block.push(narrow(left));
}

/// A sound request for this path, with more fields behind.
pub(crate) fn request(method: &str, path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut all: Vec<(&[u8], &[u8])> = vec![
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":authority", b"test"),
        (b":path", path.as_bytes()),
    ];
    all.extend(more);
    fields(&all)
}

impl Frames {
    /// With the preface, and settings that say nothing.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &[]).await
    }

    /// With the preface, and these settings.
    pub(crate) async fn connect_with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::silent(address).await;
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        frames.write(PREFACE).await;
        frames.send(SETTINGS, 0, 0, &payload).await;
        frames
    }

    /// Without a word.
    pub(crate) async fn silent(address: SocketAddr) -> Self {
        let stream = timeout(LIMIT, TcpStream::connect(address)).await;
        let stream = stream.expect("connected in time").expect("connected");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Writes bytes. Whether the other side still took them.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> bool {
        let written = timeout(LIMIT, self.stream.write_all(bytes)).await;
        written.expect("written in time").is_ok()
    }

    pub(crate) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.write(&frame(kind, flags, stream, payload)).await
    }

    /// Sends the same bytes so many times, or until the other side takes no more.
    pub(crate) async fn flood(&mut self, count: usize, bytes: impl Fn(u32) -> Vec<u8>) {
        let count = u32::try_from(count).expect("a number");
        let mut piece = Vec::new();
        for index in 0..count {
            piece.extend(bytes(index));
            if piece.len() > 1 << 14 || index + 1 == count {
                if !self.write(&piece).await {
                    return;
                }
                piece.clear();
            }
        }
    }

    /// The next frame; nothing at the end of the connection, however that came.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            let mut piece = [0; 16 << 10];
            let read = timeout(LIMIT, self.stream.read(&mut piece)).await;
            let count = read.expect("read in time").unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.read.extend_from_slice(&piece[..count]);
        }
    }

    fn take(&mut self) -> Option<Frame> {
        let head = self.read.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let stream = number(&head[5..9]);
        let payload = self.read.get(9..9 + length)?.to_vec();
        self.read.drain(..9 + length);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// How it ends for this stream.
    pub(crate) async fn end_of(&mut self, stream: u32) -> End {
        let mut last_word = End::Closed;
        while let Some(frame) = self.next().await {
            match frame.kind {
                GOAWAY if number(&frame.payload[4..8]) != NO_ERROR => {
                    last_word = End::GoAway(number(&frame.payload[4..8]));
                }
                HEADERS if frame.stream == stream => return End::Answered(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => {
                    return End::Reset(number(&frame.payload));
                }
                _ => {}
            }
        }
        last_word
    }

    /// How the connection ends.
    pub(crate) async fn end(&mut self) -> End {
        self.end_of(u32::MAX).await
    }
}

/// A number in four bytes.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

/// The status of an answer, which comes first: from the static table, or behind its name in it.
fn status(block: &[u8]) -> u16 {
    let known = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [index @ 0x88..=0x8e, ..] => known[usize::from(index - 0x88)],
        // Three digits as they are, or in RFC 7541's code.
        [_, 3, digits @ ..] => digits[..3]
            .iter()
            .fold(0, |number, digit| number * 10 + u16::from(digit - b'0')),
        [_, coded @ 0x82..=0x83, bytes @ ..] => huffman_digits(&bytes[..usize::from(coded & 0x7f)]),
        _ => panic!("no status in {block:02x?}"),
    }
}

/// Three digits, of which 0 to 2 take five bits and the others six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let bits: Vec<u16> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)))
        .collect();
    let value = |bits: &[u16]| bits.iter().fold(0, |value, bit| value << 1 | bit);
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let short = value(&bits[at..at + 5]);
        let (length, digit) = if short < 3 {
            (5, short)
        } else {
            (6, value(&bits[at..at + 6]) - 0x19 + 3)
        };
        at += length;
        number = number * 10 + digit;
    }
    number
}
