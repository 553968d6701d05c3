//! What a value that cannot be read has to be, in the words of the API: the reader's own name the types of a
//! language that the client need not know.

/// Turns what the reader says of a value into the rule that the value breaks. What the model says of its own
/// types (names, durations, ranges) is for people already.
pub(super) fn of(said: &str) -> String {
    if let Some((_, known)) = said
        .strip_prefix("unknown variant ")
        .and_then(|rest| rest.rsplit_once(", expected "))
    {
        return format!("must be {}", alternatives(known));
    }
    if said == "invalid IP address syntax" {
        return "must be an IP address, such as 192.0.2.7".into();
    }
    let is_type = said.starts_with("invalid type: ");
    let is_value = said.starts_with("invalid value: ") || said.starts_with("invalid length ");
    match said.rsplit_once(", expected ") {
        Some((_, wanted)) if is_type || is_value => format!("must be {}", name(wanted)),
        _ => said.into(),
    }
}

/// "one of `a`, `b`, `c`", "`a` or `b`" and "`a`" are what the reader writes.
fn alternatives(known: &str) -> String {
    let names: Vec<_> = known.split('`').skip(1).step_by(2).collect();
    match names.split_last() {
        Some((last, [])) => (*last).into(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => known.into(),
    }
}

fn name(wanted: &str) -> String {
    let most = match wanted {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "i32" => return format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "u64" | "usize" => return "a whole number from 0".into(),
        "f32" | "f64" => return "a number".into(),
        "a boolean" => return "true or false".into(),
        "a string" | "string or map" | "map with a single key" => return "a string".into(),
        "a sequence" => return "a list".into(),
        "a map" => return "an object".into(),
        _ if wanted.starts_with("struct ") => return "an object".into(),
        _ => return wanted.into(),
    };
    format!("a whole number from 0 to {most}")
}

#[cfg(test)]
mod tests {
    use model::{Pool, Route, Server};
    use serde_json::{Value, json};

    use crate::body::from_json;
    use crate::problem::Problem;

    fn refusal<T>(result: Result<T, Problem>) -> String {
        match result {
            Ok(_) => "nothing".into(),
            Err(problem) => problem.to_string(),
        }
    }

    fn pool(field: &str, value: &Value) -> String {
        let mut pool = json!({"id": "web", "health": {}, "guard": {}, "retry": {}});
        match field.split_once('.') {
            Some((part, field)) => pool[part][field] = value.clone(),
            None => pool[field] = value.clone(),
        }
        refusal(from_json::<Pool>(pool))
    }

    #[test]
    fn a_value_of_another_kind_is_told_which_kind_it_must_be() {
        let uint = "health.rise: must be a whole number from 0 to 4294967295";
        for (field, value, refusal) in [
            ("health.rise", json!("two"), uint),
            ("health.rise", json!(null), uint),
            ("health.rise", json!(-1), uint),
            ("health.rise", json!(1.5), uint),
            ("health.rise", json!(5_000_000_000_u64), uint),
            (
                "retry.replay_bytes",
                json!([]),
                "retry.replay_bytes: must be a whole number from 0",
            ),
            (
                "guard.withdrawal_share",
                json!("half"),
                "guard.withdrawal_share: must be a number",
            ),
            ("health.path", json!(true), "health.path: must be a string"),
            (
                "health.interval",
                json!(2),
                "health.interval: must be a string",
            ),
            (
                "health.status",
                json!("200"),
                "health.status: must be a list",
            ),
            (
                "health.status",
                json!([200]),
                "health.status[0]: must be a string",
            ),
            ("health", json!("http"), "health: must be an object"),
            ("algorithm", json!(null), "algorithm: must be a string"),
            (
                "algorithm",
                json!({"a": 1, "b": 2}),
                "algorithm: must be a string",
            ),
            ("id", json!(7), "id: must be a string"),
        ] {
            assert_eq!(pool(field, &value), refusal, "{value}");
        }
    }

    #[test]
    fn a_word_that_is_none_of_the_known_ones_is_told_which_there_are() {
        assert_eq!(
            pool("health.kind", &json!("udp")),
            "health.kind: must be http, tcp, grpc or none"
        );
        assert_eq!(
            pool("probes.from", &json!("everybody")),
            "probes.from: must be leader or quorum"
        );
        assert_eq!(
            pool("algorithm", &json!("best, expected `better`")),
            "algorithm: must be round_robin, random, least_connections, fleet_least_connections, p2c, ip_hash or hash"
        );
        let server = json!({"pool": "web", "id": "a", "address": "10.0.0.1:80", "state": "gone"});
        assert_eq!(
            refusal(from_json::<Server>(server)),
            "state: must be active, draining or disabled"
        );
    }

    #[test]
    fn a_number_that_may_be_negative_has_its_bounds_named() {
        let route = json!({"id": "a", "priority": 1.5, "action": {"pool": "web"}});
        assert_eq!(
            refusal(from_json::<Route>(route)),
            "priority: must be a whole number from -2147483648 to 2147483647"
        );
    }

    #[test]
    fn what_the_model_says_of_its_own_types_stays() {
        assert_eq!(
            pool("health.status", &json!(["2xx"])),
            "health.status[0]: \"2xx\" is not a status or a range such as \"200-399\""
        );
    }
}
