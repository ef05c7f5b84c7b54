//! `dovetail tickets`: the newest tickets, and the story of one.

use std::fmt::Write as _;

use jiff::Timestamp;
use mappings::domain::{Council, Ticket};
use mappings::mapping::Catalogue;
use serde_json::{Value, json};

use super::columns::columns;
use super::{Exit, ListArgs, Mistake, ShowArgs, Shown, StopArgs};
use super::{open, stopped};
use crate::ledger::{Filter, History, Ledger, Line, Stop};
use crate::timeline::{self, Story, service_title, when, words};

/// Openings of one reference that are looked through for councils.
const MOST_OPENINGS: usize = 100;

/// Lists tickets, newest first.
///
/// # Errors
/// When the ledger cannot be read.
pub(super) async fn list(
    args: &ListArgs,
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
) -> anyhow::Result<Shown> {
    // One more than is listed tells whether that is all.
    let most = args.most.saturating_add(1);
    let filter = Filter { council: args.council.clone(), state: args.state, most, ..Filter::default() };
    let mut lines = ledger.tickets(&filter).await?;
    let more = lines.len() > args.most;
    lines.truncate(args.most);
    let rows = lines.iter().map(|line| {
        [
            line.ticket.to_string(),
            line.council.to_string(),
            service_title(&line.service, catalogue),
            when::short(line.accepted_at),
            words::standing(line),
        ]
    });
    let mut text = if lines.is_empty() {
        "There are no such tickets.\n".to_owned()
    } else {
        columns(["TICKET", "COUNCIL", "ASKED FOR", "CAME IN", "WHERE IT STANDS"], rows)
    };
    if more {
        let _ = writeln!(
            text,
            "\nThere are more: the newest {} are listed. --most lists more of them, --state and --council fewer.",
            args.most
        );
    }
    Ok(Shown {
        text,
        json: json!({"tickets": lines.iter().map(line_json).collect::<Vec<_>>(), "more": more}),
        exit: Exit::Ok,
    })
}

/// A ticket in a list, for programs.
pub(super) fn line_json(line: &Line) -> Value {
    json!({
        "council": line.council.as_str(),
        "ticket": line.ticket.as_str(),
        "service": line.service.as_str(),
        "state": line.state.as_str(),
        "parked": line.parked,
        "disposition": line.disposition.map(|disposition| disposition.as_str()),
        "reason": line.reason,
        "raised_at": line.raised_at.to_string(),
        "accepted_at": line.accepted_at.to_string(),
        "closed_at": line.closed_at.map(|at| at.to_string()),
    })
}

/// Tells the story of one ticket.
///
/// # Errors
/// When the ledger cannot be read, or several councils have a ticket of that reference.
pub(super) async fn show(
    args: &ShowArgs,
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let council = match &args.council {
        Some(council) => Some(council.clone()),
        None => only_council(&args.ticket, ledger).await?,
    };
    match ledger.ticket(council.as_ref(), &args.ticket).await? {
        Some(history) => {
            let line = &history.line;
            let document = ledger.document(&line.council, line.request).await?.unwrap_or_default();
            let mut shown = shown(&history, &timeline::tell(&history, catalogue, now));
            stopped::add(&mut shown, &stopped::stopped(&history, &document));
            Ok(shown)
        }
        None => Ok(Shown {
            text: format!("Dovetail does not know a ticket {}.\n", args.ticket),
            json: json!({"ticket": args.ticket.as_str(), "found": false}),
            exit: Exit::NotOk,
        }),
    }
}

/// Stops the closure of one ticket.
///
/// # Errors
/// When the ledger cannot be written, or several councils have a ticket of that reference.
pub(super) async fn stop(args: &StopArgs, ledger: &dyn Ledger, now: Timestamp) -> anyhow::Result<Shown> {
    let StopArgs { ticket: ShowArgs { ticket, council, .. }, by } = args;
    let council = match council {
        Some(council) => Some(council.clone()),
        None => only_council(ticket, ledger).await?,
    };
    // Nothing is taken into memory here: a running router publishes what follows.
    let lessee = open::lessee(true);
    let stopped = match council {
        Some(council) => {
            let stop = Stop { council, ticket: ticket.clone(), by: by.clone() };
            ledger.stop_closure(&stop, now, &lessee).await?
        }
        None => false,
    };
    let text = match stopped {
        true => format!("The closure of {ticket} is stopped; the ticket is held.\n"),
        false => format!("There is no closure of {ticket} that can still be stopped.\n"),
    };
    let json = json!({"ticket": ticket.as_str(), "stopped": stopped});
    Ok(Shown { text, json, exit: if stopped { Exit::Ok } else { Exit::NotOk } })
}

/// The council that has a ticket of that reference, where it is one.
pub(super) async fn only_council(ticket: &Ticket, ledger: &dyn Ledger) -> anyhow::Result<Option<Council>> {
    let filter = Filter { ticket: Some(ticket.clone()), most: MOST_OPENINGS, ..Filter::default() };
    let mut councils: Vec<Council> =
        ledger.tickets(&filter).await?.into_iter().map(|line| line.council).collect();
    councils.sort();
    councils.dedup();
    if councils.len() > 1 {
        let names: Vec<&str> = councils.iter().map(Council::as_str).collect();
        let what = format!("several councils have a ticket {ticket}: {}", names.join(", "));
        return Err(Mistake::new(what, "name one with --council").into());
    }
    Ok(councils.pop())
}

fn shown(history: &History, story: &Story) -> Shown {
    let line = &history.line;
    let mut text = format!("Ticket {} ({}): {}\n\n", line.ticket, line.council, story.title);
    let mut fact = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<16}{value}");
    };
    fact("Where is it?", &format!("{}.", story.headline));
    for (index, holder) in story.with_whom.iter().enumerate() {
        let parts = [holder.team.as_deref(), holder.contact.as_deref(), Some(holder.system.as_str())];
        let mut who = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        if let Some(job) = &holder.job {
            let _ = write!(who, "; their reference is {job}");
        }
        fact(if index == 0 { "Who has it?" } else { "" }, &who);
    }
    match &story.last_word {
        Some(word) => {
            let said = word.said.iter().map(|said| format!("“{said}”"));
            let words: Vec<String> = said.chain(word.meaning.clone()).collect();
            fact("Their last word", &format!("{} ({}, {})", words.join(" "), word.who, when::stamp(word.at)));
        }
        None => fact("Their last word", "Nobody has said anything yet."),
    }
    for (index, sentence) in story.next.iter().enumerate() {
        fact(if index == 0 { "What next?" } else { "" }, sentence);
    }
    if let Some(target) = &story.target {
        fact("Target", target);
    }
    if let Some(told) = &story.told {
        fact("Customer told", told);
    }
    text.push_str("\nWhat happened so far\n");
    for entry in &story.entries {
        let _ = writeln!(text, "  {}\n    {}", when::stamp(entry.at), entry.text);
        let said = entry.said.iter().map(|said| format!("“{said}”"));
        for more in said.chain(entry.detail.clone()) {
            let _ = writeln!(text, "    {more}");
        }
    }
    Shown { text, json: story_json(line, story), exit: Exit::Ok }
}

fn story_json(line: &Line, story: &Story) -> Value {
    let mut json = line_json(line);
    json["title"] = json!(story.title);
    json["headline"] = json!(story.headline);
    json["with_whom"] = story
        .with_whom
        .iter()
        .map(|holder| {
            json!({"team": holder.team, "contact": holder.contact, "senior": holder.senior, "system": holder.system, "job": holder.job,
                   "standing": holder.standing})
        })
        .collect();
    json["last_word"] = story.last_word.as_ref().map_or(Value::Null, |word| {
        json!({"who": word.who, "said": word.said, "meaning": word.meaning, "at": word.at.to_string()})
    });
    json["next"] = json!(story.next);
    json["target"] = json!(story.target);
    json["told"] = json!(story.told);
    json["entries"] = story
        .entries
        .iter()
        .map(|entry| {
            json!({"at": entry.at.to_string(), "text": entry.text, "said": entry.said, "detail": entry.detail})
        })
        .collect();
    json
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, TicketsCommand};
    use crate::console::tests::seed::{Seed, at};

    async fn tickets(seed: &Seed, arguments: &[&str]) -> anyhow::Result<Shown> {
        let arguments = ["dovetail", "tickets"].iter().chain(arguments);
        let command = Cli::parse_from(arguments).command;
        let Command::Tickets(command) = command else { panic!("{command:?} is not tickets") };
        match command {
            TicketsCommand::List(args) => list(&args, &*seed.ledger, &seed.catalogue).await,
            TicketsCommand::Show(args) => show(&args, &*seed.ledger, &seed.catalogue, at(30)).await,
            TicketsCommand::StopClosure(args) => stop(&args, &*seed.ledger, at(30)).await,
        }
    }

    #[tokio::test]
    async fn a_ticket_is_told_as_in_the_console_and_as_json() {
        let seed = Seed::town().await;
        let shown = tickets(&seed, &["show", "CRM-3"]).await.expect("shown");
        assert_eq!(shown.exit, Exit::Ok);
        for line in [
            "Ticket CRM-3 (harlow): Missed bin",
            "Where is it?    With Environmental services: it is being worked on.",
            "Who has it?     Waste operations, waste@example.gov.uk, Environmental services (Whitespace); their reference is 1003",
            "Target          2 working days, due Wed 25 Nov 17:00, 2 % used",
            "    Environmental services told us: it is being worked on.",
        ] {
            assert!(shown.text.contains(line), "{line:?} is not in\n{}", shown.text);
        }
        assert_eq!(shown.json["state"], "open");
        assert_eq!(shown.json["last_word"]["meaning"], "A crew is on its way.");
        assert!(!shown.text.contains("Lamb") && !shown.json.to_string().contains("Lamb"));
    }

    #[tokio::test]
    async fn the_call_that_led_to_a_parking_is_shown_without_the_customer() {
        let seed = Seed::town().await;
        let shown = tickets(&seed, &["show", "CRM-5"]).await.expect("shown");
        assert!(shown.text.contains("\nThe call that stopped (waste, data)\n"), "{}", shown.text);
        assert!(shown.text.contains("    POST /worksheets\n"), "{}", shown.text);
        assert!(shown.text.contains("{\"surname\": \"***\"}"), "{}", shown.text);
        assert!(!shown.text.contains("Lamb") && !shown.json.to_string().contains("Lamb"));
        assert_eq!(shown.json["stopped"][0]["class"], "data");
    }

    #[tokio::test]
    async fn a_ticket_that_is_not_known_makes_the_exit_code_1() {
        let seed = Seed::town().await;
        let shown = tickets(&seed, &["show", "CRM-99"]).await.expect("shown");
        assert_eq!((shown.exit, shown.json["found"].as_bool()), (Exit::NotOk, Some(false)));
    }

    #[tokio::test]
    async fn a_ticket_without_a_closure_that_waits_has_none_to_stop() {
        let seed = Seed::town().await;
        let shown =
            tickets(&seed, &["stop-closure", "CRM-3", "--by", "adviser-17"]).await.expect("an answer");
        assert_eq!((shown.exit, shown.json["stopped"].as_bool()), (Exit::NotOk, Some(false)));
    }

    #[tokio::test]
    async fn a_reference_of_several_councils_asks_for_the_council() {
        let seed = Seed::town().await;
        let error = tickets(&seed, &["show", "CRM-7"]).await.expect_err("ambiguous");
        assert_eq!(error.to_string(), "several councils have a ticket CRM-7: epping, harlow");
        let shown = tickets(&seed, &["show", "CRM-7", "--council", "epping"]).await.expect("shown");
        assert!(shown.text.starts_with("Ticket CRM-7 (epping)"), "{}", shown.text);
    }

    #[tokio::test]
    async fn tickets_are_listed_newest_first_and_by_state() {
        let seed = Seed::town().await;
        let all = tickets(&seed, &["list"]).await.expect("listed");
        assert!(all.text.starts_with("TICKET    COUNCIL  ASKED FOR"), "{}", all.text);
        assert_eq!(all.json["tickets"][0]["ticket"], "CRM/8 #é");
        let held = tickets(&seed, &["list", "--state", "held"]).await.expect("listed");
        assert_eq!(held.json["tickets"].as_array().map(Vec::len), Some(1), "{}", held.text);
        assert_eq!(all.json["more"], false);
        let some = tickets(&seed, &["list", "--most", "2"]).await.expect("listed");
        assert_eq!(some.json["tickets"].as_array().map(Vec::len), Some(2));
        assert!(some.text.ends_with("There are more: the newest 2 are listed. --most lists more of them, --state and --council fewer.\n"));
        let none = tickets(&seed, &["list", "--council", "nowhere"]).await.expect("listed");
        assert_eq!(none.text, "There are no such tickets.\n");
    }
}
