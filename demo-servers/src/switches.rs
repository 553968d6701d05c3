//! How a server behaves just now, and the switches under `/-/` that change it.

use std::time::Duration;

use http::Method;
use tokio::sync::watch;

/// The longest delay that can be asked for, in milliseconds.
const DELAY_MAX: u64 = 60_000;

/// What becomes of ordinary requests and of health checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mode {
    #[default]
    Healthy,
    /// 503 to health checks; every ordinary request is reset before its answer's first byte.
    Failing,
    /// Nothing is answered until it recovers.
    Hanging,
}

/// How the server behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Behaviour {
    pub(crate) mode: Mode,
    /// Before each ordinary answer.
    pub(crate) delay: Duration,
}

/// The switches of one server.
#[derive(Debug, Default)]
pub(crate) struct Switches {
    behaviour: watch::Sender<Behaviour>,
}

/// A switch that was not thrown: the status and the line to answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NotFound,
    NotPost,
    BadParameter(String),
}

impl Switches {
    pub(crate) fn behaviour(&self) -> Behaviour {
        *self.behaviour.borrow()
    }

    /// Waits until it no longer hangs.
    pub(crate) async fn answering(&self) {
        let mut behaviour = self.behaviour.subscribe();
        let answers = behaviour.wait_for(|behaviour| behaviour.mode != Mode::Hanging);
        answers.await.expect("the sender is this struct's own");
    }

    /// Throws the switch of that name; says in one line what holds now.
    pub(crate) fn throw(
        &self,
        method: &Method,
        switch: &str,
        query: &str,
    ) -> Result<String, Refused> {
        let mode = match switch {
            "fail" => Some(Mode::Failing),
            "hang" => Some(Mode::Hanging),
            "recover" => Some(Mode::Healthy),
            "slow" => None,
            _ => return Err(Refused::NotFound),
        };
        if method != Method::POST {
            return Err(Refused::NotPost);
        }
        let next = match mode {
            Some(mode) => {
                no_parameter(switch, query)?;
                let recovers = mode == Mode::Healthy;
                let delay = if recovers {
                    Duration::ZERO
                } else {
                    self.behaviour().delay
                };
                Behaviour { mode, delay }
            }
            None => Behaviour {
                delay: delay(query)?,
                ..self.behaviour()
            },
        };
        self.behaviour.send_replace(next);
        Ok(said(next))
    }
}

fn said(behaviour: Behaviour) -> String {
    let mode = match behaviour.mode {
        Mode::Healthy => "healthy",
        Mode::Failing => "failing",
        Mode::Hanging => "hanging",
    };
    match behaviour.delay.as_millis() {
        0 => mode.to_owned(),
        delay => format!("{mode}, answering after {delay} ms"),
    }
}

fn no_parameter(switch: &str, query: &str) -> Result<(), Refused> {
    if query.is_empty() {
        return Ok(());
    }
    Err(Refused::BadParameter(format!(
        "{switch} takes no parameter"
    )))
}

fn delay(query: &str) -> Result<Duration, Refused> {
    let milliseconds = query.strip_prefix("ms=").and_then(|text| text.parse().ok());
    match milliseconds {
        Some(milliseconds @ 0..=DELAY_MAX) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(Refused::BadParameter(format!(
            "slow takes ms, a whole number from 0 to {DELAY_MAX}: slow?ms=200"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throw(switches: &Switches, switch: &str, query: &str) -> Result<String, Refused> {
        switches.throw(&Method::POST, switch, query)
    }

    #[test]
    fn recover_ends_whatever_was_switched_on() {
        let switches = Switches::default();
        throw(&switches, "slow", "ms=200").unwrap();
        assert_eq!(
            throw(&switches, "fail", "").unwrap(),
            "failing, answering after 200 ms"
        );
        assert_eq!(switches.behaviour().mode, Mode::Failing);
        assert_eq!(throw(&switches, "recover", "").unwrap(), "healthy");
        assert_eq!(switches.behaviour(), Behaviour::default());
    }

    #[test]
    fn a_delay_of_zero_ends_the_delay_alone() {
        let switches = Switches::default();
        throw(&switches, "hang", "").unwrap();
        throw(&switches, "slow", "ms=200").unwrap();
        assert_eq!(throw(&switches, "slow", "ms=0").unwrap(), "hanging");
    }

    #[test]
    fn a_bad_parameter_changes_nothing() {
        let switches = Switches::default();
        for query in ["", "ms=", "ms=-1", "ms=60001", "ms=1.5", "s=1", "ms=1&ms=2"] {
            assert!(throw(&switches, "slow", query).is_err(), "{query}");
        }
        assert!(throw(&switches, "fail", "ms=1").is_err());
        assert_eq!(throw(&switches, "explode", ""), Err(Refused::NotFound));
        assert_eq!(
            switches.throw(&Method::GET, "fail", ""),
            Err(Refused::NotPost)
        );
        assert_eq!(switches.behaviour(), Behaviour::default());
    }

    #[tokio::test]
    async fn who_waits_for_a_hanging_server_goes_on_when_it_recovers() {
        let switches = std::sync::Arc::new(Switches::default());
        throw(&switches, "hang", "").unwrap();
        let waiting = tokio::spawn({
            let switches = switches.clone();
            async move { switches.answering().await }
        });
        throw(&switches, "recover", "").unwrap();
        waiting.await.unwrap();
    }
}
