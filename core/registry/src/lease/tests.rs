//! The lease over a hand-moved clock.

use std::collections::BTreeMap;

use model::{Position, Revision, RevisionId};
use rand::SeedableRng;

use super::*;
use crate::LEASE;

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn lease() -> Lease {
    Lease::new(InstanceId::random(), SmallRng::seed_from_u64(7))
}

fn head(instance: InstanceId, term: u64) -> Head {
    Head {
        position: Position {
            epoch: Epoch::random(),
            revision: Revision(1),
            id: RevisionId::random(),
        },
        desired: Revision(1),
        term: Term(term),
        leader: Some(instance),
        digests: BTreeMap::new(),
    }
}

fn leading(sent: Duration, answered: Duration) -> (Lease, Head) {
    let mut lease = lease();
    let head = head(lease.instance, 3);
    assert_eq!(lease.request(sent), Some(LeaseRequest::Acquire));
    lease.answered(Ok(Some(&head)), answered);
    (lease, head)
}

#[test]
fn the_lease_counts_from_the_requests_sending_and_not_from_its_answer() {
    let (lease, head) = leading(at(1_000), at(2_900));
    let end = at(1_000) + LEASE - MARGIN;
    let before = lease.leadership(end - at(1)).expect("still sure");
    assert_eq!((before.epoch, before.term), (head.position.epoch, Term(3)));
    assert_eq!(lease.leadership(end), None);
}

#[test]
fn a_leader_renews_at_once_and_each_period_and_never_sends_two_requests_at_once() {
    let (mut lease, head) = leading(at(0), at(0));
    assert_eq!(lease.request(at(0)), Some(LeaseRequest::Renew(Term(3))));
    lease.answered(Ok(Some(&head)), at(10));
    assert_eq!(lease.request(at(999)), None);
    assert_eq!(lease.request(at(1_000)), Some(LeaseRequest::Renew(Term(3))));
    assert_eq!(lease.request(at(1_500)), None, "one is under way");
    lease.answered(Ok(Some(&head)), at(1_600));
    assert!(lease.leadership(at(3_200)).is_some());
    assert_eq!(lease.request(at(2_000)), Some(LeaseRequest::Renew(Term(3))));
}

#[test]
fn a_leader_that_hears_nothing_is_unsure_in_time_and_asks_again() {
    let (mut lease, head) = leading(at(0), at(10));
    assert!(lease.request(at(1_000)).is_some());
    lease.answered(Err(()), at(2_600));
    assert_eq!(lease.leadership(at(2_600)), None);
    assert_eq!(lease.request(at(2_850)), Some(LeaseRequest::Renew(Term(3))));
    lease.answered(Ok(Some(&head)), at(2_860));
    assert!(
        lease.leadership(at(2_860)).is_some(),
        "nobody took it meanwhile"
    );
}

#[test]
fn a_leader_whose_renewal_is_refused_steps_down_at_once() {
    let (mut lease, _) = leading(at(0), at(10));
    assert!(lease.request(at(1_000)).is_some());
    lease.answered(Ok(None), at(1_010));
    assert_eq!(lease.leadership(at(1_010)), None);
    let due = lease.due();
    assert!(due > at(1_010) && due <= at(2_010), "{due:?}");
    assert_eq!(lease.request(due), Some(LeaseRequest::Acquire));
}

#[test]
fn a_leader_whose_write_is_refused_steps_down_at_once() {
    let (mut lease, _) = leading(at(0), at(10));
    let leadership = lease.leadership(at(10)).expect("it leads");
    lease.refused(leadership, at(20));
    assert_eq!(lease.leadership(at(20)), None);
}

#[test]
fn a_refusal_of_a_former_terms_write_deposes_nobody() {
    let (mut lease, _) = leading(at(0), at(10));
    let leadership = lease.leadership(at(10)).expect("it leads");
    let former = Leadership {
        term: Term(leadership.term.0 - 1),
        ..leadership
    };
    lease.refused(former, at(20));
    assert_eq!(lease.leadership(at(20)), Some(leadership));
}

#[test]
fn an_answer_that_comes_after_the_lease_makes_no_leader() {
    let (lease, _) = leading(at(0), at(5_000));
    assert_eq!(lease.leadership(at(5_000)), None);
}

#[test]
fn who_resigns_gives_the_lease_back_and_never_asks_again() {
    let (mut lease, head) = leading(at(0), at(10));
    assert!(lease.request(at(1_000)).is_some());
    assert_eq!(lease.resign(), Some(LeaseRequest::Release(Term(3))));
    lease.answered(Ok(Some(&head)), at(1_010));
    assert_eq!(
        lease.leadership(at(1_010)),
        None,
        "a late renewal changes nothing"
    );
    assert_eq!(lease.request(at(100_000)), None);
    assert_eq!(lease.resign(), None);
}

#[test]
fn whatever_a_lease_lasts_its_owner_renews_in_time_and_stops_before_another_may_lead() {
    for (takeover, renewal) in [(1_000, 333), (3_000, 1_000), (60_000, 1_000)] {
        let takeover = at(takeover);
        let mut lease = lease().within(takeover);
        let head = head(lease.instance, 3);
        assert_eq!(lease.request(at(0)), Some(LeaseRequest::Acquire));
        lease.answered(Ok(Some(&head)), at(0));
        assert_eq!(lease.request(at(0)), Some(LeaseRequest::Renew(Term(3))));
        lease.answered(Ok(Some(&head)), at(0));
        assert_eq!(lease.due().as_millis(), renewal);
        let until = lease.sure_until().expect("it leads");
        assert!(until < lease.lifetime() && lease.lifetime() < takeover);
        assert!(until > 2 * lease.due(), "a renewal may fail");
        // Whoever asks as late after that as a candidate may still leads in time.
        lease.step_down(at(0));
        assert!(lease.lifetime() + lease.due() <= takeover);
    }
}

#[test]
fn a_lease_that_is_given_back_is_asked_for_at_once_by_who_stands_by() {
    let mut lease = lease();
    assert_eq!(lease.request(at(0)), Some(LeaseRequest::Acquire));
    lease.answered(Ok(None), at(1));
    assert!(lease.due() > at(100), "{:?}", lease.due());
    lease.freed(at(20));
    assert!(lease.due() <= at(30), "{:?}", lease.due());
    assert_eq!(lease.request(at(30)), Some(LeaseRequest::Acquire));
}

#[test]
fn a_refusal_from_before_the_lease_was_given_back_keeps_nobody_waiting() {
    for late in [Ok(None), Err(())] {
        let mut lease = lease();
        assert_eq!(lease.request(at(0)), Some(LeaseRequest::Acquire));
        lease.freed(at(5));
        assert_eq!(lease.request(at(15)), None, "one is under way");
        lease.answered(late, at(20));
        assert_eq!(lease.request(at(30)), Some(LeaseRequest::Acquire));
        lease.answered(Ok(None), at(31));
        assert!(lease.due() > at(130), "somebody else was faster");
    }
}

#[test]
fn who_leads_or_has_resigned_does_not_mind_a_lease_that_is_given_back() {
    let (mut lease, head) = leading(at(0), at(0));
    assert!(lease.request(at(0)).is_some());
    lease.answered(Ok(Some(&head)), at(1));
    lease.freed(at(2));
    assert_eq!(lease.due(), at(1_000));
    assert!(lease.leadership(at(3)).is_some());
    lease.resign();
    lease.freed(at(4));
    assert_eq!(lease.request(at(5_000)), None);
}
