//! `dovetail resolve`: a person's decision about one ticket.

use jiff::Timestamp;
use mappings::domain::{
    Council, Disposition, HandoverState, Job, ParkClass, RequestState, SystemName, Ticket,
};
use mappings::mapping::{Catalogue, Meaning};
use serde_json::json;

use super::means::Means;
use super::open::Books;
use super::tickets::only_council;
use super::{DecisionArgs, Exit, Mistake, ResolveArgs, Shown};
use crate::closing::{self, Closure, Grounds};
use crate::config;
use crate::ledger::{
    Choice, Handover, History, Ledger, Lessee, Person, Resolution, Resolved, SeenTicket, Selection, Stuck,
};

/// Has the ledger write the decision.
///
/// # Errors
/// When the ledger cannot be read or written, or it is not said what is meant.
pub(super) async fn run(args: &ResolveArgs, books: &Books, lessee: &Lessee) -> anyhow::Result<Shown> {
    let now = books.ledger.now().await?;
    at(args, books, lessee, now).await
}

/// The same at a given time.
///
/// # Errors
/// As [`run`].
pub(super) async fn at(
    args: &ResolveArgs,
    books: &Books,
    lessee: &Lessee,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let ledger = &*books.ledger;
    let (person, history) = subject(&args.ticket, &args.decision, ledger).await?;
    let Some(history) = history else {
        return Ok(not_done(args, "Dovetail does not know the ticket"));
    };
    let line = &history.line;
    let choice = match choice(args, &history, books).await? {
        Ok(choice) => choice,
        Err(reason) => return Ok(not_done(args, &reason)),
    };
    let resolution =
        Resolution { council: line.council.clone(), request: line.request, person, at: now, choice };
    let pasted = pasted(args, &resolution.choice);
    let again = tried_again(args, &resolution.choice, &history);
    match ledger.resolve(&[resolution], lessee).await?.replies.pop() {
        Some(Ok(Resolved::Written)) => Ok(with_line(done(args, &line.council, again), pasted)),
        Some(Ok(Resolved::Refused(reason))) => Ok(not_done(args, &reason)),
        Some(Err(unwritable)) => Err(unwritable.into()),
        None => anyhow::bail!("the ledger said nothing"),
    }
}

/// Who decides, and what is known of the ticket that is meant.
///
/// # Errors
/// When nobody is named, the ledger cannot be read, or several councils have a ticket of that reference.
pub(super) async fn subject(
    ticket: &Ticket,
    decision: &DecisionArgs,
    ledger: &dyn Ledger,
) -> anyhow::Result<(Person, Option<History>)> {
    let person = person(decision.by.as_deref(), &decision.because)?;
    let council = match &decision.council {
        Some(council) => Some(council.clone()),
        None => only_council(ticket, ledger).await?,
    };
    Ok((person, ledger.ticket(council.as_ref(), ticket).await?))
}

/// Who decides, and why.
///
/// # Errors
/// When nobody is named and the system knows no user either, or a text is empty.
pub(super) fn person(by: Option<&str>, because: &str) -> Result<Person, Mistake> {
    let user = || config::variable("USER").or_else(|| config::variable("LOGNAME"));
    let name = by.map(str::to_owned).or_else(user).unwrap_or_default().trim().to_owned();
    if name.is_empty() {
        return Err(Mistake::new("it is not known who decides", "give your name with --by"));
    }
    let because = because.trim().to_owned();
    if because.is_empty() {
        return Err(Mistake::new("--because is empty", "say why: it is kept with the ticket"));
    }
    Ok(Person { name, because })
}

/// What is decided, or why it cannot be.
async fn choice(
    args: &ResolveArgs,
    history: &History,
    books: &Books,
) -> anyhow::Result<Result<Choice, String>> {
    let line = &history.line;
    let decision = &args.choice;
    let spoken = args.say.is_some() || args.reason.is_some();
    if spoken && decision.close.is_none() && decision.status_means.is_none() {
        return Err(Mistake::new(
            "--say and --reason tell how it ends",
            "give them with --close or --status-means",
        )
        .into());
    }
    let seen = SeenTicket { state: line.state, reason: line.reason.clone() };
    if let Some(disposition) = decision.close {
        if line.state == RequestState::Closing
            && let Some(closure) = history.handovers.iter().rfind(|handover| handover.closure)
        {
            return closing_again(args, closure, history, &*books.ledger).await;
        }
        let say = args.say.clone().unwrap_or_else(|| closing::plain(disposition).to_owned());
        let crm = books.catalogue.crm_of(&line.council).cloned();
        let closure =
            Closure { disposition, reason: args.reason.clone(), say, crm, grounds: Grounds::default() };
        return Ok(Ok(Choice::Close { seen, closure }));
    }
    if let Some(means) = decision.status_means {
        return status_means(args, means, history, &books.catalogue, seen);
    }
    if decision.keep_open {
        return Ok(Ok(Choice::KeepOpen { seen }));
    }
    let stuck = match only_stuck(args, history, &*books.ledger).await? {
        Ok(stuck) => stuck,
        Err(reason) => return Ok(Err(reason)),
    };
    if decision.send_again {
        return Ok(Ok(Choice::SendAgain { seen: stuck.seen() }));
    }
    let job: Option<Job> = decision.was_done.clone().flatten();
    let closure = history.handovers.iter().any(|handover| handover.id == stuck.handover && handover.closure);
    if job.is_none() && !closure {
        return Err(Mistake::new(
            format!("{} has a reference of its own for the work", stuck.system),
            "give it: --was-done JOB; news of the work is known by it",
        )
        .into());
    }
    Ok(Ok(Choice::WasDone { seen: stuck.seen(), job }))
}

/// What it means to close a ticket whose closure is decided and has not been taken by the CRM: where the CRM refused it or
/// could not be reached, it is tried again.
async fn closing_again(
    args: &ResolveArgs,
    closure: &Handover,
    history: &History,
    ledger: &dyn Ledger,
) -> anyhow::Result<Result<Choice, String>> {
    let system = &closure.system;
    let as_decided = history.line.disposition;
    let decided = as_decided.map_or("ended", |disposition| disposition.as_str());
    match closure.state {
        HandoverState::Due => {
            return Ok(Err(format!(
                "that it closes as {decided} is decided, and {system} is told so; if that fails, it is tried again by \
                 itself"
            )));
        }
        HandoverState::Awaiting | HandoverState::Ended => return Ok(Err("it is closed already".to_owned())),
        HandoverState::Parked => {}
    }
    let reason = closure.reason.as_deref().unwrap_or("no reason was kept");
    let ways = "with --send-again in place of --close the closure is tried again; with --was-done, somebody has closed \
                the ticket there by hand";
    if closure.class == Some(ParkClass::Uncertain) {
        return Ok(Err(format!("{system} may have closed it already ({reason}). Look there: {ways}")));
    }
    let other = args.say.is_some() || args.reason.is_some() || as_decided != args.choice.close;
    if other {
        return Ok(Err(format!(
            "it was decided before that it closes as {decided}, and {system} did not take that: {reason}. That cannot be \
             decided anew: {ways}"
        )));
    }
    let stuck = only_stuck(args, history, ledger).await?;
    Ok(stuck.map(|stuck| Choice::SendAgain { seen: stuck.seen() }))
}

/// What is said where a closure that was not taken is tried again.
fn tried_again(args: &ResolveArgs, choice: &Choice, history: &History) -> Option<String> {
    let disposition = args.choice.close?;
    let Choice::SendAgain { seen } = choice else { return None };
    let closure = history.handovers.iter().find(|handover| handover.id == seen.handover);
    let reason = closure.and_then(|closure| closure.reason.as_deref()).unwrap_or("no reason was kept");
    Some(format!(
        "that it closes as {disposition} was decided before, and {} did not take that: {reason}. It is tried again now",
        seen.system
    ))
}

/// The word that is meant, with what it means.
fn status_means(
    args: &ResolveArgs,
    means: Means,
    history: &History,
    catalogue: &Catalogue,
    seen: SeenTicket,
) -> anyhow::Result<Result<Choice, String>> {
    let unknown = match unknown_word(args, history, catalogue)? {
        Ok(unknown) => unknown,
        Err(reason) => return Ok(Err(reason)),
    };
    let (system, said) = unknown;
    let meaning = means.meaning(args.reason.clone(), args.say.clone());
    let meaning = match catalogue.system(&system) {
        Some(system) => closing::of_service(system, &history.line.service, meaning),
        None => meaning,
    };
    Ok(Ok(Choice::StatusMeans { seen, system, said, meaning }))
}

/// What a system said last that no mapping knows.
fn unknown_word(
    args: &ResolveArgs,
    history: &History,
    catalogue: &Catalogue,
) -> Result<Result<(SystemName, String), String>, Mistake> {
    let service = &history.line.service;
    let unknown = history.handovers.iter().filter(|handover| !handover.closure).filter_map(|handover| {
        let (said, _) = handover.said.as_ref()?;
        let system = catalogue.system(&handover.system)?;
        let meaning = system.meaning(Some(service), said, None);
        let named = args.system.as_ref().is_none_or(|named| *named == handover.system);
        (named && meaning == Meaning::Unrecognised).then(|| (handover.system.clone(), said.clone()))
    });
    let mut unknown: Vec<(SystemName, String)> = unknown.collect();
    if unknown.len() > 1 {
        let systems: Vec<&str> = unknown.iter().map(|(system, _)| system.as_str()).collect();
        let what = format!("several systems said words that no mapping knows: {}", systems.join(", "));
        return Err(Mistake::new(what, "name the system with --system"));
    }
    let nothing = "no system said a word about it that the mapping does not know";
    Ok(unknown.pop().ok_or_else(|| nothing.to_owned()))
}

/// The parked handover that is meant.
async fn only_stuck(
    args: &ResolveArgs,
    history: &History,
    ledger: &dyn Ledger,
) -> anyhow::Result<Result<Stuck, String>> {
    let selection = Selection {
        ticket: Some(args.ticket.clone()),
        council: Some(history.line.council.clone()),
        system: args.system.clone(),
        ..Selection::default()
    };
    let mut stuck = ledger.parked(&selection, 100).await?;
    stuck.retain(|stuck| stuck.request == history.line.request);
    let systems: Vec<&str> = stuck.iter().map(|stuck| stuck.system.as_str()).collect();
    if systems.len() > 1 {
        let what = format!("several handovers of {} are parked: {}", args.ticket, systems.join(", "));
        return Err(Mistake::new(what, "name the system with --system").into());
    }
    let at = args.system.as_ref().map(|system| format!(" at {system}")).unwrap_or_default();
    Ok(stuck.pop().ok_or_else(|| format!("nothing of it is parked{at}")))
}

fn decided(args: &ResolveArgs) -> (&'static str, String) {
    let decision = &args.choice;
    if let Some(means) = decision.status_means {
        return ("status_means", format!("the word means {} for this ticket", means.as_str()));
    }
    let closed = |disposition: Disposition| format!("the ticket closes as {disposition}");
    match (&decision.was_done, decision.send_again, decision.close) {
        (Some(_), _, _) => ("was_done", "it was done; news of it is awaited".to_owned()),
        (None, true, _) => ("send_again", "it is sent again".to_owned()),
        (None, false, Some(disposition)) => ("close", closed(disposition)),
        (None, false, None) => ("keep_open", "the ticket is open again".to_owned()),
    }
}

fn done(args: &ResolveArgs, council: &Council, tried_again: Option<String>) -> Shown {
    let (word, text) = decided(args);
    let (word, text) = match tried_again {
        Some(text) => ("send_again", text),
        None => (word, text),
    };
    Shown {
        text: format!("{}: {text}.\n", args.ticket),
        json: json!({"ticket": args.ticket.as_str(), "council": council.as_str(), "decision": word,
                     "resolved": true}),
        exit: Exit::Ok,
    }
}

/// The file of the mapping and the line that a person may paste into it, where that was asked for.
fn pasted(args: &ResolveArgs, choice: &Choice) -> Option<(String, String)> {
    let means = args.choice.status_means.filter(|_| args.always)?;
    let Choice::StatusMeans { system, said, .. } = choice else { return None };
    let line = means.line(said, args.reason.as_deref(), args.say.as_deref());
    Some((format!("systems/{system}/system.yaml"), line))
}

fn with_line(mut shown: Shown, pasted: Option<(String, String)>) -> Shown {
    let Some((file, line)) = pasted else { return shown };
    shown.text +=
        &format!("For the word to be known from now on, put this line below statuses: in {file}\n{line}\n");
    shown.json["mapping"] = json!({"file": file, "line": line.trim()});
    shown
}

fn not_done(args: &ResolveArgs, reason: &str) -> Shown {
    let ticket: &Ticket = &args.ticket;
    Shown {
        text: format!("{ticket}: {reason}. Nothing was changed.\n"),
        json: json!({"ticket": ticket.as_str(), "decision": decided(args).0, "resolved": false,
                     "reason": reason}),
        exit: Exit::NotOk,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command, open};
    use crate::console::tests::seed::Seed;
    use crate::ledger::Next;
    use clap::Parser as _;

    async fn resolved(seed: &Seed, arguments: &[&str]) -> anyhow::Result<Shown> {
        let fixed = ["--because", "I called them", "--by", "jo"];
        let arguments = ["dovetail", "resolve"].iter().chain(arguments).chain(&fixed);
        let Command::Resolve(args) = Cli::parse_from(arguments).command else { panic!("not resolve") };
        let books = Books { ledger: seed.ledger.clone(), catalogue: seed.catalogue.clone() };
        run(&args, &books, &open::lessee(false)).await
    }

    async fn history(seed: &Seed, ticket: &str) -> History {
        let ticket = Ticket::parse(ticket).expect("a ticket");
        seed.ledger.ticket(None, &ticket).await.expect("a read").expect("known")
    }

    #[tokio::test]
    async fn a_held_ticket_is_closed_once_with_words_for_the_customer() {
        let seed = Seed::town().await;
        let shown = resolved(&seed, &["CRM-4", "--close", "declined"]).await.expect("shown");
        assert_eq!((shown.exit, shown.text.as_str()), (Exit::Ok, "CRM-4: the ticket closes as declined.\n"));
        let known = history(&seed, "CRM-4").await;
        assert_eq!(known.line.state, RequestState::Closing);
        assert_eq!(known.say.as_deref(), Some("We are not able to do this work."));
        let again = resolved(&seed, &["CRM-4", "--close", "declined"]).await.expect("shown");
        assert_eq!(again.exit, Exit::NotOk);
        assert!(
            again.text.contains("that it closes as declined is decided, and crm is told so"),
            "{}",
            again.text
        );
    }

    /// A ticket whose closure the CRM did not take.
    async fn not_taken(seed: &Seed, class: ParkClass) {
        seed.delivered("harlow", "CRM-30", "3030").await;
        let (_, mut work) = seed.heard("3030", "Completed", None).await;
        let next = Next::Park { class, reason: "answered 403: no permission to resolve".to_owned() };
        seed.settled(work.remove(0), "rejected", Some("answered 403"), next).await;
    }

    #[tokio::test]
    async fn a_closure_that_the_crm_refused_is_tried_again_by_closing_once_more() {
        let seed = Seed::town().await;
        not_taken(&seed, ParkClass::Refused).await;
        let other = resolved(&seed, &["CRM-30", "--close", "declined"]).await.expect("shown");
        assert_eq!(other.exit, Exit::NotOk);
        assert!(
            other.text.contains(
                "decided before that it closes as completed, and crm did not take that: answered 403"
            )
        );
        assert!(other.text.contains("--send-again"), "{}", other.text);
        let again = resolved(&seed, &["CRM-30", "--close", "completed"]).await.expect("shown");
        assert_eq!(again.exit, Exit::Ok, "{}", again.text);
        assert!(again.text.ends_with("no permission to resolve. It is tried again now.\n"), "{}", again.text);
        let known = history(&seed, "CRM-30").await;
        let closure = known.handovers.iter().find(|handover| handover.closure).expect("a closure");
        assert_eq!((known.line.state, closure.state), (RequestState::Closing, HandoverState::Due));
    }

    #[tokio::test]
    async fn a_closure_that_may_have_been_taken_is_not_tried_again_without_a_look() {
        let seed = Seed::town().await;
        not_taken(&seed, ParkClass::Uncertain).await;
        let shown = resolved(&seed, &["CRM-30", "--close", "completed"]).await.expect("shown");
        assert_eq!(shown.exit, Exit::NotOk);
        assert!(shown.text.contains("crm may have closed it already") && shown.text.contains("--was-done"));
        let closed = resolved(&seed, &["CRM-1", "--close", "completed"]).await.expect("shown");
        assert!(closed.text.ends_with("it is closed already. Nothing was changed.\n"), "{}", closed.text);
    }

    #[tokio::test]
    async fn a_handover_that_may_have_been_done_asks_for_its_reference() {
        let seed = Seed::town().await;
        seed.parked("CRM-20", ParkClass::Uncertain, "the answer was lost").await;
        let error = resolved(&seed, &["CRM-20", "--was-done"]).await.expect_err("a mistake");
        assert_eq!(error.to_string(), "waste has a reference of its own for the work");
        let shown = resolved(&seed, &["CRM-20", "--was-done", "2020"]).await.expect("shown");
        assert_eq!(shown.json["resolved"], true, "{}", shown.text);
        assert_eq!(history(&seed, "CRM-20").await.handovers[0].job, Job::parse("2020").ok());
        let shown = resolved(&seed, &["CRM-20", "--send-again"]).await.expect("shown");
        assert!(shown.text.contains("nothing of it is parked"), "{}", shown.text);
    }

    #[tokio::test]
    async fn a_word_that_no_mapping_knows_is_given_a_meaning_for_its_ticket() {
        let seed = Seed::town().await;
        seed.heard("1003", "Zzz", None).await;
        assert_eq!(history(&seed, "CRM-3").await.line.state, RequestState::Held);
        let arguments = ["CRM-3", "--status-means", "completed", "--say", "It is done.", "--always"];
        let shown = resolved(&seed, &arguments).await.expect("shown");
        let line = "  \"Zzz\": {disposition: completed, say: \"It is done.\"}\n";
        assert_eq!(
            shown.text,
            format!(
                "CRM-3: the word means completed for this ticket.\nFor the word to be known from now on, put this \
                 line below statuses: in systems/waste/system.yaml\n{line}"
            )
        );
        let known = history(&seed, "CRM-3").await;
        assert_eq!((known.line.state, known.say.as_deref()), (RequestState::Closing, Some("It is done.")));
        let shown = resolved(&seed, &["CRM-4", "--status-means", "completed"]).await.expect("shown");
        assert!(shown.text.contains("no system said a word about it"), "{}", shown.text);
        let error = resolved(&seed, &["CRM-4", "--keep-open", "--say", "x"]).await.expect_err("a mistake");
        assert_eq!(error.to_string(), "--say and --reason tell how it ends");
    }

    #[test]
    fn nobody_decides_without_a_name_and_a_reason() {
        assert!(person(Some(" "), "x").is_err());
        let error = person(Some("jo"), " ").expect_err("a mistake");
        assert_eq!(error.to_string(), "--because is empty");
    }
}
