//! What makes listeners and lists of networks valid.

use ipnet::IpNet;

use super::tls::check_listener;
use super::{LISTENERS, Problem, Problems};
use crate::{Firewall, Listener, NETWORKS_MAX, NetworkList, Networks, check_network};

/// How many networks of one list are named that are not as they should be.
const NAMED_MAX: usize = 20;

/// Checks a listener on its own.
///
/// # Errors
/// Every problem found.
pub fn validate_listener(listener: &Listener) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    problems.check_sent(listener.id.is_known(), "id", LISTENERS);
    check_firewall(&listener.firewall, &mut problems);
    check_listener(listener, &mut problems);
    listener.unknown.check("", &mut problems);
    problems.into_result()
}

/// Checks a list of networks on its own.
///
/// # Errors
/// Every problem found.
pub fn validate_networks(list: &NetworkList) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    let most = format!("must hold at most {NETWORKS_MAX}");
    problems.check(list.networks.len() <= NETWORKS_MAX, "networks", most);
    check_networks("networks", list.networks.iter().enumerate(), &mut problems);
    list.unknown.check("", &mut problems);
    problems.into_result()
}

pub(super) fn check_firewall(firewall: &Firewall, problems: &mut Problems) {
    for (field, rules) in [
        ("firewall.allow", &firewall.allow),
        ("firewall.deny", &firewall.deny),
    ] {
        let rule = "must name at most 1000 networks and lists; put more into a list";
        problems.check(rules.len() <= 1_000, field, rule);
        let networks = rules.iter().enumerate();
        let networks = networks.filter_map(|(index, rule)| match rule {
            Networks::One(network) => Some((index, network)),
            Networks::List(_) => None,
        });
        check_networks(field, networks, problems);
    }
    firewall.unknown.check("firewall.", problems);
}

/// Networks by their places in a list. Older versions took any, so that what is stored is read as it is.
pub(super) fn check_networks<'a>(
    field: &str,
    networks: impl Iterator<Item = (usize, &'a IpNet)>,
    problems: &mut Problems,
) {
    let loose = networks.filter_map(|(index, it)| Some((index, check_network(it).err()?)));
    for (index, rule) in loose.take(NAMED_MAX) {
        problems.refuse_sent(&format!("{field}[{index}]"), rule);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ListenerId, first_grave};

    #[test]
    fn a_listener_that_no_balancer_has_is_refused_when_sent_and_read_when_stored() {
        let listener = |id: &str| Listener::new(id.parse().expect("a name"));
        for known in ListenerId::KNOWN {
            assert_eq!(validate_listener(&listener(known)), Ok(()));
        }
        let misspelt = validate_listener(&listener("htps"));
        let problems = misspelt.clone().expect_err("no such listener");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].field, "id");
        for known in ListenerId::KNOWN {
            assert!(problems[0].rule.contains(&format!("{known:?}")));
        }
        assert_eq!(first_grave(misspelt), None);
    }

    #[test]
    fn networks_with_bits_beyond_their_prefixes_are_refused_when_sent_and_read_when_stored() {
        let text = r#"{"id":"http","firewall":{"allow":["a","10.1.2.3/8"],"deny":["10.1.2.3"]}}"#;
        let listener: Listener = serde_json::from_str(text).expect("a listener's shape");
        let text = r#"{"id":"bad","networks":["10.0.0.0/8","2001:db8::1/32","10.1.2.3/31"]}"#;
        let list: NetworkList = serde_json::from_str(text).expect("a list's shape");
        for (found, fields) in [
            (validate_listener(&listener), &["firewall.allow[1]"][..]),
            (validate_networks(&list), &["networks[1]", "networks[2]"]),
        ] {
            assert_eq!(first_grave(found.clone()), None);
            let problems = found.expect_err("they are loose");
            let named: Vec<_> = problems.iter().map(|it| it.field.as_str()).collect();
            assert_eq!(named, fields);
        }
    }
}
