//! A CRM's native message, translated to a request.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{json as json_text, xml};

use super::ReadError;
use super::check::Check;
use super::expression::Expression;
use super::harvest::Harvest;
use super::place::Place;
use super::scope::{Scope, Trail};
use super::yaml::Node;

/// How a CRM's native message becomes a canonical request.
pub struct Intake {
    format: Format,
    event: Option<Expression>,
    request: Expression,
    harvest: Option<Harvest>,
    xml_lists: Arc<[String]>,
}

/// Whose ticket a message is about, as far as that can be read, whatever else it lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// The event's own id.
    pub event: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// The council.
    pub council: Option<String>,
}

#[derive(Debug, Clone, Copy)]
enum Format {
    Json,
    Xml,
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Intake {
    /// Reads `intake:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "intake", &["format", "poll", "event", "request"])?;
        let harvest = fields.get("poll").map(|node| Harvest::compile(check, node));
        let format = match &harvest {
            // What is polled was read when it was answered.
            Some(_) => fields.get("format"),
            None => check.required(fields, "format", "intake"),
        };
        let words = [("json", Format::Json), ("xml", Format::Xml)];
        let format = format.map(|node| check.word(node, "format", &words));
        let format = if harvest.is_some() { format.unwrap_or(Some(Format::Json)) } else { format? };
        let event = fields.get("event").and_then(|node| Expression::compile(check, node, Place::MESSAGE));
        let request = check.required(fields, "request", "intake");
        let request = request.and_then(|node| Expression::compile(check, node, Place::MESSAGE));
        if fields.get("event").is_none() {
            let hint = Some("without it a message that is delivered twice cannot be recognised".to_owned());
            check.warn(node.line, "intake without event", "event: the message's own id", hint);
        }
        let xml_lists = Arc::clone(&check.xml_lists);
        let harvest = match harvest {
            Some(harvest) => Some(harvest?),
            None => None,
        };
        Some(Self { format: format?, event, request: request?, harvest, xml_lists })
    }

    /// How the CRM is asked for new tickets, where it is.
    pub fn harvest(&self) -> Option<&Harvest> {
        self.harvest.as_ref()
    }

    /// Translates a message: the event's own id, for the inbox key, and the request document.
    /// `now` is `$.dovetail.now`. The document is not yet checked against the schema.
    ///
    /// # Errors
    /// [`ReadError`] when the body cannot be read, or lacks what the mapping requires.
    pub fn translate(&self, body: &str, now: Timestamp) -> Result<(Option<String>, Value), ReadError> {
        let document = match self.format {
            Format::Json => json_text::read(body)?,
            Format::Xml => xml::read(body, &self.xml_lists)?,
        };
        self.understand(document, now)
    }

    /// Whose ticket a message is about that cannot be translated, as far as that can be read.
    pub fn subject(&self, body: &str, now: Timestamp) -> Subject {
        let document = match self.format {
            Format::Json => json_text::read(body),
            Format::Xml => xml::read(body, &self.xml_lists),
        };
        document.map_or_else(|_| Subject::default(), |document| self.subject_of(document, now))
    }

    /// The same of a ticket that was read out of the CRM, or of its item in a list.
    pub fn subject_of(&self, mut document: Value, now: Timestamp) -> Subject {
        if let Value::Object(members) = &mut document {
            members.insert("dovetail".into(), json!({"now": now.to_string()}));
        }
        let scope = Scope::over(&document);
        let text = |expression: &Expression| {
            let text = expression.text(scope, &mut Trail::default()).ok()??;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Subject {
            event: self.event.as_ref().and_then(text),
            ticket: self.request.member("ticket").and_then(text),
            council: self.request.member("council").and_then(text),
        }
    }

    /// Translates a ticket that was read out of the CRM, whatever the format of its messages.
    ///
    /// # Errors
    /// [`ReadError`] when it lacks what the mapping requires.
    pub fn understand(
        &self,
        mut document: Value,
        now: Timestamp,
    ) -> Result<(Option<String>, Value), ReadError> {
        let Value::Object(members) = &mut document else {
            return Err(ReadError { reason: "a message that is not an object".into() });
        };
        let mut dovetail = Map::new();
        dovetail.insert("now".into(), Value::String(now.to_string()));
        members.insert("dovetail".into(), Value::Object(dovetail));
        let scope = Scope::over(&document);
        let unreadable = |error: super::RenderError| ReadError { reason: error.to_string() };
        let event = match &self.event {
            Some(event) => event.text(scope, &mut Trail::at("event")).map_err(unreadable)?,
            None => None,
        };
        let request = self.request.evaluate(scope, &mut Trail::default()).map_err(unreadable)?;
        let event = event.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
        Ok((event, request.unwrap_or_else(|| Value::Object(Map::new()))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn intake(text: &str) -> Intake {
        let mut check = Check::new("f.yaml", &lower);
        let intake = Intake::compile(&mut check, &yaml::parse(text).expect("yaml"));
        assert!(check.findings.is_empty(), "{:?}", check.findings);
        intake.expect("compiled")
    }

    fn translate(intake: &Intake, body: &str) -> Result<(Option<String>, Value), String> {
        let now = Timestamp::from_second(0).expect("valid");
        intake.translate(body, now).map_err(|error| error.reason)
    }

    #[test]
    fn a_native_message_becomes_a_request() {
        let json = intake(
            "{format: json, event: $.transaction.id, request: {ticket: {from: $.id, as: string, required: true}, \
             summary: $.Subject, raised_at: $.dovetail.now, customer: {email: $.mail}}}",
        );
        let request = json!({"ticket": "7", "summary": "x", "raised_at": "1970-01-01T00:00:00Z"});
        let body = r#"{"id": 7, "Subject": "x", "transaction": {"id": 99}}"#;
        assert_eq!(translate(&json, body), Ok((Some("99".into()), request)));
        let xml = intake("{format: xml, event: $.N.ID, request: {ticket: $.N.NO}}");
        let body = "<N xmlns='u'><ID> e1 </ID><NO>5</NO></N>";
        assert_eq!(translate(&xml, body), Ok((Some("e1".into()), json!({"ticket": "5"}))));
        assert_eq!(translate(&xml, "<N/>"), Ok((None, json!({}))));
    }

    #[test]
    fn a_message_that_cannot_be_translated_tells_whose_ticket_it_is_about() {
        let json = intake(
            "{format: json, event: {template: \"rt-{$.id}\"}, request: {ticket: {from: $.id, as: string}, \
             council: {from: $.council, default: harlow}, summary: {from: $.Subject, required: true}}}",
        );
        let now = Timestamp::from_second(0).expect("valid");
        assert!(json.translate(r#"{"id": 7}"#, now).is_err());
        let known = |text: &str| Some(text.to_owned());
        let subject = Subject { event: known("rt-7"), ticket: known("7"), council: known("harlow") };
        assert_eq!(json.subject(r#"{"id": 7}"#, now), subject);
        assert_eq!(json.subject("nonsense", now), Subject::default());
    }

    #[test]
    fn a_message_that_cannot_be_translated_says_why() {
        let json = intake("{format: json, event: $.e, request: {ticket: {from: $.id, required: true}}}");
        assert_eq!(translate(&json, "{}"), Err("ticket: $.id is absent or empty".into()));
        assert_eq!(translate(&json, "[1]"), Err("a message that is not an object".into()));
        assert!(translate(&json, "<N/>").expect_err("refused").starts_with("not JSON"));
        assert!(translate(&json, "").expect_err("refused").starts_with("empty"));
    }
}
