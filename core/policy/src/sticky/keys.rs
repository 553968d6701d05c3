//! The keys that cookies are made with, prepared: the fleet's own, and the one before it.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use model::{Secret, SecretId, SecretKey, Snapshot, Stamped};
use sha2::Sha256;

/// HMAC with SHA-256 (RFC 2104), of which half is kept (RFC 2104, 5).
type Code = Hmac<Sha256>;

/// How many bytes of a code are kept.
pub(super) const CODE_LENGTH: usize = 16;

/// Both keys of one secret.
pub(crate) struct Keys {
    secret: Arc<Stamped<Secret>>,
    current: Code,
    previous: Option<Code>,
}

impl Keys {
    /// Those of the fleet, where it has any; the same as before where they are.
    pub(crate) fn of(snapshot: &Snapshot, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let secret = snapshot.secrets.get(&SecretId::sticky())?;
        let same = before.filter(|before| before.secret.value == secret.value);
        Some(same.map_or_else(|| Arc::new(Self::new(secret)), Arc::clone))
    }

    fn new(secret: &Arc<Stamped<Secret>>) -> Self {
        Self {
            current: code(&secret.value.current),
            previous: secret.value.previous.as_ref().map(code),
            secret: Arc::clone(secret),
        }
    }

    /// The code of a text under the key of today.
    pub(super) fn current(&self, text: &[u8]) -> [u8; CODE_LENGTH] {
        shortened(&self.current, text)
    }

    /// The same under the key before it.
    pub(super) fn previous(&self, text: &[u8]) -> Option<[u8; CODE_LENGTH]> {
        let previous = self.previous.as_ref()?;
        Some(shortened(previous, text))
    }
}

/// What it is made of is not shown.
impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

fn code(key: &SecretKey) -> Code {
    Code::new_from_slice(key.bytes()).expect("HMAC takes a key of any length")
}

fn shortened(code: &Code, text: &[u8]) -> [u8; CODE_LENGTH] {
    let whole = code.clone().chain_update(text).finalize().into_bytes();
    std::array::from_fn(|index| whole[index])
}
