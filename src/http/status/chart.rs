//! Small charts as inline SVG.

use std::fmt::Write;

/// The drawing area in its own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 60.0;

/// The highest point of a line, below the text.
const TOP: f64 = 12.0;

/// A chart of values over time.
pub(super) struct Chart<'a> {
    pub(super) title: &'a str,
    /// The oldest first; `None` where there is no value.
    pub(super) values: Vec<Option<f64>>,
    /// A bound that is drawn as a line, where it is near.
    pub(super) bound: Option<f64>,
    /// The least upper end of the axis.
    pub(super) least: f64,
    /// Values that the axis has room for, so that a chart fills from the right.
    pub(super) room: usize,
    pub(super) show: fn(f64) -> String,
}

impl Chart<'_> {
    /// The chart with its title, and a text for those who do not see it.
    pub(super) fn html(&self) -> String {
        let last = self.values.iter().rev().find_map(|value| *value);
        let highest = self.values.iter().flatten().copied().fold(0.0, f64::max);
        let now = last.map_or("no value yet".to_owned(), self.show);
        let label = format!("{}: {now}, at most {} within the last ten minutes", self.title, (self.show)(highest));
        let end = self.end(highest);
        let mut html = format!(
            "<figure><figcaption>{}: <span class=\"number\">{now}</span></figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\
             <path class=\"grid\" d=\"M0 {HEIGHT}H{WIDTH}M0 {TOP}H{WIDTH}\"/>",
            self.title
        );
        let [area, line] = self.paths(end);
        let bound = self
            .bound
            .filter(|bound| *bound <= end)
            .map_or(String::new(), |bound| format!("M0 {:.1}H{WIDTH}", height(bound, end)));
        // infallible: it is a string
        let _ = write!(
            html,
            "<path class=\"area\" d=\"{area}\"/><path class=\"bound\" d=\"{bound}\"/><path class=\"line\" d=\"{line}\"/>\
             <text x=\"0\" y=\"9\" font-size=\"9\">{}</text></svg></figure>",
            (self.show)(end)
        );
        html
    }

    /// The upper end of the axis: the bound as soon as half of it is used.
    fn end(&self, highest: f64) -> f64 {
        let bound = self.bound.filter(|bound| highest * 2.0 >= *bound);
        highest.max(self.least).max(bound.unwrap_or(0.0))
    }

    /// The area below the line, and the line.
    fn paths(&self, end: f64) -> [String; 2] {
        let step = WIDTH / self.room.max(2) as f64;
        let first = WIDTH - step * self.values.len().saturating_sub(1) as f64;
        let (mut area, mut line) = (String::new(), String::new());
        let points = self.values.iter().enumerate().map(|(index, value)| (first + step * index as f64, *value));
        let mut begun: Option<f64> = None;
        for (x, value) in points {
            let Some(value) = value else {
                begun = close(&mut area, begun, x - step);
                continue;
            };
            let y = height(value, end);
            let command = if begun.is_none() { 'M' } else { 'L' };
            if begun.is_none() {
                let _ = write!(area, "M{x:.1} {HEIGHT}");
            }
            let _ = write!(line, "{command}{x:.1} {y:.1}");
            let _ = write!(area, "L{x:.1} {y:.1}");
            begun = begun.or(Some(x));
        }
        close(&mut area, begun, WIDTH);
        [area, line]
    }
}

/// Closes an area that was begun, at its right edge.
fn close(area: &mut String, begun: Option<f64>, x: f64) -> Option<f64> {
    if begun.is_some() {
        // infallible: it is a string
        let _ = write!(area, "L{x:.1} {HEIGHT}Z");
    }
    None
}

fn height(value: f64, end: f64) -> f64 {
    HEIGHT - (HEIGHT - TOP) * (value / end).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_fills_from_the_right_and_has_gaps() {
        let values = vec![Some(1.0), None, Some(4.0), Some(2.0)];
        let show = |value: f64| format!("{value}");
        let chart = Chart { title: "Queue", values, bound: Some(100.0), least: 1.0, room: 24, show };
        let html = chart.html();
        assert!(html.contains("aria-label=\"Queue: 2, at most 4 within the last ten minutes\""), "{html}");
        assert!(html.contains("class=\"line\" d=\"M210.0 48.0M230.0 12.0L240.0 36.0\""), "{html}");
        // the bound is far away
        assert!(html.contains("class=\"bound\" d=\"\""), "{html}");
    }
}
