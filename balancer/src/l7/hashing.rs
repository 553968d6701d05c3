//! What a request is hashed by, where its pool's algorithm asks: the client's address, or a part of the head as it came, not decoded. A
//! request that lacks the part, or has it empty, is hashed by the client's address.

use std::net::IpAddr;

use model::{Algorithm, HashOn, Hashing};
use policy::hash_key;

use super::codec::RequestHead;
use super::cookies::{value_of, values};

/// The hash of a request; zero where nobody asks. `head` is what was parsed, `client` finds the client's address.
pub(super) fn hash(
    pool: &model::Pool,
    request: &RequestHead,
    head: &[u8],
    client: impl FnOnce() -> IpAddr,
) -> u64 {
    let part = match pool.algorithm {
        Algorithm::IpHash => None,
        Algorithm::Hash => part(&pool.hash, request, head).filter(|part| !part.is_empty()),
        Algorithm::RoundRobin
        | Algorithm::Random
        | Algorithm::LeastConnections
        | Algorithm::FleetLeastConnections
        | Algorithm::P2c => return 0,
    };
    part.map_or_else(|| hash_address(client()), hash_key)
}

pub(super) fn hash_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => hash_key(&address.octets()),
        IpAddr::V6(address) => hash_key(&address.octets()),
    }
}

fn part<'a>(hashing: &Hashing, request: &'a RequestHead, head: &'a [u8]) -> Option<&'a [u8]> {
    let name = hashing.name.as_bytes();
    match hashing.on {
        HashOn::Header => request.get(head, &hashing.name),
        HashOn::Cookie => values(request, head, &hashing.name).next(),
        HashOn::Query => {
            let query = query(request.target.path_and_query.of(head))?;
            let mut parameters = query.split(|byte| *byte == b'&');
            parameters.find_map(|pair| value_of(name, pair))
        }
        HashOn::Path => Some(request.path(head)),
    }
}

fn query(target: &[u8]) -> Option<&[u8]> {
    let mark = target.iter().position(|byte| *byte == b'?')?;
    Some(&target[mark + 1..])
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use model::{Pool, PoolId};

    use super::*;
    use crate::codec::{Limits, Parse, parse_request};

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn pool(algorithm: Algorithm, on: HashOn, name: &str) -> Pool {
        let mut pool = Pool::new(PoolId::standard());
        pool.algorithm = algorithm;
        pool.hash.on = on;
        pool.hash.name = name.into();
        pool
    }

    fn hashed(pool: &Pool, target: &str, fields: &str) -> u64 {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut request = RequestHead::new();
        let parsed = parse_request(head.as_bytes(), &Limits::default(), &mut request);
        assert!(matches!(parsed, Ok(Parse::Complete { .. })), "{head}");
        hash(pool, &request, head.as_bytes(), || CLIENT)
    }

    fn by(on: HashOn, name: &str, target: &str, fields: &str) -> u64 {
        hashed(&pool(Algorithm::Hash, on, name), target, fields)
    }

    #[test]
    fn each_part_is_found() {
        let alice = hash_key(b"alice");
        let fields = "User-Id: alice\r\nUser-Id: bob\r\n";
        assert_eq!(by(HashOn::Header, "user-id", "/", fields), alice);
        let fields = "Cookie: a=1; xuser=eve; user=alice\r\nCookie: user=bob\r\n";
        assert_eq!(by(HashOn::Cookie, "user", "/", fields), alice);
        let fields = "Cookie: a=1\r\nCookie: user=alice\r\n";
        assert_eq!(by(HashOn::Cookie, "user", "/", fields), alice);
        let target = "/a?xuser=eve&user=alice&user=bob";
        assert_eq!(by(HashOn::Query, "user", target, ""), alice);
        assert_eq!(
            by(HashOn::Path, "", "/a/b?user=alice", ""),
            hash_key(b"/a/b")
        );
    }

    #[test]
    fn a_request_without_the_part_is_hashed_by_the_client() {
        let client = hash_key(&[192, 0, 2, 1]);
        for on in [HashOn::Header, HashOn::Cookie, HashOn::Query] {
            assert_eq!(by(on, "user", "/a?b=c", "Cookie: b=c\r\n"), client);
        }
        assert_eq!(by(HashOn::Query, "user", "/a?user=&b", ""), client);
        assert_eq!(by(HashOn::Query, "user", "/user=alice", ""), client);
        let by_address = pool(Algorithm::IpHash, HashOn::Path, "");
        assert_eq!(hashed(&by_address, "/a", ""), client);
    }

    #[test]
    fn nothing_is_hashed_for_nobody() {
        let turns = pool(Algorithm::RoundRobin, HashOn::Path, "");
        assert_eq!(hashed(&turns, "/a", ""), 0);
    }
}
