//! A history as a picture: time runs down the order from left to right, one lane a member.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::history::{History, Outcome, Shown};
use crate::text;

const STEP: usize = 26;
const LANE: usize = 40;
const LEFT: usize = 190;
const TOP: usize = 70;

const STYLE: &str = "\
text{font:12px sans-serif;fill:#222}.lane{stroke:#ddd}.edge{stroke:#8a94a6;stroke-width:1.2;fill:none}\
.own{stroke:#30507a;stroke-width:2}.accepted{fill:#3a7d44}.pending{fill:#fff;stroke:#3a7d44;stroke-width:2}\
.rejected{fill:#c0392b}.cross{stroke:#fff;stroke-width:2}.unseen{fill:none;stroke:#e69f00;stroke-width:2.5}\
.forked{fill:none;stroke:#7b3fa0;stroke-width:2;stroke-dasharray:3 2}.legend{font-size:11px}";

/// Text for XML: what it cannot hold is escaped before.
fn escape(text: &str) -> String {
    let text = text::shown(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A piece; writing to a string cannot fail.
macro_rules! piece {
    ($to:expr, $($rest:tt)*) => { let _ = writeln!($to, $($rest)*); };
}

pub(crate) fn draw(history: &History) -> String {
    let mut lanes: HashMap<&str, usize> = HashMap::new();
    let mut order = Vec::new();
    for shown in &history.shown {
        lanes.entry(&shown.author).or_insert_with(|| {
            order.push(shown.author.as_str());
            order.len() - 1
        });
    }
    let width = LEFT + STEP * history.shown.len() + 40;
    let height = TOP + LANE * order.len() + 20;
    let x = |i: usize| LEFT + STEP * i;
    let y = |shown: &Shown| TOP + LANE * lanes.get(shown.author.as_str()).copied().unwrap_or(0);
    let mut to = String::new();
    piece!(
        to,
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="{height}" viewBox="0 0 {} {height}">"#,
        width.max(760),
        width.max(760)
    );
    piece!(to, "<style>{STYLE}</style>");
    piece!(to, r##"<rect width="100%" height="100%" fill="#fff"/>"##);
    legend(&mut to, history);
    for (lane, author) in order.iter().enumerate() {
        let at = TOP + LANE * lane;
        let name = history.names.get(*author).map(|name| format!("{} · ", escape(name))).unwrap_or_default();
        piece!(to, r#"<text x="8" y="{}">{name}{}</text>"#, at + 4, text::short(author));
        piece!(to, r#"<line class="lane" x1="{LEFT}" y1="{at}" x2="{}" y2="{at}"/>"#, width - 20);
    }
    for (i, shown) in history.shown.iter().enumerate() {
        for &from in &shown.from {
            let (x1, y1, x2, y2) = (x(from), y(&history.shown[from]), x(i), y(shown));
            if y1 == y2 {
                piece!(to, r#"<path class="edge own" d="M{x1} {y1}L{x2} {y2}"/>"#);
            } else {
                let bend = (x1 + x2) / 2;
                piece!(to, r#"<path class="edge" d="M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}"/>"#);
            }
        }
    }
    for (i, shown) in history.shown.iter().enumerate() {
        node(&mut to, history, shown, i, (x(i), y(shown)));
    }
    to.push_str("</svg>\n");
    to
}

fn legend(to: &mut String, history: &History) {
    piece!(to, r#"<text x="8" y="18">context {}</text>"#, text::short(&history.context));
    let before = if history.before > 0 { format!(", {} before", history.before) } else { String::new() };
    piece!(to, r#"<text x="8" y="34" class="legend">{} shown{before}</text>"#, history.shown.len());
    for (i, (class, what)) in [
        ("accepted", "accepted"),
        ("pending", "not executed"),
        ("rejected", "rejected"),
        ("unseen", "had not seen what sorts before"),
        ("forked", "one of two of a number"),
    ]
    .into_iter()
    .enumerate()
    {
        let at = LEFT + [0, 80, 180, 260, 455][i];
        piece!(to, r#"<circle class="{class}" cx="{at}" cy="14" r="6"/>"#);
        piece!(to, r#"<text x="{}" y="18" class="legend">{what}</text>"#, at + 10);
    }
}

fn node(to: &mut String, history: &History, shown: &Shown, i: usize, (x, y): (usize, usize)) {
    let class = match shown.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Pending => "pending",
        _ => "rejected",
    };
    let why = shown.why.as_deref().map(|why| format!("; rejected: {}", escape(why))).unwrap_or_default();
    let unseen =
        if shown.unseen > 0 { format!("; had not seen {} before it", shown.unseen) } else { String::new() };
    piece!(
        to,
        "<g><title>{} · {} #{} · {}{unseen}{why}</title>",
        history.before + i as u64 + 1,
        escape(&shown.kind),
        shown.sequence,
        text::short(&shown.id)
    );
    piece!(to, r#"<circle class="{class}" cx="{x}" cy="{y}" r="7"/>"#);
    if shown.outcome.rejected() {
        let (left, right, above, below) = (x - 3, x + 3, y - 3, y + 3);
        piece!(
            to,
            r#"<path class="cross" d="M{left} {above}L{right} {below}M{left} {below}L{right} {above}"/>"#
        );
    }
    if shown.unseen > 0 {
        piece!(to, r#"<circle class="unseen" cx="{x}" cy="{y}" r="10"/>"#);
    }
    if shown.forked {
        piece!(to, r#"<circle class="forked" cx="{x}" cy="{y}" r="13"/>"#);
    }
    piece!(to, "</g>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_text() {
        assert_eq!(escape("<script>&\"\u{0}\u{ffff}"), "&lt;script&gt;&amp;&quot;\\u{0}\u{fffd}");
    }
}
