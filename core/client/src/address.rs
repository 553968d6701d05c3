//! Where the admin API is.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};

/// The port of `http` where none is written.
const HTTP_PORT: u16 = 80;

/// The admin API's address: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminUrl(Authority);

/// A text that is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an admin API's URL: {rule}, such as http://127.0.0.1:8080")]
pub struct InvalidUrl {
    text: String,
    rule: &'static str,
}

impl AdminUrl {
    pub fn host(&self) -> &str {
        self.0.host().trim_matches(['[', ']'])
    }

    pub fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(HTTP_PORT)
    }

    /// The URI of a path at this API.
    pub(crate) fn join(&self, path: PathAndQuery) -> Uri {
        let builder = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.0.clone());
        builder
            .path_and_query(path)
            .build()
            .expect("all of its parts are there")
    }
}

impl FromStr for AdminUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let refuse = |rule| InvalidUrl {
            text: text.into(),
            rule,
        };
        let uri: Uri = text
            .parse()
            .map_err(|_| refuse("write it as http://HOST:PORT"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(refuse("it must begin with http://"));
        }
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(refuse("it has no path: /v1 is added"));
        }
        match uri.into_parts().authority {
            Some(authority) if authority.as_str().contains('@') => {
                Err(refuse("it holds no password: use a token file"))
            }
            Some(authority) => Ok(Self(authority)),
            None => Err(refuse("write it as http://HOST:PORT")),
        }
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        let url: AdminUrl = "http://[::1]:8080/".parse().unwrap();
        assert_eq!((url.host(), url.port()), ("::1", 8080));
        assert_eq!(url.to_string(), "http://[::1]:8080");
        let named: AdminUrl = "http://admin".parse().unwrap();
        assert_eq!((named.host(), named.port()), ("admin", 80));
        let uri = named.join(PathAndQuery::from_static("/v1/pools"));
        assert_eq!(uri.to_string(), "http://admin/v1/pools");
    }

    #[test]
    fn anything_else_is_refused_with_the_rule() {
        for (text, rule) in [
            ("https://admin", "must begin with http://"),
            ("127.0.0.1:8080", "http://"),
            ("http://admin/v1", "no path"),
            ("http://a:b@admin", "no password"),
            ("", "http://"),
        ] {
            let error = text.parse::<AdminUrl>().expect_err(text).to_string();
            assert!(error.contains(rule), "{error}");
        }
    }
}
