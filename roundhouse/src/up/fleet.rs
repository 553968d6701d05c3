//! The roles of a fleet in one process: started in order, shown to who started them.

use std::sync::Arc;

use admin_api::AdminApi;
use balancer::Balancer;
use demo_servers::DemoServer;
use orchestrator::Orchestrator;
use registry::Registry;
use runtime::{reachable, row, tls_row};

use super::StartError;
use super::args::{Args, Seal};
use super::stages::Stages;

/// The roles of a running fleet.
pub(super) struct Fleet {
    orchestrator: Orchestrator,
    admin: AdminApi,
    servers: Vec<DemoServer>,
    balancers: Vec<Balancer>,
}

impl Fleet {
    pub(super) async fn start(
        args: &Args,
        seal: &Seal,
        registry: Arc<dyn Registry>,
        stages: &Stages,
    ) -> Result<Self, StartError> {
        let orchestrator =
            Orchestrator::start(args.orchestrator(), registry.clone(), &stages.control).await?;
        let admin = AdminApi::start(args.admin(seal), registry.clone(), &stages.control).await?;
        // A server that came before there is a fleet would complain that it cannot register.
        admin.ready().await;
        let mut servers = Vec::new();
        for index in 0..args.servers {
            let server = args.server(index, admin.address())?;
            let server = DemoServer::start(server, &stages.servers).await?;
            // One after another, so that the order of creation is theirs.
            server.ready().await;
            servers.push(server);
        }
        // Last, so that the first verdicts they wait for are those on every server.
        let mut balancers = Vec::new();
        for index in 0..args.balancers {
            let balancer = args.balancer(index, seal)?;
            balancers.push(Balancer::start(balancer, registry.clone(), &stages.balancers).await?);
        }
        Ok(Self {
            orchestrator,
            admin,
            servers,
            balancers,
        })
    }

    pub(super) async fn ready(&self) {
        for balancer in &self.balancers {
            balancer.ready().await;
        }
    }

    pub(super) fn show(&self, args: &Args) {
        let counts = format!(
            "{} and {}",
            count(args.balancers, "balancer"),
            count(args.servers, "server")
        );
        println!(
            "Roundhouse runs with {counts} on the registry {}.\n",
            args.registry.registry
        );
        for row in self.rows() {
            println!("  {row}");
        }
        self.suggest();
        println!("\nCtrl-C ends it.");
    }

    /// A line for each role.
    fn rows(&self) -> Vec<String> {
        let balancers = (1..).zip(&self.balancers).flat_map(|(number, balancer)| {
            let role = format!("balancer {number}");
            let (address, ops) = (balancer.address(), balancer.ops_address());
            let tls = balancer.tls_address().map(|it| tls_row(&role, it));
            [Some(row(&role, Some(address), Some(ops))), tls]
        });
        let balancers = balancers.flatten();
        let admin = &self.admin;
        let control = [
            row("admin API", Some(admin.address()), admin.ops_address()),
            row("orchestrator", None, Some(self.orchestrator.address())),
        ];
        let servers = self.servers.iter().map(|server| {
            let role = format!("server {}", server.name());
            row(&role, Some(server.address()), None)
        });
        balancers.chain(control).chain(servers).collect()
    }

    /// Three lines to try.
    fn suggest(&self) {
        println!("\nTry:");
        if let Some(balancer) = self.balancers.first() {
            println!("  curl {}", reachable(balancer.address()));
        }
        if let Some(server) = self.servers.get(1).or(self.servers.first()) {
            println!("  curl -X POST {}/-/fail", reachable(server.address()));
        }
        let admin = reachable(self.admin.address());
        println!("  curl {admin}/v1/pools/default/servers");
    }
}

fn count(number: u16, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
