//! Creating, replacing, patching and removing a resource, and the answer to it: the same for every kind.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Position, Revision, Snapshot, Stamped, Unknown};
use registry::Goal;
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::{Accepted, sift};
use crate::change::Outcome;
use crate::durability::Kept;
use crate::extract::Intent;
use crate::problem::Problem;
use crate::resource::{Known, Resource, missing, render, stamp, unread};
use crate::wait::{Until, Wait};

/// A resource before and after a change; nothing where it was not, or is no more.
#[derive(Debug, Clone)]
pub(crate) struct Edited<R: Resource> {
    pub(crate) key: R::Key,
    pub(crate) before: Option<Stamped<R>>,
    pub(crate) after: Option<Stamped<R>>,
}

/// What a resource is to become; nothing where it is to go.
pub(crate) struct Plan<R: Resource> {
    pub(crate) key: R::Key,
    pub(crate) after: Option<R>,
}

/// Makes a value of what a client sent, in place of the stored one. Fields that only a newer version knows stay as they are stored: who
/// sends the whole cannot send these.
pub(crate) fn replacement<R: Resource>(
    key: &R::Key,
    snapshot: &Snapshot,
    sent: &Map<String, Value>,
) -> Result<R, Problem> {
    let stored = R::find(snapshot, key).map(|stored| &stored.value);
    accept(described::<R>(key, sent), stored, true, Some(snapshot)).whole()
}

/// The same, with whatever is wrong with it beside what could be read. Whether what it names is there is for who sees more than the snapshot.
pub(crate) fn replacing<R: Resource>(
    key: &R::Key,
    stored: Option<&R>,
    sent: &Map<String, Value>,
) -> Accepted<R> {
    accept(described::<R>(key, sent), stored, true, None)
}

fn described<R: Resource>(key: &R::Key, sent: &Map<String, Value>) -> Value {
    let mut sent = sent.clone();
    sent.extend(R::names(key));
    Value::Object(sent)
}

/// Makes a value of the stored one and a merge patch (RFC 7396), which may take away what this version does not know.
pub(crate) fn patched<R: Resource>(
    key: &R::Key,
    snapshot: &Snapshot,
    patch: &Map<String, Value>,
) -> Result<R, Problem> {
    let stored: &R = &find(snapshot, key)?.value;
    let mut value = to_json(stored);
    merge(&mut value, &Value::Object(patch.clone()));
    accept(value, Some(stored), false, Some(snapshot)).whole()
}

/// Reads a value and holds it to its rules. What it names has to be `among` the elements there; that is said here only beside something else
/// that is wrong, and otherwise by [`check`], after the request's own conditions.
fn accept<R: Resource>(
    value: Value,
    stored: Option<&R>,
    keeps: bool,
    among: Option<&Snapshot>,
) -> Accepted<R> {
    let mut accepted = sift::<R>(value);
    for error in &mut accepted.errors {
        if let Some(rule) = R::rule(&error.field) {
            error.rule = rule;
        }
    }
    if let Some(resource) = &mut accepted.value {
        if let Some(stored) = stored {
            resource.inherit(stored);
            if keeps {
                each_unknown(resource, stored, Unknown::inherit);
            }
        }
        let mut found = check_fields(resource, stored).err().unwrap_or_default();
        let is_wrong = !(accepted.errors.is_empty() && found.is_empty());
        if let Some(snapshot) = among.filter(|_| is_wrong) {
            found.extend(missing(resource, |target| target.is_in(snapshot)));
        }
        accepted.add(found);
    }
    accepted
}

/// The rules for the value alone. What is stored just so is no mistake of who sends it back, as in a document. A field that this version
/// does not know is no mistake where it is stored already, by a newer version, and stays what it is.
fn check_fields<R: Resource>(resource: &R, stored: Option<&R>) -> Result<(), Vec<model::Problem>> {
    let Err(problems) = resource.validate() else {
        return Ok(());
    };
    let Some(stored) = stored else {
        return Err(problems);
    };
    if stored == resource {
        return Ok(());
    }
    let mut sent = resource.clone();
    each_unknown(&mut sent, stored, Unknown::drop_same);
    sent.validate()
}

/// Does something with each part that holds unknown fields, and the part of that name in the stored value, if there is one.
fn each_unknown<R: Resource>(resource: &mut R, stored: &R, act: fn(&mut Unknown, &Unknown)) {
    let mut stored = stored.clone();
    let stored: HashMap<_, _> = stored.unknown().into_iter().collect();
    for (name, part) in resource.unknown() {
        if let Some(stored) = stored.get(&name) {
            act(part, stored);
        }
    }
}

fn to_json<R: Resource>(resource: &R) -> Value {
    serde_json::to_value(resource).expect("model types hold nothing that JSON cannot")
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().expect("it was just made one");
    for (name, patch) in patch {
        if patch.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), patch);
        }
    }
}

/// Refuses what only the registry sets.
pub(crate) fn refuse_read_only<R: Resource>(sent: &Map<String, Value>) -> Result<(), Problem> {
    let set: Vec<_> = R::READ_ONLY
        .iter()
        .filter(|name| sent.contains_key(**name))
        .collect();
    if set.is_empty() {
        return Ok(());
    }
    let problem = |name: &&&str| model::Problem::new(**name, "cannot be set");
    Err(set.iter().map(problem).collect::<Vec<_>>().into())
}

/// Leaves out what only the registry sets, so that what was read can be sent back.
pub(crate) fn drop_read_only<R: Resource>(sent: &mut Map<String, Value>) {
    sent.retain(|name, _| !R::READ_ONLY.contains(&name.as_str()));
}

/// Refuses a name that is not the one in the path.
pub(crate) fn check_names<R: Resource>(
    key: &R::Key,
    sent: &Map<String, Value>,
) -> Result<(), Problem> {
    for (name, value) in R::names(key) {
        if sent.get(&name).is_some_and(|sent| *sent != value) {
            return Err(Problem::field(
                name,
                format!("must be {value}, as in the path"),
            ));
        }
    }
    Ok(())
}

/// Finds a resource, or says that there is none, or none that this version can read.
pub(crate) fn find<'a, R: Resource>(
    snapshot: &'a Snapshot,
    key: &R::Key,
) -> Result<&'a Arc<Stamped<R>>, Problem> {
    let missing = || match unread::<R>(snapshot, key) {
        Some(_) => not_readable::<R>(snapshot, key),
        None => Problem::not_found(R::KIND, key),
    };
    R::find(snapshot, key).ok_or_else(missing)
}

fn not_readable<R: Resource>(snapshot: &Snapshot, key: &R::Key) -> Problem {
    Problem::unread(R::KIND, (R::COLLECTION, key.to_string()), snapshot)
}

/// Whether there is such a resource, which need not be readable to be removed.
pub(crate) fn check_presence<R: Resource>(
    snapshot: &Snapshot,
    key: &R::Key,
) -> Result<(), Problem> {
    match find::<R>(snapshot, key) {
        Ok(_) | Err(Problem::Unread { .. }) => Ok(()),
        Err(missing) => Err(missing),
    }
}

impl App {
    /// Makes the edit that `plan` comes to, waits if the client wants to, and answers.
    pub(crate) async fn edit<R: Resource>(
        &self,
        intent: &Intent,
        key: Option<&R::Key>,
        plan: impl Fn(&Snapshot) -> Result<Plan<R>, Problem>,
    ) -> Result<Answer, Problem> {
        let (kept, edited) = self.make_edit(intent, key, plan).await?;
        let position = kept.committed.position;
        let answer = self.answer_edit(intent, position, edited).await?;
        Ok(answer.of_change(intent, &kept))
    }

    /// Makes the edit alone.
    pub(crate) async fn make_edit<R: Resource>(
        &self,
        intent: &Intent,
        key: Option<&R::Key>,
        plan: impl Fn(&Snapshot) -> Result<Plan<R>, Problem>,
    ) -> Result<(Kept, Option<Edited<R>>), Problem> {
        let decide = |snapshot: &Snapshot| {
            let plan = plan(snapshot)?;
            let before = R::find(snapshot, &plan.key).map(|before| (**before).clone());
            check(intent, snapshot, before.as_ref(), &plan)?;
            let change = R::change(plan.key.clone(), plan.after.clone());
            Ok((vec![change], (before, plan)))
        };
        match self.change(intent, decide).await? {
            Outcome::Made(kept, (before, Plan { key, after })) => {
                let revision = kept.committed.position.revision;
                let after = match after {
                    Some(value) => Some(self.stamped(before.as_ref(), &key, value, revision)?),
                    None => None,
                };
                Ok((kept, Some(Edited { key, before, after })))
            }
            Outcome::Earlier(kept) => {
                let edited = self.earlier_edit(&kept.committed, key).await?;
                Ok((kept, edited))
            }
        }
    }

    /// A value with the stamp that the commit gave it: by the view, where it is not past that commit. Where
    /// other hands wrote what was there before, the commit gave another stamp than would follow from it.
    fn stamped<R: Resource>(
        &self,
        before: Option<&Stamped<R>>,
        key: &R::Key,
        value: R,
        revision: Revision,
    ) -> Result<Stamped<R>, Problem> {
        let snapshot = self.snapshot()?;
        let seen = R::find(&snapshot, key).filter(|seen| seen.revision == revision);
        Ok(match seen {
            Some(seen) => (**seen).clone(),
            None => stamp(before, value, revision),
        })
    }

    /// Waits if the client wants to, and says what became of the resource.
    pub(crate) async fn answer_edit<R: Resource>(
        &self,
        intent: &Intent,
        position: Position,
        edited: Option<Edited<R>>,
    ) -> Result<Answer, Problem> {
        let waited = match goal(intent, position, edited.as_ref()) {
            Some((wait, goal)) => Some(self.wait(wait, &goal).await),
            None => None,
        };
        let snapshot = self.snapshot()?;
        let answer = match edited {
            Some(Edited {
                key,
                before,
                after: Some(after),
            }) => written(&key, before.is_none(), &after, self.known(&snapshot)),
            Some(Edited { key, .. }) => Answer::bare(R::names(&key), position.revision),
            None => Answer::bare(Map::new(), position.revision),
        };
        Ok(answer.after(waited.as_ref()))
    }
}

/// The rules that need the state.
fn check<R: Resource>(
    intent: &Intent,
    snapshot: &Snapshot,
    before: Option<&Stamped<R>>,
    plan: &Plan<R>,
) -> Result<(), Problem> {
    let unread = unread::<R>(snapshot, &plan.key);
    let present = unread.or(before.map(|before| before.revision));
    intent
        .conditions
        .check(R::KIND, &plan.key.to_string(), present)?;
    match &plan.after {
        Some(_) if unread.is_some() => return Err(not_readable::<R>(snapshot, &plan.key)),
        Some(after) => after.check_among(snapshot, before.is_none())?,
        None => R::check_removal(&plan.key, snapshot)?,
    }
    let drained = intent.wait.is_some_and(|wait| wait.until == Until::Drained);
    let revision = snapshot.position.revision;
    let after = plan
        .after
        .clone()
        .map(|value| stamp(before, value, revision));
    if drained && R::leaving(before, after.as_ref()).is_none() {
        let rule = "drained needs a server that is removed, draining or disabled";
        return Err(Problem::field("wait", rule));
    }
    Ok(())
}

fn goal<R: Resource>(
    intent: &Intent,
    position: Position,
    edited: Option<&Edited<R>>,
) -> Option<(Wait, Goal)> {
    let wait = intent.wait?;
    let leaving =
        edited.and_then(|edited| R::leaving(edited.before.as_ref(), edited.after.as_ref()));
    let goal = match (wait.until, leaving) {
        (Until::Drained, Some(leaving)) => Goal::Drained(position, leaving),
        _ => Goal::Changed(
            position,
            edited
                .map(|it| (R::COLLECTION, it.key.to_string()))
                .into_iter()
                .collect(),
        ),
    };
    Some((wait, goal))
}

fn written<R: Resource>(
    key: &R::Key,
    is_new: bool,
    after: &Stamped<R>,
    known: Known<'_>,
) -> Answer {
    let answer = Answer::present(render(after, known), after.revision);
    if is_new {
        answer.created_at(R::path(key))
    } else {
        answer
    }
}
