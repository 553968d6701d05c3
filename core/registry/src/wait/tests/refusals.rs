//! Balancers that have followed a change and could not apply what it wrote.

use model::Fault;

use super::*;

/// A balancer that has applied a revision but for one element.
fn nacking(number: u128, applied: Position, collection: Collection, element: &str) -> Instance {
    let mut instance = balancer(number, Some(applied));
    instance.report.nacks.push(Nack {
        collection,
        key: element.into(),
        reason: "weight: must be from 0 to 1000".into(),
    });
    instance
}

/// The goal of a change to one server.
fn changed() -> Goal {
    let server = Change::Server(key(), None);
    Goal::changed(position(5), [&server])
}

#[test]
fn a_balancer_that_cannot_apply_the_element_of_a_change_has_not_made_it() {
    let reason = r#"cannot apply servers "default/s1": weight: must be from 0 to 1000"#;
    for goal in [changed(), drain(2)] {
        let fleet = [
            nacking(1, position(5), Collection::Servers, "default/s1"),
            loaded(balancer(2, Some(position(5))), 2, 0),
        ];
        let outcome = judged(&mut Waiter::new(goal), &fleet);
        let Outcome::Refused(laggards) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (laggards[0].instance, laggards[0].reason.as_str()),
            (id(1), reason)
        );
        assert_eq!(laggards.len(), 1);
    }
}

#[test]
fn a_collection_that_cannot_be_read_at_all_holds_the_element_too() {
    let whole = nacking(1, position(5), Collection::Servers, Fault::WHOLE_COLLECTION);
    let outcome = judged(&mut Waiter::new(changed()), &[whole]);
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[test]
fn a_balancer_of_a_version_that_does_not_know_the_collection_has_not_made_the_change() {
    let weather: Collection = "weather".parse().expect("a name");
    let goal = Goal::Changed(position(5), [(weather, "r1".to_owned())].into());
    let older = nacking(1, position(5), weather, Fault::WHOLE_COLLECTION);
    let outcome = judged(&mut Waiter::new(goal), &[older]);
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
}

#[test]
fn what_else_a_balancer_cannot_apply_delays_no_change() {
    for (collection, element) in [
        (Collection::Servers, "default/s2"),
        (Collection::Pools, "default/s1"),
    ] {
        let fleet = [nacking(1, position(5), collection, element)];
        assert_eq!(judged(&mut Waiter::new(changed()), &fleet), Outcome::Done);
    }
}

#[test]
fn a_balancer_that_cannot_apply_more_than_it_names_cannot_be_said_to_have_made_the_change() {
    for (collection, is_in_doubt) in [(Collection::Servers, true), (Collection::Routes, false)] {
        let mut instance = loaded(balancer(1, Some(position(5))), 2, 0);
        instance.report.more_nacks.insert(collection, 12);
        for goal in [changed(), drain(2)] {
            let outcome = judged(&mut Waiter::new(goal), std::slice::from_ref(&instance));
            assert_eq!(matches!(outcome, Outcome::Refused(_)), is_in_doubt);
            assert_eq!(outcome == Outcome::Done, !is_in_doubt);
            for (_, reason) in laggards(outcome) {
                let expected =
                    "cannot apply 12 more of servers than it names, this one perhaps among them";
                assert_eq!(reason, expected);
            }
        }
        assert_eq!(applied(&[instance]), Outcome::Done);
    }
}

#[test]
fn a_wait_goes_on_while_somebody_may_still_follow_beside_those_who_cannot() {
    let refusing = nacking(1, position(5), Collection::Servers, "default/s1");
    let behind = balancer(2, Some(position(4)));
    let outcome = judged(&mut Waiter::new(changed()), &[refusing.clone(), behind]);
    assert_eq!(laggards(outcome).len(), 2);
    // What it could not apply of an earlier revision says nothing of this one.
    let earlier = nacking(1, position(4), Collection::Servers, "default/s1");
    let named = laggards(judged(&mut Waiter::new(changed()), &[earlier]));
    assert_eq!(named, [(id(1), "is at revision 4 of 5".into())]);
    let mut waiter = Waiter::new(changed());
    waiter.list(listing(1, &[balancer(3, Some(position(4)))]));
    let forgetful = judged_in(2, &mut waiter, &[refusing]);
    assert_eq!(laggards(forgetful).len(), 2, "a failover forgot one");
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_which_only_those_are_left_who_cannot_ends_at_once_and_names_them() {
    let (registry, goal) = registry().await;
    let refusing = nacking(1, goal, Collection::Pools, "default");
    registry
        .report(&refusing.report, true)
        .await
        .expect("a report");
    let pool = Change::put_pool(model::Pool::new(model::PoolId::standard()));
    let start = Instant::now();
    let deadline = start + Duration::from_secs(30);
    let outcome = wait_for(&*registry, &Goal::changed(goal, [&pool]), deadline).await;
    assert!(matches!(outcome, Ok(Outcome::Refused(_))), "{outcome:?}");
    assert_eq!(Instant::now(), start);
}

fn judged_in(life: u32, waiter: &mut Waiter, instances: &[Instance]) -> Outcome {
    waiter.list(listing(life, instances));
    waiter.learn(Some(&[]));
    waiter.outcome()
}
