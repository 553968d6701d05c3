//! Where workers hold requests to limits: at once by the ledger that all share; and where that has to ask the registry, by a bounded
//! queue that `sync` reads. A request waits only where its limit is exact, or where this balancer's share is spent and the bucket is not,
//! and only until the limit's deadline.

use std::sync::Arc;
use std::time::Duration;

use policy::{Checked, Ledger, Limit};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::metrics::Counters;

/// Keys that wait to be asked about. What comes on top is asked about at its next request.
const QUEUE: usize = 8192;

/// A worker's way to the limits.
#[derive(Debug)]
pub(crate) struct Limiting {
    ledger: Arc<Ledger>,
    questions: mpsc::Sender<Question>,
    counters: Arc<Counters>,
}

/// A key that the registry is to be asked about.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) limit: Arc<Limit>,
    pub(crate) key: u128,
    /// Where a request waits to hear whether it passes.
    pub(crate) waiting: Option<oneshot::Sender<bool>>,
}

/// Where questions go in, and where they come out.
pub(crate) fn questions() -> (mpsc::Sender<Question>, mpsc::Receiver<Question>) {
    mpsc::channel(QUEUE)
}

impl Limiting {
    pub(crate) fn new(
        ledger: Arc<Ledger>,
        questions: mpsc::Sender<Question>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            ledger,
            questions,
            counters,
        }
    }

    /// Whether a request of this key may go on. Never waits.
    pub(crate) fn check(&self, limit: &Arc<Limit>, key: u128, now: Duration) -> Checked {
        let checked = self.ledger.check(limit, key, now);
        if checked.is_untold {
            self.counters.untold(limit.id());
        }
        if checked.wakes && !self.ask(limit, key, None) {
            self.ledger.is_not_asked(key);
        }
        checked
    }

    /// The same by the registry's word, for each request of an exact limit, and for one that may ask. Where that does not come in time, the limit says what holds.
    pub(crate) async fn check_exactly(
        &self,
        limit: &Arc<Limit>,
        key: u128,
        now: impl Fn() -> Duration,
    ) -> Checked {
        if let Some(crowded) = self.ledger.check_crowd(limit, key) {
            return crowded;
        }
        if !self.ledger.may_tell(limit, key, now()) {
            return self.check(limit, key, now());
        }
        let (say, said) = oneshot::channel();
        if !self.ledger.may_wait(now()) || !self.ask(limit, key, Some(say)) {
            return self.ledger.check_alone(limit, key, now());
        }
        match timeout(limit.settings().deadline, said).await {
            Ok(Ok(passes)) => self.ledger.enter(limit, key, passes, now()),
            Ok(Err(_)) | Err(_) => self.ledger.check_alone(limit, key, now()),
        }
    }

    fn ask(&self, limit: &Arc<Limit>, key: u128, waiting: Option<oneshot::Sender<bool>>) -> bool {
        let question = Question {
            limit: Arc::clone(limit),
            key,
            waiting,
        };
        self.questions.try_send(question).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use model::{Epoch, LimitId, Revision, RevisionId, Snapshot, Stamped};
    use policy::{Refusal, Table};
    use serde_json::json;

    use super::*;

    fn api() -> LimitId {
        "api".parse().expect("a name")
    }

    fn table() -> Table {
        let id = api();
        let limit = json!({"id": id, "requests": 2, "per": "1h", "mode": "exact"});
        let limit = serde_json::from_value(limit).expect("a limit");
        let mut snapshot = Snapshot::first(Epoch::random(), RevisionId::random());
        let stamped = Arc::new(Stamped::new(Revision(1), limit));
        snapshot.limits.insert(id, stamped);
        Table::compile(&snapshot, &Table::default(), 0, Duration::ZERO)
    }

    #[tokio::test]
    async fn the_registry_is_not_asked_about_a_key_that_is_one_too_many() {
        let (ledger, table) = (Arc::<Ledger>::default(), table());
        let limit = table.limit(&api()).expect("it is there");
        let counters = Arc::<Counters>::default();
        counters.know(&table, &Table::default());
        let (questions, mut asked) = questions();
        let limiting = Limiting::new(Arc::clone(&ledger), questions, Arc::clone(&counters));
        let now = || Duration::from_secs(1);
        let mut keys = 0..;
        let key = keys.find(|key| !ledger.may_tell(limit, *key, now()));
        let key = key.expect("there is an end to it");
        for refused in [None, None, Some(Refusal::Rate)] {
            let checked = limiting.check_exactly(limit, key, now).await;
            assert_eq!(checked.outcome.err(), refused);
        }
        assert!(asked.try_recv().is_err());
        assert_eq!(counters.untold_of(&api()), Some(3));
    }
}
