//! Takes the lease, renews it, and gives it back: drives the pure lease over the registry and the clock.

use std::time::Duration;

use rand::rngs::SmallRng;
use registry::{HEARTBEAT_PERIOD, Head, Leadership, Lease, LeaseRequest, RegistryError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, Tenure};

/// What giving the lease back may take.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// The loop that campaigns and leads. Everybody else reads the tenure it publishes.
pub(crate) struct Leader {
    fleet: Fleet,
    lease: Lease,
    tenure: watch::Sender<Option<Tenure>>,
    refused: watch::Receiver<Option<Leadership>>,
    /// Whether the last heartbeat named a leader.
    led: bool,
    /// Where the registry stood at the last answer.
    head: Option<Head>,
    anchor: Instant,
}

impl Leader {
    pub(crate) fn new(fleet: Fleet, tenure: watch::Sender<Option<Tenure>>) -> Self {
        let random: SmallRng = rand::make_rng();
        Self {
            lease: Lease::new(fleet.instance, random),
            refused: fleet.refused.subscribe(),
            fleet,
            tenure,
            led: false,
            head: None,
            anchor: Instant::now(),
        }
    }

    /// The same, where another one is to lead within this time of a leader's sudden end.
    pub(crate) fn within(self, takeover: Duration) -> Self {
        Self {
            lease: self.lease.within(takeover),
            ..self
        }
    }

    /// Runs until `stop`; the lease is given back then, so that another takes over at once.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        self.await_head().await;
        self.hear();
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.turn() => {}
            }
        }
        self.tenure.send_replace(None);
        if let Some(LeaseRequest::Release(term)) = self.lease.resign() {
            let release = self.fleet.registry.release(self.fleet.instance, term);
            match timeout(RELEASE_LIMIT, release).await {
                Ok(Ok(())) => tracing::info!(%term, "gave the lease back"),
                _ => tracing::warn!(%term, "could not give the lease back; it runs out by itself"),
            }
        }
    }

    /// There is nothing to lead before there is a head; whoever asks too early asks again much later. Not
    /// seeing one is no reason not to ask in the end.
    async fn await_head(&mut self) {
        let seen = self
            .fleet
            .views
            .wait_for(|view| view.registry_position.is_some());
        let _ = timeout(HEARTBEAT_PERIOD, seen).await;
    }

    /// One request where one is due, and the wait for the next.
    async fn turn(&mut self) {
        if let Some(request) = self.lease.request(self.anchor.elapsed()) {
            let answer = self.ask(request).await;
            if let (LeaseRequest::Renew(_), Ok(None)) = (request, &answer) {
                // Another one leads, or all is lost: the lease and the head with it.
                self.fleet.doubts.notify_one();
            }
            let head = answer.as_ref().map(Option::as_ref).map_err(|_| ());
            self.lease.answered(head, self.anchor.elapsed());
            self.head = answer.ok().flatten();
        }
        self.publish();
        let due = self.lease.due();
        let wake = self.lease.sure_until().map_or(due, |until| due.min(until));
        // An end of certainty that has passed is published already.
        let wake = if wake <= self.anchor.elapsed() {
            due
        } else {
            wake
        };
        tokio::select! {
            () = sleep_until(self.anchor + wake) => {}
            Ok(()) = self.refused.changed() => self.refused(),
            Ok(()) = self.fleet.views.changed() => self.hear(),
        }
        self.publish();
    }

    /// A heartbeat that names nobody any more says that the lease was given back.
    fn hear(&mut self) {
        let led = self.fleet.views.borrow_and_update().leader.is_some();
        if std::mem::replace(&mut self.led, led) && !led {
            self.lease.freed(self.anchor.elapsed());
        }
    }

    fn refused(&mut self) {
        if let Some(leadership) = *self.refused.borrow_and_update() {
            self.lease.refused(leadership, self.anchor.elapsed());
        }
    }

    /// Waits for an answer for no longer than the leadership is certain.
    async fn ask(&mut self, request: LeaseRequest) -> Result<Option<Head>, ()> {
        let now = self.anchor.elapsed();
        let sure = self.lease.sure_until().filter(|until| *until > now);
        let limit = self.anchor + sure.unwrap_or(now + self.lease.lifetime());
        match timeout_at(limit, self.send(request)).await {
            Ok(Ok(head)) => Ok(head),
            Ok(Err(error)) => {
                tracing::debug!(%error, ?request, "the lease's request failed");
                Err(())
            }
            Err(_) => Err(()),
        }
    }

    async fn send(&self, request: LeaseRequest) -> Result<Option<Head>, RegistryError> {
        let (registry, instance) = (&self.fleet.registry, self.fleet.instance);
        let lifetime = self.lease.lifetime();
        match request {
            LeaseRequest::Acquire => registry.acquire(instance, lifetime).await,
            LeaseRequest::Renew(term) => registry.renew(instance, term, lifetime).await,
            LeaseRequest::Release(term) => registry.release(instance, term).await.map(|()| None),
        }
    }

    /// Tells the others where a leadership begins or ends.
    fn publish(&mut self) {
        let leadership = self.lease.leadership(self.anchor.elapsed());
        let former = *self.tenure.borrow();
        if former.map(|tenure| tenure.leadership) == leadership {
            return;
        }
        let head = self.head.as_ref();
        let tenure = leadership.zip(head).map(|(leadership, head)| Tenure {
            leadership,
            since: head.position,
        });
        self.announce(former, tenure);
        self.tenure.send_replace(tenure);
    }

    fn announce(&self, former: Option<Tenure>, tenure: Option<Tenure>) {
        let metrics = &self.fleet.metrics;
        metrics.leading.set(i64::from(tenure.is_some()));
        match (former, tenure) {
            (_, Some(tenure)) => {
                let term = tenure.leadership.term;
                metrics.term.set(i64::try_from(term.0).unwrap_or(i64::MAX));
                tracing::info!(%term, "leading");
            }
            (Some(former), None) => {
                tracing::warn!(term = %former.leadership.term, "no longer leading");
            }
            (None, None) => {}
        }
    }
}

#[cfg(test)]
mod tests;
