//! A path's normal form: what is decided on, what servers see, and that nobody gets around a rule by another spelling.

use model::{Change, Networks, Paths};

use crate::client;
use crate::fleet::{Fleet, pool};
use crate::routes::{acting, ask, below, fleet, pool_id, put};
use crate::upstream::Upstream;

async fn with_paths(paths: Paths) -> (Fleet, Upstream) {
    let server = Upstream::echoing().await;
    let pool = model::Pool { paths, ..pool() };
    let fleet = Fleet::with(pool, &[&server]).await;
    (fleet, server)
}

/// The target that the server got, or the reason why it got nothing.
async fn sent(fleet: &Fleet, target: &str) -> String {
    let answer = client::get(fleet.address(), target).await;
    let text = answer.text();
    let target = text.split(' ').nth(1).unwrap_or_default();
    answer
        .field("roundhouse-reason")
        .unwrap_or_else(|| target.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_get_the_normal_form_unless_their_pool_says_otherwise() {
    let (fleet, _server) = with_paths(Paths::Normalise).await;
    for (target, normal) in [
        ("/a/b?c=/../d", "/a/b?c=/../d"),
        ("//a///b", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("/../../a", "/a"),
        ("/%61%2f%7e", "/a%2F~"),
        ("/%2e%2e/a", "/a"),
        ("/a?%61", "/a?%61"),
        ("http://b", "/"),
    ] {
        assert_eq!(sent(&fleet, target).await, normal, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_may_refuse_every_other_form() {
    let (fleet, server) = with_paths(Paths::Reject).await;
    for target in ["/a/b?c=/../d", "/a%2Fb", "/", "http://b?c"] {
        assert!(sent(&fleet, target).await.starts_with('/'), "{target}");
    }
    for target in ["//a", "/a/../b", "/%61", "/a%2fb"] {
        assert_eq!(sent(&fleet, target).await, "path-not-normal", "{target}");
    }
    assert_eq!(server.requests(), 4);
    let mut client = fleet.client().await;
    assert_eq!(client.get("//a").await.status(), 400);
    // The request was framed well, and others may follow.
    assert_eq!(client.get("/").await.status(), 200);
    client
        .is_turned_away_with_a_body("//a", "path-not-normal")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_may_take_paths_as_they_come() {
    let (fleet, _server) = with_paths(Paths::AsIs).await;
    for target in ["//a", "/a/../b", "/%61", "/a%2fb", "/%zz"] {
        assert_eq!(sent(&fleet, target).await, target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let (fleet, server) = with_paths(Paths::Normalise).await;
    for target in ["/%zz", "/%4", "/a%", "/%00", "/a/..%2fb"] {
        let mut client = fleet.client().await;
        let answer = client.get(target).await;
        assert_eq!(answer.verdict(), (400, "bad-path".into()), "{target}");
        assert!(client.is_ended().await, "{target}");
    }
    let mut client = fleet.client().await;
    client.is_turned_away_with_a_body("/%zz", "bad-path").await;
    assert_eq!(server.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_path_gets_around_a_route() {
    let (fleet, servers) = fleet(&[]).await;
    let mut guarded = acting("/admin", "admin", model::Action::Pool(pool_id("web")));
    let all: Networks = "0.0.0.0/0".parse().expect("a network");
    guarded.firewall.deny = vec![all];
    fleet.change(put(guarded)).await;
    for paths in [Paths::Normalise, Paths::AsIs] {
        for id in ["default", "web"] {
            let id = pool_id(id);
            fleet
                .change(Change::put_pool(model::Pool {
                    id,
                    paths,
                    ..pool()
                }))
                .await;
        }
        let mut client = fleet.client().await;
        for target in [
            "/admin",
            "/admin/",
            "/admin/users?a",
            "//admin",
            "/./admin",
            "/a/../admin",
            "/a/%2e%2E/admin",
            "/%61dmin",
            "/%61%64%6D%69%6e",
            "/admin%2F",
            "/admin%2fusers",
            "/%2Fadmin",
            "/admin/../admin",
            "http://b/x/../admin",
            "/admin;a=b/../../admin",
        ] {
            let answer = client.get(target).await;
            assert_eq!(
                answer.verdict(),
                (403, "denied-by-route".into()),
                "{target}"
            );
        }
        for target in ["/admins", "/a/admin", "/admin/../a", "/a?/admin"] {
            assert_eq!(client.get(target).await.text(), "standard", "{target}");
        }
    }
    assert_eq!(servers[1].requests(), 0);
    let denied = "roundhouse_balancer_route_denied_total{route=\"admin\"}";
    fleet.counts(denied, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_route_decided_on_is_what_a_server_sees() {
    let (fleet, _servers) = fleet(&[]).await;
    fleet.change(put(below("/web", "web"))).await;
    let request = "GET /x/..//web/%7Ea/./b HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = ask(&fleet, request).await.text();
    assert!(head.starts_with("GET /web/~a/b HTTP/1.1"), "{head}");
}
