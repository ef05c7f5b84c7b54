//! What a ticket's clock says when it is looked at, and when to look again.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Beyond, Calendar, Pause, Span, Target, milestones};
use crate::domain::{Council, Disposition, Ticket};

/// What is promised for a request, and what is said while the promise runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The promise, where there is one.
    pub target: Option<Target>,
    /// The calendar it is counted by.
    pub calendar: Arc<Calendar>,
    /// After what time an open ticket goes to the senior owner, promise or not.
    pub escalate: Span,
    /// After what time an open ticket is overdue.
    pub overdue: Span,
    /// After what time without news the owner of a handover is asked for some.
    pub chase: Option<Span>,
    /// Whether and when the customer is asked what they think of it.
    pub feedback: Option<Feedback>,
}

/// When the customer is asked what they think of a ticket that closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// How long after closing; `None` is at once.
    pub after: Option<Span>,
    /// Of how many tickets in a hundred.
    pub percent: u8,
    /// The endings it is asked about.
    pub dispositions: Vec<Disposition>,
}

/// What a clock says once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Milestone {
    /// So many per cent of the promise are used up.
    Used(u8),
    /// The promise is used up: the ticket is escalated.
    Reached,
    /// The ticket has been open for so long that it is escalated.
    Aged,
    /// The ticket has been open for far too long.
    Overdue,
    /// Nobody has said anything for too long; may be said again after as much time.
    Chased,
    /// The customer can be asked what they think.
    Feedback,
}

/// A milestone that was told before.
pub type Told = (Milestone, Timestamp);

/// Where a ticket stands, as far as its clock cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Work is outstanding, or a person must decide.
    Open,
    /// The work has ended, and the CRM has yet to take the closure.
    Ended,
    /// It is closed.
    Closed {
        /// When the closure was written.
        at: Timestamp,
        /// How it ended.
        disposition: Option<Disposition>,
    },
}

/// What a clock needs to know of a ticket.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// When the customer called, to the millisecond.
    pub raised_at: Timestamp,
    /// Where the ticket stands.
    pub standing: Standing,
    /// When the clock stood still, oldest first; one that lasts ends `now`.
    pub pauses: Vec<Pause>,
    /// Since when nothing was heard: the last news, or the acceptance.
    pub news_at: Timestamp,
    /// Whether somebody has work of it in hand, who could be asked for news.
    pub awaited: bool,
    /// Whether the ticket was drawn for feedback.
    pub drawn: bool,
    /// What was told before.
    pub told: Vec<Told>,
}

/// What a look at a clock comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What is to be told now, in order.
    pub tell: Vec<Milestone>,
    /// When to look again; `None`: never, unless something changes.
    pub next: Option<Timestamp>,
    /// When the promise is reached.
    pub due: Option<Timestamp>,
    /// Why the promise has no date, where the calendar ends before it.
    pub beyond: Option<Beyond>,
}

/// Looks at a clock.
///
/// Of the warnings that were passed since the last look only the highest is told; nothing is told twice.
pub fn turn(terms: &Terms, case: &Case, now: Timestamp) -> Turn {
    let mut turn = Turn { tell: Vec::new(), next: None, due: None, beyond: None };
    let mut plan: Vec<(Timestamp, Milestone)> = Vec::new();
    match case.standing {
        Standing::Closed { at, disposition } => plan.extend(feedback(terms, case, at, disposition)),
        Standing::Open => {
            plan.extend(promise(terms, case, &mut turn));
            plan.extend(age(terms, case));
            plan.extend(chase(terms, case));
        }
        Standing::Ended => {
            // Nothing is said of the promise any more; when it was due is known still.
            promise(terms, case, &mut turn);
            plan.extend(age(terms, case));
        }
    }
    plan.sort();
    let (passed, ahead): (Vec<_>, Vec<_>) = plan.into_iter().partition(|(at, _)| *at <= now);
    turn.next = ahead.first().map(|(at, _)| *at);
    for (index, (_, milestone)) in passed.iter().enumerate() {
        let later = passed[index + 1..].iter();
        let surpassed = later
            .map(|(_, other)| other)
            .any(|other| matches!(other, Milestone::Used(_) | Milestone::Reached));
        match milestone {
            Milestone::Used(_) if surpassed => {}
            Milestone::Chased => {
                if case.awaited {
                    turn.tell.push(*milestone);
                }
                let again = terms.chase.and_then(|span| span.end(now, &terms.calendar).ok());
                turn.next = [turn.next, again].into_iter().flatten().min();
            }
            Milestone::Used(_)
            | Milestone::Reached
            | Milestone::Aged
            | Milestone::Overdue
            | Milestone::Feedback => turn.tell.push(*milestone),
        }
    }
    turn
}

/// The milestones of the promise that were not told, and none below one that was.
fn promise(terms: &Terms, case: &Case, turn: &mut Turn) -> Vec<(Timestamp, Milestone)> {
    let Some(target) = &terms.target else { return Vec::new() };
    let all = match milestones(target, case.raised_at, &case.pauses, &terms.calendar) {
        Ok(all) => all,
        Err(beyond) => {
            turn.beyond = Some(beyond);
            return Vec::new();
        }
    };
    turn.due = all.last().map(|(_, at)| *at);
    let share = |milestone: &Milestone| match milestone {
        Milestone::Used(share) => Some(*share),
        Milestone::Reached => Some(100),
        Milestone::Aged | Milestone::Overdue | Milestone::Chased | Milestone::Feedback => None,
    };
    let told = case.told.iter().filter_map(|(milestone, _)| share(milestone)).max().unwrap_or(0);
    let open = all.into_iter().filter(|(share, _)| *share > told);
    open.map(|(share, at)| (at, if share == 100 { Milestone::Reached } else { Milestone::Used(share) }))
        .collect()
}

/// How old the ticket is, from the minute of the call: a promise of days lasts until the end of the last of them, while
/// nothing is open for longer than so many days untold.
fn age(terms: &Terms, case: &Case) -> Vec<(Timestamp, Milestone)> {
    let ages = [(terms.escalate, Milestone::Aged), (terms.overdue, Milestone::Overdue)];
    let untold = ages.into_iter().filter(|(_, milestone)| !was_told(case, *milestone));
    let reached = |span: Span| match span {
        Span::Days(days) => Some(terms.calendar.days_after(case.raised_at, days)),
        Span::Hours(_) | Span::WorkingHours(_) | Span::WorkingDays(_) => {
            span.end(case.raised_at, &terms.calendar).ok()
        }
    };
    untold.filter_map(|(span, milestone)| Some((reached(span)?, milestone))).collect()
}

fn chase(terms: &Terms, case: &Case) -> Option<(Timestamp, Milestone)> {
    let last =
        case.told.iter().filter(|(milestone, _)| *milestone == Milestone::Chased).map(|(_, at)| *at).max();
    let since = last.map_or(case.news_at, |last| last.max(case.news_at));
    Some((terms.chase?.end(since, &terms.calendar).ok()?, Milestone::Chased))
}

fn feedback(
    terms: &Terms,
    case: &Case,
    closed_at: Timestamp,
    disposition: Option<Disposition>,
) -> Option<(Timestamp, Milestone)> {
    let feedback = terms.feedback.as_ref().filter(|_| case.drawn && !was_told(case, Milestone::Feedback))?;
    if !disposition.is_some_and(|disposition| feedback.dispositions.contains(&disposition)) {
        return None;
    }
    let at = match feedback.after {
        Some(span) => span.end(closed_at, &terms.calendar).ok()?,
        None => closed_at,
    };
    Some((at, Milestone::Feedback))
}

fn was_told(case: &Case, milestone: Milestone) -> bool {
    case.told.iter().any(|(told, _)| *told == milestone)
}

/// Whether a ticket is among so many in a hundred: always the same answer for the same ticket.
pub fn drawn(council: &Council, ticket: &Ticket, percent: u8) -> bool {
    let bytes = council.as_str().bytes().chain([b'/']).chain(ticket.as_str().bytes());
    let hash = digest(bytes);
    hash % 100 < u64::from(percent)
}

/// FNV-1a, stirred, so that texts that differ little are far apart.
pub(crate) fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
