//! The HTTP/2 cases, each played frame by frame on a connection of its own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt, future, stream};
use serde_json::Value;
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::http2_frames::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, End, Frames, HEADERS,
    PADDED, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, fields, frame,
    length, request,
};
use crate::upstream::{Link, Upstream};
use crate::wire::{LIMIT, field};

/// Balancers that are tried at the same time.
const AT_A_TIME: usize = 8;

/// Those that were given, then our own.
fn cases() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protocol-cases");
    let texts = ["http2.jsonl", "own-http2.jsonl"].map(|file| {
        let text = std::fs::read_to_string(folder.join(file)).expect("the cases");
        assert!(text.lines().count() > 10, "{file} has its cases");
        text
    });
    let lines = texts.iter().flat_map(|text| text.lines());
    lines
        .map(|line| serde_json::from_str(line).expect("a case"))
        .collect()
}

/// What `h2` and `http` leave no other choice about, and why.
const BESIDES: [(&str, &str); 5] = [
    // A name or value that is none makes the field section one that cannot be decoded: the connection ends, not the stream alone.
    ("H01", "GOAWAY + close"),
    ("H03", "GOAWAY + close"),
    ("H05", "GOAWAY + close"),
    ("H21", "GOAWAY + close"),
    // A fragment is cut off before anyone sees it: what is forwarded has none.
    ("H17", "forwarded without it"),
];

/// Pseudo-header fields of trailers are taken out before anyone sees them. What is forwarded has none.
const CLEANED: &str = "H33";

/// Two pseudo-header fields more than a sound request, or other ones.
fn heads(own: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &fields(own))
}

fn sound_with(more: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &request("GET", "/", more))
}

/// A request with this path and authority.
fn asking(path: &[u8], authority: &[u8]) -> Vec<u8> {
    heads(&[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", authority),
        (b":path", path),
    ])
}

fn posting(more: &[(&[u8], &[u8])], behind: &[Vec<u8>]) -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, 1, &request("POST", "/", more));
    [head, behind.concat()].concat()
}

fn times(count: usize, one: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let count = u32::try_from(count).expect("a number");
    (0..count).flat_map(one).collect()
}

/// A request that is not answered, on which something else can be tried.
fn held() -> Vec<u8> {
    posting(&[], &[])
}

fn bomb() -> Vec<u8> {
    let mut block = request("GET", "/", &[]);
    // Enters the table, from which it is then named by one byte each time.
    block.extend([0x40, 1, b'x']);
    length(4000, &mut block);
    block.extend([b'y'; 4000]);
    block.extend([0xbe; 4000]);
    frame(HEADERS, WHOLE, 1, &block)
}

/// What the client of a case about a request sends behind preface and settings.
fn of_requests(id: &str) -> Option<Vec<u8>> {
    of_given_requests(id).or_else(|| of_own_requests(id))
}

fn of_given_requests(id: &str) -> Option<Vec<u8>> {
    Some(match id {
        "H01" => sound_with(&[(b"X-Upper", b"1")]),
        "H03" => sound_with(&[(b"x", b"a\0b")]),
        "H05" => sound_with(&[(b"x:y", b"1")]),
        "H07" => sound_with(&[(b"x", b" 1 ")]),
        "H09" => sound_with(&[(b"connection", b"close")]),
        "H11" => sound_with(&[(b"te", b"gzip")]),
        "H13" => asking(b"", b"test"),
        "H15" => asking(b"/ HTTP/1.1", b"test"),
        "H17" => asking(b"/a#b", b"test"),
        "H19" => heads(&[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"test"),
            (b":path", b"/"),
            (b":path", b"/b"),
        ]),
        "H21" => heads(&[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"test"),
            (b":path", b"/"),
            (b":shape", b"round"),
        ]),
        "H23" => sound_with(&[(b"host", b"other")]),
        "H25" => asking(b"/", b"user@test"),
        "H27" => posting(&[(b"content-length", b"5x")], &[]),
        "H29" => sound_with(&[(b"content-length", b"5")]),
        "H31" => posting(
            &[(b"content-length", b"5")],
            &[frame(DATA, END_STREAM, 1, b"abc")],
        ),
        "H33" => {
            let trailers = fields(&[(b":path", b"/evil"), (b"x-trailer", b"1")]);
            let parts = [
                frame(DATA, 0, 1, b"abc"),
                frame(HEADERS, WHOLE, 1, &trailers),
            ];
            posting(&[], &parts)
        }
        "H35" => sound_with(&[(b"cookie", b"a=1"), (b"cookie", b"b=2")]),
        _ => return None,
    })
}

fn of_own_requests(id: &str) -> Option<Vec<u8>> {
    Some(match id {
        "O01" => sound_with(&[(b"x", b"a\r\nevil: 1")]),
        "O02" => sound_with(&[(b"transfer-encoding", b"chunked")]),
        "O03" => sound_with(&[(b"upgrade", b"websocket")]),
        "O04" => sound_with(&[(b"keep-alive", b"1")]),
        "O05" => sound_with(&[(b"proxy-connection", b"close")]),
        "O06" => sound_with(&[(b"content_length", b"5")]),
        "O07" => posting(
            &[(b"content-length", b"5"), (b"content-length", b"5")],
            &[frame(DATA, END_STREAM, 1, b"abcde")],
        ),
        "O08" => posting(
            &[(b"content-length", b"3")],
            &[frame(DATA, END_STREAM, 1, b"abcGET / HTTP/1.1\r\n\r\n")],
        ),
        "O09" => sound_with(&[(b"host", b"test"), (b"host", b"test")]),
        "O10" => asking(b"http://other/", b"test"),
        "O11" => asking(b"*", b"test"),
        "O12" => asking(b"/a\\b", b"test"),
        "O13" => heads(&[(b":scheme", b"http"), (b":path", b"/"), (b"host", b"a")]),
        "O14" => heads(&[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/"),
        ]),
        "O15" => heads(&[
            (b":method", b"GET"),
            (b"x", b"1"),
            (b":scheme", b"http"),
            (b":authority", b"test"),
            (b":path", b"/"),
        ]),
        "O16" => asking(b"/", b"a b"),
        "O17" => asking(b"/\r\nevil: 1", b"test"),
        "O18" => heads(&[
            (b":method", b"GET / HTTP/1.1\r\nx:"),
            (b":scheme", b"http"),
            (b":authority", b"test"),
            (b":path", b"/"),
        ]),
        "O19" => heads(&[
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b":authority", b"test"),
            (b":path", b"/"),
        ]),
        "O20" => heads(&[(b":method", b"CONNECT"), (b":authority", b"test:80")]),
        "O21" => sound_with(&[(b"te", b"trailers"), (b"te", b"gzip")]),
        "O22" => posting(&[], &[frame(HEADERS, WHOLE, 1, &fields(&[(b"x", b" 1")]))]),
        _ => return None,
    })
}

/// The same of those about the connection.
fn of_connections(id: &str) -> Option<Vec<u8>> {
    Some(match id {
        "G01" => frame(DATA, 0, 0, b"x"),
        "G03" => frame(HEADERS, WHOLE, 2, &request("GET", "/", &[])),
        "G05" => frame(DATA, 0, 1, &[0; (1 << 14) + 1]),
        "G07" => [
            frame(HEADERS, END_STREAM, 1, &request("GET", "/", &[])),
            frame(PING, 0, 0, &[0; 8]),
        ]
        .concat(),
        "G09" => frame(HEADERS, WHOLE, 1, &[0xff; 16]),
        "G11" => frame(HEADERS, WHOLE | PADDED, 1, &[200, 0x82]),
        "G13" => frame(SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0]),
        "G15" => frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        "G17" => frame(RST_STREAM, 0, 1, &[0; 4]),
        "O30" => frame(PING, 0, 0, &[0; 7]),
        "O31" => frame(PING, 0, 1, &[0; 8]),
        "O32" => frame(SETTINGS, ACK, 0, &[0; 6]),
        "O33" => frame(CONTINUATION, END_HEADERS, 1, &request("GET", "/", &[])),
        "O34" => [
            frame(HEADERS, END_STREAM, 1, &request("GET", "/", &[])),
            frame(CONTINUATION, END_HEADERS, 3, b""),
        ]
        .concat(),
        "O35" => [
            frame(HEADERS, WHOLE, 3, &request("GET", "/", &[])),
            frame(HEADERS, WHOLE, 1, &request("GET", "/", &[])),
        ]
        .concat(),
        "O36" => frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        "O37" => frame(5, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
        "O38" => frame(SETTINGS, 0, 0, &[0; 5]),
        _ => return None,
    })
}

/// The same of those that ask for too much.
fn of_floods(id: &str) -> Option<Vec<u8>> {
    let odd = |index: u32| 2 * index + 1;
    Some(match id {
        "L01" => times(20_000, |index| {
            let begun = frame(HEADERS, WHOLE, odd(index), &request("GET", "/", &[]));
            [begun, frame(RST_STREAM, 0, odd(index), &[0, 0, 0, 8])].concat()
        }),
        "L03" => {
            let begun = frame(HEADERS, END_STREAM, 1, &request("GET", "/", &[]));
            let more = times(20_000, |_| {
                frame(CONTINUATION, 0, 1, &fields(&[(b"x", b"1")]))
            });
            [begun, more].concat()
        }
        "L05" => bomb(),
        "L07" => times(20_000, |_| frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        "L09" => [held(), times(50_000, |_| frame(DATA, 0, 1, b""))].concat(),
        "L11" => [
            held(),
            times(50_000, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ]
        .concat(),
        "L13" => times(50_000, |_| frame(0xfa, 0, 0, b"nobody knows")),
        "L15" => frame(HEADERS, END_STREAM, 1, &request("GET", "/", &[])),
        "O50" => times(20_000, |_| frame(PING, 0, 0, &[0; 8])),
        "O51" => times(20_000, |_| frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
        "O52" => [
            held(),
            times(50_000, |_| frame(DATA, PADDED, 1, &[3, 0, 0, 0])),
        ]
        .concat(),
        "O53" => times(5_000, |index| {
            frame(HEADERS, END_HEADERS, odd(index), &request("POST", "/", &[]))
        }),
        "O54" => {
            let begun = frame(HEADERS, END_STREAM, 1, &request("GET", "/", &[]));
            let more = times(20_000, |_| frame(CONTINUATION, 0, 1, b""));
            [begun, more].concat()
        }
        "O55" => times(20_000, |index| {
            let malformed = request("GET", "/", &[(b"te", b"gzip")]);
            frame(HEADERS, WHOLE, odd(index), &malformed)
        }),
        _ => return None,
    })
}

/// What the client sends, preface and settings included.
fn bytes_of(id: &str) -> Vec<u8> {
    if id == "G19" {
        return b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec();
    }
    let own = of_requests(id)
        .or_else(|| of_connections(id))
        .or_else(|| of_floods(id))
        .unwrap_or_else(|| panic!("nothing is known of {id}"));
    [PREFACE, &frame(SETTINGS, 0, 0, b""), &own].concat()
}

/// Whether the case may end so. `heads` and `whole`: those of the requests that a server has seen, and how many it saw whole.
fn is_right(id: &str, expect: &str, end: End, heads: &[String], whole: usize) -> bool {
    let refused = matches!(end, End::Reset(_) | End::Answered(400..=599));
    match expect {
        "RST or 400, not forwarded" => refused && heads.is_empty(),
        "RST or 400; upstream never sees a complete message" => refused && whole == 0,
        "RST" if id == CLEANED => {
            let is_clean = |head: &String| !head.contains("evil");
            end == End::Answered(200) && heads.iter().all(is_clean)
        }
        "RST" => matches!(end, End::Reset(_)) && whole == 0,
        "forwarded as one Cookie: a=1; b=2" => {
            let has_one =
                |head: &String| head.to_lowercase().matches("\r\ncookie: a=1; b=2").count() == 1;
            end == End::Answered(200) && heads.iter().all(has_one) && heads.len() == 1
        }
        "forwarded without it" => {
            end == End::Answered(200) && heads[0].starts_with("GET /a HTTP/1.1\r\n")
        }
        "GOAWAY + close" => matches!(end, End::GoAway(_)) && whole == 0,
        "close" => end == End::Closed && heads.is_empty(),
        "ended (GOAWAY ENHANCE_YOUR_CALM or close), memory bounded" => {
            matches!(end, End::GoAway(ENHANCE_YOUR_CALM) | End::Closed)
        }
        "431/400/RST; not 16 MB of copies" => {
            let ended = end == End::GoAway(ENHANCE_YOUR_CALM);
            (refused || ended) && heads.is_empty()
        }
        "ignored or ended" => true,
        "closed by header timeout" => {
            matches!(end, End::GoAway(_) | End::Closed) && heads.is_empty()
        }
        _ => panic!("{id} expects what nobody knows: {expect}"),
    }
}

/// A server that answers whole requests, and shows the heads of all it gets.
async fn recording(heads: &Arc<Mutex<Vec<String>>>) -> Upstream {
    let heads = Arc::clone(heads);
    Upstream::start(move |mut link: Link| {
        let heads = Arc::clone(&heads);
        async move {
            while let Some(head) = link.wire.head().await {
                heads.lock().expect("a lock").push(head.clone());
                if head.to_lowercase().contains("transfer-encoding") {
                    if link.wire.chunks().await.is_none() {
                        return;
                    }
                } else if let Some(length) = field(&head, "content-length")
                    && link
                        .wire
                        .bytes(length.parse().expect("a length"))
                        .await
                        .is_none()
                {
                    return;
                }
                link.counted();
                link.wire
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                    .await;
            }
        }
    })
    .await
}

/// What is wrong with how a case ends.
async fn play(case: Value) -> Option<String> {
    let text = |name: &str| case[name].as_str().expect("text");
    let (id, expect) = (text("id"), text("expect"));
    let besides = BESIDES.iter().find(|(one, _)| *one == id);
    let expect = besides.map_or(expect, |(_, instead)| instead);
    let heads = Arc::default();
    let server = recording(&heads).await;
    let flags = ["--threads", "1", "--head-timeout", "1s"];
    let fleet = Fleet::at(pool(), &[server.address], &flags).await;
    let mut client = Frames::silent(fleet.address()).await;
    for piece in bytes_of(id).chunks(1 << 14) {
        if !client.write(piece).await {
            break;
        }
    }
    if expect == "ignored or ended" {
        // It says whether the connection still serves.
        client
            .send(HEADERS, WHOLE, 1, &request("GET", "/", &[]))
            .await;
    }
    let is_about_stream = of_requests(id).is_some() || matches!(id, "L05" | "L13");
    let stream = if is_about_stream { 1 } else { u32::MAX };
    let end = timeout(LIMIT / 2, client.end_of(stream)).await;
    let Ok(end) = end else {
        return Some(format!("{id} does not end: {case}"));
    };
    drop(client);
    let other = client::get(fleet.address(), "/").await;
    assert_eq!(other.status(), 200, "{id}: others notice nothing");
    fleet.end().await;
    server.has_heard_all().await;
    let mut heads = std::mem::take(&mut *heads.lock().expect("a lock"));
    heads.pop();
    let whole = server.requests() - 1;
    let is_right = is_right(id, expect, end, &heads, whole);
    (!is_right).then(|| format!("{id}: {end:?}, {whole} whole, {heads:?}: {case}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_case_ends_as_it_must() {
    let playing = stream::iter(cases()).map(play).buffer_unordered(AT_A_TIME);
    let wrong: Vec<String> = playing.filter_map(future::ready).collect().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
