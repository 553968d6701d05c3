//! What things are: ids, pools, servers, verdicts, changes and the snapshot they make up.
//!
//! Data only. Every other crate speaks in these types; this one performs no I/O, knows no clock and
//! decides nothing that is not a property of the data itself.

mod certificate;
mod change;
mod collection;
mod document;
mod duration;
mod elements;
mod firewall;
mod health;
mod ids;
mod limit;
mod listener;
mod path;
mod pool;
mod position;
mod report;
mod route;
mod secret;
mod server;
mod snapshot;
mod stamp;
mod validate;

pub use certificate::{Certificate, KeptKey, SealedKey};
pub use change::{Author, Change, Delta, Entry};
pub use collection::{Collection, NoCollection, OtherCollection};
pub use document::Fleet;
pub use duration::{duration_from, format_duration, parse_duration};
pub use elements::{Elements, differing};
pub use firewall::{
    Firewall, InvalidNetwork, NETWORKS_MAX, NetworkList, Networks, check_network, parse_network,
};
pub use health::{Health, Verdict};
pub use ids::{
    CertificateId, FleetName, InvalidName, LimitId, ListenerId, NAME_LENGTH_MAX, NetworkListId,
    PoolId, RouteId, SecretId, ServerId, ServerKey,
};
pub use limit::{Limit, LimitMode, LimitPart, WithoutRegistry};
pub use listener::{Alpn, ClientCertificates, ClientVerify, Listener, ListenerTls, TlsVersion};
pub use path::{BadPath, NormalPath};
pub use pool::{
    Algorithm, CheckKind, Circuit, Guard, HashOn, Hashing, HealthCheck, Outlier, Paths, Pool,
    PoolTls, Probes, ProbesFrom, Protocol, Queue, Retry, SameSite, StatusRange, Sticky, StickyKind,
    Timeouts,
};
pub use position::{Epoch, InstanceId, Moment, Position, Revision, RevisionId, Term};
pub use report::{
    Hold, HoldDecision, Instance, Nack, Nacks, Origin, Registration, Report, Role, Ruling,
    ServerLoad, Suspicion, SuspicionKind,
};
pub use route::{
    Action, Answer, Claim, Condition, FieldValue, HeaderChanges, Hsts, PathClaim, Redirect,
    RedirectStatus, Rewrite, Route, RouteTimeouts, Scheme, Share, Split, SplitBy, Test,
};
pub use secret::{NoKey, Secret, SecretKey};
pub use server::{Server, ServerState, WEIGHT_MAX};
pub use snapshot::{Fault, Snapshot, Unread};
pub use stamp::Stamped;
pub use validate::{
    Problem, Unknown, first_grave, validate_certificate, validate_limit, validate_listener,
    validate_networks, validate_pool, validate_route, validate_server,
};
