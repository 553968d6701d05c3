//! The probes under way, no more than a set number, and the connections kept between them.

use std::collections::HashMap;
use std::time::Duration;

use model::{Elements, Pool, PoolId, Revision, ServerKey};
use probe::{Callers, Failure, Prober};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::inspector::{Assignment, Errand};

/// Probes of suspected servers that find room beside any number of others: a rack of servers that let every
/// probe time out must not delay what is known of all the rest.
const RESERVED: usize = 32;

/// A probe that has been made.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) assignment: Assignment,
    pub(super) outcome: Result<(), Failure>,
    pub(super) took: Duration,
    prober: Prober,
}

#[derive(Debug)]
pub(super) struct Probing {
    concurrency: usize,
    /// How many connections may rest: each is an open file.
    connections_max: usize,
    running: JoinSet<Probed>,
    callers: Callers,
    /// The probers at rest, each of one incarnation of its server.
    resting: HashMap<ServerKey, (Revision, Prober)>,
}

impl Probing {
    pub(super) fn new(concurrency: usize, connections_max: usize) -> Self {
        Self {
            concurrency,
            connections_max,
            running: JoinSet::new(),
            callers: Callers::default(),
            resting: HashMap::new(),
        }
    }

    pub(super) fn has_room(&self, errand: Errand) -> bool {
        let most = match errand {
            Errand::Turn => self.concurrency,
            Errand::Doubt => self.concurrency + RESERVED,
        };
        self.running.len() < most
    }

    pub(super) fn start(&mut self, assignment: Assignment) {
        let rested = self
            .resting
            .remove(&assignment.key)
            .filter(|(incarnation, _)| *incarnation == assignment.incarnation);
        let mut prober = match rested {
            Some((_, prober)) => prober,
            None => Prober::new(assignment.address),
        };
        let hostname = assignment.hostname.as_deref();
        let calling = self.callers.calling(&assignment.pool.value, hostname);
        self.running.spawn(async move {
            let begun = Instant::now();
            let outcome = match calling {
                Ok(calling) => {
                    prober.call_by(calling);
                    prober
                        .probe(assignment.check(), assignment.pool.value.protocol)
                        .await
                }
                Err(failure) => Err(failure),
            };
            Probed {
                assignment,
                outcome,
                took: begun.elapsed(),
                prober,
            }
        });
    }

    /// The next probe to end; never, where none runs. Cancel safe.
    pub(super) async fn next(&mut self) -> Probed {
        match self.running.join_next().await {
            Some(Ok(probed)) => probed,
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Keeps a probe's connection for the server's next one, where it has one and there is room. The others'
    /// are not closed for it: whose connections rest does not matter, and changing them would cost more.
    pub(super) fn keep(&mut self, probed: Probed) {
        let Assignment {
            key, incarnation, ..
        } = probed.assignment;
        let room = self.resting.len() < self.connections_max || self.resting.contains_key(&key);
        if room && probed.prober.is_connected() {
            self.resting.insert(key, (incarnation, probed.prober));
        }
    }

    /// Closes the connection to a server, unless it is to this incarnation.
    pub(super) fn release(&mut self, key: &ServerKey, incarnation: Option<Revision>) {
        let resting = self.resting.get(key);
        if resting.is_some_and(|(of, _)| Some(*of) != incarnation) {
            self.resting.remove(key);
        }
    }

    /// Takes in the pools, before any of their servers is probed.
    pub(super) async fn take_in(&mut self, pools: &Elements<PoolId, Pool>) {
        self.callers.take_in(pools).await;
    }

    /// Ends every probe, and closes every connection.
    pub(super) fn abandon(&mut self) {
        self.running = JoinSet::new();
        self.resting.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use model::Stamped;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers one check.
    async fn assignment(number: u64, errand: Errand) -> Assignment {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.read_u8().await?;
            stream.write_all(answer).await?;
            // Open until the other side closes it.
            stream.read_to_end(&mut Vec::new()).await
        });
        Assignment {
            key: format!("default/s{number}").parse().expect("a key"),
            errand,
            incarnation: Revision(number),
            address,
            hostname: None,
            pool: Arc::new(Stamped::new(Revision(1), Pool::new(PoolId::standard()))),
        }
    }

    #[tokio::test]
    async fn no_more_connections_rest_than_files_may_be_open() {
        let mut probing = Probing::new(256, 2);
        for number in 1..=3 {
            probing.start(assignment(number, Errand::Turn).await);
        }
        for _ in 1..=3 {
            let probed = probing.next().await;
            assert_eq!(probed.outcome, Ok(()));
            probing.keep(probed);
        }
        assert_eq!(probing.resting.len(), 2);
        let (key, (incarnation, _)) = probing.resting.iter().next().expect("one rests");
        let (key, incarnation) = (key.clone(), *incarnation);
        probing.release(&key, Some(incarnation));
        assert_eq!(probing.resting.len(), 2, "it is still that server");
        probing.release(&key, None);
        assert_eq!(probing.resting.len(), 1);
    }

    #[tokio::test]
    async fn suspicions_find_room_where_all_other_probes_have_none() {
        let mut probing = Probing::new(1, 2);
        probing.start(assignment(1, Errand::Turn).await);
        assert!(!probing.has_room(Errand::Turn));
        for number in 0..RESERVED as u64 {
            assert!(probing.has_room(Errand::Doubt));
            probing.start(assignment(number + 2, Errand::Doubt).await);
        }
        assert!(!probing.has_room(Errand::Doubt));
    }
}
