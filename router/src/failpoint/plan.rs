//! What is to happen where: the text of `DOVETAIL_FAIL`, read.

use std::collections::HashMap;
use std::time::Duration;

use crate::config::Span;

use super::{Point, Write};

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Action {
    /// SIGKILL.
    Kill,
    /// The write fails. After a commit: it is written, and its caller hears of an error.
    Error,
    /// Nothing goes on for so long.
    Pause(Duration),
    /// The first time is logged.
    Tell,
}

/// At which times it happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum When {
    /// Each time.
    Always,
    /// Only the so-manieth time, from 1.
    Nth(u64),
    /// With this probability, by draws of this seed.
    Rate(f64, u64),
}

/// The whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) actions: HashMap<Point, (Action, When)>,
    /// Deliveries are acknowledged before they are written: a fault that the checker must find.
    pub(super) acknowledges_first: bool,
    /// Reading a body that holds this text kills the router.
    pub(super) deadly: Option<String>,
}

impl Plan {
    /// Reads `point=action;…`. The points `writing`, `written` and `any` stand for many.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            if part == "acknowledge_first" {
                plan.acknowledges_first = true;
                continue;
            }
            if let Some(text) = part.strip_prefix("deadly:").filter(|text| !text.is_empty()) {
                plan.deadly = Some(text.to_owned());
                continue;
            }
            let wrong = |expected: &str| format!("DOVETAIL_FAIL: found {part:?}, expected {expected}");
            let (name, action) = part.split_once('=').ok_or_else(|| wrong("point=action"))?;
            let points = points(name).ok_or_else(|| {
                let names: Vec<_> = Point::all().into_iter().map(Point::as_str).collect();
                wrong(&format!("writing, written, any, or one of {}", names.join(", ")))
            })?;
            let (action, when) = self::action(action).ok_or_else(|| {
                wrong("kill, error, pause:15s or tell, each with @N, and error with :5%:SEED")
            })?;
            for point in points {
                if action == Action::Error && !matches!(point, Point::Before(_) | Point::After(_)) {
                    return Err(wrong("error only where something is written"));
                }
                plan.actions.insert(point, (action, when));
            }
        }
        Ok(plan)
    }
}

fn points(name: &str) -> Option<Vec<Point>> {
    match name {
        "any" => Some(Point::all()),
        "writing" => Some(Write::ALL.into_iter().map(Point::Before).collect()),
        "written" => Some(Write::ALL.into_iter().map(Point::After).collect()),
        name => Point::all().into_iter().find(|point| point.as_str() == name).map(|point| vec![point]),
    }
}

fn action(text: &str) -> Option<(Action, When)> {
    let (text, nth) = match text.split_once('@') {
        Some((text, nth)) => (text, When::Nth(nth.parse().ok()?)),
        None => (text, When::Always),
    };
    let mut parts = text.split(':');
    let action = match (parts.next()?, parts.next()) {
        ("kill", None) => Action::Kill,
        ("tell", None) => Action::Tell,
        ("error", None) => Action::Error,
        ("error", Some(rate)) => {
            let rate: f64 = rate.strip_suffix('%')?.parse().ok()?;
            let seed = parts.next().map_or(Some(0), |seed| seed.parse().ok())?;
            return Some((Action::Error, When::Rate(rate / 100.0, seed)));
        }
        ("pause", Some(span)) => Action::Pause(Span::try_from(span.to_owned()).ok()?.0),
        _ => return None,
    };
    parts.next().is_none().then_some((action, nth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_says_what_happens_where_and_how_often() {
        let plan =
            Plan::parse("accepted=kill@7; sent=pause:15s@3;written=error:5%:42;received=tell").expect("read");
        assert_eq!(plan.actions[&Point::Sent], (Action::Pause(Duration::from_secs(15)), When::Nth(3)));
        assert_eq!(plan.actions[&Point::After(Write::Record)], (Action::Error, When::Rate(0.05, 42)));
        assert_eq!(plan.actions[&Point::Received], (Action::Tell, When::Always));
        assert!(!plan.acknowledges_first);
        assert_eq!(Plan::parse("deadly:CRM-7").expect("read").deadly.as_deref(), Some("CRM-7"));
        assert_eq!(Plan::parse("any=tell").expect("read").actions.len(), Point::all().len());
    }

    #[test]
    fn a_plan_that_cannot_be_followed_says_what_is_expected() {
        for (text, part) in [
            ("acepted=kill", "accepted"),
            ("accepted", "point=action"),
            ("accepted=explode", "pause:15s"),
            ("sent=error", "only where something is written"),
        ] {
            let error = Plan::parse(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn no_two_points_have_one_name() {
        let mut names: Vec<_> = Point::all().into_iter().map(Point::as_str).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
