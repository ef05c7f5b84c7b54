//! The checker's table, a line a run.

use super::Tally;

/// The heads of the columns.
pub const HEADER: &str = "row                                  seed published closed held parked open rejected lost \
delivered-twice applied-twice closed-twice seconds";

/// One line under [`HEADER`].
pub fn line(row: &str, seed: u64, tally: &Tally, seconds: f64) -> String {
    let Tally {
        published,
        closed,
        held,
        parked,
        open,
        rejected,
        lost,
        delivered_twice,
        applied_twice,
        closed_twice,
    } = tally;
    format!(
        "{row:<36} {seed:>4} {published:>9} {closed:>6} {held:>4} {parked:>6} {open:>4} {rejected:>8} {lost:>4} \
         {delivered_twice:>15} {applied_twice:>13} {closed_twice:>12} {seconds:>7.1}"
    )
}
