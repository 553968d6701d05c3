//! Clients that come by TLS: which certificate they are shown, and how that changes while they are served.

use std::sync::Arc;

use certificates::SealKey;
use certificates::testing::Authority;
use model::{Alpn, Change, Collection, ListenerTls, TlsVersion};
use registry::Goal;
use rustls::ProtocolVersion;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::client;
use crate::fleet::{Fleet, commit, pool};
use crate::load::Load;
use crate::secure::{ANY, Seen, TLS12, TLS13, Trust, connect, leaf, listener, put, seen, tls_of};
use crate::upstream::Upstream;
use crate::wire::{LIMIT, eventually, field};

const FAILED: &str = "roundhouse_balancer_tls_handshakes_failed_total";

fn failed(reason: &str) -> String {
    format!("{FAILED}{{reason=\"{reason}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_is_shown_the_certificate_for_the_name_that_it_asks_for() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let exact = trust.authority.issue(&["shop.example"]);
    let wildcard = trust.authority.issue(&["*.shop.example"]);
    let standard = trust.authority.issue(&["front.example", "127.0.0.1"]);
    let shown = [("a", &exact), ("b", &wildcard), ("c", &standard)];
    let fleet = trust.fleet(&shown, &[server.address], &[]).await;
    let config = Arc::new(trust.client(ANY));
    let shown_for = async |name: &str| {
        let made = connect(tls_of(&fleet), name, &config).await;
        made.map(|stream| seen(&stream).leaf)
    };
    assert_eq!(shown_for("shop.example").await, Ok(leaf(&exact)));
    assert_eq!(shown_for("SHOP.example").await, Ok(leaf(&exact)));
    assert_eq!(shown_for("eu.shop.example").await, Ok(leaf(&wildcard)));
    for name in ["other.example", "a.b.shop.example", "127.0.0.1"] {
        let refused = shown_for(name).await.expect_err("nothing is for that name");
        assert!(refused.contains("UnrecognisedName"), "{refused}");
    }
    fleet.counts(&failed("no-certificate"), 3).await;
    let tls = ListenerTls {
        default: Some("c".parse().expect("a name")),
        ..ListenerTls::default()
    };
    fleet.change(listener(tls)).await;
    assert_eq!(shown_for("127.0.0.1").await, Ok(leaf(&standard)));
    assert_eq!(shown_for("eu.shop.example").await, Ok(leaf(&wildcard)));
    let bridge = trust.bridge(&fleet, "eu.shop.example").await;
    assert_eq!(client::get(bridge, "/").await.text(), "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_no_host_is_shown_the_only_certificate() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let own = trust.authority.issue(&["shop.example", "127.0.0.1"]);
    let files = trust.directory.path().join("certificates");
    std::fs::create_dir(&files).expect("a folder");
    std::fs::write(files.join("own.pem"), &own.chain).expect("a file");
    std::fs::write(files.join("own.key"), &own.key).expect("a file");
    let flags = ["--certificate-dir", &files.display().to_string()];
    let fleet = trust.fleet(&[], &[server.address], &flags).await;
    let config = Arc::new(trust.client(ANY));
    let shown_for = async |name: &str| {
        let made = connect(tls_of(&fleet), name, &config).await;
        made.map(|stream| seen(&stream).leaf)
    };
    assert_eq!(shown_for("127.0.0.1").await, Ok(leaf(&own)));
    shown_for("other.example")
        .await
        .expect_err("for no name but its own");
    let other = trust.authority.issue(&["api.example"]);
    fleet.change(trust.put("other", &other)).await;
    shown_for("127.0.0.1")
        .await
        .expect_err("nobody says which of two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_put_ahead_of_its_time_is_not_shown_yet() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let present = trust.authority.issue(&["shop.example"]);
    let next = trust.authority.issue_for_later(&["shop.example"]);
    let alone = trust.authority.issue_for_later(&["other.example"]);
    let shown = [("a", &present), ("b", &next), ("c", &alone)];
    let fleet = trust.fleet(&shown, &[server.address], &[]).await;
    let config = Arc::new(trust.client(ANY));
    let made = connect(tls_of(&fleet), "shop.example", &config).await;
    assert_eq!(made.map(|stream| seen(&stream).leaf), Ok(leaf(&present)));
    // Where there is no other, its client is told what is wrong with it.
    let refused = connect(tls_of(&fleet), "other.example", &config).await;
    let refused = refused.map(|_| ()).expect_err("it is not valid yet");
    assert!(refused.contains("not valid yet"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_are_spoken_unless_the_older_one_is_not_wanted() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let issued = trust.authority.issue(&["shop.example"]);
    let fleet = trust.fleet(&[("a", &issued)], &[server.address], &[]).await;
    let (old, new) = (Arc::new(trust.client(TLS12)), Arc::new(trust.client(TLS13)));
    let version = async |config| {
        let made = connect(tls_of(&fleet), "shop.example", config).await;
        made.map(|stream| seen(&stream).version)
    };
    assert_eq!(version(&old).await, Ok(ProtocolVersion::TLSv1_2));
    assert_eq!(version(&new).await, Ok(ProtocolVersion::TLSv1_3));
    fleet
        .counts(
            "roundhouse_balancer_tls_handshakes_total{version=\"1.2\",resumed=\"false\"}",
            1,
        )
        .await;
    let tls = ListenerTls {
        min_version: TlsVersion::V1_3,
        alpn: vec![Alpn::Http1],
        ..ListenerTls::default()
    };
    fleet.change(listener(tls)).await;
    version(&old).await.expect_err("it is too old");
    fleet.counts(&failed("no-common-version"), 1).await;
    let mut config = trust.client(ANY);
    config.alpn_protocols = vec![b"x".to_vec(), b"http/1.1".to_vec()];
    let made = connect(tls_of(&fleet), "shop.example", &Arc::new(config)).await;
    let Seen { version, alpn, .. } = seen(&made.expect("a handshake"));
    assert_eq!(version, ProtocolVersion::TLSv1_3);
    assert_eq!(alpn.as_deref(), Some(&b"http/1.1"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_under_load_and_no_request_fails() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let first = trust.authority.issue(&["shop.example"]);
    let fleet = trust
        .fleet(&[("a", &first)], &[server.address], &["--threads", "2"])
        .await;
    let config = Arc::new(trust.client(ANY));
    let load = Load::start(trust.bridge(&fleet, "shop.example").await);
    load.proceeds().await;
    let mut kept = client::connect(trust.bridge(&fleet, "shop.example").await).await;
    assert_eq!(kept.get("/").await.status(), 200);
    for _ in 0..5 {
        let next = trust.authority.issue(&["shop.example"]);
        fleet.change(trust.put("a", &next)).await;
        let made = connect(tls_of(&fleet), "shop.example", &config).await;
        assert_eq!(seen(&made.expect("a handshake")).leaf, leaf(&next));
        load.proceeds().await;
    }
    assert_eq!(kept.get("/").await.status(), 200);
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_reported_by_name_and_the_last_good_stays() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let good = trust.authority.issue(&["shop.example"]);
    let fleet = trust.fleet(&[("a", &good)], &[server.address], &[]).await;
    let config = Arc::new(trust.client(ANY));
    let other = trust.authority.issue(&["shop.example"]);
    let mut mixed = other.clone();
    mixed.key = good.key.clone();
    let stranger = put("a", &other, &SealKey::generate());
    for (change, why) in [
        (stranger, "sealed to"),
        (trust.put("a", &mixed), "not the key of this certificate"),
    ] {
        let position = commit(&*fleet.registry, vec![change]).await;
        let faults = fleet.nacks_at(position).await;
        let [fault] = &faults[..] else {
            panic!("{faults:?}");
        };
        assert_eq!(
            (fault.collection, fault.key.as_str()),
            (Collection::Certificates, "a")
        );
        assert!(fault.reason.contains(why), "{}", fault.reason);
        let made = connect(tls_of(&fleet), "shop.example", &config).await;
        assert_eq!(seen(&made.expect("a handshake")).leaf, leaf(&good));
    }
    fleet.change(trust.put("a", &other)).await;
    let made = connect(tls_of(&fleet), "shop.example", &config).await;
    assert_eq!(seen(&made.expect("a handshake")).leaf, leaf(&other));
    let gone = Change::Certificate("a".parse().expect("a name"), None);
    fleet.change(gone).await;
    connect(tls_of(&fleet), "shop.example", &config)
        .await
        .expect_err("nothing is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_client_comes_within_tls_nothing_is_missed_of_it() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let fleet = Fleet::of(&[&server]).await;
    let issued = trust.authority.issue(&["shop.example"]);
    let tls = ListenerTls {
        default: Some("a".parse().expect("a name")),
        ..ListenerTls::default()
    };
    for change in [trust.put("a", &issued), listener(tls)] {
        let position = commit(&*fleet.registry, vec![change.clone()]).await;
        fleet.reaches(&Goal::changed(position, [&change])).await;
        assert_eq!(fleet.nacks_at(position).await, []);
    }
    // What servers are to be shown is missed there too.
    let mut strict = pool();
    strict.tls.enabled = true;
    strict.tls.certificate = Some("a".parse().expect("a name"));
    let position = fleet.change(Change::put_pool(strict)).await;
    let nacks = fleet.nacks_at(position).await;
    let mut nacks: Vec<_> = nacks
        .iter()
        .map(|nack| (nack.collection, &*nack.key))
        .collect();
    nacks.sort();
    assert_eq!(
        nacks,
        [
            (Collection::Pools, "default"),
            (Collection::Certificates, "a")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_in_files_are_taken_up_as_they_change_and_go_before_the_registrys() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let registered = trust.authority.issue(&["shop.example"]);
    let files = trust.directory.path().join("certificates");
    std::fs::create_dir(&files).expect("a folder");
    let directory = files.display().to_string();
    let flags = ["--certificate-dir", &directory];
    let fleet = trust
        .fleet(&[("a", &registered)], &[server.address], &flags)
        .await;
    let config = Arc::new(trust.client(ANY));
    let shows = async |name: &str, expected: &_| {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let made = connect(tls_of(&fleet), name, &config).await;
            if made.is_ok_and(|stream| seen(&stream).leaf == leaf(expected)) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "not shown: {name}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    shows("shop.example", &registered).await;
    let own = trust.authority.issue(&["shop.example"]);
    std::fs::write(files.join("a.pem"), &own.chain).expect("a file");
    std::fs::write(files.join("a.key"), &own.key).expect("a file");
    shows("shop.example", &own).await;
    let name = "roundhouse_certificate_not_after_seconds{certificate=\"a\",source=\"file\"}";
    assert!(fleet.metric(name).await > 1e9);
    // As Kubernetes does it: a link that is switched over.
    let mounted = [&["api.example"], &["api.example"]].map(|names| trust.authority.issue(names));
    for (number, issued) in mounted.iter().enumerate() {
        let version = files.join(format!("..version{number}"));
        std::fs::create_dir(&version).expect("a folder");
        std::fs::write(version.join("tls.crt"), &issued.chain).expect("a file");
        std::fs::write(version.join("tls.key"), &issued.key).expect("a file");
        let link = files.join("..new");
        std::os::unix::fs::symlink(&version, &link).expect("a link");
        std::fs::rename(&link, files.join("api")).expect("a link");
        shows("api.example", issued).await;
    }
    // What is broken changes nothing, and what comes after it does.
    std::fs::write(files.join("a.pem"), "no certificate").expect("a file");
    let last = trust.authority.issue(&["api.example"]);
    std::fs::write(files.join("b.pem"), &last.chain).expect("a file");
    std::fs::write(files.join("b.key"), &last.key).expect("a file");
    std::fs::remove_file(files.join("api")).expect("a link");
    shows("api.example", &last).await;
    shows("shop.example", &own).await;
    std::fs::remove_file(files.join("a.pem")).expect("a file");
    std::fs::remove_file(files.join("a.key")).expect("a file");
    shows("shop.example", &registered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_slow_or_is_none_is_cut_and_counted() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let issued = trust.authority.issue(&["shop.example"]);
    let flags = ["--head-timeout", "200ms"];
    let fleet = trust
        .fleet(&[("a", &issued)], &[server.address], &flags)
        .await;
    for (bytes, reason) in [
        (&b"\x16\x03\x01\x02"[..], "timeout"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "not-tls"),
    ] {
        let mut socket = TcpStream::connect(tls_of(&fleet)).await.expect("connected");
        socket.write_all(bytes).await.expect("sent");
        let mut rest = Vec::new();
        let ended = timeout(LIMIT, socket.read_to_end(&mut rest)).await;
        let _ = ended.expect("it ends in time");
        fleet.counts(&failed(reason), 1).await;
    }
    drop(TcpStream::connect(tls_of(&fleet)).await.expect("connected"));
    fleet.counts(&failed("closed"), 1).await;
    fleet
        .counts("roundhouse_balancer_connections_open", 0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_routes_are_told_that_the_client_came_by_tls() {
    let (trust, server) = (Trust::new(), Upstream::echoing().await);
    let issued = trust.authority.issue(&["shop.example"]);
    let fleet = trust.fleet(&[("a", &issued)], &[server.address], &[]).await;
    let route = serde_json::json!({
        "id": "up", "match": {"scheme": "http"},
        "action": {"redirect": {"scheme": "https"}},
    });
    let route: model::Route = serde_json::from_value(route).expect("a route");
    fleet
        .change(Change::Route(route.id.clone(), Some(Box::new(route))))
        .await;
    let hsts = serde_json::json!({
        "id": "strict", "match": {"scheme": "https"}, "hsts": {"max_age": "1h"},
        "action": {"pool": "default"},
    });
    let hsts: model::Route = serde_json::from_value(hsts).expect("a route");
    fleet
        .change(Change::Route(hsts.id.clone(), Some(Box::new(hsts))))
        .await;
    let request = "GET /a?b HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let answer = fleet.client().await.ask(request).await.expect("an answer");
    assert_eq!(answer.status(), 308);
    let location = answer.field("location");
    assert_eq!(location.as_deref(), Some("https://shop.example/a?b"));
    assert_eq!(answer.field("strict-transport-security"), None);
    let bridge = trust.bridge(&fleet, "shop.example").await;
    for target in ["/a", "https://shop.example/a"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n");
        let answer = client::connect(bridge)
            .await
            .ask(request)
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200);
        let head = answer.text();
        assert_eq!(field(&head, "x-forwarded-proto").as_deref(), Some("https"));
        let forwarded = field(&head, "forwarded").expect("a field");
        assert!(forwarded.contains(";proto=https;"), "{forwarded}");
        let hsts = answer.field("strict-transport-security");
        assert_eq!(hsts.as_deref(), Some("max-age=3600"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_openssl_are_served() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let issued = trust.authority.issue(&["shop.example"]);
    let fleet = trust.fleet(&[("a", &issued)], &[server.address], &[]).await;
    let ca = trust.directory.path().join("ca.pem");
    std::fs::write(&ca, trust.authority.pem()).expect("a file");
    let port = tls_of(&fleet).port();
    for (version, spoken) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", version]);
        curl.args(["--write-out", " by %{http_version}, ", "--cacert"])
            .arg(&ca);
        curl.arg("--resolve")
            .arg(format!("shop.example:{port}:127.0.0.1"));
        let url = format!("https://shop.example:{port}/");
        let output = curl
            .args([&url, &url])
            .output()
            .await
            .expect("curl is installed");
        let told = String::from_utf8_lossy(&output.stderr);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(
            said,
            format!("one by {spoken}, one by {spoken}, "),
            "{told}"
        );
    }
    for version in ["-tls1_2", "-tls1_3"] {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-verify_return_error", version]);
        openssl
            .args(["-servername", "shop.example", "-CAfile"])
            .arg(&ca);
        openssl.args(["-connect", &format!("127.0.0.1:{port}")]);
        openssl
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        openssl
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        let mut running = openssl.spawn().expect("openssl is installed");
        let mut input = running.stdin.take().expect("an input");
        let request = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
        input.write_all(request).await.expect("written");
        let output = timeout(LIMIT, running.wait_with_output()).await;
        let output = output.expect("it ends in time").expect("openssl ran");
        let said = String::from_utf8_lossy(&output.stdout);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(said.ends_with("\r\n\r\none"), "{version}: {said:?} {told}");
        drop(input);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_without_any_certificate_refuses_and_others_go_on() {
    let (trust, server) = (Trust::new(), Upstream::named("one").await);
    let fleet = trust.fleet(&[], &[server.address], &[]).await;
    let config = Arc::new(trust.client(ANY));
    let refused = connect(tls_of(&fleet), "shop.example", &config).await;
    assert!(
        refused
            .expect_err("nothing to show")
            .contains("UnrecognisedName")
    );
    assert_eq!(client::get(fleet.address(), "/").await.text(), "one");
    let stranger = Authority::new("another authority").issue(&["shop.example"]);
    fleet.change(trust.put("a", &stranger)).await;
    connect(tls_of(&fleet), "shop.example", &config)
        .await
        .expect_err("nobody it believes");
    fleet.counts(&failed("certificate-refused"), 1).await;
    eventually("it was not asked", || server.requests() == 1).await;
}
