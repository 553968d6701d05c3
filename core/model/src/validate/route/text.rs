//! Names, values and paths as they may stand in a message.

use super::super::Problems;
use crate::NormalPath;

/// The longest path or value, in bytes.
pub(super) const LENGTH_MAX: usize = 2048;

/// RFC 9110, 5.6.2.
pub(in crate::validate) fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(token)
}

/// A field's value (RFC 9110, 5.5), without spaces around it, which nobody would get.
pub(super) fn is_value(text: &str) -> bool {
    let has_control = text
        .bytes()
        .any(|byte| byte != b'\t' && byte.is_ascii_control());
    text.len() <= LENGTH_MAX && !has_control && text.trim_matches([' ', '\t']) == text
}

/// A name of letters, digits and hyphens between dots (RFC 1123, 2.1), and underscores, which some use.
pub(in super::super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len()) && label.bytes().all(allowed)
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// Checks that a path is one that requests can have when rules look at them.
pub(super) fn check_path(field: &str, path: &str, problems: &mut Problems) {
    if !path.starts_with('/') || path.len() > LENGTH_MAX {
        let rule = format!("must begin with '/' and hold at most {LENGTH_MAX} bytes");
        return problems.add(field, rule);
    }
    if path.contains(['?', '#']) {
        return problems.add(field, "must hold no '?' or '#': it is a path alone");
    }
    let normal = match NormalPath::of(path.as_bytes()) {
        Ok(normal) => normal,
        Err(error) => return problems.add(field, format!("has no normal form: {error}")),
    };
    if normal.matched() != path.as_bytes() {
        let normal = String::from_utf8_lossy(normal.matched()).into_owned();
        problems.add(field, format!("must be in its normal form, {normal:?}"));
    }
}
