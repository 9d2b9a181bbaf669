//! The result as a picture: which part of all requests took how long.
//!
//! To the right there is always a tenth of what was left, so that the slowest requests have as much room as the others.

use std::fmt::Write;
use std::time::Duration;

use super::load::{Load, Outcome};
use super::report::{per_second, shown};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 80.0;
const TOP: f64 = 50.0;
/// Points of the curve.
const POINTS: u32 = 240;
/// 90, 99, 99.9, 99.99 %.
const DECADES: u32 = 4;

pub(super) fn draw(load: &Load, outcome: &Outcome) -> String {
    let times = &outcome.tally.times;
    let least = times.quantile(0.0).as_secs_f64().max(1e-9);
    let most = times.most().as_secs_f64().max(least * 1.1);
    let lowest = 10_f64.powf(least.log10().floor());
    let highest = 10_f64.powf(most.log10().ceil()).max(lowest * 10.0);
    let y = |seconds: f64| {
        TOP + HEIGHT * (1.0 - (seconds.max(lowest) / lowest).ln() / (highest / lowest).ln())
    };
    let x = |decades: f64| LEFT + WIDTH * decades / f64::from(DECADES);

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{load}</text>\n\
         <text x=\"{LEFT}\" y=\"41\">{} requests, {:.1} in a second, {} failed</text>\n",
        LEFT + WIDTH + 30.0,
        TOP + HEIGHT + 60.0,
        times.count(),
        per_second(outcome),
        outcome.tally.errors
    );
    let mut line = |x1: f64,
                    y1: f64,
                    x2: f64,
                    y2: f64,
                    text: &str,
                    tx: f64,
                    ty: f64,
                    anchor: &str| {
        let _ = writeln!(
            out,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ccc\"/>\
             <text x=\"{tx:.1}\" y=\"{ty:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    };
    let mut level = lowest;
    while level <= highest * 1.001 {
        let at = y(level);
        let text = shown(Duration::from_secs_f64(level));
        line(LEFT, at, LEFT + WIDTH, at, &text, LEFT - 6.0, at + 4.0, "end");
        level *= 10.0;
    }
    for (decades, text) in [
        (0.0, "0 %"),
        (0.301, "50 %"),
        (1.0, "90 %"),
        (2.0, "99 %"),
        (3.0, "99.9 %"),
        (4.0, "99.99 %"),
    ] {
        let at = x(decades);
        line(at, TOP, at, TOP + HEIGHT, text, at, TOP + HEIGHT + 18.0, "middle");
    }
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">this part of the requests took no longer</text>",
        LEFT + WIDTH / 2.0,
        TOP + HEIGHT + 42.0
    );
    let mut points = String::new();
    for point in 0..=POINTS {
        let decades = f64::from(DECADES) * f64::from(point) / f64::from(POINTS);
        let part = 1.0 - 10_f64.powf(-decades);
        let _ = write!(points, "{:.1},{:.1} ", x(decades), y(times.quantile(part).as_secs_f64()));
    }
    let _ = writeln!(
        out,
        "<polyline fill=\"none\" stroke=\"#1f6feb\" stroke-width=\"2\" points=\"{}\"/>\n</svg>",
        points.trim_end()
    );
    out
}
