//! The one task that turns the view, the log and the reports into events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Instance, InstanceId, Position, Role, Term};
use registry::{Registry, View};
use serde_json::json;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Event, since};
use crate::fleet;

/// How often the instances and the leader are looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Makes events of what changes.
#[derive(Debug)]
pub(crate) struct Reporter {
    registry: Arc<dyn Registry>,
    views: watch::Receiver<Arc<View>>,
    events: broadcast::Sender<Event>,
    /// The revision told last.
    told: Option<Position>,
    leader: Option<(InstanceId, Term)>,
    /// As last seen.
    instances: Option<BTreeMap<InstanceId, Instance>>,
}

impl Reporter {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        views: watch::Receiver<Arc<View>>,
        events: broadcast::Sender<Event>,
    ) -> Self {
        Self {
            registry,
            views,
            events,
            told: None,
            leader: None,
            instances: None,
        }
    }

    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut look = interval(LOOK_PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.views.changed() => {
                    if changed.is_err() {
                        return stop.cancelled().await;
                    }
                    self.tell_revisions().await;
                }
                _ = look.tick() => {
                    self.tell_revisions().await;
                    self.tell_leader();
                    self.tell_instances().await;
                }
            }
        }
    }

    fn tell(&self, event: Event) {
        // Nobody listening is no failure.
        let _ = self.events.send(event);
    }

    /// Tells each revision between the last one told and the view's own, in order.
    async fn tell_revisions(&mut self) {
        let snapshot = self.views.borrow_and_update().snapshot.clone();
        let Some(present) = snapshot.map(|snapshot| snapshot.position) else {
            return;
        };
        if self.events.receiver_count() == 0 {
            self.told = Some(present);
        }
        if self.told == Some(present) {
            return;
        }
        // Where the registry does not answer, the next look tries again.
        for event in since(&*self.registry, self.told, present)
            .await
            .unwrap_or_default()
        {
            self.told = event.position;
            self.tell(event);
        }
    }

    fn tell_leader(&mut self) {
        let leader = fleet::leader(&self.views.borrow(), Instant::now());
        let leader = leader.map(|leader| (leader.instance, leader.term));
        if leader == self.leader {
            return;
        }
        self.leader = leader;
        let (instance, term) = leader.unzip();
        let data = json!({"leader": instance, "term": term});
        self.tell(Event::new("leader", None, &data));
    }

    async fn tell_instances(&mut self) {
        // What cannot be read now is told at a later look.
        let Ok(instances) = fleet::instances(&*self.registry).await else {
            return;
        };
        let present: BTreeMap<_, _> = instances
            .into_iter()
            .map(|instance| (instance.report.instance, instance))
            .collect();
        let before = self.instances.replace(present);
        let (Some(before), Some(present)) = (&before, &self.instances) else {
            return;
        };
        for (what, instance) in differences(before, present) {
            let data = json!({
                "what": what,
                "id": instance.report.instance,
                "role": instance.report.role,
                "advertise": instance.report.advertise,
            });
            self.tell(Event::new(kind(instance.report.role), None, &data));
        }
    }
}

fn kind(role: Role) -> &'static str {
    match role {
        Role::Balancer => "balancer",
        Role::Orchestrator => "orchestrator",
        Role::Admin => "admin",
    }
}

/// Who came, went, fell silent or spoke again.
fn differences<'a>(
    before: &'a BTreeMap<InstanceId, Instance>,
    present: &'a BTreeMap<InstanceId, Instance>,
) -> Vec<(&'static str, &'a Instance)> {
    let of_present = present.iter().filter_map(|(id, instance)| {
        let what = match before.get(id) {
            None => "joined",
            Some(old) => match (fleet::is_lost(old), fleet::is_lost(instance)) {
                (false, true) => "lost",
                (true, false) => "returned",
                _ => return None,
            },
        };
        Some((what, instance))
    });
    let gone = before.iter().filter(|(id, _)| !present.contains_key(id));
    of_present
        .chain(gone.map(|(_, instance)| ("left", instance)))
        .collect()
}
