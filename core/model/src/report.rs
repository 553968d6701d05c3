//! What instances say of themselves, and of the servers that they see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Collection, Epoch, Fault, InstanceId, PoolId, Position, Revision, ServerKey, Unknown, Verdict,
};

/// What part a process plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Balancer,
    Orchestrator,
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Balancer => "balancer",
            Self::Orchestrator => "orchestrator",
            Self::Admin => "admin",
        })
    }
}

/// Where the state that an instance acts on comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// It has none yet.
    #[default]
    Nothing,
    /// Its own state file, since it has not reached the registry.
    Disk,
    Registry,
}

/// An element that an instance cannot apply.
pub type Nack = Fault;

/// The elements that an instance cannot apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nacks {
    /// The first of them, since every report repeats them.
    pub named: Vec<Nack>,
    /// How many others there are of each kind.
    pub more: BTreeMap<Collection, u64>,
}

impl Nacks {
    /// How many are named at most.
    pub const NAMED_MAX: usize = 100;

    pub fn of<'a>(faults: impl IntoIterator<Item = &'a Fault>) -> Self {
        let mut nacks = Self::default();
        for fault in faults {
            if nacks.named.len() < Self::NAMED_MAX {
                nacks.named.push(fault.clone());
            } else {
                *nacks.more.entry(fault.collection).or_default() += 1;
            }
        }
        nacks
    }
}

/// What one instance says of itself; the registry adds when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub instance: InstanceId,
    pub role: Role,
    /// The address at which clients reach it. Another instance that registers with it supersedes this one.
    pub advertise: String,
    /// The name of its host: a loopback address means another listener on each.
    #[serde(default)]
    pub host: String,
    #[serde(default)]
    pub region: String,
    #[serde(default)]
    pub zone: String,
    /// Where every part of it stands; nothing before its first table.
    pub applied: Option<Position>,
    /// Where its first table stood, if that was the registry's own, with nothing held back: what was gone by
    /// then it never used.
    #[serde(default)]
    pub began: Option<Position>,
    #[serde(default)]
    pub origin: Origin,
    /// Requests in flight, tunnels included, for each server that is leaving: those draining or disabled,
    /// and those removed, also when they are none. A server that is absent here is not known to be at zero.
    #[serde(default)]
    pub leaving: BTreeMap<ServerKey, ServerLoad>,
    /// Requests in flight to servers of pools that compare them over the whole fleet; those without any are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub loads: BTreeMap<ServerKey, ServerLoad>,
    /// Elements that it cannot apply, the first [`Nacks::NAMED_MAX`].
    #[serde(default)]
    pub nacks: Vec<Nack>,
    /// How many others it cannot apply, of each kind that has some.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_nacks: BTreeMap<Collection, u64>,
    /// Withdrawals that it holds back.
    #[serde(default)]
    pub holds: Vec<Hold>,
    /// Servers that it has ejected on its own evidence, the first hundred.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ejected: Vec<ServerKey>,
    /// What the registry refuses it, and what it found there by other hands, a sentence each.
    /// The first [`Report::TROUBLES_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
    /// How many others there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_troubles: u64,
    /// Those in other processes that serve at the same address meanwhile, because one hands over to another: it takes
    /// the place of none of them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub beside: BTreeSet<InstanceId>,
    /// The verdicts of an orchestrator that stands by, on servers of pools that ask for a majority, where they differ from
    /// the registry's: the first [`Report::PROBES_MAX`]. Nothing where it does not probe. What is not here agrees, or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<BTreeMap<ServerKey, Verdict>>,
}

impl Report {
    /// How many verdicts of its own a report names at most. As the registry follows, others take their place.
    pub const PROBES_MAX: usize = 500;

    /// How many troubles a report names at most.
    pub const TROUBLES_MAX: usize = 100;

    /// The same, with what is not as it should be for who reports.
    pub fn troubled(self, troubles: &[impl fmt::Display]) -> Self {
        let named = troubles.iter().take(Self::TROUBLES_MAX);
        let more = troubles.len().saturating_sub(Self::TROUBLES_MAX);
        Self {
            troubles: named.map(ToString::to_string).collect(),
            more_troubles: u64::try_from(more).unwrap_or(u64::MAX),
            ..self
        }
    }

    /// What an instance says that has no table yet, and nothing to add.
    pub fn new(instance: InstanceId, role: Role, advertise: impl Into<String>) -> Self {
        Self {
            instance,
            role,
            advertise: advertise.into(),
            host: String::new(),
            region: String::new(),
            zone: String::new(),
            applied: None,
            began: None,
            origin: Origin::Nothing,
            leaving: BTreeMap::new(),
            loads: BTreeMap::new(),
            nacks: Vec::new(),
            more_nacks: BTreeMap::new(),
            holds: Vec::new(),
            ejected: Vec::new(),
            troubles: Vec::new(),
            more_troubles: 0,
            beside: BTreeSet::new(),
            probes: None,
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How busy one incarnation of a server is, as one balancer sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerLoad {
    pub incarnation: Revision,
    pub in_flight: u64,
    /// Whether clients that are with it may still send it more, though it drains.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sticky: bool,
}

/// A mass withdrawal that a balancer holds back for one pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub pool: PoolId,
    /// Where the registry stood when the withdrawal was seen.
    pub position: Position,
    /// The servers that the registry no longer has, or calls down against the balancer's own evidence, and
    /// that are still in use: the first of them, since every report repeats them.
    pub servers: Vec<ServerKey>,
    /// How many they are; 0 where an older version reports, which names them all.
    #[serde(default)]
    pub total: usize,
}

impl Hold {
    /// How many servers are named at most.
    pub const NAMED_MAX: usize = 100;

    /// A hold of no servers yet.
    pub fn new(pool: PoolId, position: Position) -> Self {
        Self {
            pool,
            position,
            servers: Vec::new(),
            total: 0,
        }
    }

    pub fn add(&mut self, server: &ServerKey) {
        self.total += 1;
        if self.servers.len() < Self::NAMED_MAX {
            self.servers.push(server.clone());
        }
    }

    /// How many servers are held back, those included that are not named.
    pub fn size(&self) -> usize {
        self.total.max(self.servers.len())
    }
}

/// What an operator decided on a held withdrawal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldDecision {
    Confirm,
    Reject,
}

/// The record of a decision: it covers what was withdrawn from the pool up to a revision of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruling {
    pub epoch: Epoch,
    pub revision: Revision,
    pub decision: HoldDecision,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl Ruling {
    /// Whether it is about what has been held since a position.
    pub fn covers(&self, since: Position) -> bool {
        self.epoch == since.epoch && self.revision >= since.revision
    }
}

/// A report, and its age by the registry's own clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    pub report: Report,
    pub age: Duration,
}

/// A server's own lease, and its state by the registry's own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub key: ServerKey,
    /// Since it was last renewed.
    pub age: Duration,
    /// How long a renewal lasts.
    pub lifetime: Duration,
}

impl Registration {
    /// Whether a renewal was missed.
    pub fn is_expired(&self) -> bool {
        self.age > self.lifetime
    }
}

/// How a balancer saw a server fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuspicionKind {
    /// No connection came about: nothing was sent.
    Connect,
    /// The connection broke.
    Reset,
    /// Nothing came in time.
    Timeout,
    /// What came is not HTTP.
    BadResponse,
    /// It stands out from the pool's servers, so that the balancer has ejected it. Versions that do not know this one skip it.
    Outlier,
}

impl SuspicionKind {
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Reset,
        Self::Timeout,
        Self::BadResponse,
        Self::Outlier,
    ];

    /// As it is spelt wherever it is text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::BadResponse => "bad_response",
            Self::Outlier => "outlier",
        }
    }
}

/// Said at once by a balancer that saw a server fail; the leader's probe decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspicion {
    pub instance: InstanceId,
    pub server: ServerKey,
    pub incarnation: Revision,
    pub kind: SuspicionKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_counts_every_server_and_names_the_first_hundred() {
        let position = Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: crate::RevisionId::random(),
        };
        let mut hold = Hold::new(PoolId::standard(), position);
        for number in 0..250 {
            let key = format!("default/s{number}").parse().unwrap();
            hold.add(&key);
        }
        assert_eq!((hold.size(), hold.servers.len()), (250, 100));
    }

    #[test]
    fn a_hold_that_an_older_version_reports_counts_what_it_names() {
        let position =
            serde_json::json!({"epoch": uuid::Uuid::nil(), "revision": 4, "id": uuid::Uuid::nil()});
        let hold = serde_json::json!({"pool": "default", "position": position,
            "servers": ["default/s2", "default/s3"]});
        let hold: Hold = serde_json::from_value(hold).unwrap();
        assert_eq!(hold.size(), 2);
    }

    #[test]
    fn of_what_cannot_be_applied_the_first_hundred_are_named_and_the_others_counted() {
        let fault = |number: usize| Fault {
            collection: if number.is_multiple_of(2) {
                Collection::Servers
            } else {
                Collection::Routes
            },
            key: number.to_string(),
            reason: "nonsense".into(),
        };
        let faults: Vec<_> = (0..105).map(fault).collect();
        let nacks = Nacks::of(&faults);
        assert_eq!(nacks.named, faults[..100]);
        let more = [(Collection::Servers, 3), (Collection::Routes, 2)];
        assert_eq!(nacks.more, more.into());
        let mut report = Report::new(InstanceId::random(), Role::Balancer, "a");
        let plain = serde_json::to_value(&report).unwrap();
        assert_eq!(plain.get("more_nacks"), None, "older versions report none");
        report.more_nacks = nacks.more;
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["more_nacks"],
            serde_json::json!({"servers": 3, "routes": 2})
        );
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
        assert_eq!(serde_json::from_value::<Report>(plain).unwrap().nacks, []);
    }

    #[test]
    fn of_troubles_the_first_hundred_are_named_and_the_others_counted() {
        let report = || Report::new(InstanceId::random(), Role::Balancer, "a");
        let troubles: Vec<_> = (0..250).collect();
        let plain = report().troubled(&troubles[..100]);
        assert_eq!((plain.troubles.len(), plain.more_troubles), (100, 0));
        let json = serde_json::to_value(plain).unwrap();
        assert_eq!(json.get("more_troubles"), None, "as older versions report");
        let many = report().troubled(&troubles);
        assert_eq!((many.troubles.len(), many.more_troubles), (100, 150));
        let json = serde_json::to_value(&many).unwrap();
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), many);
    }

    #[test]
    fn a_failure_is_spelt_the_same_everywhere() {
        for kind in SuspicionKind::ALL {
            let json = serde_json::to_value(kind).unwrap();
            assert_eq!(json, kind.as_str());
        }
    }
}
