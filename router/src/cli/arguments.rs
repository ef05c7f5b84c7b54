//! The arguments of each command.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mappings::domain::{Council, Disposition, Operation, RequestState, SystemName, Ticket};

use super::means::Means;
use super::{Described, Grouped, most, replay, span, words};
use crate::config;

/// Options of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {}

/// Options of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {}

/// Options of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How many requests to send
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true)]
    pub requests: u32,
    /// End when every ticket is settled; without it, the console stays up until Ctrl-C
    #[arg(long)]
    pub exit: bool,
    /// Send and close through this RabbitMQ, for example amqp://localhost; without it, over HTTP
    #[arg(long, value_name = "URL")]
    pub bus: Option<String>,
    /// Keep the ledger here, for example postgres://localhost/dovetail; without it, in a temporary file
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Number that makes a run repeatable
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
}

/// Options of `sim`.
#[derive(Debug, Clone, Args)]
pub struct SimArgs {
    /// Which back office: housing, revenues, waste, partner or crm
    pub system: SystemName,
    /// Port to listen on; 0 takes a free one and prints it
    #[arg(long, value_name = "PORT", default_value_t = 0, allow_negative_numbers = true)]
    pub port: u16,
    /// Where the router listens, for example http://localhost:8080. What is reported goes to /callbacks/SYSTEM below it
    /// (waste and partner report by themselves); a push that fails is told on standard error
    #[arg(long, value_name = "URL")]
    pub callback: Option<String>,
    /// A fault to show, as name=value; may be given several times
    #[arg(long = "fault", value_name = "NAME=VALUE")]
    pub faults: Vec<String>,
    /// Number that makes a run repeatable
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Of partner: speak Open311 GeoReport v2 and no more, without service request updates
    #[arg(long)]
    pub plain: bool,
}

/// Which mappings are meant.
#[derive(Debug, Clone, Args)]
pub struct FolderArgs {
    /// A mappings folder, its systems folder, or one system's folder; without it, the mappings that serve would use
    #[arg(value_name = "PATH")]
    pub folder: Option<PathBuf>,
}

/// Options of `test`.
#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// The mappings.
    #[command(flatten)]
    pub mappings: FolderArgs,
    /// Play these scenarios instead of the cases: a folder of YAML files, or one file
    #[arg(long, value_name = "PATH")]
    pub scenarios: Option<PathBuf>,
    /// Play them on this PostgreSQL database too, each in a schema of its own
    #[arg(long, value_name = "URL", requires = "scenarios")]
    pub database: Option<String>,
}

/// Options of `try`.
#[derive(Debug, Clone, Args)]
pub struct TryArgs {
    /// A service, for example waste.missed-bin, or the path of a service's YAML file
    #[arg(value_name = "MAPPING")]
    pub mapping: String,
    /// The request as a JSON file; - reads standard input
    #[arg(value_name = "REQUEST")]
    pub request: PathBuf,
    /// What to ask of the system
    #[arg(long, value_name = "OPERATION", default_value = "create", value_parser = words::<Operation>(Operation::ALL.iter().map(|word| word.as_str())))]
    pub operation: Operation,
    /// The mappings folder that holds the service; without it, the mappings that serve would use
    #[arg(long, value_name = "PATH")]
    pub mappings: Option<PathBuf>,
    /// The system's reference of the job, for amend and cancel
    #[arg(long, value_name = "REFERENCE", default_value = "JOB-1")]
    pub job: mappings::domain::Job,
    /// How the work ended, for close
    #[arg(long, value_name = "DISPOSITION", default_value = "completed", value_parser = words::<Disposition>(Disposition::ALL.iter().map(|word| word.as_str())))]
    pub disposition: Disposition,
}

/// What can be asked about tickets.
#[derive(Debug, Clone, Subcommand)]
pub enum TicketsCommand {
    /// The newest tickets
    List(ListArgs),
    /// Where a ticket is, who has it, what they last said and what happens next
    Show(ShowArgs),
    /// Stop a closure that is decided and not sent yet; the ticket is then held for a person
    StopClosure(StopArgs),
}

/// Where the ledger is.
#[derive(Debug, Clone, Args)]
pub struct LedgerArgs {
    /// The ledger's database, postgres://… or sqlite:…; without it, the one the configuration names
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

/// Options of `tickets list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// Only of this council
    #[arg(long, value_name = "COUNCIL")]
    pub council: Option<Council>,
    /// Only in this state
    #[arg(long, value_name = "STATE", value_parser = words::<RequestState>(RequestState::ALL.iter().map(|word| word.as_str())))]
    pub state: Option<RequestState>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = most, allow_negative_numbers = true)]
    pub most: usize,
}

/// Options of `tickets show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// The ticket's reference in the CRM
    #[arg(value_name = "REFERENCE")]
    pub ticket: Ticket,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// The council whose ticket it is, where several share one Dovetail
    #[arg(long, value_name = "COUNCIL")]
    pub council: Option<Council>,
}

/// Options of `tickets stop-closure`.
#[derive(Debug, Clone, Args)]
pub struct StopArgs {
    /// Which ticket.
    #[command(flatten)]
    pub ticket: ShowArgs,
    /// Who stops it, for the record
    #[arg(long, value_name = "NAME")]
    pub by: String,
}

/// What can be said of who owns a ticket's work.
#[derive(Debug, Clone, Subcommand)]
pub enum HandoverCommand {
    /// Another team owns the work from now on
    Give(OwnerArgs),
    /// The work goes back to the contact centre, or to the team that is named
    TakeBack(OwnerArgs),
}

/// Options of `handover give` and `handover take-back`.
#[derive(Debug, Clone, Args)]
pub struct OwnerArgs {
    /// The ticket's reference in the CRM
    #[arg(value_name = "REFERENCE")]
    pub ticket: Ticket,
    /// The system whose work it is
    #[arg(value_name = "SYSTEM")]
    pub system: SystemName,
    /// The team that owns it from now on
    #[arg(long, value_name = "TEAM", requires = "contact")]
    pub team: Option<String>,
    /// How the team is reached
    #[arg(long, value_name = "ADDRESS", requires = "team")]
    pub contact: Option<String>,
    /// Who hears of it when it takes too long
    #[arg(long, value_name = "ADDRESS", requires = "team")]
    pub senior: Option<String>,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    pub by: String,
    /// Why
    #[arg(long, value_name = "WHY")]
    pub because: Option<String>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// The council whose ticket it is, where several share one Dovetail
    #[arg(long, value_name = "COUNCIL")]
    pub council: Option<Council>,
}

/// What can be done with what the broker has set aside.
#[derive(Debug, Clone, Subcommand)]
pub enum DeadCommand {
    /// What there is, and why
    List {
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = most, allow_negative_numbers = true)]
        most: usize,
    },
    /// One message with its headers and its body
    Show(DeadArgs),
    /// Have messages delivered again, as they were published
    Return(DeadArgs),
    /// Drop messages; the ledger keeps each as refused
    Drop(DropArgs),
}

/// Which messages are meant.
#[derive(Debug, Clone, Args)]
pub struct DeadArgs {
    /// The messages, by the beginning of their IDs
    #[arg(value_name = "ID", required_unless_present = "all")]
    pub ids: Vec<String>,
    /// Every one
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
}

/// Options of `dead drop`.
#[derive(Debug, Clone, Args)]
pub struct DropArgs {
    /// Which are dropped.
    #[command(flatten)]
    pub which: DeadArgs,
    /// Why, for whoever looks for them
    #[arg(long, value_name = "WHY")]
    pub because: String,
    /// Who; without it, the user of this shell
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Options of `resolve`.
#[derive(Debug, Clone, Args)]
pub struct ResolveArgs {
    /// The ticket's reference in the CRM
    #[arg(value_name = "TICKET")]
    pub ticket: Ticket,
    /// What is decided.
    #[command(flatten)]
    pub choice: ChoiceArgs,
    /// What the customer is told, with --close or --status-means; without it, plain words for the disposition
    #[arg(long, value_name = "TEXT")]
    pub say: Option<String>,
    /// A reason code, with --close or --status-means
    #[arg(long, value_name = "CODE")]
    pub reason: Option<String>,
    /// With --status-means: print the line that belongs into the mapping, so that the word is known from now on
    #[arg(long, requires = "status_means")]
    pub always: bool,
    /// The system whose work is parked or whose word is meant, where it can be several
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<SystemName>,
    /// Whose ticket it is, who decides and why.
    #[command(flatten)]
    pub decision: DecisionArgs,
}

/// What is said with every decision about a ticket.
#[derive(Debug, Clone, Args)]
pub struct DecisionArgs {
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

/// Options of `link`.
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// The job that the news names, or the reference in it that is not ours; `dovetail problems` lists both
    #[arg(value_name = "JOB")]
    pub named: String,
    /// The ticket that it is about
    #[arg(long = "to", value_name = "TICKET")]
    pub ticket: Ticket,
    /// The system that the news came from; without it, the only one that works for the ticket
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<SystemName>,
    /// Whose ticket it is, who decides and why.
    #[command(flatten)]
    pub decision: DecisionArgs,
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
    /// The word of the system that no mapping knows means this: a disposition, or how far the work is
    #[arg(long, value_name = "MEANING", value_parser = words::<Means>(Means::words()))]
    pub status_means: Option<Means>,
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

/// Options of `reconcile`.
#[derive(Debug, Clone, Args)]
pub struct ReconcileArgs {
    /// Only this system, by the name of its folder; without it, every one that does work
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<SystemName>,
    /// Ask, and only say what there would be to repair
    #[arg(long)]
    pub preview: bool,
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

/// Options of `report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The first day on which the requests came in, for example 2026-11-01; without it, 30 days up to the last
    #[arg(long, value_name = "DAY")]
    pub from: Option<jiff::civil::Date>,
    /// The last day; without it, today
    #[arg(long, value_name = "DAY")]
    pub to: Option<jiff::civil::Date>,
    /// By what they are put together
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Grouped::Service)]
    pub by: Grouped,
    /// Only those of this council
    #[arg(long, value_name = "COUNCIL")]
    pub council: Option<Council>,
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
}

/// Options of `schema`.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// What follows a request, or the event that carries it; the request itself unless given
    #[arg(value_parser = words::<Described>(Described::words()))]
    pub described: Option<Described>,
}

/// Options of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}
