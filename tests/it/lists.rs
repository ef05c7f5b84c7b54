//! Lists of back offices at their worst: as long as after an outage, with items that cannot be read, and of others' work.
//! What is good in them is heard, and what is not costs only itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::council::{KEY, submitted};
use crate::program::{Program, dovetail};
use crate::services::{FreshSqlite, http};
use crate::wait::until;

/// A works office whose list of changes is what a test says.
#[derive(Default)]
struct Office {
    /// How many jobs were ordered.
    ordered: AtomicUsize,
    /// The list, by the time that it is asked for up to.
    list: Mutex<Option<List>>,
    /// The times that were asked for: from, and up to.
    asked: Mutex<Vec<(String, String)>>,
}

type List = Box<dyn Fn(&str, &str) -> Vec<u8> + Send>;

async fn order(State(office): State<Arc<Office>>) -> Response {
    let number = office.ordered.fetch_add(1, Ordering::Relaxed) + 1;
    (axum::http::StatusCode::CREATED, axum::Json(json!({"job": format!("W-{number}")}))).into_response()
}

async fn changed(State(office): State<Arc<Office>>, Query(window): Query<Vec<(String, String)>>) -> Response {
    let of = |name: &str| {
        window.iter().find(|(known, _)| known == name).map(|(_, at)| at.clone()).unwrap_or_default()
    };
    let (since, until) = (of("since"), of("until"));
    let list = office.list.lock().expect("a list");
    let body = list.as_ref().map_or_else(|| b"{\"jobs\": []}".to_vec(), |list| list(&since, &until));
    office.asked.lock().expect("the times").push((since, until));
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

struct Works {
    office: Arc<Office>,
    ledger: FreshSqlite,
    program: Program,
    _served: JoinSet<()>,
    _mappings: TempDir,
}

impl Works {
    /// The office, and a router with its mapping; `limits` and `until` as the mapping says.
    async fn start(limits: &str, until: &str) -> Self {
        let office = Arc::new(Office::default());
        let app = Router::new()
            .route("/jobs", post(order))
            .route("/changed", get(changed))
            .with_state(Arc::clone(&office));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let mut served = JoinSet::new();
        served.spawn(async move { axum::serve(listener, app).await.expect("served") });
        let mappings = tempfile::tempdir().expect("a folder");
        let folder = mappings.path().join("systems/works");
        std::fs::create_dir_all(&folder).expect("a folder is made");
        let system = format!(
            "system: works\nname: Works team\nrole: back_office\nowner: {{team: Works, contact: works@example.org}}\n\
             connection: {{base_url: \"{url}\", auth: none, timeout: 30s}}\nlimits: {{{limits}}}\nidempotency: none\n\
             completion: {{poll: {{every: 15m, overlap: 2h, call: changed}}}}\n\
             calls:\n  changed:\n    get: /changed\n    query: {{since: $.dovetail.since{until}}}\n    \
             reports: {{each: \"$.jobs[*]\", job: \"@.no\", status: \"@.status\", note: \"@.notes\"}}\n\
             statuses:\n  Open: {{progress: received}}\n  Done: {{disposition: completed}}\n"
        );
        let job = "service: works.job\nname: A job\nclose: {automatically: [completed]}\n\
                   create: {post: /jobs, json: {reference: $.ticket}, accepted: {when: {status: 201}, job: $.job}}\n";
        let routes = "routes:\n  - {service: works.job, to: [works]}\n";
        for (file, text) in [
            ("systems/works/system.yaml", &*system),
            ("systems/works/job.yaml", job),
            ("routes.yaml", routes),
        ] {
            std::fs::write(mappings.path().join(file), text).expect("a mapping is written");
        }
        let ledger = FreshSqlite::new();
        let config = format!(
            "[http]\nkeys = [{{name = \"test\", key = \"{KEY}\", councils = [\"*\"]}}]\n[ledger]\nurl = \"{}\"\n\
             [mappings]\nfolder = \"{}\"\n[pace]\npoll_every = \"200ms\"\nretry_first = \"100ms\"\n",
            ledger.url(),
            mappings.path().display()
        );
        let program = Program::serve_with(&config, &[]).await;
        Self { office, ledger, program, _served: served, _mappings: mappings }
    }

    /// Has so many jobs ordered: W-1, W-2, …
    async fn order(&self, jobs: usize) {
        for number in 1..=jobs {
            let data = json!({"ticket": format!("CRM-{number}"), "council": "harlow", "service": "works.job",
                "raised_at": "2026-11-23T09:00:00Z", "summary": "Lid of the grit bin is broken",
                "location": {"description": "By the gate"}});
            let event = submitted(&format!("lists-{number}"), &data).to_string();
            let posted = http()
                .post(self.program.url("/v1/requests"))
                .bearer_auth(KEY)
                .header("content-type", "application/cloudevents+json")
                .body(event);
            assert_eq!(posted.send().await.expect("an answer").status(), 202);
            until("the job is ordered", Duration::from_secs(60), async || {
                (self.office.ordered.load(Ordering::Relaxed) >= number).then_some(())
            })
            .await;
        }
    }

    fn lists(&self, list: impl Fn(&str, &str) -> Vec<u8> + Send + 'static) {
        *self.office.list.lock().expect("a list") = Some(Box::new(list));
    }

    async fn output(&self, arguments: &[&str]) -> String {
        let config = ["--database", &self.ledger.url(), "--output", "json"];
        let output = dovetail(&[arguments, &config].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn until_closed(&self, tickets: usize) {
        until("the tickets close", Duration::from_secs(120), async || {
            let counts = crate::journeys::counts(&self.ledger.url()).await;
            let closed: u64 = counts
                .tickets
                .iter()
                .filter(|(state, ..)| state.as_str() == "closed")
                .map(|(.., count)| *count)
                .sum();
            (closed == tickets as u64).then_some(())
        })
        .await;
    }

    /// The most memory that the router ever had, in MiB.
    fn peak(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.program.id())).expect("its state");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") / 1024
    }
}

/// So many rows of others, then the rows of ours.
fn rows(of_others: usize, ours: &[Vec<u8>]) -> Vec<u8> {
    let mut body = b"{\"jobs\": [".to_vec();
    for number in 0..of_others {
        let row = format!(
            "{{\"no\": \"X-{number}\", \"status\": \"Open\", \"notes\": \"{}\"}},",
            "Seen. ".repeat(2_500)
        );
        body.extend_from_slice(row.as_bytes());
    }
    body.extend_from_slice(&ours.join(&b", "[..]));
    body.extend_from_slice(b"]}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_50_mb_is_heard_in_bounded_memory() {
    let works = Works::start("", "").await;
    works.order(1).await;
    let before = works.peak();
    works.lists(|_, _| rows(3_400, &[br#"{"no": "W-1", "status": "Done"}"#.to_vec()]));
    works.until_closed(1).await;
    let size = rows(3_400, &[Vec::new()]).len() >> 20;
    let peak = works.peak();
    assert!(size >= 48, "{size} MiB");
    assert!(peak < 300, "{before} MiB before, {peak} MiB at the peak");
    let problems = works.output(&["problems"]).await;
    let problems: Value = serde_json::from_str(&problems).expect("JSON");
    let told = problems["problems"].as_array().expect("problems");
    assert_eq!(told.len(), 1, "others' work is one line: {problems}");
    assert_eq!((&told[0]["kind"], &told[0]["count"]), (&json!("orphans"), &json!(3_400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_with_three_bad_items_closes_all_the_good_ones_and_shows_three_problems() {
    let works = Works::start("", "").await;
    works.order(3).await;
    works.lists(|_, _| {
        let long = format!(r#"{{"no": "{}", "status": "Done"}}"#, "9".repeat(10_000));
        let good = |number: usize| format!(r#"{{"no": "W-{number}", "status": "Done"}}"#).into_bytes();
        let half = br#"{"no": "W-9", "status": "Done", "notes": "thanks \ud83d"}"#.to_vec();
        let bytes = b"{\"no\": \"W-9\", \"status\": \"Done\", \"notes\": \"caf\xe9\"}".to_vec();
        rows(0, &[good(1), half, good(2), long.into_bytes(), bytes, good(3)])
    });
    works.until_closed(3).await;
    // However often they are listed.
    let asked = works.office.asked.lock().expect("the times").len();
    until("the list is asked for again", Duration::from_secs(60), async || {
        (works.office.asked.lock().expect("the times").len() > asked + 3).then_some(())
    })
    .await;
    let problems: Value = serde_json::from_str(&works.output(&["problems"]).await).expect("JSON");
    let told = problems["problems"].as_array().expect("problems");
    let reasons: Vec<&str> = told.iter().filter_map(|one| one["reason"].as_str()).collect();
    assert_eq!((told.len(), reasons.len()), (3, 3), "{problems}");
    for part in ["a job that cannot be one", "bytes that are not text", "not JSON"] {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
    }
    assert!(told.iter().all(|one| one["source"] == "/systems/works" && one["ticket"].is_null()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_whose_answer_is_too_large_is_asked_for_in_halves() {
    let works = Works::start("answer: 1 MiB", ", until: $.dovetail.until").await;
    works.order(1).await;
    works.lists(|since, until| {
        let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a time");
        let minutes = at(until).duration_since(at(since)).as_secs().max(0) as usize / 60;
        // A row of 15 kB a minute: more than an hour is too much.
        rows(minutes, &[br#"{"no": "W-1", "status": "Done"}"#.to_vec()])
    });
    works.until_closed(1).await;
    let asked = works.office.asked.lock().expect("the times").clone();
    let spans: Vec<i64> = asked
        .iter()
        .map(|(since, until)| {
            let at = |text: &str| text.parse::<jiff::Timestamp>().expect("a time");
            at(until).duration_since(at(since)).as_secs() / 60
        })
        .collect();
    assert!(spans.iter().any(|minutes| *minutes >= 120), "{spans:?}");
    assert!(spans.iter().any(|minutes| (50..70).contains(minutes)), "by halves: {spans:?}");
    let problems = works.output(&["problems"]).await;
    assert!(!problems.contains("larger than"), "what fits in the end is no problem: {problems}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_and_cannot_be_narrowed_is_told_at_once() {
    let works = Works::start("answer: 1 MiB", "").await;
    works.order(1).await;
    works.lists(|_, _| rows(100, &[br#"{"no": "W-1", "status": "Done"}"#.to_vec()]));
    let told = until("a person is told", Duration::from_secs(60), async || {
        let page = http().get(works.program.page("/problems"));
        let page = page.send().await.expect("an answer").text().await.expect("text");
        page.contains("larger than 1 MiB").then_some(page)
    })
    .await;
    assert!(told.contains("Works team"), "{told}");
}
