//! The command line: what can be asked of `dovetail`, and who answers.

mod cases;
mod check;
mod columns;
mod exit;
mod lint;
mod open;
mod preview;
mod problems;
mod scenarios;
mod serve;
mod show;
mod sim;
mod tickets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::bus::Topology;
use crate::clock;
use crate::config::{self, Config};
use crate::demo;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use mappings::domain::{Council, Disposition, Operation, RequestState, SystemName, Ticket};

use open::Books;

pub use exit::{Exit, Mistake, report};
pub use show::Shown;

const EXIT_CODES: &str = "\
Exit codes:
  0  it is as it should be
  1  the thing asked about is not: a case failed, a mapping has errors, a ticket is not known
  2  the command could not do its work: a mistake in usage or configuration, or a part that failed";

/// Joins a council's ticket system to the back offices that do the work.
#[derive(Debug, Parser)]
#[command(name = "dovetail", version, about, after_help = EXIT_CODES, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What is asked.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Configuration file; without it, the built-in settings hold
    #[arg(long, global = true, value_name = "FILE", env = "DOVETAIL_CONFIG")]
    pub config: Option<PathBuf>,
    /// How to print
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON value on standard output, for programs.
    Json,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run: take requests in, hand them over, close their tickets
    Serve(ServeArgs),
    /// Show the whole loop on this machine, with simulated back offices and nothing to install
    Demo(DemoArgs),
    /// Run one simulated back office to test against
    Sim(SimArgs),
    /// Look for mistakes in mappings
    Lint(FolderArgs),
    /// Run the cases that stand beside the mappings, or scenarios
    Test(TestArgs),
    /// Print the exact call a mapping makes of a request; nothing is sent
    Try(TryArgs),
    /// Connect to everything the configuration names, and say what can be reached
    Check(CheckArgs),
    /// Print the JSON Schema of a submitted request
    Schema,
    /// Print the exchanges and queues as definitions that RabbitMQ can import
    Topology,
    /// List tickets, or tell the story of one
    #[command(subcommand)]
    Tickets(TicketsCommand),
    /// List what waits for a person: held, parked, not understood
    Problems(ProblemsArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
}

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
    #[arg(long, value_name = "N", default_value_t = 200)]
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
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

/// Options of `sim`.
#[derive(Debug, Clone, Args)]
pub struct SimArgs {
    /// Which back office: housing, revenues, waste, partner or crm
    pub system: SystemName,
    /// Port to listen on; 0 takes a free one and prints it
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Where to report completions, for example http://localhost:8080/callbacks/waste
    #[arg(long, value_name = "URL")]
    pub callback: Option<String>,
    /// A fault to show, as name=value; may be given several times
    #[arg(long = "fault", value_name = "NAME=VALUE")]
    pub faults: Vec<String>,
    /// Number that makes a run repeatable
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
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
    #[arg(long, value_name = "N", default_value_t = 20)]
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

/// Options of `problems`.
#[derive(Debug, Clone, Args)]
pub struct ProblemsArgs {
    /// Where the ledger is.
    #[command(flatten)]
    pub ledger: LedgerArgs,
    /// How many of each kind at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub most: usize,
}

/// Options of `completions`.
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Does what was asked.
///
/// # Errors
/// When the command could not do its work; a finding against the thing asked about is an exit code, not an error.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    let config = || Config::load(global.config.as_deref());
    // What is named goes before what is configured; neither means the shipped mappings.
    let folder = |named: Option<PathBuf>| match named {
        Some(folder) => Ok::<_, config::Error>(Some(folder)),
        None => config().map(|config| config.mappings.folder().map(Path::to_owned)),
    };
    let shown: Shown = match command {
        Command::Serve(_) => return serve::run(global.config.as_deref()).await,
        Command::Demo(args) => return demo::run(args, global.output).await,
        Command::Sim(args) => return sim::run(args).await,
        Command::Check(_) => check::run(global.config.as_deref()).await?,
        Command::Lint(args) => lint::run(folder(args.folder)?.as_deref())?,
        Command::Test(TestArgs { mappings, scenarios: Some(path), database }) => {
            let mappings = folder(mappings.folder)?;
            return scenarios::run(&path, database, mappings.as_deref(), global.output).await;
        }
        Command::Test(args) => cases::run(folder(args.mappings.folder)?.as_deref())?,
        Command::Try(mut args) => {
            args.mappings = folder(args.mappings)?;
            preview::run(&args, clock::host_time())?
        }
        Command::Schema => schema(),
        Command::Topology => topology(&config()?.bus.settings().topology),
        Command::Tickets(TicketsCommand::List(args)) => {
            let Books { ledger, catalogue } = open::open(&args.ledger, &config()?).await?;
            tickets::list(&args, &*ledger, &catalogue).await?
        }
        Command::Tickets(TicketsCommand::Show(args)) => {
            let Books { ledger, catalogue } = open::open(&args.ledger, &config()?).await?;
            let now = ledger.now().await?;
            tickets::show(&args, &*ledger, &catalogue, now).await?
        }
        Command::Tickets(TicketsCommand::StopClosure(args)) => {
            let Books { ledger, .. } = open::open(&args.ticket.ledger, &config()?).await?;
            let now = ledger.now().await?;
            tickets::stop(&args, &*ledger, now).await?
        }
        Command::Problems(args) => {
            let Books { ledger, catalogue } = open::open(&args.ledger, &config()?).await?;
            problems::list(&args, &*ledger, &catalogue).await?
        }
        Command::Completions(args) => completions(args),
    };
    shown.print(global.output)?;
    Ok(shown.exit.into())
}

/// The definitions are JSON in either form.
fn topology(topology: &Topology) -> Shown {
    let json = topology.definitions();
    Shown { text: format!("{json:#}\n"), json, exit: Exit::Ok }
}

fn schema() -> Shown {
    let json = mappings::domain::schema();
    Shown { text: format!("{json:#}\n"), json, exit: Exit::Ok }
}

fn completions(args: CompletionsArgs) -> Shown {
    let mut script = Vec::new();
    let mut command = <Cli as clap::CommandFactory>::command();
    clap_complete::generate(args.shell, &mut command, "dovetail", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Shown {
        json: serde_json::json!({"shell": args.shell.to_string(), "script": script}),
        text: script,
        exit: Exit::Ok,
    }
}

/// A parser of one of our own words, which help and completions list.
fn words<T>(known: impl Iterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: std::str::FromStr<Err = mappings::domain::InvalidId> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(known).try_map(|word| word.parse::<T>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        <Cli as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn every_shell_has_completions_that_name_the_commands() {
        for shell in <clap_complete::Shell as ValueEnum>::value_variants() {
            let shown = completions(CompletionsArgs { shell: *shell });
            assert!(shown.text.contains("topology"), "{shell}");
        }
    }

    #[test]
    fn a_word_that_is_not_ours_is_refused_with_the_known_ones() {
        let error =
            Cli::try_parse_from(["dovetail", "tickets", "list", "--state", "lost"]).expect_err("refused");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("open, held, closing, closed"), "{error}");
    }
}
