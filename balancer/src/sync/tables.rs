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
use tokio::time::Instant;

use super::propagation::UnderWay;
use super::staleness::Staleness;
use super::stand_in::Findings;
use super::witness::Successes;
use super::{Membership, Standing, sleep_until};
use crate::adoption::Published;
use crate::tls::{Compiler, Files, Tls};

/// How often readiness is looked at while there is none.
const READINESS_LOOK_EACH: Duration = Duration::from_millis(200);

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
    files: watch::Receiver<Arc<Files>>,
    /// Makes what TLS is spoken with.
    compiler: Compiler,
    /// Where this balancer's rotations begin.
    rotation_start: u64,
    compiled: Option<Arc<Snapshot>>,
    latest: Published,
    pending: VecDeque<Pending>,
    /// What every worker has.
    applied: Option<Pending>,
    /// As in [`Standing::began`].
    began: Option<Position>,
    /// When the first table was everywhere.
    first_applied_at: Option<Instant>,
    under_way: UnderWay,
    staleness: Staleness,
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
            balancers: self.balancers.subscribe(),
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
            Ok(loaded) => {
                let loaded = loaded?;
                if let Some(balancers) = loaded.balancers {
                    self.note_balancers(balancers);
                }
                Some(loaded.snapshot)
            }
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
        files: watch::Receiver<Arc<Files>>,
    ) {
        let served = self.served.clone();
        let staleness = Staleness::new(self.stale_limit, self.started.into());
        let compiler = Compiler::new(self.listens_on_tls);
        let tables = Tables {
            membership: self,
            views,
            findings,
            files,
            compiler,
            rotation_start: rand::rng().random(),
            compiled: None,
            latest: Published::default(),
            pending: VecDeque::new(),
            applied: None,
            began: None,
            first_applied_at: None,
            under_way: UnderWay::default(),
            staleness,
        };
        tokio::select! {
            () = tables.run() => {}
            () = served.cancelled() => {}
        }
    }
}

impl Tables {
    async fn run(mut self) {
        let adopted = Arc::clone(&self.membership.adopted);
        loop {
            let grows_at = self.latest.table.grows_at();
            let grows_at = grows_at.map(|at| (self.membership.started + at).into());
            let has_fresh = self.compiled.is_some() && !self.latest.stale;
            let stale_at = self.staleness.due().filter(|_| has_fresh);
            tokio::select! {
                changed = self.views.changed() => match changed {
                    Ok(()) => self.take_in().await,
                    // The follower ends with the workers, and so does this.
                    Err(_) => std::future::pending().await,
                },
                // It ends with the workers too.
                Ok(()) = self.findings.changed() => self.recompile().await,
                // So does this, and where there is no directory it never was.
                Ok(()) = self.files.changed() => self.recompile().await,
                () = adopted.changed() => {}
                // Servers in slow start have a weight that grows.
                () = sleep_until(grows_at) => self.recompile().await,
                () = sleep_until(stale_at) => self.turn_stale(),
                () = tokio::time::sleep(READINESS_LOOK_EACH), if !self.is_ready() => {}
            }
            self.settle();
        }
    }

    fn is_ready(&self) -> bool {
        self.membership.standing.borrow().readiness.is_ready()
    }

    async fn take_in(&mut self) {
        let view = Arc::clone(&self.views.borrow_and_update());
        self.note(&view);
        self.under_way.take(&view);
        self.staleness.note(&view);
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
            self.compile(snapshot, &view).await;
        } else if let Some(last) = self.pending.back_mut().or(self.applied.as_mut()) {
            last.holds.clone_from(&view.holds);
        }
        self.turn_stale();
    }

    fn note(&self, view: &View) {
        self.membership.standing.send_if_modified(|standing| {
            let before = standing.clone();
            standing.note(view, &self.latest);
            *standing != before
        });
    }

    /// Publishes the same table again where clients are to be turned away from now on, or not any more. Without a table they are
    /// turned away anyway.
    fn turn_stale(&mut self) {
        let view = Arc::clone(&self.views.borrow());
        if self.compiled.is_some() && self.staleness.is_stale(Instant::now()) != self.latest.stale {
            let Published { table, tls, .. } = self.latest.clone();
            self.publish(table, tls, &view);
        }
    }

    async fn recompile(&mut self) {
        let view = Arc::clone(&self.views.borrow());
        if let Some(snapshot) = &view.snapshot {
            self.compile(snapshot, &view).await;
        }
    }

    async fn compile(&mut self, snapshot: &Arc<Snapshot>, view: &View) {
        let files = Arc::clone(&self.files.borrow_and_update());
        let tls = self.compiler.compile(snapshot, &files).await;
        let now = self.membership.started.elapsed();
        let found = self
            .findings
            .borrow_and_update()
            .over(snapshot, view.origin);
        let table = Table::compile(&found, &self.latest.table, self.rotation_start, now);
        let is_whole = view.origin == Origin::Registry && view.holds.is_empty();
        if self.compiled.is_none() && is_whole {
            self.began = Some(snapshot.position);
        }
        self.compiled = Some(Arc::clone(snapshot));
        self.publish(Arc::new(table), tls, view);
    }

    fn publish(&mut self, table: Arc<Table>, tls: Arc<Tls>, view: &View) {
        let stale = self.staleness.is_stale(Instant::now());
        if stale != self.latest.stale {
            log_staleness(stale, view);
        }
        self.latest = Published {
            generation: self.latest.generation + 1,
            table,
            tls,
            stale,
        };
        self.note(view);
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
        self.measure();
        let Some(applied) = &self.applied else {
            return;
        };
        let first_applied_at = *self.first_applied_at.get_or_insert_with(Instant::now);
        let table = &applied.published.table;
        self.membership.standing.send_if_modified(|standing| {
            let settled = Standing {
                applied: table.position(),
                began: self.began,
                origin: applied.origin,
                // Not before: whoever sees that a withdrawal is no longer held back relies on it being in force.
                holds: applied.holds.clone(),
                stale: applied.published.stale,
                readiness: standing.readiness.judge(
                    table,
                    applied.origin,
                    first_applied_at.elapsed(),
                ),
                ..standing.clone()
            };
            let changed = *standing != settled;
            *standing = settled;
            changed
        });
    }

    /// Measures how long it took what is applied by now.
    fn measure(&mut self) {
        let applied = self.applied.as_ref();
        if let Some(position) = applied.and_then(|applied| applied.published.table.position()) {
            let Membership {
                propagation,
                started,
                ..
            } = &self.membership;
            self.under_way
                .settle(position, propagation, started.elapsed());
        }
    }
}

fn log_staleness(stale: bool, view: &View) {
    if stale {
        let trouble = view.trouble.as_ref().map(ToString::to_string);
        let because = trouble.unwrap_or_else(|| "it does not answer".into());
        tracing::warn!(
            because,
            "cut off from the registry for longer than --stale-limit: taking no requests"
        );
    } else {
        tracing::info!("following the registry again: taking requests");
    }
}
