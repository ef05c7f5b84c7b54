//! Revenues and benefits: notifications in XML, answered by a receipt whose status is listed as it changes.
//!
//! A notification is taken once for each `TransactionIdentity`. Nobody is called: the list has to be read.

use axum::http::Method;

use super::book::{Book, Change, Course, Index, Last, Order, Phase, Text};
use super::call::{Call, Reply};
use super::markers::{End, Refusal};
use super::markup::{Element, put};
use super::{Ending, Shared, clock};

pub(super) const DONE: &str = "Done";
pub(super) const UNHEARD: &str = "Parked";

const NAMESPACE: &str = "urn:dovetail:council-tax-notifications:1";
const REVIEW: &str = "Review";
const EXCEPTION: &str = "Business exception: move in to an existing account, a member of staff must review";

pub(super) fn answer(shared: &Shared, call: &Call) -> Reply {
    let allowed = &shared.settings.credentials;
    if !call.is_from(&allowed.user, &allowed.password) {
        return Reply::text(401, "Unauthorized".to_owned())
            .with("www-authenticate", "Basic realm=\"revenues\"".to_owned());
    }
    let parts = call.parts();
    let parts: Vec<_> = parts.iter().map(String::as_str).collect();
    match (&call.method, parts.as_slice()) {
        (&Method::POST, ["notifications"]) => notify(shared, &call.body),
        (&Method::POST, ["notifications", id, "remarks"]) => remark(shared, id, &call.body),
        (&Method::DELETE, ["notifications", id]) => cancel(shared, id),
        (&Method::GET, ["receipts"]) => receipts(shared, call),
        _ => Reply::text(404, "Not Found".to_owned()),
    }
}

fn notify(shared: &Shared, body: &str) -> Reply {
    let document = match Element::read(body) {
        Ok(document) if document.name == "CouncilTaxNotifications" => document,
        Ok(document) => return invalid(&document.name, "expected CouncilTaxNotifications"),
        Err(reason) => return invalid("CouncilTaxNotifications", &reason),
    };
    let Some(notification) = document.find(&["Notification"]) else {
        return invalid("Notification", "is missing");
    };
    let field = |name| notification.text_at(&[name]);
    let Some(key) = field("TransactionIdentity") else { return invalid("TransactionIdentity", "is missing") };
    let Some(reference) = field("CaseReference") else { return invalid("CaseReference", "is missing") };
    let kind = match field("NotificationType") {
        Some(kind @ ("ChangeOfAddress" | "SinglePersonDiscount" | "BenefitChange")) => kind,
        Some(_) | None => return invalid("NotificationType", "is not a type of notification"),
    };
    if field("EffectiveDate").is_none() {
        return invalid("EffectiveDate", "is missing");
    }
    let markers = shared.markers(field("Remarks").unwrap_or_default());
    let mut book = shared.book();
    let (before, known) = book.receive(reference, Some(key));
    if let Some(index) = known {
        return receipt(200, &book, index);
    }
    if markers.busy && before == 0 {
        return error(503, "E900", "", "The system is busy, send the notification again later");
    }
    if let Some(refusal) = markers.refusal {
        book.counts.refused += 1;
        return match refusal {
            Refusal::Duplicate => error(422, "E201", "Notification", "Already notified"),
            Refusal::Declined => error(422, "E302", "EffectiveDate", "Notification is for a closed year"),
            Refusal::NotOurs => {
                error(422, "E301", "PropertyIdentity", "Property is outside the billing authority")
            }
            Refusal::Other => error(422, "E103", "AccountReference", "Account 123 is not known"),
        };
    }
    let order = Order {
        reference: reference.to_owned(),
        key: Some(key.to_owned()),
        about: vec![("type", kind.to_owned())],
    };
    let index = book.open(order, course(shared, markers.end), shared.now());
    receipt(202, &book, index)
}

fn course(shared: &Shared, end: End) -> Course {
    const STEPS: &[&str] = &["Pending", "Submitted", "Verified"];
    const REVIEWED: &[&str] = &["Pending", "Submitted", REVIEW];
    let failed = |why| Some(Last::over("Failed").noting(why));
    let last = match (shared.settings.ending, end) {
        (Ending::ByHand, _) | (Ending::Marked, End::Never) => None,
        (Ending::Marked, End::Review) => return Course { steps: REVIEWED, last: None },
        (Ending::Marked, End::Completed | End::FollowOn) => Some(Last::over(DONE)),
        (Ending::Marked, End::NoAccess) => failed("The customer did not answer our enquiry"),
        (Ending::Marked, End::Declined) => failed("The account is closed"),
        (Ending::Marked, End::NotOurs) => failed("The property is outside the billing authority"),
        (Ending::Marked, End::Duplicate) => Some(Last::over("Duplicate")),
        (Ending::Marked, End::Cancelled) => Some(Last::over("Cancelled")),
        (Ending::Marked, End::Unknown) => Some(Last::open(UNHEARD)),
    };
    Course { steps: STEPS, last }
}

fn remark(shared: &Shared, id: &str, body: &str) -> Reply {
    let remarks = match Element::read(body) {
        Ok(document) => document.text_at(&["Remarks"]).unwrap_or_default().to_owned(),
        Err(reason) => return invalid("NotificationRemarks", &reason),
    };
    with_open(shared, id, |book, index| book.job_mut(index).remarks.push(remarks))
}

fn cancel(shared: &Shared, id: &str) -> Reply {
    with_open(shared, id, |book, index| {
        book.say(index, Text::Borrowed("Cancelled"), None, Phase::Ended, shared.now());
    })
}

fn with_open(shared: &Shared, id: &str, act: impl FnOnce(&mut Book, Index)) -> Reply {
    let mut book = shared.book();
    match book.find(id) {
        Some(index) if book.job(index).ended() => {
            error(409, "E401", "ReceiptReference", "Notification has been processed")
        }
        Some(index) => {
            act(&mut book, index);
            receipt(200, &book, index)
        }
        None => error(404, "E404", "ReceiptReference", "Receipt is not known"),
    }
}

fn receipts(shared: &Shared, call: &Call) -> Reply {
    let Ok(since) = call.asked().get("since").parse() else {
        return error(400, "E102", "since", "expected a date and time, for example 2026-11-22T09:00:00Z");
    };
    let book = shared.book();
    let mut out = format!("<Receipts xmlns=\"{NAMESPACE}\">");
    for (_, change) in book.changes_since(since) {
        out.push_str("<Receipt>");
        write_receipt(&mut out, &book, change.job, &change.status);
        put(&mut out, "StatusDate", &clock::utc(change.at));
        put(&mut out, "Remarks", remarks(change));
        out.push_str("</Receipt>");
    }
    out.push_str("</Receipts>");
    Reply::xml(200, out)
}

/// The receipt file with one change.
pub(super) fn receipt_file(book: &Book, change: &Change) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let (id, order, at) = (book.id(change.job), &book.job(change.job).order, clock::utc(change.at));
    format!(
        "ReceiptReference,CaseReference,Status,StatusDate,Remarks\r\n{id},{},{},{at},{}\r\n",
        quoted(&order.reference),
        quoted(&change.status),
        quoted(remarks(change))
    )
}

fn remarks(change: &Change) -> &str {
    match &change.note {
        Some(note) => note,
        None if change.status == REVIEW => EXCEPTION,
        None => "",
    }
}

fn receipt(status: u16, book: &Book, index: Index) -> Reply {
    let mut out = format!("<NotificationReceipt xmlns=\"{NAMESPACE}\">");
    write_receipt(&mut out, book, index, &book.job(index).status);
    out.push_str("</NotificationReceipt>");
    Reply::xml(status, out)
}

fn write_receipt(out: &mut String, book: &Book, index: Index, status: &str) {
    let order = &book.job(index).order;
    put(out, "ReceiptReference", &book.id(index));
    put(out, "TransactionIdentity", order.key.as_deref().unwrap_or_default());
    put(out, "CaseReference", &order.reference);
    put(out, "Status", status);
}

fn invalid(field: &str, reason: &str) -> Reply {
    error(422, "E101", field, &format!("Not valid against the schema: {field} {reason}"))
}

fn error(status: u16, code: &str, field: &str, description: &str) -> Reply {
    let mut out = format!("<NotificationErrors xmlns=\"{NAMESPACE}\"><Error>");
    put(&mut out, "Code", code);
    put(&mut out, "Field", field);
    put(&mut out, "Description", description);
    out.push_str("</Error></NotificationErrors>");
    Reply::xml(status, out)
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use crate::simulator::markup::Element;
    use crate::simulator::rig::{Answered, Rig, send, still};
    use crate::simulator::{Kind, clock};

    fn notification(key: &str, ticket: &str, remarks: &str) -> String {
        format!(
            "<CouncilTaxNotifications xmlns=\"urn:dovetail:council-tax-notifications:1\"><NotificationHeader>\
             <BillingAuthority>harlow</BillingAuthority></NotificationHeader><Notification>\
             <TransactionIdentity>{key}</TransactionIdentity><CaseReference>{ticket}</CaseReference>\
             <NotificationType>ChangeOfAddress</NotificationType><EffectiveDate>2026-11-22</EffectiveDate>\
             <Remarks>{remarks}</Remarks></Notification></CouncilTaxNotifications>"
        )
    }

    async fn call(rig: &Rig, method: Method, path: &str, body: String) -> Answered {
        let call = rig.call(method, path).basic_auth("dovetail", Some("dovetail")).body(body);
        send(call.header("content-type", "application/xml")).await.unwrap()
    }

    async fn notify(rig: &Rig, key: &str, ticket: &str, remarks: &str) -> Answered {
        call(rig, Method::POST, "/notifications", notification(key, ticket, remarks)).await
    }

    async fn receipts(rig: &Rig, since: &str) -> Vec<(String, String, String)> {
        let answer = call(rig, Method::GET, &format!("/receipts?since={since}"), String::new()).await;
        let list = Element::read(&answer.body).unwrap();
        let text = |receipt: &Element, name| receipt.text_at(&[name]).unwrap_or_default().to_owned();
        list.children
            .iter()
            .map(|r| (text(r, "CaseReference"), text(r, "Status"), text(r, "Remarks")))
            .collect()
    }

    #[tokio::test]
    async fn a_notification_gets_a_receipt_and_each_change_is_listed() {
        let rig = Rig::start(Kind::Revenues, still()).await;
        let answer = notify(&rig, "k-1", "CRM-1", "Moving").await;
        assert_eq!(answer.status, 202);
        let receipt = Element::read(&answer.body).unwrap();
        assert_eq!(receipt.name, "NotificationReceipt");
        assert_eq!(receipt.text_at(&["ReceiptReference"]), Some("CT-100001"));
        assert_eq!(receipt.text_at(&["TransactionIdentity"]), Some("k-1"));
        assert_eq!(receipt.text_at(&["Status"]), Some("Pending"));
        rig.post("/_sim/step", r#"{"steps": 5}"#).await;
        let listed = receipts(&rig, "2026-01-01T00:00:00Z").await;
        let states: Vec<_> = listed.iter().map(|(_, status, _)| status.as_str()).collect();
        assert_eq!(states, ["Pending", "Submitted", "Verified", "Done"]);
        assert!(
            receipts(&rig, &clock::utc(clock::now() + jiff::SignedDuration::from_hours(1))).await.is_empty()
        );
    }

    #[tokio::test]
    async fn a_notification_is_taken_once_for_each_identity() {
        let rig = Rig::start(Kind::Revenues, still()).await;
        let first = notify(&rig, "k-1", "CRM-1", "").await;
        let again = notify(&rig, "k-1", "CRM-1", "").await;
        assert_eq!((first.status, again.status), (202, 200));
        assert_eq!(first.body, again.body);
        let jobs = rig.get("/_sim/jobs?ticket=CRM-1").await;
        assert_eq!(jobs.as_array().unwrap().len(), 1);
        assert_eq!((jobs[0]["delivered"].as_u64(), jobs[0]["applied"].as_u64()), (Some(2), Some(1)));
    }

    #[tokio::test]
    async fn a_review_waits_for_a_person() {
        let rig = Rig::start(Kind::Revenues, still()).await;
        notify(&rig, "k-1", "CRM-1", "Moving [review]").await;
        notify(&rig, "k-2", "CRM-2", "Moving [fail]").await;
        rig.post("/_sim/step", r#"{"steps": 9}"#).await;
        let listed = receipts(&rig, "2026-01-01T00:00:00Z").await;
        let last = |ticket| listed.iter().rfind(|(of, _, _)| of == ticket).unwrap();
        let (_, status, remarks) = last("CRM-1");
        assert_eq!(status, "Review");
        assert!(remarks.starts_with("Business exception: "), "{remarks}");
        assert_eq!(last("CRM-2").1, "Failed");
        rig.post("/_sim/jobs/CT-100001/complete", "").await;
        let listed = receipts(&rig, "2026-01-01T00:00:00Z").await;
        assert_eq!(listed.last().unwrap().1, "Done");
    }

    #[tokio::test]
    async fn what_is_refused_says_its_code() {
        let rig = Rig::start(Kind::Revenues, still()).await;
        for (remarks, status, code) in [
            ("[refused duplicate]", 422, "E201"),
            ("[refused declined]", 422, "E302"),
            ("[refused not ours]", 422, "E301"),
            ("[refused]", 422, "E103"),
            ("[busy]", 503, "E900"),
        ] {
            let answer = notify(&rig, remarks, "CRM-1", remarks).await;
            let errors = Element::read(&answer.body).unwrap();
            assert_eq!(
                (answer.status, errors.text_at(&["Error", "Code"])),
                (status, Some(code)),
                "{remarks}"
            );
        }
        let answer = call(&rig, Method::POST, "/notifications", "<Nothing/>".to_owned()).await;
        assert!(answer.status == 422 && answer.body.contains("E101"), "{answer:?}");
        let stranger =
            send(rig.call(Method::GET, "/receipts").basic_auth("dovetail", Some("x"))).await.unwrap();
        assert_eq!(stranger.status, 401);
    }

    #[tokio::test]
    async fn a_notification_takes_remarks_and_is_cancelled_once() {
        let rig = Rig::start(Kind::Revenues, still()).await;
        notify(&rig, "k-1", "CRM-1", "").await;
        let remarks = "<NotificationRemarks><CaseReference>CRM-1</CaseReference><Remarks>Also &amp; more</Remarks>\
                       </NotificationRemarks>";
        let path = "/notifications/CT-100001";
        let answer = call(&rig, Method::POST, &format!("{path}/remarks"), remarks.to_owned()).await;
        assert_eq!(answer.status, 200);
        let answer = call(&rig, Method::DELETE, path, String::new()).await;
        assert!(answer.status == 200 && answer.body.contains("<Status>Cancelled</Status>"), "{answer:?}");
        let answer = call(&rig, Method::DELETE, path, String::new()).await;
        assert!(answer.status == 409 && answer.body.contains("E401"), "{answer:?}");
        assert_eq!(call(&rig, Method::DELETE, "/notifications/CT-1", String::new()).await.status, 404);
        assert_eq!(rig.get("/_sim/jobs/CT-100001").await["remarks"][0], "Also & more");
    }
}
