//! Layer 7: HTTP between clients and servers.
//!
//! `conversation` reads a client's requests, which `http2` brings it one by one where many come at once, `dispatch` sends each on its way,
//! `routing` says where to, `limits` whether it may, `queueing` finds it a server, `attempt` is one try at that,
//! `waiting` the time until it answers, `again` whether another is made, `relay` the way back, `answer` the balancer's own. Each calls only
//! those after it; what they hand on is an `exchange`, a `miss` where a try brought nothing, and an answer that is `held` while a better one
//! is looked for. `pump` moves one direction, and the codec knows what the bytes mean.

mod again;
mod answer;
mod attempt;
pub mod codec;
mod conversation;
mod cookies;
mod deadline;
mod dispatch;
mod edits;
mod exchange;
mod hashing;
mod health;
mod held;
mod http2;
mod incoming;
mod limits;
mod miss;
mod problem;
mod pump;
mod queueing;
mod relay;
mod retry_after;
mod routing;
mod space;
mod sticking;
mod talk;
mod waiting;

pub(crate) use conversation::serve;
pub(crate) use space::Spaces;
