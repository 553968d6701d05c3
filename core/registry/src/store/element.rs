//! Elements as the registry stores them: JSON text of a stamp around the value's own JSON, and its digest.
//!
//! The text is put together by concatenation, here and in the scripts alike, and never written anew by a JSON
//! library: the same commit leaves the same bytes in every backend.

use model::Revision;
use serde_json::Value;
use sha1_smol::Sha1;

use crate::Digest;

/// What the commit assigns to an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) revision: Revision,
    pub(crate) created: Revision,
    pub(crate) ordinal: u32,
    pub(crate) incarnation: Revision,
}

/// The sums of digests wrap here: a Lua number holds them without loss.
const DIGEST_MODULUS: u64 = 1 << 48;

impl Stamp {
    /// The stored text of a value with this stamp.
    pub(crate) fn wrap(&self, value: &str) -> String {
        format!(
            r#"{{"revision":{},"created":{},"ordinal":{},"incarnation":{},"value":{value}}}"#,
            self.revision, self.created, self.ordinal, self.incarnation
        )
    }

    /// The stamp of a stored text. Nothing for what no commit wrote.
    pub(crate) fn read(stored: &Value) -> Option<Self> {
        let number = |name: &str| stored.get(name).and_then(Value::as_u64);
        Some(Self {
            revision: Revision(number("revision")?),
            created: Revision(number("created")?),
            ordinal: u32::try_from(number("ordinal")?).ok()?,
            incarnation: Revision(number("incarnation")?),
        })
    }
}

/// The value's own JSON within a stored text.
pub(crate) fn value_text(stored: &str) -> Option<&str> {
    let (_, value) = stored.split_once(r#","value":"#)?;
    value.strip_suffix('}')
}

impl Digest {
    /// Counts an element in.
    pub(crate) fn add(&mut self, key: &[u8], stored: &[u8]) {
        self.count += 1;
        self.sum = (self.sum + share(key, stored)) % DIGEST_MODULUS;
    }

    /// Counts an element out. What was never counted in leaves a digest that matches nothing.
    pub(crate) fn remove(&mut self, key: &[u8], stored: &[u8]) {
        self.count = self.count.saturating_sub(1);
        self.sum = (self.sum + DIGEST_MODULUS - share(key, stored)) % DIGEST_MODULUS;
    }
}

/// One element's share in its collection's digest: the first 48 bits of SHA-1 over `key NUL stored`.
fn share(key: &[u8], stored: &[u8]) -> u64 {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(&[0]);
    hash.update(stored);
    hash.digest().bytes()[..6]
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            revision: Revision(9),
            created: Revision(2),
            ordinal: 1,
            incarnation: Revision(5),
        }
    }

    #[test]
    fn a_stored_text_gives_back_its_stamp_and_the_very_bytes_of_its_value() {
        let value = r#"{"list":[],"object":{},"value":1.50,"text":",\"value\":"}"#;
        let stored = stamp().wrap(value);
        let parsed = serde_json::from_str(&stored).expect("JSON");
        assert_eq!(Stamp::read(&parsed), Some(stamp()));
        assert_eq!(value_text(&stored), Some(value));
    }

    #[test]
    fn a_text_without_a_stamp_has_none() {
        for text in ["1", "[]", "{}", r#"{"revision":"9"}"#] {
            let parsed = serde_json::from_str(text).expect("JSON");
            assert_eq!(Stamp::read(&parsed), None, "{text}");
        }
    }

    #[test]
    fn a_digest_does_not_depend_on_order_and_forgets_what_is_removed() {
        let (mut forth, mut back) = (Digest::default(), Digest::default());
        forth.add(b"a", b"1");
        forth.add(b"b", b"2");
        back.add(b"b", b"2");
        back.add(b"a", b"1");
        assert_eq!(forth, back);
        back.remove(b"b", b"2");
        back.remove(b"a", b"1");
        assert_eq!(back, Digest::default());
    }

    #[test]
    fn a_digest_tells_a_key_from_its_value() {
        let (mut one, mut other) = (Digest::default(), Digest::default());
        one.add(b"ab", b"c");
        other.add(b"a", b"bc");
        assert_ne!(one, other);
    }
}
