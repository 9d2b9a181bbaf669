//! Tables with a frame.

/// A table of rows under headings. Headings stand in the middle; numbers and truth values at the right, as their column
/// has nothing else; text at the left.
pub(crate) fn draw(headings: &[&str], rows: &[Vec<String>]) -> String {
    let columns = headings.len();
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().map(|row| width(&row[column]));
            cells.chain([width(headings[column])]).max().unwrap_or(0)
        })
        .collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
        format!("{left}{}{right}\n", parts.join(middle))
    };
    let mut text = rule("┌", "┬", "┐");
    for (heading, &width) in headings.iter().zip(&widths) {
        text.push_str(&format!("│ {heading:^width$} "));
    }
    text.push_str("│\n");
    text.push_str(&rule("├", "┼", "┤"));
    for row in rows {
        for (cell, &width) in row.iter().zip(&widths) {
            text.push_str(&format!("│ {cell:>width$} "));
        }
        text.push_str("│\n");
    }
    text.push_str(&rule("└", "┴", "┘"));
    text
}
