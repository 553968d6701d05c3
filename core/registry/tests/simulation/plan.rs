//! What a schedule begins with, and when it is to go wrong.

use std::time::Duration;

use model::{Pool, PoolId, Server, Snapshot, Stamped};
use rand::RngExt;

use crate::balancer::Balancer;
use crate::call::Event;
use crate::network::Weather;
use crate::node::{Node, Part};
use crate::operation::Operation;
use crate::orchestrator::Orchestrator;
use crate::world::World;

impl World {
    /// Decides who takes part, when, and how bad it gets.
    pub(crate) fn plan(&mut self) {
        for _ in 0..1 + self.below(3) {
            self.add_balancer();
        }
        for _ in 0..1 + self.below(3) {
            let rate = self.random.random_range(0.97..1.03);
            let part = Part::Orchestrator(Box::new(Orchestrator::new(rate)));
            self.nodes.push(Node::new(false, part));
        }
        if self.chance(0.7) {
            self.begin_seeded();
        }
        for node in 0..self.nodes.len() {
            let start = self.milliseconds(0..300);
            self.after(start, Event::Start(node));
        }
        let end = self.milliseconds(2_000..7_000);
        let length = u64::try_from(end.as_millis()).expect("short");
        for _ in 0..2 + self.below(5) {
            let index = self.operations.len();
            self.operations.push(Operation::default());
            let at = self.milliseconds(300..length);
            self.at(at, Event::Operate(index));
        }
        for _ in 0..self.below(5) {
            let at = self.milliseconds(100..length);
            self.at(at, Event::Fault);
        }
        self.peace_at = end;
        self.at(end, Event::Peace);
        self.at(end + Duration::from_secs(1), Event::Check);
        self.weather = self.draw_weather();
    }

    fn draw_weather(&mut self) -> Weather {
        let mut draw = |limit: f64| {
            let bad = self.random.random_bool(0.5);
            if bad {
                self.random.random_range(0.0..limit)
            } else {
                0.0
            }
        };
        Weather {
            request_loss: draw(0.15),
            hint_loss: draw(0.3),
            hint_repeat: draw(0.3),
            hint_disorder: draw(0.3),
            delay: draw(0.15),
            replication: 1.0 - draw(0.9),
        }
    }

    /// The registry holds a fleet from the start.
    fn begin_seeded(&mut self) {
        let position = self.first_position();
        let mut seed = Snapshot::empty(position);
        let id = PoolId::standard();
        let stamped = |ordinal| Stamped {
            revision: position.revision,
            created: position.revision,
            ordinal,
            incarnation: position.revision,
            value: (),
        };
        seed.pools
            .insert(id.clone(), with(&stamped(0), Pool::new(id.clone())));
        for index in 0..3 {
            let name = format!("s{index}").parse().expect("an id");
            let address = "10.0.0.1:80".parse().expect("an address");
            let server = Server::new(id.clone(), name, address);
            seed.servers
                .insert(server.key(), with(&stamped(index), server));
        }
        if self.chance(0.2) {
            let collection = "tunnels".parse().expect("a newer version's collection");
            seed.apply_stored(collection, b"r", br#"{"value":1}"#);
        }
        self.redis.store.seed(&seed).expect("an empty store");
        self.redis.replica = self.redis.store.clone();
        self.ledger.seeded(&seed, None);
    }

    pub(crate) fn add_balancer(&mut self) {
        let guarded = self.chance(0.4);
        let mute = self.chance(0.1);
        let balancer = if mute {
            Balancer::mute()
        } else {
            Balancer::default()
        };
        self.nodes
            .push(Node::new(guarded, Part::Balancer(balancer)));
    }
}

fn with<T>(stamp: &Stamped<()>, value: T) -> std::sync::Arc<Stamped<T>> {
    std::sync::Arc::new(Stamped {
        revision: stamp.revision,
        created: stamp.created,
        ordinal: stamp.ordinal,
        incarnation: stamp.incarnation,
        value,
    })
}
