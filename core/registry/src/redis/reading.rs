//! What everyone may do: read the head, the snapshot, the log and the history, and subscribe to changes.

use std::collections::HashMap;

use async_trait::async_trait;
use model::{Collection, Delta, Position};
use redis::{Cmd, Pipeline};
use tracing::warn;

use super::subscription::Subscription;
use super::{Redis, settings, wire};
use crate::store::Assembly;
use crate::{Announcements, Head, HistoryEntry, Reading, RegistryError, Snapshotted};

/// A hash as bytes: other hands may have written what is not text.
type Elements = Vec<(Vec<u8>, Vec<u8>)>;
/// A stream's entries: ids, and their fields and values.
type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

#[async_trait]
impl Reading for Redis {
    async fn head(&self) -> Result<Option<Head>, RegistryError> {
        let command = Cmd::hgetall(&self.keys.head);
        let fields = self.link.ask("reading the head", &command).await?;
        understood("reading the head", wire::head(&fields))
    }

    async fn snapshot(&self) -> Result<Option<Snapshotted>, RegistryError> {
        let operation = "reading the snapshot";
        let mut commands = Pipeline::new();
        commands.atomic().hgetall(&self.keys.head);
        for collection in Collection::ALL {
            commands.hgetall(self.keys.collection(collection));
        }
        let (head, pools, servers, health, holds): (
            HashMap<String, String>,
            Elements,
            Elements,
            Elements,
            Elements,
        ) = self.link.ask(operation, &commands).await?;
        let Some(head) = understood(operation, wire::head(&head))? else {
            return Ok(None);
        };
        let mut assembly = Assembly::new(head);
        for (collection, elements) in Collection::ALL
            .into_iter()
            .zip([pools, servers, health, holds])
        {
            for (key, stored) in elements {
                assembly.take(collection, &key, &stored);
            }
        }
        Ok(Some(assembly.finish()))
    }

    async fn log_after(&self, position: Position) -> Result<Option<Vec<Delta>>, RegistryError> {
        let operation = "reading the log";
        let from = format!("{}-1", position.revision);
        let command = Cmd::xrange(&self.keys.log, from, "+");
        let entries: Entries = self.link.ask(operation, &command).await?;
        let deltas = entries.iter().map(|(id, fields)| {
            let delta = only_value(fields).and_then(wire::json::<Delta>);
            delta.map_err(|reason| format!("{id}: {reason}"))
        });
        let deltas: Result<Vec<_>, _> = deltas.collect();
        let deltas = match deltas {
            Ok(deltas) => deltas,
            Err(reason) => {
                warn!("the log holds nonsense: {reason}");
                return Ok(None);
            }
        };
        let is_own = |delta: &Delta| delta.position() == position;
        if !deltas.first().is_some_and(is_own) {
            return Ok(None);
        }
        Ok(Some(deltas.into_iter().skip(1).collect()))
    }

    async fn history(&self, limit: usize) -> Result<Vec<HistoryEntry>, RegistryError> {
        let command = Cmd::xrevrange_count(&self.keys.history, "+", "-", limit);
        let entries: Entries = self.link.ask("reading the history", &command).await?;
        let read = |(id, fields): &(String, Vec<_>)| {
            let change = only_value(fields).and_then(wire::change);
            change
                .inspect_err(|reason| warn!(entry = id, "the history holds nonsense: {reason}"))
                .ok()
        };
        Ok(entries.iter().filter_map(read).collect())
    }

    async fn announcements(&self) -> Result<Announcements, RegistryError> {
        let channel = self.keys.changes.clone();
        Subscription::boxed(&self.link, channel, wire::announcement).await
    }

    async fn warnings(&self) -> Result<Vec<String>, RegistryError> {
        settings::warnings(&self.link).await
    }
}

/// The value of a stream entry's one field.
fn only_value(fields: &[(String, Vec<u8>)]) -> Result<&[u8], String> {
    let (_, value) = fields.first().ok_or("an entry without a field")?;
    Ok(value)
}

pub(super) fn understood<T>(
    operation: &'static str,
    result: Result<T, String>,
) -> Result<T, RegistryError> {
    result.map_err(|reason| RegistryError::Unexpected { operation, reason })
}
