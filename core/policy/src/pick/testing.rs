//! What the algorithms' tests have in common.

use crate::tier::{Member, Members};

/// Members of these weights, in parts.
pub(crate) fn members(weights: &[u32]) -> Members {
    let member = |(index, weight): (usize, &u32)| Member {
        index,
        age: (model::Revision(index as u64 + 1), 0),
        number: index as u64,
        weight: *weight,
    };
    weights.iter().enumerate().map(member).collect()
}
