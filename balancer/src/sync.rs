//! Between the registry and the workers: the only writer of tables, and the only one that speaks to the registry.
//!
//! Each state that the follower shows is compiled here, off the request path, and published. It counts as applied once every worker has
//! taken it over. What the balancer reports, suspects and says at its end is here too; no request ever waits for any of it.

mod ejecting;
mod elsewhere;
mod identity;
mod metering;
mod propagation;
mod reporting;
mod staleness;
mod stand_in;
mod standing;
mod suspicions;
mod tables;
mod witness;

use std::sync::Arc;
use std::time::{Duration, Instant};

use policy::Ledger;
use registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) use identity::Identity;
pub(crate) use propagation::Propagation;
pub(crate) use stand_in::Findings;
pub(crate) use standing::{Standing, ready};

use crate::adoption::{Adopted, Published};
use crate::metrics::Ejected;

/// Returns at that moment; never where there is none.
async fn sleep_until(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// What the tasks of this module share.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) registry: Arc<dyn Registry>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) tables: watch::Sender<Published>,
    pub(crate) adopted: Arc<Adopted>,
    pub(crate) standing: watch::Sender<Standing>,
    /// How many ejections there were.
    pub(crate) ejected: Arc<Ejected>,
    /// How long revisions take to be applied.
    pub(crate) propagation: Arc<Propagation>,
    /// What is known of the keys of limits.
    pub(crate) ledger: Arc<Ledger>,
    /// How many balancers live, this one included; nothing before that was known.
    pub(crate) balancers: watch::Sender<Option<u32>>,
    /// Whether clients come within TLS.
    pub(crate) listens_on_tls: bool,
    /// How long it may be cut off from the registry and take requests.
    pub(crate) stale_limit: Option<Duration>,
    /// What all clocks of this balancer count from.
    pub(crate) started: Instant,
    /// Fires when no worker serves any more.
    pub(crate) served: CancellationToken,
    /// Fires after that, when this balancer has said goodbye.
    pub(crate) gone: CancellationToken,
}
