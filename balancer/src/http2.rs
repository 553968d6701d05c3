//! What HTTP/2 to clients and to servers have in common. Both are put into HTTP/1.1 and back in the same way: `content` is a body that was read
//! as HTTP/1.1 and is sent as HTTP/2, `staged` is what goes the other way, and `fields` writes the lines of heads and trailers.

mod content;
mod fields;
mod staged;

pub(crate) use content::{Content, Gone, NoBody};
pub(crate) use fields::{write_field, write_trailers};
pub(crate) use staged::{Piece, Staged};
