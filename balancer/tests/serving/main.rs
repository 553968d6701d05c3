//! A balancer in this process, over real sockets: clients and servers that do what each test tells them to.

mod bodies;
mod cases;
mod client;
mod connections;
mod draining;
mod failures;
mod fleet;
mod handover;
mod limits;
mod membership;
mod origin;
mod places;
mod refused;
mod retrying;
mod rotation;
mod stopping;
mod upstream;
mod verdicts;
mod websocket;
mod wire;
