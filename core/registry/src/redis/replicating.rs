//! Commits whose replicas are waited for, each on a connection that is its own for so long.
//!
//! WAIT speaks of the writes of the connection that it comes over, and nothing else is answered there meanwhile. So it goes over
//! the very connection that the commit went over, and nobody else's requests stand behind it.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::committing::milliseconds;
use super::link::{Link, Request};
use super::locate::DEADLINE;
use crate::{RegistryError, Replication};

const OPERATION: &str = "waiting for replicas";

/// How many commits are on their way at once, at most; more wait for one of them to arrive.
const LANES_MAX: usize = 64;
/// How many connections are kept for the next ones.
const IDLE_MAX: usize = 4;

/// A field that no commit writes, so that writing it changes nothing.
const MARK: &str = "asked";

/// The connections.
#[derive(Debug)]
pub(super) struct Lanes {
    places: Semaphore,
    idle: Mutex<Vec<MultiplexedConnection>>,
}

/// One of them, and the right to have it.
pub(super) struct Lane<'a> {
    lanes: &'a Lanes,
    link: &'a Link,
    connection: MultiplexedConnection,
    _place: SemaphorePermit<'a>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            places: Semaphore::new(LANES_MAX),
            idle: Mutex::default(),
        }
    }
}

impl Lanes {
    pub(super) async fn take<'a>(&'a self, link: &'a Link) -> Result<Lane<'a>, RegistryError> {
        let place = self.places.acquire().await;
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => link.connect(AsyncConnectionConfig::new()).await?,
        };
        Ok(Lane {
            lanes: self,
            link,
            connection,
            _place: place.expect("places are never called off"),
        })
    }
}

impl Lane<'_> {
    /// Whoever failed here would fail on the others too, which go to the same place.
    fn watched<T>(&self, answer: Result<T, RegistryError>) -> Result<T, RegistryError> {
        if matches!(answer, Err(RegistryError::Unreachable { .. })) {
            self.lanes.idle.lock().clear();
        }
        answer
    }

    /// Sends what may be sent twice.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        operation: &'static str,
        request: impl Into<Request<'_>>,
    ) -> Result<T, RegistryError> {
        let (link, own) = (self.link, &mut self.connection);
        let answer = link.ask_on(own, operation, request).await;
        self.watched(answer)
    }

    /// Sends what speaks of this connection.
    async fn ask_here<T: FromRedisValue>(&self, request: &Cmd) -> Result<T, RegistryError> {
        let answer = self.link.ask_once(&self.connection, OPERATION, request);
        self.watched(answer.await)
    }

    /// Leaves the connection, on which nothing is under way, to the next one.
    pub(super) fn leave(self) {
        let mut idle = self.lanes.idle.lock();
        if idle.len() < IDLE_MAX {
            idle.push(self.connection);
        }
    }
}

/// A commit that Redis has.
pub(super) struct OnItsWay<'a> {
    pub(super) lane: Lane<'a>,
    /// Whether it was made before, over another connection perhaps.
    pub(super) is_earlier: bool,
    /// The key that such a commit's mark goes to.
    pub(super) hash: &'a str,
}

#[async_trait]
impl Replication for OnItsWay<'_> {
    async fn reached(
        mut self: Box<Self>,
        replicas: u16,
        within: Duration,
    ) -> Result<u64, RegistryError> {
        if self.is_earlier {
            // Replicas take writes in their order: whoever has this one has the earlier ones.
            let mark = Cmd::hset(self.hash, MARK, "");
            let _: u64 = self.lane.ask_here(&mark).await?;
        }
        let mut wait = Cmd::new();
        wait.arg("WAIT").arg(replicas).arg(milliseconds(within));
        self.lane.connection.set_response_timeout(within + DEADLINE);
        let reached = self.lane.ask_here(&wait).await?;
        self.lane.connection.set_response_timeout(DEADLINE);
        self.lane.leave();
        Ok(reached)
    }
}
