//! From an address to the registry behind it.

use std::sync::Arc;

use crate::options::{MEMORY, TlsFiles};
use crate::redis::{Address, FORMS, Redis, Tls};
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
    if options.is_within_process() {
        return Ok(Arc::new(Memory::new()));
    }
    let address = Address::parse(options.registry.as_str()).map_err(refused)?;
    let tls = tls_for(&address, &options.tls).map_err(refused)?;
    Ok(Arc::new(Redis::new(address, tls, &options.fleet)))
}

fn tls_for(address: &Address, files: &TlsFiles) -> Result<Option<Tls>, String> {
    if address.is_encrypted() {
        return Tls::load(files).map(Some);
    }
    if files.is_empty() {
        return Ok(None);
    }
    Err("is not encrypted, and so has no use for --registry-ca, --registry-cert and --registry-key: write rediss".into())
}

/// The same for a process that runs alone, to which a registry within itself is of no use: no other process would find it.
///
/// # Errors
/// The address is none that a registry of several processes can have.
pub fn open_shared(options: &Options) -> Result<Arc<dyn Registry>, OpenError> {
    if options.is_within_process() {
        return Err(OpenError {
            url: MEMORY.into(),
            reason: format!(
                "is within one process, where no other role finds it: whoever runs alone needs --registry {FORMS}; \
                 `roundhouse up` runs all of them in one process"
            ),
        });
    }
    open(options)
}

#[cfg(test)]
mod tests {
    use model::FleetName;

    use super::*;

    fn try_open(url: &str) -> Result<Arc<dyn Registry>, OpenError> {
        open(&Options::new(url, FleetName::standard()))
    }

    #[test]
    fn a_registry_is_opened_without_a_connection() {
        for url in [
            "memory",
            "redis://127.0.0.1:1",
            "redis://redis.example",
            "redis://user:p%40ss@[::1]:6379/3",
            "rediss://redis.example",
            "unix:///run/redis.sock?db=1",
            "redis+sentinel://a,b,c/mymaster",
            "rediss+cluster://a,b,c",
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
            "rediss://user:hunter2@127.0.0.1/1/2",
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
    fn a_role_on_its_own_is_refused_a_registry_within_its_process() {
        let options = |url: &str| Options::new(url, FleetName::standard());
        let error = open_shared(&options("memory"))
            .expect_err("nobody else would find it")
            .to_string();
        assert!(
            error.starts_with("--registry memory: is within one process"),
            "{error}"
        );
        assert!(
            error.contains("--registry redis://") && !error.contains('\n'),
            "{error}"
        );
        open_shared(&options("redis://127.0.0.1:1")).expect("others reach it too");
    }

    #[test]
    fn an_opened_registry_does_not_show_its_password() {
        let registry = try_open("redis://user:hunter2@127.0.0.1:1").expect("a registry");
        let shown = format!("{registry:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
