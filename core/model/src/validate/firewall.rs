//! What makes listeners and lists of networks valid.

use super::tls::check_listener;
use super::{LISTENERS, Problem, Problems};
use crate::{Firewall, Listener, NETWORKS_MAX, NetworkList};

/// Checks a listener on its own.
///
/// # Errors
/// Every problem found.
pub fn validate_listener(listener: &Listener) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    problems.check_known(listener.id.is_known(), "id", LISTENERS);
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
    }
    firewall.unknown.check("firewall.", problems);
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
}
