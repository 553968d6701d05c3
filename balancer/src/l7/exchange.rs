//! An exchange, straight down: route, pick, check out, forward, stream back. Retry is the only loop, and this is the only place.

use policy::{InFlight, Outcome};
use tokio::net::TcpStream;

use super::answer::{answer, answer_options, refuse};
use super::attempt::attempt;
use super::miss::{Miss, Verdict};
use super::order::Exchange;
use super::problem::Problem;
use super::relay::relay;
use super::space::Space;
use super::talk::{After, Talk};

/// How trying ended.
enum Ending {
    /// The head of an answer has come, on this connection.
    Answered(TcpStream, InFlight),
    Unanswered(Problem),
    ClientGone,
}

/// Sends the request whose head is the first `head_length` bytes of the client's buffer to a server of its pool, and the answer back.
pub(super) async fn exchange(talk: &Talk, space: &mut Space, head_length: usize) -> After {
    if space.request.ends_here() {
        space.client.consume(head_length);
        return answer_options(talk, space).await;
    }
    let Some(pool) = talk.worker.route() else {
        space.client.consume(head_length);
        return answer(talk, space, Problem::NoPool).await;
    };
    let mut exchange = Exchange::new(talk, space, &pool);
    let prepared = exchange.prepare(head_length, &pool);
    drop(pool);
    let ending = match prepared {
        Ok(()) => try_servers(&mut exchange).await,
        Err(bad) => Ending::Unanswered(Problem::BadBody(bad)),
    };
    match ending {
        Ending::Answered(stream, flight) => relay(exchange, stream, flight).await,
        Ending::Unanswered(problem) => refuse(exchange, problem).await,
        Ending::ClientGone => After::Close,
    }
}

/// Tries servers until one answers.
async fn try_servers(exchange: &mut Exchange<'_>) -> Ending {
    let counters = &exchange.talk.worker.counters;
    let mut problem = Problem::NoServer;
    while let Some(mut flight) = exchange.pick() {
        counters.tried();
        let miss = match attempt(exchange, &flight).await {
            Ok(stream) => return Ending::Answered(stream, flight),
            Err(miss) => miss,
        };
        note(exchange.talk, &mut flight, miss);
        let failure = match miss.verdict() {
            Verdict::Again(failure) => failure,
            Verdict::Answer(problem) => return Ending::Unanswered(problem),
            Verdict::Silence => return Ending::ClientGone,
        };
        problem = miss.problem();
        if !exchange.take_another_try(failure) {
            break;
        }
        counters.retried(failure);
    }
    Ending::Unanswered(problem)
}

/// Counts a miss that was the server's failure, and says so at once.
fn note(talk: &Talk, flight: &mut InFlight, miss: Miss) {
    if let Some(failure) = miss.failure() {
        flight.note(Outcome::Failed);
        talk.worker.suspecting.suspect(flight.server(), failure);
    }
}
