//! What the events carry: one form for each kind, which is its schema in `docs/schemas`, and is what readers rely on.
//!
//! Members that do not apply are absent or null. Times are RFC 3339 in UTC.

use schemars::{JsonSchema, Schema};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Kind;

/// The ledger has the request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Accepted {
    /// What was asked for.
    service: String,
    /// The systems that get a piece of the work each.
    systems: Vec<String>,
    /// The name of the HTTP key that it was sent with, where there was one.
    sent_with: Option<String>,
}

/// A system has the job, or somebody else owns it from now on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct HandedOver {
    /// The system that has the work.
    system: String,
    /// The system's own reference, where it gave one.
    job: Option<String>,
    /// Who owns the work.
    owner: Option<Owner>,
    /// The person who passed it on.
    by: Option<String>,
    /// Why it was passed on.
    reason: Option<String>,
}

/// Who owns work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Owner {
    /// The team.
    team: String,
    /// How it is reached.
    contact: String,
    /// Who hears of it when it is late.
    senior: Option<String>,
}

/// How a piece of work, or the ticket, has come on. Which members there are says what happened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Progressed {
    /// The system whose work it is; absent where the whole ticket came on.
    system: Option<String>,
    /// The system's own reference.
    job: Option<String>,
    /// The reference that it gave first, where it gave another later.
    former_job: Option<String>,
    /// How far the work has come: a word of `progress`.
    progress: Option<String>,
    /// How the work ended: a word of `disposition`.
    disposition: Option<String>,
    /// The system's own word.
    said: Option<String>,
    /// What the customer can be told.
    say: Option<String>,
    /// Why.
    reason: Option<String>,
    /// What speaks against how the work ended.
    doubt: Option<String>,
    /// What the system was told of: `amend` or `cancel`.
    told: Option<String>,
    /// What the customer did: `amended`, `withdrawn` or `reopened`.
    change: Option<String>,
    /// When the ticket will close by itself, unless somebody stops it.
    closes_at: Option<String>,
    /// The closing rule that decided, as file and line.
    rule: Option<String>,
    /// The name of the HTTP key that it was sent with, where there was one.
    sent_with: Option<String>,
}

/// The ticket closed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Closed {
    /// How it ended: a word of `disposition`.
    disposition: String,
    /// Why, where there is more to say than the disposition.
    reason: Option<String>,
    /// What the customer is told.
    say: Option<String>,
    /// What each system said, and what decided its meaning.
    evidence: Vec<Evidence>,
    /// The closing rule that decided, as file and line; null where a person did.
    rule: Option<String>,
    /// When it was decided.
    decided_at: Option<String>,
    /// Who still has work to do that the ticket did not wait for.
    outstanding: Option<Vec<Outstanding>>,
    /// The formats that the customer needs, as the request has them.
    needs: Option<Vec<String>>,
    /// The request that is to follow.
    linked: Option<Linked>,
}

/// What a closure shows for one piece of work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Evidence {
    /// The system.
    system: String,
    /// Its own word, or the reason where it gave none.
    said: Option<String>,
    /// When.
    at: Option<String>,
    /// Its own reference.
    job: Option<String>,
    /// How the work ended.
    disposition: Option<String>,
    /// The rule of the mapping that gave the word its meaning, as file and line.
    decided_by: Option<String>,
    /// What speaks against it.
    doubt: Option<String>,
}

/// Work that the ticket did not wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Outstanding {
    /// The system that has it.
    system: String,
    /// The team that owns it.
    team: String,
}

/// A request that is to follow.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Linked {
    /// The ticket that it follows.
    follows: String,
    /// What is asked for.
    service: String,
    /// What is to be done.
    summary: String,
}

/// A request is to be opened that follows a ticket which closed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct FollowOn {
    /// The ticket that it follows.
    follows: String,
    /// What is asked for.
    service: String,
    /// What is to be done.
    summary: String,
    /// The CRM that opens it by call; null where whoever hears this event is to.
    crm: Option<String>,
}

/// A person must decide.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Held {
    /// Why.
    reason: String,
    /// The system that it is about.
    system: Option<String>,
    /// What the system said.
    said: Option<String>,
    /// Why the call was set aside: a word of the class of parked work.
    class: Option<String>,
    /// What was asked of the system.
    operation: Option<String>,
    /// How many calls wait behind it.
    waiting: Option<u64>,
    /// Why the system was not told.
    why: Option<String>,
    /// What the customer did too late.
    change: Option<String>,
    /// The person who stopped the closure.
    stopped_by: Option<String>,
    /// The name of the HTTP key that it was sent with, where there was one.
    sent_with: Option<String>,
}

/// A person decided.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Decided {
    /// What.
    decision: String,
    /// Who.
    by: String,
    /// Why.
    because: String,
    /// The system whose work it is about.
    system: Option<String>,
    /// The system's own reference.
    job: Option<String>,
    /// Why the work had been set aside: a word of the class of parked work.
    class: Option<String>,
    /// Why it waited for a person.
    reason: Option<String>,
    /// How the ticket is to close.
    disposition: Option<String>,
    /// The word of the system that was not known.
    said: Option<String>,
    /// What that word means.
    means: Option<String>,
    /// What the person changed in the request; personal fields are hidden.
    changes: Option<Vec<Edit>>,
}

/// A field that a person changed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Edit {
    /// Where, as a dotted path.
    path: String,
    /// What stood there.
    from: Value,
    /// What stands there now.
    to: Value,
}

/// The ticket was opened again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Reopened {
    /// Why, as the CRM says.
    reason: Option<String>,
    /// What was asked for; absent where the opening before goes on.
    service: Option<String>,
    /// The systems that get a piece of the work each.
    systems: Option<Vec<String>>,
    /// Which opening of the ticket it is, from 1.
    opening: Option<u64>,
    /// The state of the opening that goes on.
    state: Option<String>,
    /// The name of the HTTP key that it was sent with, where there was one.
    sent_with: Option<String>,
}

/// Time is used up, or used up altogether.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Late {
    /// What was asked for.
    service: String,
    /// When the customer called.
    raised_at: String,
    /// Who owns what is outstanding.
    owners: Vec<Outstander>,
    /// Who is to hear of it.
    seniors: Vec<String>,
    /// How much of the time is used up, in per cent.
    used: Option<u64>,
    /// What was promised, in words.
    target: Option<String>,
    /// Until when.
    due: Option<String>,
    /// `target` or `age`.
    because: Option<String>,
    /// Why, in words.
    reason: Option<String>,
}

/// Who owns outstanding work.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Outstander {
    /// The team.
    team: String,
    /// How it is reached.
    contact: String,
    /// Who hears of it when it is late.
    senior: Option<String>,
    /// The system that has the work; absent where nobody has.
    system: Option<String>,
    /// The system's own reference.
    job: Option<String>,
}

/// Whoever has the work has been silent for too long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Chased {
    /// The system that has the work.
    system: String,
    /// The system's own reference.
    job: Option<String>,
    /// Who owns the work.
    owner: Option<Owner>,
    /// When it was last heard of.
    silent_since: String,
}

/// The customer can be asked what they think.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct FeedbackDue {
    /// What was asked for.
    service: String,
    /// How the ticket ended.
    disposition: Option<String>,
    /// When it closed.
    closed_at: Option<String>,
}

/// A delivery could not be understood or routed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its form is checked")]
struct Rejected {
    /// Where in the document, as a dotted path; null where it is about the whole.
    path: Option<String>,
    /// Why: what kind was found and what was expected, in 256 characters at most.
    reason: String,
    /// The name of the HTTP key that it was sent with, where there was one.
    sent_with: Option<String>,
}

/// Why data is not of the form of its kind: the path and what is wrong there.
pub(super) fn check(kind: Kind, data: &Value) -> Result<(), String> {
    match kind {
        Kind::Accepted => read::<Accepted>(data),
        Kind::HandedOver | Kind::TakenBack => read::<HandedOver>(data),
        Kind::Progressed => read::<Progressed>(data),
        Kind::Closed => read::<Closed>(data),
        Kind::Held => read::<Held>(data),
        Kind::Decided => read::<Decided>(data),
        Kind::Reopened => read::<Reopened>(data),
        Kind::Warned | Kind::Escalated | Kind::Overdue => read::<Late>(data),
        Kind::Chased => read::<Chased>(data),
        Kind::FeedbackDue => read::<FeedbackDue>(data),
        Kind::FollowOn => read::<FollowOn>(data),
        Kind::Rejected => read::<Rejected>(data),
    }
}

fn read<T: DeserializeOwned>(data: &Value) -> Result<(), String> {
    mappings::domain::read::<T>(data).map(drop).map_err(|error| error.to_string())
}

/// The JSON Schema (draft 2020-12) of the data of a kind.
pub(super) fn schema(kind: Kind) -> Value {
    let schema: Schema = match kind {
        Kind::Accepted => schemars::schema_for!(Accepted),
        Kind::HandedOver | Kind::TakenBack => schemars::schema_for!(HandedOver),
        Kind::Progressed => schemars::schema_for!(Progressed),
        Kind::Closed => schemars::schema_for!(Closed),
        Kind::Held => schemars::schema_for!(Held),
        Kind::Decided => schemars::schema_for!(Decided),
        Kind::Reopened => schemars::schema_for!(Reopened),
        Kind::Warned | Kind::Escalated | Kind::Overdue => schemars::schema_for!(Late),
        Kind::Chased => schemars::schema_for!(Chased),
        Kind::FeedbackDue => schemars::schema_for!(FeedbackDue),
        Kind::FollowOn => schemars::schema_for!(FollowOn),
        Kind::Rejected => schemars::schema_for!(Rejected),
    };
    let mut schema = schema.to_value();
    schema["title"] = format!("uk.dovetail.{}.v1", kind.word()).into();
    schema
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_schemas_in_the_docs_are_these() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
        for kind in Kind::ALL {
            let name = format!("{}.v1.json", kind.word());
            let shipped = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
            let shipped: Value = serde_json::from_str(&shipped).unwrap_or_default();
            assert_eq!(shipped, schema(kind), "dovetail schema {} > docs/schemas/{name}", kind.word());
        }
    }
}
