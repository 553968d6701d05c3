//! Waiting for a place at a server, where each has as many connections in use as it may: first come, first served over all threads.
//!
//! Whoever is called picks by the table of that moment, as every request does.

use std::future::poll_fn;
use std::task::{Context, Poll};

use policy::{InFlight, Pool, Queued, Unpicked};

use super::problem::Problem;
use super::space::Space;
use super::talk::{Gone, Talk, Watch};
use crate::clock::Millis;
use crate::worker::Want;

/// Why a request gets no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unserved {
    /// There is none, and this is what the client is told, unless a try before has more to say.
    NoServer,
    Refused(Problem),
    ClientGone,
}

/// Picks a server that was not tried, and takes it. Where none of them has room, the request waits in the queue for one until the deadline.
/// Without a deadline it does not wait.
pub(super) async fn take_server(
    talk: &Talk,
    space: &mut Space,
    want: Want<'_>,
    deadline: Option<Millis>,
) -> Result<InFlight, Unserved> {
    match talk.worker.pick_in_turn(want) {
        Ok(flight) => Ok(flight),
        Err(Unpicked::Nothing) => Err(Unserved::NoServer),
        Err(Unpicked::CircuitOpen) => Err(Unserved::Refused(Problem::CircuitOpen)),
        Err(Unpicked::Full) => match deadline {
            Some(deadline) => wait_in_queue(talk, space, want, deadline).await,
            None => Err(Unserved::Refused(Problem::QueueTimeout)),
        },
    }
}

async fn wait_in_queue(
    talk: &Talk,
    space: &mut Space,
    want: Want<'_>,
    deadline: Millis,
) -> Result<InFlight, Unserved> {
    let pool = talk.worker.pool(want.pool).ok_or(Unserved::NoServer)?;
    let timeout = pool.settings().value.queue.timeout;
    let mut waiting = InQueue {
        talk,
        space,
        want,
        queued: Some(join(&pool, want)?),
        until: talk.after(timeout).min(deadline),
        watch: Watch::new(),
    };
    drop(pool);
    waiting.arm();
    poll_fn(|context| waiting.poll(context)).await
}

fn join(pool: &Pool, want: Want<'_>) -> Result<Queued, Unserved> {
    let joined = pool.enqueue(want.tried, want.stick);
    joined.map_err(|_| Unserved::Refused(Problem::QueueFull))
}

struct InQueue<'a> {
    talk: &'a Talk,
    space: &'a mut Space,
    want: Want<'a>,
    /// Until it has a server.
    queued: Option<Queued>,
    until: Millis,
    watch: Watch,
}

impl InQueue<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<InFlight, Unserved>> {
        while let Some(queued) = &self.queued
            && queued.poll_turn(context).is_ready()
        {
            if let Some(result) = self.look().transpose() {
                return Poll::Ready(result);
            }
        }
        self.poll_client(context)?;
        self.poll_timer(context).map(Err)
    }

    /// Looks for a server by the current table.
    fn look(&mut self) -> Result<Option<InFlight>, Unserved> {
        let pool = self
            .talk
            .worker
            .pool(self.want.pool)
            .ok_or(Unserved::NoServer)?;
        if let Some(queued) = self
            .queued
            .take_if(|queued| !queued.is_of(pool.admission()))
        {
            // Its pool was replaced by another one.
            drop(queued);
            self.queued = Some(join(&pool, self.want)?);
            return Ok(None);
        }
        match self.talk.worker.pick(self.want) {
            Ok(flight) => {
                self.queued.take().into_iter().for_each(Queued::placed);
                Ok(Some(flight))
            }
            Err(Unpicked::Nothing) => Err(Unserved::NoServer),
            Err(Unpicked::Full | Unpicked::CircuitOpen) => {
                self.queued.iter().for_each(Queued::found_nothing);
                Ok(None)
            }
        }
    }

    fn poll_client(&mut self, context: &mut Context<'_>) -> Result<(), Unserved> {
        let buffer = &mut self.space.client;
        let looked = self.watch.look(self.talk, context, buffer);
        if looked.map_err(|Gone| Unserved::ClientGone)? {
            self.arm();
        }
        Ok(())
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<Unserved> {
        while self.talk.timer.poll_expired(context).is_ready() {
            if self.watch.is_over(self.talk) {
                return Poll::Ready(Unserved::ClientGone);
            }
            if self.talk.worker.clock.now() >= self.until {
                return Poll::Ready(Unserved::Refused(Problem::QueueTimeout));
            }
            self.arm();
        }
        Poll::Pending
    }

    fn arm(&self) {
        self.talk.timer.set(self.until.min(self.watch.until()));
    }
}
