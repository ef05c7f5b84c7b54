//! `dovetail system`: which systems take calls, and who says otherwise.

use std::fmt::Write as _;

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::Catalogue;
use serde_json::{Value, json};

use super::columns::columns;
use super::{Exit, Mistake, PauseArgs, ResumeArgs, Shown};
use crate::config;
use crate::ledger::{Asked, Failing, Ledger, Switch, SystemChange};
use crate::timeline::{Halted, halted, inquired, when};

/// Changes of how systems stand that are shown.
const CHANGES: usize = 10;

/// Lists all systems of the mappings with how they stand, and who changed that of late.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) async fn list(
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let halted = halted(&ledger.halts().await?, catalogue, now);
    let changes = ledger.system_changes(CHANGES).await?;
    let asked = ledger.asked().await?;
    let inquired = inquired(&asked, catalogue, now);
    let of = |name: &SystemName| halted.iter().find(|halted| halted.system == *name);
    let rows = catalogue.systems().map(|system| {
        let (standing, text) = match of(&system.name) {
            Some(halted) => (halted.why, halted.text.clone()),
            None => ("open", String::new()),
        };
        [system.name.to_string(), standing.to_owned(), text]
    });
    let mut text = columns(["SYSTEM", "STANDS", "WHY"], rows);
    if !inquired.is_empty() {
        text.push_str("\nWhat they are asked for, and how their open jobs compared:\n");
    }
    for inquired in &inquired {
        let told = if inquired.text.is_empty() { "not compared yet" } else { &inquired.text };
        let _ = writeln!(text, "  {}: {told}", inquired.system);
        for attention in &inquired.attention {
            let _ = writeln!(text, "    {attention}");
        }
    }
    if !changes.is_empty() {
        text.push_str("\nThe latest changes:\n");
        for change in &changes {
            let _ = writeln!(text, "  {}", told(change));
        }
    }
    let systems: Vec<Value> = catalogue
        .systems()
        .map(|system| {
            let halted = of(&system.name);
            let asked = asked.iter().find(|asked| asked.system == system.name);
            json!({
                "system": system.name.as_str(),
                "title": system.title,
                "stands": halted.map_or("open", |halted| halted.why),
                "until": halted.and_then(|halted| halted.until).map(|until| until.to_string()),
                "why": halted.map(|halted| &halted.text),
                "polled_to": asked.and_then(|asked| asked.polled_to).map(|at| at.to_string()),
                "open_jobs": asked.map(open_jobs),
                "failing": asked.map(failing).unwrap_or_default(),
            })
        })
        .collect();
    let json = json!({"systems": systems, "changes": changes.iter().map(change_json).collect::<Vec<_>>()});
    Ok(Shown { text, json, exit: Exit::Ok })
}

/// Pauses a system: all routers stop calling it, and what is due waits.
///
/// # Errors
/// When there is no such system, or the ledger cannot be written.
pub(super) async fn pause(
    args: PauseArgs,
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    known(&args.system, catalogue)?;
    let switch = Switch::Pause { by: person(args.by), reason: args.reason };
    let switched = ledger.switch(&args.system, &switch, now).await?;
    let told = halted(&[switched.halt], catalogue, now);
    let told = told.iter().find(|halted| halted.system == args.system);
    Ok(outcome(&args.system, switched.applied, told, "was paused already"))
}

/// Lets a system go on: it is called again, and where it did not answer, it is tried at once.
///
/// # Errors
/// When there is no such system, or the ledger cannot be written.
pub(super) async fn resume(
    args: ResumeArgs,
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    known(&args.system, catalogue)?;
    let switched = ledger.switch(&args.system, &Switch::Resume { by: person(args.by) }, now).await?;
    let told = halted(&[switched.halt], catalogue, now);
    let told = told.iter().find(|halted| halted.system == args.system);
    Ok(outcome(&args.system, switched.applied, told, "was not paused"))
}

fn outcome(system: &SystemName, applied: bool, halted: Option<&Halted>, otherwise: &str) -> Shown {
    let mut text = if applied { String::new() } else { format!("{system} {otherwise}. ") };
    text.push_str(halted.map_or("It takes calls.", |halted| &halted.text));
    text.push('\n');
    let json = json!({
        "system": system.as_str(),
        "changed": applied,
        "stands": halted.map_or("open", |halted| halted.why),
        "until": halted.and_then(|halted| halted.until).map(|until| until.to_string()),
        "why": halted.map(|halted| &halted.text),
    });
    Shown { text, json, exit: Exit::Ok }
}

fn known(system: &SystemName, catalogue: &Catalogue) -> Result<(), Mistake> {
    if catalogue.system(system).is_some() {
        return Ok(());
    }
    let names: Vec<&str> = catalogue.systems().map(|system| system.name.as_str()).collect();
    Err(Mistake::new(
        format!("there is no system {system}: expected one of {}", names.join(", ")),
        "dovetail system list shows them; --config names other mappings",
    ))
}

/// Who is at the keyboard, where it is not said.
pub(super) fn person(said: Option<String>) -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| config::variable(name));
    said.or(names).unwrap_or_else(|| "somebody at the command line".to_owned())
}

fn told(change: &SystemChange) -> String {
    let SystemChange { system, at, change: word, by, reason } = change;
    let what = match word.as_str() {
        "paused" => "was paused",
        "resumed" => "was let go on",
        "opened" => "did not answer and was left alone",
        "closed" => "answered again",
        "gap" => "may have told news that was missed",
        other => other,
    };
    let by = by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("{}  {system} {what}{by}{reason}", when::short(*at))
}

/// When the open jobs of a system were compared last, with what result, and when they are next.
fn open_jobs(asked: &Asked) -> Value {
    json!({
        "compared_at": asked.last.as_ref().map(|(at, _)| at.to_string()),
        "result": asked.last.as_ref().map(|(_, report)| report),
        "next_at": asked.due_at.map(|at| at.to_string()),
        "gap": asked.why,
    })
}

/// What is asked of a system again and again, and failed the last time.
fn failing(asked: &Asked) -> Vec<Value> {
    let json = |one: &Failing| {
        json!({
            "activity": one.activity.as_str(), "since": one.since.to_string(), "last_at": one.last_at.to_string(),
            "times": one.times, "reason": one.failure.reason, "lasting": one.failure.lasting,
        })
    };
    asked.failing.iter().map(json).collect()
}

fn change_json(change: &SystemChange) -> Value {
    json!({
        "system": change.system.as_str(),
        "at": change.at.to_string(),
        "change": change.change,
        "by": change.by,
        "reason": change.reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::tests::seed::{Seed, at};
    use crate::ledger::{Activity, PollFailure};

    fn waste() -> SystemName {
        SystemName::parse("waste").expect("a system")
    }

    fn pause_args(by: &str) -> PauseArgs {
        let reason = Some("moving to a new server".to_owned());
        PauseArgs {
            system: waste(),
            reason,
            by: Some(by.to_owned()),
            ledger: crate::cli::LedgerArgs { database: None },
        }
    }

    #[tokio::test]
    async fn a_pause_says_who_and_why_and_a_second_one_changes_nothing() {
        let seed = Seed::new().await;
        let (ledger, catalogue) = (&*seed.ledger, &*seed.catalogue);
        let first = pause(pause_args("jo"), ledger, catalogue, at(5)).await.expect("paused");
        let words = "Environmental services is paused by jo since Monday 23 November 2026, 09:05: moving to a new server.";
        assert_eq!(first.text, format!("{words}\n"));
        assert_eq!(first.json["changed"], true);
        let second = pause(pause_args("sam"), ledger, catalogue, at(6)).await.expect("no change");
        assert_eq!(second.text, format!("waste was paused already. {words}\n"));
        let listed = list(ledger, catalogue, at(7)).await.expect("a list");
        assert!(listed.text.contains("housing  open\n"), "{}", listed.text);
        assert!(
            listed.text.contains("23 Nov 2026, 09:05  waste was paused by jo: moving"),
            "{}",
            listed.text
        );
        assert_eq!(listed.json["changes"][0]["by"], "jo");
        let args =
            || ResumeArgs { system: waste(), by: None, ledger: crate::cli::LedgerArgs { database: None } };
        let resumed = resume(args(), ledger, catalogue, at(8)).await.expect("resumed");
        assert_eq!((resumed.text.as_str(), &resumed.json["stands"]), ("It takes calls.\n", &json!("open")));
        let again = resume(args(), ledger, catalogue, at(9)).await.expect("no change");
        assert_eq!(again.text, "waste was not paused. It takes calls.\n");
    }

    #[tokio::test]
    async fn what_fails_for_the_second_time_is_listed_with_its_system() {
        let seed = Seed::new().await;
        let failure = PollFailure { reason: "answered 503".into(), lasting: false };
        let listed = async || list(&*seed.ledger, &seed.catalogue, at(30)).await.expect("a list");
        seed.ledger.keep_failure(&waste(), Activity::Files, &failure, at(5)).await.expect("kept");
        assert!(!listed().await.text.contains("503"), "the first time it may come right by itself");
        seed.ledger.keep_failure(&waste(), Activity::Files, &failure, at(9)).await.expect("kept");
        let shown = listed().await;
        let told = "    The files of Environmental services could not all be taken since Monday 23 November 2026, 09:05 \
                    (2 times). The last answer: answered 503.";
        assert!(shown.text.contains(told), "{}", shown.text);
        let systems = shown.json["systems"].as_array().expect("systems");
        let waste = systems.iter().find(|system| system["system"] == "waste").expect("waste");
        assert_eq!(
            (&waste["failing"][0]["activity"], &waste["failing"][0]["times"]),
            (&json!("files"), &json!(2))
        );
    }

    #[tokio::test]
    async fn a_system_that_is_not_there_is_a_mistake_with_the_known_ones() {
        let seed = Seed::new().await;
        let args = PauseArgs { system: SystemName::parse("wast").expect("a name"), ..pause_args("jo") };
        let error =
            pause(args, &*seed.ledger, &seed.catalogue, at(5)).await.map(|_| ()).expect_err("refused");
        assert!(error.to_string().contains("no system wast: expected one of"), "{error}");
    }
}
