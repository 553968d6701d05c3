//! A limit: how many requests of one kind the fleet takes, and how many of them at the same time.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{LimitId, Unknown, duration, firewall};

/// A limit, as desired. Routes and pools name it; what they have in common by its parts counts together, whoever names it.
///
/// It is a token bucket for each key: one that holds `burst` tokens when it is full, and is given `requests` of them in the time `per`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub id: LimitId,
    /// What makes requests count together: those that agree in all of these parts do. Where nothing is said, all do.
    #[serde(default)]
    pub by: Vec<LimitPart>,
    /// Requests in the time `per`. 0 counts none.
    #[serde(default)]
    pub requests: u32,
    #[serde(default = "default_per", with = "duration::text")]
    pub per: Duration,
    /// Requests that may come at once after a quiet time; as many as `requests`, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// Requests at the same time at one balancer. 0 sets no bound.
    #[serde(default)]
    pub concurrent: u32,
    #[serde(default)]
    pub mode: LimitMode,
    /// How long a request waits for the registry in the mode `exact`.
    #[serde(default = "default_deadline", with = "duration::text")]
    pub deadline: Duration,
    /// What holds while the registry does not answer.
    #[serde(default)]
    pub without_registry: WithoutRegistry,
    /// Clients in these networks are not counted.
    #[serde(default, deserialize_with = "firewall::networks")]
    pub exempt: Vec<IpNet>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

/// A part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitPart {
    /// The client's address; of IPv6 the network of 64 bits that it is in, since one client has all of that.
    Client,
    /// The route that claims the request.
    Route,
    /// The host that is asked for, without its port and without regard to case.
    Host,
    /// The value of the header of this name, such as an API key. The client's address, where there is none.
    Header(String),
}

/// Who counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitMode {
    /// Each balancer, with tokens that it takes from the registry in batches, ahead of need. No request waits.
    #[default]
    Leased,
    /// The registry, which each request waits for.
    Exact,
}

/// What a balancer does by itself where the registry does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutRegistry {
    /// It lets its share pass: the limit divided by the number of balancers that lived when the registry was last heard.
    #[default]
    Share,
    /// It lets every request pass.
    Open,
    /// It lets none pass.
    Closed,
}

fn default_per() -> Duration {
    Duration::from_secs(1)
}

fn default_deadline() -> Duration {
    Duration::from_millis(50)
}

impl Limit {
    /// One for all requests together, without a bound yet.
    pub fn new(id: LimitId) -> Self {
        Self {
            id,
            by: Vec::new(),
            requests: 0,
            per: default_per(),
            burst: None,
            concurrent: 0,
            mode: LimitMode::default(),
            deadline: default_deadline(),
            without_registry: WithoutRegistry::default(),
            exempt: Vec::new(),
            unknown: Unknown::default(),
        }
    }

    /// Tokens of a full bucket.
    pub fn capacity(&self) -> u32 {
        self.burst.unwrap_or(self.requests)
    }

    /// The fields that this version does not know, by the part that has them.
    pub fn unknown_mut(&mut self) -> Vec<(String, &mut Unknown)> {
        vec![(String::new(), &mut self.unknown)]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_limit_is_read_as_people_write_it() {
        let limit = json!({
            "id": "api", "by": ["client", {"header": "X-Api-Key"}], "requests": 100, "per": "10s",
            "without_registry": "open", "exempt": ["10.0.0.0/8", "192.0.2.7"]
        });
        let limit: Limit = serde_json::from_value(limit).unwrap();
        let parts = [LimitPart::Client, LimitPart::Header("X-Api-Key".into())];
        assert_eq!(limit.by, parts);
        assert_eq!(limit.capacity(), 100);
        assert_eq!(limit.mode, LimitMode::Leased);
        assert_eq!(limit.exempt.len(), 2);
        let written = serde_json::to_value(&limit).unwrap();
        assert_eq!(written["by"], json!(["client", {"header": "X-Api-Key"}]));
        assert_eq!(written["per"], "10s");
        assert_eq!(serde_json::from_value::<Limit>(written).unwrap(), limit);
    }

    #[test]
    fn what_a_newer_version_counts_by_makes_the_limit_unreadable() {
        for limit in [
            json!({"id": "a", "by": ["phase_of_the_moon"]}),
            json!({"id": "a", "mode": "guessed"}),
            json!({"id": "a", "without_registry": "dice"}),
        ] {
            assert!(serde_json::from_value::<Limit>(limit).is_err());
        }
    }
}
