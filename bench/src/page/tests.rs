use super::*;
use crate::machine::Machine;
use crate::peers::Peer;
use crate::results::Measured;
use crate::results::testing::measured;

fn results() -> Results {
    let base = Some("roundhouse");
    let case = CaseResult {
        name: "short-64".into(),
        title: "A short body".into(),
        note: "A note.".into(),
        contestants: vec![
            measured("roundhouse", Peer::Roundhouse, None, &[9.0, 9.5, 10.0]),
            measured("nginx", Peer::Nginx, base, &[12.0, 12.0, 12.0]),
            measured("haproxy", Peer::Haproxy, base, &[10.0, 10.0, 10.0]),
        ],
    };
    Results {
        machine: Machine {
            processor: "Some Processor".into(),
            versions: vec![("nginx".into(), "1.22.1".into())],
            ..Machine::default()
        },
        rounds: 3,
        seconds: 3.0,
        cases: vec![case],
    }
}

#[test]
fn the_page_says_where_it_ran_and_how_to_repeat_it() {
    let page = render(&results(), false);
    for part in [
        "Some Processor",
        "| nginx | 1.22.1 |",
        "    bench/compare\n",
        "3 of 3 s each",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("findings.md"));
    assert!(render(&results(), true).contains("(findings.md)"));
}

#[test]
fn a_figure_stands_beside_its_ratio_and_columns_that_nobody_fills_are_left_out() {
    let page = render(&results(), false);
    assert!(page.contains("| | CPU us/request | ratio |\n"), "{page}");
    assert!(page.contains("| roundhouse | 9.50 |  |\n"), "{page}");
    assert!(page.contains("| nginx | 12.00 | 0.79 |\n"), "{page}");
}

#[test]
fn a_target_is_met_missed_or_not_measured() {
    let page = render(&results(), false);
    assert!(
        page.contains("| roundhouse / nginx | 0.90 | 0.79 | met |"),
        "{page}"
    );
    assert!(
        page.contains("| roundhouse / haproxy | 0.85 | 0.95 | **missed** |"),
        "{page}"
    );
    assert!(
        page.contains("| roundhouse / envoy | 0.28 |  | not measured |"),
        "{page}"
    );
}

fn with(figures: &[(Figure, f64)], name: &str, peer: Peer) -> Measured {
    Measured {
        rounds: vec![Some(figures.iter().copied().collect())],
        ..measured(name, peer, None, &[])
    }
}

fn case(name: &str, contestants: Vec<Measured>) -> Results {
    let mut results = results();
    results.cases[0].name = name.into();
    results.cases[0].contestants = contestants;
    results
}

#[test]
fn the_best_peer_is_one_that_was_asked_for_as_much() {
    let at = |rate, p99| [(Figure::Rate, rate), (Figure::P99Us, p99)];
    let page = render(
        &case(
            "latency",
            vec![
                with(&at(700.0, 90.0), "roundhouse", Peer::Roundhouse),
                with(&at(700.0, 100.0), "nginx", Peer::Nginx),
                with(&at(700.0, 120.0), "haproxy", Peer::Haproxy),
                with(&at(200.0, 50.0), "envoy", Peer::Envoy),
            ],
        ),
        false,
    );
    let row = "| roundhouse / the best peer at the same rate | 1.00 | 0.90 | met |";
    assert!(page.contains(row), "{page}");
}

#[test]
fn fewer_requests_a_second_are_worse() {
    let at = |rate| [(Figure::RequestsPerSecond, rate)];
    let changing = "roundhouse, changing";
    let contestants = vec![
        with(&at(1200.0), "roundhouse", Peer::Roundhouse),
        with(&at(1000.0), changing, Peer::Roundhouse),
    ];
    let page = render(&case("changes", contestants), false);
    let row =
        "| requests a second | roundhouse / roundhouse, changing | 1.10 | 1.20 | **missed** |";
    assert!(page.contains(row), "{page}");
}

#[test]
fn a_swap_costs_what_the_slowest_request_takes_longer() {
    let at = |slowest| [(Figure::MaxUs, slowest)];
    let changing = "roundhouse, changing";
    let contestants = vec![
        with(&at(800.0), "roundhouse", Peer::Roundhouse),
        with(&at(1500.0), changing, Peer::Roundhouse),
    ];
    let page = render(&case("swaps", contestants), false);
    let row = "| roundhouse, changing - roundhouse | 1000 us | 700 us | met |";
    assert!(page.contains(row), "{page}");
}

#[test]
fn a_case_with_more_rounds_says_so() {
    let mut results = results();
    assert!(!render(&results, false).contains("vary more"));
    results.rounds = 2;
    assert!(render(&results, false).contains("vary more than others', so it had 3 rounds.\n"));
}

#[test]
fn failures_and_troubles_are_told() {
    let mut results = results();
    let case = &mut results.cases[0];
    case.contestants[0].rounds[1] = Some([(Figure::Failures, 3.0)].into());
    case.contestants[1].rounds[2] = None;
    case.contestants[1].trouble = Some("it ended\nand said more".into());
    let page = render(&results, false);
    assert!(page.contains("roundhouse: 3 requests failed."), "{page}");
    assert!(
        page.contains("nginx could not be measured in 1 of 3 rounds: it ended and said more.\n"),
        "{page}"
    );
}

#[test]
fn the_chart_names_everyone_with_a_bar() {
    let text = chart::svg(&results()).expect("a chart");
    for part in ["<svg", "roundhouse", "haproxy", "A short body", "9.5"] {
        assert!(text.contains(part), "{part}");
    }
}
