//! How the servers of each pool are called, made once for as long as a pool says the same.

use std::collections::HashMap;
use std::sync::Arc;

use model::{Pool, PoolId};

use crate::{Calling, Failure, HostRoots};

/// Those of one who probes. It has no keys: servers that ask for a certificate are shown none.
#[derive(Debug, Default)]
pub struct Callers {
    roots: HostRoots,
    known: HashMap<PoolId, Arc<Calling>>,
}

impl Callers {
    /// How the servers of a pool are called; nothing where that is without TLS.
    ///
    /// # Errors
    /// What the pool says cannot be used.
    pub fn calling(&mut self, pool: &Pool) -> Result<Option<Arc<Calling>>, Failure> {
        if !pool.tls.enabled {
            self.known.remove(&pool.id);
            return Ok(None);
        }
        let known = self.known.get(&pool.id);
        if let Some(known) = known.filter(|known| known.is_of(pool, None)) {
            return Ok(Some(Arc::clone(known)));
        }
        let made = Calling::new(pool, None, &self.roots).map_err(Failure::Tls)?;
        let made = Arc::new(made);
        self.known.insert(pool.id.clone(), Arc::clone(&made));
        Ok(Some(made))
    }
}
