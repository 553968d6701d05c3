//! What an orchestrator may do: take, renew and give back the lease, and clear away as the leader.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use model::{InstanceId, ServerKey, Term};

use super::committing::{milliseconds, misunderstood, read_refusal};
use super::{Redis, wire};
use crate::{CommitError, Head, Leadership, Leading, RegistryError};

#[async_trait]
impl Leading for Redis {
    async fn acquire(
        &self,
        instance: InstanceId,
        lifetime: Duration,
    ) -> Result<Option<Head>, RegistryError> {
        let operation = "taking the lease";
        let mut script = self.scripts.acquire.prepare_invoke();
        script.key(&self.keys.head).key(&self.keys.lease);
        script.arg(instance.to_string()).arg(milliseconds(lifetime));
        let read = |head: HashMap<_, _>| wire::head(&head);
        self.link.ask_and_read(operation, &script, read).await
    }

    async fn renew(
        &self,
        instance: InstanceId,
        term: Term,
        lifetime: Duration,
    ) -> Result<Option<Head>, RegistryError> {
        let operation = "renewing the lease";
        let mut script = self.scripts.renew.prepare_invoke();
        script.key(&self.keys.head).key(&self.keys.lease);
        script.arg(instance.to_string()).arg(term.0);
        script.arg(milliseconds(lifetime)).arg(&self.keys.changes);
        let read = |head: HashMap<_, _>| wire::head(&head);
        self.link.ask_and_read(operation, &script, read).await
    }

    async fn release(&self, instance: InstanceId, term: Term) -> Result<(), RegistryError> {
        let mut script = self.scripts.release.prepare_invoke();
        script.key(&self.keys.head).key(&self.keys.lease);
        script.arg(instance.to_string()).arg(term.0);
        script.arg(&self.keys.changes);
        self.link.ask("giving back the lease", &script).await
    }

    async fn forget_for(
        &self,
        leadership: &Leadership,
        instance: InstanceId,
    ) -> Result<bool, CommitError> {
        let (hash, channel) = (&self.keys.instances, &self.keys.reports);
        let field = instance.to_string();
        self.clear(
            "forgetting an instance",
            leadership,
            (hash, &field),
            channel,
        )
        .await
    }

    async fn remove_registration_for(
        &self,
        leadership: &Leadership,
        key: &ServerKey,
    ) -> Result<bool, CommitError> {
        let (hash, field) = (&self.keys.registrations, key.to_string());
        self.clear("removing a registration", leadership, (hash, &field), "")
            .await
    }
}

impl Redis {
    /// Removes a field of a hash, if this leadership stands; whether it was there.
    async fn clear(
        &self,
        operation: &'static str,
        leadership: &Leadership,
        (hash, field): (&str, &str),
        channel: &str,
    ) -> Result<bool, CommitError> {
        let mut script = self.scripts.clear.prepare_invoke();
        script.key(&self.keys.head).key(hash);
        script.arg(leadership.instance.to_string());
        script.arg(leadership.term.0);
        script.arg(leadership.epoch.to_string());
        script.arg(field).arg(channel);
        let answer: Vec<String> = self.link.ask(operation, &script).await?;
        let misunderstood = || misunderstood(operation, &answer);
        let (kind, rest) = answer.split_first().ok_or_else(misunderstood)?;
        match (kind.as_str(), rest) {
            ("cleared", [known]) => Ok(known == "1"),
            (kind, rest) => Err(read_refusal(kind, rest).unwrap_or_else(misunderstood)),
        }
    }
}
