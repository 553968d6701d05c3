//! Who may be sent on now, and who waits: the places at each server, the queue of a pool, and its circuit.
//!
//! A server with a bound has as many [`Place`]s as it takes connections at the same time. One is held by whatever cannot be ended for
//! another request's sake: a request that was given the server, the connection that it uses, a tunnel. Connections that rest hold none,
//! since they lie on a [`Shelf`] from which every thread takes or closes them at once. Where all places are held, requests stand in
//! their pool's line behind its [`Gate`]. `line` alone decides whose turn it is, and knows neither threads nor wakers' meaning, so
//! that many schedules of it can be tried.

mod gate;
mod line;
mod places;
mod shelf;

pub use gate::{Admitted, Gate, QueueFull, Queued};
pub use places::Place;
pub(crate) use places::Places;
pub use shelf::Shelf;

/// Why no server was picked. Of what several candidates say, the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unpicked {
    /// There is none that may be picked, of those that were not tried.
    Nothing,
    /// Each has as many requests in flight as the pool's circuit lets it have.
    CircuitOpen,
    /// Each has as many connections in use as it may; one may come free.
    Full,
}

#[cfg(test)]
mod simulation;
