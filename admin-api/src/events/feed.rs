//! Where listeners come in, and what each is told: a bounded number, each with a bounded backlog.

use std::sync::Arc;

use futures_util::stream::{self, Stream};
use model::Position;
use registry::{Registry, View};
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};

use super::{Event, Reporter};
use crate::problem::Problem;

/// How many events a listener may be behind.
pub(super) const BACKLOG: usize = 1024;
/// How many may listen.
const LISTENERS_MAX: usize = 64;

/// Where listeners come in.
#[derive(Debug)]
pub(crate) struct Feed {
    events: broadcast::Sender<Event>,
    places: Arc<Semaphore>,
}

/// One listener's place. Its drop gives it back.
#[derive(Debug)]
pub(crate) struct Listener {
    events: broadcast::Receiver<Event>,
    _place: OwnedSemaphorePermit,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self {
            events: broadcast::Sender::new(BACKLOG),
            places: Arc::new(Semaphore::new(LISTENERS_MAX)),
        }
    }

    /// A place among the listeners, if there is one left.
    pub(crate) fn listen(&self) -> Result<Listener, Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        Ok(Listener {
            _place: place.map_err(|_| Problem::TooManyFollowers)?,
            events: self.events.subscribe(),
        })
    }

    /// The task that makes the events.
    pub(crate) fn reporter(
        &self,
        registry: Arc<dyn Registry>,
        views: watch::Receiver<Arc<View>>,
    ) -> Reporter {
        Reporter::new(registry, views, self.events.clone())
    }
}

impl Listener {
    /// The events beyond where the listener stands. For who falls behind the last one says so.
    pub(crate) fn events(self, standing: Position) -> impl Stream<Item = Event> {
        let place = Some((self, Some(standing)));
        stream::unfold(place, async |place| {
            let (mut listener, standing) = place?;
            match listener.next(standing).await {
                Ok(event) => Some((event, Some((listener, None)))),
                Err(RecvError::Lagged(missed)) => {
                    let data = json!({"missed": missed});
                    Some((Event::new("lagged", None, &data), None))
                }
                Err(RecvError::Closed) => None,
            }
        })
    }

    /// What was told before the listener came is skipped. From the first event on there is nothing such.
    async fn next(&mut self, standing: Option<Position>) -> Result<Event, RecvError> {
        loop {
            let event = self.events.recv().await?;
            if !standing.is_some_and(|standing| event.is_known_at(standing)) {
                return Ok(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use model::{Author, Delta, Epoch, Revision, RevisionId};

    use super::super::{change, reset};
    use super::*;

    fn at(revision: u64) -> Position {
        Position {
            epoch: Epoch(uuid::Uuid::nil()),
            revision: Revision(revision),
            id: RevisionId::random(),
        }
    }

    fn changed(revision: u64) -> Event {
        let position = at(revision);
        let name = "test".into();
        change(&Delta {
            epoch: position.epoch,
            revision: position.revision,
            id: position.id,
            previous: RevisionId::random(),
            desired: position.revision,
            author: Author::Operator { name },
            entries: Vec::new(),
            time: None,
        })
    }

    async fn told(listener: Listener, standing: u64) -> Vec<(&'static str, Option<u64>)> {
        let events: Vec<_> = listener.events(at(standing)).collect().await;
        let revision = |event: &Event| event.position.map(|position| position.revision.0);
        let pairs = events.iter().map(|event| (event.name, revision(event)));
        pairs.collect()
    }

    #[tokio::test]
    async fn who_falls_behind_is_told_and_cut() {
        let feed = Feed::new();
        let listener = feed.listen().expect("a place");
        for revision in 0..BACKLOG as u64 + 7 {
            feed.events.send(changed(revision)).expect("a listener");
        }
        let events: Vec<_> = listener.events(at(0)).collect().await;
        assert_eq!(events.len(), 1);
        assert_eq!(
            (events[0].name, &*events[0].data),
            ("lagged", r#"{"missed":7}"#)
        );
    }

    #[tokio::test]
    async fn what_a_listener_knows_is_not_told_again_but_a_branch_is() {
        let feed = Feed::new();
        let listener = feed.listen().expect("a place");
        for event in [changed(6), changed(7), changed(8), reset(at(5)), changed(6)] {
            feed.events.send(event).expect("a listener");
        }
        drop(feed);
        let expected = [("change", 8), ("reset", 5), ("change", 6)];
        assert_eq!(
            told(listener, 7).await,
            expected.map(|(name, at)| (name, Some(at)))
        );
    }
}
