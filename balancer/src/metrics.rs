//! What a balancer counts: plainly per thread, summed when somebody asks.

mod counters;
mod expiries;
mod scrape;

pub(crate) use counters::{Counters, Ejected, NoRetry};
pub(crate) use expiries::Expiries;
pub(crate) use scrape::Scrape;
