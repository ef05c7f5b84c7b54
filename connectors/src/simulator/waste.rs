//! Environmental services: SOAP 1.1 in the form of Whitespace, with ordered elements and WS-Security.
//!
//! A worksheet is made for every create call, but worksheets can be looked up by their reference. Endings are
//! poked to the router in a thin message, and changes can be listed.

use std::fmt::Write;

use super::book::{Book, Course, Index, Last, Order, Phase, Text};
use super::call::{Call, Reply, same};
use super::markers::{End, Refusal};
use super::markup::{Element, escape, put};
use super::pusher::Message;
use super::{Ending, Shared, clock};

pub(super) const DONE: &str = "Completed";
pub(super) const UNHEARD: &str = "Quarantined";

const NAMESPACE: &str = "http://webservices.whitespacews.com/";

/// The elements of `worksheetInput`, in the order that the service insists on.
const ORDER: [&str; 8] = [
    "Uprn",
    "ServiceId",
    "WorksheetReference",
    "WorksheetMessage",
    "WorksheetDueDate",
    "ServiceItemInputs",
    "ServicePropertyInputs",
    "AdHocRoundInstanceId",
];

/// An error of the service: number and words, with HTTP 200.
struct Failure(u32, &'static str);

const NOTHING: Failure = Failure(6, "No results returned");
const BUSY: Failure = Failure(99, "System is busy, please try again later");

/// Whether a call changes anything, by its action.
pub(super) fn writes(call: &Call) -> bool {
    !call.header("soapaction").trim_matches('"').trim_start_matches(NAMESPACE).starts_with("Get")
}

pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    if !call.path.eq_ignore_ascii_case("/services.asmx") {
        return Reply::text(404, "Not Found".to_owned());
    }
    let envelope = match Element::read(&call.body) {
        Ok(envelope) if envelope.name == "Envelope" => envelope,
        Ok(_) => return fault("soap:Client", "expected a SOAP envelope"),
        Err(reason) => return fault("soap:Client", &reason),
    };
    let allowed = &shared.settings.credentials;
    let token = envelope.find(&["Header", "Security", "UsernameToken"]);
    let shown = |name| token.and_then(|token| token.text_at(&[name])).unwrap_or_default();
    if !(same(shown("Username"), &allowed.user) & same(shown("Password"), &allowed.password)) {
        return fault("wsse:FailedAuthentication", "The security token could not be authenticated");
    }
    let Some(operation) = envelope.find(&["Body"]).and_then(|body| body.children.first()) else {
        return fault("soap:Client", "the body is empty");
    };
    if !call.header("soapaction").trim_matches('"').ends_with(&operation.name) {
        return fault("soap:Client", "SOAPAction does not name the operation in the body");
    }
    let result = match operation.name.as_str() {
        "CreateWorksheet" => {
            let Some(input) = operation.find(&["worksheetInput"]) else {
                return fault("soap:Client", "worksheetInput is missing");
            };
            if let Some(reason) = disorder(input) {
                return fault("soap:Client", &reason);
            }
            create(shared, input)
        }
        "GetWorksheetDetails" => details(shared, operation),
        "GetChangedWorksheets" => changed(shared, operation),
        "AddWorksheetNotes" => add_notes(shared, operation),
        "CancelWorksheet" => cancel(shared, operation),
        _ => return fault("soap:Client", "the operation is not known"),
    };
    respond(&operation.name, result)
}

fn disorder(input: &Element) -> Option<String> {
    let mut last = 0;
    for element in &input.children {
        match ORDER.iter().position(|name| *name == element.name) {
            None => return Some(format!("element {} is not expected in worksheetInput", element.name)),
            Some(at) if at < last => return Some(format!("element {} is out of order", element.name)),
            Some(at) => last = at,
        }
    }
    let missing = ORDER[..4].iter().find(|name| input.find(&[name]).is_none());
    missing.map(|name| format!("element {name} is missing"))
}

fn create(shared: &Shared, input: &Element) -> Result<String, Failure> {
    let field = |name| input.text_at(&[name]).unwrap_or_default();
    let (uprn, reference, message) = (field("Uprn"), field("WorksheetReference"), field("WorksheetMessage"));
    let markers = shared.markers(message);
    let mut book = shared.book();
    let (before, _) = book.receive(reference, None);
    if markers.busy && before == 0 {
        return Err(BUSY);
    }
    let refused = match markers.refusal {
        Some(Refusal::Duplicate) => {
            Some(Failure(11, "A worksheet is already open for this property and service"))
        }
        Some(Refusal::Declined) => Some(Failure(12, "Property is not on the collection scheme")),
        Some(Refusal::NotOurs | Refusal::Other) => Some(Failure(13, "Invalid UPRN")),
        None if uprn.is_empty() || !uprn.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Failure(13, "Invalid UPRN"))
        }
        None => None,
    };
    if let Some(failure) = refused {
        book.counts.refused += 1;
        return Err(failure);
    }
    let order = Order {
        reference: reference.to_owned(),
        key: None,
        about: vec![
            ("uprn", uprn.to_owned()),
            ("service_id", field("ServiceId").to_owned()),
            ("subject", message.to_owned()),
        ],
    };
    let index = book.open(order, course(shared, markers.end), shared.now());
    let id = book.id(index);
    Ok(format!("<WorksheetResponse><anyType>{id}</anyType><anyType/></WorksheetResponse>"))
}

fn course(shared: &Shared, end: End) -> Course {
    const STEPS: &[&str] = &["Open", "Allocated", "In Progress"];
    const REVIEWED: &[&str] = &["Open", "Risk Of Injury"];
    let last = match (shared.settings.ending, end) {
        (Ending::ByHand, _) | (Ending::Marked, End::Never) => None,
        (Ending::Marked, End::Review) => return Course { steps: REVIEWED, last: None },
        (Ending::Marked, End::Completed) => Some(Last::over(DONE)),
        (Ending::Marked, End::FollowOn) => Some(Last::over("Follow On Required").noting("The lid is broken")),
        (Ending::Marked, End::NoAccess) => Some(Last::over("No Access").noting("Cars on both sides")),
        (Ending::Marked, End::Declined) => Some(Last::over("Not Out")),
        (Ending::Marked, End::NotOurs) => Some(Last::over("Not Ours")),
        (Ending::Marked, End::Duplicate) => Some(Last::over("Duplicate")),
        (Ending::Marked, End::Cancelled) => Some(Last::over("Cancelled")),
        (Ending::Marked, End::Unknown) => Some(Last::open(UNHEARD)),
    };
    Course { steps: STEPS, last }
}

fn details(shared: &Shared, operation: &Element) -> Result<String, Failure> {
    let book = shared.book();
    let asked = |name| operation.text_at(&["worksheetDetailInput", name]);
    let found: Vec<Index> = match (asked("WorksheetId"), asked("WorksheetReference")) {
        (Some(id), _) => book.find(id).into_iter().collect(),
        (None, Some(reference)) => book.of_reference(reference).collect(),
        (None, None) => Vec::new(),
    };
    if found.is_empty() {
        return Err(NOTHING);
    }
    Ok(found.into_iter().fold(String::new(), |mut out, index| {
        write_worksheet(&mut out, "WorksheetDetails", &book, index);
        out
    }))
}

fn changed(shared: &Shared, operation: &Element) -> Result<String, Failure> {
    let since = operation.text_at(&["changedWorksheetsInput", "ChangedSince"]).and_then(clock::from_london);
    let Some(since) = since else { return Err(Failure(7, "ChangedSince is not a date")) };
    let book = shared.book();
    let mut out = String::from("<Worksheets>");
    // Each worksheet once, at its latest change.
    for (_, change) in book.changes_since(since) {
        if book.job(change.job).updated == change.at && book.job(change.job).status == change.status {
            write_worksheet(&mut out, "Worksheet", &book, change.job);
        }
    }
    out.push_str("</Worksheets>");
    Ok(out)
}

fn write_worksheet(out: &mut String, name: &str, book: &Book, index: Index) {
    let job = book.job(index);
    // Writing to a String cannot fail.
    let _ = write!(out, "<{name}>");
    put(out, "WorksheetId", &book.id(index));
    put(out, "WorksheetRef", &job.order.reference);
    put(out, "WorksheetStatusName", &job.status);
    put(out, "WorksheetSubject", job.about("subject"));
    if job.ended() {
        put(out, "CompletedDate", &clock::london(job.updated));
    }
    put(out, "ModifiedDate", &clock::london(job.updated));
    put(out, "WorksheetNotes", job.note.as_deref().unwrap_or_default());
    let _ = write!(out, "</{name}>");
}

fn add_notes(shared: &Shared, operation: &Element) -> Result<String, Failure> {
    let note = operation.text_at(&["worksheetNoteInput", "NoteText"]).unwrap_or_default().to_owned();
    with_open(shared, operation.text_at(&["worksheetNoteInput", "WorksheetId"]), |book, index| {
        book.job_mut(index).remarks.push(note);
    })
}

fn cancel(shared: &Shared, operation: &Element) -> Result<String, Failure> {
    let reason =
        operation.text_at(&["worksheetInput", "CancelReason"]).map(|text| Text::Owned(text.to_owned()));
    with_open(shared, operation.text_at(&["worksheetInput", "WorksheetId"]), |book, index| {
        book.say(index, Text::Borrowed("Cancelled"), reason, Phase::Ended, shared.now());
    })
}

fn with_open(
    shared: &Shared,
    id: Option<&str>,
    act: impl FnOnce(&mut Book, Index),
) -> Result<String, Failure> {
    let mut book = shared.book();
    let index = id.and_then(|id| book.find(id)).ok_or(NOTHING)?;
    if book.job(index).ended() {
        return Err(Failure(14, "Worksheet is already complete"));
    }
    act(&mut book, index);
    Ok(String::new())
}

fn respond(operation: &str, result: Result<String, Failure>) -> Reply {
    let (Failure(code, description), content) = match result {
        Ok(content) => (Failure(0, "Success"), content),
        Err(failure) => (failure, String::new()),
    };
    envelope(
        200,
        &format!(
            "<{operation}Response xmlns=\"{NAMESPACE}\"><{operation}Result><ErrorCode>{code}</ErrorCode>\
             <ErrorDescription>{description}</ErrorDescription>{content}</{operation}Result>\
             </{operation}Response>"
        ),
    )
}

fn fault(code: &str, reason: &str) -> Reply {
    let reason = escape(reason);
    let fault =
        format!("<soap:Fault><faultcode>{code}</faultcode><faultstring>{reason}</faultstring></soap:Fault>");
    envelope(500, &fault)
}

fn envelope(status: u16, body: &str) -> Reply {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:wsse=\"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd\">\
         <soap:Body>{body}</soap:Body></soap:Envelope>"
    );
    Reply::of(status, "text/xml; charset=utf-8", text)
}

/// The thin message about a worksheet that came to rest.
pub(super) fn poke(shared: &Shared, book: &Book, change: usize) -> Option<Message> {
    let change = book.change(change);
    let job = book.job(change.job);
    if change.phase == Phase::Moving {
        return None;
    }
    let mut body = String::from(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         xmlns:web=\"https://www.jadu.net/hubis/webservices\"><soapenv:Body><web:WorksheetPoke>",
    );
    put(&mut body, "secret", &shared.settings.credentials.callback_secret);
    put(&mut body, "worksheetId", &book.id(change.job));
    put(&mut body, "worksheetReference", &job.order.reference);
    put(&mut body, "status", &change.status);
    put(&mut body, "completedDate", &clock::london(change.at));
    body.push_str("</web:WorksheetPoke></soapenv:Body></soapenv:Envelope>");
    let headers = vec![
        ("content-type", "text/xml; charset=utf-8".to_owned()),
        ("soapaction", "\"https://www.jadu.net/hubis/webservices/WorksheetPoke\"".to_owned()),
    ];
    Some(Message { path: "/callbacks/waste", headers, body })
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::json;

    use crate::simulator::markup::Element;
    use crate::simulator::rig::{Answered, Callbacks, Rig, send, still};
    use crate::simulator::{Kind, Settings};

    fn envelope(password: &str, body: &str) -> String {
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Header><w:Security xmlns:w=\"u\">\
             <w:UsernameToken><w:Username>dovetail</w:Username><w:Password>{password}</w:Password>\
             </w:UsernameToken></w:Security></s:Header><s:Body>{body}</s:Body></s:Envelope>"
        )
    }

    async fn send_as(rig: &Rig, password: &str, operation: &str, content: &str) -> (Answered, Element) {
        let body =
            format!("<{operation} xmlns=\"http://webservices.whitespacews.com/\">{content}</{operation}>");
        let call = rig
            .call(Method::POST, "/services.asmx")
            .header("content-type", "text/xml; charset=utf-8")
            .header("soapaction", format!("\"http://webservices.whitespacews.com/{operation}\""))
            .body(envelope(password, &body));
        let answer = send(call).await.unwrap();
        let document = Element::read(&answer.body).unwrap();
        (answer, document)
    }

    /// The result element of an operation, and its error code.
    async fn call(rig: &Rig, operation: &str, content: &str) -> (Element, String) {
        let (answer, document) = send_as(rig, "dovetail", operation, content).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let (response, result) = (format!("{operation}Response"), format!("{operation}Result"));
        let result = document.find(&["Body", &response, &result]).unwrap().clone();
        let code = result.text_at(&["ErrorCode"]).unwrap().to_owned();
        (result, code)
    }

    async fn create(rig: &Rig, reference: &str, message: &str) -> (Element, String) {
        let input = format!(
            "<worksheetInput><Uprn>10008049175</Uprn><ServiceId>281</ServiceId>\
             <WorksheetReference>{reference}</WorksheetReference><WorksheetMessage>{message}</WorksheetMessage>\
             </worksheetInput>"
        );
        call(rig, "CreateWorksheet", &input).await
    }

    async fn by_reference(rig: &Rig, reference: &str) -> (Element, String) {
        let input = format!(
            "<worksheetDetailInput><WorksheetReference>{reference}</WorksheetReference></worksheetDetailInput>"
        );
        call(rig, "GetWorksheetDetails", &input).await
    }

    #[tokio::test]
    async fn a_missed_bin_becomes_a_worksheet_that_is_poked_and_read_back() {
        let mut router = Callbacks::refusing(2).await;
        let rig = Rig::start(Kind::Waste, Settings { callback: Some(router.url.clone()), ..still() }).await;
        let (result, code) = create(&rig, "CRM-1/0a1b2c3d4e5f", "Bin missed [not out]").await;
        assert_eq!(code, "0");
        assert_eq!(result.text_at(&["WorksheetResponse", "anyType"]), Some("242259"));
        rig.post("/_sim/step", r#"{"steps": 3}"#).await;
        let poke = router.next().await;
        assert_eq!(poke.path, "/callbacks/waste");
        let poke = Element::read(&poke.body).unwrap();
        let poke = poke.find(&["Body", "WorksheetPoke"]).unwrap();
        assert_eq!(poke.text_at(&["secret"]), Some(Settings::default().credentials.callback_secret.as_str()));
        assert_eq!(poke.text_at(&["worksheetId"]), Some("242259"));
        assert_eq!(poke.text_at(&["worksheetReference"]), Some("CRM-1/0a1b2c3d4e5f"));
        assert_eq!(poke.text_at(&["status"]), Some("Not Out"));
        assert_eq!(poke.text_at(&["completedDate"]).map(str::len), Some(19));
        let input = "<worksheetDetailInput><WorksheetId>242259</WorksheetId></worksheetDetailInput>";
        let (result, _) = call(&rig, "GetWorksheetDetails", input).await;
        assert_eq!(result.text_at(&["WorksheetDetails", "WorksheetStatusName"]), Some("Not Out"));
        assert_eq!(result.text_at(&["WorksheetDetails", "WorksheetSubject"]), Some("Bin missed [not out]"));
        assert!(result.text_at(&["WorksheetDetails", "CompletedDate"]).is_some());
        assert!(router.is_empty(), "progress is not poked");
    }

    #[tokio::test]
    async fn a_second_create_makes_a_second_worksheet_and_both_are_found_by_reference() {
        let rig = Rig::start(Kind::Waste, still()).await;
        assert_eq!(by_reference(&rig, "CRM-1").await.1, "6");
        create(&rig, "CRM-1", "Bin missed").await;
        create(&rig, "CRM-1", "Bin missed").await;
        let (found, code) = by_reference(&rig, "CRM-1").await;
        assert_eq!(code, "0");
        let ids: Vec<_> = found
            .children
            .iter()
            .filter(|child| child.name == "WorksheetDetails")
            .map(|details| details.text_at(&["WorksheetId"]).unwrap())
            .collect();
        assert_eq!(ids, ["242260", "242259"]);
        let jobs = rig.get("/_sim/jobs?ticket=CRM-1").await;
        assert_eq!((&jobs[0]["delivered"], &jobs[0]["applied"]), (&json!(2), &json!(2)));
        assert_eq!(rig.get("/_sim/counts").await["doubled"], 1);
    }

    #[tokio::test]
    async fn changed_worksheets_are_listed_once_at_their_latest() {
        let rig = Rig::start(Kind::Waste, still()).await;
        create(&rig, "CRM-1", "Bin missed").await;
        create(&rig, "CRM-2", "Bin missed [no access]").await;
        rig.post("/_sim/step", r#"{"steps": 3}"#).await;
        let input = |since| {
            format!("<changedWorksheetsInput><ChangedSince>{since}</ChangedSince></changedWorksheetsInput>")
        };
        let (result, code) = call(&rig, "GetChangedWorksheets", &input("2020-01-01T00:00:00")).await;
        assert_eq!(code, "0");
        let sheets = &result.find(&["Worksheets"]).unwrap().children;
        let states: Vec<_> = sheets.iter().map(|s| s.text_at(&["WorksheetStatusName"]).unwrap()).collect();
        assert_eq!(states, ["Completed", "No Access"]);
        let (result, code) = call(&rig, "GetChangedWorksheets", &input("2199-01-01T00:00:00")).await;
        assert_eq!((code.as_str(), result.find(&["Worksheets"]).unwrap().children.len()), ("0", 0));
    }

    #[tokio::test]
    async fn a_refusal_is_a_code_with_http_200() {
        let rig = Rig::start(Kind::Waste, still()).await;
        for (message, code) in [
            ("[refused duplicate]", "11"),
            ("[refused declined]", "12"),
            ("[refused]", "13"),
            ("[busy]", "99"),
        ] {
            assert_eq!(create(&rig, message, message).await.1, code, "{message}");
        }
        assert_eq!(create(&rig, "[busy]", "[busy]").await.1, "0", "busy once");
    }

    #[tokio::test]
    async fn wrong_credentials_and_disorder_are_faults() {
        let rig = Rig::start(Kind::Waste, still()).await;
        let fault = |document: &Element, name| {
            document.text_at(&["Body", "Fault", name]).map(str::to_owned).unwrap_or_default()
        };
        let (answer, document) = send_as(&rig, "wrong", "GetWorksheetDetails", "").await;
        assert_eq!(answer.status, 500);
        assert_eq!(fault(&document, "faultcode"), "wsse:FailedAuthentication");
        let input = "<worksheetInput><ServiceId>281</ServiceId><Uprn>1</Uprn></worksheetInput>";
        let (answer, document) = send_as(&rig, "dovetail", "CreateWorksheet", input).await;
        assert_eq!(answer.status, 500);
        assert_eq!(fault(&document, "faultstring"), "element Uprn is out of order");
        let (_, document) = send_as(&rig, "dovetail", "DropEverything", "").await;
        assert_eq!(fault(&document, "faultcode"), "soap:Client");
    }

    #[tokio::test]
    async fn a_worksheet_takes_notes_and_is_cancelled_once() {
        let rig = Rig::start(Kind::Waste, still()).await;
        create(&rig, "CRM-1", "Bin missed").await;
        let note = "<worksheetNoteInput><WorksheetId>242259</WorksheetId><NoteText>By the gate</NoteText>\
                    </worksheetNoteInput>";
        assert_eq!(call(&rig, "AddWorksheetNotes", note).await.1, "0");
        let cancel = "<worksheetInput><WorksheetId>242259</WorksheetId><CancelReason>Found</CancelReason>\
                      </worksheetInput>";
        assert_eq!(call(&rig, "CancelWorksheet", cancel).await.1, "0");
        assert_eq!(call(&rig, "CancelWorksheet", cancel).await.1, "14");
        let unknown = "<worksheetInput><WorksheetId>1</WorksheetId></worksheetInput>";
        assert_eq!(call(&rig, "CancelWorksheet", unknown).await.1, "6");
        let job = rig.get("/_sim/jobs/242259").await;
        assert_eq!(
            (&job["status"], &job["note"], &job["remarks"][0]),
            (&json!("Cancelled"), &json!("Found"), &json!("By the gate"))
        );
    }
}
