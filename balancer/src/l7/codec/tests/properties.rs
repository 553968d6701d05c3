//! What holds for any bytes, cut anywhere.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::invariants;
use super::proxy::serve;
use crate::l7::codec::{
    Asked, BadBody, BodyDecoder, Carry, Framing, Limits, RequestHead, ResponseHead, parse_request,
    parse_response,
};

const REQUEST_LINES: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "\r\nPOST /a?b HTTP/1.1\r\n",
    "POST /p HTTP/1.0\r\n",
    "PUT http://b:1/x HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "M-X / HTTP/1.3\r\n",
    "HEAD /h HTTP/1.1\n",
    "GET /#f HTTP/2.0\r\n",
];

const STATUS_LINES: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 404 \r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n",
    "HTTP/1.1 101 Switching\r\n",
    "HTTP/1.1 999 Far\r\n",
];

const FIELDS: &[&str] = &[
    "Host: b:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 005\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Connection: close, X-Gone\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\nUpgrade: websocket\r\n",
    "X-Gone:1\r\n",
    "connection: X-Also, X-Forwarded-For\r\n",
    "x-also: 1\r\n",
    "X-Stays: \t caf\u{e9} \r\n",
    "Keep-Alive: 5\r\n",
    "Proxy-Connection: x\r\n",
    "Via: 1.0 fred\r\n",
    "TE: trailers\r\n",
    "Trailer: X-T\r\n",
    "Expect: 100-continue\r\n",
    "Max-Forwards: 2\r\n",
    "X-Forwarded-For: 6.6.6.6\r\n",
    "Forwarded: for=6.6.6.6\r\n",
    "Forwarded: for=\"oops\r\n",
    "X_Forwarded_Host: evil\r\n",
    "X-Forwarded-Port: 4443\r\n",
    "x-forwarded_prefix: /evil\r\n",
    "X-Real-IP: 6.6.6.6\r\n",
    "Date: now\r\n",
    "Empty:\r\n",
    " folded\r\n",
    "Bare: lf\n",
];

const BODIES: &[&str] = &[
    "",
    "hello",
    "5\r\nhello\r\n0\r\n\r\n",
    "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\nHost: evil\r\n\r\n",
    "fffffffffffffffff\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "helloGET /next HTTP/1.1\r\nHost: c\r\n\r\n",
];

/// What chunked bodies are made of, good and bad.
const CHUNKS: &[&str] = &[
    "5\r\nhello\r\n",
    "1;a=b\r\n!\r\n",
    "00a\r\n0123456789\r\n",
    "3;\r\nab\n\r\n",
    "0\r\n",
    "0;x\r\n",
    "X-T: 1\r\n",
    "TE: x\r\n",
    "X-Forwarded-Port: 4443\r\n",
    " folded\r\n",
    "\r\n",
    "\n",
    "5 \r\nhello\r\n",
    "GET /",
];

/// A message from the lists, perhaps with a few bytes overwritten.
fn message(lines: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let host = select(&["", "Host: a\r\n", "Host: a\r\n", "Host: a\r\n"][..]);
    let fields = vec(select(FIELDS), 0..5).prop_map(|fields| fields.concat());
    let parts = (select(lines), host, fields, select(BODIES));
    let damage = vec(
        (any::<Index>(), select(b"\r\n\0 :;,/0a\xff".as_slice())),
        0..2,
    );
    (parts, damage).prop_map(|((line, host, fields, body), damage)| {
        let text = [line, host, &fields, "\r\n", body].concat();
        let mut bytes: Vec<u8> = text.chars().map(|letter| letter as u8).collect();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// `bytes` in pieces that end at `cuts`.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let ends = cuts.iter().map(|cut| cut.index(bytes.len() + 1));
    invariants::pieces(bytes, ends.collect())
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..6)
}

/// Everything that a decoder relays of `input`, and how it ended.
fn decode(framing: Framing, carry: Carry, input: &[&[u8]]) -> (Vec<u8>, Result<bool, BadBody>) {
    let decoder = BodyDecoder::new(framing, carry, &Limits::default());
    let decoded = invariants::decode(decoder, input);
    (decoded.relayed, decoded.ended)
}

/// A chunked body with these chunks, in a wire form with optional extras.
fn chunked(chunks: &[Vec<u8>], extension: &str, trailers: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in chunks {
        wire.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(format!("000{extension}\r\n{trailers}\r\n").as_bytes());
    wire
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_any_door_panic(
        bytes in vec(any::<u8>(), 0..300),
        length in any::<u64>(),
    ) {
        let limits = Limits::default();
        let _ = parse_request(&bytes, &limits, &mut RequestHead::new());
        let _ = parse_response(&bytes, Asked::default(), &limits, &mut ResponseHead::new());
        for framing in [Framing::None, Framing::Length(length), Framing::Chunked, Framing::UntilClose] {
            for carry in [Carry::Wire, Carry::WireWithoutTrailers, Carry::Content] {
                let _ = decode(framing, carry, &[&bytes]);
            }
        }
    }

    #[test]
    fn a_request_reads_the_same_however_it_is_cut(bytes in message(REQUEST_LINES), cuts in cuts()) {
        prop_assert_eq!(serve(pieces(&bytes, &cuts)), serve([bytes.as_slice()]));
    }

    #[test]
    fn every_promise_about_requests_holds_of_messages_one_after_another(
        messages in vec(message(REQUEST_LINES), 1..4),
    ) {
        invariants::requests(&messages.concat());
        invariants::readings(&messages.concat());
    }

    #[test]
    fn every_promise_about_responses_holds(bytes in message(STATUS_LINES)) {
        invariants::responses(&bytes);
        invariants::readings(&bytes);
    }

    #[test]
    fn every_promise_about_bodies_holds(pieces in vec(select(CHUNKS), 0..8)) {
        invariants::bodies(pieces.concat().as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn chunks_give_their_content_however_they_are_cut(
        chunks in vec(vec(any::<u8>(), 1..40), 0..6),
        extension in select(&["", ";a", ";a=\"b c\"", ";x;y=1"][..]),
        trailers in select(&["", "X-T: 1\r\n", "X-T: 1\r\nTE: x\r\nX-U:\r\n"][..]),
        cuts in cuts(),
    ) {
        let wire = chunked(&chunks, extension, trailers);
        let (content, ended) = decode(Framing::Chunked, Carry::Content, &pieces(&wire, &cuts));
        prop_assert_eq!(ended, Ok(true));
        prop_assert_eq!(&content, &chunks.concat());
        let (clean, ended) = decode(Framing::Chunked, Carry::Wire, &pieces(&wire, &cuts));
        prop_assert_eq!(ended, Ok(true));
        prop_assert_eq!(&clean, &chunked(&chunks, "", &trailers.replace("TE: x\r\n", "")));
        let (again, _) = decode(Framing::Chunked, Carry::Wire, &[&clean]);
        prop_assert_eq!(again, clean);
    }

    #[test]
    fn a_length_takes_its_bytes_and_no_more(
        bytes in vec(any::<u8>(), 0..100),
        length in 0_u64..120,
        cuts in cuts(),
    ) {
        let (content, ended) = decode(Framing::Length(length), Carry::Wire, &pieces(&bytes, &cuts));
        let taken = bytes.len().min(usize::try_from(length).unwrap());
        prop_assert_eq!(content, &bytes[..taken]);
        prop_assert_eq!(ended, Ok(taken as u64 == length));
    }
}
