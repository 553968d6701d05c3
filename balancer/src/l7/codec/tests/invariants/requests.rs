//! Requests: one verdict however the bytes are cut, the same boundaries whatever stands before and
//! behind, and only clean, unambiguous messages for the server.

use std::iter;

use hyper::{Method, Uri};

use super::super::checker::{self, Message};
use super::super::hyper_reading::{self, Reading};
use super::super::proxy::{FORWARDING, Outcome, Setting, serve, serve_under};
use super::{CLAIMS, FIELDS_MAX, cuts, nominated, passing, plain};
use crate::l7::codec::{FieldChanges, Forwarding, Limits};

/// What holds of a client's bytes.
pub(crate) fn requests(bytes: &[u8]) {
    for setting in [Setting::default(), trusting(), rewriting()] {
        let whole = serve_under(setting, [bytes]);
        for pieces in cuts(bytes) {
            assert_eq!(serve_under(setting, pieces), whole, "cut");
        }
        each_alone(setting, bytes, &whole);
    }
}

/// The other way round in everything, and with bounds that small inputs reach.
fn trusting() -> Setting {
    Setting {
        limits: Limits::new(64, 400, 8, 40),
        forwarding: Forwarding {
            trusted: true,
            upgrade: true,
            ..FORWARDING
        },
    }
}

/// A route that changes everything that it may.
fn rewriting() -> Setting {
    Setting {
        forwarding: Forwarding {
            path: Some(b"/new%2F"),
            host: Some(b"inner:80"),
            changes: Some(&Edits),
            ..FORWARDING
        },
        ..Setting::default()
    }
}

/// Takes one field away, and adds another.
#[derive(Debug)]
struct Edits;

impl FieldChanges for Edits {
    fn removes(&self, name: &[u8]) -> bool {
        name.eq_ignore_ascii_case(b"cookie")
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Added: 1\r\n");
    }
}

/// Every request that was read whole reads the same with nothing before it and nothing behind.
fn each_alone(setting: Setting, bytes: &[u8], whole: &Outcome) {
    let starts = iter::once(0).chain(whole.ends.iter().copied());
    let mut forwarded = Vec::new();
    let mut answered_here = 0;
    for (start, end) in starts.zip(whole.ends.iter().copied()) {
        let input = &bytes[start..end];
        let alone = serve_under(setting, [input]);
        assert_eq!((alone.refused, &alone.ends), (None, &vec![input.len()]));
        let is_last = whole.ends.last() == Some(&end);
        assert!(alone.open || is_last, "read on after the last request");
        for one in &alone.forwarded {
            leaves_clean(setting, input, one);
            assert!(setting.forwarding.trusted || claims_nothing(one));
        }
        forwarded.extend(alone.forwarded);
        answered_here += alone.answered_here;
    }
    assert_eq!(forwarded, whole.forwarded);
    assert_eq!(answered_here, whole.answered_here);
    assert_eq!(forwarded.len() + answered_here, whole.ends.len());
}

/// What the server gets is one well-formed message, says what the client said, and is read as
/// nothing else by us or by hyper.
fn leaves_clean(setting: Setting, input: &[u8], forwarded: &[u8]) {
    let (message, rest) = checker::read_request(forwarded);
    assert!(message.whole && rest.is_empty(), "{message:#?}");
    let sent = checker::split(behind_empty_lines(input)).0;
    let mut passed = passing(&sent, &nominated(&sent));
    if setting.forwarding.changes.is_some() {
        is_rewritten(&message, &sent);
        passed.retain(|(name, _)| plain(name) != "cookie");
        passed.push(("X-Added".into(), "1".into()));
    }
    assert_eq!(passing(&message, &[]), passed);
    if message.fields.len() <= FIELDS_MAX {
        reads_the_same_again(forwarded, &message);
    }
    let read = hyper_reading::requests(forwarded);
    if hyper_can_name(&message) {
        assert_eq!(read, [Reading::of_request(&message)]);
    } else {
        assert_eq!(read, []);
    }
}

/// The server is asked for the route's path at the route's host, with the client's query.
fn is_rewritten(message: &Message, sent: &Message) {
    assert_eq!(message.only("host"), "inner:80");
    let query = |target: &str| target.split_once('?').map(|(_, query)| query.to_owned());
    let (target, asked) = (message.target(), sent.target());
    assert!(target == "*" || target.starts_with("/new%2F"), "{target}");
    assert_eq!(query(target), query(asked));
}

/// Whether what a server reads about the request's origin is the balancer's own word.
fn claims_nothing(forwarded: &[u8]) -> bool {
    let (message, _) = checker::split(forwarded);
    let own = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"];
    let names = message.fields.iter().map(|(name, _)| name.as_str());
    let claims: Vec<_> = names
        .filter(|name| plain(name).starts_with(CLAIMS) || plain(name) == "x-real-ip")
        .collect();
    claims == own
}

/// What another balancer of ours would make of it.
fn reads_the_same_again(forwarded: &[u8], message: &Message) {
    let again = serve([forwarded]);
    assert_eq!((again.refused, &again.ends), (None, &vec![forwarded.len()]));
    let Some(second) = again.forwarded.first() else {
        // Max-Forwards counts down at each.
        return assert_eq!(message.only("max-forwards"), "0");
    };
    let (second, _) = checker::read_request(second);
    assert_eq!(second.start_line, message.start_line);
    assert_eq!(second.only("host"), message.only("host"));
    assert_eq!(second.body, message.body);
    assert_eq!(passing(&second, &[]), passing(message, &[]));
}

fn behind_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// Whether hyper's own types hold the method and the target: it refuses what they do not.
fn hyper_can_name(message: &Message) -> bool {
    let method = message.start_line.split(' ').next().unwrap_or_default();
    message.target().parse::<Uri>().is_ok() && method.parse::<Method>().is_ok()
}
