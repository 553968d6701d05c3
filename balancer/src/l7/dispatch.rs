//! A request's way, straight down: route, limit, pick, check out, forward, stream back. Retry is the only loop, and this is the only place.

use std::time::Duration;

use policy::{Cause, InFlight, Outcome};

use super::again::Again;
use super::answer::{answer, answer_about_health, answer_as_routed, answer_options, refuse};
use super::attempt::attempt;
use super::exchange::Exchange;
use super::limits::hold_to_limits;
use super::miss::{Miss, Next};
use super::problem::Problem;
use super::queueing::{Unserved, take_server};
use super::relay::relay;
use super::routing::{Destination, Early, route};
use super::space::Space;
use super::talk::{After, Talk};
use crate::upstream::Connection;
use crate::worker::Want;

/// How trying ended.
enum Ending {
    /// The head of an answer has come, on this connection.
    Answered(Connection, InFlight),
    Unanswered(Problem),
    ClientGone,
}

/// Sends the request whose head is the first `head_length` bytes of the client's buffer to a server of its pool, and the answer back.
pub(super) async fn dispatch(talk: &Talk, space: &mut Space, head_length: usize) -> After {
    let destination = match route(talk, space) {
        Ok(destination) => destination,
        Err(early) => {
            space.client.consume(head_length);
            return match early {
                Early::Options => answer_options(talk, space).await,
                Early::Health(aspect) => answer_about_health(talk, space, aspect).await,
                Early::Problem(problem) => answer(talk, space, problem).await,
                Early::Route(reply) => answer_as_routed(talk, space, &reply).await,
            };
        }
    };
    // What it holds of them is held until the request is over.
    let _held = match hold_to_limits(talk, space, &destination).await {
        Ok(held) => held,
        Err(problem) => {
            space.client.consume(head_length);
            return answer(talk, space, problem).await;
        }
    };
    let Destination {
        pool,
        route,
        secure,
    } = destination;
    pool.budget().deposit(talk.worker.clock.now().since_start());
    let mut exchange = Exchange::new(talk, space, &pool, route, secure);
    let prepared = exchange.prepare(head_length, &pool);
    // Until this request is over.
    let admitted = pool.admit();
    drop(pool);
    let ending = match (prepared, &admitted) {
        (Ok(()), Ok(_)) => try_servers(&mut exchange).await,
        (Err(bad), _) => Ending::Unanswered(Problem::BadBody(bad)),
        (Ok(()), Err(_)) => Ending::Unanswered(Problem::CircuitOpen),
    };
    match ending {
        Ending::Answered(connection, flight) => relay(&mut exchange, connection, flight).await,
        Ending::Unanswered(problem) => refuse(&mut exchange, problem).await,
        Ending::ClientGone => After::Close,
    }
}

/// Tries servers until one answers.
async fn try_servers(exchange: &mut Exchange<'_>) -> Ending {
    // What the client is told where there is no further try.
    let mut problem = Problem::NoServer;
    loop {
        let flight = match pick(exchange).await {
            Ok(flight) => flight,
            Err(Unserved::NoServer) => break,
            Err(Unserved::Refused(refused)) => {
                problem = refused;
                break;
            }
            Err(Unserved::ClientGone) => return Ending::ClientGone,
        };
        exchange.talk.worker.counters.tried();
        let (cause, at_least) = match try_one(exchange, flight, &mut problem).await {
            Ok(again) => again,
            Err(ending) => return ending,
        };
        match exchange.another_try(cause, at_least).await {
            Again::Now => {}
            Again::Never => break,
            Again::ClientGone => return Ending::ClientGone,
        }
    }
    end(exchange, problem)
}

/// Takes a server that was not tried. Where none has room, waits for one until the deadline; but not while an answer is held, since
/// whoever has one takes no place from others for the sake of a better one.
async fn pick(exchange: &mut Exchange<'_>) -> Result<InFlight, Unserved> {
    let deadline = exchange.held.is_none().then_some(exchange.due());
    let Exchange {
        talk,
        space,
        pool,
        tried,
        hash,
        stick,
        ..
    } = exchange;
    let want = Want {
        pool,
        tried,
        hash: *hash,
        stick: *stick,
    };
    let flight = take_server(talk, space, want, deadline).await?;
    tried.add(flight.server().live());
    Ok(flight)
}

/// Tries one server. Where another try is wanted: why, and how long to wait for it at least.
async fn try_one(
    exchange: &mut Exchange<'_>,
    mut flight: InFlight,
    problem: &mut Problem,
) -> Result<(Cause, Duration), Ending> {
    let miss = match attempt(exchange, &mut flight).await {
        Ok(connection) => {
            let asks_again = exchange.asks_again();
            // The latest answer is the one that counts.
            exchange.discard_held();
            let Some(at_least) = asks_again else {
                return Err(Ending::Answered(connection, flight));
            };
            flight.note(Outcome::GatewayError);
            exchange.hold(connection, flight);
            return Ok((Cause::Status, at_least));
        }
        Err(miss) => miss,
    };
    note(exchange.talk, &mut flight, miss);
    *problem = miss.problem();
    match miss.next() {
        Next::Again(cause) => Ok((cause, Duration::ZERO)),
        Next::Answer(problem) if problem.is_the_clients() => {
            exchange.discard_held();
            Err(Ending::Unanswered(problem))
        }
        Next::Answer(problem) => Err(end(exchange, problem)),
        Next::Silence => Err(Ending::ClientGone),
    }
}

/// There is no further try: an answer that is held is better than none.
fn end(exchange: &mut Exchange<'_>, problem: Problem) -> Ending {
    // In the middle of an interim answer nothing else can be said.
    if exchange.space.download.is_halfway() {
        exchange.discard_held();
    }
    match exchange.bring_back() {
        Some((connection, flight)) => Ending::Answered(connection, flight),
        None => Ending::Unanswered(problem),
    }
}

/// Counts a miss that was the server's failure, and says so at once.
fn note(talk: &Talk, flight: &mut InFlight, miss: Miss) {
    if let Some(failure) = miss.failure() {
        flight.note(Outcome::Failed);
        talk.worker.suspecting.suspect(flight.server(), failure);
    }
}
