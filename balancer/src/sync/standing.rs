//! How far this balancer is: what it has applied, and whether it may be sent clients.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Fault, Hold, InstanceId, Origin, Position};
use policy::Table;
use registry::View;

/// How long first verdicts are waited for. Without a leader none come, and servers of which nothing is known serve better than none.
const VERDICTS_WITHIN: Duration = Duration::from_secs(10);

/// Elements that a report names, at most.
const FAULTS_MAX: usize = 100;

/// What the balancer says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Standing {
    /// Where every worker's table stands.
    pub(crate) applied: Option<Position>,
    /// Where the first table of all stood, if it was the registry's.
    pub(crate) began: Option<Position>,
    pub(crate) origin: Origin,
    pub(crate) nacks: Vec<Fault>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) readiness: Readiness,
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

impl Standing {
    /// Takes in what the follower shows beside the state itself.
    pub(crate) fn note(&mut self, view: &View) {
        let faults = view.snapshot.iter().flat_map(|snapshot| &snapshot.faults);
        self.nacks = faults.take(FAULTS_MAX).cloned().collect();
        self.unread = view.trouble.as_ref().map(ToString::to_string);
    }

    /// Why clients may not come yet: without a table, because of what hinders it.
    pub(crate) fn check(&self) -> Result<(), String> {
        let reason = self.readiness.check();
        let hindrance = self.unread.as_ref().or(self.unreported.as_ref());
        reason.map_err(|reason| match (self.readiness, hindrance) {
            (Readiness::NoTable, Some(hindrance)) => format!("{reason}: {hindrance}"),
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

    /// Why not, in a few words.
    pub(crate) fn check(self) -> Result<(), &'static str> {
        match self {
            Self::NoTable => Err("there is no table yet"),
            Self::NoVerdicts => Err("servers have not been inspected yet"),
            Self::Ready => Ok(()),
        }
    }
}
