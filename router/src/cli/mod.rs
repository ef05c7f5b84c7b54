//! The command line: what can be asked of `dovetail`, and who answers.

mod arguments;
mod cases;
mod check;
mod columns;
mod dead;
mod exit;
mod handovers;
mod link;
mod lint;
mod means;
mod open;
mod preview;
mod problems;
mod reconcile;
mod replay;
mod report;
mod resolve;
mod scenarios;
mod schema;
mod serve;
mod show;
mod sim;
mod stopped;
mod system;
mod tickets;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use crate::bus::Topology;
use crate::clock;
use crate::config::{self, Config};
use crate::demo;
use crate::ledger::{Direction, Ledger, Lessee};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use mappings::mapping::Catalogue;

use open::Books;

pub use arguments::*;
pub use exit::{Exit, Mistake, report};
pub use means::Means;
pub use problems::{AboutArgs, DismissArgs, ProblemsArgs, ProblemsCommand, RetryArgs, ShowProblemArgs};
pub use report::Grouped;
pub use schema::Described;
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
    /// How to print; csv and open-data are forms of a report
    #[arg(long, global = true, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    pub output: Form,
}

/// The forms that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON value on standard output, for programs.
    Json,
    /// For spreadsheets: a report, one row a group.
    Csv,
    /// To be published: one row a request, without anything about a person.
    OpenData,
}

impl Form {
    /// What it means for a command.
    fn of(self, command: &Command) -> Result<Output, Mistake> {
        match (self, command) {
            (Self::Text, _) | (Self::Csv | Self::OpenData, Command::Report(_)) => Ok(Output::Text),
            (Self::Json, _) => Ok(Output::Json),
            (Self::Csv | Self::OpenData, _) => Err(Mistake::new(
                "--output csv and --output open-data are forms of a report only",
                "ask for dovetail report, or for --output json",
            )),
        }
    }
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
    /// Print the JSON Schema of a submitted request, of what may follow it, or of what an event carries
    Schema(SchemaArgs),
    /// Print the exchanges and queues as definitions that RabbitMQ can import
    Topology,
    /// List tickets, or tell the story of one
    #[command(subcommand)]
    Tickets(TicketsCommand),
    /// Say who owns a ticket's work from now on
    #[command(subcommand)]
    Handover(HandoverCommand),
    /// List what waits for a person: held, parked, not understood; read it, have it read again, or dismiss it
    Problems(ProblemsArgs),
    /// Read, return or drop what the broker has set aside
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Decide about a ticket that is held, or about work of it that is parked
    Resolve(ResolveArgs),
    /// Say which ticket news of work is about that Dovetail did not order
    Link(LinkArgs),
    /// Send parked work again: one first, and when that arrived, the rest at a rate
    Replay(ReplayArgs),
    /// Ask systems about the jobs that are still open, and repair what was not told
    Reconcile(ReconcileArgs),
    /// List the systems, pause one, or let it go on
    #[command(subcommand)]
    System(SystemCommand),
    /// Report what came in, what became of it, how long that took, and where requests wait
    Report(ReportArgs),
    /// Print the completion script of a shell
    Completions(CompletionsArgs),
}

/// Does what was asked.
///
/// # Errors
/// When the command could not do its work; a finding against the thing asked about is an exit code, not an error.
pub async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    let output = global.output.of(&command)?;
    let config = || Config::load(global.config.as_deref());
    // What is named goes before what is configured; neither means the shipped mappings.
    let folder = |named: Option<PathBuf>| match named {
        Some(folder) => Ok::<_, config::Error>(Some(folder)),
        None => config().map(|config| config.mappings.folder().map(Path::to_owned)),
    };
    let shown: Shown = match command {
        Command::Serve(_) => return serve::run(global.config.as_deref()).await,
        Command::Demo(args) => return demo::run(args, output).await,
        Command::Sim(args) => return sim::run(args).await,
        Command::Check(_) => check::run(global.config.as_deref()).await?,
        Command::Lint(args) => lint::run(folder(args.folder)?.as_deref())?,
        Command::Test(TestArgs { mappings, scenarios: Some(path), database }) => {
            let mappings = folder(mappings.folder)?;
            return scenarios::run(&path, database, mappings.as_deref(), output).await;
        }
        Command::Test(args) => cases::run(folder(args.mappings.folder)?.as_deref())?,
        Command::Try(mut args) => {
            args.mappings = folder(args.mappings)?;
            preview::run(&args, clock::host_time())?
        }
        Command::Schema(args) => schema::run(args.described),
        Command::Topology => topology(&config()?.bus.settings().topology),
        Command::Tickets(TicketsCommand::List(args)) => {
            let Books { ledger, catalogue } = open::to_read(&args.ledger, &config()?).await?;
            tickets::list(&args, &*ledger, &catalogue).await?
        }
        Command::Tickets(TicketsCommand::Show(args)) => {
            let Books { ledger, catalogue } = open::to_read(&args.ledger, &config()?).await?;
            let now = ledger.now().await?;
            tickets::show(&args, &*ledger, &catalogue, now).await?
        }
        Command::Handover(command) => {
            let (args, direction) = match command {
                HandoverCommand::Give(args) => (args, Direction::Over),
                HandoverCommand::TakeBack(args) => (args, Direction::Back),
            };
            let config = config()?;
            let books = open::open(&args.ledger, &config).await?;
            handovers::pass_on(args, direction, &books, config.has_bus()).await?
        }
        Command::Tickets(TicketsCommand::StopClosure(args)) => {
            let Books { ledger, .. } = open::open(&args.ticket.ledger, &config()?).await?;
            let now = ledger.now().await?;
            tickets::stop(&args, &*ledger, now).await?
        }
        Command::Problems(args) => problems::run(args, &config()?).await?,
        Command::Dead(command) => dead::run(command, &config()?).await?,
        Command::System(SystemCommand::List(args)) => {
            let Books { ledger, catalogue } = open::to_read(&args, &config()?).await?;
            let now = ledger.now().await?;
            system::list(&*ledger, &catalogue, now).await?
        }
        Command::System(SystemCommand::Pause(args)) => {
            let Books { ledger, catalogue } = open::open(&args.ledger, &config()?).await?;
            let now = ledger.now().await?;
            system::pause(args, &*ledger, &catalogue, now).await?
        }
        Command::System(SystemCommand::Resume(args)) => {
            let Books { ledger, catalogue } = open::open(&args.ledger, &config()?).await?;
            let now = ledger.now().await?;
            system::resume(args, &*ledger, &catalogue, now).await?
        }
        Command::Resolve(args) => {
            let config = config()?;
            let lessee = open::lessee(open::has_bus(&args.decision.ledger, &config));
            resolve::run(&args, &open::open(&args.decision.ledger, &config).await?, &lessee).await?
        }
        Command::Link(args) => {
            let config = config()?;
            let lessee = open::lessee(open::has_bus(&args.decision.ledger, &config));
            link::run(&args, &open::open(&args.decision.ledger, &config).await?, &lessee).await?
        }
        Command::Replay(args) => {
            let config = config()?;
            let lessee = open::lessee(open::has_bus(&args.ledger, &config));
            replay::run(&args, &open::open(&args.ledger, &config).await?, &lessee, output).await?
        }
        Command::Report(args) => {
            let Books { ledger, .. } = open::to_read(&args.ledger, &config()?).await?;
            let now = ledger.now().await?;
            report::run(&args, &*ledger, global.output, now).await?
        }
        Command::Reconcile(args) => reconcile::run(&args, &config()?).await?,
        Command::Completions(args) => completions(args),
    };
    shown.print(output)?;
    Ok(shown.exit.into())
}

/// What `dovetail resolve` does, at a time of the caller's.
pub(crate) async fn resolve_at(
    args: &ResolveArgs,
    (ledger, catalogue): (&Arc<dyn Ledger>, &Arc<Catalogue>),
    lessee: &Lessee,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let books = Books { ledger: Arc::clone(ledger), catalogue: Arc::clone(catalogue) };
    resolve::at(args, &books, lessee, now).await
}

/// What `dovetail link` does, at a time of the caller's.
pub(crate) async fn link_at(
    args: &LinkArgs,
    (ledger, catalogue): (&Arc<dyn Ledger>, &Arc<Catalogue>),
    lessee: &Lessee,
    now: Timestamp,
) -> anyhow::Result<Shown> {
    let books = Books { ledger: Arc::clone(ledger), catalogue: Arc::clone(catalogue) };
    link::at(args, &books, lessee, now).await
}

/// The definitions are JSON in either form.
fn topology(topology: &Topology) -> Shown {
    let json = topology.definitions();
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

/// How many of something are listed at most.
fn most(text: &str) -> Result<usize, String> {
    let expected = || "expected a whole number from 1 up, for example 50".to_owned();
    text.parse().ok().filter(|most| *most > 0).ok_or_else(expected)
}

fn span(text: &str) -> Result<config::Span, String> {
    config::Span::try_from(text.to_owned())
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
    fn a_number_that_cannot_be_is_refused_with_what_is_expected() {
        for arguments in
            [["problems", "--most", "-1"], ["problems", "--most", "0"], ["problems", "--most", "x"]]
        {
            let arguments = ["dovetail"].iter().chain(&arguments);
            let error = Cli::try_parse_from(arguments).expect_err("refused").to_string();
            assert!(error.contains("expected a whole number from 1 up, for example 50"), "{error}");
        }
        for arguments in [&["dead", "list", "--most", "-1"][..], &["tickets", "list", "--most", "-1"]] {
            let arguments = ["dovetail"].iter().chain(arguments);
            let error = Cli::try_parse_from(arguments).expect_err("refused").to_string();
            assert!(error.contains("invalid value '-1' for '--most <N>'"), "{error}");
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
