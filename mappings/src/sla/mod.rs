//! The clock of a ticket: what was promised, when it is reached, and what is said on the way.
//!
//! Pure, like all of this crate: calendars, targets and pauses in, moments and milestones out; `now` is always
//! a parameter. Every clock starts when the customer called.

mod calendar;
mod target;
#[cfg(test)]
mod tests;
mod turn;

pub use calendar::{Beyond, Calendar, Hours, WorkedDays};
pub use target::{Limit, Pause, Span, Target, due, milestones, used};
pub(crate) use turn::digest;
pub use turn::{Case, Feedback, Milestone, Standing, Terms, Told, Turn, drawn, turn};
