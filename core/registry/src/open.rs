//! From an address to the registry behind it.

use std::sync::Arc;

use crate::redis::Redis;
use crate::{Memory, Options, Registry};

/// An address that no registry can have. It does not repeat what may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--registry {url}: {reason}")]
pub struct OpenError {
    url: String,
    reason: String,
}

/// Opens the registry, without waiting for a connection: a Redis that cannot be reached is no error here.
///
/// # Errors
/// The address is none that a registry can have.
pub fn open(options: &Options) -> Result<Arc<dyn Registry>, OpenError> {
    let refused = |reason: String| OpenError {
        url: options.registry.to_string(),
        reason,
    };
    match options.registry.as_str() {
        "memory" => Ok(Arc::new(Memory::new())),
        url if url.starts_with("redis://") => {
            let redis = Redis::new(url, &options.fleet).map_err(refused)?;
            Ok(Arc::new(redis))
        }
        _ => Err(refused(format!("is neither memory nor {FORM}"))),
    }
}

/// The form of a Redis's address.
pub(crate) const FORM: &str = "redis://[user:password@]host[:port][/database]";

#[cfg(test)]
mod tests {
    use model::FleetName;

    use super::*;

    fn try_open(url: &str) -> Result<Arc<dyn Registry>, OpenError> {
        open(&Options {
            registry: url.into(),
            fleet: FleetName::standard(),
        })
    }

    #[test]
    fn a_registry_is_opened_without_a_connection() {
        for url in [
            "memory",
            "redis://127.0.0.1:1",
            "redis://redis.example",
            "redis://user:p%40ss@[::1]:6379/3",
        ] {
            try_open(url).expect(url);
        }
    }

    #[test]
    fn a_bad_address_is_refused_in_one_line_that_names_the_flag_and_not_the_password() {
        for url in [
            "",
            "memroy",
            "reddis://user:hunter2@127.0.0.1",
            "redis://user:hunter2@127.0.0.1:port",
            "redis://user:hunter2@127.0.0.1/many",
            "rediss://user:hunter2@127.0.0.1",
        ] {
            let error = try_open(url).expect_err(url).to_string();
            assert!(error.starts_with("--registry "), "{error}");
            assert!(
                !error.contains("hunter2") && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn an_opened_registry_does_not_show_its_password() {
        let registry = try_open("redis://user:hunter2@127.0.0.1:1").expect("a registry");
        let shown = format!("{registry:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
