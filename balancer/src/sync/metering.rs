//! Tells the registry what was spent of limits, and takes tokens from it: many keys in one call, and few calls at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use policy::Inquiry;
use registry::{BucketName, RegistryError, Take, Taken, View};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::{Membership, sleep_until};
use crate::limiting::Question;

/// Keys in one call, at most. The registry's other clients wait for as long as that takes.
const CALL_KEYS: usize = 128;

/// Calls at a time.
const CALLS: usize = 4;

/// How long after a failure it is looked whether the registry answers again: no request may come that would find out.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What one call of the registry may take.
const CALL_WITHIN: Duration = Duration::from_secs(1);

/// The task that asks.
struct Metering {
    membership: Membership,
    questions: mpsc::Receiver<Question>,
    /// What is followed, which knows first that the registry has gone or is back: nobody asks while no request comes.
    views: watch::Receiver<Arc<View>>,
    is_connected: bool,
    /// A look whether the registry answers.
    look: OptionFuture<BoxFuture<'static, Option<RegistryError>>>,
    /// Those that are not due yet, by when they are; the number keeps those of one moment apart.
    later: BTreeMap<(Duration, u64), Question>,
    number: u64,
    calls: JoinSet<Call>,
}

/// A call that has ended.
struct Call {
    /// Each with what it told that was spent.
    questions: Vec<(Question, u32)>,
    taken: Result<Vec<Taken>, RegistryError>,
}

impl Membership {
    /// Asks until no worker serves any more.
    pub(crate) async fn meter_always(
        self,
        questions: mpsc::Receiver<Question>,
        views: watch::Receiver<Arc<View>>,
    ) {
        let served = self.served.clone();
        let metering = Metering {
            membership: self,
            questions,
            views,
            is_connected: true,
            look: None.into(),
            later: BTreeMap::new(),
            number: 0,
            calls: JoinSet::new(),
        };
        tokio::select! {
            () = metering.run() => {}
            () = served.cancelled() => {}
        }
    }
}

impl Metering {
    async fn run(mut self) {
        let mut come = Vec::with_capacity(CALL_KEYS);
        loop {
            let next = self.later.first_key_value().map(|((at, _), _)| *at);
            let next = next.map(|at| (self.membership.started + at).into());
            let is_free = self.calls.len() < CALLS;
            tokio::select! {
                count = self.questions.recv_many(&mut come, CALL_KEYS), if is_free => {
                    if count == 0 {
                        // The workers have ended, and so does this, as soon as that is said.
                        return std::future::pending().await;
                    }
                }
                Some(ended) = self.calls.join_next() => self.hear(ended),
                Some(trouble) = &mut self.look => {
                    self.look = None.into();
                    self.note(trouble.as_ref());
                }
                Ok(()) = self.views.changed() => self.follow(),
                () = sleep_until(next), if is_free => {}
            }
            self.take_due(&mut come);
            self.call(&mut come);
        }
    }

    fn now(&self) -> Duration {
        self.membership.started.elapsed()
    }

    /// Adds those that are due to those that have just come.
    fn take_due(&mut self, come: &mut Vec<Question>) {
        let now = self.now();
        while self.calls.len() < CALLS
            && come.len() < CALL_KEYS
            && let Some(next) = self.later.first_entry()
            && next.key().0 <= now
        {
            come.push(next.remove());
        }
    }

    /// Looks whether the registry answers where the subscription has ended or begun: that may have ended alone.
    fn follow(&mut self) {
        let is_connected = self.views.borrow_and_update().connected;
        if std::mem::replace(&mut self.is_connected, is_connected) != is_connected {
            self.look_in(Duration::ZERO);
        }
    }

    fn look_in(&mut self, pause: Duration) {
        let registry = self.membership.registry.clone();
        let look = async move {
            sleep(pause).await;
            let operation = "reading the head";
            let head = timeout(CALL_WITHIN, registry.head()).await;
            head.unwrap_or(Err(RegistryError::Unanswered { operation }))
                .err()
        };
        self.look = Some(look.boxed()).into();
    }

    /// Takes in that the registry answered, or why not.
    fn note(&mut self, trouble: Option<&RegistryError>) {
        let was_away = self.membership.ledger.is_away();
        self.membership.ledger.set_away(trouble.is_some());
        match (was_away, trouble) {
            (false, Some(error)) => tracing::warn!(%error, "limits go on without the registry"),
            (true, None) => tracing::info!("limits are counted with the registry again"),
            (true, Some(_)) | (false, None) => {}
        }
        if trouble.is_some() {
            self.look_in(LOOK_AGAIN);
        } else if was_away {
            // Where the buckets answer and the head alone does not, a look would say otherwise each time.
            self.look = None.into();
        }
    }

    /// Asks about these in one call, but for those of which it is too early.
    fn call(&mut self, come: &mut Vec<Question>) {
        let mut questions = Vec::new();
        let mut takes = Vec::new();
        for question in come.drain(..) {
            match self.inquiry(&question) {
                Inquiry::Now { spent, wanted } => {
                    takes.push(take(&question, spent, wanted));
                    questions.push((question, spent));
                }
                Inquiry::At(at) => self.put_off(question, at),
                Inquiry::Nothing => {}
            }
        }
        if takes.is_empty() {
            return;
        }
        let registry = self.membership.registry.clone();
        self.calls.spawn(async move {
            let taken = timeout(CALL_WITHIN, registry.take(&takes)).await;
            let taken = taken.unwrap_or(Err(RegistryError::Unanswered {
                operation: "taking tokens of limits",
            }));
            Call { questions, taken }
        });
    }

    fn inquiry(&self, question: &Question) -> Inquiry {
        let Question {
            limit,
            key,
            waiting,
        } = question;
        let (ledger, now) = (&self.membership.ledger, self.now());
        match waiting {
            // Nobody waits any more: the request was decided on without the registry.
            Some(waiting) if waiting.is_closed() => Inquiry::Nothing,
            Some(_) => Inquiry::Now {
                spent: ledger.settle(limit, *key, now),
                wanted: 1,
            },
            None => ledger.ask(limit, *key, now),
        }
    }

    fn put_off(&mut self, question: Question, at: Duration) {
        self.number += 1;
        self.later.insert((at, self.number), question);
    }

    fn hear(&mut self, ended: Result<Call, JoinError>) {
        let Call { questions, taken } = ended.expect("a call does not panic");
        let now = self.now();
        match taken {
            Ok(taken) => {
                self.note(None);
                for ((question, _), taken) in questions.into_iter().zip(taken) {
                    self.hear_of(question, taken, now);
                }
            }
            Err(error) => {
                self.note(Some(&error));
                let ledger = &self.membership.ledger;
                for (question, spent) in questions {
                    ledger.was_not_heard(&question.limit, question.key, spent, now);
                }
            }
        }
    }

    fn hear_of(&mut self, question: Question, taken: Taken, now: Duration) {
        let Taken { granted, level } = taken;
        let Question {
            limit,
            key,
            waiting,
        } = question;
        let ledger = &self.membership.ledger;
        let Some(waiting) = waiting else {
            if ledger.hear(&limit, key, granted, level, now) {
                let waiting = None;
                let question = Question {
                    limit,
                    key,
                    waiting,
                };
                self.put_off(question, now);
            }
            return;
        };
        // What is granted here is for the request that waits.
        ledger.hear(&limit, key, 0, level, now);
        let _ = waiting.send(granted > 0);
    }
}

fn take(question: &Question, spent: u32, wanted: u32) -> Take {
    let Question { limit, key, .. } = question;
    Take {
        bucket: BucketName {
            limit: limit.id().clone(),
            key: *key,
        },
        interval: limit.interval(),
        capacity: limit.settings().capacity(),
        spent,
        wanted,
    }
}
