//! Roundhouse as it is run in earnest: a Redis, an orchestrator and the admin API on the core of the others, and the
//! balancer, which alone is measured, with all its defaults.

use std::net::SocketAddr;
use std::path::Path;

use super::{BOTH_CORES, OTHER_CORE, PROXY_CORE, Places, Running, Setting};
use crate::Error;
use crate::admin::Admin;
use crate::control::start_redis;
use crate::process::{Launch, free_address};

/// Starts a fleet of one balancer, whose pool has the servers, all inspected and up.
pub(super) fn start(setting: &Setting, places: &Places, folder: &Path) -> Result<Running, Error> {
    let redis = start_redis(folder, BOTH_CORES)?;
    let registry = format!("redis://{}", redis.1);
    let role = |role: &str, flags: &[(&str, &str)]| -> Launch {
        // The others have both cores until all is set up, which takes them a while with ten thousand servers.
        let is_alone = role == "balancer" && setting.threads == 1;
        let cores = if is_alone { PROXY_CORE } else { BOTH_CORES };
        let launch = Launch::new(role, cores, &places.roundhouse, folder).args([
            role,
            "--registry",
            &registry,
            "--log",
            "warn",
        ]);
        launch.args(flags.iter().flat_map(|(flag, value)| [*flag, *value]))
    };
    let [listen, listen_tls, ops, api, inspector] = free_addresses()?;
    let inspecting = role("orchestrator", &[("--ops", &inspector.to_string())])
        .start()?
        .listening(inspector)?;
    let operating = role("admin-api", &[("--listen", &api.to_string())])
        .start()?
        .listening(api)?;
    let admin = Admin::new(api);
    admin.set_up(&setting.servers, setting.algorithm)?;
    if let Some(document) = setting.rules.document() {
        admin.import(&document)?;
    }
    let (address, operators) = (listen.to_string(), ops.to_string());
    let threads = setting.threads.to_string();
    let mut flags = vec![
        ("--listen", &*address),
        ("--ops", &*operators),
        ("--threads", &*threads),
    ];
    let secured = setting.identity.as_ref().map(|identity| {
        let folder = identity.folder.to_string_lossy();
        (listen_tls.to_string(), folder)
    });
    if let Some((address, folder)) = &secured {
        flags.extend([
            ("--listen-tls", &**address),
            ("--certificate-dir", folder),
            // A client that opens no connection anew would be left without one.
            ("--keep-alive-requests", "0"),
        ]);
    }
    let clients = if secured.is_some() {
        listen_tls
    } else {
        listen
    };
    let process = role("balancer", &flags).start()?.listening(clients)?;
    admin.await_ready(ops)?;
    let others = vec![redis.0, inspecting, operating];
    others
        .iter()
        .try_for_each(|process| process.pin(OTHER_CORE))?;
    Ok(Running {
        address: clients,
        process,
        admin: Some(admin),
        _others: others,
    })
}

fn free_addresses<const N: usize>() -> Result<[SocketAddr; N], Error> {
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        *address = free_address()?;
    }
    Ok(addresses)
}
