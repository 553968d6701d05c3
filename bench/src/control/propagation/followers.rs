//! Followers as tasks of this process: each with connections of its own, as a balancer has them, and nothing behind it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{FleetName, Origin, Revision};
use registry::{FollowOptions, View, follow};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::findings::Section;
use super::super::fleet::{Fleet, revision};
use super::super::ms;
use super::{MOST, PAUSE, Stage, section};
use crate::Error;

/// How long a follower may take before it is given up.
const WITHIN: Duration = Duration::from_secs(60);

const NOTE: &str = "Followers as a balancer has them, with its guard, each with connections of its own, all as tasks of one process. One has applied a
change when it shows the state that has it.";

/// That a follower shows a revision of the registry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) follower: usize,
    pub(super) revision: Revision,
    pub(super) at: Instant,
}

/// Followers that run until they are let go.
pub(super) struct Followers {
    count: usize,
    heard: mpsc::UnboundedReceiver<Heard>,
    stop: CancellationToken,
}

impl Followers {
    /// Starts so many. Within a runtime.
    pub(super) fn start(fleet: &Fleet, count: usize) -> Result<Self, Error> {
        let (hear, heard) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        for number in 0..count {
            let registry = fleet.registry(&FleetName::standard())?;
            let options = FollowOptions {
                guard: true,
                ..FollowOptions::new(FleetName::standard())
            };
            let (views, shown) = watch::channel(Arc::new(View::default()));
            tokio::spawn(follow(registry, options, views, stop.clone()));
            tokio::spawn(tell(number, shown, hear.clone()));
        }
        Ok(Self { count, heard, stop })
    }

    /// When each showed that revision, or a later one, first.
    pub(super) async fn all_at(&mut self, revision: Revision) -> Result<Vec<Instant>, Error> {
        let mut at = vec![None; self.count];
        while at.contains(&None) {
            let heard = timeout(WITHIN, self.heard.recv()).await.ok().flatten();
            let heard = heard.ok_or_else(|| {
                let missing = at.iter().filter(|at| at.is_none()).count();
                Error::Unfit(format!("{missing} followers never came to {revision}"))
            })?;
            if heard.revision >= revision {
                at[heard.follower].get_or_insert(heard.at);
            }
        }
        Ok(at.into_iter().flatten().collect())
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Says which revisions a follower shows, until it ends.
async fn tell(
    follower: usize,
    mut shown: watch::Receiver<Arc<View>>,
    hear: mpsc::UnboundedSender<Heard>,
) {
    while shown.changed().await.is_ok() {
        let at = Instant::now();
        let revision = {
            let view = shown.borrow_and_update();
            let is_followed = view.origin == Origin::Registry;
            view.registry_position
                .filter(|_| is_followed)
                .map(|position| position.revision)
        };
        let Some(revision) = revision else { continue };
        let heard = Heard {
            follower,
            revision,
            at,
        };
        if hear.send(heard).is_err() {
            return;
        }
    }
}

pub(super) fn measure(stage: &Stage<'_>) -> Result<Section, Error> {
    let count = stage.args.followers;
    let title = format!("{count} followers, from the commit to the change applied");
    let mut section = section(&title, NOTE);
    stage.runtime.block_on(async {
        let mut followers = Followers::start(stage.fleet, count)?;
        let first = revision(&*stage.registry).await?;
        followers.all_at(first).await?;
        let (mut each, mut last) = (Vec::new(), Vec::new());
        for _ in 0..stage.args.changes {
            tokio::time::sleep(PAUSE).await;
            let sent = Instant::now();
            let revision = stage.commit().await?;
            let took = followers.all_at(revision).await?;
            let took = took.into_iter().map(|at| ms(at.duration_since(sent)));
            let took: Vec<_> = took.collect();
            last.extend(took.iter().copied().reduce(f64::max));
            each.extend(took);
        }
        section.add_spread("each follower", &each, MOST)?;
        section.add_spread("the last of them", &last, [None, None])
    })?;
    Ok(section)
}
