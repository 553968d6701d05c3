//! What each form means, and that no form, right or wrong, shows a password.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;
use crate::{Options, RegistryUrl, open};

fn host_of(name: &str, port: u16) -> Host {
    let name = name.into();
    Host { name, port }
}

fn login(user: Option<&str>, password: Option<&str>) -> Login {
    Login {
        user: user.map(Into::into),
        password: password.map(Into::into),
    }
}

fn parse(url: &str) -> Address {
    Address::parse(url).expect(url)
}

#[test]
fn one_server_is_named_with_or_without_tls() {
    let plain = parse("redis://user:p%40ss@[::1]/3");
    assert_eq!(plain.place, Place::Server(host_of("::1", 6379)));
    assert_eq!(plain.login, login(Some("user"), Some("p@ss")));
    assert_eq!((plain.tls, plain.database), (false, 3));
    assert_eq!(plain.to_string(), "[::1]:6379");
    let tls = parse("rediss://:secret@redis.example:6380");
    assert_eq!(tls.place, Place::Server(host_of("redis.example", 6380)));
    assert_eq!(tls.login, login(None, Some("secret")));
    assert!(tls.tls);
    assert_eq!(
        parse("valkeys://redis.example").place,
        parse("rediss://redis.example").place
    );
}

#[test]
fn a_socket_has_its_user_in_the_query() {
    let socket = parse("unix:///run/my%20redis.sock?db=2&user=admin&pass=a%26b");
    assert_eq!(socket.place, Place::Socket("/run/my redis.sock".into()));
    assert_eq!(socket.login, login(Some("admin"), Some("a&b")));
    assert_eq!(socket.database, 2);
}

#[test]
fn sentinels_are_named_with_their_service_and_their_own_login() {
    let url =
        "rediss+sentinel://u:p@h1:1,h2,[::2]:3/my%20master/4?sentinel_user=s&sentinel_password=q";
    let address = parse(url);
    let Place::Sentinels {
        hosts,
        service,
        login: own,
    } = &address.place
    else {
        panic!("{address:?}");
    };
    assert_eq!(
        *hosts,
        [host_of("h1", 1), host_of("h2", 26379), host_of("::2", 3)]
    );
    assert_eq!(
        (service.as_str(), address.database, address.tls),
        ("my master", 4, true)
    );
    assert_eq!(*own, login(Some("s"), Some("q")));
    assert_eq!(address.passwords(), ["p", "q"]);
    assert_eq!(address.to_string(), "h1:1,h2:26379,[::2]:3 (my master)");
}

#[test]
fn a_cluster_is_named_by_some_of_its_nodes() {
    let address = parse("redis+cluster://h1,h2:7000/");
    assert_eq!(
        address.place,
        Place::Cluster(vec![host_of("h1", 6379), host_of("h2", 7000)])
    );
}

#[test]
fn what_is_wrong_is_said_with_what_to_write() {
    for (url, said) in [
        ("redis+sentinal://h/m", "is neither memory nor"),
        ("redis+sentinel://h", "names no service"),
        ("redis+cluster://h/1", "a Redis Cluster has none but 0"),
        ("redis://h1,h2", "redis+sentinel:// or redis+cluster://"),
        ("redis://user@h", "a user without a password"),
        ("redis://user:@h", "a user without a password"),
        ("redis://u:a/b@h", "write / as %2F"),
        ("redis://u:a?b@h", "write ? as %3F"),
        ("redis://u:a#b@h", "write it as %23"),
        ("redis://h:0", "a port that is no number"),
        ("redis://h/many", "a database that is no number"),
        ("redis://h?db=1", "a parameter that is unknown"),
        ("redis+cluster://h1,,h2", "names no host"),
        ("rediss://h#insecure", "has a #"),
        ("unix://run/redis.sock", "no absolute path"),
        ("unix:///run/redis.sock?password=x", "db, user and pass"),
    ] {
        let error = Address::parse(url).expect_err(url);
        assert!(
            error.contains(said) && !error.contains('\n'),
            "{url}: {error}"
        );
    }
}

/// URLs of every form, and broken ones, around a password that may be written raw.
fn urls() -> impl Strategy<Value = (String, String)> {
    let scheme = prop::sample::select(vec![
        "redis",
        "rediss",
        "redis+sentinel",
        "rediss+sentinel",
        "redis+cluster",
        "valkey",
        "reddis",
        "unix",
        "http",
    ]);
    let rest = prop::sample::select(vec![
        "h/m/1",
        "h1,h2/m",
        "h:port",
        "h/many",
        "[::1",
        ",",
        "h/m?db=x",
        "/run/sock",
        "h?sentinel_user=a",
    ]);
    let raw = "[a-z0-9@:/?#&=% \\[\\],]{0,6}";
    (scheme, rest, raw, raw, any::<bool>(), 0..4usize).prop_map(
        |(scheme, rest, before, after, encode, form)| {
            let password = format!("{before}hunter2{after}");
            let written = if encode {
                utf8_percent_encode(&password, NON_ALPHANUMERIC).to_string()
            } else {
                password
            };
            let mark = if rest.contains('?') { '&' } else { '?' };
            let url = match form {
                0 => format!("{scheme}://user:{written}@{rest}"),
                1 => format!("{scheme}://:{written}@{rest}"),
                2 => format!("{scheme}://{rest}{mark}pass={written}"),
                _ => format!("{scheme}://u:x@{rest}{mark}sentinel_password={written}"),
            };
            (url, "hunter2".into())
        },
    )
}

proptest! {
    #[test]
    fn no_error_and_nothing_that_is_shown_repeats_a_password((url, password) in urls()) {
        let options = Options::new(url.as_str(), model::FleetName::standard());
        let opened = match open(&options) {
            Ok(registry) => format!("{registry:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        let parsed = format!("{:?}", Address::parse(&url));
        let given = RegistryUrl::from(url.as_str());
        for shown in [opened, parsed, format!("{given} {given:?} {options:?}")] {
            prop_assert!(!shown.contains(&password), "{url}: {shown}");
            prop_assert!(!shown.contains('\n'), "{url}: {shown}");
        }
    }
}
