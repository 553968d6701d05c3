//! The field names that mean something to the balancer, told apart once per field while a head is
//! read.

/// How the names begin in which proxies say where a request comes from. There is no whole list of
/// them: Port, Prefix, Server, Ssl and Scheme are common, and servers believe others too.
const CLAIMS: &[u8] = b"x-forwarded-";

/// A field name's meaning. Whoever handles fields matches on this instead of comparing text again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "a field's name says what it is")]
pub enum Name {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Te,
    Trailer,
    Upgrade,
    Expect,
    KeepAlive,
    ProxyConnection,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyAuthenticationInfo,
    Proxy,
    Http2Settings,
    Forwarded,
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    /// `X-Real-IP`, and whatever else begins with `X-Forwarded-`: what a proxy may say of its client
    /// beside the above, and servers may believe. None is written here; a trusted proxy's go on as
    /// they came, a stranger's never do.
    Claim,
    MaxForwards,
    RequestId,
    Via,
    Date,
    /// `Roundhouse-Reason`, which tells the balancer's own answers from servers'.
    Reason,
    /// One of the above written with `_` for `-`, which some servers read as the same: never sent
    /// on.
    Imitation,
    /// `Content_Length`, `Transfer_Encoding`: worse, since they are about framing.
    FramingImitation,
    /// Named by `Connection`, so it ends here.
    Nominated,
    /// Any other.
    Other,
}

impl Name {
    /// What `name` means, in any case of letters.
    pub fn of(name: &[u8]) -> Self {
        let Some((candidate, meaning)) = candidate(name) else {
            return Self::of_unlisted(name);
        };
        if name.eq_ignore_ascii_case(candidate) {
            return meaning;
        }
        if !imitates(name, candidate) {
            return Self::of_unlisted(name);
        }
        match meaning {
            Self::ContentLength | Self::TransferEncoding => Self::FramingImitation,
            _ => Self::Imitation,
        }
    }

    /// Whether it has no place in HTTP/2: it is about a connection of HTTP/1.1 (RFC 9113, 8.2.2), or about where a body ends, which is
    /// said anew.
    pub fn is_of_http1(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::ContentLength
                | Self::TransferEncoding
                | Self::Te
                | Self::Upgrade
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Http2Settings
                | Self::FramingImitation
                | Self::Nominated
        )
    }

    /// What a name means that is none of the candidates: how it begins may still matter.
    fn of_unlisted(name: &[u8]) -> Self {
        let start = name.get(..CLAIMS.len());
        if !start.is_some_and(|start| imitates(start, CLAIMS)) {
            return Self::Other;
        }
        if name.contains(&b'_') {
            Self::Imitation
        } else {
            Self::Claim
        }
    }
}

/// Whether the names are the same once `_` is read as `-`.
fn imitates(name: &[u8], candidate: &[u8]) -> bool {
    let plain = |byte: &u8| {
        if *byte == b'_' {
            b'-'
        } else {
            byte.to_ascii_lowercase()
        }
    };
    name.iter().map(plain).eq(candidate.iter().copied())
}

/// The only known name of this length and first letter.
fn candidate(name: &[u8]) -> Option<(&'static [u8], Name)> {
    let first = name.first()?.to_ascii_lowercase();
    Some(match (name.len(), first) {
        (2, b't') => (b"te", Name::Te),
        (3, b'v') => (b"via", Name::Via),
        (4, b'h') => (b"host", Name::Host),
        (4, b'd') => (b"date", Name::Date),
        (5, b'p') => (b"proxy", Name::Proxy),
        (6, b'e') => (b"expect", Name::Expect),
        (7, b't') => (b"trailer", Name::Trailer),
        (7, b'u') => (b"upgrade", Name::Upgrade),
        (9, b'f') => (b"forwarded", Name::Forwarded),
        (9, b'x') => (b"x-real-ip", Name::Claim),
        (10, b'c') => (b"connection", Name::Connection),
        (10, b'k') => (b"keep-alive", Name::KeepAlive),
        (12, b'm') => (b"max-forwards", Name::MaxForwards),
        (12, b'x') => (b"x-request-id", Name::RequestId),
        (14, b'c') => (b"content-length", Name::ContentLength),
        (14, b'h') => (b"http2-settings", Name::Http2Settings),
        (15, b'x') => (b"x-forwarded-for", Name::ForwardedFor),
        (16, b'p') => (b"proxy-connection", Name::ProxyConnection),
        (16, b'x') => (b"x-forwarded-host", Name::ForwardedHost),
        (17, b'r') => (b"roundhouse-reason", Name::Reason),
        (17, b't') => (b"transfer-encoding", Name::TransferEncoding),
        (17, b'x') => (b"x-forwarded-proto", Name::ForwardedProto),
        (18, b'p') => (b"proxy-authenticate", Name::ProxyAuthenticate),
        (19, b'p') => (b"proxy-authorization", Name::ProxyAuthorization),
        (25, b'p') => (b"proxy-authentication-info", Name::ProxyAuthenticationInfo),
        _ => return None,
    })
}

/// Whether `text` is a token: what names, methods and options are made of (RFC 9110, 5.6.2).
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_token_byte =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_token_byte)
}

/// Whether `byte` may stand in a field's value.
pub(in crate::l7) fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_of_letters() {
        assert_eq!(Name::of(b"HOST"), Name::Host);
        assert_eq!(Name::of(b"content-Length"), Name::ContentLength);
        assert_eq!(
            Name::of(b"Proxy-Authentication-Info"),
            Name::ProxyAuthenticationInfo
        );
        assert_eq!(Name::of(b"X-Forwarded-Proto"), Name::ForwardedProto);
        assert_eq!(Name::of(b"X-Forwarded-Host"), Name::ForwardedHost);
        assert_eq!(Name::of(b"X-Real-IP"), Name::Claim);
    }

    #[test]
    fn every_known_name_is_found_by_its_own_text() {
        let names = "te via host date proxy expect trailer upgrade forwarded connection keep-alive \
            max-forwards x-request-id x-real-ip content-length http2-settings x-forwarded-for proxy-connection \
            x-forwarded-host roundhouse-reason transfer-encoding x-forwarded-proto proxy-authenticate proxy-authorization \
            proxy-authentication-info";
        for name in names.split_whitespace() {
            assert_ne!(Name::of(name.as_bytes()), Name::Other, "{name}");
        }
    }

    #[test]
    fn an_underscore_for_a_hyphen_is_an_imitation() {
        assert_eq!(Name::of(b"Content_Length"), Name::FramingImitation);
        assert_eq!(Name::of(b"transfer_encoding"), Name::FramingImitation);
        assert_eq!(Name::of(b"X_Forwarded-For"), Name::Imitation);
        assert_eq!(Name::of(b"X_Real-IP"), Name::Imitation);
        assert_eq!(Name::of(b"user_agent"), Name::Other);
    }

    #[test]
    fn whatever_begins_like_a_forwarding_field_is_a_claim() {
        let ends = [
            "", "By", "Port", "Path", "Prefix", "Scheme", "Server", "Ssl", "Forx", "Proton",
            "Host2",
        ];
        for end in ends {
            let name = format!("X-Forwarded-{end}");
            assert_eq!(Name::of(name.as_bytes()), Name::Claim, "{name}");
            let name = name.to_uppercase();
            assert_eq!(Name::of(name.as_bytes()), Name::Claim, "{name}");
            let name = name.replace('-', "_");
            assert_eq!(Name::of(name.as_bytes()), Name::Imitation, "{name}");
        }
        let halves = Name::of(b"X-Forwarded-Client_Cert");
        assert_eq!(halves, Name::Imitation);
        for name in [
            "X-Forwarded",
            "X-Forwarder-For",
            "XX-Forwarded-For",
            "X-Request-Ip",
        ] {
            assert_eq!(Name::of(name.as_bytes()), Name::Other, "{name}");
        }
    }
}
