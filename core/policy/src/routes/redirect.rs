//! Where a redirect leads.

use model::Scheme;

use super::host::split_port;

/// A redirect.
#[derive(Debug)]
pub struct Redirect(model::Redirect);

/// What was asked for, as far as a redirect leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub scheme: Scheme,
    /// As it is in the request, with its port. Empty where there is none.
    pub authority: &'a [u8],
    /// As it would go to a server: rewritten, where the route does that.
    pub path: &'a [u8],
    pub query: Option<&'a [u8]>,
}

impl Redirect {
    pub(super) fn compile(redirect: &model::Redirect) -> Self {
        Self(redirect.clone())
    }

    pub fn status(&self) -> u16 {
        self.0.status.code()
    }

    /// The value of `Location`: absolute, unless the request names no host and the redirect does not either.
    pub fn location(&self, asked: &Asked<'_>) -> Vec<u8> {
        let mut location = Vec::with_capacity(64 + asked.path.len());
        let (host, port) = split_port(asked.authority);
        let host = self.0.host.as_ref().map_or(host, |host| host.as_bytes());
        if !host.is_empty() {
            let scheme = self.0.scheme.unwrap_or(asked.scheme);
            location.extend_from_slice(prefix_of(scheme));
            location.extend_from_slice(host);
            let own = self.0.port.map(|port| port.to_string());
            // Another scheme has another port.
            let kept = port.filter(|_| self.0.scheme.is_none());
            let port = own.as_ref().map(String::as_bytes).or(kept);
            if let Some(port) = port.filter(|port| *port != standard_port(scheme)) {
                location.push(b':');
                location.extend_from_slice(port);
            }
        }
        match &self.0.path {
            Some(path) => location.extend_from_slice(path.as_bytes()),
            None => {
                location.extend_from_slice(asked.path);
                if let Some(query) = asked.query {
                    location.push(b'?');
                    location.extend_from_slice(query);
                }
            }
        }
        location
    }
}

fn prefix_of(scheme: Scheme) -> &'static [u8] {
    match scheme {
        Scheme::Http => b"http://",
        Scheme::Https => b"https://",
    }
}

fn standard_port(scheme: Scheme) -> &'static [u8] {
    match scheme {
        Scheme::Http => b"80",
        Scheme::Https => b"443",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(redirect: &str, authority: &str, query: Option<&str>) -> String {
        let redirect = serde_json::from_str(redirect).expect("a redirect");
        let asked = Asked {
            scheme: Scheme::Http,
            authority: authority.as_bytes(),
            path: b"/a%20b",
            query: query.map(str::as_bytes),
        };
        let location = Redirect::compile(&redirect).location(&asked);
        String::from_utf8(location).expect("text")
    }

    #[test]
    fn what_is_not_given_is_as_in_the_request() {
        for (redirect, authority, expected) in [
            (r#"{"scheme":"https"}"#, "a.org", "https://a.org/a%20b?q=1"),
            (
                r#"{"scheme":"https"}"#,
                "a.org:8080",
                "https://a.org/a%20b?q=1",
            ),
            (
                r#"{"scheme":"https","port":8443}"#,
                "a.org:8080",
                "https://a.org:8443/a%20b?q=1",
            ),
            (
                r#"{"scheme":"https","port":443}"#,
                "a.org",
                "https://a.org/a%20b?q=1",
            ),
            (
                r#"{"host":"b.org"}"#,
                "a.org:8080",
                "http://b.org:8080/a%20b?q=1",
            ),
            (r#"{"port":81}"#, "[::1]:8080", "http://[::1]:81/a%20b?q=1"),
            (r#"{"path":"/c?d=e"}"#, "a.org:80", "http://a.org/c?d=e"),
            (r#"{"path":"/c"}"#, "", "/c"),
            (r#"{"scheme":"https"}"#, "", "/a%20b?q=1"),
            (r#"{"host":"b.org"}"#, "", "http://b.org/a%20b?q=1"),
        ] {
            assert_eq!(
                location(redirect, authority, Some("q=1")),
                expected,
                "{redirect}"
            );
        }
        assert_eq!(location(r#"{"port":81}"#, "a", None), "http://a:81/a%20b");
        assert_eq!(
            location(r#"{"port":81}"#, "a", Some("")),
            "http://a:81/a%20b?"
        );
    }

    #[test]
    fn the_status_is_308_where_none_is_given() {
        let status =
            |text: &str| Redirect::compile(&serde_json::from_str(text).expect(text)).status();
        assert_eq!((status("{}"), status(r#"{"status":302}"#)), (308, 302));
    }
}
