//! Tickets by which clients resume sessions (RFC 8446, 4.6.1; RFC 5077), for all threads, and with a seal key for the whole fleet.
//!
//! With one, no key is kept or passed on: each is derived from the seal key and the time (HKDF, RFC 5869), so that every balancer has
//! the same, and a new one every few hours. Without one this process makes its own keys.

use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use ring::aead::{self, Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;

/// How long tickets are made with one key, in seconds.
const PERIOD: u64 = 6 * 60 * 60;

/// Bytes that name the key of a ticket.
const NAME_LEN: usize = 16;

/// The longest ticket that is looked at: the chain of a client's certificate is in it.
const TICKET_MAX: usize = 64 << 10;

/// What makes tickets of secrets that the fleet shares.
pub(crate) struct Tickets {
    /// Tickets are made by the first, and accepted by all: seal keys are rotated one balancer after another.
    secrets: Vec<hkdf::Prk>,
    /// What a session must have been begun under: where that has changed, its ticket is nobody's.
    context: Vec<u8>,
    keys: RwLock<Arc<Keys>>,
}

/// The keys of a period, and of those beside it: a ticket is older than its period soon, and hosts' clocks differ.
struct Keys {
    period: u64,
    current: Key,
    others: Vec<Key>,
}

struct Key {
    name: [u8; NAME_LEN],
    key: LessSafeKey,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets(..)")
    }
}

impl Tickets {
    /// Of secrets, if there are any.
    pub(crate) fn new(
        secrets: impl IntoIterator<Item = impl AsRef<[u8]>>,
        context: &[u8],
    ) -> Option<Self> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"roundhouse session tickets");
        let secrets = secrets.into_iter();
        let secrets: Vec<_> = secrets.map(|one| salt.extract(one.as_ref())).collect();
        let keys = Keys::of(&secrets, context, now())?;
        Some(Self {
            keys: RwLock::new(Arc::new(keys)),
            secrets,
            context: context.into(),
        })
    }

    /// Those of now.
    fn keys(&self, period: u64) -> Option<Arc<Keys>> {
        let keys = Arc::clone(&self.keys.read());
        if keys.period == period {
            return Some(keys);
        }
        let keys = Arc::new(Keys::of(&self.secrets, &self.context, period)?);
        *self.keys.write() = Arc::clone(&keys);
        Some(keys)
    }

    fn seal(&self, plain: &[u8], period: u64) -> Option<Vec<u8>> {
        let keys = self.keys(period)?;
        let Key { name, key } = &keys.current;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = [&name[..], &nonce, plain].concat();
        let (head, body) = ticket.split_at_mut(NAME_LEN + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from(&head), body);
        ticket.extend_from_slice(tag.ok()?.as_ref());
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], period: u64) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX {
            return None;
        }
        let (head, body) = ticket.split_at_checked(NAME_LEN + NONCE_LEN)?;
        let (name, nonce) = head.split_at(NAME_LEN);
        let keys = self.keys(period)?;
        let mut all = std::iter::once(&keys.current).chain(&keys.others);
        // A name is no secret.
        let known = all.find(|key| key.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = body.to_vec();
        let plain = known.key.open_in_place(nonce, Aad::from(head), &mut body);
        let length = plain.ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        2 * PERIOD as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now())
    }
}

/// The present period.
fn now() -> u64 {
    UnixTime::now().as_secs() / PERIOD
}

impl Keys {
    fn of(secrets: &[hkdf::Prk], context: &[u8], period: u64) -> Option<Self> {
        let nearby = [period, period.saturating_sub(1), period + 1];
        let all = secrets.iter();
        let mut all = all.flat_map(|secret| nearby.map(|one| Key::derive(secret, context, one)));
        Some(Self {
            period,
            current: all.next()??,
            others: all.collect::<Option<_>>()?,
        })
    }
}

impl Key {
    fn derive(secret: &hkdf::Prk, context: &[u8], period: u64) -> Option<Self> {
        let period = period.to_be_bytes();
        let mut name = [0; NAME_LEN];
        let info = [b"name".as_slice(), &period, context];
        let derived = secret.expand(&info, Length(NAME_LEN)).ok()?;
        derived.fill(&mut name).ok()?;
        let info = [b"key".as_slice(), &period, context];
        let algorithm: &'static aead::Algorithm = &CHACHA20_POLY1305;
        let key = UnboundKey::from(secret.expand(&info, algorithm).ok()?);
        Some(Self {
            name,
            key: LessSafeKey::new(key),
        })
    }
}

/// So many bytes to derive.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tickets(secrets: &[&str], context: &[u8]) -> Tickets {
        Tickets::new(secrets, context).unwrap()
    }

    const ONE: &str = "one";
    const TWO: &str = "two";

    #[test]
    fn every_balancer_that_has_the_key_accepts_a_ticket_of_this_period_and_of_those_beside_it() {
        let (here, there) = (tickets(&[ONE], b""), tickets(&[ONE], b""));
        let ticket = here.seal(b"session", 10).unwrap();
        assert_ne!(&ticket, &here.seal(b"session", 10).unwrap());
        for period in [9, 10, 11] {
            assert_eq!(
                there.open(&ticket, period).as_deref(),
                Some(&b"session"[..])
            );
        }
        assert_eq!(there.open(&ticket, 8), None);
        assert_eq!(there.open(&ticket, 12), None);
    }

    #[test]
    fn balancers_between_two_seal_keys_accept_the_tickets_of_both() {
        let (old, new) = (tickets(&[ONE, TWO], b""), tickets(&[TWO, ONE], b""));
        let (by_old, by_new) = (old.seal(b"a", 10).unwrap(), new.seal(b"b", 10).unwrap());
        assert_eq!(new.open(&by_old, 10).as_deref(), Some(&b"a"[..]));
        assert_eq!(old.open(&by_new, 10).as_deref(), Some(&b"b"[..]));
        assert_eq!(tickets(&[TWO], b"").open(&by_old, 10), None);
    }

    #[test]
    fn what_was_begun_under_other_rules_or_was_altered_is_not_gone_on_with() {
        let here = tickets(&[ONE], b"no client certificates");
        let ticket = here.seal(b"session", 10).unwrap();
        let strict = tickets(&[ONE], b"client certificates");
        assert_eq!(strict.open(&ticket, 10), None);
        for at in 0..ticket.len() {
            let mut altered = ticket.clone();
            altered[at] ^= 1;
            assert_eq!(here.open(&altered, 10), None, "byte {at}");
        }
        for length in 0..ticket.len() {
            assert_eq!(here.open(&ticket[..length], 10), None);
        }
    }
}
