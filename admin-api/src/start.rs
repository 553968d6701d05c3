//! Starting the admin API: sockets and tokens first, then its tasks.

use std::net::SocketAddr;
use std::sync::Arc;

use certificates::{Chains, SealKeyError};
use registry::{Durability, FollowOptions, Listings, Registry, View, follow};
use runtime::{BindError, Supervisor, bind, ops_router, serve_ops};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::Args;
use crate::app::App;
use crate::auth::{Access, AccessError};
use crate::events::Feed;
use crate::handlers::explain::Compiled;
use crate::metrics::Metrics;
use crate::problem::because;
use crate::resource::Means;
use crate::router::router;
use crate::serve::serve;

/// Why the admin API did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The flags ask for what cannot be.
    #[error(transparent)]
    Configuration(#[from] ConfigurationError),
    #[error("--listen: {0}")]
    Listen(BindError),
    #[error("--ops: {0}")]
    Ops(BindError),
}

/// Flags that ask for what cannot be; nothing was opened.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ConfigurationError(#[from] Impossible);

#[derive(Debug, thiserror::Error)]
enum Impossible {
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(
        "--durability {0}: the registry within one process has no replicas to wait for: name a Redis by --registry, or none here"
    )]
    Durability(Durability),
    #[error("--seal-to {0}")]
    SealTo(SealKeyError),
}

/// A running admin API.
#[derive(Debug)]
pub struct AdminApi {
    address: SocketAddr,
    ops_address: Option<SocketAddr>,
    views: watch::Receiver<Arc<View>>,
}

impl Args {
    /// Whether these flags can be followed, before anything is opened.
    ///
    /// # Errors
    /// One line that names the flag.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        self.means()?;
        self.access().map(drop)
    }

    fn means(&self) -> Result<Means, ConfigurationError> {
        let seal_to = self.seal_to.clone().transpose();
        let seal_to = seal_to.map_err(Impossible::SealTo)?;
        Ok(Means { seal_to })
    }

    fn access(&self) -> Result<Access, ConfigurationError> {
        let durability = self.durability;
        if durability != Durability::None && self.registry.is_within_process() {
            return Err(Impossible::Durability(durability).into());
        }
        let access = Access::open(self.listen, self.token_file.as_deref());
        access.map_err(|error| Impossible::from(error).into())
    }
}

impl AdminApi {
    /// Binds, then spawns on the supervisor.
    ///
    /// # Errors
    /// One line that names the flag or the port.
    pub async fn start(
        args: Args,
        registry: Arc<dyn Registry>,
        supervisor: &Supervisor,
    ) -> Result<Self, StartError> {
        let access = args.access()?;
        let means = args.means()?;
        let listener = bind(args.listen).await.map_err(StartError::Listen)?;
        let ops = match args.ops {
            Some(address) => Some(bind(address).await.map_err(StartError::Ops)?),
            None => None,
        };
        let (sender, views) = watch::channel(Arc::new(View::default()));
        let started = Self {
            address: address_of(&listener),
            ops_address: ops.as_ref().map(address_of),
            views: views.clone(),
        };
        let options = FollowOptions {
            audit: true,
            ..FollowOptions::new(args.registry.fleet.clone())
        };
        let following = follow(
            Arc::clone(&registry),
            options,
            sender,
            supervisor.stop_token(),
        );
        supervisor.spawn("admin-api follower", following);
        let metrics = runtime::Metrics::new();
        let app = |feed: Feed| App {
            registry: Arc::clone(&registry),
            views: views.clone(),
            access,
            feed,
            metrics: Metrics::register(&metrics),
            stop: supervisor.stop_token(),
            durability: args.durability,
            turn: Semaphore::new(1),
            listings: Listings::default(),
            routes: Compiled::default(),
            chains: Chains::default(),
            means,
        };
        open(listener, app, supervisor);
        if let Some(listener) = ops {
            let router = ops_router(metrics, move || readiness(&views.borrow()));
            let serving = serve_ops(listener, router, supervisor.stop_token());
            supervisor.spawn("admin-api ops", serving);
        }
        Ok(started)
    }

    /// Where the API is reached.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where /livez, /readyz and /metrics are, if anywhere.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops_address
    }

    /// Returns once the registry has been read.
    pub async fn ready(&self) {
        let mut views = self.views.clone();
        // The follower ends only with the process.
        let _ = views.wait_for(|view| readiness(view).is_ok()).await;
    }
}

fn open(listener: TcpListener, app: impl FnOnce(Feed) -> App, supervisor: &Supervisor) {
    let app = Arc::new(app(Feed::new()));
    let reporter = app
        .feed
        .reporter(Arc::clone(&app.registry), app.views.clone());
    supervisor.spawn("admin-api events", reporter.run(supervisor.stop_token()));
    let serving = serve(listener, router(&app), supervisor.stop_token());
    supervisor.spawn("admin-api", serving);
}

fn address_of(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .expect("a bound listener has an address")
}

fn readiness(view: &View) -> Result<(), String> {
    let because = because(view.trouble.as_ref());
    match (&view.snapshot, view.connected) {
        (Some(_), true) => Ok(()),
        (Some(_), false) => Err(format!("the registry cannot be followed{because}")),
        (None, _) if view.head_missing => Err("the registry holds no fleet yet".into()),
        (None, _) => Err(format!("the registry has not been read yet{because}")),
    }
}
