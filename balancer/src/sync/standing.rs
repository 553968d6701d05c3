//! How far this balancer is: what it has applied, and whether it may be sent clients.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Hold, InstanceId, Nacks, Origin, Position};
use policy::Table;
use registry::View;
use tokio::sync::watch;

use crate::adoption::Published;

/// How long first verdicts are waited for. Without a leader none come, and servers of which nothing is known serve better than none.
const VERDICTS_WITHIN: Duration = Duration::from_secs(10);

/// What the balancer says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standing {
    /// Where every worker's table stands.
    pub(crate) applied: Option<Position>,
    /// Where the first table of all stood, if that was the registry's and nothing was held back in it: a server that had been taken away
    /// before was never used.
    pub(crate) began: Option<Position>,
    pub(crate) origin: Origin,
    pub(crate) nacks: Nacks,
    pub(crate) holds: Vec<Hold>,
    pub(crate) readiness: Readiness,
    /// Whether it turns clients away, since it has been cut off from the registry for too long.
    pub(crate) stale: bool,
    /// Why the last report was not taken. Before the first one is, nothing is read.
    pub(crate) unreported: Option<String>,
    /// Why the registry cannot be followed.
    pub(crate) unread: Option<String>,
    /// Those that serve at the same address in other processes, while one hands over to another.
    pub(crate) beside: BTreeSet<InstanceId>,
}

/// Whether clients may come. Once they may, they may until the balancer stops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Readiness {
    #[default]
    NoTable,
    NoVerdicts,
    Ready,
}

/// Returns once clients may come.
pub(crate) async fn ready(mut standing: watch::Receiver<Standing>) {
    // Where the tasks end before, the process ends.
    let _ = standing
        .wait_for(|standing| standing.readiness.is_ready())
        .await;
}

impl Standing {
    /// Takes in what the follower shows beside the state itself, and what is made nothing of in the latest table.
    pub(crate) fn note(&mut self, view: &View, latest: &Published) {
        let faults = view.snapshot.iter().flat_map(|snapshot| &snapshot.faults);
        let faults = faults.chain(latest.table.faults());
        self.nacks = Nacks::of(faults.chain(latest.tls.faults()));
        self.unread = view.trouble.as_ref().map(ToString::to_string);
    }

    /// Why clients may not come: without a table, or with one that is too old, because of what hinders it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let reason = self.readiness.check().err();
        let stale = "it has been cut off from the registry for longer than --stale-limit";
        let Some(reason) = reason.or(self.stale.then_some(stale)) else {
            return Ok(());
        };
        let hindrance = self.unread.as_ref().or(self.unreported.as_ref());
        Err(match hindrance {
            Some(hindrance) if self.readiness != Readiness::NoVerdicts => {
                format!("{reason}: {hindrance}")
            }
            _ => reason.into(),
        })
    }
}

impl Readiness {
    /// What it is with this table in every worker's hands. A state from disk is one that served before, so it needs no verdicts; one
    /// from the registry needs them, so that the first requests go to servers that are known to be up.
    pub(crate) fn judge(self, table: &Arc<Table>, origin: Origin, since_first: Duration) -> Self {
        let has_pool = table.route().is_some();
        let verdicts = origin == Origin::Disk || table.has_first_verdicts();
        match self {
            Self::Ready => Self::Ready,
            _ if !has_pool => Self::NoTable,
            _ if verdicts || since_first >= VERDICTS_WITHIN => Self::Ready,
            _ => Self::NoVerdicts,
        }
    }

    pub(crate) fn is_ready(self) -> bool {
        self == Self::Ready
    }

    /// Why not, in a few words.
    pub(crate) fn check(self) -> Result<(), &'static str> {
        match self {
            Self::NoTable => Err("there is no table yet"),
            Self::NoVerdicts => Err("servers have not been inspected yet"),
            Self::Ready => Ok(()),
        }
    }
}
