//! Responses: one verdict however the bytes are cut, only clean messages for the client, and a
//! body that broke off never looks whole.

use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;

use super::super::checker::{self, Message};
use super::super::hyper_reading::{self, Reading};
use super::super::proxy::{Reply, relay};
use super::{FIELDS_MAX, agree, cuts, nominated, passing};
use crate::l7::codec::{Asked, Protocol, Version};

/// What a request asks to change to, where it does.
const PROTOCOL: &str = "websocket";

/// Everything that a request may have asked, as far as it matters to its answer.
pub(super) fn asked() -> [Asked; 3] {
    let plain = Asked::default();
    [
        plain,
        Asked {
            head_only: true,
            ..plain
        },
        Asked {
            upgrade: Protocol::read(PROTOCOL.as_bytes()),
            ..plain
        },
    ]
}

/// What holds of a server's bytes.
pub(crate) fn responses(bytes: &[u8]) {
    for asked in asked() {
        for version in [Version::Http10, Version::Http11] {
            let whole = relay([bytes], asked, version);
            for pieces in cuts(bytes) {
                same_however_cut(&whole, &relay(pieces, asked, version), asked);
            }
            leaves_clean(bytes, &whole, asked, version);
        }
    }
}

fn same_however_cut(whole: &Reply, cut: &Reply, asked: Asked) {
    let verdict = |reply: &Reply| {
        let Reply {
            bad_gateway,
            truncated,
            reusable,
            keep_alive,
            ..
        } = *reply;
        (bad_gateway, truncated, reusable, keep_alive)
    };
    assert_eq!(verdict(cut), verdict(whole));
    if cut.written == whole.written {
        return;
    }
    let (mut one, mut other) = (messages(cut, asked), messages(whole, asked));
    if whole.truncated {
        // How far a body was relayed before it broke off depends on the cuts.
        let (one, other) = (one.last_mut().unwrap(), other.last_mut().unwrap());
        assert!(agree(&one.body, &other.body));
        one.body.clear();
        other.body.clear();
    }
    assert_eq!(one, other);
}

/// What the client gets says what the server said, and is read as nothing else by us or by hyper.
fn leaves_clean(bytes: &[u8], reply: &Reply, asked: Asked, version: Version) {
    let messages = messages(reply, asked);
    if reply.bad_gateway {
        return assert!(messages.iter().all(|message| message.whole));
    }
    let (message, before) = messages.split_last().unwrap();
    assert!(before.iter().all(|interim| interim.whole), "{before:#?}");
    let sent = final_head(bytes);
    let passed = passing(message, &[]);
    assert_eq!(passed, passing(&sent, &nominated(&sent)));
    assert_eq!(message.status(), sent.status());
    if message.status() == "101" {
        let changed_to = message.only("upgrade").to_ascii_lowercase();
        assert!(asked.upgrade.is_some() && changed_to == PROTOCOL);
    }
    if reply.truncated {
        // An old client is only told by a reset.
        if version == Version::Http11 {
            assert!(!message.whole, "{message:#?}");
            let read = hyper_reading::response(&reply.written, request(asked));
            assert_eq!(read, None);
        }
        return;
    }
    assert!(message.whole, "{message:#?}");
    let read = hyper_reading::response(&reply.written, request(asked));
    assert_eq!(read, Some(Reading::of_response(message)));
    if message.fields.len() > FIELDS_MAX {
        return;
    }
    let again = relay([reply.written.as_slice()], asked, Version::Http11);
    assert!(!again.bad_gateway && !again.truncated);
    let second = self::messages(&again, asked).pop().unwrap();
    assert_eq!(second.start_line, message.start_line);
    assert_eq!(second.body, message.body);
    assert_eq!(passing(&second, &[]), passed);
}

/// Each message that a client reads, its body without the coding.
fn messages(reply: &Reply, asked: Asked) -> Vec<Message> {
    let mut rest = reply.written.as_slice();
    let mut messages = Vec::new();
    while !rest.is_empty() {
        let (head, _) = checker::split(rest);
        let is_interim = is_interim(&head);
        let is_bodiless =
            asked.head_only || is_interim || ["204", "304", "101"].contains(&head.status());
        let (message, after) = if is_bodiless {
            checker::read_head(rest)
        } else {
            checker::read(rest, !reply.keep_alive)
        };
        messages.push(message);
        rest = after;
        assert!(is_interim || rest.is_empty(), "more than one final message");
    }
    messages
}

fn is_interim(head: &Message) -> bool {
    head.status().starts_with('1') && head.status() != "101"
}

fn final_head(bytes: &[u8]) -> Message {
    let mut rest = bytes;
    loop {
        let (head, after) = checker::split(rest);
        if !is_interim(&head) {
            return head;
        }
        rest = after;
    }
}

/// A request that asks so.
pub(super) fn request(asked: Asked) -> Request<Empty<Bytes>> {
    let method = if asked.head_only { "HEAD" } else { "GET" };
    let mut request = Request::builder().method(method).header("host", "a");
    if asked.upgrade.is_some() {
        request = request
            .header("connection", "upgrade")
            .header("upgrade", PROTOCOL);
    }
    request.body(Empty::new()).unwrap()
}
