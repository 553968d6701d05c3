//! The name of a protocol that a client asks to change to, kept beside the head: its bytes are gone by the time the server
//! says which one it has changed to.

use super::name::is_token;

/// Bytes of a protocol's name, at most. All that are registered are far shorter.
const PROTOCOL_MAX: usize = 32;

/// A protocol as the client named it (`websocket`, `IRC/6.9`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol {
    name: [u8; PROTOCOL_MAX],
    length: u8,
}

impl Protocol {
    /// The one protocol that `value`, of an Upgrade field, names; `None` where it names several or none, or is too long.
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut parts = value.splitn(2, |byte| *byte == b'/');
        if value.len() > PROTOCOL_MAX || !parts.all(is_token) {
            return None;
        }
        let mut name = [0; PROTOCOL_MAX];
        name[..value.len()].copy_from_slice(value);
        let length = u8::try_from(value.len()).ok()?;
        Some(Self { name, length })
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.name[..usize::from(self.length)]
    }

    /// Whether `value` names this protocol, in any case of letters.
    pub(super) fn is_named(&self, value: &[u8]) -> bool {
        self.bytes().eq_ignore_ascii_case(value)
    }
}
