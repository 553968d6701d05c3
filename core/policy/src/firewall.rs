//! Which clients may come: the longest network that holds the address decides, and of two as long the denial.
//!
//! Lists are compiled once, and shared by all rules that name them. A rule asks each of its lists how long its longest network is that holds
//! the address; that is a binary search over a few thousand numbers, or a hundred thousand, and nothing is made anew where other rules change.

mod intervals;
mod lists;
mod networks;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use model::NetworkListId;

pub(crate) use lists::Lists;
pub(crate) use networks::Networks;

/// A compiled rule. The default lets everybody in.
#[derive(Debug, Clone, Default)]
pub struct Firewall {
    allow: Side,
    deny: Side,
    /// Named, and not there.
    missing: Vec<NetworkListId>,
}

/// The networks of one kind.
#[derive(Debug, Clone, Default)]
struct Side {
    is_given: bool,
    networks: Vec<Arc<Networks>>,
}

impl Firewall {
    /// A list that is not there, and never was since the start, holds nobody: of those to deny it denies none, and where all others are to be
    /// kept out it keeps everybody out. One that is gone stays as it last was. Either way the rule is reported.
    pub(crate) fn compile(rule: &model::Firewall, lists: &Lists) -> Self {
        let mut missing: Vec<_> = rule.lists().cloned().collect();
        missing.retain(|id| lists.is_missing(id));
        missing.sort_unstable();
        missing.dedup();
        Self {
            allow: Side::compile(&rule.allow, lists),
            deny: Side::compile(&rule.deny, lists),
            missing,
        }
    }

    /// Whether a client at this address may come. An IPv4 address mapped into IPv6 is the IPv4 address.
    pub fn lets_in(&self, client: IpAddr) -> bool {
        if self.is_open() {
            return true;
        }
        let client = client.to_canonical();
        let denied = self.deny.depth(client);
        let allowed = self.allow.depth(client);
        match denied.max(allowed) {
            0 => !self.allow.is_given,
            _ => allowed > denied,
        }
    }

    /// Whether there is no rule at all.
    pub fn is_open(&self) -> bool {
        !self.allow.is_given && !self.deny.is_given
    }

    pub(crate) fn missing(&self) -> &[NetworkListId] {
        &self.missing
    }
}

impl Side {
    fn compile(rules: &[model::Networks], lists: &Lists) -> Self {
        let own: Vec<IpNet> = rules
            .iter()
            .filter_map(|rule| match rule {
                model::Networks::One(network) => Some(*network),
                model::Networks::List(_) => None,
            })
            .collect();
        let own = (!own.is_empty()).then(|| Arc::new(Networks::new(&own)));
        let named = rules.iter().filter_map(|rule| match rule {
            model::Networks::One(_) => None,
            model::Networks::List(id) => lists.get(id).cloned(),
        });
        Self {
            is_given: !rules.is_empty(),
            networks: own.into_iter().chain(named).collect(),
        }
    }

    fn depth(&self, client: IpAddr) -> u8 {
        let depths = self.networks.iter().map(|networks| networks.depth(client));
        depths.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
