//! The chart: processor time per request of everyone, in the cases that all have.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::Error;
use crate::peers::Peer;
use crate::results::{CaseResult, Figure, Results};

/// Cases whose costs are of one order, so that one axis fits them.
const CASES: [&str; 3] = ["short-64", "short-512", "connections"];

const SIZE: (u32, u32) = (900, 420);

/// A bar's width, with five of them and a gap around each whole number.
const WIDTH: f64 = 0.15;

type Chart<'area, 'text> =
    ChartContext<'area, SVGBackend<'text>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A bar's place on the axis, and whose it is.
struct Bar {
    at: f64,
    height: f64,
    peer: Peer,
}

/// The chart as SVG.
pub(super) fn svg(results: &Results) -> Result<String, Error> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&area, results).map_err(|error| Error::Chart(error.to_string()))?;
    }
    Ok(text)
}

fn draw(area: &DrawingArea<SVGBackend<'_>, Shift>, results: &Results) -> Drawn {
    area.fill(&WHITE)?;
    let cases: Vec<_> = CASES.iter().filter_map(|name| results.case(name)).collect();
    let bars: Vec<_> = cases
        .iter()
        .enumerate()
        .flat_map(|(index, case)| bars(index, case))
        .collect();
    let highest = bars.iter().map(|bar| bar.height).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(
            "Processor time per request, in microseconds",
            ("sans-serif", 20),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(-0.5..cases.len().max(1) as f64 - 0.5, 0.0..highest * 1.15)?;
    draw_axes(&mut chart, &cases)?;
    for peer in Peer::ALL {
        let own = bars.iter().filter(|bar| bar.peer == peer);
        draw_bars(&mut chart, peer, own)?;
    }
    draw_heights(&mut chart, &bars, highest * 0.04)?;
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .draw()?;
    area.present()?;
    Ok(())
}

/// The cases' titles below, and a scale.
fn draw_axes(chart: &mut Chart<'_, '_>, cases: &[&CaseResult]) -> Drawn {
    let title = |at: &f64| {
        let case = cases.get(at.round() as usize);
        let case = case.filter(|_| at.fract().abs() < 1e-9);
        case.map_or(String::new(), |case| case.title.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(cases.len())
        .x_label_formatter(&title)
        .draw()?;
    Ok(())
}

/// The bars of one peer, with its name in the legend.
fn draw_bars<'a>(
    chart: &mut Chart<'_, '_>,
    peer: Peer,
    bars: impl Iterator<Item = &'a Bar>,
) -> Drawn {
    let style = colour(peer).filled();
    let shapes = bars.map(|bar| {
        let (left, right) = (bar.at - WIDTH / 2.0, bar.at + WIDTH / 2.0);
        Rectangle::new([(left, 0.0), (right, bar.height)], style)
    });
    chart
        .draw_series(shapes)?
        .label(peer.name())
        .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], style));
    Ok(())
}

/// Each bar's height in figures, so far above it.
fn draw_heights(chart: &mut Chart<'_, '_>, bars: &[Bar], above: f64) -> Drawn {
    let labels = bars.iter().map(|bar| {
        let text = format!("{:.1}", bar.height);
        let place = (bar.at - WIDTH / 2.5, bar.height + above);
        Text::new(text, place, ("sans-serif", 12))
    });
    chart.draw_series(labels)?;
    Ok(())
}

fn bars(index: usize, case: &CaseResult) -> impl Iterator<Item = Bar> {
    Peer::ALL
        .into_iter()
        .enumerate()
        .filter_map(move |(place, peer)| {
            let height = case.contestant(peer.name())?.median(Figure::CpuUs)?;
            let at = index as f64 + (place as f64 - 2.0) * WIDTH * 1.1;
            Some(Bar { at, height, peer })
        })
}

fn colour(peer: Peer) -> RGBColor {
    match peer {
        Peer::Roundhouse => RGBColor(200, 60, 40),
        Peer::Nginx => RGBColor(60, 140, 80),
        Peer::Haproxy => RGBColor(60, 100, 180),
        Peer::Envoy => RGBColor(150, 80, 160),
        Peer::Relay => RGBColor(150, 150, 150),
    }
}
