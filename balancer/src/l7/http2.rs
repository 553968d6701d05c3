//! HTTP/2 to clients (RFC 9113): one connection, many requests at once, each of which goes the way of every other request.
//!
//! The `h2` crate knows frames, HPACK and flow control. What it leaves to others is here: `io` looks at the frames as they pass, which
//! `frames` tells apart, and `guard` says when a client asks for too much; `session` is the connection from its first byte to its last;
//! `arrivals` hands its streams to tasks, each of which serves one after another; `exchange` is one stream. A stream's request is written
//! as HTTP/1.1 (`request`, `upload`) into a pipe whose other end is a client's connection like any other, and the answer that comes out
//! of it is read back (`download`, `response`), of which `backlog` lets only so much wait for a client that reads slowly. So routing,
//! limits, retries and strictness are the same for all protocols.

mod arrivals;
mod backlog;
mod download;
mod exchange;
mod frames;
mod guard;
mod io;
mod request;
mod response;
mod session;
mod shared;
mod upload;

pub(super) use frames::PREFACE;
pub(super) use session::serve;
