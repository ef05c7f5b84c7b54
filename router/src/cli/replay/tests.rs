use std::sync::Arc;

use clap::Parser as _;
use mappings::domain::Job;

use super::*;
use crate::cli::{Cli, Command, open};
use crate::console::tests::seed::Seed;
use crate::ledger::{LISTED_SINGLY, Next, Problem};
use crate::timeline;

fn args(arguments: &[&str]) -> ReplayArgs {
    let fixed = ["--because", "it is mended", "--by", "jo"];
    let command = Cli::parse_from(["dovetail", "replay"].iter().chain(arguments).chain(&fixed)).command;
    let Command::Replay(args) = command else { panic!("{command:?} is not replay") };
    args
}

fn books(seed: &Seed) -> Books {
    Books { ledger: Arc::clone(&seed.ledger), catalogue: Arc::clone(&seed.catalogue) }
}

async fn replayed(seed: &Seed, arguments: &[&str]) -> anyhow::Result<Shown> {
    run(&args(arguments), &books(seed), &open::lessee(false), Output::Json).await
}

/// Four that stopped for one cause, and one that may have been done.
async fn seed() -> Seed {
    let seed = Seed::new().await;
    for number in 1..=4 {
        seed.parked(&format!("CRM-{number}"), ParkClass::Technical, "gave up: answered 503").await;
    }
    seed.parked("CRM-5", ParkClass::Uncertain, "the answer was lost").await;
    seed
}

/// Makes the attempts that fall due, as a router does, until it is dropped.
async fn route(seed: &Seed, next: impl Fn(&str) -> (&'static str, Next)) {
    loop {
        for work in seed.due().await {
            let (outcome, next) = next(work.ticket.as_str());
            seed.settled(work, outcome, Some("503 again"), next).await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn arrives(ticket: &str) -> (&'static str, Next) {
    ("delivered", Next::Delivered { job: Job::parse(&format!("job-of-{ticket}")).ok(), note: None })
}

async fn parked(seed: &Seed) -> usize {
    seed.ledger.parked(&Selection::default(), 100).await.expect("a list").len()
}

#[tokio::test]
async fn the_first_goes_alone_and_when_it_arrived_the_rest_follow() {
    let seed = seed().await;
    let shown = tokio::select! {
        shown = replayed(&seed, &["--where", "system=waste", "--rate", "100/s"]) => shown.expect("shown"),
        () = route(&seed, arrives) => panic!("a router does not end"),
    };
    assert_eq!(shown.exit, Exit::Ok, "{}", shown.text);
    assert_eq!(shown.json["replayed"], 4);
    assert_eq!(shown.json["left_out"], 1);
    assert_eq!(parked(&seed).await, 1, "what may have been done stays parked");
}

#[tokio::test]
async fn a_first_that_does_not_arrive_leaves_the_rest_parked_and_says_why() {
    let seed = seed().await;
    let stops = |_: &str| {
        let next = Next::Park { class: ParkClass::Technical, reason: "answered 503 again".to_owned() };
        ("retry", next)
    };
    let shown = tokio::select! {
        shown = replayed(&seed, &["--where", "class=technical"]) => shown.expect("shown"),
        () = route(&seed, stops) => panic!("a router does not end"),
    };
    assert_eq!(shown.exit, Exit::NotOk);
    assert_eq!(shown.json["reason"], "CRM-1 is parked again: answered 503 again");
    assert_eq!(
        shown.text,
        "The first did not arrive: CRM-1 is parked again: answered 503 again.\nThe other 3 stay parked.\n"
    );
    assert_eq!(shown.json["on_the_way"], 0, "what came back is not on its way");
    assert_eq!(parked(&seed).await, 5);
}

#[tokio::test]
async fn a_first_that_nobody_tries_is_not_waited_for_for_ever() {
    let seed = seed().await;
    let shown = replayed(&seed, &["--where", "", "--patience", "300ms"]).await.expect("shown");
    assert_eq!(shown.exit, Exit::NotOk);
    let reason = shown.json["reason"].as_str().expect("a reason");
    assert!(reason.ends_with("no router has tried it"), "{reason}");
    assert!(shown.text.contains("It is still tried.\nThe other 3 stay parked.\n"), "{}", shown.text);
    assert_eq!((&shown.json["on_the_way"], &shown.json["ended"]), (&json!(1), &json!("waiting")));
    assert_eq!(shown.json["parked"], 3);
}

#[tokio::test]
async fn a_replay_that_is_cancelled_leaves_parked_what_it_did_not_let_go() {
    let seed = seed().await;
    let stop = CancellationToken::new();
    let lessee = open::lessee(false);
    let selected = select(&args(&["--where", ""]), &books(&seed)).await.expect("a selection");
    let releases = Releases {
        ledger: &*seed.ledger,
        lessee: &lessee,
        person: crate::ledger::Person { name: "jo".into(), because: "mended".into() },
        edit: None,
        rate: "2/m".parse().expect("a rate"),
        canary: false,
        patience: Duration::from_secs(1),
        stop: stop.clone(),
        bar: ProgressBar::hidden(),
    };
    let watching = async {
        while parked(&seed).await == 5 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    let (released, ()) = tokio::join!(releases.run(&selected.stuck), watching);
    let released = released.expect("released");
    assert_eq!((released.written, released.ended), (1, Ended::Cancelled));
    assert_eq!(parked(&seed).await, 4);
}

#[tokio::test]
async fn a_preview_counts_and_shows_the_exact_first_call_and_changes_nothing() {
    let seed = seed().await;
    let shown = replayed(&seed, &["--where", "system=waste", "--preview"]).await.expect("shown");
    assert!(shown.text.starts_with("4 would be replayed."), "{}", shown.text);
    assert!(shown.text.contains("4      waste   technical  gave up: answered 503"), "{}", shown.text);
    assert!(shown.text.contains("# Nothing was sent."), "{}", shown.text);
    assert_eq!(shown.json["handovers"].as_array().map(Vec::len), Some(4));
    assert_eq!(shown.json["first_call"]["calls"][0]["system"], "waste");
    assert_eq!(parked(&seed).await, 5);
}

#[tokio::test]
async fn an_edit_is_tried_in_the_preview_and_refused_with_its_place() {
    let seed = seed().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("patch.json");
    std::fs::write(&file, r#"{"location": {"uprn": 7}}"#).expect("written");
    let file = file.to_str().expect("text");
    let shown = replayed(&seed, &["--where", "", "--preview", "--edit", file]).await.expect("shown");
    assert_eq!(shown.exit, Exit::NotOk);
    assert!(shown.text.contains("cannot be made: CRM-1: location.uprn"), "{}", shown.text);
    std::fs::write(file, "{").expect("written");
    let error = replayed(&seed, &["--where", "", "--edit", file]).await.expect_err("a mistake");
    assert!(error.to_string().contains("patch.json:1:"), "{error}");
}

#[tokio::test]
async fn what_may_have_been_done_and_what_is_not_a_condition_are_mistakes() {
    let seed = seed().await;
    let error = replayed(&seed, &["--where", "class=uncertain"]).await.expect_err("a mistake");
    assert!(error.to_string().contains("it could be done twice"), "{error}");
    let error = replayed(&seed, &["--where", "sistem=x"]).await.expect_err("a mistake");
    assert!(error.to_string().contains("column 1: \"sistem\""), "{error}");
}

#[tokio::test]
async fn every_command_that_a_problem_names_is_one_that_can_be_given() {
    let seed = Seed::town().await;
    seed.parked("CRM-20", ParkClass::Uncertain, "the answer was lost").await;
    seed.parked("CRM 21 \"o'x\"", ParkClass::Technical, "503").await;
    for number in 0..=LISTED_SINGLY {
        seed.parked(&format!("CRM-P{number}"), ParkClass::Technical, "it's \"down\" \\ answered 503").await;
        seed.heard(&format!("77{number}"), "Completed", None).await;
    }
    seed.heard("1001", "Not Out", None).await;
    let mut problems = seed.ledger.problems(50).await.expect("problems");
    problems.push(Problem::RefusedAlike {
        cause: "0123456789ab".to_owned(),
        source: "/crm".to_owned(),
        reason: "no route".to_owned(),
        count: 30,
        latest_at: jiff::Timestamp::UNIX_EPOCH,
    });
    let mut named = 0;
    for remedy in problems.iter().flat_map(|problem| timeline::remedies(problem, &seed.catalogue)) {
        let command = remedy
            .command
            .replace("DISPOSITION", "declined")
            .replace("MEANING", "review")
            .replace("FILE", "patch.json");
        let words = shell(&command);
        let parsed = Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{command}: {error}"));
        if let Command::Replay(args) = parsed.command {
            let selection = Selection::parse(&args.conditions, jiff::Timestamp::UNIX_EPOCH)
                .unwrap_or_else(|error| panic!("{command}: {error}"));
            let meant = seed.ledger.parked(&selection, 99).await.expect("a list");
            assert!(!meant.is_empty(), "{command} means nothing");
        }
        named += 1;
    }
    assert_eq!(named, 19);
}

/// A line as a shell takes it apart: words, single quotes, and backslashes outside of them.
fn shell(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (letter, quoted) {
            ('\'', _) => quoted = !quoted,
            ('\\', false) => word.extend(letters.next()),
            (' ', false) => words.push(std::mem::take(&mut word)),
            (other, _) => word.push(other),
        }
    }
    words.push(word);
    words
}

#[test]
fn a_rate_is_let_go_in_small_batches() {
    let rate = |text: &str| text.parse::<Rate>();
    assert_eq!(rate("5/s").expect("a rate").batches(), (1, Duration::from_millis(200)));
    assert_eq!(rate("100/s").expect("a rate").batches(), (20, Duration::from_millis(200)));
    assert_eq!(rate("2/m").expect("a rate").batches(), (1, Duration::from_secs(30)));
    for wrong in ["5", "0/s", "5/h", "x/s"] {
        assert!(rate(wrong).is_err(), "{wrong}");
    }
}
