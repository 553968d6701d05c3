//! `/v1/secrets`: keys of the fleet's own making. They can be replaced, and are shown to nobody.

use std::sync::Arc;

use axum::extract::State;
use model::{Change, Collection, Secret, SecretId, SecretKey, Snapshot};
use rand::RngExt;
use registry::Goal;
use serde_json::{Map, json};

use crate::answer::Answer;
use crate::app::App;
use crate::body::OptionalJsonObject;
use crate::change::Outcome;
use crate::extract::Intent;
use crate::problem::Problem;
use crate::whole::refuse_unread;

/// Makes a new key for the cookies of sticky sessions. The present one goes on being understood, the one before it does not.
pub(crate) async fn rotate_sticky(
    State(app): State<Arc<App>>,
    intent: Intent,
    OptionalJsonObject(sent): OptionalJsonObject,
) -> Result<Answer, Problem> {
    if let Some(unknown) = sent.keys().next() {
        return Err(vec![model::Problem::unknown_field(unknown)].into());
    }
    let intent = intent.waiting_for_no_drain()?.saying(&sent);
    let id = SecretId::sticky();
    let decide = |snapshot: &Snapshot| {
        let key = SecretKey::new(rand::rng().random());
        let secret = match snapshot.secrets.get(&id) {
            Some(present) => present.value.rotated(key),
            None => Secret::new(id.clone(), key),
        };
        let change = Change::Secret(id.clone(), Some(secret));
        refuse_unread(change.collection(), change.key(), snapshot)?;
        Ok((vec![change], ()))
    };
    let (Outcome::Made(kept, ()) | Outcome::Earlier(kept)) = app.change(&intent, decide).await?;
    let position = kept.committed.position;
    let waited = match intent.wait {
        Some(wait) => {
            let element = (Collection::Secrets, id.to_string());
            let goal = Goal::Changed(position, [element].into());
            Some(app.wait(wait, &goal).await)
        }
        None => None,
    };
    let names = Map::from_iter([("id".into(), json!(id))]);
    let answer = Answer::bare(names, position.revision);
    Ok(answer.after(waited.as_ref()).of_change(&intent, &kept))
}
