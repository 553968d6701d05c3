//! What the chains of a fleet's certificates say, each read once for as long as it stays as it is: whoever is asked for their ends each few
//! seconds parses none of them again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::{Certificate, CertificateId, Elements, differing};

use crate::Chain;

/// The chains of the certificates that were asked for last.
#[derive(Debug, Default)]
pub struct Chains(Mutex<Read>);

/// Those that can be read, by name.
pub type ChainsById = Arc<BTreeMap<CertificateId, Arc<Chain>>>;

#[derive(Debug, Default)]
struct Read {
    of: Elements<CertificateId, Certificate>,
    chains: ChainsById,
}

impl Chains {
    /// Reads those that differ from the last time. One that cannot be read is left out, as other hands may have written it: balancers
    /// report it by name.
    pub fn of(&self, certificates: &Elements<CertificateId, Certificate>) -> ChainsById {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Read { of, chains } = &mut *read;
        for id in differing(of, certificates) {
            let chains = Arc::make_mut(chains);
            let certificate = certificates.get(id);
            match certificate.and_then(|it| Chain::parse(&it.value.chain).ok()) {
                Some(chain) => chains.insert(id.clone(), Arc::new(chain)),
                None => chains.remove(id),
            };
        }
        *of = certificates.clone();
        Arc::clone(chains)
    }
}
