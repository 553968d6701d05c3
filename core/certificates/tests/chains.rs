//! Chains and private keys: what is read of them, and how what is none is refused.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use certificates::testing::Authority;
use certificates::{
    Chain, ChainError, Chains, KeyError, PrivateKey, SealKey, parse_roots, subject_of,
};
use model::{Certificate, CertificateId, Elements, Revision, Stamped};
use proptest::prelude::*;

#[test]
fn a_chain_says_for_whom_it_is_and_how_long() {
    let authority = Authority::new("Test Root");
    let day = Duration::from_secs(24 * 3600);
    let issued = authority.issue_for(&["WWW.example", "*.api.example", "10.0.0.1", "::1"], day);
    let chain = Chain::parse(&format!("{}{}", issued.chain, authority.pem())).unwrap();
    assert_eq!(
        chain.names(),
        ["www.example", "*.api.example", "10.0.0.1", "::1"]
    );
    assert_eq!(
        (chain.subject(), chain.issuer()),
        ("CN=WWW.example", "CN=Test Root")
    );
    assert_eq!(chain.certificates().len(), 2);
    let now = SystemTime::now();
    assert!(chain.not_before() < now && chain.not_after() > now);
    let seconds = chain.not_after().duration_since(SystemTime::UNIX_EPOCH);
    assert_eq!(seconds.unwrap().as_secs(), chain.not_after_seconds());
}

#[test]
fn a_chain_that_somebody_should_look_at_says_why() {
    let authority = Authority::new("Test Root");
    let day = Duration::from_secs(24 * 3600);
    let chain = Chain::parse(&authority.issue_for(&["a.example"], 30 * day).chain).unwrap();
    let said = |at: SystemTime| chain.trouble(at).unwrap_or_default();
    let (begin, end) = (chain.not_before(), chain.not_after());
    let text = humantime::format_rfc3339_seconds(end).to_string();
    assert_eq!(said(end - 21 * day), "");
    assert_eq!(said(begin), "");
    let soon = said(end - 21 * day + Duration::from_secs(1));
    assert_eq!(soon, format!("expires in 20 days, at {text}"));
    assert_eq!(said(end - day), format!("expires in 1 day, at {text}"));
    assert_eq!(said(end), format!("expires in 0 days, at {text}"));
    let over = said(end + Duration::from_secs(1));
    assert_eq!(over, format!("expired at {text}"));
    let early = said(begin - day);
    assert!(early.starts_with("is not valid before 20"), "{early}");
}

#[test]
fn a_renewed_chain_may_keep_its_key() {
    let authority = Authority::new("Test Root");
    let [one, other] = ["a.example", "a.example"].map(|name| authority.issue(&[name]));
    let [one, other] = [one, other].map(|it| Chain::parse(&it.chain).unwrap());
    assert!(one.has_key_of(&one) && !one.has_key_of(&other));
}

#[test]
fn a_chain_without_names_is_one_for_clients() {
    let root = Chain::parse(Authority::new("Test Root").pem()).unwrap();
    assert_eq!(root.names(), [""; 0]);
}

#[test]
fn a_chain_has_its_key_and_no_other() {
    let authority = Authority::new("Test Root");
    let (one, other) = (
        authority.issue(&["a.example"]),
        authority.issue(&["b.example"]),
    );
    let chain = Chain::parse(&one.chain).unwrap();
    let key = |pem: &str| PrivateKey::parse(pem).unwrap();
    chain.with_key(&key(&one.key)).expect("they match");
    let error = chain.with_key(&key(&other.key)).expect_err("they do not");
    assert_eq!(error, KeyError::Other);
}

#[test]
fn a_chain_is_in_the_order_of_its_issuers() {
    let authority = Authority::new("Test Root");
    let issued = authority.issue(&["a.example"]);
    let error = Chain::parse(&format!("{}{}", authority.pem(), issued.chain)).unwrap_err();
    assert_eq!(error, ChainError::OutOfOrder { number: 2 });
    let error = Chain::parse(&authority.pem().repeat(11)).unwrap_err();
    assert_eq!(error, ChainError::Long);
}

#[test]
fn what_is_no_chain_is_said() {
    let section =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let error = |text: &str| Chain::parse(text).unwrap_err();
    assert_eq!(error(""), ChainError::Empty);
    assert_eq!(
        error("-----BEGIN CERTIFICATE-----\nAAAA"),
        ChainError::NoPem
    );
    assert_eq!(error(&section("!")), ChainError::NoPem);
    assert!(matches!(
        error(&section("AAAA")),
        ChainError::Unreadable { number: 1, .. }
    ));
    assert_eq!(parse_roots("none"), Err(ChainError::Empty));
    assert!(matches!(
        parse_roots(&section("AAAA")),
        Err(ChainError::Unreadable { .. })
    ));
    assert_eq!(
        parse_roots(Authority::new("Test Root").pem())
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_no_private_key_is_refused_and_never_repeated() {
    let key = |pem: &str| PrivateKey::parse(pem).unwrap_err();
    assert_eq!(key("c2VjcmV0"), KeyError::NoPem);
    assert_eq!(
        key("-----BEGIN PRIVATE KEY-----\nc2VjcmV0"),
        KeyError::NoPem
    );
    assert_eq!(
        key("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"),
        KeyError::Encrypted
    );
    assert_eq!(key(&"x".repeat(16 * 1024 + 1)), KeyError::Long);
    let issued = Authority::new("Test Root").issue(&["a.example"]);
    let rubbish = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    let rubbish = PrivateKey::parse(rubbish).unwrap();
    let chain = Chain::parse(&issued.chain).unwrap();
    assert_eq!(chain.with_key(&rubbish).unwrap_err(), KeyError::Unsupported);
    let key = PrivateKey::parse(&issued.key).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(secret)");
}

#[test]
fn a_subject_can_stand_in_a_header_field() {
    let authority = Authority::new("Ren\u{e9}, \r\nX-Admin: 1");
    let root = &parse_roots(authority.pem()).unwrap()[0];
    let subject = subject_of(root).unwrap();
    assert_eq!(subject, r"CN=Ren\c3\a9\, \0d\0aX-Admin: 1");
}

#[test]
fn a_chain_is_read_again_only_where_its_certificate_has_changed() {
    let authority = Authority::new("Test Root");
    let id = |name: &str| name.parse::<CertificateId>().unwrap();
    let element = |name: &str, chain: String, revision| {
        let key = PrivateKey::parse(&authority.issue(&["a.example"]).key).unwrap();
        let sealed = SealKey::generate().public().seal(&id(name), &key);
        let certificate = Certificate::new(id(name), chain, sealed);
        Arc::new(Stamped::new(Revision(revision), certificate))
    };
    let issued = || authority.issue(&["a.example"]).chain;
    let mut certificates = Elements::new();
    for name in ["stays", "renewed", "gone", "spoilt"] {
        certificates.insert(id(name), element(name, issued(), 1));
    }
    let chains = Chains::default();
    let before = chains.of(&certificates);
    assert_eq!(before.len(), 4);
    certificates.insert(id("renewed"), element("renewed", issued(), 2));
    certificates.insert(id("spoilt"), element("spoilt", "no chain".into(), 2));
    certificates.remove(&id("gone"));
    let after = chains.of(&certificates);
    let names: Vec<_> = after.keys().map(CertificateId::as_str).collect();
    assert_eq!(names, ["renewed", "stays"]);
    let is_same = |name: &str| Arc::ptr_eq(&before[&id(name)], &after[&id(name)]);
    assert!(is_same("stays") && !is_same("renewed"));
    assert!(Arc::ptr_eq(&after, &chains.of(&certificates)));
}

static CHAIN: LazyLock<String> = LazyLock::new(|| {
    Authority::new("Test Root")
        .issue(&["a.example", "10.0.0.1"])
        .chain
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_is_too_strange_to_be_refused(text in "\\PC{0,400}") {
        let section = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        for text in [text, section] {
            prop_assert!(Chain::parse(&text).is_err());
            prop_assert!(PrivateKey::parse(&text).is_err());
        }
    }

    #[test]
    fn a_certificate_with_any_byte_changed_is_read_or_refused(place in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = CHAIN.clone().into_bytes();
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(Ok(chain)) = String::from_utf8(bytes).map(|pem| Chain::parse(&pem)) {
            prop_assert!(chain.subject().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}
