//! What makes a certificate valid, as far as that can be said without reading its chain.

use super::{Problem, Problems};
use crate::{Certificate, KeptKey, SealedKey};

/// The longest chain, in bytes of PEM.
const CHAIN_MAX: usize = 64 * 1024;

/// The longest sealed key, in bytes of base64.
const BOX_MAX: usize = 32 * 1024;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// Checks a certificate on its own. Whether its chain can be read, and its key be opened, is for who has the means.
///
/// # Errors
/// Every problem found.
pub fn validate_certificate(certificate: &Certificate) -> Result<(), Vec<Problem>> {
    let mut problems = Problems::default();
    check_pem("chain", &certificate.chain, &mut problems);
    let KeptKey::Sealed(key) = &certificate.key;
    check_sealed(key, &mut problems);
    certificate.unknown.check("", &mut problems);
    problems.into_result()
}

/// Checks that a text may be certificates in PEM, and nothing that was not meant to be read by all.
pub(super) fn check_pem(field: &str, text: &str, problems: &mut Problems) {
    let rule = format!("must hold certificates in PEM, each after {BEGIN:?}");
    problems.check(text.contains(BEGIN), field, rule);
    let rule = format!("must have at most {CHAIN_MAX} bytes");
    problems.check(text.len() <= CHAIN_MAX, field, rule);
    let rule = "holds a private key, which everybody who may read could see: leave it out";
    problems.check(!text.contains("PRIVATE KEY-----"), field, rule);
}

fn check_sealed(key: &SealedKey, problems: &mut Problems) {
    let SealedKey {
        to,
        sealed,
        unknown,
    } = key;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_fingerprint = to.len() == 32 && to.bytes().all(is_hex);
    let rule = "must be the fingerprint of a seal key: 32 hexadecimal digits";
    problems.check(is_fingerprint, "key.sealed.to", rule);
    let digits = sealed.trim_end_matches('=');
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    let holds = !sealed.is_empty()
        && sealed.len() <= BOX_MAX
        && sealed.len().is_multiple_of(4)
        && sealed.len() - digits.len() <= 2
        && digits.bytes().all(is_base64);
    let rule = format!("must be a sealed key in base64, of at most {BOX_MAX} bytes");
    problems.check(holds, "key.sealed.box", rule);
    unknown.check("key.sealed.", problems);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(chain: &str, to: &str, sealed: &str) -> Vec<String> {
        let id = "www".parse().expect("a name");
        let key = SealedKey::new(to.into(), sealed.into());
        let problems = validate_certificate(&Certificate::new(id, chain.into(), key));
        let problems = problems.err().unwrap_or_default();
        problems.into_iter().map(|problem| problem.field).collect()
    }

    #[test]
    fn each_part_of_a_certificate_has_its_shape() {
        let to = "0123456789abcdef0123456789abcdef";
        assert!(broken(BEGIN, to, "AAAA").is_empty());
        assert!(broken(BEGIN, to, "AA==").is_empty());
        assert_eq!(broken("x", to, "AAAA"), ["chain"]);
        let with_key = format!("{BEGIN}\n-----BEGIN EC PRIVATE KEY-----");
        assert_eq!(broken(&with_key, to, "AAAA"), ["chain"]);
        let long = format!("{BEGIN}{}", "x".repeat(CHAIN_MAX));
        assert_eq!(broken(&long, to, "AAAA"), ["chain"]);
        assert_eq!(broken(BEGIN, "0123", "AAAA"), ["key.sealed.to"]);
        let upper = to.to_ascii_uppercase();
        assert_eq!(broken(BEGIN, &upper, "AAAA"), ["key.sealed.to"]);
        for sealed in ["", "AAA", "A===", "AA A", "AA=A", &"A".repeat(BOX_MAX + 4)] {
            assert_eq!(broken(BEGIN, to, sealed), ["key.sealed.box"], "{sealed}");
        }
    }
}
