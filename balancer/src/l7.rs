//! Layer 7: HTTP between clients and servers.
//!
//! `conversation` reads a client's requests, `exchange` sends each on its way, `attempt` is one try at one server, `waiting` the time until
//! it answers, `relay` the way back, `answer` the balancer's own. Each calls only those after it; what they hand on is an `order`, and a
//! `miss` where a try brought nothing. `pump` moves one direction, and the codec knows what the bytes mean.

mod answer;
mod attempt;
pub mod codec;
mod conversation;
mod deadline;
mod exchange;
mod miss;
mod order;
mod problem;
mod pump;
mod relay;
mod space;
mod talk;
mod waiting;
mod wire;

pub(crate) use conversation::serve;
pub(crate) use space::Spaces;
