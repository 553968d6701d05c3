//! Sentinels say where the master is. All are asked at once, and what most of them say is tried first: one that
//! was cut off from the others may still name a former master.

use futures_util::future::join_all;
use redis::ProtocolVersion;

use super::{Locator, asking, credentials};
use crate::RegistryError;
use crate::redis::address::{Host, Login};

impl Locator {
    /// The master that the Sentinels name, after it has said that it is one.
    pub(super) async fn master(
        &self,
        sentinels: &[Host],
        service: &str,
        login: &Login,
    ) -> Result<Host, RegistryError> {
        let ask = |sentinel| self.ask_sentinel(sentinel, service, login);
        let mut named: Vec<(usize, Host)> = Vec::new();
        let mut reasons = Vec::new();
        for (sentinel, answer) in sentinels
            .iter()
            .zip(join_all(sentinels.iter().map(ask)).await)
        {
            match answer {
                Ok(master) => match named.iter_mut().find(|(_, host)| *host == master) {
                    Some((votes, _)) => *votes += 1,
                    None => named.push((1, master)),
                },
                Err(reason) => reasons.push(format!("{sentinel}: {reason}")),
            }
        }
        named.sort_by_key(|(votes, _)| std::cmp::Reverse(*votes));
        let nobody = format!(
            "no Sentinel says where the master is; {}",
            reasons.join("; ")
        );
        let mut failure = self.endpoint().unreachable(nobody);
        for (_, master) in named {
            let endpoint = self.endpoint_of(&master);
            match self.opened(self.tcp(&master), &asking(), &endpoint).await {
                Ok(_) => return Ok(master),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn ask_sentinel(
        &self,
        sentinel: &Host,
        service: &str,
        login: &Login,
    ) -> Result<Host, String> {
        let explain = |error| self.endpoint().sentinels_words(&error);
        let settings = credentials(login).set_protocol(ProtocolVersion::RESP2);
        let config = asking();
        let opening = self.open(self.tcp(sentinel), settings, &config);
        let mut connection = opening.await.map_err(explain)?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(service);
        let answer: Option<(String, u16)> = command
            .query_async(&mut connection)
            .await
            .map_err(explain)?;
        let unknown = || format!("it knows no master {service:?}: name one that it watches");
        let (name, port) = answer.ok_or_else(unknown)?;
        Ok(Host { name, port })
    }
}
