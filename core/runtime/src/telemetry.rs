//! The log: lines on standard error, as text for people or JSON for machines.

use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use tracing_subscriber::{EnvFilter, fmt};

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// The flags of the log, the same for every role.
#[derive(Debug, Clone, Args)]
pub struct LogOptions {
    /// What to log: a level, or levels by module such as "info,balancer=debug". RUST_LOG is read where it is not given.
    #[arg(long, value_name = "FILTER", value_parser = check_filter, global = true)]
    pub log: Option<String>,
    /// How log lines are written.
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        global = true
    )]
    pub log_format: LogFormat,
}

fn check_filter(text: &str) -> Result<String, String> {
    let parsed = EnvFilter::builder().parse(text);
    parsed.map(|_| text.to_owned()).map_err(|error| {
        format!("{error}; give a level (error, warn, info, debug, trace) or \"module=level\"")
    })
}

/// Starts logging, once for the process. A second call changes nothing, so that tests may each call it.
pub fn init_telemetry(options: &LogOptions) {
    let filter = match &options.log {
        Some(filter) => EnvFilter::new(filter),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")),
    };
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    // An error means that another subscriber is there already.
    let _ = match options.log_format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(check_filter("info,balancer=debug").is_ok());
        let error = check_filter("balancer=loud").expect_err("no such level");
        assert!(error.contains("give a level"), "{error}");
    }
}
