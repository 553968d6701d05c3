//! That looking at differences alone finds what looking at everything finds.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Another address.
    Move,
    Remove,
    SetState(ServerState),
    /// By other hands, or by a write that was lost.
    Record(Health),
    ForgetVerdict,
    Recheck,
    Probe(bool),
    Doubt,
    /// The registry takes what is written, and shows it or has lost it.
    Write(bool),
    Sync,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    prop_oneof![
        Just(Move),
        Just(Remove),
        prop_oneof![Just(ServerState::Active), Just(ServerState::Disabled)].prop_map(SetState),
        prop_oneof![Just(Health::Up), Just(Health::Down)].prop_map(Record),
        Just(ForgetVerdict),
        Just(Recheck),
        any::<bool>().prop_map(Probe),
        Just(Doubt),
        any::<bool>().prop_map(Write),
        Just(Sync),
        Just(Wait),
    ]
}

impl Stage {
    fn take(&mut self, name: &str, step: Step) {
        let known = self.snapshot.servers.contains_key(&key(name));
        match step {
            Step::Move => self.put(name, |_| {}),
            Step::Remove => _ = self.snapshot.servers.remove(&key(name)),
            Step::SetState(state) if known => self.set_state(name, state),
            Step::Record(health) if known => self.record(name, health),
            Step::ForgetVerdict => _ = self.snapshot.health.remove(&key(name)),
            Step::Recheck => self.put_pool(|check| {
                check.kind = match check.kind {
                    CheckKind::None => CheckKind::Tcp,
                    _ => CheckKind::None,
                };
            }),
            Step::Probe(succeeds) => _ = self.run(SECOND, succeeds),
            Step::Doubt if known => self.doubt(name),
            Step::Write(shown) => self.write_and_show(shown),
            Step::Sync => _ = self.sync(),
            Step::Wait => self.now += SETTLING,
            Step::SetState(_) | Step::Record(_) | Step::Doubt => {}
        }
        self.snapshot.position.revision = self.snapshot.position.revision.next();
    }

    fn write_and_show(&mut self, shown: bool) {
        let changes = self.inspector.unwritten();
        self.write();
        for change in changes.iter().filter(|_| shown) {
            if let Change::Verdict(key, Some(verdict)) = change
                && let Some(server) = self.snapshot.servers.get(key)
                && server.incarnation == verdict.incarnation
            {
                let verdict = self.stamped(verdict.clone());
                self.snapshot.health.insert(key.clone(), verdict);
            }
        }
    }

    /// What everything looked at anew would make of it.
    fn check(&self) {
        let (inspector, snapshot) = (&self.inspector, &self.snapshot);
        let mut behind = BTreeSet::new();
        let mut inspected_ones = BTreeSet::new();
        for (key, server) in &snapshot.servers {
            let recorded = recorded(snapshot, key, server.incarnation);
            if inspected(snapshot, server).is_none() {
                if recorded != Health::Unknown {
                    behind.insert(key.clone());
                }
                continue;
            }
            let subject = &inspector.subjects[key];
            assert_eq!(subject.incarnation, server.incarnation);
            assert_eq!(subject.recorded, recorded, "of {key}");
            inspected_ones.insert(key.clone());
            if subject.is_contrary() {
                behind.insert(key.clone());
            }
        }
        assert!(inspector.subjects.keys().eq(&inspected_ones));
        assert_eq!(inspector.behind, behind);
    }
}

#[test]
fn only_what_differs_is_looked_at() {
    let mut stage = Stage::with(&["s1", "s2", "s3"]);
    let same = Arc::new(stage.snapshot.clone());
    stage.sync_with(&same);
    assert!(stage.sync_with(&same).is_empty(), "as at a heartbeat");
    assert!(stage.sync().is_empty(), "another copy of the same");
    stage.record("s2", Health::Up);
    assert_eq!(stage.sync(), ["s2"]);
    stage.set_state("s3", ServerState::Draining);
    stage.put("s4", |_| {});
    stage.snapshot.servers.remove(&key("s1"));
    assert_eq!(stage.sync(), ["s1", "s3", "s4"]);
    stage.put_pool(|check| check.interval = SECOND);
    assert_eq!(stage.sync(), ["s2", "s3", "s4"]);
}

#[test]
fn what_was_written_is_looked_at_once_more_when_the_registry_shows_it() {
    let mut stage = Stage::with_up(&["s1", "s2"]);
    assert!(stage.sync().is_empty(), "a snapshot from before the write");
    stage.record("s1", Health::Up);
    assert_eq!(stage.sync(), ["s1", "s2"]);
    assert_eq!(stage.unwritten(), ["s2 up"], "that one was lost");
    assert!(stage.sync().is_empty());
}

proptest! {
    #[test]
    fn whatever_happens_it_ends_as_if_everything_had_been_looked_at(
        steps in vec((0_usize..4, step()), 1..60),
    ) {
        let names = ["s1", "s2", "s3", "s4"];
        let mut stage = Stage::with(&names[..2]);
        for (server, step) in steps {
            stage.take(names[server], step);
        }
        // Late enough that the snapshot is trusted.
        stage.now += SETTLING;
        stage.sync();
        stage.check();
    }
}
