//! The secret that the admin API asks for.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use http::HeaderValue;

/// A bearer token. It is never shown.
#[derive(Clone)]
pub struct Token(HeaderValue);

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("{path} cannot be read: {source}", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} holds no token: one line is expected, \"token\" or \"name:token\"", path = .path.display())]
    Empty { path: PathBuf },
    #[error("{path} holds a token with characters that a header cannot carry", path = .path.display())]
    Unprintable { path: PathBuf },
}

impl Token {
    /// The first token of a file of tokens, the same as the admin API reads: one a line, `token` or
    /// `name:token`, `#` begins a comment.
    ///
    /// # Errors
    /// Where it cannot be read or holds none.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path).map_err(|source| TokenError::Read {
            path: path.into(),
            source,
        })?;
        let mut lines = text.lines().map(str::trim);
        let line = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
        let line = line.ok_or_else(|| TokenError::Empty { path: path.into() })?;
        let token = line.split_once(':').map_or(line, |(_, token)| token.trim());
        Self::new(token).ok_or_else(|| TokenError::Unprintable { path: path.into() })
    }

    /// A token as it is; nothing where a header cannot carry it.
    pub fn new(token: &str) -> Option<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(text: &str) -> Result<Token, TokenError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Token::from_file(file.path())
    }

    #[test]
    fn the_first_token_of_a_file_is_taken_without_its_name() {
        for text in ["secret\n", "# who\n\nsecret", "deploy: secret\nother"] {
            assert_eq!(read(text).unwrap().header(), "Bearer secret", "{text:?}");
        }
    }

    #[test]
    fn a_file_without_a_usable_token_is_named() {
        assert!(matches!(read("# nothing\n"), Err(TokenError::Empty { .. })));
        assert!(matches!(
            read("a\u{1}b"),
            Err(TokenError::Unprintable { .. })
        ));
        let error = Token::from_file(Path::new("/no/token"))
            .expect_err("no file")
            .to_string();
        assert!(error.starts_with("/no/token "), "{error}");
    }

    #[test]
    fn a_token_is_never_shown() {
        assert_eq!(format!("{:?}", Token::new("secret")), "Some(Token(..))");
    }
}
