//! How the servers of each pool are called, made once for as long as a pool says the same.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Elements, Pool, PoolId, PoolTls, Protocol};

use crate::{Calling, Failure, HostRoots};

/// Those of one who probes. It has no keys: servers that ask for a certificate are shown none.
#[derive(Debug, Default)]
pub struct Callers {
    roots: HostRoots,
    known: HashMap<PoolId, Known>,
}

/// What was made of a pool's settings, or why they cannot be used.
#[derive(Debug)]
struct Known {
    settings: PoolTls,
    protocol: Protocol,
    made: Result<Arc<Calling>, Failure>,
}

impl Callers {
    /// How a server is called that was added by this name, if by any, of a pool that was taken in; nothing where that is without TLS.
    ///
    /// # Errors
    /// What the pool says cannot be used.
    pub fn calling(
        &mut self,
        pool: &Pool,
        hostname: Option<&str>,
    ) -> Result<Option<Arc<Calling>>, Failure> {
        if !pool.tls.enabled {
            self.known.remove(&pool.id);
            return Ok(None);
        }
        let known = self.known.get(&pool.id);
        let made = match known.filter(|known| known.is_of(pool)) {
            Some(known) => known.made.clone(),
            None => self.make(pool),
        }?;
        Ok(Some(match hostname {
            Some(_) if made.asks_by_server() => Arc::new(made.to(hostname)),
            _ => made,
        }))
    }

    fn make(&mut self, pool: &Pool) -> Result<Arc<Calling>, Failure> {
        let made = Calling::new(pool, None, &self.roots).map(Arc::new);
        let made = made.map_err(Failure::Tls);
        let known = Known {
            settings: pool.tls.clone(),
            protocol: pool.protocol,
            made: made.clone(),
        };
        self.known.insert(pool.id.clone(), known);
        made
    }

    /// Takes in the pools that there are, before servers of theirs are called, and forgets all others.
    pub async fn take_in(&mut self, pools: &Elements<PoolId, Pool>) {
        self.known.retain(|id, _| pools.contains_key(id));
        self.roots.read_for(pools).await;
    }
}

impl Known {
    fn is_of(&self, pool: &Pool) -> bool {
        self.settings == pool.tls && self.protocol == pool.protocol
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        let mut pool = Pool::new(PoolId::standard());
        pool.tls.enabled = true;
        pool.tls.verify = false;
        pool
    }

    #[tokio::test]
    async fn what_was_made_of_a_pool_is_kept_while_the_pool_is_there_and_says_the_same() {
        let (mut callers, mut pool) = (Callers::default(), pool());
        let call = |callers: &mut Callers, pool: &Pool| {
            let calling = callers.calling(pool, None).expect("settings");
            calling.expect("within TLS")
        };
        let first = call(&mut callers, &pool);
        assert!(Arc::ptr_eq(&first, &call(&mut callers, &pool)));
        pool.protocol = Protocol::H2;
        assert!(!first.is_same(&call(&mut callers, &pool)));
        callers.take_in(&Elements::new()).await;
        assert!(callers.known.is_empty());
    }

    #[test]
    fn that_a_pool_cannot_be_called_is_kept_too() {
        let (mut callers, mut pool) = (Callers::default(), pool());
        pool.tls.verify = true;
        pool.tls.ca = "no root".into();
        let failed = callers.calling(&pool, None).expect_err("no root");
        let known = callers.known.get(&pool.id).expect("it is kept");
        assert_eq!(known.made.as_ref().err(), Some(&failed));
        assert_eq!(callers.calling(&pool, None).err(), Some(failed));
        pool.tls.verify = false;
        assert!(
            callers
                .calling(&pool, None)
                .is_ok_and(|made| made.is_some())
        );
    }
}
