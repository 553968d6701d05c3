//! Hears, while this one leads, what the other orchestrators find of servers on which a majority decides.
//!
//! They say it in their reports, and announce it where it changed. The reports are read once a period in any case,
//! since an announcement may be lost; and nothing is read where no pool asks for a majority.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Instance, InstanceId, Role};
use registry::{REPORT_PERIOD, Stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::health::Voice;
use crate::driver::jittered;
use crate::fleet::Fleet;

/// What one call of the registry may take.
const LIMIT: Duration = Duration::from_secs(1);

/// All the others that probe, each once; nothing as long as they have not been heard since this one leads.
pub(crate) type Voices = Option<Vec<Voice>>;

/// Listens until `stop`.
pub(crate) async fn run(fleet: Fleet, voices: watch::Sender<Voices>, stop: CancellationToken) {
    let mut hearing = Hearing {
        fleet,
        voices,
        announcements: None,
        others: Vec::new(),
        unasked: BTreeSet::new(),
        read: Instant::now(),
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = hearing.run() => {}
    }
}

struct Hearing {
    fleet: Fleet,
    voices: watch::Sender<Voices>,
    /// That somebody has reported something new.
    announcements: Option<Box<dyn Stream<InstanceId>>>,
    /// The other orchestrators, as they were read last, and when that was.
    others: Vec<Instance>,
    /// Whose announcements concern nobody here: balancers make many.
    unasked: BTreeSet<InstanceId>,
    read: Instant,
}

impl Hearing {
    async fn run(&mut self) {
        loop {
            while !self.is_wanted() {
                self.forget();
                tokio::select! {
                    Ok(()) = self.fleet.tenure.changed() => {}
                    Ok(()) = self.fleet.views.changed() => {}
                    () = sleep(REPORT_PERIOD) => {}
                }
            }
            self.listen().await;
        }
    }

    /// Whether this one leads, and some pool asks for a majority.
    fn is_wanted(&self) -> bool {
        let leads = self.fleet.leadership().is_some();
        leads && self.fleet.asks_for_quorum()
    }

    fn forget(&mut self) {
        self.announcements = None;
        self.others.clear();
        self.voices
            .send_if_modified(|voices| voices.take().is_some());
    }

    /// Reads once, and waits until there is reason to read again.
    async fn listen(&mut self) {
        if self.announcements.is_none() {
            let subscribed = timeout(LIMIT, self.fleet.registry.reports()).await;
            self.announcements = subscribed.ok().and_then(Result::ok);
        }
        self.look().await;
        tokio::select! {
            () = sleep(jittered(REPORT_PERIOD)) => {}
            () = announced(&mut self.announcements, &self.unasked) => {}
        }
    }

    /// What cannot be read anew grows older.
    async fn look(&mut self) {
        if let Ok(Ok(instances)) = timeout(LIMIT, self.fleet.registry.instances()).await {
            self.take_in(instances);
            self.read = Instant::now();
        } else if self.voices.borrow().is_none() {
            return;
        }
        let since = self.read.elapsed();
        let voice = |other: &Instance| {
            let verdicts = other.report.probes.clone()?;
            Some(Voice {
                age: other.age + since,
                verdicts: Arc::new(verdicts),
            })
        };
        let voices = self.others.iter().filter_map(voice).collect();
        self.voices.send_replace(Some(voices));
    }

    fn take_in(&mut self, instances: Vec<Instance>) {
        let own = self.fleet.instance;
        let is_asked = |each: &Instance| {
            let report = &each.report;
            report.role == Role::Orchestrator && report.instance != own
        };
        let (others, unasked): (Vec<_>, Vec<_>) = instances.into_iter().partition(is_asked);
        self.others = others;
        let unasked = unasked.iter().map(|each| each.report.instance);
        self.unasked = unasked.collect();
    }
}

/// Returns when somebody but these has said something new; never where nothing is announced.
async fn announced(
    announcements: &mut Option<Box<dyn Stream<InstanceId>>>,
    unasked: &BTreeSet<InstanceId>,
) {
    while let Some(stream) = announcements {
        match stream.next().await {
            Ok(instance) if unasked.contains(&instance) => {}
            Ok(_) => return,
            Err(_) => *announcements = None,
        }
    }
    std::future::pending::<()>().await;
}
