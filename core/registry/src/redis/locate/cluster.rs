//! All keys of a fleet share one hash tag, and so one node of a cluster. Any node says which, in answer to an
//! ordinary read of one of them; that takes no right that the fleet's users do not have.

use futures_util::FutureExt;
use futures_util::future::select_ok;
use redis::aio::MultiplexedConnection;
use redis::{ProtocolVersion, RedisResult};

use super::{Locator, asking, credentials};
use crate::RegistryError;
use crate::redis::address::Host;

/// How often a node may name another one.
const REDIRECTIONS_MAX: usize = 5;

impl Locator {
    /// The node that has the fleet's keys, as the first of the named ones says that can be reached.
    pub(super) async fn owner(&self, nodes: &[Host]) -> Result<Host, RegistryError> {
        let asked = nodes
            .iter()
            .map(|node| self.owner_from(node.clone()).boxed());
        let (owner, _) = select_ok(asked).await?;
        Ok(owner)
    }

    async fn owner_from(&self, mut node: Host) -> Result<Host, RegistryError> {
        for _ in 0..=REDIRECTIONS_MAX {
            let endpoint = self.endpoint_of(&node);
            let error = match self.has_keys(&node).await {
                Ok(()) => return Ok(node),
                Err(error) => error,
            };
            match error
                .redirect_node()
                .and_then(|(next, _)| next_node(next, &node))
            {
                Some(next) => node = next,
                None => return Err(endpoint.explain_connecting(&error)),
            }
        }
        Err(self
            .endpoint()
            .unreachable("its nodes send one to another without end: see CLUSTER SLOTS"))
    }

    async fn has_keys(&self, node: &Host) -> RedisResult<()> {
        let settings = credentials(&self.address.login).set_protocol(ProtocolVersion::RESP3);
        let mut connection = self.open(self.tcp(node), settings, &asking()).await?;
        self.check_keys(&mut connection).await
    }

    /// Asks a node for one of the keys. One that does not have them answers whatever is about no key all the same.
    pub(super) async fn check_keys(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> RedisResult<()> {
        let mut command = redis::cmd("EXISTS");
        command.arg(&self.key).query_async(connection).await
    }
}

/// The node that a redirection names. Without a host it is the one that was asked, at another port.
fn next_node(named: &str, asked: &Host) -> Option<Host> {
    let (name, port) = named.rsplit_once(':')?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let name = if name.is_empty() { &asked.name } else { name };
    Some(Host {
        name: name.into(),
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_names_a_host_or_the_same_one() {
        let asked = Host {
            name: "10.0.0.1".into(),
            port: 1,
        };
        for (named, host) in [
            ("10.0.0.2:7000", "10.0.0.2:7000"),
            ("redis.example:7000", "redis.example:7000"),
            (":7000", "10.0.0.1:7000"),
            ("::1:7000", "[::1]:7000"),
        ] {
            let next = next_node(named, &asked).expect(named);
            assert_eq!(next.to_string(), host);
        }
        assert_eq!(next_node("nowhere", &asked), None);
    }
}
