use std::net::{Ipv4Addr, Ipv6Addr};

use model::{NetworkList, Revision, Snapshot, Stamped};
use proptest::prelude::*;

use super::*;
use crate::testing::snapshot;

fn fleet() -> Snapshot {
    snapshot(model::Pool::new(model::PoolId::standard()))
}

fn rule(allow: &[&str], deny: &[&str]) -> model::Firewall {
    let parse = |texts: &[&str]| {
        let parsed = texts.iter().map(|text| text.parse().expect("networks"));
        parsed.collect()
    };
    model::Firewall {
        allow: parse(allow),
        deny: parse(deny),
        ..model::Firewall::default()
    }
}

fn put_list(snapshot: &mut Snapshot, id: &str, networks: &[&str]) {
    let id: NetworkListId = id.parse().expect("a name");
    let networks = networks.iter().map(|text| text.parse().expect("a network"));
    let list = NetworkList {
        id: id.clone(),
        networks: networks.collect(),
        unknown: model::Unknown::default(),
    };
    let list = Stamped::new(Revision(1), list);
    snapshot.networks.insert(id, list.into());
}

fn put_rule(snapshot: &mut Snapshot, rule: &model::Firewall) {
    let mut listener = model::Listener::new("http".parse().expect("a name"));
    listener.firewall = rule.clone();
    let id = listener.id.clone();
    let listener = Stamped::new(Revision(1), listener);
    snapshot.listeners.insert(id, listener.into());
}

fn compile(rule: &model::Firewall) -> Firewall {
    Firewall::compile(rule, &Lists::default())
}

fn lets_in(firewall: &Firewall, client: &str) -> bool {
    firewall.lets_in(client.parse().expect("an address"))
}

#[test]
fn nobody_is_kept_out_where_nothing_is_said() {
    let firewall = compile(&rule(&[], &[]));
    assert!(firewall.is_open() && lets_in(&firewall, "10.0.0.1"));
}

#[test]
fn the_longest_network_decides() {
    let firewall = compile(&rule(
        &["10.1.0.0/16", "10.1.2.3"],
        &["10.0.0.0/8", "10.1.2.0/24"],
    ));
    for (client, expected) in [
        ("10.9.9.9", false),
        ("10.1.9.9", true),
        ("10.1.2.9", false),
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("::ffff:10.1.2.4", false),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(lets_in(&firewall, client), expected, "{client}");
    }
}

#[test]
fn of_two_networks_as_long_the_denial_decides() {
    let firewall = compile(&rule(&["10.0.0.0/8"], &["10.0.0.0/8"]));
    assert!(!lets_in(&firewall, "10.0.0.1"));
}

#[test]
fn a_rule_that_denies_alone_lets_all_others_in() {
    let firewall = compile(&rule(&[], &["2001:db8::/32", "::ffff:10.0.0.0/104"]));
    assert!(!lets_in(&firewall, "2001:db8::5"));
    assert!(!lets_in(&firewall, "10.200.0.1"));
    assert!(lets_in(&firewall, "11.0.0.1") && lets_in(&firewall, "::1"));
}

#[test]
fn a_network_of_everything_reaches_to_the_last_address() {
    let firewall = compile(&rule(&[], &["0.0.0.0/0", "::/0", "255.255.255.255"]));
    for client in [
        "0.0.0.0",
        "255.255.255.255",
        "::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        assert!(!lets_in(&firewall, client), "{client}");
    }
}

#[test]
fn a_list_is_compiled_once_and_again_where_it_changes() {
    let mut fleet = fleet();
    let named = rule(&[], &["bad"]);
    put_rule(&mut fleet, &named);
    put_list(&mut fleet, "bad", &["10.0.0.0/8"]);
    put_list(&mut fleet, "unused", &["10.0.0.0/8"]);
    let first = Lists::compile(&fleet, &Lists::default());
    let second = Lists::compile(&fleet, &first);
    assert!(first.agree(&second, &named));
    assert!(second.get(&"unused".parse().expect("a name")).is_none());
    put_list(&mut fleet, "bad", &["11.0.0.0/8"]);
    let third = Lists::compile(&fleet, &second);
    assert!(!second.agree(&third, &named));
    let firewall = Firewall::compile(&named, &third);
    assert!(lets_in(&firewall, "10.0.0.1") && !lets_in(&firewall, "11.0.0.1"));
    assert!(firewall.missing().is_empty());
}

#[test]
fn a_list_that_is_gone_stays_as_it_last_was_and_is_reported() {
    let mut fleet = fleet();
    let named = rule(&[], &["bad"]);
    put_rule(&mut fleet, &named);
    put_list(&mut fleet, "bad", &["10.0.0.0/8"]);
    let first = Lists::compile(&fleet, &Lists::default());
    fleet.networks.clear();
    let second = Lists::compile(&fleet, &first);
    let third = Lists::compile(&fleet, &second);
    assert!(!first.agree(&second, &named) && second.agree(&third, &named));
    let firewall = Firewall::compile(&named, &third);
    assert!(!lets_in(&firewall, "10.0.0.1"));
    assert_eq!(firewall.missing().len(), 1);
    put_list(&mut fleet, "bad", &[]);
    let back = Lists::compile(&fleet, &third);
    let firewall = Firewall::compile(&named, &back);
    assert!(lets_in(&firewall, "10.0.0.1") && firewall.missing().is_empty());
}

#[test]
fn a_list_that_never_was_allows_and_denies_nobody() {
    let denies = compile(&rule(&[], &["bad"]));
    assert!(lets_in(&denies, "10.0.0.1") && denies.missing().len() == 1);
    let allows = compile(&rule(&["good", "good"], &[]));
    assert!(!lets_in(&allows, "10.0.0.1") && allows.missing().len() == 1);
}

/// Looks at every network.
fn reference(allow: &[IpNet], deny: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    let longest = |networks: &[IpNet]| {
        let holding = networks.iter().filter(|network| network.contains(&client));
        holding.map(IpNet::prefix_len).max()
    };
    match (longest(allow), longest(deny)) {
        (None, None) => allow.is_empty(),
        (allowed, denied) => allowed > denied,
    }
}

/// Addresses that are close together, so that networks hold one another and others.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let edge = prop_oneof![Just(0_u32), Just(0x0a00_0000), Just(u32::MAX - 255)];
    let v4 =
        (edge, 0_u32..256).prop_map(|(edge, offset)| IpAddr::V4(Ipv4Addr::from(edge + offset)));
    let edge = prop_oneof![Just(0_u128), Just(0x2001_0db8 << 96), Just(u128::MAX - 255)];
    let v6 =
        (edge, 0_u128..256).prop_map(|(edge, offset)| IpAddr::V6(Ipv6Addr::from(edge + offset)));
    prop_oneof![v4, v6]
}

fn networks() -> impl Strategy<Value = Vec<IpNet>> {
    let network = (addresses(), 0_u8..=9, any::<bool>()).prop_map(|(address, less, is_short)| {
        let (short, most) = if address.is_ipv4() {
            (less, 32)
        } else {
            (less + 58, 128)
        };
        let length = if is_short { short } else { most - less };
        IpNet::new(address, length).expect("a length within bounds")
    });
    proptest::collection::vec(network, 0..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_compiled_rule_is_what_looking_at_every_network_finds(
        allow in networks(),
        deny in networks(),
        clients in proptest::collection::vec(addresses(), 64),
    ) {
        let wrap = |networks: &[IpNet]| networks.iter().map(|network| model::Networks::One(*network)).collect();
        let rule = model::Firewall { allow: wrap(&allow), deny: wrap(&deny), ..model::Firewall::default() };
        let firewall = compile(&rule);
        for client in clients {
            let expected = reference(&allow, &deny, client);
            prop_assert_eq!(firewall.lets_in(client), expected, "{}", client);
        }
    }
}
