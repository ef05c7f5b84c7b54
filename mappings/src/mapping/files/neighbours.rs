//! Folders of two systems that stand in each other's way.

use std::collections::BTreeSet;

use super::Files;

/// Folders that Dovetail makes inside a system's own.
const OURS: [&str; 3] = ["done", "refused", "receipts"];

/// What stands in the way of one system's files, by those of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Clash {
    /// Both would take the same files.
    Shared(String),
    /// The folder is one that Dovetail writes into.
    Ours(String),
    /// The folder lies inside the other's.
    Inside(String),
}

/// How the files of a system clash with those of another; each pair is looked at both ways.
pub(in super::super) fn clash(one: &Files, other: &Files) -> Option<Clash> {
    let (place, around) = (one.place()?, other.place()?);
    let rest = parts(&place).strip_prefix(&*parts(&around))?.to_vec();
    match rest.first() {
        None if one.pattern == other.pattern || !one.pattern.meets(&other.pattern) => None,
        None => Some(Clash::Shared(place)),
        Some(first) if OURS.contains(&first.as_str()) => Some(Clash::Ours(place)),
        Some(_) => Some(Clash::Inside(place)),
    }
}

fn parts(place: &str) -> Vec<String> {
    place.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}

/// Whether one name can fit two patterns.
pub(super) fn meets(one: &[char], other: &[char]) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![(0, 0)]);
    while let Some((at, beside)) = open.pop() {
        if !seen.insert((at, beside)) {
            continue;
        }
        match (one.get(at), other.get(beside)) {
            (None, None) => return true,
            // A star may stand for nothing, or for one letter more.
            (Some('*'), letter) => {
                open.push((at + 1, beside));
                open.extend(letter.map(|_| (at, beside + 1)));
            }
            (letter, Some('*')) => {
                open.push((at, beside + 1));
                open.extend(letter.map(|_| (at + 1, beside)));
            }
            (Some(a), Some(b)) if a == b || *a == '?' || *b == '?' => open.push((at + 1, beside + 1)),
            (Some(_) | None, Some(_) | None) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_patterns_meet_where_one_name_fits_both() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        for (one, other, together) in [
            ("*.csv", "receipts*", true),
            ("*.csv", "*.xml", false),
            ("a*", "b*", false),
            ("a?c", "ab*", true),
            ("*", "x", true),
            ("a*b", "ab", true),
            ("a", "ab", false),
        ] {
            assert_eq!(meets(&letters(one), &letters(other)), together, "{one} {other}");
            assert_eq!(meets(&letters(other), &letters(one)), together, "{other} {one}");
        }
    }
}
