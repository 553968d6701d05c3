//! Who may come in, and under what name their changes are kept.
//!
//! Without a token file the API is for whoever is on this machine, and binds loopback only. With one, every
//! request needs a token. Tokens are kept as digests and are never written anywhere.

use std::fmt;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::{fs::File, io};

use axum::http::{HeaderMap, header};
use model::Author;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::Problem;

/// The shortest token, in characters.
const TOKEN_LENGTH_MIN: usize = 16;
/// The longest token file, in bytes.
const FILE_MAX: u64 = 64 * 1024;
/// The name of an operator that gave none.
const NAMELESS: &str = "operator";

/// Why the API cannot be opened as it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("--listen {address} is not a loopback address: it needs --token-file")]
    TokenNeeded { address: SocketAddr },
    #[error("--token-file {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("--token-file {}: holds no token", path.display())]
    Empty { path: PathBuf },
    #[error("--token-file {}: line {line} {rule}", path.display())]
    Malformed {
        path: PathBuf,
        line: usize,
        rule: &'static str,
    },
}

/// Who is let in.
#[derive(Debug)]
pub(crate) enum Access {
    /// Whoever is on this machine and is no other site's page.
    Local,
    /// Whoever has one of these.
    Tokens(Vec<Token>),
}

/// One operator's token, as its digest.
pub(crate) struct Token {
    name: String,
    digest: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.name)
    }
}

impl Access {
    /// Decides by the flags.
    pub(crate) fn open(listen: SocketAddr, token_file: Option<&Path>) -> Result<Self, AccessError> {
        match token_file {
            Some(path) => read_tokens(path).map(Self::Tokens),
            None if listen.ip().to_canonical().is_loopback() => Ok(Self::Local),
            None => Err(AccessError::TokenNeeded { address: listen }),
        }
    }

    /// Who sends this request.
    pub(crate) fn author(&self, headers: &HeaderMap) -> Result<Author, Problem> {
        let name = match self {
            Self::Local => NAMELESS.into(),
            Self::Tokens(tokens) => {
                let sent = bearer(headers).ok_or(Problem::Unauthorized)?;
                owner(tokens, sent).ok_or(Problem::Unauthorized)?
            }
        };
        Ok(Author::Operator { name })
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let alone = values.next().is_none();
    (alone && scheme.eq_ignore_ascii_case(b"Bearer ")).then(|| token.trim_ascii())
}

/// Compares digests, all of them to the end, so that the time says nothing about a token or its length.
fn owner(tokens: &[Token], sent: &[u8]) -> Option<String> {
    let digest: [u8; 32] = Sha256::digest(sent).into();
    let mut owner = None;
    for token in tokens {
        if bool::from(token.digest.ct_eq(&digest)) {
            owner = Some(&token.name);
        }
    }
    owner.cloned()
}

fn read_tokens(path: &Path) -> Result<Vec<Token>, AccessError> {
    let unreadable = |source| AccessError::Unreadable {
        path: path.into(),
        source,
    };
    let text = read_text(path).map_err(unreadable)?;
    let lines = text.lines().map(str::trim).enumerate();
    let tokens: Result<Vec<_>, _> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| parse_token(line).map_err(|rule| (number + 1, rule)))
        .collect();
    let path = path.to_owned();
    match tokens {
        Ok(tokens) if tokens.is_empty() => Err(AccessError::Empty { path }),
        Ok(tokens) => Ok(tokens),
        Err((line, rule)) => Err(AccessError::Malformed { path, line, rule }),
    }
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_string(&mut text)?;
    if length as u64 > FILE_MAX {
        return Err(io::Error::other(format!("larger than {FILE_MAX} bytes")));
    }
    Ok(text)
}

fn parse_token(line: &str) -> Result<Token, &'static str> {
    let (name, token) = line.split_once(':').unwrap_or((NAMELESS, line));
    let (name, token) = (name.trim(), token.trim());
    if name.parse::<model::FleetName>().is_err() {
        return Err("has a name before ':' that is not made of a-z, A-Z, 0-9, '-', '_' and '.'");
    }
    if token.len() < TOKEN_LENGTH_MIN {
        return Err("has a token of fewer than 16 characters");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("has a token with other than printable ASCII characters");
    }
    let digest = Sha256::digest(token.as_bytes()).into();
    Ok(Token {
        name: name.into(),
        digest,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "correct-horse-battery";

    fn open(text: &str) -> Result<Access, AccessError> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        Access::open(
            "0.0.0.0:8080".parse().expect("an address"),
            Some(file.path()),
        )
    }

    fn author(access: &Access, value: &str) -> Result<String, Problem> {
        let value = HeaderValue::try_from(value).expect("a value");
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        access.author(&headers).map(|author| match author {
            Author::Operator { name } => name,
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_token_lets_in_under_its_name() {
        let access = open(&format!(
            "# ours\n\n{TOKEN}\r\ndeploy: another-token-of-ours \n"
        ))
        .expect("tokens");
        assert_eq!(
            author(&access, &format!("Bearer {TOKEN}")),
            Ok("operator".into())
        );
        assert_eq!(
            author(&access, "bearer another-token-of-ours"),
            Ok("deploy".into())
        );
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Basic correct-horse-battery",
            "Bearer correct-horse-batterx",
            "Bearer correct-horse-battery2",
            "Bearer deploy:another-token-of-ours",
        ] {
            assert_eq!(
                author(&access, wrong),
                Err(Problem::Unauthorized),
                "{wrong:?}"
            );
        }
        assert_eq!(access.author(&HeaderMap::new()), Err(Problem::Unauthorized));
    }

    #[test]
    fn only_loopback_goes_without_a_token() {
        for address in [
            "127.0.0.1:8080",
            "127.8.8.8:1",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
        ] {
            let address = address.parse().expect("an address");
            assert!(
                matches!(Access::open(address, None), Ok(Access::Local)),
                "{address}"
            );
        }
        for address in ["0.0.0.0:8080", "10.0.0.1:8080", "[::]:8080"] {
            let address = address.parse().expect("an address");
            let error = Access::open(address, None)
                .expect_err("no token")
                .to_string();
            assert!(
                error.contains("--token-file") && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn a_bad_token_file_is_refused_without_repeating_what_it_holds() {
        for (text, says) in [
            ("", "holds no token"),
            ("# nothing\n", "holds no token"),
            (
                "long-enough-for-a-token\nshort-secret",
                "line 2 has a token of fewer",
            ),
            ("a b:long-enough-for-a-secret", "line 1 has a name"),
            (
                "long-enough secret-with-space",
                "line 1 has a token with other",
            ),
        ] {
            let error = open(text).expect_err(text).to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let long = "a-token-of-many-letters\n".repeat(4_000);
        let error = open(&long).expect_err("too long").to_string();
        assert!(error.ends_with("larger than 65536 bytes"), "{error}");
        let missing = Access::open(
            ([127, 0, 0, 1], 1).into(),
            Some(Path::new("/nowhere/tokens")),
        );
        let error = missing.expect_err("no file").to_string();
        assert!(
            error.starts_with("--token-file /nowhere/tokens: No such file"),
            "{error}"
        );
    }

    #[test]
    fn a_token_is_not_in_the_debug_output() {
        let access = open(&format!("deploy:{TOKEN}")).expect("a token");
        assert_eq!(format!("{access:?}"), "Tokens([Token(deploy)])");
    }
}
