//! `dovetail link`: a person says which ticket news of an unknown job is about.

use jiff::Timestamp;
use mappings::domain::SystemName;
use serde_json::json;

use super::open::Books;
use super::resolve::subject;
use super::{Exit, LinkArgs, Mistake, Shown};
use crate::ledger::{History, Lessee, Link, Resolved};

/// Has the ledger write the link, and hear what waited for it.
///
/// # Errors
/// When the ledger cannot be read or written, or it is not said what is meant.
pub(super) async fn run(args: &LinkArgs, books: &Books, lessee: &Lessee) -> anyhow::Result<Shown> {
    let now = books.ledger.now().await?;
    at(args, books, lessee, now).await
}

/// The same at a given time.
///
/// # Errors
/// As [`run`].
pub(super) async fn at(
    args: &LinkArgs,
    books: &Books,
    lessee: &Lessee,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let ledger = &*books.ledger;
    let (person, history) = subject(&args.ticket, &args.decision, ledger).await?;
    let Some(history) = history else {
        return Ok(not_done(args, "Dovetail does not know the ticket"));
    };
    let system = match &args.system {
        Some(system) => system.clone(),
        None => only_system(args, &history)?,
    };
    let link = Link {
        council: history.line.council.clone(),
        request: history.line.request,
        system: system.clone(),
        named: args.named.trim().to_owned(),
        person,
        at: now,
    };
    match ledger.link(&[link], lessee).await?.replies.pop() {
        Some(Ok(Resolved::Written)) => Ok(done(args, &system)),
        Some(Ok(Resolved::Refused(reason))) => Ok(not_done(args, &reason)),
        Some(Err(unwritable)) => Err(unwritable.into()),
        None => anyhow::bail!("the ledger said nothing"),
    }
}

/// The system that works for the ticket, where it is one.
fn only_system(args: &LinkArgs, history: &History) -> Result<SystemName, Mistake> {
    let mut systems: Vec<&SystemName> =
        history.handovers.iter().filter(|one| !one.closure).map(|one| &one.system).collect();
    systems.dedup();
    match systems.as_slice() {
        [one] => Ok((*one).clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
            let what = format!("{} systems work for {}: {}", names.len(), args.ticket, names.join(", "));
            Err(Mistake::new(what, "name the one that the news came from with --system"))
        }
    }
}

fn done(args: &LinkArgs, system: &SystemName) -> Shown {
    let LinkArgs { named, ticket, .. } = args;
    Shown {
        text: format!("{ticket}: what {system} says of {named} belongs to it from now on.\n"),
        json: json!({"ticket": ticket.as_str(), "system": system.as_str(), "named": named, "linked": true}),
        exit: Exit::Ok,
    }
}

fn not_done(args: &LinkArgs, reason: &str) -> Shown {
    let LinkArgs { named, ticket, .. } = args;
    Shown {
        text: format!("{ticket}: {reason}. Nothing was changed.\n"),
        json: json!({"ticket": ticket.as_str(), "named": named, "linked": false, "reason": reason}),
        exit: Exit::NotOk,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use mappings::domain::{RequestState, Ticket};

    use super::*;
    use crate::cli::{Cli, Command, open};
    use crate::console::tests::seed::Seed;

    async fn linked(seed: &Seed, arguments: &[&str]) -> anyhow::Result<Shown> {
        let fixed = ["--because", "they renumbered it", "--by", "jo"];
        let arguments = ["dovetail", "link"].iter().chain(arguments).chain(&fixed);
        let Command::Link(args) = Cli::parse_from(arguments).command else { panic!("not link") };
        let books = Books { ledger: seed.ledger.clone(), catalogue: seed.catalogue.clone() };
        run(&args, &books, &open::lessee(false)).await
    }

    #[tokio::test]
    async fn news_of_an_unknown_job_is_linked_once_and_closes_its_ticket() {
        let seed = Seed::town().await;
        let shown = linked(&seed, &["9999", "--to", "CRM-3"]).await.expect("shown");
        assert_eq!(shown.exit, Exit::Ok, "{}", shown.text);
        let ticket = Ticket::parse("CRM-3").expect("a ticket");
        let history = seed.ledger.ticket(None, &ticket).await.expect("a read").expect("known");
        assert_eq!(history.line.state, RequestState::Closing);
        let again = linked(&seed, &["9999", "--to", "CRM-4"]).await.expect("shown");
        assert_eq!(
            (again.exit, again.text.as_str()),
            (Exit::NotOk, "CRM-4: 9999 is linked to CRM-3 already. Nothing was changed.\n")
        );
    }

    #[tokio::test]
    async fn what_cannot_be_linked_is_refused_with_its_reason() {
        let seed = Seed::town().await;
        for (arguments, reason) in [
            (&["8888", "--to", "CRM-3"][..], "no news of 8888 from waste waits for its ticket"),
            (&["9999", "--to", "CRM-99"], "Dovetail does not know the ticket"),
            (&["9999", "--to", "CRM-3", "--system", "housing"], "no news of 9999 from housing waits"),
            (&["9999", "--to", "CRM-6"], "waste has not got it yet"),
        ] {
            let shown = linked(&seed, arguments).await.expect("shown");
            assert_eq!(shown.exit, Exit::NotOk);
            assert!(shown.text.contains(reason), "{}", shown.text);
        }
    }
}
