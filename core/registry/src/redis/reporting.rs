//! What every instance says: its reports, its end, its suspicions.

use async_trait::async_trait;
use model::{InstanceId, Moment, Report, Suspicion};
use redis::Cmd;

use super::Redis;
use crate::{RegistryError, Reporting};

#[async_trait]
impl Reporting for Redis {
    async fn report(&self, report: &Report, announce: bool) -> Result<Moment, RegistryError> {
        let json = serde_json::to_string(report);
        let mut script = self.scripts.stamp.prepare_invoke();
        script.key(&self.keys.instances);
        script.arg(report.instance.to_string());
        script.arg(json.expect("a report holds nothing that JSON cannot"));
        script.arg(if announce { &self.keys.reports } else { "" });
        self.link.ask("reporting", &script).await.map(Moment)
    }

    async fn deregister(&self, instance: InstanceId) -> Result<(), RegistryError> {
        self.remove_instance("deregistering", instance).await?;
        Ok(())
    }

    async fn suspect(&self, suspicion: &Suspicion) -> Result<(), RegistryError> {
        let json = serde_json::to_string(suspicion);
        let json = json.expect("a suspicion holds nothing that JSON cannot");
        let command = Cmd::publish(&self.keys.suspicions, json);
        self.link.ask("saying a suspicion", &command).await
    }
}
