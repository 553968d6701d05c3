//! One who follows a registry, for promises about what is shown of it.

use std::sync::Arc;
use std::time::Duration;

use model::{FleetName, Position, Snapshot};
use registry::{FollowOptions, Registry, View, follow};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a follower may take to come upon what no message tells it of.
const DEADLINE: Duration = Duration::from_secs(40);

pub(crate) struct Following {
    views: watch::Receiver<Arc<View>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

pub(crate) fn options() -> FollowOptions {
    FollowOptions::new(FleetName::standard())
}

/// As a balancer follows.
pub(crate) fn guarded() -> FollowOptions {
    FollowOptions {
        guard: true,
        ..options()
    }
}

/// As an orchestrator or an admin API follows.
pub(crate) fn auditing() -> FollowOptions {
    FollowOptions {
        audit: true,
        ..options()
    }
}

impl Following {
    pub(crate) fn start(registry: &Arc<dyn Registry>, options: FollowOptions) -> Self {
        let (sender, views) = watch::channel(Arc::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(follow(Arc::clone(registry), options, sender, stop.clone()));
        Self { views, stop, task }
    }

    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&View) -> bool) -> Arc<View> {
        let view = self.views.wait_for(|view| wanted(view));
        let view = tokio::time::timeout(DEADLINE, view).await;
        let view = view.unwrap_or_else(|_| panic!("never seen: {what}"));
        Arc::clone(&view.expect("the follower runs"))
    }

    pub(crate) async fn until_at(&mut self, position: Position) -> Arc<View> {
        self.until("the revision", |view| {
            view.registry_position == Some(position)
        })
        .await
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the follower ends in order");
    }
}

/// What a view shows to act on.
pub(crate) fn shown(view: &View) -> &Snapshot {
    view.snapshot.as_deref().expect("a state")
}
