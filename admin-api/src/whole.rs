//! Changes to the desired state as a whole: what a restore and an import have in common.

use std::collections::BTreeSet;

use model::{Collection, Fleet, Revision, Snapshot};
use registry::Goal;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::change::Outcome;
use crate::diff::{told, told_of};
use crate::durability::Kept;
use crate::extract::Intent;
use crate::history::pairs;
use crate::problem::Problem;
use crate::resource::kind_of;

/// What is to be done to come to the wanted state.
struct Step {
    changes: Vec<model::Change>,
    /// The same for people: an element each.
    told: Vec<Value>,
}

impl Step {
    fn new(
        intent: &Intent,
        snapshot: &Snapshot,
        wanted: impl Fn(&Snapshot) -> Result<Fleet, Problem>,
    ) -> Result<Self, Problem> {
        // The whole state's tag is that of its export.
        intent
            .conditions
            .check("state", "desired", Some(snapshot.desired))?;
        let present = Fleet::of(snapshot);
        let changes = present.changes_to(&wanted(snapshot)?);
        changes
            .iter()
            .try_for_each(|change| refuse_unread(change.collection(), change.key(), snapshot))?;
        let told = changes.iter().map(|it| told_of(it, &present)).collect();
        Ok(Self { changes, told })
    }

    fn elements(&self) -> BTreeSet<(Collection, String)> {
        let changes = self.changes.iter();
        changes
            .map(|change| (change.collection(), change.key()))
            .collect()
    }
}

/// Refuses to write over what only a newer version can read. It is in no document, so that nothing removes it either.
pub(crate) fn refuse_unread(
    collection: Collection,
    key: String,
    snapshot: &Snapshot,
) -> Result<(), Problem> {
    if !snapshot.unread.contains(collection, &key) {
        return Ok(());
    }
    Err(Problem::unread(
        kind_of(collection),
        (collection, key),
        snapshot,
    ))
}

impl App {
    /// Makes the desired state the wanted one, in one revision, or in none where it is so already.
    pub(crate) async fn make_whole(
        &self,
        intent: &Intent,
        wanted: impl Fn(&Snapshot) -> Result<Fleet, Problem>,
    ) -> Result<Answer, Problem> {
        let decide = |snapshot: &Snapshot| {
            let step = Step::new(intent, snapshot, &wanted)?;
            let elements = step.elements();
            Ok((step.changes, (step.told, elements)))
        };
        match self.change(intent, decide).await? {
            Outcome::Made(kept, (told, elements)) => {
                let goal = Goal::Changed(kept.committed.position, elements);
                self.answer_whole(intent, &kept, told, &goal).await
            }
            Outcome::Earlier(kept) => self.repeat_whole(intent, &kept).await,
        }
    }

    /// What making the desired state the wanted one would change.
    pub(crate) fn try_whole(
        &self,
        intent: &Intent,
        wanted: impl Fn(&Snapshot) -> Result<Fleet, Problem>,
    ) -> Result<Answer, Problem> {
        let snapshot = self.snapshot()?;
        let step = Step::new(intent, &snapshot, wanted)?;
        let mut body = body(&step.told, snapshot.desired);
        body["dry_run"] = json!(true);
        Ok(Answer::present(body, snapshot.desired))
    }

    /// The answer that the same request got before; the problem with it now, where it got none.
    pub(crate) async fn answered_before(
        &self,
        intent: &Intent,
        seen: &Snapshot,
        problem: Problem,
    ) -> Result<Answer, Problem> {
        match self.earlier::<()>(intent, seen, problem).await? {
            Outcome::Made(kept, ()) | Outcome::Earlier(kept) => {
                self.repeat_whole(intent, &kept).await
            }
        }
    }

    /// The answer to a change that was made before, from the history. A revision of another reason is another's: then
    /// this one found nothing to change.
    async fn repeat_whole(&self, intent: &Intent, kept: &Kept) -> Result<Answer, Problem> {
        let position = kept.committed.position;
        let is_own = |it: &&registry::HistoryEntry| {
            it.position == position && it.reason == intent.reason && it.author == intent.author
        };
        let has_passed = |history: &[registry::HistoryEntry]| {
            history
                .iter()
                .any(|it| it.position.revision <= position.revision)
        };
        let history = self.history_until(has_passed).await?;
        let own = history.iter().find(is_own).into_iter().flat_map(pairs);
        let own: Vec<_> = own.collect();
        let told = own
            .iter()
            .map(|(it, before, after)| told(it.collection, &it.key, *before, *after));
        let elements = own.iter().map(|(it, ..)| (it.collection, it.key.clone()));
        let goal = Goal::Changed(position, elements.collect());
        self.answer_whole(intent, kept, told.collect(), &goal).await
    }

    async fn answer_whole(
        &self,
        intent: &Intent,
        kept: &Kept,
        told: Vec<Value>,
        goal: &Goal,
    ) -> Result<Answer, Problem> {
        let waited = match intent.wait {
            Some(wait) => Some(self.wait(wait, goal).await),
            None => None,
        };
        let has_changed = !told.is_empty();
        let desired = kept.committed.desired;
        let answer = Answer::present(body(&told, desired), desired);
        let answer = answer.after(waited.as_ref());
        Ok(match has_changed {
            true => answer.of_change(intent, kept),
            false => answer.kept(kept),
        })
    }
}

/// `revision` is that of the desired state, which is a new one where something has changed.
fn body(told: &[Value], revision: Revision) -> Value {
    let changed = !told.is_empty();
    json!({"revision": revision, "changed": changed, "changes": told})
}
