//! What a Redis must be set to, to be a registry, and a sentence for each setting that is otherwise.

use std::collections::HashMap;

use redis::Cmd;

use super::link::Link;
use crate::RegistryError;

/// The oldest version with everything that the scripts use.
const OLDEST_VERSION: (u32, u32) = (6, 2);

/// Asks for the settings. Not being allowed to ask is a warning too.
pub(super) async fn warnings(link: &Link) -> Result<Vec<String>, RegistryError> {
    let mut info = Cmd::new();
    info.arg("INFO");
    let text: String = match link.try_to_ask("checking the settings", &info).await {
        Ok(text) => text,
        Err(RegistryError::MissingRight { reason }) => return Ok(vec![unasked(&reason)]),
        Err(error) => return Err(error),
    };
    let info = parse(&text);
    let mut warnings = Vec::new();
    warnings.extend(role_warning(&info));
    warnings.extend(version_warning(&info));
    warnings.extend(eviction_warning(&info));
    if info.get("aof_enabled") != Some(&"1") {
        warnings.extend(snapshots_warning(link).await?);
    }
    Ok(warnings)
}

fn unasked(reason: &str) -> String {
    format!("the registry's settings could not be checked, for want of a right: {reason}")
}

fn parse(info: &str) -> HashMap<&str, &str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .collect()
}

/// One that only reads does not notice by itself that nobody can write any more.
fn role_warning(info: &HashMap<&str, &str>) -> Option<String> {
    let is_replica = info.get("role") == Some(&"slave");
    let warning = "the registry is a replica by now, which takes no writes: make it the master again, or name the one that is \
        (redis+sentinel:// and redis+cluster:// find it)";
    is_replica.then(|| warning.into())
}

fn version_warning(info: &HashMap<&str, &str>) -> Option<String> {
    let reason = too_old(info.get("redis_version")?)?;
    Some(format!(
        "the registry will not do: {reason}, 7 the oldest that can keep the roles' rights apart"
    ))
}

/// Why a version will not do. One that cannot be read is not too old.
pub(super) fn too_old(version: &str) -> Option<String> {
    let mut parts = version.split('.').map(str::parse);
    let found = (parts.next()?.ok()?, parts.next()?.ok()?);
    let (major, minor) = OLDEST_VERSION;
    (found < OLDEST_VERSION)
        .then(|| format!("it is a Redis {version}, and {major}.{minor} is the oldest that will do"))
}

fn eviction_warning(info: &HashMap<&str, &str>) -> Option<String> {
    let policy = info.get("maxmemory_policy")?;
    (*policy != "noeviction").then(|| {
        format!("the registry's maxmemory-policy is {policy}: set it to noeviction, or it may forget parts of the fleet")
    })
}

/// Without an append-only file, snapshots at least must be saved.
async fn snapshots_warning(link: &Link) -> Result<Option<String>, RegistryError> {
    let mut command = Cmd::new();
    command.arg("CONFIG").arg("GET").arg("save");
    let settings = link.try_to_ask("checking the settings", &command).await;
    let settings: HashMap<String, String> = match settings {
        Ok(settings) => settings,
        Err(RegistryError::MissingRight { reason }) => return Ok(Some(unasked(&reason))),
        Err(error) => return Err(error),
    };
    let advice = "set appendonly to yes";
    Ok(Some(match settings.get("save").map(String::as_str) {
        None | Some("") => format!(
            "the registry keeps nothing on disk: {advice}, or a restart loses the fleet's state"
        ),
        Some(_) => format!(
            "the registry keeps only snapshots on disk: {advice}, or a restart may lose the latest changes"
        ),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_version_and_an_eviction_policy_are_said() {
        let info = parse("# Server\r\nredis_version:6.0.16\r\nmaxmemory_policy:allkeys-lru\r\n");
        let warning = version_warning(&info).expect("too old");
        assert!(warning.contains("6.0.16"), "{warning}");
        let warning = eviction_warning(&info).expect("evicts");
        assert!(warning.contains("allkeys-lru"), "{warning}");
    }

    #[test]
    fn a_replica_is_said_to_take_no_writes() {
        let info = parse("# Replication\r\nrole:slave\r\nmaster_host:10.0.0.1\r\n");
        let warning = role_warning(&info).expect("a replica");
        assert!(warning.contains("takes no writes"), "{warning}");
        assert_eq!(role_warning(&parse("role:master\r\n")), None);
    }

    #[test]
    fn a_store_that_will_do_is_not_warned_of() {
        for version in ["6.2.0", "7.0.15", "10.0.0"] {
            let text = format!("redis_version:{version}\r\nmaxmemory_policy:noeviction\r\n");
            let info = parse(&text);
            assert_eq!(version_warning(&info), None, "{version}");
            assert_eq!(eviction_warning(&info), None);
        }
    }
}
