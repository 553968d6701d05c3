use std::collections::BTreeMap;

use model::{Health, PoolId, Revision, ServerState, Stamped};
use proptest::prelude::*;

use super::*;
use crate::{Admission, InFlight, Outcome, tier};

const SECOND: Duration = Duration::from_secs(1);

/// A pool, as its tables make it.
struct Fleet {
    rules: model::Outlier,
    panic_threshold: f64,
    admission: Arc<Admission>,
    servers: Vec<Arc<Server>>,
}

impl Fleet {
    fn of(size: u64, rules: model::Outlier) -> Self {
        let mut fleet = Self {
            rules,
            panic_threshold: 0.0,
            admission: Arc::default(),
            servers: Vec::new(),
        };
        for number in 0..size {
            let key = format!("default/s{number}").parse().expect("a key");
            let live = Arc::new(Live::new(
                number,
                key,
                Revision(1),
                Arc::clone(&fleet.admission),
            ));
            let server = fleet.server(&live, Health::Up);
            fleet.servers.push(server);
        }
        fleet.update();
        fleet
    }

    fn server(&self, live: &Arc<Live>, health: Health) -> Arc<Server> {
        self.changed(live, health, |_| {})
    }

    fn changed(
        &self,
        live: &Arc<Live>,
        health: Health,
        change: impl FnOnce(&mut model::Server),
    ) -> Arc<Server> {
        let name = live.key().server.clone();
        let address = "10.0.0.1:80".parse().expect("an address");
        let mut server = model::Server::new(PoolId::standard(), name, address);
        change(&mut server);
        let definition = Arc::new(Stamped::new(Revision(1), server));
        Arc::new(Server::new(definition, health, Arc::clone(live)))
    }

    fn judge(&mut self, index: usize, health: Health) {
        let server = Arc::clone(&self.servers[index]);
        self.servers[index] = self.changed(server.live(), health, |changed| {
            changed.state = server.state();
            changed.backup = server.is_backup();
        });
        self.update();
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut model::Server)) {
        let server = Arc::clone(&self.servers[index]);
        self.servers[index] = self.changed(server.live(), server.health(), change);
        self.update();
    }

    fn update(&self) {
        let members = tier::tiers(&self.servers, self.panic_threshold, |_| 1).members;
        let ejections = self.admission.ejections();
        ejections.update(&self.rules, &self.servers, &members);
    }

    fn eject(&self, index: usize) {
        let live = self.servers[index].live();
        self.admission
            .ejections()
            .eject(live, Rule::GatewayFailures);
    }

    /// What is settled at this time, where chance makes nothing shorter.
    fn settle(&self, now: Duration) -> Vec<Ejection> {
        self.admission.ejections().settle(now, || 0.0)
    }

    fn ejected(&self) -> Vec<u64> {
        let lives = self.servers.iter().map(|server| server.live());
        let ejected = lives.filter(|live| live.is_ejected());
        ejected.map(|live| live.number()).collect()
    }

    /// Where none is a backup, and all that are not down are up.
    fn is_usable(&self, index: usize) -> bool {
        let server = &self.servers[index];
        server.health() != Health::Down && server.state() == ServerState::Active
    }
}

fn rules() -> model::Outlier {
    model::Outlier::default()
}

#[test]
fn a_server_that_broke_a_rule_is_ejected_at_once_and_comes_back_when_its_time_is_over() {
    let fleet = Fleet::of(4, rules());
    fleet.eject(1);
    assert_eq!(fleet.ejected(), [1]);
    let settled = fleet.settle(SECOND);
    let expected = Ejection {
        server: 1,
        rule: Rule::GatewayFailures,
        lasts: 30 * SECOND,
    };
    assert_eq!(settled, [expected]);
    assert_eq!(fleet.settle(30 * SECOND), []);
    assert_eq!(fleet.ejected(), [1]);
    assert_eq!(fleet.settle(31 * SECOND), []);
    assert_eq!(fleet.ejected(), [0_u64; 0]);
}

#[test]
fn no_more_than_the_share_are_ejected_rounded_down() {
    for (size, share, most) in [(5, 0.5, 2), (10, 0.3, 3), (9, 0.1, 0), (1, 1.0, 0)] {
        let fleet = Fleet::of(
            size,
            model::Outlier {
                ejected_share: share,
                ..rules()
            },
        );
        for index in 0..fleet.servers.len() {
            fleet.eject(index);
        }
        assert_eq!(fleet.ejected().len(), most, "{share} of {size}");
    }
}

#[test]
fn those_that_take_no_requests_let_no_more_be_ejected() {
    type Change = fn(&mut model::Server);
    let out: [Change; 3] = [
        |server| server.state = ServerState::Disabled,
        |server| server.state = ServerState::Draining,
        |server| server.weight = 0,
    ];
    for change in out {
        let mut fleet = Fleet::of(8, rules());
        for index in 4..8 {
            fleet.change(index, change);
        }
        for index in 0..8 {
            fleet.eject(index);
        }
        assert_eq!(fleet.ejected(), [0, 1]);
    }
    let mut fleet = Fleet::of(8, rules());
    for index in 4..8 {
        fleet.judge(index, Health::Down);
    }
    for index in 0..8 {
        fleet.eject(index);
    }
    assert_eq!(fleet.ejected(), [0, 1]);
}

#[test]
fn backups_count_only_where_they_are_used() {
    let mut fleet = Fleet::of(6, rules());
    for index in 3..6 {
        fleet.change(index, |server| server.backup = true);
    }
    for index in (0..6).rev() {
        fleet.eject(index);
    }
    assert_eq!(fleet.ejected(), [2]);
    for index in 0..3 {
        fleet.judge(index, Health::Down);
    }
    for index in (0..6).rev() {
        fleet.eject(index);
    }
    assert_eq!(fleet.ejected(), [5], "the last of the others was let go");
}

#[test]
fn where_verdicts_are_not_believed_those_that_are_down_may_be_ejected_too() {
    let mut fleet = Fleet::of(8, rules());
    fleet.panic_threshold = 0.5;
    for index in 3..8 {
        fleet.judge(index, Health::Down);
    }
    for index in (0..8).rev() {
        fleet.eject(index);
    }
    assert_eq!(fleet.ejected(), [4, 5, 6, 7]);
}

#[test]
fn one_that_is_removed_while_it_is_ejected_comes_back_as_any_other() {
    let mut fleet = Fleet::of(4, rules());
    fleet.eject(3);
    fleet.eject(2);
    let gone = fleet.servers.pop().expect("a server");
    fleet.update();
    assert_eq!(fleet.ejected(), [2]);
    fleet.servers.push(gone);
    fleet.update();
    assert_eq!(fleet.ejected(), [2]);
    fleet.eject(3);
    assert_eq!(fleet.ejected(), [2, 3]);
}

#[test]
fn workers_eject_no_more_than_the_share_while_servers_come_and_go() {
    let fleet = Fleet::of(16, rules());
    let fewer = Fleet {
        rules: rules(),
        panic_threshold: 0.0,
        admission: Arc::clone(&fleet.admission),
        servers: fleet.servers[..8].to_vec(),
    };
    std::thread::scope(|scope| {
        for turn in 0..2 {
            let fleet = &fleet;
            scope.spawn(move || {
                for step in 0..20_000 {
                    fleet.eject((step * 7 + turn) % 16);
                }
            });
        }
        for second in 0..200 {
            fewer.update();
            assert!(fewer.ejected().len() <= 4);
            assert!(fleet.ejected().len() <= 4, "none that is gone");
            fleet.settle(100 * second * SECOND);
            fleet.update();
            assert!(fleet.ejected().len() <= 8);
        }
    });
    fewer.update();
    for index in 0..8 {
        fleet.eject(index);
    }
    assert_eq!(fleet.ejected().len(), 4);
}

#[test]
fn the_last_one_that_may_be_used_is_never_ejected() {
    let all = model::Outlier {
        ejected_share: 1.0,
        ..rules()
    };
    let mut fleet = Fleet::of(4, all);
    fleet.judge(3, Health::Down);
    for index in 0..4 {
        fleet.eject(index);
    }
    assert_eq!(fleet.ejected(), [0, 1]);
    // Where it goes down, those that are left are better than none.
    fleet.judge(2, Health::Down);
    assert_eq!(fleet.ejected().len(), 1);
}

#[test]
fn each_ejection_lasts_longer_and_good_behaviour_is_rewarded() {
    let fleet = Fleet::of(4, rules());
    let mut now = Duration::ZERO;
    let mut eject = |calm: Duration| {
        now += calm;
        fleet.settle(now);
        fleet.eject(0);
        let lasts = fleet.settle(now)[0].lasts;
        now += lasts;
        fleet.settle(now);
        lasts.as_secs()
    };
    let lengths: Vec<u64> = (0..4).map(|_| eject(SECOND)).collect();
    assert_eq!(lengths, [30, 60, 90, 120]);
    // Three intervals of ten seconds: the fifth is like the second.
    assert_eq!(eject(30 * SECOND), 60);
    assert_eq!(eject(1000 * SECOND), 30);
    let many: Vec<u64> = (0..12).map(|_| eject(SECOND)).collect();
    assert_eq!(many[8..], [300; 4], "no longer than the longest");
}

#[test]
fn an_ejection_survives_a_change_of_the_pool_and_ends_with_the_incarnation() {
    let mut fleet = Fleet::of(4, rules());
    fleet.eject(0);
    fleet.settle(Duration::ZERO);
    fleet.judge(2, Health::Down);
    assert_eq!(fleet.ejected(), [0]);
    let gone = fleet.servers.remove(0);
    fleet.update();
    assert!(!gone.live().is_ejected());
    fleet.servers.push(gone);
    fleet.update();
    assert_eq!(fleet.ejected(), [0_u64; 0]);
}

#[test]
fn a_verdict_that_stays_up_ends_no_ejection_and_one_that_comes_up_does() {
    let mut fleet = Fleet::of(4, rules());
    fleet.eject(0);
    fleet.judge(0, Health::Up);
    assert_eq!(fleet.ejected(), [0]);
    fleet.judge(0, Health::Down);
    assert_eq!(fleet.ejected(), [0]);
    fleet.judge(0, Health::Up);
    assert_eq!(fleet.ejected(), [0_u64; 0]);
}

#[test]
fn fewer_servers_let_fewer_be_ejected() {
    let mut fleet = Fleet::of(6, rules());
    for index in 0..3 {
        fleet.eject(index);
        fleet.settle(SECOND * u32::try_from(index).expect("small"));
    }
    fleet.servers.truncate(4);
    fleet.update();
    assert_eq!(fleet.ejected(), [1, 2], "the first one comes back first");
}

#[test]
fn servers_are_compared_each_interval() {
    let fleet = Fleet::of(6, rules());
    fleet.settle(Duration::ZERO);
    for server in &fleet.servers {
        for _ in 0..100 {
            let mut flight = InFlight::begin(Arc::clone(server)).expect("room");
            flight.note(match server.live().number() {
                5 => Outcome::ServerError,
                _ => Outcome::Answered { at: SECOND },
            });
        }
    }
    assert_eq!(fleet.settle(9 * SECOND), []);
    let settled = fleet.settle(10 * SECOND);
    assert_eq!((settled.len(), settled[0].rule), (1, Rule::SuccessRate));
    assert_eq!(fleet.ejected(), [5]);
}

/// What happens next to a pool.
#[derive(Debug, Clone, Copy)]
enum Event {
    Eject(usize),
    Wait(u64),
    Judge(usize, bool),
    Remove(usize),
    Disable(usize, bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (0_usize..12).prop_map(Event::Eject),
        4 => (0_u64..40_000).prop_map(Event::Wait),
        2 => (0_usize..12, any::<bool>()).prop_map(|(index, up)| Event::Judge(index, up)),
        1 => (0_usize..12).prop_map(Event::Remove),
        2 => (0_usize..12, any::<bool>()).prop_map(|(index, out)| Event::Disable(index, out)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_share_holds_someone_is_left_and_times_are_within_bounds(
        size in 1_u64..12,
        share in 0.0_f64..=1.0,
        jitter in 0.0_f64..=1.0,
        chance in 0.0_f64..=1.0,
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let rules = model::Outlier { ejected_share: share, jitter, ..rules() };
        let mut fleet = Fleet::of(size, rules.clone());
        let mut now = Duration::ZERO;
        let mut ends: BTreeMap<u64, Duration> = BTreeMap::new();
        for event in events {
            let within = |index: usize| index % fleet.servers.len().max(1);
            match event {
                _ if fleet.servers.is_empty() => break,
                Event::Eject(index) => fleet.eject(within(index)),
                Event::Judge(index, up) => {
                    fleet.judge(within(index), if up { Health::Up } else { Health::Down });
                }
                Event::Remove(index) => {
                    fleet.servers.remove(within(index));
                    fleet.update();
                }
                Event::Disable(index, out) => fleet.change(within(index), |server| {
                    server.state = if out { ServerState::Disabled } else { ServerState::Active };
                }),
                Event::Wait(millis) => now += Duration::from_millis(millis),
            }
            for ejection in fleet.admission.ejections().settle(now, || chance) {
                prop_assert!(ejection.lasts <= rules.ejection_max);
                prop_assert!(ejection.lasts + SECOND / 1000 >= rules.ejection.mul_f64(1.0 - jitter));
                ends.insert(ejection.server, now + ejection.lasts);
            }
            let ejected = fleet.ejected();
            prop_assert!(ejected.iter().all(|server| ends[server] > now));
            let usable = (0..fleet.servers.len()).filter(|index| fleet.is_usable(*index));
            let usable: Vec<_> = usable.map(|index| fleet.servers[index].live()).collect();
            let out = usable.iter().filter(|live| live.is_ejected()).count();
            prop_assert!(out as f64 <= share * usable.len() as f64 + 1e-6, "{out} of {}", usable.len());
            prop_assert!(usable.is_empty() || usable.iter().any(|live| !live.is_ejected()));
        }
    }
}
