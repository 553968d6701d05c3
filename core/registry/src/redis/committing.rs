//! What who may change the state may do: commit, seed, renew registrations, forget instances.

use std::time::Duration;

use async_trait::async_trait;
use model::{
    Author, Collection, Epoch, InstanceId, Position, Revision, RevisionId, ServerKey, Snapshot,
    Term,
};
use redis::{Cmd, Pipeline, ScriptInvocation};

use super::Redis;
use super::replicating::OnItsWay;
use crate::store::{
    ANSWER_LIFETIME, ANSWERS_CLEARED, ANSWERS_MAX, HISTORY_LENGTH, LOG_LENGTH, Seed, Write,
    idempotency_key, plan,
};
use crate::{Commit, CommitError, Committed, Committing, RegistryError, Replication, Seen, Unseen};

#[async_trait]
impl Committing for Redis {
    async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        let script = self.script_of(&commit)?;
        let answer: Vec<String> = self.link.ask(OPERATION, &script).await?;
        read_answer(&answer)
    }

    async fn commit_to_replicas<'a>(
        &'a self,
        commit: Commit,
    ) -> Result<(Committed, Box<dyn Replication + 'a>), CommitError> {
        let script = self.script_of(&commit)?;
        let mut lane = self.lanes.take(&self.link).await?;
        let answer: Vec<String> = lane.ask(OPERATION, &script).await?;
        let committed = match read_answer(&answer) {
            Ok(committed) => committed,
            Err(refusal) => {
                lane.leave();
                return Err(refusal);
            }
        };
        let on_its_way = OnItsWay {
            lane,
            is_earlier: committed.replayed,
            hash: &self.keys.idempotency,
        };
        Ok((committed, Box::new(on_its_way)))
    }

    async fn seed(&self, snapshot: &Snapshot) -> Result<bool, RegistryError> {
        let seed = Seed::new(snapshot);
        let origin = serde_json::to_string(&seed.origin);
        let mut script = self.scripts.seed.prepare_invoke();
        script.key(&self.keys.head).key(&self.keys.log);
        script.key(&self.keys.instances);
        script.key(&self.keys.idempotency).key(&self.keys.lease);
        self.add_collections(&mut script);
        let others: Vec<_> = snapshot.unread.others().collect();
        for other in &others {
            script.key(self.keys.collection(*other));
        }
        script.arg(&self.keys.changes);
        let position = snapshot.position;
        script.arg(position.epoch.to_string());
        script.arg(position.revision.0);
        script.arg(position.id.to_string());
        script.arg(snapshot.desired.0);
        script.arg(origin.expect("a delta holds nothing that JSON cannot"));
        script.arg(others.len());
        for other in &others {
            script.arg(other.as_str());
        }
        for element in seed.elements {
            script.arg(element.collection.as_str());
            script.arg(element.key).arg(element.stored);
        }
        self.link.ask("seeding", &script).await
    }

    async fn renew_registration(
        &self,
        key: &ServerKey,
        lifetime: Duration,
    ) -> Result<(), RegistryError> {
        let mut script = self.scripts.stamp.prepare_invoke();
        script.key(&self.keys.registrations);
        script.arg(key.to_string()).arg(milliseconds(lifetime));
        script.arg("");
        self.link.ask("renewing a registration", &script).await
    }

    async fn remove_registration(&self, key: &ServerKey) -> Result<(), RegistryError> {
        let command = Cmd::hdel(&self.keys.registrations, key.to_string());
        self.link.ask("removing a registration", &command).await
    }

    async fn forget(&self, instance: InstanceId) -> Result<bool, RegistryError> {
        self.remove_instance("forgetting an instance", instance)
            .await
    }
}

const OPERATION: &str = "committing";

impl Redis {
    fn script_of(&self, commit: &Commit) -> Result<ScriptInvocation<'_>, CommitError> {
        let writes = plan(commit)?;
        let mut script = self.scripts.commit.prepare_invoke();
        script.key(&self.keys.head).key(&self.keys.log);
        script.key(&self.keys.history);
        script.key(&self.keys.idempotency);
        script.key(&self.keys.registrations);
        script.key(&self.keys.instances);
        self.add_collections(&mut script);
        script.arg(&self.keys.changes);
        add_commit(&mut script, commit);
        for write in &writes {
            add_write(&mut script, write);
        }
        Ok(script)
    }

    fn add_collections(&self, script: &mut ScriptInvocation<'_>) {
        for collection in Collection::ALL {
            script.key(self.keys.collection(collection));
        }
    }

    /// Removes an instance's report, and says so to whoever waits for it.
    pub(super) async fn remove_instance(
        &self,
        operation: &'static str,
        instance: InstanceId,
    ) -> Result<bool, RegistryError> {
        let field = instance.to_string();
        let mut commands = Pipeline::new();
        commands.atomic();
        commands.hdel(&self.keys.instances, &field);
        commands.publish(&self.keys.reports, &field).ignore();
        let (known,) = self.link.ask(operation, &commands).await?;
        Ok(known)
    }
}

fn add_commit(script: &mut ScriptInvocation<'_>, commit: &Commit) {
    let author = serde_json::to_string(&commit.author);
    let (instance, term) = match &commit.author {
        Author::Leader { instance, term } => (instance.to_string(), term.to_string()),
        Author::Operator { .. } | Author::Source { .. } => (String::new(), String::new()),
    };
    script.arg(commit.id.to_string());
    script.arg(author.expect("an author holds nothing that JSON cannot"));
    script.arg(instance).arg(term);
    let fence = commit.leadership;
    script.arg(text_or_nothing(fence.map(|fence| fence.instance)));
    script.arg(text_or_nothing(fence.map(|fence| fence.term)));
    script.arg(text_or_nothing(fence.map(|fence| fence.epoch)));
    script.arg(text_or_nothing(commit.epoch));
    script.arg(text_or_nothing(commit.expected));
    script.arg(serde_json::Value::from(commit.reason.as_str()).to_string());
    script.arg(idempotency_key(commit).unwrap_or_default());
    script.arg(&commit.fingerprint);
    script.arg(LOG_LENGTH).arg(HISTORY_LENGTH);
    script.arg(milliseconds(ANSWER_LIFETIME));
    script.arg(ANSWERS_MAX).arg(ANSWERS_CLEARED);
}

fn add_write(script: &mut ScriptInvocation<'_>, write: &Write) {
    script.arg(write.collection.as_str()).arg(&write.key);
    script.arg(if write.value.is_some() {
        "put"
    } else {
        "remove"
    });
    script.arg(write.value.as_deref().unwrap_or_default());
    script.arg(&write.identity);
    script.arg(write.seen.as_ref().map_or("", Seen::as_str));
    script.arg(if write.is_untold() { "untold" } else { "" });
}

fn read_answer(answer: &[String]) -> Result<Committed, CommitError> {
    understand(answer).unwrap_or_else(|| Err(misunderstood(OPERATION, answer)))
}

/// Nothing where the answer is none that the script gives.
fn understand(answer: &[String]) -> Option<Result<Committed, CommitError>> {
    let (kind, rest) = answer.split_first()?;
    Some(match (kind.as_str(), rest) {
        ("committed", rest) => Ok(read_committed(rest, false)?),
        ("replayed", rest) => Ok(read_committed(rest, true)?),
        _ => Err(read_refusal(kind, rest)?),
    })
}

/// Nothing where it is none that a script gives.
pub(super) fn read_refusal(kind: &str, rest: &[String]) -> Option<CommitError> {
    Some(match (kind, rest) {
        ("key reused", []) => CommitError::KeyReused,
        ("uninitialised", []) => CommitError::Uninitialised,
        ("other epoch", [epoch]) => CommitError::OtherEpoch {
            epoch: epoch.parse().ok()?,
        },
        ("not leading", [term, leader]) => CommitError::NotLeading {
            term: Term(term.parse().ok()?),
            leader: leader.parse().ok(),
        },
        ("conflict", [desired]) => CommitError::Conflict {
            desired: Revision(desired.parse().ok()?),
        },
        ("unseen", elements) => CommitError::Unseen {
            elements: read_unseen(elements)?,
        },
        ("invalid", [key, rule]) => CommitError::Invalid {
            key: key.clone(),
            rule: rule.clone(),
        },
        _ => return None,
    })
}

fn read_unseen(answer: &[String]) -> Option<Vec<Unseen>> {
    let (elements, []) = answer.as_chunks::<3>() else {
        return None;
    };
    let element = |[collection, key, stored]: &[String; 3]| {
        Some(Unseen {
            collection: collection.parse().ok()?,
            key: key.clone(),
            stored: stored.clone(),
        })
    };
    elements.iter().map(element).collect()
}

fn read_committed(answer: &[String], replayed: bool) -> Option<Committed> {
    let [epoch, revision, id, desired, refused @ ..] = answer else {
        return None;
    };
    let refused: Result<_, _> = refused.iter().map(|key| key.parse()).collect();
    let epoch: Epoch = epoch.parse().ok()?;
    let id: RevisionId = id.parse().ok()?;
    Some(Committed {
        position: Position {
            epoch,
            revision: Revision(revision.parse().ok()?),
            id,
        },
        desired: Revision(desired.parse().ok()?),
        refused: refused.ok()?,
        replayed,
    })
}

pub(super) fn misunderstood(operation: &'static str, answer: &[String]) -> CommitError {
    CommitError::Registry(RegistryError::Unexpected {
        operation,
        reason: format!("{answer:?}"),
    })
}

fn text_or_nothing(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
