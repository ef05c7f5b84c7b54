//! Text in columns.

/// Rows under their headings, each column as wide as its widest text.
pub(super) fn columns<const N: usize>(
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    rows.iter().fold(String::new(), |mut out, row| {
        let padded = row.iter().zip(widths).map(|(text, width)| format!("{text:<width$}"));
        out.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let rows = [["CRM-1".to_owned(), "Café".to_owned()], ["C".to_owned(), "x".to_owned()]];
        assert_eq!(columns(["TICKET", "A"], rows.into_iter()), "TICKET  A\nCRM-1   Café\nC       x\n");
    }
}
