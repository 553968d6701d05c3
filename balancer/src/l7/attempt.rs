//! One try: a connection to the picked server, then the request sent and the head of the answer awaited.

use policy::{Failure, InFlight};
use tokio::net::TcpStream;

use super::miss::Miss;
use super::order::Exchange;
use super::waiting::send_and_await;
use crate::upstream::connect;

/// Tries the server once, on an idle connection where there is one; if that proves stale, on a new one. The answer's head is in
/// `space.response`.
pub(super) async fn attempt(
    exchange: &mut Exchange<'_>,
    flight: &InFlight,
) -> Result<TcpStream, Miss> {
    let idle = &exchange.talk.worker.idle;
    let live = flight.server().live();
    let careful = !exchange.space.request.is_idempotent();
    if let Some(waited) = idle.take(live, careful) {
        match send_and_await(exchange, &waited.stream, flight, true).await {
            // What broke this one may have broken those that waited longer.
            Err(Miss::Stale) => idle.close_older(live, waited.since),
            result => return result.map(|()| waited.stream),
        }
    }
    let stream = open(exchange, flight).await?;
    send_and_await(exchange, &stream, flight, false).await?;
    Ok(stream)
}

async fn open(exchange: &Exchange<'_>, flight: &InFlight) -> Result<TcpStream, Miss> {
    let talk = exchange.talk;
    talk.timer
        .set(talk.after(exchange.plan.connect).min(exchange.deadline));
    connect(flight.server().address(), &talk.timer)
        .await
        .map_err(|_| Miss::Server(Failure::Connect))
}
