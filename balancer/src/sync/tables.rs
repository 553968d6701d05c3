//! Follows the registry and publishes tables.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use model::{Hold, Origin, Position, Snapshot};
use policy::Table;
use rand::RngExt;
use registry::{FollowOptions, StateFile, View, follow};
use runtime::Backoff;
use tokio::sync::watch;

use super::stand_in::Findings;
use super::witness::Successes;
use super::{Membership, Standing};
use crate::adoption::Published;

/// How often readiness is looked at while there is none.
const LOOK: Duration = Duration::from_millis(200);

/// One that is published and not yet known to be everywhere.
struct Pending {
    published: Published,
    origin: Origin,
    /// What is held back where this is in force.
    holds: Vec<Hold>,
}

/// What the task that writes tables knows.
struct Tables {
    membership: Membership,
    views: watch::Receiver<Arc<View>>,
    findings: watch::Receiver<Findings>,
    /// Where this balancer's rotations begin.
    start: u64,
    compiled: Option<Arc<Snapshot>>,
    latest: Published,
    pending: VecDeque<Pending>,
    /// What every worker has.
    applied: Option<Pending>,
    /// Where the first table of all stood, unless it had servers that the registry did not have any more.
    began: Option<Position>,
    /// When the first table was everywhere.
    first: Option<tokio::time::Instant>,
}

impl Membership {
    /// Shows what there is to act on, until no worker serves any more: the last good state from disk until this balancer is
    /// registered, and only then the registry's. So nobody who waits for a change can overlook a balancer that has read an older state.
    pub(crate) async fn follow(self, views: watch::Sender<Arc<View>>) {
        if let Some(snapshot) = self.boot().await {
            views.send_replace(Arc::new(View {
                snapshot: Some(Arc::new(snapshot)),
                origin: Origin::Disk,
                ..View::default()
            }));
        }
        tokio::select! {
            () = self.register() => {}
            () = self.served.cancelled() => return,
        }
        let options = FollowOptions {
            state_file: self.identity.state_file.clone(),
            guard: true,
            witness: Some(Arc::new(Successes::new(&self))),
            ..FollowOptions::new(self.identity.fleet.clone())
        };
        follow(
            Arc::clone(&self.registry),
            options,
            views,
            self.served.clone(),
        )
        .await;
    }

    async fn boot(&self) -> Option<Snapshot> {
        let path = self.identity.state_file.clone()?;
        let fleet = self.identity.fleet.clone();
        let load = move || StateFile::load(&path, &fleet);
        let loaded = tokio::task::spawn_blocking(load).await;
        match loaded.expect("loading a state file does not panic") {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!(%error, "starting without the last good state");
                None
            }
        }
    }

    async fn register(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), registry::REPORT_PERIOD * 3);
        while !self.report(true).await {
            let pause = backoff.next_pause(&mut rand::rng());
            tokio::time::sleep(pause).await;
        }
    }

    /// Compiles and publishes what `follow` shows, with this balancer's own findings, until no worker serves any more.
    pub(crate) async fn publish(
        self,
        views: watch::Receiver<Arc<View>>,
        findings: watch::Receiver<Findings>,
    ) {
        let served = self.served.clone();
        let tables = Tables {
            membership: self,
            views,
            findings,
            start: rand::rng().random(),
            compiled: None,
            latest: Published::default(),
            pending: VecDeque::new(),
            applied: None,
            began: None,
            first: None,
        };
        tokio::select! {
            () = tables.run() => {}
            () = served.cancelled() => {}
        }
    }
}

/// Returns at that moment; never where there is none.
async fn at(moment: Option<std::time::Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

impl Tables {
    async fn run(mut self) {
        let adopted = Arc::clone(&self.membership.adopted);
        loop {
            let grows_at = self.latest.table.grows_at();
            let grows_at = grows_at.map(|at| self.membership.started + at);
            tokio::select! {
                changed = self.views.changed() => match changed {
                    Ok(()) => self.take_in(),
                    // The follower ends with the workers, and so does this.
                    Err(_) => std::future::pending().await,
                },
                // It ends with the workers too.
                Ok(()) = self.findings.changed() => self.recompile(),
                () = adopted.changed() => {}
                // Servers in slow start have a weight that grows.
                () = at(grows_at) => self.recompile(),
                () = tokio::time::sleep(LOOK), if !self.is_ready() => {}
            }
            self.settle();
        }
    }

    fn is_ready(&self) -> bool {
        self.membership.standing.borrow().readiness.check().is_ok()
    }

    fn take_in(&mut self) {
        let view = Arc::clone(&self.views.borrow_and_update());
        self.membership.standing.send_if_modified(|standing| {
            let before = standing.clone();
            standing.note(&view);
            *standing != before
        });
        let Some(snapshot) = &view.snapshot else {
            return;
        };
        let same = self
            .compiled
            .as_ref()
            .is_some_and(|compiled| Arc::ptr_eq(compiled, snapshot));
        let same_origin = self
            .pending
            .back()
            .or(self.applied.as_ref())
            .is_some_and(|last| last.origin == view.origin);
        if !same || !same_origin {
            self.compile(snapshot, &view);
        } else if let Some(last) = self.pending.back_mut().or(self.applied.as_mut()) {
            last.holds.clone_from(&view.holds);
        }
    }

    fn recompile(&mut self) {
        let view = Arc::clone(&self.views.borrow());
        if let Some(snapshot) = &view.snapshot {
            self.compile(snapshot, &view);
        }
    }

    fn compile(&mut self, snapshot: &Arc<Snapshot>, view: &View) {
        let now = self.membership.started.elapsed();
        let found = self
            .findings
            .borrow_and_update()
            .over(snapshot, view.origin);
        let table = Table::compile(&found, &self.latest.table, self.start, now);
        self.latest = Published {
            generation: self.latest.generation + 1,
            table: Arc::new(table),
        };
        let is_whole = view.origin == Origin::Registry && view.holds.is_empty();
        if self.compiled.is_none() && is_whole {
            self.began = Some(snapshot.position);
        }
        self.compiled = Some(Arc::clone(snapshot));
        self.pending.push_back(Pending {
            published: self.latest.clone(),
            origin: view.origin,
            holds: view.holds.clone(),
        });
        self.membership.tables.send_replace(self.latest.clone());
    }

    /// Says what is applied by now.
    fn settle(&mut self) {
        let everywhere = self.membership.adopted.by_all();
        while self
            .pending
            .front()
            .is_some_and(|pending| pending.published.generation <= everywhere)
        {
            self.applied = self.pending.pop_front();
        }
        let Some(applied) = &self.applied else {
            return;
        };
        let first = *self.first.get_or_insert_with(tokio::time::Instant::now);
        let table = &applied.published.table;
        self.membership.standing.send_if_modified(|standing| {
            let settled = Standing {
                applied: table.position(),
                began: self.began,
                origin: applied.origin,
                // Not before: whoever sees that a withdrawal is no longer held back relies on it being in force.
                holds: applied.holds.clone(),
                readiness: standing
                    .readiness
                    .judge(table, applied.origin, first.elapsed()),
                ..standing.clone()
            };
            let changed = *standing != settled;
            *standing = settled;
            changed
        });
    }
}
