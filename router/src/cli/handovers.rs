//! `dovetail handover`: who owns a ticket's work from now on.

use mappings::mapping::Owner;
use serde_json::json;

use super::open::{self, Books};
use super::tickets::only_council;
use super::{Exit, Mistake, OwnerArgs, Shown};
use crate::ledger::{Direction, OwnerChange, OwnerChanged};

/// Writes who owns the work; where there is a bus, the routers publish it.
///
/// # Errors
/// When the ledger cannot be written, or it is not clear whose ticket or which team is meant.
pub(super) async fn pass_on(
    args: OwnerArgs,
    direction: Direction,
    books: &Books,
    has_bus: bool,
) -> anyhow::Result<Shown> {
    let Books { ledger, catalogue } = books;
    let council = match &args.council {
        Some(council) => Some(council.clone()),
        None => only_council(&args.ticket, &**ledger).await?,
    };
    let Some(council) = council else { return Ok(unknown(&args)) };
    let named = args.team.clone().zip(args.contact.clone());
    let named = named.map(|(team, contact)| Owner { team, contact, senior: args.senior.clone() });
    let owner = match (named, direction) {
        (Some(owner), _) => owner,
        (None, Direction::Back) => catalogue.contact_centre(&council).cloned().ok_or_else(|| {
            let what = format!("targets.yaml names no contact_centre for {council}");
            Mistake::new(what, "name the team with --team and --contact")
        })?,
        (None, Direction::Over) => {
            let what = "a handover to nobody";
            return Err(Mistake::new(what, "name the team with --team and --contact").into());
        }
    };
    let change = OwnerChange {
        council: council.clone(),
        ticket: args.ticket.clone(),
        system: args.system.clone(),
        direction,
        owner: owner.clone(),
        by: args.by.clone(),
        reason: args.because.clone(),
        at: ledger.now().await?,
    };
    let lessee = open::lessee(has_bus);
    let written = ledger.change_owner(&[change], &lessee).await?;
    let reply = match written.replies.into_iter().next() {
        Some(reply) => reply?,
        None => OwnerChanged::NoSuchTicket,
    };
    let text = match reply {
        OwnerChanged::Written => {
            format!("{} has the work of {} at {} now.\n", owner.team, args.ticket, args.system)
        }
        OwnerChanged::NoSuchTicket => return Ok(unknown(&args)),
        OwnerChanged::NoSuchHandover => {
            format!("Ticket {} was never handed over to {}.\n", args.ticket, args.system)
        }
        OwnerChanged::Closed => format!("Ticket {} is closed: nobody has work of it.\n", args.ticket),
    };
    let exit = if reply == OwnerChanged::Written { Exit::Ok } else { Exit::NotOk };
    let json = json!({
        "council": council.as_str(), "ticket": args.ticket.as_str(), "system": args.system.as_str(),
        "written": reply == OwnerChanged::Written,
        "owner": {"team": owner.team, "contact": owner.contact, "senior": owner.senior},
    });
    Ok(Shown { text, json, exit })
}

fn unknown(args: &OwnerArgs) -> Shown {
    Shown {
        text: format!("Dovetail does not know a ticket {}.\n", args.ticket),
        json: json!({"ticket": args.ticket.as_str(), "found": false}),
        exit: Exit::NotOk,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command, HandoverCommand, TicketsCommand};
    use crate::console::tests::seed::{Seed, at};

    async fn handover(seed: &Seed, arguments: &[&str]) -> anyhow::Result<Shown> {
        let arguments = ["dovetail", "handover"].iter().chain(arguments);
        let command = Cli::parse_from(arguments).command;
        let Command::Handover(command) = command else { panic!("{command:?} is not handover") };
        let (args, direction) = match command {
            HandoverCommand::Give(args) => (args, Direction::Over),
            HandoverCommand::TakeBack(args) => (args, Direction::Back),
        };
        let books = Books { ledger: Arc::clone(&seed.ledger), catalogue: Arc::clone(&seed.catalogue) };
        pass_on(args, direction, &books, false).await
    }

    #[tokio::test]
    async fn work_that_is_passed_on_is_told_with_its_new_owner() {
        let seed = Seed::town().await;
        let given = handover(
            &seed,
            &["give", "CRM-3", "waste", "--team", "Parks", "--contact", "parks@example.org", "--by", "Ann"],
        );
        let given = given.await.expect("written");
        assert_eq!(
            (given.exit, given.text.as_str()),
            (Exit::Ok, "Parks has the work of CRM-3 at waste now.\n")
        );
        let Command::Tickets(TicketsCommand::Show(show)) =
            Cli::parse_from(["dovetail", "tickets", "show", "CRM-3"]).command
        else {
            panic!("tickets show")
        };
        let shown =
            super::super::tickets::show(&show, &*seed.ledger, &seed.catalogue, at(30)).await.expect("shown");
        assert!(shown.text.contains("Parks, parks@example.org"), "{}", shown.text);
        assert!(shown.text.contains("Ann handed it over to Parks."), "{}", shown.text);
    }

    #[tokio::test]
    async fn what_cannot_be_passed_on_says_why() {
        let seed = Seed::town().await;
        let error =
            handover(&seed, &["take-back", "CRM-3", "waste", "--by", "Ann"]).await.expect_err("no team");
        assert!(error.to_string().contains("names no contact_centre for harlow"), "{error}");
        let team = ["--team", "Desk", "--contact", "desk@example.org", "--by", "Ann"];
        let none =
            handover(&seed, &[&["take-back", "CRM-99", "waste"], &team[..]].concat()).await.expect("said");
        assert_eq!((none.exit, none.json["found"].as_bool()), (Exit::NotOk, Some(false)));
        let other =
            handover(&seed, &[&["give", "CRM-3", "housing"], &team[..]].concat()).await.expect("said");
        assert_eq!(other.text, "Ticket CRM-3 was never handed over to housing.\n");
    }
}
