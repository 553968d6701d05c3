//! What an orchestrator may do: take, renew and give back the lease.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use model::{InstanceId, Term};

use super::committing::milliseconds;
use super::reading::understood;
use super::{Redis, wire};
use crate::{Head, Leading, RegistryError};

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
        let head: HashMap<_, _> = self.link.ask(operation, &script).await?;
        understood(operation, wire::head(&head))
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
        let head: HashMap<_, _> = self.link.ask(operation, &script).await?;
        understood(operation, wire::head(&head))
    }

    async fn release(&self, instance: InstanceId, term: Term) -> Result<(), RegistryError> {
        let mut script = self.scripts.release.prepare_invoke();
        script.key(&self.keys.head).key(&self.keys.lease);
        script.arg(instance.to_string()).arg(term.0);
        self.link.ask("giving back the lease", &script).await
    }
}
