//! The real Request Tracker: what a person does to a ticket while Dovetail closes it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use connectors::simulator::Kind;
use connectors::{Connector, Outcome, Performed};
use mappings::domain::{Operation, Service, SystemName};
use mappings::mapping::{Catalogue, Facts, System, context, shipped};
use router::closing::Decision;
use router::ledger::{Closer, History, Meaning, Reader};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::council::{Council, Crm, KEY, request, submitted};
use crate::journeys::settled;
use crate::program::Program;
use crate::services::{FreshSqlite, Tracker, fresh_postgres, http};
use crate::wait::until;

/// How often the customer was written to.
fn messages(happened: &[String]) -> usize {
    happened.iter().filter(|kind| *kind == "Correspond").count()
}

/// What a person does just before the next comparison goes through.
type Meddling = Box<dyn FnOnce() -> futures::future::BoxFuture<'static, ()> + Send>;

/// Request Tracker with a person at it who is quicker than Dovetail: what it does happens after the ticket was
/// read and before it is compared.
struct Meddler {
    connector: Connector,
    system: Arc<System>,
    sent: Arc<Mutex<Vec<String>>>,
    waiting: Arc<Mutex<Option<Meddling>>>,
    _task: JoinSet<()>,
}

#[derive(Clone)]
struct Between {
    target: String,
    sent: Arc<Mutex<Vec<String>>>,
    waiting: Arc<Mutex<Option<Meddling>>>,
}

impl Meddler {
    async fn start(tracker: &Tracker) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let target = tracker.url.trim_end_matches("/REST/2.0").to_owned();
        let between = Between { target, sent: Arc::default(), waiting: Arc::default() };
        let (sent, waiting) = (Arc::clone(&between.sent), Arc::clone(&between.waiting));
        let mut task = JoinSet::new();
        let app = axum::Router::new().fallback(forward).with_state(between);
        task.spawn(async move { axum::serve(listener, app).await.expect("served") });
        let known: HashMap<&str, String> = HashMap::from([
            ("CRM_URL", url),
            ("CRM_USER", tracker.user.clone()),
            ("CRM_PASSWORD", tracker.password.clone()),
        ]);
        let resolve =
            |name: &str| Some(known.get(name).cloned().unwrap_or_else(|| "http://127.0.0.1:9".to_owned()));
        let catalogue = Catalogue::compile(&shipped(), &resolve).expect("the shipped mappings");
        let system =
            Arc::clone(catalogue.system(&SystemName::parse("crm").expect("a name")).expect("the CRM"));
        let connector = Connector::new(&system).expect("a connector");
        Self { connector, system, sent, waiting, _task: task }
    }

    /// Has a person do this before the next comparison.
    fn before_comparing(
        &self,
        act: impl FnOnce() -> futures::future::BoxFuture<'static, ()> + Send + 'static,
    ) {
        *self.waiting.lock().expect("not poisoned") = Some(Box::new(act));
    }

    async fn close(&self, ticket: &str) -> Performed {
        let now = router::clock::host_time();
        let closure =
            json!({"disposition": "completed", "say": "The crew has done the work.", "evidence": []});
        let facts = Facts { closure: Some(closure), ..Facts::at(now) };
        let service = Service::parse("waste.missed-bin").expect("a service");
        let steps = self.system.operation(&service, Operation::Close).expect("it closes tickets");
        self.connector.perform(steps, context(&json!({"ticket": ticket}), &facts), now).await
    }

    fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.sent.lock().expect("not poisoned"))
    }
}

async fn forward(
    State(between): State<Between>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8_lossy(&body).into_owned();
    between.sent.lock().expect("not poisoned").push(format!("{method} {uri} {text}").trim_end().to_owned());
    let meddling =
        if method == Method::PUT { between.waiting.lock().expect("not poisoned").take() } else { None };
    if let Some(meddling) = meddling {
        meddling().await;
    }
    let mut request = http().request(method, format!("{}{uri}", between.target)).body(body);
    for name in ["authorization", "content-type", "if-match"] {
        if let Some(value) = headers.get(name) {
            request = request.header(name, value);
        }
    }
    let answer = request.send().await.expect("an answer");
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response =
        (StatusCode::from_u16(status.as_u16()).expect("a status"), answer.bytes().await.expect("a body"))
            .into_response();
    for name in ["content-type", "etag"] {
        if let Some(value) = headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn retry(performed: &Performed) -> &str {
    let Outcome::Retry { reason, .. } = &performed.outcome else { panic!("no retry: {performed:?}") };
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_was_commented_on_between_reading_and_closing_is_read_again_and_closed() {
    let tracker = Tracker::shared();
    let ticket = tracker.open("General", "Commented on", json!({})).await;
    let meddler = Meddler::start(&tracker).await;
    let commented = ticket.clone();
    meddler.before_comparing(move || {
        Box::pin(async move { Tracker::shared().write(&commented, "comment", "Jo called again").await })
    });
    assert_eq!(retry(&meddler.close(&ticket).await), "somebody changed the ticket while it was being closed");
    assert_eq!(messages(&tracker.happened(&ticket).await), 0, "nothing was said to the customer");
    meddler.sent();
    let again = meddler.close(&ticket).await;
    assert_eq!(again.outcome, Outcome::Delivered { job: None, note: None });
    assert_eq!(tracker.status(&ticket).await, "resolved");
    let sent = meddler.sent();
    let told = json!({"Content": format!("The crew has done the work.\n\nYour reference is {ticket}."), "ContentType": "text/plain", "Status": "resolved"});
    assert_eq!(sent.len(), 3, "{sent:?}");
    assert_eq!(
        sent[2],
        format!("POST /REST/2.0/ticket/{ticket}/correspond {told}"),
        "message and status in one call"
    );
    let happened = tracker.happened(&ticket).await;
    assert_eq!(happened, ["Create", "Comment", "Correspond", "Status open", "Status resolved"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_a_person_closed_between_reading_and_closing_is_left_alone() {
    let tracker = Tracker::shared();
    let ticket = tracker.open("General", "Closed by a person", json!({})).await;
    let meddler = Meddler::start(&tracker).await;
    let closed = ticket.clone();
    meddler.before_comparing(move || {
        Box::pin(async move { Tracker::shared().change(&closed, &json!({"Status": "rejected"})).await })
    });
    assert_eq!(meddler.close(&ticket).await.outcome.word(), "retry");
    let note = Some("closed by a person already".to_owned());
    assert_eq!(meddler.close(&ticket).await.outcome, Outcome::Delivered { job: None, note });
    assert_eq!(tracker.status(&ticket).await, "rejected");
    assert_eq!(tracker.happened(&ticket).await, ["Create", "Status rejected"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_was_closed_and_reopened_between_reading_and_closing_is_decided_anew() {
    let tracker = Tracker::shared();
    let ticket = tracker.open("General", "Reopened", json!({})).await;
    let meddler = Meddler::start(&tracker).await;
    let reopened = ticket.clone();
    meddler.before_comparing(move || {
        Box::pin(async move {
            Tracker::shared().change(&reopened, &json!({"Status": "resolved"})).await;
            Tracker::shared().change(&reopened, &json!({"Status": "open"})).await;
        })
    });
    assert_eq!(
        meddler.close(&ticket).await.outcome.word(),
        "retry",
        "the same status, and not the same ticket"
    );
    let happened = tracker.happened(&ticket).await;
    assert_eq!(happened, ["Create", "Status resolved", "Status open"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_listed_to_its_last_page() {
    let tracker = Tracker::shared();
    let queue = tracker.queue().await;
    let mut tickets = Vec::new();
    for number in 0..5 {
        tickets.push(tracker.open(&queue, &format!("Listed {number}"), json!({})).await);
    }
    tracker.change(&tickets[3], &json!({"Status": "resolved"})).await;
    let mut sources = shipped();
    for source in sources.iter_mut().filter(|source| source.path.starts_with("systems/crm-polled/")) {
        source.text = source.text.replace("per_page: 100", "per_page: 2");
    }
    let url = tracker.url.trim_end_matches("/REST/2.0").to_owned();
    let known = [
        ("CRM_URL", &url),
        ("CRM_USER", &tracker.user),
        ("CRM_PASSWORD", &tracker.password),
        ("CRM_QUEUE", &queue),
    ];
    let resolve = |name: &str| {
        let value = known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).clone());
        Some(value.unwrap_or_else(|| "http://127.0.0.1:9".to_owned()))
    };
    let catalogue = Catalogue::compile(&sources, &resolve).expect("the shipped mappings");
    let system = catalogue.system(&SystemName::parse("crm-polled").expect("a name")).expect("the CRM");
    let connector = Connector::new(system).expect("a connector");
    let now = router::clock::host_time();
    let facts = Facts { since: Some(now - Duration::from_secs(600)), ..Facts::at(now) };
    let steps = system.call("new-tickets").expect("the call");
    let gathered = connector.gather(steps, context(&Value::Null, &facts), now).await.expect("pages");
    assert_eq!(gathered.pages.len(), 3);
    let harvest = system.intake().and_then(|intake| intake.harvest()).expect("a poll");
    let found = gathered.pages.iter().flat_map(|page| harvest.items(page).expect("a list"));
    let found: Vec<_> = found.collect();
    let found: Vec<_> = found.iter().map(|item| item["id"].as_str().expect("an id")).collect();
    let open = [&tickets[..3], &tickets[4..]].concat();
    assert_eq!(found, open, "in their order, without the one that is closed");
    let later = Facts { since: Some(now + Duration::from_secs(60)), ..Facts::at(now) };
    let none = connector.gather(steps, context(&Value::Null, &later), now).await.expect("a page");
    assert!(
        none.pages.iter().all(|page| harvest.items(page).is_ok_and(|items| items.is_empty())),
        "the time is understood: {none:?}"
    );
}

/// Hands a missed bin to the simulated waste system; it stands still there until it is told.
async fn missed_bin(council: &Council, program: &Program, ticket: &str) -> String {
    council.simulator(Kind::Waste).pause();
    let event = submitted(&format!("real-{ticket}"), &request(ticket, 0));
    let post = http()
        .post(program.url("/v1/requests"))
        .bearer_auth(KEY)
        .header("content-type", "application/cloudevents+json")
        .body(event.to_string());
    assert_eq!(post.send().await.expect("an answer").status(), 202);
    until("the waste system has the job", Duration::from_secs(60), async || {
        let jobs = council.told(Kind::Waste, &format!("jobs?ticket={ticket}")).await;
        jobs[0]["id"].as_str().map(str::to_owned)
    })
    .await
}

async fn tell(council: &Council, job: &str, what: &str, body: &Value) {
    let url = format!("{}/_sim/jobs/{job}/{what}", council.simulator(Kind::Waste).url());
    let answer = http().post(url).body(body.to_string()).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
}

async fn history(ledger: &str, ticket: &str) -> History {
    let closer: Closer = Arc::new(|_| Decision::Wait);
    let reader: Reader = Arc::new(|_, _, _| Meaning::Unrecognised);
    let ledger = router::ledger::open(ledger, closer, reader, 1).await.expect("the ledger opens");
    let ticket = mappings::domain::Ticket::parse(ticket).expect("a ticket");
    ledger.ticket(None, &ticket).await.expect("it answers").expect("the ticket is known")
}

async fn closed_by_hand_meanwhile(ledger: &str) {
    let tracker = Tracker::shared();
    let ticket = tracker.open("General", "Bin missed", json!({})).await;
    let council = Council::with_crm(ledger, Crm::Real, 11).await;
    let program = council.start().await;
    let job = missed_bin(&council, &program, &ticket).await;
    tracker.change(&ticket, &json!({"Status": "resolved"})).await;
    tell(&council, &job, "complete", &json!({})).await;
    settled(ledger, 1).await;
    assert_eq!(tracker.happened(&ticket).await, ["Create", "Status resolved"], "nobody is told twice");
    assert!(program.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_a_person_closed_meanwhile_is_left_alone_on_postgresql() {
    closed_by_hand_meanwhile(&fresh_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_a_person_closed_meanwhile_is_left_alone_on_sqlite() {
    let database = FreshSqlite::new();
    closed_by_hand_meanwhile(&database.url()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_was_reopened_is_not_closed_by_a_late_completion() {
    let (tracker, database) = (Tracker::shared(), FreshSqlite::new());
    let ticket = tracker.open("General", "Bin missed", json!({})).await;
    let council = Council::with_crm(&database.url(), Crm::Real, 12).await;
    let program = council.start().await;
    let job = missed_bin(&council, &program, &ticket).await;
    tell(&council, &job, "complete", &json!({})).await;
    settled(&database.url(), 1).await;
    assert_eq!(tracker.status(&ticket).await, "resolved");

    tracker.change(&ticket, &json!({"Status": "open"})).await;
    tell(&council, &job, "say", &json!({"status": "Not Out", "note": "Nothing stood outside"})).await;
    until("the ledger has heard the late completion", Duration::from_secs(60), async || {
        let heard = history(&database.url(), &ticket).await.completions;
        heard.iter().any(|heard| heard.completion.said == "Not Out").then_some(())
    })
    .await;
    settled(&database.url(), 1).await;
    assert_eq!(tracker.status(&ticket).await, "open");
    assert_eq!(messages(&tracker.happened(&ticket).await), 1);
    assert!(program.stop().await.success());
}
