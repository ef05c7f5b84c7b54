//! Which parked handovers are meant: `system=waste class=technical reason~"503" since=2h`.

use jiff::{SignedDuration, Timestamp};
use mappings::domain::{Council, ParkClass, Service, SystemName, Ticket};

/// Which parked handovers are meant; each condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Of this system.
    pub system: Option<SystemName>,
    /// Parked with this class.
    pub class: Option<ParkClass>,
    /// Whose reason contains this text, whatever the case of its letters.
    pub reason: Option<String>,
    /// Parked at this time or later.
    pub since: Option<Timestamp>,
    /// For this service.
    pub service: Option<Service>,
    /// Of this council.
    pub council: Option<Council>,
    /// Of this ticket.
    pub ticket: Option<Ticket>,
}

/// Why a text selects nothing that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {found}: expected {expected}")]
pub struct InvalidSelection {
    /// Where, from 1.
    pub column: usize,
    /// What stands there.
    pub found: String,
    /// What is accepted there.
    pub expected: String,
}

const CONDITIONS: &str = "system=, class=, reason~, since=, service=, council= or ticket=";

impl Selection {
    /// Reads conditions that are separated by spaces; `now` is what `since=2h` counts back from.
    ///
    /// # Errors
    /// [`InvalidSelection`] says where, what was found and what was expected.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, InvalidSelection> {
        let mut selection = Self::default();
        for condition in conditions(text)? {
            selection.add(&condition, now)?;
        }
        Ok(selection)
    }

    fn add(&mut self, condition: &Condition, now: Timestamp) -> Result<(), InvalidSelection> {
        let Condition { column, name, operator, value } = condition;
        let wrong = |found: String, expected: &str| InvalidSelection {
            column: *column,
            found,
            expected: expected.to_owned(),
        };
        let invalid =
            |error: mappings::domain::InvalidId| wrong(format!("{name}={:?}", error.found), error.expected);
        let operators = if name == "reason" { '~' } else { '=' };
        if *operator != operators {
            return Err(wrong(format!("{name}{operator}"), &format!("{name}{operators}")));
        }
        let known = match name.as_str() {
            "system" => self.system.replace(SystemName::parse(value).map_err(invalid)?).is_some(),
            "class" => self.class.replace(value.parse().map_err(invalid)?).is_some(),
            "reason" => self.reason.replace(value.clone()).is_some(),
            "since" => {
                let since = since(value, now).ok_or_else(|| {
                    let expected =
                        "a time back such as 30m, 2h or 3d, or a time such as 2026-11-22T09:15:00Z";
                    wrong(format!("since={value:?}"), expected)
                })?;
                self.since.replace(since).is_some()
            }
            "service" => self.service.replace(Service::parse(value).map_err(invalid)?).is_some(),
            "council" => self.council.replace(Council::parse(value).map_err(invalid)?).is_some(),
            "ticket" => self.ticket.replace(Ticket::parse(value).map_err(invalid)?).is_some(),
            _ => return Err(wrong(format!("{name:?}"), CONDITIONS)),
        };
        if known {
            return Err(wrong(format!("{name} a second time"), "each condition once"));
        }
        Ok(())
    }
}

struct Condition {
    column: usize,
    name: String,
    operator: char,
    value: String,
}

/// Takes `name=value` and `name~"a value"` apart.
fn conditions(text: &str) -> Result<Vec<Condition>, InvalidSelection> {
    let mut found = Vec::new();
    let mut letters = text.chars().zip(1..).peekable();
    loop {
        while letters.next_if(|(c, _)| c.is_whitespace()).is_some() {}
        let Some((_, column)) = letters.peek().copied() else { return Ok(found) };
        let mut name = String::new();
        while let Some((c, _)) = letters.next_if(|(c, _)| !matches!(c, '=' | '~') && !c.is_whitespace()) {
            name.push(c);
        }
        let Some((operator, _)) = letters.next_if(|(c, _)| matches!(c, '=' | '~')) else {
            return Err(InvalidSelection {
                column,
                found: format!("{name:?}"),
                expected: format!("a condition: {CONDITIONS}"),
            });
        };
        let mut value = String::new();
        if letters.next_if(|(c, _)| *c == '"').is_some() {
            loop {
                match letters.next() {
                    Some(('"', _)) => break,
                    Some(('\\', _)) => value.extend(letters.next().map(|(c, _)| c)),
                    Some((c, _)) => value.push(c),
                    None => {
                        return Err(InvalidSelection {
                            column,
                            found: format!("{name}{operator}\"{value}"),
                            expected: "a \" at its end".to_owned(),
                        });
                    }
                }
            }
        } else {
            while let Some((c, _)) = letters.next_if(|(c, _)| !c.is_whitespace()) {
                value.push(c);
            }
        }
        if value.is_empty() {
            let found = format!("{name}{operator}");
            return Err(InvalidSelection { column, found, expected: "a value behind it".to_owned() });
        }
        found.push(Condition { column, name, operator, value });
    }
}

/// A moment, or so long before now. A day is 24 hours.
fn since(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let back = match text.strip_suffix('d').and_then(|days| days.parse::<i32>().ok()) {
        Some(days) => SignedDuration::from_hours(i64::from(days) * 24),
        None => text.parse().ok()?,
    };
    (!back.is_negative()).then(|| now.checked_sub(back).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T09:15:00Z".parse().expect("a time")
    }

    #[test]
    fn every_condition_is_read() {
        let text = r#"system=waste class=technical  reason~"said \"503\"" since=2h service=waste.missed-bin council=harlow ticket=CRM-1"#;
        let selection = Selection::parse(text, now()).expect("a selection");
        let expected = Selection {
            system: SystemName::parse("waste").ok(),
            class: Some(ParkClass::Technical),
            reason: Some("said \"503\"".to_owned()),
            since: "2026-11-22T07:15:00Z".parse().ok(),
            service: Service::parse("waste.missed-bin").ok(),
            council: Council::parse("harlow").ok(),
            ticket: Ticket::parse("CRM-1").ok(),
        };
        assert_eq!(selection, expected);
        let at = |text| Selection::parse(text, now()).expect("a selection").since.map(|at| at.to_string());
        assert_eq!(at("since=2d").as_deref(), Some("2026-11-20T09:15:00Z"));
        assert_eq!(at("since=2026-11-01T00:00:00Z").as_deref(), Some("2026-11-01T00:00:00Z"));
        assert_eq!(Selection::parse("  ", now()), Ok(Selection::default()));
    }

    #[test]
    fn a_mistake_is_named_with_its_place_and_what_was_expected() {
        for (text, expected) in [
            ("system=waste sistem=x", "column 14: \"sistem\": expected system=, class=, reason~"),
            ("system", "column 1: \"system\": expected a condition: system="),
            ("class=broken", "column 1: class=\"broken\": expected one of data refused technical uncertain"),
            ("reason=503", "column 1: reason=: expected reason~"),
            ("system~waste", "column 1: system~: expected system="),
            ("since=soon", "column 1: since=\"soon\": expected a time back such as 30m"),
            ("since=-2h", "column 1: since=\"-2h\": expected a time back"),
            ("reason~\"503", "column 1: reason~\"503: expected a \" at its end"),
            ("ticket=", "column 1: ticket=: expected a value behind it"),
            ("class=data class=data", "column 12: class a second time: expected each condition once"),
        ] {
            let error = Selection::parse(text, now()).expect_err(text).to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
