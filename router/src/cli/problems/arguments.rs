//! The arguments of `dovetail problems`.

use clap::{Args, Subcommand};
use mappings::domain::SystemName;

use crate::cli::{LedgerArgs, most, words};
use crate::ledger::ProblemKind;

/// Problems of each kind that are listed unless another number is given.
pub(super) const MOST: usize = 50;

/// Options of `problems`.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ProblemsArgs {
    /// What is done about some; without it, they are listed
    #[command(subcommand)]
    pub command: Option<ProblemsCommand>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// Only of this kind
    #[arg(long, value_name = "KIND", value_parser = words::<ProblemKind>(ProblemKind::ALL.iter().map(|kind| kind.as_str())))]
    pub kind: Option<ProblemKind>,
    /// Only those of this system, one by one however many they are
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<SystemName>,
    /// Only refused messages of this cause, one by one; the list prints causes
    #[arg(long, value_name = "CAUSE", conflicts_with = "system")]
    pub cause: Option<String>,
    /// Those that come after this place, which the page before prints
    #[arg(long, value_name = "PLACE", requires = "kind")]
    pub after: Option<String>,
    /// How many of each kind at most
    #[arg(long, value_name = "N", default_value_t = MOST, value_parser = most, allow_negative_numbers = true)]
    pub most: usize,
}

/// What can be done about problems.
#[derive(Debug, Clone, Subcommand)]
pub enum ProblemsCommand {
    /// One refused message with its body, and what people did about it
    Show(ShowProblemArgs),
    /// Read refused messages again, after their cause was mended
    Retry(RetryArgs),
    /// Take problems from the list, with the reason, which is kept
    Dismiss(DismissArgs),
}

/// Options of `problems show`.
#[derive(Debug, Clone, Args)]
pub struct ShowProblemArgs {
    /// Its name, or the beginning of it
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Options of `problems retry`.
#[derive(Debug, Clone, Args)]
pub struct RetryArgs {
    /// Their names, or the beginnings of them
    #[arg(value_name = "NAME", required_unless_present = "cause")]
    pub names: Vec<String>,
    /// All refused messages of this cause
    #[arg(long, value_name = "CAUSE", conflicts_with = "names")]
    pub cause: Option<String>,
    /// Who does so, and why.
    #[command(flatten)]
    pub about: AboutArgs,
}

/// Options of `problems dismiss`.
#[derive(Debug, Clone, Args)]
pub struct DismissArgs {
    /// Refused messages, news of work that was not ordered, or contradictions, by their names
    #[arg(value_name = "NAME", required_unless_present_any = ["cause", "orphans"])]
    pub names: Vec<String>,
    /// All refused messages of this cause
    #[arg(long, value_name = "CAUSE", conflicts_with = "names")]
    pub cause: Option<String>,
    /// All news of this system of work that Dovetail did not order
    #[arg(long, value_name = "SYSTEM", conflicts_with_all = ["names", "cause"])]
    pub orphans: Option<SystemName>,
    /// Who does so, and why.
    #[command(flatten)]
    pub about: AboutArgs,
}

/// Who does something about a problem, and why.
#[derive(Debug, Clone, Args)]
pub struct AboutArgs {
    /// Why; kept with the problem
    #[arg(long, value_name = "WHY")]
    pub because: String,
    /// Who; without it, the user of this machine
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}
