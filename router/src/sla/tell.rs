//! What a clock tells, as events.

use jiff::Timestamp;
use mappings::domain::HandoverState;
use mappings::mapping::{Catalogue, Owner};
use mappings::sla::{Milestone, Span, Terms, Turn};
use serde_json::{Value, json};

use super::Facts;
use crate::event::Kind;

/// The events of a look, in order.
pub(super) fn tell(
    turn: &Turn,
    facts: &Facts<'_>,
    terms: &Terms,
    catalogue: &Catalogue,
    now: Timestamp,
) -> Vec<(Kind, Value)> {
    let mut events = Vec::new();
    for milestone in &turn.tell {
        match milestone {
            Milestone::Used(share) => {
                let mut data = about(facts, catalogue);
                data["used"] = json!(share);
                promised(&mut data, turn, terms);
                events.push((Kind::Warned, data));
            }
            Milestone::Reached => {
                let mut data = about(facts, catalogue);
                data["because"] = json!("target");
                promised(&mut data, turn, terms);
                let words = terms.target.as_ref().map_or("", |target| &target.words);
                data["reason"] = json!(format!("what was promised is not done: {words}"));
                events.push((Kind::Escalated, data));
            }
            Milestone::Aged => {
                let mut data = about(facts, catalogue);
                data["because"] = json!("age");
                data["reason"] = json!(format!("open for {}", words(terms.escalate)));
                events.push((Kind::Escalated, data));
            }
            Milestone::Overdue => {
                let mut data = about(facts, catalogue);
                data["reason"] = json!(format!("open for {}", words(terms.overdue)));
                events.push((Kind::Overdue, data));
            }
            Milestone::Chased => events.extend(facts.silent(terms, now).into_iter().map(|(work, news)| {
                let owner = facts.owner(work.system, catalogue).as_ref().map(owner_json);
                let data = json!({
                    "system": work.system.as_str(), "job": work.job.map(|job| job.as_str()),
                    "owner": owner, "silent_since": news.to_string(),
                });
                (Kind::Chased, data)
            })),
            Milestone::Feedback => {
                let line = facts.line;
                let data = json!({
                    "service": line.service.as_str(),
                    "disposition": line.disposition.map(|disposition| disposition.as_str()),
                    "closed_at": line.closed_at.map(|at| at.to_string()),
                });
                events.push((Kind::FeedbackDue, data));
            }
        }
    }
    events
}

/// What every warning says: since when, and who owns what is outstanding, with the senior who is to hear of it.
fn about(facts: &Facts<'_>, catalogue: &Catalogue) -> Value {
    let line = facts.line;
    let outstanding = facts.work.iter().filter(|work| work.state != HandoverState::Ended);
    let mut owners: Vec<(Value, Owner)> = outstanding
        .filter_map(|work| {
            let owner = facts.owner(work.system, catalogue)?;
            let mut value = owner_json(&owner);
            value["system"] = json!(work.system.as_str());
            value["job"] = json!(work.job.map(|job| job.as_str()));
            Some((value, owner))
        })
        .collect();
    if owners.is_empty() {
        // Nobody has work in hand: the ticket waits for the front office.
        owners
            .extend(catalogue.contact_centre(&line.council).map(|owner| (owner_json(owner), owner.clone())));
    }
    let mut seniors: Vec<&str> = Vec::new();
    for (_, owner) in &owners {
        let senior = owner.senior.as_deref().unwrap_or(&owner.contact);
        if !seniors.contains(&senior) {
            seniors.push(senior);
        }
    }
    let seniors = json!(seniors);
    let owners: Vec<Value> = owners.into_iter().map(|(value, _)| value).collect();
    json!({
        "service": line.service.as_str(), "raised_at": line.raised_at.to_string(),
        "owners": owners, "seniors": seniors,
    })
}

fn promised(data: &mut Value, turn: &Turn, terms: &Terms) {
    data["target"] = json!(terms.target.as_ref().map(|target| target.words.as_str()));
    data["due"] = json!(turn.due.map(|due| due.to_string()));
}

/// An owner as events name one.
fn owner_json(owner: &Owner) -> Value {
    json!({"team": owner.team, "contact": owner.contact, "senior": owner.senior})
}

fn words(span: Span) -> String {
    let (count, unit) = match span {
        Span::Hours(count) => (count, "hour"),
        Span::WorkingHours(count) => (count, "working hour"),
        Span::Days(count) => (count, "day"),
        Span::WorkingDays(count) => (count, "working day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
