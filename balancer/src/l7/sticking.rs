//! Which server a request's client is with, as the request says; and the cookie that tells the client which one it is with now.

use std::net::IpAddr;

use model::{SameSite, Sticky, StickyKind};
use policy::{Pool, Stick, Token, hash_key};

use super::codec::RequestHead;
use super::cookies::values;
use super::hashing::hash_address;

/// By what the client is known again. `head` is what was parsed, `client` finds the client's address.
pub(super) fn stick(
    pool: &Pool,
    request: &RequestHead,
    head: &[u8],
    client: impl FnOnce() -> IpAddr,
) -> Stick {
    let sticky = &pool.settings().value.sticky;
    let named = match sticky.kind {
        StickyKind::None => None,
        StickyKind::Cookie => return of_cookie(pool, request, head),
        StickyKind::Source => return Stick::Key(hash_address(client())),
        StickyKind::ApplicationCookie => values(request, head, &sticky.name).next(),
        StickyKind::Header => request.get(head, &sticky.name),
    };
    let named = named.filter(|value| !value.is_empty());
    named.map_or(Stick::Loose, |value| Stick::Key(hash_key(value)))
}

/// The first cookie that names a server. A browser sends several of one name where another path or a parent's domain has one too.
fn of_cookie(pool: &Pool, request: &RequestHead, head: &[u8]) -> Stick {
    let token = pool.cookies().and_then(|cookies| {
        let mut values = values(request, head, cookies.name());
        values.find_map(|value| cookies.read(value))
    });
    token.map_or(Stick::Loose, Stick::Token)
}

/// The field that gives the client its cookie (RFC 6265, 4.1), a whole line.
pub(super) fn set_cookie(name: &str, token: Token, sticky: &Sticky, secure: bool) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    for part in [
        &b"Set-Cookie: "[..],
        name.as_bytes(),
        b"=",
        token.as_bytes(),
    ] {
        line.extend_from_slice(part);
    }
    if !sticky.lifetime.is_zero() {
        line.extend_from_slice(b"; Max-Age=");
        let seconds = sticky.lifetime.as_secs();
        line.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    }
    line.extend_from_slice(b"; Path=/; HttpOnly");
    if secure {
        line.extend_from_slice(b"; Secure");
    }
    line.extend_from_slice(match sticky.same_site {
        SameSite::Lax => b"; SameSite=Lax",
        SameSite::Strict => b"; SameSite=Strict",
        SameSite::None if secure => b"; SameSite=None",
        // Browsers refuse that of a cookie without Secure.
        SameSite::None => b"",
    });
    line.extend_from_slice(b"\r\n");
    line
}
