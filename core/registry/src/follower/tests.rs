//! The follower, told by hand what arrives.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use model::{
    Author, Collection, Entry, Epoch, Fault, Health, Revision, RevisionId, Server, ServerKey,
};
use rand::SeedableRng;
use serde_json::json;

use super::step::keep_last_good;
use super::*;

/// A registry's history, revision by revision.
#[derive(Clone)]
struct History {
    snapshot: Snapshot,
    log: Vec<Delta>,
}

impl History {
    fn new() -> Self {
        let position = Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        };
        Self {
            snapshot: Snapshot::empty(position),
            log: Vec::new(),
        }
    }

    fn commit(&mut self, key: &str) -> Delta {
        let (pool, id) = key.split_once('/').expect("a key");
        let address = "10.0.0.1:80".parse().expect("an address");
        let server = Server::new(pool.parse().unwrap(), id.parse().unwrap(), address);
        self.write(Collection::Servers, key, &json!(server))
    }

    /// No probe has got an answer from a server for four seconds.
    fn find_silent(&mut self, key: &str) -> Delta {
        let incarnation = self.snapshot.servers[&server_key(key)].incarnation;
        let verdict = json!({"incarnation": incarnation, "health": "down", "silent_ms": 4_000});
        self.write(Collection::Health, key, &verdict)
    }

    fn write(&mut self, collection: Collection, key: &str, value: &serde_json::Value) -> Delta {
        let from = self.snapshot.position;
        let revision = from.revision.next();
        let delta = Delta {
            epoch: from.epoch,
            revision,
            id: RevisionId::random(),
            previous: from.id,
            desired: revision,
            author: Author::Operator {
                name: "test".into(),
            },
            entries: vec![Entry {
                collection,
                key: key.into(),
                value: Some(json!({"revision": revision, "created": revision,
                    "incarnation": revision, "value": value})),
            }],
            time: None,
        };
        self.snapshot.advance(&delta);
        self.log.push(delta.clone());
        delta
    }

    fn head(&self) -> Head {
        Head {
            position: self.snapshot.position,
            desired: self.snapshot.desired,
            term: Term(1),
            leader: Some(InstanceId(uuid::Uuid::nil())),
            digests: BTreeMap::new(),
        }
    }

    fn read(&self) -> Input {
        Input::Snapshot(Some(Box::new(self.read_damaged(Vec::new()))))
    }

    fn read_damaged(&self, damage: Vec<Fault>) -> Snapshotted {
        Snapshotted {
            head: self.head(),
            snapshot: self.snapshot.clone(),
            damage,
        }
    }
}

fn server_key(text: &str) -> ServerKey {
    text.parse().expect("a key")
}

const NOW: Duration = Duration::from_secs(100);

fn follower() -> Follower {
    Follower::new(SmallRng::seed_from_u64(1))
}

fn delta(delta: &Delta) -> Input {
    Input::Announced(Announcement::Delta(delta.clone()))
}

fn heartbeat(history: &History) -> Input {
    Input::Announced(Announcement::Heartbeat(history.head()))
}

/// A follower at the history's end, with nothing to ask.
fn following(history: &History) -> Follower {
    let mut follower = follower();
    assert_eq!(follower.request(NOW), Some(Request::Subscribe));
    follower.handle(Input::Subscribed, NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadSnapshot));
    follower.handle(history.read(), NOW);
    assert_eq!(follower.request(NOW), None);
    follower
}

fn assert_at(follower: &Follower, history: &History) {
    assert_eq!(follower.truth().map(|it| &**it), Some(&history.snapshot));
}

#[test]
fn nothing_is_read_before_the_subscription_is_confirmed() {
    let mut follower = follower();
    assert_eq!(follower.request(NOW), Some(Request::Subscribe));
    assert_eq!(follower.request(NOW), None);
    follower.handle(Input::Failed, NOW);
    let again = follower.wake();
    assert!(again > NOW && again < NOW + Duration::from_secs(1));
    assert_eq!(follower.request(again), Some(Request::Subscribe));
    follower.handle(Input::Subscribed, again);
    assert_eq!(follower.request(again), Some(Request::ReadSnapshot));
}

#[test]
fn deltas_that_come_during_the_snapshot_are_applied_after_it() {
    let mut history = History::new();
    let mut follower = follower();
    follower.request(NOW);
    follower.handle(Input::Subscribed, NOW);
    follower.request(NOW);
    let before = history.commit("default/s1");
    let read = history.read();
    let after = history.commit("default/s2");
    follower.handle(delta(&before), NOW);
    follower.handle(delta(&after), NOW);
    assert_eq!(follower.position(), None, "nothing is in force yet");
    follower.handle(read, NOW);
    assert_at(&follower, &history);
    assert_eq!(follower.request(NOW), None);
}

#[test]
fn the_own_copy_is_current_while_nothing_is_in_doubt_and_the_connection_stands() {
    let mut history = History::new();
    let mut follower = follower();
    assert!(!follower.is_current());
    follower.request(NOW);
    follower.handle(Input::Subscribed, NOW);
    assert!(!follower.is_current(), "nothing was read yet");
    follower.request(NOW);
    assert!(!follower.is_current(), "nor now");
    follower.handle(history.read(), NOW);
    assert!(follower.is_current());
    follower.handle(delta(&history.commit("default/s1")), NOW);
    assert!(follower.is_current());

    history.commit("default/s2");
    follower.handle(delta(&history.commit("default/s3")), NOW);
    assert!(!follower.is_current(), "one was missed");
    assert!(matches!(follower.request(NOW), Some(Request::ReadLog(_))));
    assert!(!follower.is_current(), "it is being read");
    follower.handle(Input::Failed, NOW);
    assert!(!follower.is_current(), "it could not be read");
    let again = follower.wake();
    assert_eq!(follower.request(again), Some(Request::ReadSnapshot));
    follower.handle(history.read(), again);
    assert!(follower.is_current());

    follower.handle(Input::Lost, again);
    assert!(!follower.is_current());
}

#[test]
fn revisions_that_say_when_they_were_committed_are_shown_until_the_history_is_another_one() {
    let mut history = History::new();
    let mut follower = following(&history);
    let mut fork = history.clone();
    let old = history.commit("default/s1");
    let mut new = history.commit("default/s2");
    new.time = Some(Moment(7));
    follower.handle(delta(&old), NOW);
    follower.handle(delta(&new), NOW);
    let dated: Vec<_> = follower.dated().collect();
    assert_eq!(dated, [(new.revision, Moment(7))]);
    fork.commit("default/s3");
    follower.handle(heartbeat(&fork), NOW);
    follower.request(NOW);
    follower.handle(Input::Log(None), NOW);
    follower.request(NOW);
    follower.handle(fork.read(), NOW);
    assert_eq!(follower.dated().len(), 0);
}

#[test]
fn the_next_delta_is_applied_and_an_older_one_ignored() {
    let mut history = History::new();
    let mut follower = following(&history);
    let first = history.commit("default/s1");
    let second = history.commit("default/s2");
    for each in [&first, &second, &first, &second] {
        follower.handle(delta(each), NOW);
    }
    assert_at(&follower, &history);
    assert_eq!(follower.request(NOW), None);
}

#[test]
fn a_gap_is_never_passed_but_filled_from_the_log() {
    let mut history = History::new();
    let mut follower = following(&history);
    let own = follower.position().unwrap();
    history.commit("default/s1");
    let second = history.commit("default/s2");
    follower.handle(delta(&second), NOW);
    assert_eq!(follower.position(), Some(own));
    assert_eq!(follower.request(NOW), Some(Request::ReadLog(own)));
    follower.handle(Input::Log(Some(history.log.clone())), NOW);
    assert_at(&follower, &history);
    assert_eq!(follower.request(NOW), None);
}

#[test]
fn a_log_with_a_gap_in_it_is_not_trusted() {
    let mut history = History::new();
    let mut follower = following(&history);
    history.commit("default/s1");
    history.commit("default/s2");
    follower.handle(heartbeat(&history), NOW);
    assert!(matches!(follower.request(NOW), Some(Request::ReadLog(_))));
    follower.handle(Input::Log(Some(history.log[1..].to_vec())), NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadSnapshot));
}

#[test]
fn a_heartbeat_ahead_means_a_lost_hint_and_moves_nothing_by_itself() {
    let mut history = History::new();
    let mut follower = following(&history);
    let own = follower.position().unwrap();
    history.commit("default/s1");
    follower.handle(heartbeat(&history), NOW);
    assert_eq!(follower.position(), Some(own));
    assert_eq!(follower.leader().map(|heard| heard.at), Some(NOW));
    assert_eq!(follower.request(NOW), Some(Request::ReadLog(own)));
}

#[test]
fn a_fork_is_noticed_at_its_first_message_and_the_shorter_history_adopted() {
    let mut history = History::new();
    history.commit("default/s1");
    let mut fork = history.clone();
    history.commit("default/s2");
    let lost = history.commit("default/s3");
    let mut follower = following(&history);
    let forked = fork.commit("default/s4");
    follower.handle(delta(&forked), NOW);
    // An older number alone says nothing; the heartbeat that follows each second does.
    follower.handle(heartbeat(&fork), NOW);
    let own = lost.position();
    assert_eq!(follower.request(NOW), Some(Request::ReadLog(own)));
    follower.handle(Input::Log(None), NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadSnapshot));
    follower.handle(fork.read(), NOW);
    assert_at(&follower, &fork);
}

#[test]
fn a_fork_of_the_same_length_is_told_by_its_id() {
    let mut history = History::new();
    let mut fork = history.clone();
    history.commit("default/s1");
    let mut follower = following(&history);
    let forked = fork.commit("default/s2");
    follower.handle(delta(&forked), NOW);
    assert!(matches!(follower.request(NOW), Some(Request::ReadLog(_))));
}

#[test]
fn what_was_followed_before_a_fork_is_kept_for_replay() {
    let mut history = History::new();
    let mut follower = following(&history);
    let mut fork = history.clone();
    let lost = history.commit("default/s1");
    follower.handle(delta(&lost), NOW);
    fork.commit("default/s2");
    follower.handle(heartbeat(&fork), NOW);
    follower.request(NOW);
    follower.handle(Input::Log(None), NOW);
    follower.request(NOW);
    follower.handle(fork.read(), NOW);
    assert_eq!(follower.abandoned().map(|it| it.to_vec()), Some(vec![lost]));
}

#[test]
fn a_new_epoch_is_adopted_whatever_its_number() {
    let mut history = History::new();
    history.commit("default/s1");
    let mut follower = following(&history);
    let other = History::new();
    follower.handle(heartbeat(&other), NOW);
    follower.request(NOW);
    follower.handle(Input::Log(None), NOW);
    follower.request(NOW);
    follower.handle(other.read(), NOW);
    assert_at(&follower, &other);
    assert!(
        follower.abandoned().is_none(),
        "there is nothing to replay in it"
    );
}

#[test]
fn a_registry_without_memory_leaves_what_is_known_in_force() {
    let mut history = History::new();
    history.commit("default/s1");
    let mut follower = following(&history);
    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadHead));
    follower.handle(Input::Head(None), check);
    assert!(follower.is_head_missing());
    assert_at(&follower, &history);
    let search = follower.wake();
    assert!(search < check + HEAD_CHECK_PERIOD / 2);
    assert_eq!(follower.request(search), Some(Request::ReadHead));
    follower.handle(Input::Head(Some(history.head())), search);
    assert!(matches!(
        follower.request(search),
        Some(Request::ReadLog(_))
    ));
    follower.handle(Input::Log(Some(Vec::new())), search);
    assert!(!follower.is_head_missing(), "it was restored");
}

#[test]
fn a_head_that_is_made_while_none_is_read_is_looked_for_at_once() {
    let mut history = History::new();
    let mut follower = follower();
    assert_eq!(follower.request(NOW), Some(Request::Subscribe));
    follower.handle(Input::Subscribed, NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadSnapshot));
    follower.handle(delta(&history.commit("default/s1")), NOW);
    follower.handle(Input::Snapshot(None), NOW);
    assert!(!follower.is_current());
    assert_eq!(follower.request(NOW), Some(Request::ReadSnapshot));
    follower.handle(Input::Snapshot(None), NOW);
    assert_eq!(follower.request(NOW), None, "it was of one that is gone");
    assert!(follower.is_head_missing());
}

#[test]
fn the_head_is_compared_on_a_timer_too() {
    let mut history = History::new();
    let mut follower = following(&history);
    let own = follower.position().unwrap();
    history.commit("default/s1");
    let check = follower.wake();
    assert!(check > NOW && check <= NOW + HEAD_CHECK_PERIOD * 2);
    assert_eq!(follower.request(check), Some(Request::ReadHead));
    follower.handle(Input::Head(Some(history.head())), check);
    assert_eq!(follower.position(), Some(own), "a head moves nothing");
    assert_eq!(follower.request(check), Some(Request::ReadLog(own)));
}

#[test]
fn a_lost_subscription_is_made_again_and_the_log_read_from_where_it_broke() {
    let mut history = History::new();
    let mut follower = following(&history);
    let own = follower.position().unwrap();
    follower.handle(Input::Lost, NOW);
    assert!(!follower.is_connected());
    history.commit("default/s1");
    let again = follower.wake();
    assert_eq!(follower.request(again), Some(Request::Subscribe));
    follower.handle(Input::Subscribed, again);
    assert_eq!(follower.request(again), Some(Request::ReadLog(own)));
    follower.handle(Input::Log(Some(history.log.clone())), again);
    assert_at(&follower, &history);
}

#[test]
fn a_log_that_cannot_be_read_leads_to_the_snapshot() {
    let mut history = History::new();
    let mut follower = following(&history);
    history.commit("default/s1");
    follower.handle(heartbeat(&history), NOW);
    assert!(matches!(follower.request(NOW), Some(Request::ReadLog(_))));
    follower.handle(Input::Failed, NOW);
    for _ in 0..3 {
        let again = follower.wake();
        assert_eq!(follower.request(again), Some(Request::ReadSnapshot));
        follower.handle(Input::Failed, again);
    }
    let again = follower.wake();
    assert_eq!(follower.request(again), Some(Request::ReadSnapshot));
    follower.handle(history.read(), again);
    assert_at(&follower, &history);
    assert_eq!(follower.request(again), None);
}

#[test]
fn a_log_that_ends_before_the_head_leads_to_the_snapshot() {
    let mut history = History::new();
    let mut follower = following(&history);
    history.commit("default/s1");
    let short = history.log.clone();
    history.commit("default/s2");
    follower.handle(heartbeat(&history), NOW);
    assert!(matches!(follower.request(NOW), Some(Request::ReadLog(_))));
    follower.handle(Input::Log(Some(short)), NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadSnapshot));
    follower.handle(history.read(), NOW);
    assert_at(&follower, &history);
    assert_eq!(follower.request(NOW), None);
}

#[test]
fn a_log_that_ends_after_the_head_that_raised_the_doubt_is_enough() {
    let mut history = History::new();
    let mut follower = following(&history);
    history.commit("default/s1");
    follower.handle(heartbeat(&history), NOW);
    assert!(matches!(follower.request(NOW), Some(Request::ReadLog(_))));
    history.commit("default/s2");
    follower.handle(Input::Log(Some(history.log.clone())), NOW);
    assert_at(&follower, &history);
    assert_eq!(follower.request(NOW), None);
}

#[test]
fn an_overflowing_buffer_costs_another_read_and_no_revision() {
    let mut history = History::new();
    let mut follower = follower();
    follower.request(NOW);
    follower.handle(Input::Subscribed, NOW);
    follower.request(NOW);
    let read = history.read();
    for _ in 0..=BUFFER_LENGTH {
        let next = history.commit("default/s1");
        follower.handle(delta(&next), NOW);
    }
    follower.handle(read, NOW);
    let own = follower.position().unwrap();
    assert_eq!(follower.request(NOW), Some(Request::ReadLog(own)));
    follower.handle(Input::Log(Some(history.log.clone())), NOW);
    assert_at(&follower, &history);
}

#[test]
fn damage_is_reported_until_a_snapshot_is_whole_again() {
    let history = History::new();
    let mut follower = follower();
    follower.request(NOW);
    follower.handle(Input::Subscribed, NOW);
    follower.request(NOW);
    let fault = Fault {
        collection: Collection::Servers,
        key: "*".into(),
        reason: "evicted".into(),
    };
    let read = history.read_damaged(vec![fault.clone()]);
    follower.handle(Input::Snapshot(Some(Box::new(read))), NOW);
    assert_eq!(follower.damage(), [fault]);
    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadSnapshot));
    follower.handle(history.read(), check);
    assert!(follower.damage().is_empty());
}

fn damage(collection: Collection) -> Fault {
    Fault {
        collection,
        key: "*".into(),
        reason: "by other hands".into(),
    }
}

/// A history of two servers, and what is read of it after other hands took the second one away.
fn robbed() -> (History, History) {
    let mut history = History::new();
    history.commit("default/s1");
    history.commit("default/s2");
    let mut robbed = history.clone();
    let taken: ServerKey = "default/s2".parse().expect("a key");
    robbed.snapshot.servers.remove(&taken);
    (history, robbed)
}

#[test]
fn who_audits_reports_damage_that_no_delta_tells_of_and_keeps_what_was_whole() {
    let (history, robbed) = robbed();
    let mut follower = following(&history).auditing();
    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadSnapshot));
    let damage = damage(Collection::Servers);
    let read = robbed.read_damaged(vec![damage.clone()]);
    follower.handle(Input::Snapshot(Some(Box::new(read))), check);
    assert_eq!(follower.damage(), [damage]);
    assert!(!follower.is_tainted());
    assert_at(&follower, &history);

    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadSnapshot));
    follower.handle(history.read(), check);
    assert_eq!(follower.damage(), []);
}

#[test]
fn what_was_damaged_from_the_start_is_repaired_bit_by_bit() {
    let (history, mut robbed) = robbed();
    let mut follower = follower();
    follower.request(NOW);
    follower.handle(Input::Subscribed, NOW);
    follower.request(NOW);
    let read = |history: &History| {
        let damage = damage(Collection::Servers);
        Input::Snapshot(Some(Box::new(history.read_damaged(vec![damage]))))
    };
    follower.handle(read(&robbed), NOW);
    assert!(follower.is_tainted());
    assert_at(&follower, &robbed);
    robbed.snapshot.servers.clear();
    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadSnapshot));
    follower.handle(read(&robbed), check);
    assert_at(&follower, &robbed);
    let check = follower.wake();
    follower.request(check);
    follower.handle(history.read(), check);
    assert!(!follower.is_tainted());
    assert_at(&follower, &history);
}

#[test]
fn a_saved_copy_of_a_damaged_registry_is_read_anew_although_the_log_goes_on_from_it() {
    let (history, robbed) = robbed();
    let tainted = [Collection::Servers].into();
    let mut follower = follower().booted(robbed.snapshot, None, tainted);
    assert!(follower.is_tainted());
    follower.request(NOW);
    follower.handle(Input::Subscribed, NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadSnapshot));
    follower.handle(history.read(), NOW);
    assert_at(&follower, &history);
    assert!(!follower.is_tainted());
}

#[test]
fn an_audit_neither_passes_a_delta_by_nor_takes_one_back() {
    let mut history = History::new();
    history.commit("default/s1");
    let mut follower = following(&history).auditing();
    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadSnapshot));
    let before = history.clone();
    let delta_of = history.commit("default/s2");
    follower.handle(delta(&delta_of), check);
    assert_at(&follower, &history);
    follower.handle(before.read(), check);
    assert_at(&follower, &history);

    let position = history.snapshot.position;
    assert_eq!(follower.request(check), Some(Request::ReadLog(position)));
    // A log that was asked for because of that read says what there is.
    follower.handle(Input::Log(Some(Vec::new())), check);
    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadSnapshot));
    let later = history.commit("default/s3");
    follower.handle(history.read(), check);
    follower.handle(delta(&later), check);
    assert_at(&follower, &history);
    assert!(follower.abandoned().is_none());
}

#[test]
fn a_large_fleet_is_read_for_damage_seldom() {
    let mut history = History::new();
    for number in 0..60 {
        history.commit(&format!("default/s{number}"));
    }
    let mut follower = following(&history).auditing();
    follower.audit_at = NOW + AUDIT_PAUSE * 60_000;
    let mut now = NOW;
    let mut heads = 0;
    loop {
        now = follower.wake().max(now);
        match follower.request(now) {
            Some(Request::ReadHead) => {
                heads += 1;
                follower.handle(Input::Head(Some(history.head())), now);
            }
            Some(Request::ReadSnapshot) => break,
            other => panic!("nothing else is due: {other:?}"),
        }
    }
    assert!(heads >= 60 / 8, "{heads}");
    assert!(now >= NOW + Duration::from_secs(60));
    follower.handle(history.read(), now);
    assert_eq!(follower.audit_at, now + AUDIT_PAUSE * 60);
}

#[test]
fn a_look_for_damage_that_fails_keeps_the_head_from_nothing() {
    let history = History::new();
    let mut follower = following(&history).auditing();
    let mut ahead = history.clone();
    ahead.commit("default/s1");
    let check = follower.wake();
    assert_eq!(follower.request(check), Some(Request::ReadSnapshot));
    follower.handle(Input::Failed, check);
    let retry = follower.wake();
    assert_eq!(follower.request(retry), Some(Request::ReadHead));
    follower.handle(Input::Head(Some(ahead.head())), retry);
    assert!(matches!(follower.request(retry), Some(Request::ReadLog(_))));
}

#[test]
fn a_collection_that_cannot_be_read_at_all_stays_as_it_was() {
    let mut history = History::new();
    history.commit("default/s1");
    let mut follower = following(&history);
    let mut broken = history.clone();
    broken.snapshot.servers.clear();
    broken.snapshot.position = History::new().snapshot.position;
    broken.snapshot.faults = vec![damage(Collection::Servers)];
    follower.handle(heartbeat(&broken), NOW);
    follower.request(NOW);
    follower.handle(Input::Log(None), NOW);
    follower.request(NOW);
    let read = broken.read_damaged(vec![damage(Collection::Servers)]);
    follower.handle(Input::Snapshot(Some(Box::new(read))), NOW);
    let truth = follower.truth().expect("a state");
    assert_eq!(truth.servers, history.snapshot.servers);
    assert_eq!(truth.position, broken.snapshot.position);
    assert!(follower.is_tainted());
}

#[test]
fn the_last_good_element_stays_where_a_snapshot_holds_nonsense() {
    let mut history = History::new();
    history.commit("default/s1");
    let mut follower = following(&history);
    let mut broken = history.clone();
    broken.commit("default/s2");
    broken
        .snapshot
        .servers
        .remove(&"default/s1".parse::<ServerKey>().unwrap());
    broken.snapshot.faults.push(Fault {
        collection: Collection::Servers,
        key: "default/s1".into(),
        reason: "is not JSON".into(),
    });
    follower.handle(heartbeat(&broken), NOW);
    follower.request(NOW);
    follower.handle(Input::Log(None), NOW);
    follower.request(NOW);
    follower.handle(broken.read(), NOW);
    let truth = follower.truth().unwrap();
    assert_eq!(truth.servers.len(), 2);
    assert_eq!(truth.faults.len(), 1);
}

#[test]
fn an_unchanged_snapshot_is_not_a_new_one() {
    let mut history = History::new();
    history.commit("default/s1");
    let mut follower = following(&history);
    let before = Arc::clone(follower.truth().unwrap());
    follower.handle(heartbeat(&History::new()), NOW);
    follower.request(NOW);
    follower.handle(Input::Log(None), NOW);
    follower.request(NOW);
    follower.handle(history.read(), NOW);
    assert!(Arc::ptr_eq(&before, follower.truth().unwrap()));
}

#[test]
fn a_collection_of_a_newer_version_costs_no_read_and_no_revision() {
    let mut history = History::new();
    let mut follower = following(&history);
    history.commit("default/s1");
    let mut newer = history.log[0].clone();
    newer.entries.push(Entry {
        collection: "weather".parse().unwrap(),
        key: "r1".into(),
        value: Some(json!({"revision": 2, "created": 2, "incarnation": 2, "value": {}})),
    });
    follower.handle(delta(&newer), Duration::ZERO);
    assert_eq!(follower.position(), Some(newer.position()));
    assert_eq!(follower.request(Duration::ZERO), None);
    let truth = follower.truth().unwrap();
    assert_eq!((truth.servers.len(), truth.unread.len()), (1, 1));
    let [fault] = truth.faults.as_slice() else {
        panic!("it is named once: {:?}", truth.faults);
    };
    assert_eq!(fault.key, Fault::WHOLE_COLLECTION);
    // A snapshot of the same is no reason to keep what was there before.
    let mut later = Snapshot::clone(truth);
    later.apply(&Entry {
        value: None,
        ..newer.entries[1].clone()
    });
    later.apply(&Entry {
        key: "r2".into(),
        ..newer.entries[1].clone()
    });
    keep_last_good(&mut later, truth);
    let keys: Vec<_> = later.unread.iter().map(|(_, key, _)| key).collect();
    assert_eq!(keys, ["r2"]);
}

/// Whether every server has answered just now.
#[derive(Debug, Default)]
struct Answers(AtomicBool);

impl Witness for Answers {
    fn good_answers(
        &self,
        servers: &BTreeMap<ServerKey, Revision>,
    ) -> BTreeMap<ServerKey, Duration> {
        let answered = self.0.load(Ordering::Relaxed);
        let servers = servers.keys().filter(|_| answered);
        servers.map(|key| (key.clone(), Duration::ZERO)).collect()
    }
}

#[test]
fn a_verdict_that_is_news_is_judged_again_soon_and_what_is_held_back_each_second() {
    let mut history = History::new();
    history.commit("default/s1");
    let answers = Arc::new(Answers::default());
    let mut follower = follower().guarded(Some(Arc::clone(&answers) as Arc<dyn Witness>));
    follower.request(NOW);
    follower.handle(Input::Subscribed, NOW);
    follower.request(NOW);
    follower.handle(history.read(), NOW);
    let quiet = follower.wake();

    let later = NOW + Duration::from_millis(500);
    follower.handle(delta(&history.find_silent("default/s1")), later);
    // One look at once, if it is due, and the next soon after it.
    let mut at = later;
    for _ in 0..2 {
        at = at.max(follower.wake());
        assert_eq!(health(&follower), Health::Down);
        answers.0.store(at > later, Ordering::Relaxed);
        follower.handle(Input::Tick, at);
    }
    assert!(at <= later + Duration::from_millis(100), "{:?}", at - later);
    assert_eq!(health(&follower), Health::Unknown, "as it was");

    while follower.wake() < quiet {
        at = follower.wake();
        follower.handle(Input::Tick, at);
    }
    assert!(quiet - at <= Duration::from_secs(1), "{:?}", quiet - at);
    assert_eq!(follower.holds().len(), 1);
}

fn health(follower: &Follower) -> Health {
    let in_force = follower.in_force().expect("a state");
    in_force.health_of(&server_key("default/s1"))
}

#[test]
fn a_doubt_is_looked_into_at_once_and_again_where_the_answer_may_be_of_before() {
    let history = History::new();
    let mut follower = following(&history);
    follower.handle(Input::Doubted, NOW);
    assert_eq!(follower.wake(), NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadHead));
    follower.handle(Input::Doubted, NOW);
    follower.handle(Input::Head(Some(history.head())), NOW);
    assert_eq!(follower.request(NOW), Some(Request::ReadHead));
    follower.handle(Input::Head(None), NOW);
    assert!(follower.is_head_missing());
    assert_eq!(follower.request(NOW), None, "it is known");
}
