//! One try: a connection to the picked server, then the request sent and the head of the answer awaited.

use std::time::Instant;

use policy::{Cause, InFlight, Outcome, Place};

use super::exchange::Exchange;
use super::miss::Miss;
use super::waiting::send_and_await;
use crate::upstream::{ConnectError, Connection, connect};

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
    let idle = &exchange.talk.worker.idle;
    let live = flight.server().live();
    let careful = !exchange.space.request.is_idempotent();
    if let Some(waited) = idle.take(live, &mut reserved, careful) {
        let stream = &waited.connection.stream;
        match send_and_await(exchange, stream, flight, true).await {
            Err(Miss::Stale) => reserved = Some(waited.connection.close()),
            result => return result.map(|()| waited.connection),
        }
        // What broke this one may have broken those that waited longer.
        idle.close_older(live, waited.since);
        // One that leaves, or is down, gets no new connection where there is another server.
        let (cause, miss) = match exchange.space.upload.written() {
            0 => (Cause::Connect, Miss::Unsent),
            _ => (Cause::Left, Miss::Drained),
        };
        if !live.keeps_connections() && exchange.claim_retry(cause) {
            return Err(miss);
        }
        // It goes to the same server once more.
        if cause == Cause::Left {
            exchange.talk.worker.counters.tried();
        }
    }
    let connection = open(exchange, flight, reserved).await?;
    send_and_await(exchange, &connection.stream, flight, false).await?;
    Ok(connection)
}

/// A new connection, in the place that was reserved for it.
async fn open(
    exchange: &Exchange<'_>,
    flight: &InFlight,
    reserved: Option<Place>,
) -> Result<Connection, Miss> {
    let talk = exchange.talk;
    let place = talk.worker.idle.make_room(flight.server().live(), reserved);
    talk.timer
        .set(talk.after(exchange.plan.connect).min(exchange.due()));
    connect(flight.server().address(), &talk.timer, place)
        .await
        .map_err(|error| match error {
            ConnectError::NoFile => {
                talk.worker.idle.give_way();
                Miss::Unsent
            }
            // Closing others would free none for a while.
            ConnectError::NoPort => Miss::Unsent,
            ConnectError::Refused | ConnectError::TimedOut => Miss::NoConnection,
        })
}
