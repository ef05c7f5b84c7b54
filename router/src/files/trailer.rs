//! Rows that speak of a file and not of a job: totals, counts, the end of a report.

/// Words of which a trailer is made.
const WORDS: &[&str] = &[
    "total", "totals", "grand", "sum", "subtotal", "count", "row", "rows", "record", "records", "line",
    "lines", "item", "items", "entry", "entries", "number", "no", "of", "the", "in", "this", "end", "file",
    "report", "data", "export", "list", "page", "eof", "trailer", "trl", "tlr", "footer", "ftr", "exported",
    "selected", "affected", "returned",
];
/// Words that make one; each says that a number beside it counts rows.
const COUNTS: &[&str] = &[
    "count", "row", "rows", "record", "records", "line", "lines", "items", "entries", "trailer", "trl",
    "tlr", "footer", "ftr",
];
/// Words that make one; a number beside them may be a sum of another column.
const TOTALS: &[&str] = &["total", "totals", "sum", "subtotal"];
/// Words that make one and say nothing of a number.
const ENDS: &[&str] = &["end", "eof"];

/// A row that speaks of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Which of its fields says so.
    pub(super) at: usize,
    /// The rows that it counts.
    pub(super) count: Option<Count>,
}

/// A number in a trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) rows: u64,
    /// The field that it may be the sum of, where it does not say that it counts.
    pub(super) sum_of: Option<usize>,
}

/// Reads a row as a trailer: its first field that is not blank has a word that makes one, and all the others have no
/// words but such.
pub(super) fn trailer(fields: &[&str]) -> Option<Trailer> {
    let at = fields.iter().position(|field| !field.trim().is_empty())?;
    let (mut words, mut numbers) = (Vec::new(), Vec::new());
    for (place, field) in fields.iter().enumerate() {
        let lower = field.to_lowercase();
        for word in lower.split(|sign: char| !sign.is_alphanumeric() && sign != '.' && sign != ',') {
            let word = word.trim_matches(['.', ',']);
            if word.starts_with(|sign: char| sign.is_ascii_digit()) {
                numbers.push((place, whole(word)));
            } else if !word.is_empty() {
                words.push((place, word.to_owned()));
            }
        }
    }
    let is_one = |word: &str| [COUNTS, TOTALS, ENDS].iter().any(|list| list.contains(&word));
    let first = words.iter().any(|(place, word)| *place == at && is_one(word));
    if !first || words.iter().any(|(_, word)| !WORDS.contains(&word.as_str())) {
        return None;
    }
    let has = |list: &[&str]| words.iter().any(|(_, word)| list.contains(&word.as_str()));
    let count = match numbers.as_slice() {
        [(_, Some(rows))] if has(COUNTS) => Some(Count { rows: *rows, sum_of: None }),
        [(place, Some(rows))] if has(TOTALS) => Some(Count { rows: *rows, sum_of: Some(*place) }),
        _ => None,
    };
    Some(Trailer { at, count })
}

/// A whole number, with or without commas between its thousands.
fn whole(word: &str) -> Option<u64> {
    let mut parts = word.split(',');
    let first = parts.next()?;
    let thousands = parts.clone().all(|part| part.len() == 3);
    let digits = word.replace(',', "");
    (thousands && !first.is_empty()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(fields: &[&str]) -> Option<(u64, Option<usize>)> {
        let trailer = trailer(fields).unwrap_or_else(|| panic!("{fields:?} is a trailer"));
        trailer.count.map(|count| (count.rows, count.sum_of))
    }

    #[test]
    fn trailers_are_known_by_their_words_and_their_number() {
        assert_eq!(count(&["*** End of report ***", ""]), None);
        assert_eq!(count(&["End of report 23/11/2026"]), None);
        assert_eq!(count(&["EOF"]), None);
        assert_eq!(count(&["", "Total", "125.50"]), None);
        assert_eq!(count(&["Total", "3"]), Some((3, Some(1))));
        assert_eq!(count(&["Total records: 1,250"]), Some((1_250, None)));
        assert_eq!(count(&["(3 rows affected)"]), Some((3, None)));
        assert_eq!(count(&["TRAILER", "0003", ""]), Some((3, None)));
        assert_eq!(count(&["Row count", "12"]), Some((12, None)));
    }

    #[test]
    fn what_speaks_of_a_job_is_no_trailer() {
        for fields in [
            &["J-1", "Done"][..],
            &["1001", "End"],
            &["1001", "3"],
            &["Totally", "Done"],
            &["End", "Done"],
            &["Total", "Done"],
            &["", ""],
            &[],
        ] {
            assert_eq!(trailer(fields), None, "{fields:?}");
        }
    }
}
