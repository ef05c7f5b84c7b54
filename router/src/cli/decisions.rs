//! The options of the commands that decide about tickets and systems.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mappings::domain::{Council, Disposition, SystemName, Ticket};

use super::{LedgerArgs, replay, span, words};
use crate::config;

/// Options of `resolve`.
#[derive(Debug, Clone, Args)]
pub struct ResolveArgs {
    /// The ticket's reference in the CRM
    #[arg(value_name = "TICKET")]
    pub ticket: Ticket,
    /// What is decided.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// What the customer is told, with --close; without it, plain words for the disposition
    #[arg(long, value_name = "TEXT", requires = "close")]
    pub say: Option<String>,
    /// A reason code for the closure, with --close
    #[arg(long, value_name = "CODE", requires = "close")]
    pub reason: Option<String>,
    /// The system whose work is parked, where several are
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<SystemName>,
    /// The council whose ticket it is, where several share one Dovetail
    #[arg(long, value_name = "COUNCIL")]
    pub council: Option<Council>,
    /// Why; kept with the ticket
    #[arg(long, value_name = "WHY")]
    pub because: String,
    /// Who decides; without it, the user of this machine
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// What can be asked about systems.
#[derive(Debug, Clone, Subcommand)]
pub enum SystemCommand {
    /// Which systems take calls, which do not and why
    List(LedgerArgs),
    /// Stop calling a system, on all routers; what is due waits
    Pause(PauseArgs),
    /// Call a system again; one that did not answer is tried at once
    Resume(ResumeArgs),
}

/// Options of `system pause`.
#[derive(Debug, Clone, Args)]
pub struct PauseArgs {
    /// The system, by the name of its folder
    #[arg(value_name = "SYSTEM")]
    pub system: SystemName,
    /// Why, for whoever asks where a ticket is
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Who; without it, the user of this shell
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// What is decided about a ticket: one of these.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct ChoiceArgs {
    /// The system has carried out what may have been done; JOB is its reference, which only a closure lacks
    #[arg(long, value_name = "JOB", num_args = 0..=1)]
    pub was_done: Option<Option<mappings::domain::Job>>,
    /// The system has not carried it out: send it, under the same key
    #[arg(long)]
    pub send_again: bool,
    /// Close the ticket so, and give up what is parked of it
    #[arg(long, value_name = "DISPOSITION", value_parser = words::<Disposition>(Disposition::ALL.iter().map(|word| word.as_str())))]
    pub close: Option<Disposition>,
    /// The ticket stays open: it goes on by the rules
    #[arg(long)]
    pub keep_open: bool,
}

/// Options of `replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// Which parked work: system=, class=, reason~"text", since=2h, service=, council=, ticket=, with spaces between
    #[arg(long = "where", value_name = "CONDITIONS")]
    pub conditions: String,
    /// Show what would be replayed and the exact first call; change nothing
    #[arg(long)]
    pub preview: bool,
    /// How many are let go a second, or a minute
    #[arg(long, value_name = "N/s", default_value = "5/s")]
    pub rate: replay::Rate,
    /// Do not send one first and wait for what comes of it
    #[arg(long, overrides_with = "canary")]
    pub no_canary: bool,
    /// Send one first and wait for what comes of it; so it is done anyway
    #[arg(long)]
    pub canary: bool,
    /// How long the first is waited for
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = span)]
    pub patience: config::Span,
    /// A JSON merge patch that puts the request documents right first
    #[arg(long, value_name = "FILE")]
    pub edit: Option<PathBuf>,
    /// Why; kept with each ticket
    #[arg(long, value_name = "WHY", required_unless_present = "preview")]
    pub because: Option<String>,
    /// Who decides; without it, the user of this machine
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Options of `system resume`.
#[derive(Debug, Clone, Args)]
pub struct ResumeArgs {
    /// The system, by the name of its folder
    #[arg(value_name = "SYSTEM")]
    pub system: SystemName,
    /// Who; without it, the user of this shell
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}
