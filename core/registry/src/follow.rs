//! Follows the registry for one process: drives the pure follower over a real registry and the clock.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use model::FleetName;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::follower::{Follower, Input, Request};
use crate::state_file::{self, Saved};
use crate::{Announcement, Announcements, Leader, Registry, RegistryError, View, Witness};

mod log;
mod saver;

use saver::Saver;

/// How long a request may take, whatever the backend's own limits are.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// How many announcements are taken before what they changed is published.
const BATCH: usize = 256;

/// How to follow.
#[derive(Debug, Clone)]
pub struct FollowOptions {
    pub fleet: FleetName,
    /// Where the last good state is kept, for the next start.
    pub state_file: Option<PathBuf>,
    /// Whether mass withdrawals are held back: for those that serve traffic.
    pub guard: bool,
    /// Whether to look now and then for what other hands did to the registry: for those that report it.
    pub audit: bool,
    /// What the process itself has seen of the servers, to contradict a storm of `down` verdicts.
    pub witness: Option<Arc<dyn Witness>>,
    /// How many balancers live, as far as somebody knows: kept with the state for the next start.
    pub balancers: watch::Receiver<Option<u32>>,
    /// Told by whoever was answered as if the registry had lost its memory: it is looked at then at once.
    pub doubts: Arc<Notify>,
}

impl FollowOptions {
    /// Follows without a state file, and holds nothing back.
    pub fn new(fleet: FleetName) -> Self {
        Self {
            fleet,
            state_file: None,
            guard: false,
            audit: false,
            witness: None,
            balancers: watch::channel(None).1,
            doubts: Arc::default(),
        }
    }
}

/// Follows the registry until `stop`, and publishes what to act on. Starts from the state file before the
/// registry answers. It never fails; what hinders it is logged once per change.
///
/// A process that others may wait for has its first report stored (`applied: None`, or what it booted from)
/// before it lets this read: who lists the instances after a commit must find it.
pub async fn follow(
    registry: Arc<dyn Registry>,
    options: FollowOptions,
    views: watch::Sender<Arc<View>>,
    stop: CancellationToken,
) {
    let mut follower = Follower::new(SmallRng::from_rng(&mut rand::rng()));
    if options.guard {
        follower = follower.guarded(options.witness.clone());
    }
    if options.audit {
        follower = follower.auditing();
    }
    if let Some(saved) = boot(&options).await {
        follower = follower.booted(saved.snapshot, saved.in_force, saved.tainted);
    }
    let driver = Driver {
        saver: options
            .state_file
            .map(|path| Saver::new(path, options.fleet)),
        registry,
        follower,
        balancers: options.balancers,
        doubts: options.doubts,
        guarded: options.guard,
        trouble: None,
        hindered: false,
        current: false,
        current_until: None,
        views,
        started: Instant::now(),
        request: None,
        announcements: None,
    };
    driver.run(stop).await;
}

async fn boot(options: &FollowOptions) -> Option<Saved> {
    let (path, fleet) = (options.state_file.clone()?, options.fleet.clone());
    let loaded = tokio::task::spawn_blocking(move || state_file::load(&path, &fleet)).await;
    match loaded {
        Ok(Ok(saved)) => saved,
        Ok(Err(error)) => {
            tracing::warn!("{error}; it is ignored");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the state file could not be loaded; it is ignored");
            None
        }
    }
}

/// What a request came to.
enum Answer {
    Subscribed(Announcements),
    Read(Box<Input>),
    Failed(RegistryError),
}

struct Driver {
    registry: Arc<dyn Registry>,
    follower: Follower,
    balancers: watch::Receiver<Option<u32>>,
    doubts: Arc<Notify>,
    guarded: bool,
    /// Why the last request failed, or the subscription ended.
    trouble: Option<RegistryError>,
    /// Whether that has changed since it was last shown.
    hindered: bool,
    /// Whether the own copy was shown to be the registry's of now.
    current: bool,
    /// When it was last known to be that.
    current_until: Option<Instant>,
    views: watch::Sender<Arc<View>>,
    saver: Option<Saver>,
    started: Instant,
    request: Option<BoxFuture<'static, Answer>>,
    announcements: Option<Announcements>,
}

impl Driver {
    async fn run(mut self, stop: CancellationToken) {
        self.publish();
        while !stop.is_cancelled() {
            self.send_request();
            let wake = self.started.checked_add(self.follower.wake());
            tokio::select! {
                () = stop.cancelled() => break,
                answer = pending_or(self.request.as_mut()) => self.answered(answer),
                message = next_message(&mut self.announcements) => self.received(message),
                () = sleep_until_some(wake) => self.handle(Input::Tick),
                () = self.doubts.notified() => self.handle(Input::Doubted),
                // Where nobody counts them any more, that is over.
                Ok(()) = self.balancers.changed() => self.save(),
                () = keep_saving(self.saver.as_mut()) => {}
            }
            self.publish();
        }
        if let Some(saver) = self.saver {
            saver.finish().await;
        }
    }

    fn send_request(&mut self) {
        if let Some(request) = self.follower.request(self.started.elapsed()) {
            let answer = perform(Arc::clone(&self.registry), request);
            self.request = Some(answer.boxed());
        }
    }

    fn answered(&mut self, answer: Answer) {
        self.request = None;
        match &answer {
            Answer::Failed(error) => self.hinder(Some(error.clone())),
            Answer::Subscribed(_) | Answer::Read(_) => self.hinder(None),
        }
        match answer {
            Answer::Subscribed(announcements) => {
                self.announcements = Some(announcements);
                self.handle(Input::Subscribed);
            }
            Answer::Read(input) => self.handle(*input),
            Answer::Failed(error) => {
                tracing::debug!(%error, "following waits for the registry");
                self.handle(Input::Failed);
            }
        }
    }

    /// Takes a message and those that are already there behind it.
    fn received(&mut self, message: Result<Announcement, RegistryError>) {
        let mut next = Some(message);
        let mut taken = 0;
        while let Some(message) = next.take() {
            match message {
                Ok(announcement) => self.handle(Input::Announced(announcement)),
                Err(error) => {
                    tracing::debug!(%error, "the subscription ended");
                    self.hinder(Some(error));
                    self.handle(Input::Lost);
                    self.announcements = None;
                }
            }
            taken += 1;
            if taken < BATCH {
                next = next_message(&mut self.announcements).now_or_never();
            }
        }
    }

    fn handle(&mut self, input: Input) {
        if let (true, Some(announcements)) = (self.follower.is_current(), &self.announcements) {
            self.current_until = Some(announcements.heard());
        }
        self.follower.handle(input, self.started.elapsed());
    }

    fn hinder(&mut self, trouble: Option<RegistryError>) {
        self.hindered |= self.trouble != trouble;
        self.trouble = trouble;
    }

    fn publish(&mut self) {
        let hindered = std::mem::take(&mut self.hindered);
        let current = self.follower.is_current();
        let turned = std::mem::replace(&mut self.current, current) != current;
        if !self.follower.take_changed() && !hindered && !turned {
            return;
        }
        let view = Arc::new(self.view());
        self.save();
        let before = self.views.send_replace(Arc::clone(&view));
        log::changes(&before, &view, self.registry.outlives_process());
    }

    fn save(&self) {
        // Of what is damaged, a file from before is the better copy; a guard holds back what would be lost.
        let worth = self.guarded || !self.follower.is_tainted();
        if let (Some(saver), true) = (&self.saver, worth) {
            saver.save(&self.follower, *self.balancers.borrow());
        }
    }

    fn view(&self) -> View {
        let follower = &self.follower;
        let followed = follower.origin() == model::Origin::Registry && !follower.is_head_missing();
        View {
            snapshot: follower.in_force().cloned(),
            origin: follower.origin(),
            registry_position: follower.position().filter(|_| followed),
            connected: follower.is_connected(),
            current: self.current,
            current_until: self.current_until.filter(|_| !self.current),
            trouble: self.trouble.clone(),
            head_missing: follower.is_head_missing(),
            leader: follower.leader().map(|heard| Leader {
                instance: heard.instance,
                term: heard.term,
                heard: self.started + heard.at,
            }),
            holds: follower.holds(),
            damage: follower.damage().to_vec(),
            abandoned: follower.abandoned().cloned(),
            dated: follower.dated().collect(),
            tainted: follower.tainted().clone(),
        }
    }
}

async fn perform(registry: Arc<dyn Registry>, request: Request) -> Answer {
    let operation = match request {
        Request::Subscribe => "a subscription",
        Request::ReadHead => "a read of its head",
        Request::ReadLog(_) => "a read of its log",
        Request::ReadSnapshot => "a read of its snapshot",
    };
    let read = |input| Answer::Read(Box::new(input));
    let answer = async {
        Ok(match request {
            Request::Subscribe => Answer::Subscribed(registry.announcements().await?),
            Request::ReadHead => read(Input::Head(registry.head().await?)),
            Request::ReadLog(from) => read(Input::Log(registry.log_after(from).await?)),
            Request::ReadSnapshot => {
                read(Input::Snapshot(registry.snapshot().await?.map(Box::new)))
            }
        })
    };
    let answer = timeout(REQUEST_LIMIT, answer).await;
    let answer = answer.unwrap_or(Err(RegistryError::Unanswered { operation }));
    answer.unwrap_or_else(Answer::Failed)
}

async fn pending_or(request: Option<&mut BoxFuture<'static, Answer>>) -> Answer {
    match request {
        Some(request) => request.await,
        None => std::future::pending().await,
    }
}

async fn next_message(
    announcements: &mut Option<Announcements>,
) -> Result<Announcement, RegistryError> {
    match announcements {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

async fn keep_saving(saver: Option<&mut Saver>) {
    match saver {
        Some(saver) => saver.run().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until_some(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
