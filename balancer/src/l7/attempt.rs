//! One try: a connection to the picked server, then the request sent and the head of the answer awaited.

use std::time::Instant;

use policy::{Cause, Failure, InFlight, Place};

use super::miss::Miss;
use super::order::Exchange;
use super::waiting::send_and_await;
use crate::upstream::{ConnectError, Connection, connect};

/// Tries the server once, on an idle connection where there is one; if that proves stale, on a new one. The answer's head is in
/// `space.response`.
pub(super) async fn attempt(
    exchange: &mut Exchange<'_>,
    flight: &mut InFlight,
) -> Result<Connection, Miss> {
    // Where the client is still sending, it is the client whose speed would be measured.
    let began = (flight.wants_latency() && exchange.has_arrived()).then(Instant::now);
    let result = try_once(exchange, flight).await;
    if let Some(began) = began {
        tell_latency(exchange, flight, began, &result);
    }
    result
}

fn tell_latency(
    exchange: &Exchange<'_>,
    flight: &InFlight,
    began: Instant,
    result: &Result<Connection, Miss>,
) {
    let now = exchange.talk.worker.clock.now().since_start();
    match result {
        Ok(_) if exchange.space.response.status < 500 => {
            flight.answered_after(began.elapsed(), now);
        }
        Err(miss) if miss.failure().is_none() => {}
        _ => flight.failed_after(began.elapsed(), now),
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
        if !live.keeps_connections() && exchange.goes_elsewhere(cause) {
            return Err(miss);
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
        .set(talk.after(exchange.plan.connect).min(exchange.deadline));
    connect(flight.server().address(), &talk.timer, place)
        .await
        .map_err(|error| match error {
            ConnectError::NoFile => {
                talk.worker.idle.give_way();
                Miss::Unsent
            }
            // Closing others would free none for a while.
            ConnectError::NoPort => Miss::Unsent,
            ConnectError::Refused | ConnectError::TimedOut => Miss::Server(Failure::Connect),
        })
}
