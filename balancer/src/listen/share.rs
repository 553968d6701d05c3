//! Which worker accepts at which listener. Every listener is served by somebody: the kernel would go on filling the queue of
//! one that is not, and its clients would hang.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::SockRef;

use super::join;

/// Adds listeners until there is one per worker at each address, where the kernel spreads connections over several. Those that
/// are added do not listen yet: the kernel would send them connections that nobody accepts before this process serves.
pub(crate) fn complete(listeners: &mut Vec<TcpListener>, workers: usize) -> io::Result<()> {
    for address in addresses(listeners)? {
        let of_address: Vec<_> = at(listeners, address).collect();
        let shared = of_address
            .iter()
            .all(|one| SockRef::from(*one).reuse_port().unwrap_or(false));
        let missing = workers.saturating_sub(of_address.len());
        for _ in 0..if shared { missing } else { 0 } {
            match join(&address.into()) {
                Ok(socket) => listeners.push(socket.into()),
                Err(error) => {
                    tracing::info!(%address, %error, "threads share listeners: no more can join them");
                    break;
                }
            }
        }
    }
    Ok(())
}

/// Deals them out: as many of its own to each worker, and what is left over to all of them.
pub(crate) fn deal(
    listeners: Vec<TcpListener>,
    workers: usize,
) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut dealt: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let mut left = listeners;
    for address in addresses(&left)? {
        let (here, others): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|one| one.local_addr().is_ok_and(|its| its == address));
        left = others;
        let own = here.len() / workers * workers;
        for (index, listener) in here.into_iter().enumerate() {
            if index < own {
                dealt[index % workers].push(listener);
                continue;
            }
            for worker in &mut dealt {
                worker.push(listener.try_clone()?);
            }
        }
    }
    Ok(dealt)
}

/// The different addresses, in the order of the listeners.
fn addresses(listeners: &[TcpListener]) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for listener in listeners {
        let address = listener.local_addr()?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn at(listeners: &[TcpListener], address: SocketAddr) -> impl Iterator<Item = &TcpListener> {
    let is_there = move |one: &&TcpListener| one.local_addr().is_ok_and(|its| its == address);
    listeners.iter().filter(is_there)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;

    use super::*;
    use crate::listen::bind;

    fn any() -> SocketAddr {
        "127.0.0.1:0".parse().unwrap()
    }

    /// The socket behind a descriptor, as the kernel names it.
    fn socket(listener: &TcpListener) -> PathBuf {
        let descriptor = listener.as_raw_fd();
        std::fs::read_link(format!("/proc/self/fd/{descriptor}")).unwrap()
    }

    /// How many workers serve each socket.
    fn served(dealt: &[Vec<TcpListener>]) -> BTreeMap<PathBuf, usize> {
        let mut served = BTreeMap::new();
        for listener in dealt.iter().flatten() {
            *served.entry(socket(listener)).or_default() += 1;
        }
        served
    }

    fn dealt(sockets: usize, workers: usize) -> Vec<Vec<TcpListener>> {
        let mut listeners = bind(any(), sockets).unwrap();
        complete(&mut listeners, workers).unwrap();
        deal(listeners, workers).unwrap()
    }

    #[test]
    fn every_listener_is_served_and_each_worker_has_as_many_of_its_own() {
        for (sockets, workers, each, in_all) in [
            (2, 2, 1, 2),
            (1, 4, 1, 4),
            (4, 2, 2, 4),
            (4, 1, 4, 4),
            // Two left over: all three workers serve both of them.
            (5, 3, 3, 5),
        ] {
            let dealt = dealt(sockets, workers);
            assert!(dealt.iter().all(|own| own.len() == each), "{dealt:?}");
            assert_eq!(served(&dealt).len(), in_all, "{dealt:?}");
        }
    }

    #[test]
    fn a_listener_that_no_other_may_join_is_served_by_all() {
        let alone = TcpListener::bind(any()).unwrap();
        let mut listeners = vec![alone.try_clone().unwrap()];
        complete(&mut listeners, 3).unwrap();
        let dealt = deal(listeners, 3).unwrap();
        assert_eq!(served(&dealt), [(socket(&alone), 3)].into());
    }

    #[test]
    fn each_address_is_dealt_out_by_itself() {
        let mut listeners = bind(any(), 1).unwrap();
        listeners.extend(bind(any(), 2).unwrap());
        complete(&mut listeners, 2).unwrap();
        let dealt = deal(listeners, 2).unwrap();
        for own in &dealt {
            assert_eq!(addresses(own).unwrap().len(), 2, "{dealt:?}");
        }
    }

    #[test]
    fn what_joins_gets_no_connection_before_it_listens() {
        let mut listeners = bind(any(), 1).unwrap();
        complete(&mut listeners, 8).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let clients: Vec<_> = (0..64)
            .map(|_| std::net::TcpStream::connect(address).unwrap())
            .collect();
        for _ in &clients {
            listeners[0].accept().unwrap();
        }
    }
}
