//! The balancer's own HTTP/1.1 codec over `httparse`: bytes in, facts and bytes out, no I/O and no
//! clock.
//!
//! It exists because the common way of a request (parse the head in the connection's buffer,
//! decide, write the rewritten head) must cost almost nothing and refuse everything that two
//! parsers could read differently. Heads are spans over the caller's buffer. A request that is under
//! way has both from its thread, which reuses them for those that follow. Reading sockets,
//! deadlines, picking a server and retrying belong to its callers.
//!
//! A request's way through here: [`parse_request`] (again with a longer buffer while it says
//! [`Parse::Incomplete`]), [`BodyDecoder::advance`] over what is there of the body *before*
//! anything is sent, so that a malformed first chunk reaches nobody, [`rewrite_request`], then the
//! relayed ranges. Back: [`parse_response`] until the head is final, [`rewrite_response`], a
//! decoder for its body. After a [`Refusal`], [`BadBody`] or [`BadResponse`] the connection it came
//! from is never used again.

mod answer;
mod body;
mod changes;
mod chunked;
mod connection;
mod date;
mod fields;
mod forward;
mod forwarded;
mod framing;
mod limits;
mod method;
mod name;
mod phrases;
mod protocol;
mod refusal;
mod request;
mod request_id;
mod response;
mod returning;
mod scan;
mod source;
mod span;
mod target;
mod trailer;

pub use answer::{Answer, TextAnswer, write_answer, write_options_answer, write_text_answer};
pub use body::{Advance, BodyDecoder, Carry, ChunkHead, LAST_CHUNK};
pub use changes::FieldChanges;
pub use date::HttpDate;
pub use fields::{Field, Fields};
pub use forward::{Forwarding, Subject, rewrite_request};
pub use framing::Framing;
pub use limits::{FIELDS_MAX, HEAD_MAX, Limits};
pub use method::{Method, Version};
pub use name::Name;
pub(super) use name::is_value_byte;
pub use protocol::Protocol;
pub use refusal::{BadBody, BadResponse, Refusal};
pub use request::{Parse, RequestHead, parse_request};
pub use request_id::REQUEST_ID_MAX;
pub use response::{Asked, InterimCap, ResponseHead, parse_response};
pub use returning::{Relay, Returned, Returning, rewrite_response};
pub use span::Span;
pub use target::{Form, Target};

#[cfg(test)]
mod tests;
