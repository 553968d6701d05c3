//! Creating, replacing, patching and removing a resource, and the answer to it: the same for every kind.

use std::sync::Arc;

use model::{Position, Revision, Snapshot, Stamped};
use registry::{Committed, Goal};
use serde_json::{Map, Value, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::from_json;
use crate::change::Outcome;
use crate::extract::Intent;
use crate::problem::Problem;
use crate::resource::{Resource, render, stamp};
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

/// Makes a value of what a client sent, in place of the stored one.
pub(crate) fn replacement<R: Resource>(
    key: &R::Key,
    stored: Option<&R>,
    sent: &Map<String, Value>,
) -> Result<R, Problem> {
    let mut sent = sent.clone();
    sent.extend(R::names(key));
    accept(Value::Object(sent), stored)
}

/// Makes a value of the stored one and a merge patch (RFC 7396).
pub(crate) fn patched<R: Resource>(stored: &R, patch: &Map<String, Value>) -> Result<R, Problem> {
    let mut value = to_json(stored);
    merge(&mut value, &Value::Object(patch.clone()));
    accept(value, Some(stored))
}

fn accept<R: Resource>(value: Value, stored: Option<&R>) -> Result<R, Problem> {
    let mut resource: R = from_json(value).map_err(|problem| problem.reworded(R::rule))?;
    if let Some(stored) = stored {
        resource.inherit(stored);
    }
    match resource.validate() {
        Ok(()) => Ok(resource),
        Err(problems) => {
            let problems =
                without_kept(problems, &to_json(&resource), stored.map(to_json).as_ref());
            if problems.is_empty() {
                Ok(resource)
            } else {
                Err(problems.into())
            }
        }
    }
}

fn to_json<R: Resource>(resource: &R) -> Value {
    serde_json::to_value(resource).expect("model types hold nothing that JSON cannot")
}

/// A field that this version does not know is no mistake where it is stored already, by a newer version,
/// and stays what it is.
fn without_kept(
    problems: Vec<model::Problem>,
    value: &Value,
    stored: Option<&Value>,
) -> Vec<model::Problem> {
    let kept = |problem: &model::Problem| {
        let pointer = format!("/{}", problem.field.replace('.', "/"));
        let old = stored.and_then(|stored| stored.pointer(&pointer));
        problem.is_unknown_field() && old.is_some() && old == value.pointer(&pointer)
    };
    problems
        .into_iter()
        .filter(|problem| !kept(problem))
        .collect()
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
    let problem = |name: &&&str| model::Problem {
        field: (**name).into(),
        rule: "cannot be set".into(),
    };
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

/// Finds a resource, or says that there is none.
pub(crate) fn find<'a, R: Resource>(
    snapshot: &'a Snapshot,
    key: &R::Key,
) -> Result<&'a Arc<Stamped<R>>, Problem> {
    R::find(snapshot, key).ok_or_else(|| Problem::not_found(R::KIND, key))
}

impl App {
    /// Makes the edit that `plan` comes to, waits if the client wants to, and answers.
    pub(crate) async fn edit<R: Resource>(
        &self,
        intent: &Intent,
        key: Option<&R::Key>,
        plan: impl Fn(&Snapshot) -> Result<Plan<R>, Problem>,
    ) -> Result<Answer, Problem> {
        let (committed, edited) = self.make_edit(intent, key, plan).await?;
        let answer = self.answer_edit(intent, committed.position, edited).await?;
        Ok(answer.of_change(intent, &committed))
    }

    /// Makes the edit alone.
    pub(crate) async fn make_edit<R: Resource>(
        &self,
        intent: &Intent,
        key: Option<&R::Key>,
        plan: impl Fn(&Snapshot) -> Result<Plan<R>, Problem>,
    ) -> Result<(Committed, Option<Edited<R>>), Problem> {
        let decide = |snapshot: &Snapshot| {
            let plan = plan(snapshot)?;
            let before = R::find(snapshot, &plan.key).map(|before| (**before).clone());
            check(intent, snapshot, before.as_ref(), &plan)?;
            let change = R::change(plan.key.clone(), plan.after.clone());
            Ok((vec![change], (before, plan)))
        };
        match self.change(intent, decide).await? {
            Outcome::Made(committed, (before, Plan { key, after })) => {
                let revision = committed.position.revision;
                let after = match after {
                    Some(value) => Some(self.stamped(before.as_ref(), &key, value, revision)?),
                    None => None,
                };
                Ok((committed, Some(Edited { key, before, after })))
            }
            Outcome::Earlier(committed) => {
                let edited = self.earlier_edit(&committed, key).await?;
                Ok((committed, edited))
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
            }) => written(&key, before.is_none(), &after, &snapshot),
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
    let present = before.map(|before| before.revision);
    intent
        .conditions
        .check(R::KIND, &plan.key.to_string(), present)?;
    match (&plan.after, before) {
        (Some(after), _) => after.check_among(snapshot, before.is_none())?,
        (None, Some(before)) => before.value.check_removal(snapshot)?,
        (None, None) => {}
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
        (Until::Drained, Some((key, incarnation))) => Goal::Drained(position, key, incarnation),
        _ => Goal::Applied(position),
    };
    Some((wait, goal))
}

fn written<R: Resource>(
    key: &R::Key,
    is_new: bool,
    after: &Stamped<R>,
    snapshot: &Snapshot,
) -> Answer {
    let answer = Answer::present(render(after, snapshot), after.revision);
    if is_new {
        answer.created_at(R::path(key))
    } else {
        answer
    }
}
