//! Promises about what instances and servers say of themselves: kept, dated by the registry, without a revision.

use std::time::Duration;

use model::{InstanceId, Origin, Revision, Suspicion, SuspicionKind};

use crate::contract;
use crate::fixture::{Fixture, LONG, eventually, next, put, remove, report, server_key};

contract! {
    an_instances_last_report_counts,
    reports_need_no_head,
    a_report_ages_until_the_next,
    an_instance_that_deregisters_is_gone,
    an_instance_can_be_forgotten_once,
    instances_with_one_address_stand_side_by_side,
    only_reports_worth_it_are_announced,
    who_waits_hears_of_an_instance_that_goes,
    a_suspicion_reaches_who_listens,
    a_registration_is_renewed_without_a_revision,
    a_registration_expires_by_the_registrys_clock,
    a_registration_can_be_removed,
    a_removed_server_takes_its_registration_with_it,
}

async fn an_instances_last_report_counts(fixture: &Fixture) {
    let position = fixture.seed().await;
    let instance = InstanceId::random();
    let mut said = report(instance);
    fixture
        .registry
        .report(&said, false)
        .await
        .expect("an answer");
    said.applied = Some(position);
    said.origin = Origin::Registry;
    fixture
        .registry
        .report(&said, false)
        .await
        .expect("an answer");
    let instances = fixture.registry.instances().await.expect("instances");
    assert_eq!(instances.len(), 1);
    assert_eq!(instances[0].report, said);
    assert_eq!(fixture.head().await.position, position);
}

async fn reports_need_no_head(fixture: &Fixture) {
    let said = report(InstanceId::random());
    fixture
        .registry
        .report(&said, true)
        .await
        .expect("an answer");
    assert_eq!(
        fixture.registry.instances().await.expect("instances").len(),
        1
    );
    assert_eq!(fixture.registry.head().await, Ok(None));
}

async fn a_report_ages_until_the_next(fixture: &Fixture) {
    let said = report(InstanceId::random());
    fixture
        .registry
        .report(&said, false)
        .await
        .expect("an answer");
    let old = Duration::from_millis(100);
    let age = async || fixture.registry.instances().await.expect("instances")[0].age;
    eventually("the report ages", async || {
        (age().await >= old).then_some(())
    })
    .await;
    let before = age().await;
    fixture
        .registry
        .report(&said, false)
        .await
        .expect("an answer");
    assert!(age().await < before, "a new report is young again");
}

async fn an_instance_that_deregisters_is_gone(fixture: &Fixture) {
    let (leaving, staying) = (InstanceId::random(), InstanceId::random());
    for instance in [leaving, staying] {
        let said = fixture.registry.report(&report(instance), false).await;
        said.expect("an answer");
    }
    fixture
        .registry
        .deregister(leaving)
        .await
        .expect("an answer");
    let instances = fixture.registry.instances().await.expect("instances");
    assert_eq!(instances.len(), 1);
    assert_eq!(instances[0].report.instance, staying);
}

async fn an_instance_can_be_forgotten_once(fixture: &Fixture) {
    let instance = InstanceId::random();
    fixture
        .registry
        .report(&report(instance), false)
        .await
        .expect("an answer");
    assert_eq!(fixture.registry.forget(instance).await, Ok(true));
    assert_eq!(fixture.registry.forget(instance).await, Ok(false));
    assert_eq!(fixture.registry.instances().await, Ok(vec![]));
}

async fn instances_with_one_address_stand_side_by_side(fixture: &Fixture) {
    for _ in 0..2 {
        let said = report(InstanceId::random());
        fixture
            .registry
            .report(&said, false)
            .await
            .expect("an answer");
    }
    let instances = fixture.registry.instances().await.expect("instances");
    assert_eq!(instances.len(), 2, "which one counts is for who waits");
}

async fn only_reports_worth_it_are_announced(fixture: &Fixture) {
    let mut reports = fixture.registry.reports().await.expect("a subscription");
    let (quiet, loud) = (InstanceId::random(), InstanceId::random());
    fixture
        .registry
        .report(&report(quiet), false)
        .await
        .expect("an answer");
    fixture
        .registry
        .report(&report(loud), true)
        .await
        .expect("an answer");
    assert_eq!(next(&mut reports).await, loud);
}

async fn who_waits_hears_of_an_instance_that_goes(fixture: &Fixture) {
    let (leaving, forgotten) = (InstanceId::random(), InstanceId::random());
    let mut reports = fixture.registry.reports().await.expect("a subscription");
    fixture
        .registry
        .deregister(leaving)
        .await
        .expect("an answer");
    fixture.registry.forget(forgotten).await.expect("an answer");
    assert_eq!(next(&mut reports).await, leaving);
    assert_eq!(next(&mut reports).await, forgotten);
}

async fn a_suspicion_reaches_who_listens(fixture: &Fixture) {
    let mut suspicions = fixture.registry.suspicions().await.expect("a subscription");
    let suspicion = Suspicion {
        instance: InstanceId::random(),
        server: server_key("a"),
        incarnation: Revision(2),
        kind: SuspicionKind::Reset,
    };
    fixture
        .registry
        .suspect(&suspicion)
        .await
        .expect("an answer");
    assert_eq!(next(&mut suspicions).await, suspicion);
}

async fn a_registration_is_renewed_without_a_revision(fixture: &Fixture) {
    let position = fixture.seed().await;
    let key = server_key("a");
    for lifetime in [LONG, LONG / 2] {
        let renewed = fixture.registry.renew_registration(&key, lifetime).await;
        renewed.expect("an answer");
    }
    let registrations = fixture.registry.registrations().await;
    let registrations = registrations.expect("registrations");
    assert_eq!(registrations.len(), 1);
    assert_eq!(registrations[0].key, key);
    assert_eq!(registrations[0].lifetime, LONG / 2);
    assert!(!registrations[0].is_expired());
    assert_eq!(fixture.head().await.position, position);
}

async fn a_registration_expires_by_the_registrys_clock(fixture: &Fixture) {
    let short = Duration::from_millis(50);
    let renewed = fixture
        .registry
        .renew_registration(&server_key("a"), short)
        .await;
    renewed.expect("an answer");
    eventually("the registration expires", async || {
        let registrations = fixture.registry.registrations().await;
        registrations.expect("registrations")[0]
            .is_expired()
            .then_some(())
    })
    .await;
}

async fn a_registration_can_be_removed(fixture: &Fixture) {
    let key = server_key("a");
    let renewed = fixture.registry.renew_registration(&key, LONG).await;
    renewed.expect("an answer");
    for _ in 0..2 {
        let removed = fixture.registry.remove_registration(&key).await;
        removed.expect("an answer");
        assert_eq!(fixture.registry.registrations().await, Ok(vec![]));
    }
}

async fn a_removed_server_takes_its_registration_with_it(fixture: &Fixture) {
    fixture.seed().await;
    fixture.commit(vec![put("a", 1), put("b", 2)]).await;
    for id in ["a", "b"] {
        let key = server_key(id);
        let renewed = fixture.registry.renew_registration(&key, LONG).await;
        renewed.expect("an answer");
    }
    fixture.commit(vec![remove("a")]).await;
    let left = fixture
        .registry
        .registrations()
        .await
        .expect("registrations");
    let keys: Vec<_> = left
        .into_iter()
        .map(|registration| registration.key)
        .collect();
    assert_eq!(keys, [server_key("b")]);
}
