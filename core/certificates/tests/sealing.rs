//! Seal keys: what is sealed opens with the right key, under the right name, unchanged, and not otherwise.

use std::sync::LazyLock;

use certificates::testing::Authority;
use certificates::{
    Chain, OpenError, PrivateKey, SealKey, SealKeyError, SealKeys, SealKeysError, SealTo,
};
use model::{Certificate, CertificateId, SealedKey, validate_certificate};
use proptest::prelude::*;

fn id(name: &str) -> CertificateId {
    name.parse().expect("a name")
}

#[test]
fn a_key_that_was_sealed_opens_as_it_was() {
    let issued = Authority::new("Test Root").issue(&["a.example"]);
    let key = PrivateKey::parse(&issued.key).unwrap();
    let seal_key = SealKey::generate();
    // By way of texts, as between processes.
    let to: SealTo = seal_key.public().to_string().parse().unwrap();
    let sealed = to.seal(&id("www"), &key);
    let kept = Certificate::new(id("www"), issued.chain.clone(), sealed.clone());
    assert_eq!(validate_certificate(&kept), Ok(()));
    let keys = SealKeys::parse(&seal_key.line()).unwrap();
    let opened = keys.open(&id("www"), &sealed).unwrap();
    let chain = Chain::parse(&issued.chain).unwrap();
    chain
        .with_key(&opened)
        .expect("it is the certificate's own");
    assert_ne!(to.seal(&id("www"), &key), sealed);
}

#[test]
fn an_old_seal_key_opens_beside_a_new_one() {
    let issued = Authority::new("Test Root").issue(&["a.example"]);
    let key = PrivateKey::parse(&issued.key).unwrap();
    let (old, new) = (SealKey::generate(), SealKey::generate());
    let lines = format!("# since May\n{}\n\n  {}\n", &*new.line(), &*old.line());
    let keys = SealKeys::parse(&lines).unwrap();
    for to in [old.public(), new.public()] {
        let sealed = to.seal(&id("www"), &key);
        assert_eq!(sealed.to, to.fingerprint());
        keys.open(&id("www"), &sealed)
            .expect("one of them opens it");
    }
    let own: Vec<_> = keys.public().map(SealTo::fingerprint).collect();
    assert_eq!(
        own,
        [new.public().fingerprint(), old.public().fingerprint()]
    );
}

#[test]
fn a_key_opens_under_its_own_name_and_by_its_own_seal_key_alone() {
    let issued = Authority::new("Test Root").issue(&["a.example"]);
    let key = PrivateKey::parse(&issued.key).unwrap();
    let (right, wrong) = (SealKey::generate(), SealKey::generate());
    let sealed = right.public().seal(&id("www"), &key);
    let keys = SealKeys::from(right.clone());
    assert_eq!(
        keys.open(&id("api"), &sealed).unwrap_err(),
        OpenError::Damaged
    );
    let to = sealed.to.clone();
    let own = wrong.public().fingerprint().to_owned();
    let error = SealKeys::from(wrong.clone())
        .open(&id("www"), &sealed)
        .unwrap_err();
    assert_eq!(
        error,
        OpenError::OtherKey {
            to: to.clone(),
            own
        }
    );
    let error = SealKeys::default().open(&id("www"), &sealed).unwrap_err();
    assert_eq!(error, OpenError::NoKey { to });
    // That it says it is for another does not make it so.
    let renamed = SealedKey::new(wrong.public().fingerprint().into(), sealed.sealed);
    let error = SealKeys::from(wrong)
        .open(&id("www"), &renamed)
        .unwrap_err();
    assert_eq!(error, OpenError::Damaged);
}

#[test]
fn the_two_halves_of_a_seal_key_are_not_taken_for_one_another() {
    let key = SealKey::generate();
    let (public, secret) = (key.public().to_string(), key.line());
    assert_eq!(secret.parse::<SealTo>().unwrap_err(), SealKeyError::Secret);
    let error = SealKeys::parse(&format!("\n{public}")).unwrap_err();
    let (line, other) = (2, SealKeyError::Public);
    assert_eq!(error, SealKeysError::Line { line, error: other });
    assert_eq!(
        SealKeys::parse("# none\n").unwrap_err(),
        SealKeysError::Empty
    );
    assert_eq!("x".parse::<SealTo>().unwrap_err(), SealKeyError::Malformed);
    let short = &public[..public.len() - 4];
    assert_eq!(
        short.parse::<SealTo>().unwrap_err(),
        SealKeyError::Malformed
    );
    // All zeros are a point by which nothing can be kept secret.
    let weak = format!("roundhouse-seal-public:{}=", "A".repeat(43));
    assert_eq!(weak.parse::<SealTo>().unwrap_err(), SealKeyError::Malformed);
    for shown in [
        format!("{key:?}"),
        format!("{:?}", SealKeys::from(key.clone())),
    ] {
        let (_, digits) = secret.split_once(':').unwrap();
        assert!(!shown.contains(digits) && shown.contains(key.public().fingerprint()));
    }
}

/// A key that is sealed for `www`, and what opens it.
static SEALED: LazyLock<(SealKeys, SealedKey)> = LazyLock::new(|| {
    let issued = Authority::new("Test Root").issue(&["a.example"]);
    let key = PrivateKey::parse(&issued.key).expect("a key");
    let seal_key = SealKey::generate();
    let sealed = seal_key.public().seal(&id("www"), &key);
    (seal_key.into(), sealed)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_box_that_was_changed_anywhere_does_not_open(place in any::<prop::sample::Index>(), flip in 1..64_u8) {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (keys, sealed) = &*SEALED;
        let SealedKey { to, sealed, .. } = sealed.clone();
        let mut digits = sealed.into_bytes();
        let place = place.index(digits.iter().filter(|digit| **digit != b'=').count());
        let digit = DIGITS.iter().position(|it| *it == digits[place]).expect("a digit");
        digits[place] = DIGITS[digit ^ usize::from(flip)];
        let changed = SealedKey::new(to, String::from_utf8(digits).expect("ASCII"));
        let opened = keys.open(&id("www"), &changed);
        prop_assert_eq!(opened.expect_err("it was changed"), OpenError::Damaged);
    }

    #[test]
    fn no_text_is_too_strange_to_be_refused(text in "\\PC{0,200}") {
        for text in [text.clone(), format!("roundhouse-seal-secret:{text}"), format!("roundhouse-seal-public:{text}")] {
            prop_assert!(text.parse::<SealTo>().is_err());
            prop_assert!(text.parse::<SealKey>().is_err());
        }
    }
}
