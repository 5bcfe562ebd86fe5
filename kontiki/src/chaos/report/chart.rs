//! Shapes of a chart, as SVG text.

use super::escape;

/// The width of every chart, and of the column of labels at its left.
pub(super) const WIDTH: f64 = 1120.0;
pub(super) const GUTTER: f64 = 128.0;
/// Where lanes end; labels of their scales are behind it.
pub(super) const END: f64 = WIDTH - 48.0;

/// A chart that grows downwards.
pub(super) struct Chart {
    /// What lies behind everything else.
    bands: String,
    shapes: String,
    pub(super) height: f64,
}

impl Chart {
    pub(super) fn new(height: f64) -> Self {
        Self { bands: String::new(), shapes: String::new(), height }
    }

    /// A rectangle; the title is shown when it is pointed at.
    pub(super) fn bar(&mut self, (x, y, width, height): (f64, f64, f64, f64), fill: &str, title: &str) {
        let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) };
        self.shapes.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" rx=\"2.5\" fill=\"{fill}\">{title}</rect>\n",
            width.max(1.5)
        ));
    }

    /// A band behind all lanes.
    pub(super) fn band(&mut self, x: f64, width: f64, (from, to): (f64, f64)) {
        self.bands.push_str(&format!(
            "<rect class=\"band\" x=\"{x:.1}\" y=\"{from:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\n",
            width.max(1.0),
            to - from
        ));
    }

    /// A line of text; `anchor` is start, middle or end.
    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: &str, class: &str, text: &str) {
        self.shapes.push_str(&format!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n",
            escape(text)
        ));
    }

    /// A straight line.
    pub(super) fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        self.shapes.push_str(&format!(
            "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n"
        ));
    }

    /// A line through points, interrupted where there is none.
    pub(super) fn curve(&mut self, points: &[Option<(f64, f64)>], stroke: &str) {
        let mut path = String::new();
        let mut begins = true;
        for point in points {
            match point {
                Some((x, y)) => {
                    path.push_str(&format!("{}{x:.1} {y:.1}", if begins { "M" } else { "L" }));
                    begins = false;
                }
                None => begins = true,
            }
        }
        self.shapes.push_str(&format!(
            "<path d=\"{path}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"1.4\" stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n"
        ));
    }

    /// The whole.
    pub(super) fn svg(&self, label: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-label=\"{}\">\n{}{}</svg>\n",
            self.height,
            escape(label),
            self.bands,
            self.shapes
        )
    }
}

/// Where a second of the run is.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    seconds: f64,
}

impl Scale {
    pub(super) fn new(seconds: f64) -> Self {
        Self { seconds: seconds.max(0.001) }
    }

    pub(super) fn x(self, at: f64) -> f64 {
        GUTTER + (at / self.seconds).clamp(0.0, 1.0) * (END - GUTTER)
    }

    /// Marks for an axis, at most about a dozen, at round seconds.
    pub(super) fn marks(self) -> Vec<f64> {
        let steps = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
        let step = steps.into_iter().find(|step| self.seconds / step <= 14.0).unwrap_or(7200.0);
        let mut marks = Vec::new();
        let mut at = 0.0;
        while at <= self.seconds {
            marks.push(at);
            at += step;
        }
        marks
    }
}

/// How high a latency stands in a lane, on a logarithmic scale from half a millisecond to ten seconds: 0 to 1.
pub(super) fn height(seconds: f64) -> f64 {
    const LEAST: f64 = 0.0005;
    const MOST: f64 = 10.0;
    ((seconds.max(LEAST) / LEAST).log10() / (MOST / LEAST).log10()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_few_round_marks() {
        assert_eq!(Scale::new(8.0).marks(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(Scale::new(61.0).marks().len(), 13);
        assert!(Scale::new(7000.0).marks().len() <= 15);
    }

    #[test]
    fn latencies_rise_by_their_logarithm() {
        assert_eq!((height(0.0), height(0.0005), height(100.0)), (0.0, 0.0, 1.0));
        assert!((height(0.05) - height(0.005) - (height(0.5) - height(0.05))).abs() < 1e-9);
    }
}
