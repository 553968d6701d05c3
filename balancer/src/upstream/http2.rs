//! Servers that speak HTTP/2: connections that many requests share, one set per thread.
//!
//! To an exchange each request's stream looks like a connection of its own. It is one end of a pipe, at whose other end a `bridge` reads the
//! request as HTTP/1.1, sends it as a stream of HTTP/2, and writes the answer back as HTTP/1.1. So retries, limits, outcomes and timeouts
//! are the same for both protocols, and are written once.
//!
//! `connections` has the connections of a thread and opens them, `link` is one of them, `io` what it is spoken over; `request` and `response`
//! put heads into the other protocol, `upload` and `download` move the bodies, and `broken` says what a stream's failure means.

mod bridge;
mod broken;
mod connections;
mod download;
mod io;
mod link;
mod request;
mod response;
mod upload;

pub(crate) use connections::{Call, Connections};
