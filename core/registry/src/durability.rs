//! How many of the registry's replicas must have a change before it is acknowledged.
//!
//! Redis answers a write before its replicas have it, so a failover may lose what was acknowledged last. Who cannot have that
//! asks for replicas, and waits for them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use model::{format_duration, parse_duration};

/// The most replicas that can be asked for.
const REPLICAS_MAX: u16 = 100;

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
/// The longest wait is shorter than what clients give an answer.
const TIMEOUT_BOUNDS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(5));

const FORM: &str = "must be none, or a number of replicas such as wait=1 or wait=1,timeout=500ms";

/// What the flag `--durability` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// A change is acknowledged once the registry has it.
    #[default]
    None,
    /// Once so many of its replicas have it too, or the time is over.
    Wait { replicas: u16, timeout: Duration },
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::None);
        }
        let (replicas, timeout) = match text.split_once(',') {
            Some((replicas, timeout)) => (replicas, Some(timeout)),
            None => (text, None),
        };
        let replicas = replicas.strip_prefix("wait=").ok_or(FORM)?;
        let timeout = timeout.map(|it| it.strip_prefix("timeout=").ok_or(FORM));
        let timeout = timeout.transpose()?.map(read_timeout).transpose()?;
        Ok(Self::Wait {
            replicas: read_replicas(replicas)?,
            timeout: timeout.unwrap_or(TIMEOUT_DEFAULT),
        })
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Wait { replicas, timeout } => {
                write!(f, "wait={replicas},timeout={}", format_duration(*timeout))
            }
        }
    }
}

fn read_replicas(text: &str) -> Result<u16, String> {
    let replicas = text.parse().ok();
    let replicas = replicas.filter(|it| (1..=REPLICAS_MAX).contains(it));
    replicas.ok_or_else(|| format!("wait must be a whole number from 1 to {REPLICAS_MAX}"))
}

fn read_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_duration(text)?;
    let (least, most) = TIMEOUT_BOUNDS;
    if (least..=most).contains(&timeout) {
        return Ok(timeout);
    }
    let [least, most] = [least, most].map(format_duration);
    Err(format!("timeout must be from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Durability, String> {
        text.parse()
    }

    #[test]
    fn replicas_are_asked_for_by_their_number_and_for_a_time() {
        let wait = |replicas, milliseconds| {
            let timeout = Duration::from_millis(milliseconds);
            Ok(Durability::Wait { replicas, timeout })
        };
        assert_eq!(read("none"), Ok(Durability::None));
        assert_eq!(read("wait=1"), wait(1, 1_000));
        assert_eq!(read("wait=2,timeout=500ms"), wait(2, 500));
        let shown = wait(2, 500).map(|it| it.to_string());
        assert_eq!(shown, Ok("wait=2,timeout=500ms".into()));
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_by_name() {
        for (text, rule) in [
            ("", "must be none"),
            ("1", "must be none"),
            ("wait", "must be none"),
            (
                "wait=1;timeout=1s",
                "wait must be a whole number from 1 to 100",
            ),
            ("wait=1,1s", "must be none"),
            ("wait=0", "wait must be a whole number from 1 to 100"),
            ("wait=101", "wait must be a whole number from 1 to 100"),
            ("wait=1,timeout=0s", "timeout must be from 1ms to 5s"),
            ("wait=1,timeout=6s", "timeout must be from 1ms to 5s"),
            ("wait=1,timeout=soon", "\"soon\" is not a duration"),
        ] {
            let said = read(text).expect_err(text);
            assert!(said.contains(rule), "{text:?}: {said}");
        }
    }
}
