//! Servers on which a majority of the orchestrators decides.

use model::ProbesFrom;

use super::*;

impl Stage {
    /// Servers that the registry calls up, of a pool that asks for a majority, as one sees them that leads.
    fn by_majority(servers: &[&str]) -> Self {
        let mut stage = Self::with(servers);
        stage.ask_for_majority();
        for name in servers {
            stage.record(name, Health::Up);
        }
        stage.begin(Part::Leading);
        stage
    }

    fn ask_for_majority(&mut self) {
        let pool = self.snapshot.pools.get_mut(&PoolId::standard());
        let pool = pool.expect("a pool");
        Arc::make_mut(pool).value.probes.from = ProbesFrom::Quorum;
    }

    fn begin(&mut self, part: Part) {
        self.inspector.restart(part);
        self.sync();
    }

    /// Every probe fails until there is a verdict of its own.
    fn fails(&mut self) {
        self.run(7 * SECOND, false);
    }

    fn voice(&self, age: Duration, verdicts: &[(&str, Health)]) -> Voice {
        let verdict = |(name, health): &(&str, Health)| {
            let verdict = Verdict {
                incarnation: self.incarnation(name),
                health: *health,
                reason: "said another".into(),
                silent_ms: 7,
                unknown: model::Unknown::default(),
            };
            (key(name), verdict)
        };
        Voice {
            age,
            verdicts: Arc::new(verdicts.iter().map(verdict).collect()),
        }
    }

    /// The others say this, right now.
    fn others_say(&mut self, others: &[&[(&str, Health)]]) {
        let voice = |verdicts: &&[(&str, Health)]| self.voice(Duration::ZERO, verdicts);
        let voices = others.iter().map(voice).collect();
        self.inspector.hear(Some(voices));
    }
}

#[test]
fn one_of_three_alone_takes_no_server_down_and_two_do() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.others_say(&[&[], &[]]);
    stage.fails();
    assert!(stage.unwritten().is_empty());
    stage.others_say(&[&[], &[("s1", Health::Down)]]);
    assert_eq!(stage.unwritten(), ["s1 down"]);
    stage.write();
    stage.others_say(&[&[], &[]]);
    assert!(stage.unwritten().is_empty(), "nobody says otherwise");
}

#[test]
fn the_leader_too_is_overruled_and_the_verdict_gives_the_others_reason() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.run(SECOND, true);
    let down: &[_] = &[("s1", Health::Down)];
    stage.others_say(&[down, down]);
    let changes = stage.inspector.unwritten();
    let [Change::Verdict(_, Some(verdict))] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(verdict.health, Health::Down);
    assert_eq!(
        (verdict.reason.as_str(), verdict.silent_ms),
        ("said another", 7)
    );
}

#[test]
fn one_that_gets_any_answer_says_that_the_server_is_not_silent() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.fails();
    stage.others_say(&[&[("s1", Health::Down)]]);
    let changes = stage.inspector.unwritten();
    let [Change::Verdict(_, Some(verdict))] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert_eq!(
        (verdict.reason.as_str(), verdict.silent_ms),
        ("status 503", 0)
    );
}

#[test]
fn nothing_is_decided_before_the_others_were_heard_and_alone_it_decides_by_itself() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.fails();
    assert!(stage.unwritten().is_empty());
    stage.others_say(&[]);
    assert_eq!(stage.unwritten(), ["s1 down"]);
}

#[test]
fn of_two_both_must_say_so_and_one_that_is_silent_for_long_does_not_count() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.fails();
    stage.others_say(&[&[]]);
    assert!(stage.unwritten().is_empty());
    let stale = stage.voice(registry::LOST_AFTER + SECOND, &[]);
    stage.inspector.hear(Some(vec![stale]));
    assert_eq!(stage.unwritten(), ["s1 down"]);
    stage.others_say(&[&[]]);
    assert!(stage.unwritten().is_empty(), "it is heard again");
}

#[test]
fn what_is_said_of_a_former_incarnation_does_not_count() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.fails();
    let former = stage.voice(Duration::ZERO, &[("s1", Health::Down)]);
    stage.put("s1", |_| {});
    stage.record("s1", Health::Up);
    stage.sync();
    stage.fails();
    stage.inspector.hear(Some(vec![former]));
    assert!(stage.unwritten().is_empty());
}

#[test]
fn one_that_stands_by_inspects_what_a_majority_decides_on_and_says_where_it_differs() {
    let mut stage = Stage::with(&["s1", "s2"]);
    stage.record("s1", Health::Up);
    stage.record("s2", Health::Down);
    stage.begin(Part::StandingBy);
    assert_eq!(stage.run(10 * SECOND, false), 0, "the leader probes");
    assert!(!stage.inspector.is_behind());

    stage.ask_for_majority();
    stage.sync();
    assert!(stage.inspector.differing().is_empty());
    stage.fails();
    assert!(stage.inspector.take_moved());
    let differing = stage.inspector.differing();
    assert_eq!(differing.len(), 1, "s2 is known to be down");
    assert_eq!(differing[&key("s1")].health, Health::Down);
    assert_eq!(differing[&key("s1")].reason, "status 503");

    stage.record("s1", Health::Down);
    stage.sync();
    assert!(stage.inspector.take_moved());
    assert!(stage.inspector.differing().is_empty(), "it is agreed on");
}

#[test]
fn a_suspicion_is_looked_into_by_those_who_stand_by_too() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.begin(Part::StandingBy);
    stage.doubt("s1");
    let assignment = stage.launch().expect("due at once");
    stage.finish(&assignment, false);
    assert_eq!(stage.inspector.differing().len(), 1);
}

#[test]
fn whoever_takes_over_begins_from_the_verdicts_and_needs_as_many_failures_as_ever() {
    let mut stage = Stage::by_majority(&["s1"]);
    stage.begin(Part::StandingBy);
    stage.fails();
    assert_eq!(stage.inspector.differing().len(), 1);
    stage.begin(Part::Leading);
    stage.others_say(&[]);
    assert!(stage.unwritten().is_empty());
    let mut failures = 0;
    while stage.unwritten().is_empty() {
        failures += stage.run(SECOND / 10, false);
    }
    assert_eq!(failures, 3);
}
