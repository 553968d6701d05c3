//! A balancer as a process: from its flags to its exit code.

use std::process::ExitCode;
use std::time::Duration;

use runtime::{Ending, LogOptions};

use crate::{Args, Balancer, Inherited, StartError, handover};

/// What ending in order may take beside the drain time.
const GRACE: Duration = Duration::from_secs(10);

/// Runs a balancer until it is told to end.
pub fn run(args: Args, log: &LogOptions) -> ExitCode {
    if let Err(problem) = args.check() {
        return runtime::misused(problem);
    }
    let registry = match registry::open_shared(&args.registry) {
        Ok(registry) => registry,
        Err(error) => return runtime::misused(error),
    };
    let inherited = match Inherited::take() {
        Ok(inherited) => inherited,
        Err(error) => return runtime::misused(error),
    };
    let ending = Ending {
        within: args
            .shutdown_delay
            .saturating_add(args.drain_timeout)
            .saturating_add(GRACE),
        awaits: "the requests under way",
    };
    runtime::run(log, ending, async |supervisor| {
        if args.handover.is_some() {
            let stop = supervisor.stop_token();
            supervisor.spawn("balancer successor", handover::respawn(stop));
        }
        let balancer = Balancer::start_on(inherited, args, registry, &supervisor).await?;
        balancer.accepting().await;
        let (address, ops) = (balancer.address(), balancer.ops_address());
        runtime::announce("balancer", Some(address), Some(ops));
        if let Some(address) = balancer.tls_address() {
            runtime::announce_tls("balancer", address);
        }
        let noticed = balancer.give_notice(supervisor.stop_token());
        supervisor.spawn("balancer notices", noticed);
        Ok::<_, StartError>(balancer)
    })
}
