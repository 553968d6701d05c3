//! The side of the process that runs: takes over from its predecessor, if there is one, then answers a successor that asks.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{InstanceId, Origin};
use parking_lot::Mutex;
use runtime::Supervisor;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::door::{self, Stranger};
use super::estate::Estate;
use super::lines::{Answer, Greeting, Offer, VERSION, Word, ended, hear, hear_when_said, say};
use super::taking::Predecessor;
use super::{descriptors, remove};
use crate::listen::{Turn, advance};
use crate::sync::{Standing, ready};

/// How long the registry's own table is waited for while the predecessor serves. Its last good state on disk does as well
/// after that, although it says of no server that it is down.
const REGISTRY_WITHIN: Duration = Duration::from_secs(10);

/// The pause after a connection that could not be accepted.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Hands over, once.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) path: PathBuf,
    pub(crate) instance: InstanceId,
    pub(crate) turn: watch::Sender<Turn>,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) supervisor: Supervisor,
    /// Ends the ops endpoints.
    pub(crate) ops_end: CancellationToken,
    /// Fires when this balancer has drained and said goodbye.
    pub(crate) gone: CancellationToken,
    /// Descriptors beside those of the workers and of the ops task. They are let go of at the stop, so that a port that
    /// nobody serves is closed.
    pub(crate) estate: Mutex<Option<Arc<Estate>>>,
    /// Earlier processes that have not ended.
    pub(crate) earlier: Mutex<BTreeMap<InstanceId, Arc<UnixStream>>>,
}

/// Why a process that asks gets nothing.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Stranger(#[from] Stranger),
    #[error("it does not greet as a balancer does")]
    NoGreeting,
    #[error(
        "it speaks version {theirs} of the handover, and this balancer version {VERSION}: stop this one and start the other"
    )]
    Version { theirs: u32 },
    #[error("another process is taking over already")]
    Busy,
    #[error("this balancer is stopping")]
    Stopping,
    #[error("this balancer does not serve yet itself")]
    Unready,
    #[error("its sockets could not be passed: {0}")]
    NotPassed(std::io::Error),
}

impl Keeper {
    /// Takes over, then hands over, until this balancer has drained.
    pub(crate) async fn keep(self: Arc<Self>, predecessor: Option<Predecessor>) {
        let stop = self.supervisor.stop_token();
        let mut company = JoinSet::new();
        if let Some(predecessor) = predecessor {
            let stream = self.accompany(predecessor, &mut company);
            let taken = stop.run_until_cancelled(self.take_over(&stream)).await;
            if taken.is_none() {
                // The predecessor goes on.
                return;
            }
        }
        stop.run_until_cancelled(self.answer_always(&mut company))
            .await;
        if advance(&self.turn, Turn::Ours, Turn::Closing) || *self.turn.borrow() == Turn::Closing {
            remove(&self.path);
        }
        self.estate.lock().take();
        // Those who were told something see by their connection's end that this process has ended.
        self.gone.cancelled().await;
    }

    /// Watches those before this process until they have ended. The connection is the predecessor's.
    fn accompany(
        self: &Arc<Self>,
        predecessor: Predecessor,
        company: &mut JoinSet<()>,
    ) -> Arc<UnixStream> {
        let (instance, stream) = predecessor.itself;
        let stream = Arc::new(stream);
        let earlier = predecessor.earlier.into_iter();
        let earlier = earlier.map(|(instance, stream)| (instance, Arc::new(stream)));
        for (instance, stream) in earlier.chain([(instance, Arc::clone(&stream))]) {
            self.earlier.lock().insert(instance, Arc::clone(&stream));
            let keeper = Arc::clone(self);
            company.spawn(async move {
                ended(&stream).await;
                keeper.earlier.lock().remove(&instance);
                keeper.part_from(instance);
            });
        }
        stream
    }

    /// Waits until this process can serve, then begins to and says so.
    async fn take_over(&self, predecessor: &UnixStream) {
        let standing = self.standing.subscribe();
        tokio::select! {
            () = ready_by_registry(standing.clone()) => {}
            // Then nobody serves, and any table is better than none.
            () = async { ended(predecessor).await; ready(standing).await } => {}
        }
        advance(&self.turn, Turn::Before, Turn::Ours);
        tracing::info!("this process accepts clients from now on");
        runtime::notify_ready();
        // One that has ended meanwhile need not hear it.
        let _ = say(predecessor, &Word::Serving).await;
    }

    async fn answer_always(self: &Arc<Self>, company: &mut JoinSet<()>) {
        let estate = self.estate.lock().clone();
        let Some(estate) = estate else { return };
        loop {
            tokio::select! {
                accepted = estate.control.accept() => match accepted {
                    Ok((stream, _)) => {
                        company.spawn(Arc::clone(self).converse(stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot be asked to hand over");
                        sleep(ACCEPT_AGAIN_AFTER).await;
                    }
                },
                Some(_) = company.join_next() => {}
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: UnixStream) {
        match self.lend(&stream).await {
            Ok(successor) => {
                self.standing.send_modify(|standing| {
                    standing.beside.insert(successor);
                });
                self.give_way(&stream).await;
                self.part_from(successor);
            }
            Err(refusal) => {
                tracing::warn!(%refusal, "a process that asked to take over was refused");
                // It may have gone.
                let _ = say(&stream, &Answer::Refusal(refusal.to_string())).await;
            }
        }
    }

    /// Passes all sockets, to one successor at a time.
    async fn lend(&self, stream: &UnixStream) -> Result<InstanceId, Refusal> {
        door::check(stream, door::own_user())?;
        let greeting: Greeting = hear(stream).await.map_err(|_| Refusal::NoGreeting)?;
        let theirs = greeting.version;
        if theirs != VERSION {
            return Err(Refusal::Version { theirs });
        }
        let successor = greeting.instance.ok_or(Refusal::NoGreeting)?;
        let estate = self.estate.lock().clone().ok_or(Refusal::Stopping)?;
        if !advance(&self.turn, Turn::Ours, Turn::Lent) {
            return Err(match *self.turn.borrow() {
                Turn::Closing => Refusal::Stopping,
                Turn::Before => Refusal::Unready,
                _ => Refusal::Busy,
            });
        }
        match self.pass(stream, &estate).await {
            Ok(()) => Ok(successor),
            Err(error) => {
                advance(&self.turn, Turn::Lent, Turn::Ours);
                Err(Refusal::NotPassed(error))
            }
        }
    }

    async fn pass(&self, stream: &UnixStream, estate: &Estate) -> std::io::Result<()> {
        let earlier = self.earlier.lock().clone();
        let offer = Offer {
            instance: self.instance,
            clients: estate.clients.len(),
            secure: estate.secure.len(),
            kept_elsewhere: estate.kept_elsewhere,
            secure_kept_elsewhere: estate.secure_kept_elsewhere,
            ops_passed: estate.ops_passed,
            beside: earlier.keys().copied().collect(),
        };
        let sockets = [estate.control.as_fd(), estate.ops.as_fd()].into_iter();
        let clients = estate.clients.iter().chain(&estate.secure);
        let clients = clients.map(AsFd::as_fd);
        let earlier = earlier.values().map(|stream| stream.as_fd());
        let descriptors: Vec<BorrowedFd<'_>> = sockets.chain(clients).chain(earlier).collect();
        assert_eq!(descriptors.len(), offer.descriptors());
        say(stream, &Answer::Offer(offer)).await?;
        descriptors::send(stream, &descriptors).await
    }

    /// Waits for the successor to serve, and leaves the clients to it. Returns when either has ended.
    async fn give_way(&self, stream: &UnixStream) {
        if hear_when_said::<Word>(stream).await.is_err() {
            advance(&self.turn, Turn::Lent, Turn::Ours);
            tracing::warn!("a successor ended before it could serve: this process goes on");
            return;
        }
        advance(&self.turn, Turn::Lent, Turn::After);
        tracing::info!("a successor accepts clients from now on: this process drains and ends");
        self.supervisor.request_stop();
        self.ops_end.cancel();
        ended(stream).await;
    }

    /// The other process has ended.
    fn part_from(&self, instance: InstanceId) {
        self.standing
            .send_if_modified(|standing| standing.beside.remove(&instance));
    }
}

/// Returns when clients may come, by the registry's table, or by that on disk where the registry is away.
async fn ready_by_registry(mut standing: watch::Receiver<Standing>) {
    let by_registry = standing
        .wait_for(|standing| standing.readiness.is_ready() && standing.origin == Origin::Registry);
    let in_time = timeout(REGISTRY_WITHIN, by_registry).await.is_ok();
    if !in_time {
        ready(standing).await;
    }
}
