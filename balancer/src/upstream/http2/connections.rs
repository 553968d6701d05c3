//! The connections of HTTP/2 of one thread: to each server as few as its requests need.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use policy::{Live, Place};
use probe::Calling;
use tokio::sync::oneshot;

use super::bridge::bridge;
use super::link::{Link, STREAMS_MAX, Seat};
use crate::buffers::Buffers;
use crate::clock::{Clock, Millis};
use crate::metrics::Counters;
use crate::stream::{Stream, pipe};
use crate::timers::{Timer, Timers};
use crate::upstream::connect::{ConnectError, Dial, dial, in_time};
use crate::upstream::idle::IDLE_FOR;
use crate::upstream::{Connection, NumberHasher};

/// Which server is called, and what with.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) live: &'a Arc<Live>,
    pub(crate) address: SocketAddr,
    pub(crate) timers: &'a Rc<Timers>,
    /// Until when a connection must have been opened, whoever waits for it.
    pub(crate) patience: Millis,
    pub(crate) buffers: &'a Rc<Buffers>,
    /// Nothing where it is called without TLS.
    pub(crate) calling: Option<&'a Arc<Calling>>,
    pub(crate) counters: &'a Arc<Counters>,
}

type Opened = Result<(), ConnectError>;

/// The connections of one thread.
pub(crate) struct Connections {
    clock: Rc<Clock>,
    by_server: RefCell<HashMap<u64, Server, BuildHasherDefault<NumberHasher>>>,
}

/// Those to one server, the latest last.
struct Server {
    live: Arc<Live>,
    links: Vec<Rc<Link>>,
    openings: Vec<Opening>,
    /// How many streams the latest of them may have.
    most: usize,
}

/// A connection that is being opened, and who waits for it.
struct Opening {
    number: u64,
    waiting: Vec<oneshot::Sender<Opened>>,
}

impl Connections {
    pub(crate) fn new(clock: Rc<Clock>) -> Self {
        Self {
            clock,
            by_server: RefCell::default(),
        }
    }

    /// A stream on a connection that is there, if one has room.
    pub(crate) fn take(
        &self,
        live: &Arc<Live>,
        reserved: &mut Option<Place>,
        calling: Option<&Arc<Calling>>,
        buffers: &Rc<Buffers>,
    ) -> Option<Connection> {
        let stream = self.begin(live, calling, buffers)?;
        let place = reserved.take().unwrap_or_else(|| Place::take(live));
        Some(Connection { stream, place })
    }

    /// A stream on a new connection, or on one that others wait for too. The timer is the waiting request's own. The place is given back
    /// where that fails.
    pub(crate) async fn open(
        self: &Rc<Self>,
        call: Call<'_>,
        timer: &Timer,
        place: Place,
    ) -> Result<Connection, ConnectError> {
        loop {
            in_time(self.wait_for_one(call), timer).await?;
            // Others who waited may have been faster.
            if let Some(stream) = self.begin(call.live, call.calling, call.buffers) {
                return Ok(Connection { stream, place });
            }
        }
    }

    fn begin(
        &self,
        live: &Live,
        calling: Option<&Arc<Calling>>,
        buffers: &Rc<Buffers>,
    ) -> Option<Stream> {
        let mut by_server = self.by_server.borrow_mut();
        let seat = by_server.get_mut(&live.number())?.sit_down(calling)?;
        let (near, far) = pipe();
        let clock = Rc::clone(&self.clock);
        tokio::task::spawn_local(bridge(far, seat, Rc::clone(buffers), clock));
        Some(Stream::Pipe(near))
    }

    /// Closes those without a stream that nobody needs, and breaks off those that have died.
    pub(crate) fn sweep(&self, now: Millis) {
        self.by_server.borrow_mut().retain(|_, server| {
            let keeps = server.live.keeps_connections();
            for link in &server.links {
                link.look_after(now);
                if link.is_quiet_for(IDLE_FOR, now) || (!keeps && link.is_quiet()) {
                    link.close();
                }
            }
            server.links.retain(|link| link.is_open());
            !server.links.is_empty() || !server.openings.is_empty()
        });
    }

    /// Closes those without a stream, where there are files for nothing else.
    pub(crate) fn give_way(&self) {
        for server in self.by_server.borrow().values() {
            let quiet = server.links.iter().filter(|link| link.is_quiet());
            quiet.for_each(|link| link.close());
        }
    }

    /// Waits for a connection that is being opened and would have room, or else opens another.
    async fn wait_for_one(self: &Rc<Self>, call: Call<'_>) -> Opened {
        let (waits, waiting) = oneshot::channel();
        {
            let mut by_server = self.by_server.borrow_mut();
            let server = by_server.entry(call.live.number());
            let server = server.or_insert_with(|| Server::of(call.live));
            match server.opening_with_room() {
                Some(opening) => opening.waiting.push(waits),
                None => self.start_opening(server, call, waits),
            }
        }
        waiting.await.unwrap_or(Err(ConnectError::Refused))
    }

    /// Opens one by a task of its own, also where whoever wanted it does not wait for it any more: others may.
    fn start_opening(
        self: &Rc<Self>,
        server: &mut Server,
        call: Call<'_>,
        waits: oneshot::Sender<Opened>,
    ) {
        let last = server.openings.last().map_or(0, |last| last.number);
        let number = last + 1;
        let waiting = vec![waits];
        server.openings.push(Opening { number, waiting });
        let server = server.live.number();
        let connections = Rc::clone(self);
        let patience = call.timers.timer();
        patience.set(call.patience);
        let address = call.address;
        let (buffers, counters) = (Rc::clone(call.buffers), Arc::clone(call.counters));
        let calling = call.calling.cloned();
        tokio::task::spawn_local(async move {
            let dial = Dial {
                address,
                calling: calling.as_deref(),
                buffers: &buffers,
                counters: &counters,
            };
            let opened = open_link(dial, calling.clone(), &patience).await;
            connections.note_opened(server, number, opened);
        });
    }

    fn note_opened(&self, server: u64, number: u64, opened: Result<Rc<Link>, ConnectError>) {
        let mut by_server = self.by_server.borrow_mut();
        let Some(server) = by_server.get_mut(&server) else {
            return;
        };
        let result = opened.map(|link| {
            server.most = link.most();
            server.links.push(link);
        });
        let place = server
            .openings
            .iter()
            .position(|opening| opening.number == number);
        let opening = place.map(|place| server.openings.remove(place));
        for waits in opening.into_iter().flat_map(|opening| opening.waiting) {
            // Who has gone meanwhile need not hear of it.
            let _ = waits.send(result);
        }
    }
}

impl Server {
    fn of(live: &Arc<Live>) -> Self {
        Self {
            live: Arc::clone(live),
            links: Vec::new(),
            openings: Vec::new(),
            most: STREAMS_MAX,
        }
    }

    /// A place on the latest connection that has one, so that those which are not needed fall quiet.
    /// One that was made as the server is not called any more takes no further stream.
    fn sit_down(&mut self, calling: Option<&Arc<Calling>>) -> Option<Seat> {
        let others = self.links.iter().filter(|link| !link.is_called_by(calling));
        others.for_each(|link| link.close());
        self.links.retain(|link| link.is_open());
        self.links.iter().rev().find_map(Link::sit_down)
    }

    fn opening_with_room(&mut self) -> Option<&mut Opening> {
        let most = self.most.max(1);
        self.openings
            .iter_mut()
            .find(|opening| opening.waiting.len() < most)
    }
}

/// Opens a connection, and leaves it to a task of its own.
async fn open_link(
    server: Dial<'_>,
    calling: Option<Arc<Calling>>,
    patience: &Timer,
) -> Result<Rc<Link>, ConnectError> {
    let address = server.address;
    let stream = dial(server, patience).await?;
    let opening = async {
        let opened = Link::open(stream, calling).await;
        opened.map_err(|error| {
            tracing::debug!(%address, %error, "the server does not speak HTTP/2");
            ConnectError::Refused
        })
    };
    let (link, driver) = in_time(opening, patience).await?;
    tokio::task::spawn_local(driver);
    Ok(link)
}

#[cfg(test)]
mod tests;
