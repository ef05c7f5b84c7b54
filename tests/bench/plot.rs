//! Rate and delay over time, as one SVG.

use std::fmt::Write as _;

use crate::figures::Figures;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 40.0;
const COLOURS: [&str; 8] =
    ["#666666", "#0b6e4f", "#2a9d8f", "#c1121f", "#e76f51", "#264653", "#8e7dbe", "#f4a261"];

struct Line<'a> {
    name: &'a str,
    points: &'a [(f64, f64)],
}

/// The last measurement of each subject.
pub(crate) fn svg(figures: &Figures) -> String {
    let rates: Vec<Line<'_>> = figures
        .rates
        .iter()
        .filter_map(|(name, all)| Some(Line { name, points: &all.last()?.1.series }))
        .collect();
    let delays: Vec<Line<'_>> = figures
        .delays
        .iter()
        .filter_map(|(name, all)| Some(Line { name, points: &all.last()?.series }))
        .collect();
    let mut charts = vec![("closures a second, over seconds".to_owned(), rates)];
    if !delays.is_empty() {
        let title =
            format!("median delay added in ms at {:.0} requests a second, over seconds", figures.tenth);
        charts.push((title, delays));
    }
    let height = HEIGHT * charts.len() as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, (title, lines)) in charts.iter().enumerate() {
        chart(&mut text, title, lines, number as f64 * HEIGHT);
    }
    text.push_str("</svg>\n");
    text
}

fn chart(text: &mut String, title: &str, lines: &[Line<'_>], down: f64) {
    let points = || lines.iter().flat_map(|line| line.points).filter(|(_, value)| value.is_finite());
    let most = |read: fn(&(f64, f64)) -> f64| points().map(read).fold(0.0, f64::max);
    let (end, top) = (most(|point| point.0).max(1.0), nice(most(|point| point.1)));
    let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| down + HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    // Writing to a text cannot fail.
    let _ = writeln!(text, "<text x=\"{LEFT}\" y=\"{}\" font-size=\"14\">{title}</text>", down + 22.0);
    for quarter in 0..=4 {
        let value = top * f64::from(quarter) / 4.0;
        let (from, to, at) = (x(0.0), x(end), y(value));
        let _ = writeln!(
            text,
            "<path d=\"M{from:.1} {at:.1}H{to:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            from - 8.0,
            at + 4.0
        );
        let seconds = end * f64::from(quarter) / 4.0;
        let _ = writeln!(
            text,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{seconds:.1}</text>",
            x(seconds),
            y(0.0) + 18.0
        );
    }
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let shape: Vec<String> = line
            .points
            .iter()
            .filter(|(_, value)| value.is_finite())
            .map(|(seconds, value)| format!("{:.1},{:.1}", x(*seconds), y(*value)))
            .collect();
        let at = down + TOP + number as f64 * 18.0;
        let _ = writeln!(
            text,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            shape.join(" "),
            WIDTH - RIGHT + 16.0,
            at + 4.0,
            line.name
        );
    }
}

/// The next round number above.
fn nice(value: f64) -> f64 {
    let step = 10_f64.powf(value.max(1.0).log10().floor());
    let factors = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    factors.iter().map(|factor| factor * step).find(|top| *top >= value).unwrap_or(10.0 * step)
}
