//! What happens in the fleet, as it happens, for any number of listeners that keep up.
//!
//! One task turns the view, the log and the reports into events. It reads the log only while somebody
//! listens, and never waits for a listener: one that falls behind loses its place.

mod feed;
mod reporter;

use std::sync::Arc;

use model::{Collection, Delta, Entry, Position};
use registry::{Registry, RegistryError, View};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fleet;

pub(crate) use feed::Feed;
pub(crate) use reporter::Reporter;

/// What an event that tells of a revision is called.
const CHANGE: &str = "change";

/// One thing that happened.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// What kind of thing.
    pub(crate) name: &'static str,
    /// Where the fleet stands after it: what a listener that comes back goes on from.
    pub(crate) position: Option<Position>,
    /// JSON.
    pub(crate) data: Arc<str>,
}

impl Event {
    fn new(name: &'static str, position: Option<Position>, data: &Value) -> Self {
        let data = data.to_string().into();
        Self {
            name,
            position,
            data,
        }
    }

    /// Whether it tells of a revision that who stands there knows.
    fn is_known_at(&self, standing: Position) -> bool {
        let known = |position: Position| {
            position.epoch == standing.epoch && position.revision <= standing.revision
        };
        self.name == CHANGE && self.position.is_some_and(known)
    }
}

/// Where the fleet stands, for who begins to listen.
pub(crate) fn greeting(view: &View) -> Event {
    let position = view.snapshot.as_ref().map(|snapshot| snapshot.position);
    let leader = fleet::leader(view, Instant::now());
    let data = json!({
        "epoch": position.map(|position| position.epoch),
        "revision": position.map(|position| position.revision),
        "leader": leader.map(|leader| leader.instance),
        "connected": view.connected,
    });
    Event::new("hello", position, &data)
}

/// What has happened since a position. What the log no longer holds, or what belongs to another history,
/// cannot be told one by one: then a reset says where it goes on.
pub(crate) async fn since(
    registry: &dyn Registry,
    told: Option<Position>,
    present: Position,
) -> Result<Vec<Event>, RegistryError> {
    let log = match told {
        Some(told) => registry.log_after(told).await?,
        None => None,
    };
    Ok(match log {
        Some(log) if log.len() < feed::BACKLOG => log.iter().map(change).collect(),
        _ => vec![reset(present)],
    })
}

fn change(delta: &Delta) -> Event {
    let changes = delta.entries.iter().map(|entry| {
        json!({
            "collection": entry.collection,
            "key": entry.key,
            "value": told(entry),
        })
    });
    let data = json!({
        "epoch": delta.epoch,
        "revision": delta.revision,
        "author": delta.author,
        "changes": changes.collect::<Vec<_>>(),
    });
    Event::new(CHANGE, Some(delta.position()), &data)
}

/// The value, but of a list of networks no more than its size, since an event has to stay one that listeners can take, and of a secret
/// no more than its name.
fn told(entry: &Entry) -> Option<Value> {
    let value = entry.value.as_ref()?.get("value")?;
    let networks = value.get("networks").and_then(Value::as_array);
    Some(match (entry.collection, networks) {
        (Collection::Networks, Some(networks)) => {
            json!({"id": value["id"], "size": networks.len()})
        }
        (Collection::Secrets, _) => json!({"id": value["id"]}),
        _ => value.clone(),
    })
}

fn reset(present: Position) -> Event {
    let data = json!({"epoch": present.epoch, "revision": present.revision});
    Event::new("reset", Some(present), &data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(collection: Collection, value: &Value) -> Entry {
        Entry {
            collection,
            key: "office".into(),
            value: Some(json!({"revision": 7, "value": value})),
        }
    }

    #[test]
    fn a_secret_is_told_by_its_name() {
        let secret = json!({"id": "sticky", "current": "ab", "previous": "cd"});
        let told = told(&entry(Collection::Secrets, &secret));
        assert_eq!(told, Some(json!({"id": "sticky"})));
    }

    #[test]
    fn a_list_of_networks_is_told_by_its_size() {
        let list = json!({"id": "office", "networks": ["10.0.0.0/8", "192.0.2.0/24"]});
        let short = json!({"id": "office", "size": 2});
        assert_eq!(told(&entry(Collection::Networks, &list)), Some(short));
        assert_eq!(told(&entry(Collection::Pools, &list)), Some(list));
    }
}
