//! A cluster of three nodes, each with a third of the slots.

use super::{RedisServer, ask, wait_until};

/// The first and the last slot of each node.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10922), (10923, 16383)];

const ARGUMENTS: [&str; 4] = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];

/// They end when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts the nodes, and waits until each says that the cluster is whole.
    pub fn start() -> Self {
        let start = |_| RedisServer::start_with(&ARGUMENTS);
        let nodes: Vec<_> = SLOTS.iter().map(start).collect();
        for (index, (node, (from, to))) in nodes.iter().zip(SLOTS).enumerate() {
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]);
            // One by one, since Redis 6.2 takes no range.
            let slots: Vec<_> = (from..=to).map(|slot| slot.to_string()).collect();
            let slots: Vec<_> = slots.iter().map(String::as_str).collect();
            node.command(&[&["CLUSTER", "ADDSLOTS"], slots.as_slice()].concat());
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port.to_string()]);
        }
        let cluster = Self { nodes };
        wait_until("every node knows the whole cluster", || cluster.is_whole());
        cluster
    }

    fn is_whole(&self) -> bool {
        self.nodes.iter().all(|node| {
            let info: String = ask(&node.url(), &["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
    }

    /// The registry's URL, which names every node.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(RedisServer::address).collect();
        format!("redis+cluster://{}", hosts.join(","))
    }

    /// The node that owns a key's slot, and its place among the nodes.
    pub fn owner(&self, key: &str) -> usize {
        let slot = self.slot(key);
        let owns = |node: &RedisServer| {
            let shards: Vec<(u16, u16, (String, u16))> = self.slots(node);
            let is_here = |(from, to, (_, port)): &(u16, u16, (String, u16))| {
                (*from..=*to).contains(&slot) && *port == node.port
            };
            shards.iter().any(is_here)
        };
        self.nodes
            .iter()
            .position(owns)
            .expect("every slot has an owner")
    }

    /// A node, by its place.
    pub fn node(&self, index: usize) -> &RedisServer {
        &self.nodes[index]
    }

    /// Starts a replica of the node that owns a key's slot, and waits until it has what that one has.
    pub fn replica_of_owner(&self, key: &str) -> RedisServer {
        let owner = self.node(self.owner(key));
        owner.command(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
        let id: String = ask(&owner.url(), &["CLUSTER", "MYID"]);
        let replica = RedisServer::start_with(&ARGUMENTS);
        replica.command(&["CLUSTER", "MEET", "127.0.0.1", &owner.port.to_string()]);
        wait_until("the replica knows its master", || {
            let nodes: String = ask(&replica.url(), &["CLUSTER", "NODES"]);
            nodes.contains(&id)
        });
        replica.command(&["CLUSTER", "REPLICATE", &id]);
        owner.wait_for_replica();
        replica
    }

    /// Ends a node as a crash would.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].kill();
    }

    fn slot(&self, key: &str) -> u16 {
        ask(&self.nodes[0].url(), &["CLUSTER", "KEYSLOT", key])
    }

    fn slots(&self, node: &RedisServer) -> Vec<(u16, u16, (String, u16))> {
        let slots: Vec<(u16, u16, redis::Value)> = ask(&node.url(), &["CLUSTER", "SLOTS"]);
        let place = |value| {
            // Redis 7 says more of a node than 6.2 does.
            let node: Vec<redis::Value> = redis::from_redis_value(value).expect("a node");
            let place = redis::from_redis_value(redis::Value::Array(node[..2].to_vec()));
            place.expect("a host and a port")
        };
        slots
            .into_iter()
            .map(|(from, to, node)| (from, to, place(node)))
            .collect()
    }

    /// Moves a key's slot to another node, with all that it holds, as redis-cli would.
    pub fn move_slot(&self, key: &str, to: usize) {
        let (from, to) = (&self.nodes[self.owner(key)], &self.nodes[to]);
        let slot = self.slot(key).to_string();
        let id = |node: &RedisServer| -> String { ask(&node.url(), &["CLUSTER", "MYID"]) };
        let (from_id, to_id) = (id(from), id(to));
        to.command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        from.command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        let keys: Vec<String> = ask(&from.url(), &["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]);
        for key in keys {
            from.command(&[
                "MIGRATE",
                "127.0.0.1",
                &to.port.to_string(),
                &key,
                "0",
                "5000",
            ]);
        }
        for node in [to, from] {
            node.command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    }
}
