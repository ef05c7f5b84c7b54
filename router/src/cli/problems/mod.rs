//! `dovetail problems`: what waits for a person, and what a person does about it.

mod arguments;
mod one;
mod retry;
mod words;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use mappings::mapping::Catalogue;
use serde_json::{Value, json};

use self::arguments::MOST;
pub use self::arguments::{
    AboutArgs, DismissArgs, ProblemsArgs, ProblemsCommand, RetryArgs, ShowProblemArgs,
};
use self::words::{as_json, told};
use super::open::{self, Books};
use super::{Exit, Mistake, Shown, dead};
use crate::config::Config;
use crate::ledger::{Ledger, Problem, ProblemKind, ProblemPage, ProblemSearch, ProblemTally};
use crate::timeline::{self, Halted, Inquired, Remedy, argument, halted, inquired};

/// Lists problems, or does something about some.
///
/// # Errors
/// When the ledger cannot be read or written, or it is not said what is meant.
pub(super) async fn run(args: ProblemsArgs, config: &Config) -> anyhow::Result<Shown> {
    match args.command {
        None => {
            let Books { ledger, catalogue } = open::to_read(&args.ledger, config).await?;
            let now = ledger.now().await?;
            // The broker and the systems as a whole stand at the head of the first page.
            let dead = if is_first(&args) { dead::count(config).await } else { Ok(None) };
            list(&args, &*ledger, &catalogue, now, dead).await
        }
        Some(ProblemsCommand::Show(args)) => {
            let Books { ledger, .. } = open::to_read(&args.ledger, config).await?;
            one::show(&args, &*ledger).await
        }
        Some(ProblemsCommand::Dismiss(args)) => {
            let Books { ledger, .. } = open::open(&args.about.ledger, config).await?;
            let now = ledger.now().await?;
            one::dismiss(&args, &*ledger, now).await
        }
        Some(ProblemsCommand::Retry(args)) => retry::run(&args, config).await,
    }
}

/// Whether all kinds are asked for, from the first on.
fn is_first(args: &ProblemsArgs) -> bool {
    args.kind.is_none() && args.system.is_none() && args.cause.is_none() && args.after.is_none()
}

/// Lists what waits for a person, by kind.
///
/// # Errors
/// When the ledger cannot be read.
async fn list(
    args: &ProblemsArgs,
    ledger: &dyn Ledger,
    catalogue: &Catalogue,
    now: Timestamp,
    dead: anyhow::Result<Option<u64>>,
) -> anyhow::Result<Shown> {
    if args.after.is_some() && args.kind.is_none() {
        return Err(Mistake::new(
            "--after is a place in the list of one kind",
            "name it with --kind; the end of each list prints the command for what follows",
        )
        .into());
    }
    let search = ProblemSearch {
        kind: args.kind,
        singly: false,
        system: args.system.clone(),
        cause: args.cause.clone(),
        of_others: timeline::of_others(catalogue),
        after: args.after.clone(),
        most: args.most,
    };
    let page = ledger.find_problems(&search).await?;
    if !is_first(args) {
        return Ok(shown(&page, (&[], &[]), catalogue, args));
    }
    let halted = halted(&ledger.halts().await?, catalogue, now);
    let inquired = inquired(&ledger.asked().await?, catalogue, now);
    let Shown { text, mut json, exit } = shown(&page, (&halted, &inquired), catalogue, args);
    // A broker that is away keeps nobody from what the ledger knows.
    let (told, count) = match dead {
        Ok(None | Some(0)) => (String::new(), json!(0)),
        Ok(Some(count)) => (
            format!(
                "The broker has set {} aside.\n  to see them: dovetail dead list\n\n",
                words::number(count, "message", "messages")
            ),
            json!(count),
        ),
        Err(error) => (format!("What the broker has set aside is not known: {error}.\n\n"), Value::Null),
    };
    json["dead_letters"] = count;
    Ok(Shown { text: told + &text, json, exit })
}

fn shown(
    page: &ProblemPage,
    (halted, inquired): (&[Halted], &[Inquired]),
    catalogue: &Catalogue,
    args: &ProblemsArgs,
) -> Shown {
    let mut text = String::new();
    for halted in halted {
        let _ = writeln!(text, "{}\n", halted.text);
    }
    let unknown = by_word(&page.problems, catalogue);
    for ((system, word), tickets) in &unknown {
        let (tickets, times) = (tickets.join(", "), tickets.len());
        let _ = writeln!(
            text,
            "{system} said “{word}”, which no mapping knows ({times} of those below: {tickets})\n  What it means can be \
             said for each; with --always, the line for the mapping is printed too.\n"
        );
    }
    for Inquired { system, attention, can_be_compared, .. } in
        inquired.iter().filter(|one| !one.attention.is_empty())
    {
        for text_of in attention {
            let _ = writeln!(text, "{text_of}");
        }
        if *can_be_compared {
            let _ = writeln!(text, "  to compare again: dovetail reconcile --system {system}");
        }
        text.push('\n');
    }
    for problem in &page.problems {
        let _ = writeln!(text, "{}", told(problem, catalogue));
        for Remedy { when, command } in timeline::remedies(problem, catalogue) {
            let _ = writeln!(text, "  {when}: {command}");
        }
        text.push('\n');
    }
    let attention = inquired.iter().any(|one| !one.attention.is_empty());
    let more: Vec<_> =
        page.tallies.iter().filter_map(|tally| Some((tally, next_page(tally, args)?))).collect();
    let total: u64 = page.tallies.iter().map(|tally| tally.total).sum();
    let tickets = [ProblemKind::Held, ProblemKind::Parked, ProblemKind::Contradiction];
    let any_ticket = page.tallies.iter().any(|tally| tickets.contains(&tally.kind));
    if total > 0 {
        let counts = page.tallies.iter().map(|tally| format!("{} {}", tally.total, tally.kind.as_str()));
        let waits = if total == 1 { "waits" } else { "wait" };
        let _ = writeln!(text, "{total} {waits} for a person: {}.", counts.collect::<Vec<_>>().join(", "));
        for (tally, command) in &more {
            let _ = writeln!(text, "{} more {}: {command}", tally.left, tally.kind.as_str());
        }
        if any_ticket {
            text.push_str("`dovetail tickets show REFERENCE` tells a ticket's story.\n");
        }
    } else if is_first(args) && attention {
        text.push_str("No ticket waits for a person.\n");
    } else if is_first(args) {
        text.push_str("Nothing waits for a person.\n");
    } else {
        text.push_str("Nothing of that kind waits for a person.\n");
    }
    let counts = page.tallies.iter().map(|tally| (tally.kind.as_str().to_owned(), json!(tally.total)));
    Shown {
        text,
        json: json!({
            "problems": page.problems.iter().map(|problem| with_remedies(problem, catalogue)).collect::<Vec<_>>(),
            "total": total,
            "counts": counts.collect::<serde_json::Map<_, _>>(),
            "more": more.iter().map(|(tally, command)| json!({
                "kind": tally.kind.as_str(), "left": tally.left, "after": tally.next, "command": command,
            })).collect::<Vec<_>>(),
            "unknown_words": unknown.iter().map(|((system, word), tickets)| {
                json!({"system": system, "said": word, "tickets": tickets})
            }).collect::<Vec<_>>(),
            "systems": halted.iter().map(halted_json).collect::<Vec<_>>(),
            "open_jobs": inquired.iter().filter(|one| !one.attention.is_empty()).map(|one| json!({
                "system": one.system.as_str(), "attention": one.attention,
            })).collect::<Vec<_>>(),
        }),
        exit: Exit::Ok,
    }
}

/// The command that lists what comes after.
fn next_page(tally: &ProblemTally, args: &ProblemsArgs) -> Option<String> {
    let after = tally.next.as_deref()?;
    let mut command = format!("dovetail problems --kind {}", tally.kind.as_str());
    if let Some(system) = &args.system {
        let _ = write!(command, " --system {system}");
    }
    if let Some(cause) = &args.cause {
        let _ = write!(command, " --cause {}", argument(cause));
    }
    if args.most != MOST {
        let _ = write!(command, " --most {}", args.most);
    }
    let _ = write!(command, " --after {}", argument(after));
    Some(command)
}

/// The held tickets of each word that no mapping knows.
fn by_word<'p>(problems: &'p [Problem], catalogue: &Catalogue) -> BTreeMap<(&'p str, &'p str), Vec<&'p str>> {
    let mut words: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for problem in problems {
        let Problem::Held { line, .. } = problem else { continue };
        for (system, word) in timeline::unknown_words(problem, catalogue) {
            words.entry((system.as_str(), word)).or_default().push(line.ticket.as_str());
        }
    }
    words
}

fn halted_json(halted: &Halted) -> Value {
    json!({
        "system": halted.system.as_str(), "stands": halted.why, "why": halted.text,
        "until": halted.until.map(|until| until.to_string()),
    })
}

fn with_remedies(problem: &Problem, catalogue: &Catalogue) -> Value {
    let mut json = as_json(problem);
    let remedies = timeline::remedies(problem, catalogue);
    json["remedies"] = remedies
        .into_iter()
        .map(|Remedy { when, command }| json!({"when": when, "command": command}))
        .collect();
    json
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::console::tests::seed::{Seed, at};

    fn args(arguments: &[&str]) -> ProblemsArgs {
        let command = Cli::parse_from(["dovetail", "problems"].iter().chain(arguments)).command;
        let Command::Problems(args) = command else { panic!("{command:?} is not problems") };
        args
    }

    async fn listed(seed: &Seed, arguments: &[&str]) -> Shown {
        let listed = list(&args(arguments), &*seed.ledger, &seed.catalogue, at(30), Ok(None)).await;
        listed.expect("listed")
    }

    #[tokio::test]
    async fn what_waits_for_a_person_is_listed_with_kind_and_reason() {
        let seed = Seed::town().await;
        let shown = listed(&seed, &[]).await;
        let kinds: Vec<&str> = shown.json["problems"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|problem| problem["kind"].as_str())
            .collect();
        assert_eq!(kinds, ["held", "parked", "orphan", "refused"]);
        assert!(shown.text.contains("Uprn: nothing at $.location.uprn."), "{}", shown.text);
        assert!(shown.text.contains("location.uprn: a number"), "{}", shown.text);
        for command in [
            "dovetail resolve CRM-4 --council harlow --close DISPOSITION --because WHY",
            "dovetail resolve CRM-4 --council harlow --keep-open --because WHY",
            "dovetail replay --where 'ticket=CRM-5 council=harlow system=waste' --edit FILE --because WHY",
            "dovetail link 9999 --system waste --to TICKET --because WHY",
        ] {
            assert!(shown.text.contains(command), "{command}: {}", shown.text);
        }
        assert!(shown.json["problems"][1]["remedies"][0]["command"].is_string());
    }

    #[tokio::test]
    async fn words_that_no_mapping_knows_are_listed_with_their_tickets_and_what_can_be_done() {
        let seed = Seed::new().await;
        for (ticket, job) in [("CRM-1", "1"), ("CRM-2", "2")] {
            seed.delivered("harlow", ticket, job).await;
            seed.heard(job, "Zzz", None).await;
        }
        let shown = listed(&seed, &[]).await;
        assert!(
            shown
                .text
                .starts_with("waste said “Zzz”, which no mapping knows (2 of those below: CRM-2, CRM-1)\n")
        );
        assert_eq!(shown.json["unknown_words"][0]["said"], "Zzz");
        let command =
            "dovetail resolve CRM-1 --council harlow --system waste --status-means MEANING --because WHY";
        assert!(shown.text.contains(command), "{}", shown.text);
    }

    #[tokio::test]
    async fn nothing_to_do_is_said() {
        let seed = Seed::new().await;
        assert_eq!(listed(&seed, &[]).await.text, "Nothing waits for a person.\n");
        assert_eq!(
            listed(&seed, &["--kind", "held"]).await.text,
            "Nothing of that kind waits for a person.\n"
        );
    }

    #[tokio::test]
    async fn a_list_that_is_longer_than_a_page_says_how_much_is_left_and_the_command_for_it() {
        let seed = Seed::new().await;
        for number in 1..=5 {
            seed.delivered("harlow", &format!("CRM-{number}"), &number.to_string()).await;
            seed.heard(&number.to_string(), "Not Out", None).await;
        }
        let mut arguments = vec!["--most".to_owned(), "2".to_owned()];
        let mut seen = Vec::new();
        for left in [3, 1, 0] {
            let given: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let shown = listed(&seed, &given).await;
            let tickets = shown.json["problems"].as_array().expect("problems").iter();
            seen.extend(tickets.map(|problem| problem["ticket"]["ticket"].to_string()));
            assert!(shown.text.contains("5 wait for a person: 5 held."), "{}", shown.text);
            let Some(command) = shown.json["more"][0]["command"].as_str() else {
                assert_eq!(left, 0, "{}", shown.text);
                break;
            };
            assert!(shown.text.contains(&format!("{left} more held: {command}\n")), "{}", shown.text);
            arguments = next(command);
        }
        seen.sort();
        assert_eq!(seen, [1, 2, 3, 4, 5].map(|number| format!("\"CRM-{number}\"")));
    }

    /// The arguments of a command that was printed.
    fn next(command: &str) -> Vec<String> {
        let arguments = command.strip_prefix("dovetail problems ").expect("the command");
        arguments.split(' ').map(|word| word.trim_matches('\'').to_owned()).collect()
    }

    #[tokio::test]
    async fn what_could_not_be_understood_is_shown_retried_and_dismissed_by_the_commands_that_are_printed() {
        let seed = Seed::new().await;
        let name = seed.refused_body("CRM-9", event("waste.noise")).await;
        let listed_now = listed(&seed, &["--kind", "refused"]).await;
        assert_eq!(listed_now.json["problems"][0]["name"], name.as_str());
        for command in ["show", "retry", "dismiss"] {
            assert!(
                listed_now.text.contains(&format!("dovetail problems {command} {name}")),
                "{}",
                listed_now.text
            );
        }
        let shown = done(&seed, &["show", &name[..6]]).await;
        assert!(
            shown.text.contains("CRM-9") && shown.text.contains("\"specversion\":\"1.0\""),
            "{}",
            shown.text
        );
        let again = done(&seed, &["retry", &name, "--because", "mended", "--by", "jo"]).await;
        assert_eq!(again.exit, Exit::NotOk, "{}", again.text);
        assert_eq!(again.json["retried"][0]["taken"], false);
        assert!(again.text.contains("is refused again: service: no route for waste.noise"), "{}", again.text);
        let gone = done(&seed, &["dismiss", &name, "--because", "a test", "--by", "jo"]).await;
        assert_eq!((gone.exit, gone.text.as_str()), (Exit::Ok, "1 problem was dismissed.\n"));
        assert_eq!(listed(&seed, &["--kind", "refused"]).await.json["total"], 0);
        let shown = done(&seed, &["show", &name]).await;
        assert!(shown.text.contains("dismissed by jo: a test"), "{}", shown.text);
        let none = done(&seed, &["dismiss", "ffffffff", "--because", "x", "--by", "jo"]).await;
        assert_eq!(none.exit, Exit::NotOk);
        assert!(none.text.contains("ffffffff: no such problem waits."), "{}", none.text);
    }

    #[tokio::test]
    async fn a_request_that_was_refused_is_taken_when_it_is_read_again_after_its_cause_was_mended() {
        let seed = Seed::new().await;
        let name = seed.refused_body("CRM-40", event("waste.missed-bin")).await;
        let again = done(&seed, &["retry", &name, "--because", "there is a route now", "--by", "jo"]).await;
        assert_eq!((again.exit, again.text), (Exit::Ok, format!("{name}: CRM-40 was taken.\n")));
        assert_eq!(listed(&seed, &[]).await.json["total"], 0);
        let shown = done(&seed, &["show", &name]).await;
        assert!(shown.text.contains("retried by jo: there is a route now"), "{}", shown.text);
        assert!(shown.json["settled"]["how"] == "put right", "{}", shown.json);
        let twice = done(&seed, &["retry", &name, "--because", "again", "--by", "jo"]).await;
        assert!(twice.text.contains("it was put right already"), "{}", twice.text);
    }

    /// A request as an event in structured mode.
    fn event(service: &str) -> Vec<u8> {
        let data = json!({
            "ticket": "CRM-40", "council": "harlow", "service": service, "summary": "Bin",
            "raised_at": at(0).to_string(),
        });
        let event = json!({
            "specversion": "1.0", "id": "e1", "source": "/crm/harlow", "data": data,
            "type": "uk.dovetail.request.submitted.v1",
        });
        event.to_string().into_bytes()
    }

    async fn done(seed: &Seed, arguments: &[&str]) -> Shown {
        let books = Books { ledger: seed.ledger.clone(), catalogue: seed.catalogue.clone() };
        match args(arguments).command.expect("a command") {
            ProblemsCommand::Show(args) => one::show(&args, &*seed.ledger).await.expect("shown"),
            ProblemsCommand::Dismiss(args) => {
                one::dismiss(&args, &*seed.ledger, at(40)).await.expect("dismissed")
            }
            ProblemsCommand::Retry(args) => {
                let person = crate::cli::resolve::person(Some("jo"), &args.about.because).expect("a person");
                let config = Config::defaults().expect("defaults");
                retry::with(&args, &books, person, (&config, false)).await.expect("retried")
            }
        }
    }
}
