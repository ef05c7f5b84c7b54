use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use jiff::civil::date;
use mappings::domain::{Job, Request, RequestState, SystemName, Ticket};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::cli::{Cli, Command};
use crate::closing::{Closure, Decision, Grounds};
use crate::ledger::{
    self, Arrival, Attempt, Change, ClockSetting, Completion, InboxKey, Lessee, Meaning, Next, Outbox, Room,
    Settlement, Way, WorkerId,
};

fn at(text: &str) -> Timestamp {
    format!("{text}:00Z").parse().expect("a time")
}

/// A ledger in which waste has done its part of every request.
async fn seeded(requests: &[Value]) -> (Arc<dyn Ledger>, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let closer = Arc::new(|standing: &crate::closing::Standing| {
        let Some(disposition) = standing.handovers[0].disposition else { return Decision::Wait };
        let say = "It is done.".to_owned();
        Decision::Close(Closure { disposition, reason: None, say, crm: None, grounds: Grounds::default() })
    });
    let reader = Arc::new(|_: &SystemName, _: &_, completion: &Completion| match completion.said.as_str() {
        "Not Out" => {
            Meaning::Ended { disposition: mappings::domain::Disposition::Declined, reason: None, say: None }
        }
        _ => {
            Meaning::Ended { disposition: mappings::domain::Disposition::Completed, reason: None, say: None }
        }
    });
    let ledger = ledger::open(&address, closer, reader, 2).await.expect("a ledger");
    let waste = SystemName::parse("waste").expect("a system");
    let lessee = Lessee {
        worker: WorkerId(Uuid::now_v7()),
        room: Room::new([(waste.clone(), 100)]),
        outbox: Outbox::Off,
    };
    ledger.heartbeat(lessee.worker, at("2026-01-01T00:00")).await.expect("a heartbeat");
    for request in requests {
        let called: Timestamp = request["raised_at"].as_str().expect("a time").parse().expect("a time");
        let text = |name: &str| request[name].as_str().map(str::to_owned);
        let (hours, said) = (request["hours"].as_i64(), text("said").unwrap_or_default());
        let mut document = request.clone();
        for name in ["hours", "said"] {
            document.as_object_mut().expect("an object").remove(name);
        }
        let request = Request::parse(document).expect("a request");
        let ticket: Ticket = request.ticket.clone();
        let target_at = Some(called + Duration::from_secs(24 * 3_600));
        let arrival = Arrival {
            key: InboxKey { source: "/crm".into(), id: ticket.to_string() },
            change: Change::Submitted {
                request,
                systems: vec![waste.clone()],
                clock: ClockSetting { target_at, ..ClockSetting::default() },
            },
            traceparent: None,
            received_at: called + Duration::from_secs(60),
            sent_with: None,
        };
        let work = ledger.accept(&[arrival], &lessee).await.expect("accepted").work.remove(0);
        let taken_at = called + Duration::from_secs(600);
        let settlement = Settlement {
            work,
            attempt: Attempt {
                started_at: taken_at,
                ended_at: taken_at,
                outcome: "delivered".into(),
                status: Some(200),
                reason: None,
                call: None,
                answer: None,
            },
            next: Next::Delivered { job: Some(Job::parse(ticket.as_str()).expect("a job")), note: None },
            owner: None,
        };
        ledger.record(&[settlement], &lessee).await.expect("recorded");
        let Some(hours) = hours else { continue };
        let completion = Completion {
            system: waste.clone(),
            key: ticket.to_string(),
            job: Some(Job::parse(ticket.as_str()).expect("a job")),
            reference: None,
            said,
            note: None,
            said_at: None,
            received_at: called + Duration::from_secs(3_600) * u32::try_from(hours).expect("hours"),
            way: Way::Queue,
        };
        ledger.complete(&[completion], &lessee).await.expect("completed");
        let history = ledger.ticket(None, &ticket).await.expect("read").expect("known");
        assert_eq!(history.line.state, RequestState::Closed);
    }
    (ledger, folder)
}

fn asked(ticket: &str, day: &str, more: Value) -> Value {
    let mut request = json!({
        "ticket": ticket, "council": "harlow", "service": "waste.missed-bin", "channel": "phone",
        "raised_at": format!("{day}T09:00:00Z"), "summary": "Grey bin missed at 16 Pitcairn House",
        "customer": {"forename": "Jo", "surname": "Lamb", "email": "jo@example.org"},
    });
    let more = more.as_object().expect("an object").clone();
    request.as_object_mut().expect("an object").extend(more);
    request
}

async fn report(ledger: &dyn Ledger, arguments: &str) -> Shown {
    let words = ["dovetail", "report"].into_iter().chain(arguments.split_whitespace());
    let cli = Cli::try_parse_from(words).expect("arguments");
    let Command::Report(args) = cli.command else { panic!("a report") };
    run(&args, ledger, cli.global.output, at("2026-11-30T09:00")).await.expect("a report")
}

async fn week() -> (Arc<dyn Ledger>, tempfile::TempDir) {
    seeded(&[
        asked("CRM-1", "2026-11-02", json!({"hours": 10, "said": "Completed"})),
        asked("CRM-2", "2026-11-03", json!({"hours": 48, "said": "Not Out", "channel": "web"})),
        asked("CRM-3", "2026-11-03", json!({"channel": "Jo Lamb, 01632 960001"})),
        asked("CRM-4", "2026-09-20", json!({"council": "epping", "service": "waste.bulky"})),
    ])
    .await
}

#[tokio::test]
async fn a_report_tells_what_came_of_the_requests_of_its_days() {
    let (ledger, _folder) = week().await;
    let shown = report(&*ledger, "--from 2026-11-01 --to 2026-11-30 --by channel").await;
    let all = &shown.json["all"];
    assert_eq!((&all["came_in"], &all["closed"], &all["declined"]), (&json!(3), &json!(2), &json!(1)));
    assert_eq!((&all["in_time"], &all["late"]), (&json!(1), &json!(2)));
    assert_eq!(all["open_8_to_30_days"], json!(1));
    assert_eq!(all["closed_automatically_percent"], json!(100.0));
    let close = all["seconds"]["to_close"]["p90"].as_f64().expect("a time");
    assert!((close / (48.0 * 3_600.0) - 1.0).abs() <= RELATIVE_ERROR, "{close}");
    let channels: Vec<&Value> =
        shown.json["groups"].as_array().expect("groups").iter().map(|group| &group["channel"]).collect();
    assert_eq!(channels, ["other", "phone", "web"]);
    // 27 days of one that is open outweigh all the rest.
    assert_eq!(shown.json["waits"][0]["where"], "waited_for_work");
    assert!(shown.text.contains("while waste does the work"), "{}", shown.text);
    assert!(shown.text.contains("from 1 November 2026 to 30 November 2026"), "{}", shown.text);
}

#[tokio::test]
async fn a_report_is_of_one_council_or_puts_them_side_by_side() {
    let (ledger, _folder) = week().await;
    let shown = report(&*ledger, "--from 2026-09-01 --by council --output csv").await;
    let lines: Vec<&str> = shown.text.lines().collect();
    assert!(lines[0].starts_with("council,came_in,closed,closed_automatically,held,"), "{}", lines[0]);
    assert!(lines[1].starts_with("epping,1,0,0,") && lines[2].starts_with("harlow,3,2,2,"), "{lines:?}");
    assert!(lines[3].starts_with("all,4,2,2,"), "{lines:?}");
    let shown = report(&*ledger, "--from 2026-09-01 --council epping").await;
    assert_eq!(
        (&shown.json["all"]["came_in"], &shown.json["all"]["open_31_to_60_days"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(shown.json["all"]["open_over_60_days"], json!(1));
}

#[tokio::test]
async fn open_data_tells_nothing_about_a_person() {
    let (ledger, _folder) = week().await;
    let shown = report(&*ledger, "--from 2026-11-01 --output open-data").await;
    let expected = "received_week,council,service,channel,state,outcome,closed_automatically,days_to_close,\
        in_time,held,escalated,overdue\r\n\
        2026-11-02,harlow,waste.missed-bin,other,open,,,,no,no,no,no\r\n\
        2026-11-02,harlow,waste.missed-bin,phone,closed,completed,yes,0,yes,no,no,no\r\n\
        2026-11-02,harlow,waste.missed-bin,web,closed,declined,yes,2,no,no,no,no\r\n";
    assert_eq!(shown.text, expected);
    for part in ["CRM", "Lamb", "Pitcairn", "01632", "@"] {
        assert!(!shown.text.contains(part), "{part}: {}", shown.text);
    }
}

#[test]
fn days_in_the_wrong_order_are_refused_and_thirty_are_meant_where_none_is_named() {
    let args = |arguments: &str| {
        let words = ["dovetail", "report"].into_iter().chain(arguments.split_whitespace());
        let cli = Cli::try_parse_from(words).expect("arguments");
        let Command::Report(args) = cli.command else { panic!("a report") };
        args
    };
    let today = date(2026, 11, 30);
    let error = scope(&args("--from 2026-11-02 --to 2026-11-01"), today).expect_err("refused");
    assert!(error.to_string().contains("begin on 2026-11-02 and end on 2026-11-01"), "{error}");
    let scope = scope(&args(""), today).expect("days");
    assert_eq!((scope.from, scope.to), (date(2026, 11, 1), today));
}

#[test]
fn only_a_report_is_printed_as_a_sheet() {
    let cli = Cli::try_parse_from(["dovetail", "topology", "--output", "csv"]).expect("arguments");
    assert!(cli.global.output.of(&cli.command).is_err());
    assert_eq!(super::sheet::record(vec!["a,\"b".into(), "=1".into()]), "\"a,\"\"b\",'=1\r\n");
}

#[test]
fn no_cell_is_a_formula_and_numbers_stay_numbers() {
    let cell = |text: &str| super::sheet::record(vec![text.to_owned()]);
    for formula in
        ["=1+1", "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "＝1", "－", "-", "+44 20", "-1.", "-.5"]
    {
        assert_eq!(cell(formula), format!("'{formula}\r\n"));
    }
    assert_eq!(cell("\t=1"), "\"'\t=1\"\r\n");
    assert_eq!(cell("\r=1"), "\"'\r=1\"\r\n");
    assert_eq!(cell(" =1"), "' =1\r\n");
    for number in ["0", "-1", "-1.5", "12.25", "2026-11-02", "waste.missed-bin", "a-b", ""] {
        assert_eq!(cell(number), format!("{number}\r\n"));
    }
    assert_eq!(cell("two\r\nlines"), "\"two\r\nlines\"\r\n");
    assert_eq!(cell(" padded "), "\" padded \"\r\n");
}
