//! One try: a connection to the picked server, then the request sent and the head of the answer awaited.

use std::sync::Arc;
use std::time::Instant;

use model::Protocol;
use policy::{Cause, InFlight, Live, Outcome, Place, Server};
use probe::Calling;

use super::exchange::Exchange;
use super::miss::Miss;
use super::waiting::send_and_await;
use crate::upstream::{Call, ConnectError, Connection, Dial, Waiting, connect};

/// Tries the server once, on an idle connection where there is one; if that proves stale, on a new one. The answer's head is in
/// `space.response`.
pub(super) async fn attempt(
    exchange: &mut Exchange<'_>,
    flight: &mut InFlight,
) -> Result<Connection, Miss> {
    // Where the client is still sending, it is the client whose speed would be measured.
    let began = (flight.is_timed() && exchange.has_arrived()).then(Instant::now);
    let result = try_once(exchange, flight).await;
    if let Some(began) = began {
        let now = exchange.talk.worker.clock.now().since_start();
        flight.took(began.elapsed(), now, outcome(exchange, &result));
    }
    result
}

/// What the try's result says of its server.
fn outcome(exchange: &Exchange<'_>, result: &Result<Connection, Miss>) -> Outcome {
    match result {
        Ok(_) => exchange.outcome(),
        Err(miss) if miss.failure().is_some() => Outcome::Failed,
        Err(_) => Outcome::Abandoned,
    }
}

async fn try_once(exchange: &mut Exchange<'_>, flight: &mut InFlight) -> Result<Connection, Miss> {
    let mut reserved = flight.take_place();
    let flight = &*flight;
    let live = flight.server().live();
    let calling = calling(exchange, flight.server())?;
    let calling = calling.as_ref();
    let mut standing = None;
    if let Some(waited) = take(exchange, live, calling, &mut reserved) {
        let Waiting { connection, since } = waited;
        let miss = match send_and_await(exchange, &connection.stream, flight, true).await {
            Err(miss) if exchange.goes_there_again(miss) => miss,
            result => return result.map(|()| connection),
        };
        reserved = Some(connection.close());
        // What broke this one may have broken those that waited longer.
        exchange.talk.worker.idle.close_older(live, since);
        // One that leaves, or is down, gets no new connection where there is another server.
        let unsent = miss == Miss::Unprocessed || exchange.space.upload.written() == 0;
        let (cause, miss) = match unsent {
            true => (Cause::Connect, Miss::Unsent),
            false => (Cause::Left, Miss::Drained),
        };
        if !live.keeps_connections() && exchange.claim_retry(cause) {
            return Err(miss);
        }
        // It goes to the same server once more.
        match cause {
            Cause::Left => exchange.talk.worker.counters.tried(),
            // A server that refuses streams is not helped by more connections.
            _ => standing = take_shared(exchange, live, calling, &mut reserved),
        }
    }
    let connection = match standing {
        Some(connection) => connection,
        None => open(exchange, flight, calling, reserved).await?,
    };
    send_and_await(exchange, &connection.stream, flight, false).await?;
    Ok(connection)
}

impl Exchange<'_> {
    /// Whether a request that was sent over a connection which had served others goes to that server once more.
    fn goes_there_again(&self, miss: Miss) -> bool {
        match miss {
            Miss::Stale => true,
            Miss::Unprocessed => self.plan.repeats && self.space.upload.is_whole(),
            _ => false,
        }
    }
}

/// A connection that is there. A shared one gets the reserved place.
fn take(
    exchange: &Exchange<'_>,
    live: &Arc<Live>,
    calling: Option<&Arc<Calling>>,
    reserved: &mut Option<Place>,
) -> Option<Waiting> {
    let talk = exchange.talk;
    match exchange.plan.protocol {
        Protocol::Http1 => {
            let careful = !exchange.space.request.is_idempotent();
            let calling = calling.map(AsRef::as_ref);
            talk.worker.idle.take(live, reserved, calling, careful)
        }
        Protocol::H2 => {
            let connection = take_shared(exchange, live, calling, reserved)?;
            let since = talk.worker.clock.now();
            Some(Waiting { connection, since })
        }
    }
}

/// A stream on a connection that is there, where the server speaks HTTP/2.
fn take_shared(
    exchange: &Exchange<'_>,
    live: &Arc<Live>,
    calling: Option<&Arc<Calling>>,
    reserved: &mut Option<Place>,
) -> Option<Connection> {
    let talk = exchange.talk;
    let shares = exchange.plan.protocol == Protocol::H2;
    let http2 = shares.then_some(&talk.worker.http2)?;
    http2.take(live, reserved, calling, &talk.spaces.buffers)
}

/// How a server of the request's pool is called within TLS. Without it none is called: not in the open, and not as it was once.
fn calling(exchange: &Exchange<'_>, server: &Server) -> Result<Option<Arc<Calling>>, Miss> {
    if !exchange.plan.tls {
        return Ok(None);
    }
    let worker = &exchange.talk.worker;
    let calling = worker.tls().calling(&exchange.pool, server.hostname());
    if calling.is_none() {
        worker.counters.call_failed("unusable-settings");
        return Err(Miss::NoConnection);
    }
    Ok(calling)
}

/// A new connection, in the place that was reserved for it.
async fn open(
    exchange: &Exchange<'_>,
    flight: &InFlight,
    calling: Option<&Arc<Calling>>,
    reserved: Option<Place>,
) -> Result<Connection, Miss> {
    let talk = exchange.talk;
    let live = flight.server().live();
    let place = talk.worker.idle.make_room(live, reserved);
    let patience = talk.after(exchange.plan.connect);
    talk.timer.set(patience.min(exchange.due()));
    let address = flight.server().address();
    let opened = match exchange.plan.protocol {
        Protocol::Http1 => {
            let dial = Dial {
                address,
                calling: calling.map(AsRef::as_ref),
                buffers: &talk.spaces.buffers,
                counters: &talk.worker.counters,
            };
            connect(dial, &talk.timer, place).await
        }
        Protocol::H2 => {
            let call = Call {
                live,
                address,
                timers: &talk.worker.timers,
                patience,
                buffers: &talk.spaces.buffers,
                calling,
                counters: &talk.worker.counters,
            };
            talk.worker.http2.open(call, &talk.timer, place).await
        }
    };
    opened.map_err(|error| match error {
        ConnectError::NoFile => {
            talk.worker.give_way();
            Miss::Unsent
        }
        // Closing others would free none for a while.
        ConnectError::NoPort => Miss::Unsent,
        ConnectError::Refused | ConnectError::TimedOut => Miss::NoConnection,
    })
}
