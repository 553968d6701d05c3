//! The codec as a whole: what comes in on one side against what goes out on the other.

mod changes;
mod checker;
mod hyper_reading;
mod invariants;
mod properties;
mod protocol_cases;
mod proxy;
mod requests;
mod responses;
