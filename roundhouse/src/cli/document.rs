//! The desired state, or an element of it, as text: written as YAML or JSON, and read from either.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use serde_saphyr::UserMessageFormatter;

use super::failure::Failure;

/// The largest document, in bytes: what the admin API takes.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// More values than a fleet of any size has, and few enough that one which unfolds without end is refused soon.
const VALUES_MAX: usize = 2_000_000;

/// How much of a document may stand for more than itself, by being named and repeated.
const REPEATED_MAX: usize = 50_000;

/// How deep a document may be nested.
const DEPTH_MAX: usize = 64;

pub(super) fn yaml(document: &impl Serialize) -> String {
    serde_saphyr::to_string(document).expect("the model holds nothing that YAML cannot")
}

pub(super) fn json(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).expect("the model holds nothing that JSON cannot")
}

/// Reads a file, or standard input where it is called `-`, as the JSON that the API takes.
pub(super) fn read(file: &Path) -> Result<Box<RawValue>, Failure> {
    parse(&read_text(file)?).map_err(|reason| refused(file, reason))
}

/// The same as the fields of one element, which is to have this id.
pub(super) fn read_element(file: &Path, id: &str) -> Result<Map<String, Value>, Failure> {
    let document = read(file)?;
    let fields = serde_json::from_str(document.get());
    let mut fields: Map<String, Value> =
        fields.map_err(|error| refused(file, error.to_string()))?;
    let own = fields.entry("id").or_insert_with(|| id.into());
    match own.as_str() == Some(id) {
        true => Ok(fields),
        false => Err(refused(file, format!("its id is {own}, and not {id:?}"))),
    }
}

/// A file, or standard input where it is called `-`, as text.
pub(super) fn read_text(file: &Path) -> Result<String, Failure> {
    let text = match file.as_os_str() == "-" {
        true => text_of(io::stdin().lock()),
        false => File::open(file).and_then(text_of),
    };
    text.map_err(|error| refused(file, error.to_string()))
}

pub(super) fn refused(file: &Path, reason: String) -> Failure {
    Failure::Document {
        file: file.display().to_string(),
        reason,
    }
}

fn text_of(reader: impl Read) -> io::Result<String> {
    let mut text = String::new();
    let read = reader.take(BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > BYTES_MAX {
        let reason = format!("it is larger than {BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(text)
}

/// JSON goes as it is, since the API says best what is wrong with it. YAML in which a key is there twice is refused, as
/// the API refuses such JSON.
fn parse(text: &str) -> Result<Box<RawValue>, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: VALUES_MAX,
            max_nodes: VALUES_MAX,
            max_recorded_anchor_events: REPEATED_MAX,
            max_depth: DEPTH_MAX,
        },
        // A zone may be called "no".
        strict_booleans: true,
        with_snippet: false,
    };
    let value: Value = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| one_line(&error.render_with_formatter(&UserMessageFormatter)))?;
    match value.is_object() {
        true => Ok(to_raw_value(&value).expect("what was read can be written as JSON")),
        false => Err("it must be a mapping of names to values".into()),
    }
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    lines.join(" ")
}

#[cfg(test)]
mod tests {
    use model::{Fleet, PoolId, Server};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_back(text: &str) -> Value {
        let document = parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        serde_json::from_str(document.get()).expect("JSON")
    }

    #[test]
    fn what_people_write_is_read_as_the_json_that_they_mean() {
        let text = "# the shop\npools:\n- id: web\n  timeouts: {connect: 2s}\nservers:\n\
                    - {pool: web, id: s1, address: \"10.0.0.1:80\", weight: 5, zone: no, backup: true}\n";
        let expected = json!({
            "pools": [{"id": "web", "timeouts": {"connect": "2s"}}],
            "servers": [{"pool": "web", "id": "s1", "address": "10.0.0.1:80", "weight": 5, "zone": "no", "backup": true}],
        });
        assert_eq!(read_back(text), expected);
        assert_eq!(read_back(&expected.to_string()), expected);
    }

    #[test]
    fn what_is_no_document_is_said_in_one_line() {
        for (text, part) in [
            ("", "mapping"),
            ("- a", "mapping"),
            ("pools: [", "line"),
            ("pools: []\npools: []", "pools"),
            ("{\"pools\": [}", "line 1"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(
                error.contains(part) && !error.contains('\n'),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn a_document_that_unfolds_without_end_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let alias = format!("*a{}", level - 1);
            let aliases = [alias.as_str(); 9].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
        }
        parse(&text).expect_err("billions of values");
    }

    #[test]
    fn an_empty_fleet_is_written_and_read_back() {
        let fleet = Fleet::default();
        let expected = json!({
            "pools": [], "servers": [], "routes": [], "listeners": [], "networks": [], "certificates": [], "limits": [],
        });
        assert_eq!(read_back(&yaml(&fleet)), expected);
        assert_eq!(read_back(&json(&fleet)), expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_back_the_same(
            zone in "(no|~|null|true|1e3|0x1f|012|1_000|2s|\\.inf|- a|a: b|a #b|'|\"|&a|\\*a|!a|%a|@a|`a|<<|=|\\PC{0,12}|[ \t\n]{0,3})",
            weight in 0..=1000_u16,
            number in any::<f64>().prop_filter("JSON has no other", |number| number.is_finite()),
            text in "(off|yes|2001-01-01|12:30:45|\\PC{0,8}\n?\\PC{0,8})",
        ) {
            let mut server = Server::new(PoolId::standard(), "1e3".parse().expect("a name"), ([10, 0, 0, 1], 80).into());
            server.zone = zone;
            server.weight = weight;
            server.unknown.0.insert("number".into(), json!(number));
            server.unknown.0.insert("null".into(), json!({"deep": [text, null, {"a": []}]}));
            let mut fleet = Fleet::default();
            fleet.pools.insert(PoolId::standard(), model::Pool::new(PoolId::standard()));
            fleet.servers.insert(server.key(), server);
            let expected = serde_json::to_value(&fleet).expect("JSON");
            prop_assert_eq!(read_back(&yaml(&fleet)), expected.clone());
            prop_assert_eq!(read_back(&json(&fleet)), expected);
        }
    }
}
