//! What a route asks of one header or parameter.

use serde::{Deserialize, Serialize};

use crate::Unknown;

/// One header or one parameter of the query, and what its value must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Headers are compared without regard to case.
    pub name: String,
    /// Where nothing is said, it must be there.
    #[serde(default)]
    pub value: Test,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// What a value must be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// It is there, whatever it says.
    #[default]
    Present,
    /// It is not there.
    Absent,
    Exact(String),
    Prefix(String),
}
