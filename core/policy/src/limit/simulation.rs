//! Four balancers and one bucket, with answers that take their time: how many requests pass in all. Seeded; a failure names its
//! seed.

use std::sync::Arc;
use std::time::Duration;

use model::{Revision, Stamped};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::{Inquiry, Ledger, Limit};

const BALANCERS: usize = 4;
const KEY: u128 = 7;
const STEP: Duration = Duration::from_micros(200);
const SECOND: Duration = Duration::from_secs(1);

/// As the registry keeps it: when it will be full, in microseconds.
struct Bucket {
    full_at: f64,
}

/// An ask under way, or its answer on the way back.
struct Message {
    at: Duration,
    balancer: usize,
    spent: u32,
    wanted: u32,
    answer: Option<(u32, f64)>,
}

struct World {
    limit: Limit,
    ledgers: Vec<Arc<Ledger>>,
    bucket: Bucket,
    messages: Vec<Message>,
    /// The registry hears nothing.
    is_away: bool,
    /// Who is to ask, and when.
    due: Vec<(usize, Duration)>,
    chance: SmallRng,
    now: Duration,
    passed: [u64; BALANCERS],
    refused: u64,
}

impl World {
    fn new(seed: u64, requests: u32, burst: u32) -> Self {
        let limit = json!({"id": "api", "requests": requests, "burst": burst});
        let limit = serde_json::from_value(limit).expect("a limit");
        let ledgers = (0..BALANCERS).map(|_| {
            let ledger = Ledger::new(1_000);
            ledger.set_live(BALANCERS as u32);
            Arc::new(ledger)
        });
        Self {
            limit: Limit::compile(&Arc::new(Stamped::new(Revision(1), limit))),
            ledgers: ledgers.collect(),
            bucket: Bucket { full_at: 0.0 },
            messages: Vec::new(),
            is_away: false,
            due: Vec::new(),
            chance: SmallRng::seed_from_u64(seed),
            now: Duration::ZERO,
            passed: [0; BALANCERS],
            refused: 0,
        }
    }

    fn passed(&self) -> f64 {
        self.passed.iter().sum::<u64>() as f64
    }

    /// Goes on for a time, while so many requests a second come to each.
    fn go(&mut self, time: Duration, loads: [f64; BALANCERS]) {
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            self.deliver();
            self.ask();
            for (balancer, load) in loads.into_iter().enumerate() {
                let mut expected = load * STEP.as_secs_f64();
                while expected > 0.0 {
                    if self.chance.random_bool(expected.min(1.0)) {
                        self.request(balancer);
                    }
                    expected -= 1.0;
                }
            }
        }
    }

    fn request(&mut self, balancer: usize) {
        let checked = self.ledgers[balancer].check(&self.limit, KEY, self.now);
        match checked.outcome {
            Ok(_) => self.passed[balancer] += 1,
            Err(_) => self.refused += 1,
        }
        if checked.wakes {
            self.due.push((balancer, self.now));
        }
    }

    fn ask(&mut self) {
        let now = self.now;
        let (due, later) = self.due.drain(..).partition(|(_, at)| *at <= now);
        self.due = later;
        let due: Vec<(usize, Duration)> = due;
        for (balancer, _) in due {
            match self.ledgers[balancer].ask(&self.limit, KEY, now) {
                Inquiry::Now { spent, wanted } => {
                    let message = Message {
                        at: now + self.delay(),
                        balancer,
                        spent,
                        wanted,
                        answer: None,
                    };
                    self.messages.push(message);
                }
                Inquiry::At(at) => self.due.push((balancer, at)),
                Inquiry::Nothing => {}
            }
        }
    }

    fn delay(&mut self) -> Duration {
        Duration::from_micros(self.chance.random_range(100..2_000))
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (come, under_way) = self.messages.drain(..).partition(|one| one.at <= now);
        self.messages = under_way;
        let come: Vec<Message> = come;
        for message in come {
            let balancer = message.balancer;
            match message.answer {
                None if self.is_away => {
                    let ledger = &self.ledgers[balancer];
                    ledger.was_not_heard(&self.limit, KEY, message.spent, now);
                }
                None => {
                    let answer = Some(self.take(&message));
                    let at = now + self.delay();
                    self.messages.push(Message {
                        at,
                        answer,
                        ..message
                    });
                }
                Some((granted, level)) => {
                    let ledger = &self.ledgers[balancer];
                    if ledger.hear(&self.limit, KEY, granted, level, now) {
                        self.due.push((balancer, now));
                    }
                }
            }
        }
    }

    fn take(&mut self, message: &Message) -> (u32, f64) {
        let now = self.now.as_micros() as f64;
        let interval = self.limit.interval().as_secs_f64() * 1e6;
        let capacity = f64::from(self.limit.settings().capacity());
        let full_at = self.bucket.full_at.max(now) + f64::from(message.spent) * interval;
        let level = capacity - (full_at - now) / interval;
        let granted = level.floor().clamp(0.0, f64::from(message.wanted));
        self.bucket.full_at = full_at + granted * interval;
        (granted as u32, level - granted)
    }
}

/// Runs of each kind.
const SEEDS: u64 = 3;

/// Runs over several seeds, for limits of different sizes; a check gets what it is to name in its failure.
fn simulated(sizes: &[(u32, u32)], run: impl Fn(&mut World, f64, &str)) {
    for seed in 0..SEEDS {
        for (requests, burst) in sizes {
            let name = format!("{requests} of {burst}, seed {seed}");
            run(
                &mut World::new(seed, *requests, *burst),
                f64::from(*requests),
                &name,
            );
        }
    }
}

const SIZES: [(u32, u32); 3] = [(100, 100), (1_000, 1_000), (5_000, 500)];

#[test]
fn more_than_the_limit_makes_the_limit_however_unevenly_it_comes() {
    for shares in [
        [1.0, 1.0, 1.0, 1.0],
        [3.0, 0.3, 0.3, 0.3],
        [2.0, 0.0, 0.0, 0.0],
        [0.8, 0.6, 0.05, 0.05],
    ] {
        simulated(&SIZES, |world, rate, name| {
            let loads = shares.map(|share| share * rate);
            world.go(4 * SECOND, loads);
            for window in 0..3 {
                let before = world.passed();
                world.go(2 * SECOND, loads);
                let passed = (world.passed() - before) / (2.0 * rate);
                assert!(
                    (0.95..=1.05).contains(&passed),
                    "{passed} of the limit in window {window} at {shares:?}: {name}"
                );
            }
        });
    }
}

#[test]
fn less_than_the_limit_passes_whole() {
    for shares in [
        [0.2, 0.2, 0.2, 0.2],
        [0.8, 0.0, 0.0, 0.0],
        [0.5, 0.3, 0.0, 0.0],
    ] {
        simulated(
            &[(100, 100), (1_000, 1_000), (5_000, 5_000)],
            |world, rate, name| {
                world.go(5 * SECOND, shares.map(|share| share * rate));
                let all = world.passed() + world.refused as f64;
                let refused = world.refused as f64 / all;
                assert!(
                    refused < 0.01,
                    "{refused} were refused at {shares:?}: {name}"
                );
            },
        );
    }
}

#[test]
fn who_kept_to_the_limit_in_an_outage_is_served_after_it() {
    simulated(
        &[(100, 100), (1_000, 1_000), (5_000, 5_000)],
        |world, rate, name| {
            let loads = [0.2 * rate; BALANCERS];
            world.go(SECOND, loads);
            world.is_away = true;
            world.go(5 * SECOND, loads);
            world.is_away = false;
            let before = (world.passed(), world.refused);
            world.go(2 * SECOND, loads);
            let passed = world.passed() - before.0;
            let refused = (world.refused - before.1) as f64;
            assert!(
                refused < 0.01 * passed,
                "{refused} were refused, and {passed} passed: {name}"
            );
        },
    );
}

#[test]
fn a_bucket_that_is_smaller_than_the_fleet_serves_who_keeps_to_it() {
    let mut world = World::new(0, 1, 1);
    for _ in 0..20 {
        world.request(0);
        world.go(SECOND * 11 / 10, [0.0; BALANCERS]);
    }
    assert_eq!((world.passed(), world.refused), (20.0, 0));
    for _ in 0..20 {
        world.request(0);
        world.go(SECOND / 2, [0.0; BALANCERS]);
    }
    assert!(world.passed() <= 32.0, "{} passed", world.passed());
}

#[test]
fn load_that_moves_about_never_makes_more_than_another_bucket() {
    simulated(&SIZES, |world, rate, name| {
        let capacity = f64::from(world.limit.settings().capacity());
        for turn in 0..40 {
            let mut loads = [0.0; BALANCERS];
            loads[turn % BALANCERS] = 4.0 * rate;
            let pause = world.chance.random_range(0..3) == 0;
            world.go(SECOND / 4, loads);
            if pause {
                world.go(SECOND / 2, [0.0; BALANCERS]);
            }
            let most = 2.0 * capacity + rate * world.now.as_secs_f64() + BALANCERS as f64;
            let passed = world.passed();
            assert!(passed <= most, "{passed} passed, of {most}: {name}");
        }
    });
}

#[test]
fn all_four_at_once_after_a_quiet_time_share_the_burst() {
    simulated(&SIZES, |world, rate, name| {
        let capacity = f64::from(world.limit.settings().capacity());
        world.go(SECOND / 2, [10.0 * rate; BALANCERS]);
        let most = 1.05 * (capacity + rate / 2.0) + BALANCERS as f64;
        let passed = world.passed();
        assert!(passed <= most, "{passed} passed, of {most}: {name}");
        assert!(passed >= 0.9 * (capacity + rate / 2.0), "{passed}: {name}");
    });
}
