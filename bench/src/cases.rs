//! The cases: what is asked, of whom, with which servers behind.

mod ruled;
mod secured;

use crate::load::Request;
use crate::peers::Peer;
use crate::rules::Rules;

/// A case.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What the reader should know of it.
    pub(crate) note: &'static str,
    pub(crate) work: Work,
    /// Whether its figures vary so much that it needs more rounds than others.
    pub(crate) is_noisy: bool,
    pub(crate) contestants: Vec<Contestant>,
}

/// What is done with each contestant.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {
    /// As much as there can be on so many connections.
    Closed(usize, Request),
    /// A fixed rate on so many connections.
    Steady(usize, Request, Asked),
    /// As much as there can be on so many connections of HTTP/2 within TLS, each with so many requests at the same time.
    Streams(usize, usize),
    /// So many connections without a word.
    Idle(usize),
}

/// How a fixed rate is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Asked {
    /// As 70% of what can be had at most.
    Share,
    /// So many requests a second.
    Rate(f64),
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
    pub(crate) rules: Rules,
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
    cases.extend(secured::all(peers));
    cases.extend([
        steady(peers),
        idle(peers),
        many_servers(peers),
        ruled::many_routes(peers),
        changing(),
        swapping(),
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

fn post(body_bytes: usize) -> Request {
    Request {
        body_bytes,
        ..Request::get("/")
    }
}

fn once() -> Request {
    Request {
        close: true,
        ..Request::get("/")
    }
}

impl Case {
    /// Whether the client is reached within TLS.
    pub(crate) fn is_secured(&self) -> bool {
        match &self.work {
            Work::Closed(_, request) | Work::Steady(_, request, _) => request.tls.is_some(),
            Work::Streams(..) => true,
            Work::Idle(_) => false,
        }
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
            rules: Rules::default(),
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

fn without_relay(peers: &[Peer]) -> Vec<Peer> {
    let proxies = peers.iter().filter(|peer| **peer != Peer::Relay);
    proxies.copied().collect()
}

/// One that more of something is asked of than of the plain ones, where its name ends so: ours is compared to the plain one, a peer to
/// ours with the same.
fn sized(peer: Peer, suffix: &str) -> Contestant {
    let ours = Peer::Roundhouse.name();
    let against = match (peer, suffix) {
        (Peer::Roundhouse, "") => None,
        (Peer::Roundhouse, _) => Some(ours.into()),
        _ => Some(format!("{ours}{suffix}")),
    };
    Contestant {
        name: format!("{}{suffix}", peer.name()),
        against,
        ..Contestant::plain(peer)
    }
}

/// As much as there can be, of requests of several kinds.
fn closed_loops(peers: &[Peer]) -> Vec<Case> {
    let closed = |name, title, connections, request| Case {
        name,
        title,
        note: "",
        work: Work::Closed(connections, request),
        is_noisy: false,
        contestants: plain(peers),
    };
    let connections = Case {
        note: "The relay has no part in it: it opens a connection to the server for each of a client's, where the proxies keep \
               theirs, so that it is no floor here.",
        contestants: plain(&without_relay(peers)),
        ..closed(
            "connections",
            "A connection for each request, 64 at a time",
            64,
            once(),
        )
    };
    vec![
        closed(
            "short-64",
            "A short body, 64 connections",
            64,
            Request::get("/"),
        ),
        closed(
            "short-512",
            "A short body, 512 connections",
            512,
            Request::get("/"),
        ),
        closed(
            "body-100k",
            "A body of 100 KB, 64 connections",
            64,
            Request::get("/bytes/100000"),
        ),
        closed(
            "body-10m",
            "A body of 10 MB, 8 connections",
            8,
            Request::get("/bytes/10000000"),
        ),
        closed(
            "post-64k",
            "A request's body of 64 KB, 64 connections",
            64,
            post(65_536),
        ),
        connections,
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
        note: "The rate is the same for all: 70% of what the slowest of ours, nginx and HAProxy reached in a closed loop just before, \
               the median of three short ones. Where Envoy reached less than those, it has 70% of its own, and is not among the \
               peers that the target speaks of. One more of ours has 70% of what that reached. Each request is timed from when it \
               was due.",
        work: Work::Steady(64, Request::get("/"), Asked::Share),
        is_noisy: true,
        contestants: plain(peers).into_iter().chain([own]).collect(),
    }
}

fn idle(peers: &[Peer]) -> Case {
    Case {
        name: "idle",
        title: "10,000 idle connections",
        note: "Each connection asked once and then stays open. Memory is what the process itself has resident; the kernel's own \
               for sockets is the same for all. Per connection it is what came on top of the process as it had started. nginx makes \
               room for all of its 65,536 connections as it starts, about 0.4 KiB for each, which is not in its figure.",
        work: Work::Idle(10_000),
        is_noisy: false,
        // The relay keeps two connections for each, so that what it has says nothing.
        contestants: plain(&without_relay(peers)),
    }
}

fn many_servers(peers: &[Peer]) -> Case {
    let sizes = [(1, ""), (100, ", 100 servers"), (10_000, ", 10000 servers")];
    let contestant = |peer, (servers, suffix)| Contestant {
        servers,
        ..sized(peer, suffix)
    };
    Case {
        name: "servers",
        title: "1, 100 and 10,000 servers, a short body, 64 connections",
        note: "With 10,000 servers every proxy keeps a connection to each of them, and ours probes each until it is up and \
               then each hour (instead of each 2 s), by a connection alone, so that the probes leave the client its core.",
        work: Work::Closed(64, Request::get("/")),
        is_noisy: false,
        // The relay has one server and chooses none.
        contestants: without_relay(peers)
            .into_iter()
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
        work: Work::Closed(64, Request::get("/")),
        is_noisy: false,
        contestants: vec![base, changing],
    }
}

/// What it costs the slowest requests that tables of many servers are swapped in, with an algorithm that keeps nothing about the
/// servers and one that keeps an order of them.
fn swapping() -> Case {
    let base = |algorithm| Contestant {
        servers: 10_000,
        algorithm,
        ..Contestant::plain(Peer::Roundhouse)
    };
    let by_load = Some("least_connections");
    let of_load = Contestant {
        name: "roundhouse, least_connections".into(),
        ..base(by_load)
    };
    let changing = |of: Contestant| Contestant {
        name: format!("{}, changing", of.name),
        against: Some(of.name.clone()),
        changes: true,
        ..of
    };
    Case {
        name: "swaps",
        title: "Ten changes a second of a table of 10,000 servers, a short body, 5,000 requests a second",
        note: "What a swap costs a request is how much longer the slowest one took with changes than without: the difference of the \
               medians of each round's slowest. All that makes the change is in it, not the swap alone: the balancer builds the \
               table on the core on which it serves, and the admin API, the orchestrator and Redis, which keep all 10,000 servers \
               too, have their work on the client's core. Where the slowest one took many times a millisecond without changes \
               already, a difference of one says nothing, either way. `roundhouse` alone is `round_robin`.",
        work: Work::Steady(64, Request::get("/"), Asked::Rate(5000.0)),
        is_noisy: true,
        contestants: vec![
            base(None),
            changing(base(None)),
            of_load.clone(),
            changing(of_load),
        ],
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
        work: Work::Closed(64, Request::get("/")),
        is_noisy: false,
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
        work: Work::Closed(64, Request::get("/")),
        is_noisy: false,
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
    fn the_relay_is_no_floor_where_each_request_has_its_connection() {
        let cases = all(&Peer::ALL);
        let has_relay = |name| {
            let case = cases.iter().find(|case| case.name == name);
            let case = case.expect("there is such a case");
            case.contestants.iter().any(|one| one.peer == Peer::Relay)
        };
        assert!(has_relay("short-64"));
        assert!(!has_relay("connections"));
    }

    #[test]
    fn who_needs_a_certificate_is_told_by_the_work() {
        let cases = all(&Peer::ALL);
        let secured = cases.iter().filter(|case| case.is_secured());
        let names: Vec<_> = secured.map(|case| case.name).collect();
        assert_eq!(names, ["https", "handshakes", "resumptions", "h2"]);
        let relay = |case: &&Case| case.contestants.iter().any(|one| one.peer == Peer::Relay);
        assert!(
            !cases
                .iter()
                .filter(|case| case.is_secured())
                .any(|case| relay(&case))
        );
    }

    #[test]
    fn every_route_is_asked_for() {
        let cases = all(&Peer::ALL);
        let case = cases.iter().find(|case| case.name == "routes");
        let case = case.expect("there is such a case");
        let Work::Closed(_, request) = &case.work else {
            panic!("{:?}", case.work);
        };
        assert_eq!(request.target, "/service-{}/");
        let most = case.contestants.iter().map(|one| one.rules.routes).max();
        assert_eq!(most, Some(request.targets));
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
