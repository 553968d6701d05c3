//! What certificates say, and how their private keys are kept: chains read and checked, keys sealed and opened.
//!
//! The admin API seals (`SealTo`), and cannot open; balancers open (`SealKeys`). No I/O: texts come in, and go out. What must not be
//! seen is in types that do not print, and is wiped when they go.

mod chain;
mod chains;
mod key;
mod seal;
#[cfg(feature = "testing")]
pub mod testing;

pub use chain::{Chain, ChainError, WARN_WITHIN, parse_roots, subject_of};
pub use chains::{Chains, ChainsById};
pub use key::{KeyError, PrivateKey};
pub use seal::{OpenError, SealKey, SealKeyError, SealKeys, SealKeysError, SealTo};
