//! An exchange, straight down: route, pick, check out, forward, stream back. Retry is the only loop, and this is the only place.

use std::time::{Duration, Instant};

use policy::{Cause, InFlight, Outcome};

use super::again::Again;
use super::answer::{answer, answer_options, refuse};
use super::attempt::attempt;
use super::held::Held;
use super::miss::{Miss, Verdict};
use super::order::Exchange;
use super::problem::Problem;
use super::queueing::Unserved;
use super::relay::relay;
use super::space::Space;
use super::talk::{After, Talk};
use crate::upstream::Connection;

/// How trying ended.
enum Ending {
    /// The head of an answer has come, on this connection.
    Answered(Connection, InFlight),
    Unanswered(Problem),
    ClientGone,
}

/// What the client gets where there is no further try: an answer that another was hoped for instead of, or why there is none.
struct Last {
    held: Option<Box<Held>>,
    problem: Problem,
}

/// Sends the request whose head is the first `head_length` bytes of the client's buffer to a server of its pool, and the answer back.
pub(super) async fn exchange(talk: &Talk, space: &mut Space, head_length: usize) -> After {
    if space.request.ends_here() {
        space.client.consume(head_length);
        return answer_options(talk, space).await;
    }
    // RFC 9110, 7.4. A proxy that is believed may have taken TLS off.
    if space.request.target.secure && !talk.is_trusted {
        space.client.consume(head_length);
        return answer(talk, space, Problem::Misdirected).await;
    }
    let Some(pool) = talk.worker.route() else {
        space.client.consume(head_length);
        return answer(talk, space, Problem::NoPool).await;
    };
    pool.budget().deposit(talk.worker.clock.now().since_start());
    let mut exchange = Exchange::new(talk, space, &pool);
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
        Ending::Answered(connection, flight) => relay(exchange, connection, flight).await,
        Ending::Unanswered(problem) => refuse(exchange, problem).await,
        Ending::ClientGone => After::Close,
    }
}

/// Tries servers until one answers.
async fn try_servers(exchange: &mut Exchange<'_>) -> Ending {
    let mut last = Last {
        held: None,
        problem: Problem::NoServer,
    };
    loop {
        // One who holds an answer takes no place from others while he waits for a better one.
        let flight = match exchange.pick(last.held.is_none()).await {
            Ok(flight) => flight,
            Err(Unserved::NoServer) => break,
            Err(Unserved::Refused(problem)) => {
                last.problem = problem;
                break;
            }
            Err(Unserved::ClientGone) => return Ending::ClientGone,
        };
        exchange.talk.worker.counters.tried();
        let (cause, at_least) = match try_one(exchange, flight, &mut last).await {
            Ok(again) => again,
            Err(ending) => return ending,
        };
        match exchange
            .another_try(cause, at_least, last.held.as_deref())
            .await
        {
            Again::Now => {}
            Again::Never => break,
            Again::ClientGone => return Ending::ClientGone,
        }
    }
    last.end(exchange)
}

/// Tries one server. Where another try is wanted: why, and how long to wait for it at least.
async fn try_one(
    exchange: &mut Exchange<'_>,
    mut flight: InFlight,
    last: &mut Last,
) -> Result<(Cause, Duration), Ending> {
    let talk = exchange.talk;
    let began = exchange.plan.compares_latency.then(Instant::now);
    let miss = match attempt(exchange, &mut flight).await {
        Ok(connection) => {
            if let Some(began) = began {
                flight.took(began.elapsed());
            }
            let Some(at_least) = exchange.asks_again() else {
                last.discard(talk);
                return Err(Ending::Answered(connection, flight));
            };
            flight.note(Outcome::GatewayError);
            last.discard(talk);
            last.held = Some(exchange.hold(connection, flight));
            return Ok((Cause::Status, at_least));
        }
        Err(miss) => miss,
    };
    note(talk, &mut flight, miss);
    last.problem = miss.problem();
    match miss.verdict() {
        Verdict::Again(cause) => Ok((cause, Duration::ZERO)),
        Verdict::Answer(problem) if problem.is_the_clients() => Err(Ending::Unanswered(problem)),
        Verdict::Answer(_) => Err(last.end(exchange)),
        Verdict::Silence => Err(Ending::ClientGone),
    }
}

impl Last {
    fn discard(&mut self, talk: &Talk) {
        if let Some(held) = self.held.take() {
            held.discard(talk);
        }
    }

    fn end(&mut self, exchange: &mut Exchange<'_>) -> Ending {
        // In the middle of an interim answer nothing else can be said.
        match self.held.take() {
            Some(held) if !exchange.space.download.is_halfway() => {
                let (connection, flight) = exchange.bring_back(*held);
                Ending::Answered(connection, flight)
            }
            _ => Ending::Unanswered(self.problem),
        }
    }
}

/// Counts a miss that was the server's failure, and says so at once.
fn note(talk: &Talk, flight: &mut InFlight, miss: Miss) {
    if let Some(failure) = miss.failure() {
        flight.note(Outcome::Failed);
        talk.worker.suspecting.suspect(flight.server(), failure);
    }
}
