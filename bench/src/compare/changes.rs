//! Membership changes while something else is done.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::Error;
use crate::admin::{Admin, CHANGE_EACH};

/// Does something while a server comes and goes, and says how many changes a second there were.
pub(super) fn while_changing<T>(
    admin: &Admin,
    server: SocketAddrV4,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<(T, f64), Error> {
    let over = AtomicBool::new(false);
    let began = Instant::now();
    thread::scope(|scope| {
        let changes = scope.spawn(|| change_until(&over, admin, server));
        let done = work();
        over.store(true, Ordering::Relaxed);
        let changes = changes.join();
        let changes =
            changes.map_err(|_| Error::Unfit("the changes could not be made".into()))??;
        Ok((done?, changes as f64 / began.elapsed().as_secs_f64()))
    })
}

/// Adds and removes a server by turns, at even distances, and says how often.
fn change_until(over: &AtomicBool, admin: &Admin, server: SocketAddrV4) -> Result<u64, Error> {
    let mut due = Instant::now();
    let mut changes = 0;
    while !over.load(Ordering::Relaxed) {
        for change in [
            |admin: &Admin, server| admin.add("extra", server),
            |admin: &Admin, _| admin.remove("extra"),
        ] {
            change(admin, server)?;
            changes += 1;
            due += CHANGE_EACH;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    }
    Ok(changes)
}
