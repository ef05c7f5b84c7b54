//! What an answer says in so many words that went wrong, whatever its status.

use serde_json::Value;

use super::Answer;
use super::scope::{is_empty, text_of};

/// A failure that a document states by the rules of its protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    /// The system's own words.
    pub(super) words: String,
}

/// What states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A SOAP fault that blames the call: it was refused.
    Refusal,
    /// A SOAP fault that blames the system, or that says nobody.
    Fault,
    /// An error object of JSON-RPC, OData, GraphQL or RFC 9457.
    ErrorObject,
}

impl Failure {
    /// The failure that an answer states.
    pub(super) fn of(answer: &Answer, document: &Value) -> Option<Self> {
        fault(document).or_else(|| error_object(answer, document))
    }

    /// Whether it is a SOAP fault, which is never an acceptance.
    pub(super) fn is_fault(&self) -> bool {
        match self.kind {
            Kind::Refusal | Kind::Fault => true,
            Kind::ErrorObject => false,
        }
    }
}

/// The document without its SOAP fault: a rule that fits it as well is not about the fault.
pub(super) fn without_fault(document: &Value) -> Value {
    let mut rest = document.clone();
    let body = rest.get_mut("Envelope").and_then(|envelope| one_mut(envelope).get_mut("Body"));
    if let Some(Value::Object(members)) = body.map(one_mut) {
        members.remove("Fault");
    }
    rest
}

/// An element that may have been named as a list.
fn one(value: &Value) -> &Value {
    match value {
        Value::Array(items) => items.first().unwrap_or(value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => value,
    }
}

fn one_mut(value: &mut Value) -> &mut Value {
    if value.as_array().is_none_or(Vec::is_empty) {
        return value;
    }
    &mut value[0]
}

fn member<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    one(value).get(name).map(one)
}

/// A fault is the child of `Body` (SOAP 1.1, section 4.4; SOAP 1.2, part 1, section 5.4).
fn fault(document: &Value) -> Option<Failure> {
    let fault = member(member(member(document, "Envelope")?, "Body")?, "Fault")?;
    let code = member(fault, "faultcode").or_else(|| member(member(fault, "Code")?, "Value"));
    let code = code.and_then(text_of).unwrap_or_default();
    let code = code.trim();
    let words = member(fault, "faultstring").and_then(words_of).or_else(|| reason_texts(fault));
    let words = words.unwrap_or_else(|| {
        format!("a SOAP fault without words, {code}").trim_end_matches([',', ' ']).to_owned()
    });
    // Codes of SOAP 1.1 may say more after a dot: Client.Authentication.
    let local = code.rsplit(':').next().unwrap_or_default().split('.').next().unwrap_or_default();
    let blames_the_call =
        ["Client", "Sender", "MustUnderstand", "VersionMismatch", "DataEncodingUnknown"].contains(&local);
    Some(Failure { kind: if blames_the_call { Kind::Refusal } else { Kind::Fault }, words })
}

/// The `Text` of a SOAP 1.2 fault: the English one where there are several.
fn reason_texts(fault: &Value) -> Option<String> {
    let texts = member(fault, "Reason")?.get("Text")?;
    let all = texts.as_array().map_or_else(|| std::slice::from_ref(texts), Vec::as_slice);
    let is_english = |text: &&Value| {
        text.get("@lang")
            .and_then(Value::as_str)
            .is_some_and(|lang| lang.to_ascii_lowercase().starts_with("en"))
    };
    all.iter().find(is_english).and_then(words_of).or_else(|| all.iter().find_map(words_of))
}

fn words_of(value: &Value) -> Option<String> {
    let text = text_of(one(value))?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn error_object(answer: &Answer, document: &Value) -> Option<Failure> {
    let members = document.as_object()?;
    let found = |words: Option<String>| {
        Some(Failure {
            kind: Kind::ErrorObject,
            words: words.unwrap_or_else(|| "an error without words".into()),
        })
    };
    let media_type = answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if media_type.starts_with("application/problem+") {
        let problem = members.get("problem").unwrap_or(document);
        return found(words_of_members(problem, &["title", "detail"]));
    }
    for name in ["error", "odata.error"] {
        let Some(error) = members.get(name).filter(|error| !is_empty(error)) else { continue };
        let stated = match error {
            Value::Object(error) => {
                members.contains_key("jsonrpc") || error.contains_key("code") || error.contains_key("message")
            }
            // `{"error": "invalid_grant", "error_description": …}` of OAuth 2.0 and the like.
            Value::String(_) => members.keys().all(|name| name.starts_with("error")),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                members.contains_key("jsonrpc")
            }
        };
        if stated {
            let text = words_of(error).or_else(|| words_of_members(error, &["code", "message"]));
            let more = words_of_members(document, &["error_description"]);
            let parts: Vec<String> = text.into_iter().chain(more).collect();
            return found((!parts.is_empty()).then(|| parts.join(": ")));
        }
    }
    // GraphQL and JSON:API: errors in the place of data.
    let errors = members.get("errors").and_then(Value::as_array).filter(|errors| !errors.is_empty())?;
    let besides = ["errors", "data", "extensions", "meta", "links", "jsonapi"];
    let alone = members.keys().all(|name| besides.contains(&name.as_str()));
    let nothing_else = members.get("data").is_none_or(Value::is_null);
    if !alone || !nothing_else || !errors.iter().all(Value::is_object) {
        return None;
    }
    found(errors.first().and_then(|error| words_of_members(error, &["message", "title", "detail"])))
}

/// What stands under these names, joined by colons. OData puts a text one level deeper.
fn words_of_members(value: &Value, names: &[&str]) -> Option<String> {
    let found = names.iter().filter_map(|name| {
        let member = value.get(name)?;
        words_of(member).or_else(|| words_of(member.get("value")?))
    });
    let words: Vec<String> = found.collect();
    (!words.is_empty()).then(|| words.join(": "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(kind: &str, body: &str) -> Option<Failure> {
        let answer =
            Answer { status: 200, headers: vec![("Content-Type".into(), kind.into())], body: body.into() };
        let document = answer.document(&[]).expect("readable");
        Failure::of(&answer, &document)
    }

    fn soap(fault: &str) -> Option<Failure> {
        of("text/xml", &format!("<q:Envelope xmlns:q='e'><q:Header/><q:Body>{fault}</q:Body></q:Envelope>"))
    }

    #[test]
    fn a_fault_of_either_version_says_whom_it_blames_in_its_words() {
        let one = |code: &str| {
            format!("<q:Fault><faultcode>{code}</faultcode><faultstring> No </faultstring></q:Fault>")
        };
        for (code, kind) in [
            ("s:Client", Kind::Refusal),
            ("Client.Authentication", Kind::Refusal),
            ("soap:Server", Kind::Fault),
            ("wsse:FailedAuthentication", Kind::Fault),
            ("", Kind::Fault),
        ] {
            assert_eq!(soap(&one(code)), Some(Failure { kind, words: "No".into() }), "{code}");
        }
        let two = "<q:Fault><q:Code><q:Value>q:Sender</q:Value><q:Subcode><q:Value>m:X</q:Value></q:Subcode></q:Code>\
                   <q:Reason><q:Text xml:lang='cy'>Na</q:Text><q:Text xml:lang='en-GB'>No</q:Text></q:Reason></q:Fault>";
        assert_eq!(soap(two), Some(Failure { kind: Kind::Refusal, words: "No".into() }));
        let two = two.replace("Sender", "Receiver").replace("en-GB", "de");
        assert_eq!(soap(&two), Some(Failure { kind: Kind::Fault, words: "Na".into() }));
        let silent = soap("<q:Fault><faultcode>q:Server</faultcode></q:Fault>").expect("a fault");
        assert_eq!(silent.words, "a SOAP fault without words, q:Server");
    }

    #[test]
    fn a_fault_is_one_only_as_the_child_of_the_body() {
        assert_eq!(soap("<Answer><Fault>a dent in the lid</Fault></Answer>"), None);
        assert_eq!(of("text/xml", "<Fault><faultstring>x</faultstring></Fault>"), None);
        let lists = ["Body".to_owned(), "Fault".to_owned()];
        let body = "<Envelope><Body><Fault><faultcode>Client</faultcode><faultstring>No</faultstring></Fault></Body></Envelope>";
        let answer = Answer { status: 200, headers: vec![], body: body.into() };
        let document = answer.document(&lists).expect("readable");
        assert_eq!(Failure::of(&answer, &document).map(|failure| failure.kind), Some(Kind::Refusal));
        assert_eq!(without_fault(&document), json!({"Envelope": {"Body": [{}]}}));
    }

    #[test]
    fn error_objects_of_the_common_protocols_are_known() {
        let words = |body: Value| of("application/json", &body.to_string()).map(|failure| failure.words);
        let error = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "Out of order"}});
        assert_eq!(words(error), Some("-32000: Out of order".into()));
        let odata = json!({"error": {"code": "0x80040265", "message": {"lang": "en", "value": "Locked"}}});
        assert_eq!(words(odata), Some("0x80040265: Locked".into()));
        let three = json!({"odata.error": {"code": "", "message": {"value": "Locked"}}});
        assert_eq!(words(three), Some("Locked".into()));
        let graph = json!({"data": null, "errors": [{"message": "Field unknown"}]});
        assert_eq!(words(graph), Some("Field unknown".into()));
        let oauth = json!({"error": "invalid_grant", "error_description": "expired"});
        assert_eq!(words(oauth), Some("invalid_grant: expired".into()));
        let problem = of("application/problem+json", r#"{"title": "No", "detail": "closed"}"#);
        assert_eq!(problem.map(|failure| failure.words), Some("No: closed".into()));
    }

    #[test]
    fn an_answer_that_only_speaks_of_errors_is_none() {
        for body in [
            json!({"error": null, "id": 7}),
            json!({"error": "", "id": 7}),
            json!({"error": "a dent", "id": 7}),
            json!({"error": false}),
            json!({"jobs": [], "errors": [{"message": "one row was left out"}]}),
            json!({"data": {"id": 1}, "errors": [{"message": "x"}]}),
            json!({"errors": []}),
            json!({"jsonrpc": "2.0", "result": 7, "error": null}),
            json!([{"error": {"code": 1}}]),
        ] {
            assert_eq!(of("application/json", &body.to_string()), None, "{body}");
        }
    }
}
