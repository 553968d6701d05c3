//! A secret of the fleet: keys that its processes make and share, and that no person need ever see.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{SecretId, Unknown};

const KEY_LENGTH: usize = 32;

/// A key of 256 bits, written as 64 hexadecimal digits where it is stored, and nowhere else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretKey([u8; KEY_LENGTH]);

/// What is no key. It does not repeat what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is no key of 64 hexadecimal digits")]
pub struct NoKey;

/// A key, and the one before it, which still counts for what was made with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Secret {
    pub id: SecretId,
    pub current: SecretKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SecretKey>,
    #[serde(flatten)]
    pub unknown: Unknown,
}

impl SecretKey {
    pub fn new(bytes: [u8; KEY_LENGTH]) -> Self {
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }
}

impl Secret {
    /// A first key.
    pub fn new(id: SecretId, key: SecretKey) -> Self {
        Self {
            id,
            current: key,
            previous: None,
            unknown: Unknown::default(),
        }
    }

    /// The same with another key. The one before the last counts no more.
    pub fn rotated(&self, key: SecretKey) -> Self {
        Self {
            id: self.id.clone(),
            current: key,
            previous: Some(self.current.clone()),
            unknown: self.unknown.clone(),
        }
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

impl From<SecretKey> for String {
    fn from(key: SecretKey) -> Self {
        key.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl TryFrom<String> for SecretKey {
    type Error = NoKey;

    fn try_from(text: String) -> Result<Self, NoKey> {
        let digits = text.as_bytes();
        if digits.len() != 2 * KEY_LENGTH || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(NoKey);
        }
        let mut bytes = [0; KEY_LENGTH];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = str::from_utf8(pair).map_err(|_| NoKey)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NoKey)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret() -> Secret {
        Secret::new(SecretId::sticky(), SecretKey::new([0xab; KEY_LENGTH]))
    }

    #[test]
    fn a_secret_is_stored_whole_and_never_shown_in_the_debug_output() {
        let rotated = secret().rotated(SecretKey::new([0x01; KEY_LENGTH]));
        let stored = serde_json::to_value(&rotated).expect("JSON");
        assert_eq!(stored["current"], "01".repeat(KEY_LENGTH));
        assert_eq!(stored["previous"], "ab".repeat(KEY_LENGTH));
        assert_eq!(
            serde_json::from_value::<Secret>(stored).expect("a secret"),
            rotated
        );
        let shown = format!("{rotated:?}");
        assert!(!shown.contains("ab") && !shown.contains("171"), "{shown}");
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in [
            "",
            "abcd",
            &"x".repeat(64),
            &"é".repeat(32),
            &"a".repeat(65),
        ] {
            let secret = json!({"id": "sticky", "current": text});
            let error = serde_json::from_value::<Secret>(secret).expect_err("no key");
            assert!(error.to_string().starts_with("is no key"), "{error}");
        }
    }
}
