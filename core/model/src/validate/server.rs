//! What makes a server valid.

use super::{Problem, Problems};
use crate::{Server, WEIGHT_MAX};

/// Checks a server on its own; that its pool exists and its address is unique is for who sees the pool.
///
/// # Errors
/// Every problem found.
pub fn validate_server(server: &Server) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    problems.check(
        server.weight <= WEIGHT_MAX,
        "weight",
        format!("must be from 0 to {WEIGHT_MAX}"),
    );
    problems.check(
        server.address.port() != 0,
        "address",
        "must name a port other than 0",
    );
    problems.check(
        !server.address.ip().is_unspecified() && !server.address.ip().is_multicast(),
        "address",
        "must be the address of one host",
    );
    problems.check(server.zone.len() <= 63, "zone", "must be at most 63 bytes");
    server.unknown.check("", &mut problems);
    problems.into_result()
}
