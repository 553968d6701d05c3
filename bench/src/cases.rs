//! The cases: what is asked, of whom, with which servers behind.

use crate::load::Request;
use crate::peers::Peer;

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the reader should know of it.
    pub(crate) note: &'static str,
    pub(crate) work: Work,
    pub(crate) contestants: Vec<Contestant>,
}

/// What is done with each contestant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {
    /// As much as there can be on so many connections.
    Closed(usize, Request),
    /// A fixed rate on so many connections: 70% of what the slowest peer can.
    Steady(usize, Request),
    /// So many connections without a word.
    Idle(usize),
}

/// A program and how it is set up for a case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    pub(crate) peer: Peer,
    /// Whom its ratio is taken with.
    pub(crate) against: Option<String>,
    pub(crate) servers: usize,
    pub(crate) threads: usize,
    pub(crate) algorithm: Option<&'static str>,
    /// Whether the membership changes meanwhile.
    pub(crate) changes: bool,
    /// Whether a fixed rate is 70% of what it can itself.
    pub(crate) own_rate: bool,
}

const ALGORITHMS: [&str; 6] = [
    "random",
    "least_connections",
    "fleet_least_connections",
    "p2c",
    "ip_hash",
    "hash",
];

/// All cases, for these peers. Whoever is not among them is left out; a case of ours alone needs no peer.
pub(crate) fn all(peers: &[Peer]) -> Vec<Case> {
    let mut cases = closed_loops(peers);
    cases.extend([
        steady(peers),
        idle(peers),
        many_servers(peers),
        changing(),
        algorithms(),
        threads(),
    ]);
    for case in &mut cases {
        case.contestants
            .retain(|contestant| peers.contains(&contestant.peer));
    }
    cases.retain(|case| !case.contestants.is_empty());
    cases
}

fn get(target: &str) -> Request {
    Request {
        target: target.into(),
        body_bytes: 0,
        close: false,
    }
}

fn post(body_bytes: usize) -> Request {
    Request {
        body_bytes,
        ..get("/")
    }
}

fn once() -> Request {
    Request {
        close: true,
        ..get("/")
    }
}

impl Contestant {
    fn plain(peer: Peer) -> Self {
        let ours = Peer::Roundhouse;
        Self {
            name: peer.name().into(),
            peer,
            against: (peer != ours).then(|| ours.name().into()),
            servers: 1,
            threads: 1,
            algorithm: None,
            changes: false,
            own_rate: false,
        }
    }

    /// One of ours that is compared to the plain one.
    fn variant(what: &str) -> Self {
        let ours = Peer::Roundhouse.name();
        Self {
            name: format!("{ours}, {what}"),
            against: Some(ours.into()),
            ..Self::plain(Peer::Roundhouse)
        }
    }
}

fn plain(peers: &[Peer]) -> Vec<Contestant> {
    peers.iter().copied().map(Contestant::plain).collect()
}

/// As much as there can be, of requests of several kinds.
fn closed_loops(peers: &[Peer]) -> Vec<Case> {
    let closed = |name, title, connections, request| Case {
        name,
        title,
        note: "",
        work: Work::Closed(connections, request),
        contestants: plain(peers),
    };
    vec![
        closed("short-64", "A short body, 64 connections", 64, get("/")),
        closed("short-512", "A short body, 512 connections", 512, get("/")),
        closed(
            "body-100k",
            "A body of 100 KB, 64 connections",
            64,
            get("/bytes/100000"),
        ),
        closed(
            "body-10m",
            "A body of 10 MB, 8 connections",
            8,
            get("/bytes/10000000"),
        ),
        closed(
            "post-64k",
            "A request's body of 64 KB, 64 connections",
            64,
            post(65_536),
        ),
        closed(
            "connections",
            "A connection for each request, 64 at a time",
            64,
            once(),
        ),
    ]
}

fn steady(peers: &[Peer]) -> Case {
    let own = Contestant {
        own_rate: true,
        ..Contestant::variant("70% of its own")
    };
    Case {
        name: "latency",
        title: "Latency at a fixed rate, a short body, 64 connections",
        note: "The rate is 70% of what the slowest peer reached in a closed loop just before, and for one more of ours 70% of what \
               that reached. Each request is timed from when it was due.",
        work: Work::Steady(64, get("/")),
        contestants: plain(peers).into_iter().chain([own]).collect(),
    }
}

fn idle(peers: &[Peer]) -> Case {
    Case {
        name: "idle",
        title: "10,000 idle connections",
        note: "Each connection asked once and then stays open. Memory is what the process itself has resident; the kernel's own \
               for sockets is the same for all. Per connection it is what came on top of the process as it had started.",
        work: Work::Idle(10_000),
        // The relay keeps two connections for each, so that what it has says nothing.
        contestants: plain(peers)
            .into_iter()
            .filter(|one| one.peer != Peer::Relay)
            .collect(),
    }
}

fn many_servers(peers: &[Peer]) -> Case {
    let sizes = [(1, ""), (100, ", 100 servers"), (10_000, ", 10000 servers")];
    // The relay has one server and chooses none.
    let choosing = peers.iter().copied().filter(|peer| *peer != Peer::Relay);
    let contestant = |peer: Peer, (servers, suffix): (usize, &str)| {
        let ours = Peer::Roundhouse.name();
        let against = match (peer, suffix) {
            (Peer::Roundhouse, "") => None,
            (Peer::Roundhouse, _) => Some(ours.into()),
            _ => Some(format!("{ours}{suffix}")),
        };
        Contestant {
            name: format!("{}{suffix}", peer.name()),
            against,
            servers,
            ..Contestant::plain(peer)
        }
    };
    Case {
        name: "servers",
        title: "1, 100 and 10,000 servers, a short body, 64 connections",
        note: "With 10,000 servers every proxy keeps a connection to each of them, and ours probes each until it is up and \
               then each hour (instead of each 2 s), so that the probes leave the client its core.",
        work: Work::Closed(64, get("/")),
        contestants: choosing
            .flat_map(|peer| sizes.map(|size| contestant(peer, size)))
            .collect(),
    }
}

fn changing() -> Case {
    let base = Contestant {
        servers: 10,
        ..Contestant::plain(Peer::Roundhouse)
    };
    let changing = Contestant {
        servers: 10,
        changes: true,
        ..Contestant::variant("changing")
    };
    Case {
        name: "changes",
        title: "Ten membership changes a second, a short body, 64 connections",
        note: "A server is added and removed by turns through the admin API, beside ten that stay. The peers have no part in it: \
               they take their servers from a file, and a reload is a new process.",
        work: Work::Closed(64, get("/")),
        contestants: vec![base, changing],
    }
}

fn algorithms() -> Case {
    let base = Contestant {
        servers: 10,
        ..Contestant::plain(Peer::Roundhouse)
    };
    let others = ALGORITHMS.map(|algorithm| Contestant {
        servers: 10,
        algorithm: Some(algorithm),
        ..Contestant::variant(algorithm)
    });
    Case {
        name: "algorithms",
        title: "Each algorithm, 10 servers, a short body, 64 connections",
        note: "`roundhouse` alone is `round_robin`.",
        work: Work::Closed(64, get("/")),
        contestants: [base].into_iter().chain(others).collect(),
    }
}

fn threads() -> Case {
    let two = Contestant {
        threads: 2,
        ..Contestant::variant("2 threads")
    };
    Case {
        name: "threads",
        title: "Two worker threads, a short body, 64 connections",
        note: "The second thread shares its core with the client and the server, so the rate says nothing here; the cost per \
               request does.",
        work: Work::Closed(64, get("/")),
        contestants: vec![Contestant::plain(Peer::Roundhouse), two],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_ratio_is_with_someone_in_the_same_case() {
        for case in all(&Peer::ALL) {
            let names: BTreeSet<_> = case
                .contestants
                .iter()
                .map(|contestant| &contestant.name)
                .collect();
            assert_eq!(names.len(), case.contestants.len(), "{}", case.name);
            for contestant in &case.contestants {
                let known = contestant
                    .against
                    .as_ref()
                    .is_none_or(|against| names.contains(against));
                assert!(known, "{}: {}", case.name, contestant.name);
            }
        }
    }

    #[test]
    fn who_was_not_asked_for_is_in_no_case() {
        let cases = all(&[Peer::Nginx]);
        assert!(cases.iter().any(|case| case.name == "short-64"));
        assert!(
            cases
                .iter()
                .flat_map(|case| &case.contestants)
                .all(|contestant| contestant.peer == Peer::Nginx)
        );
    }
}
