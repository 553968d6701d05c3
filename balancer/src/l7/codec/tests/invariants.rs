//! What must hold of any bytes at all. The ordinary tests ask it of the listed cases and of
//! generated messages, the fuzz targets of whatever they come upon. Each function panics where its
//! promise is broken, and a finding becomes one more call of it.

mod bodies;
mod readings;
mod requests;
mod responses;

use std::hash::{DefaultHasher, Hasher};
use std::iter;

use super::checker::Message;

pub(crate) use bodies::bodies;
pub(super) use bodies::decode;
pub(crate) use readings::readings;
pub(crate) use requests::requests;
pub(crate) use responses::responses;

/// The fields that the balancer drops, replaces or adds to, with `-` for `_`, beside those that begin
/// with [`CLAIMS`]. All others pass.
const KNOWN: [&str; 22] = [
    "connection",
    "content-length",
    "date",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "max-forwards",
    "proxy",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "roundhouse-reason",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-real-ip",
    "x-request-id",
];

/// How the names of fields begin in which proxies say where a request comes from.
const CLAIMS: &str = "x-forwarded-";

/// A message that came with the most fields allowed leaves with more, and would not be taken again.
const FIELDS_MAX: usize = 100;

/// `bytes` in single bytes (or few, where there are many), and cut at places that are the same
/// whenever the bytes are.
fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let seed = hasher.finish().to_le_bytes();
    let place = |at: usize| {
        let number = u16::from_le_bytes([seed[at], seed[at + 1]]);
        usize::from(number) % (bytes.len() + 1)
    };
    vec![
        bytes.chunks(1 + bytes.len() / 512).collect(),
        pieces(bytes, vec![place(0)]),
        pieces(bytes, vec![place(2), place(4), place(6)]),
    ]
}

/// `bytes` in pieces that end at `ends`.
pub(super) fn pieces(bytes: &[u8], mut ends: Vec<usize>) -> Vec<&[u8]> {
    ends.push(bytes.len());
    ends.sort_unstable();
    let starts = iter::once(0).chain(ends.clone());
    starts
        .zip(ends)
        .map(|(start, end)| &bytes[start..end])
        .collect()
}

/// The fields that must come out as they came in: known ones aside, and those that `Connection`
/// named on the way in.
fn passing(message: &Message, nominated: &[String]) -> Vec<(String, String)> {
    let passes = |name: &String| {
        let plain = plain(name);
        let is_known = KNOWN.contains(&plain.as_str()) || plain.starts_with(CLAIMS);
        !is_known && !nominated.contains(&name.to_ascii_lowercase())
    };
    let fields = message.fields.iter().filter(|(name, _)| passes(name));
    fields.cloned().collect()
}

/// A name as the most lenient server reads it.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace('_', "-")
}

/// The names in `Connection`.
fn nominated(message: &Message) -> Vec<String> {
    message
        .values("connection")
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

/// Whether the shorter of the two begins the longer.
fn agree(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}
