//! The load program: the whole loop through RabbitMQ, the ledger, a back office over HTTP and back, for Dovetail,
//! for a bare floor and for what people write instead, side by side. Every id is checked before a rate is printed.
//!
//! `tests/load` builds what it needs, starts the services and runs it.

mod broker;
mod database;
mod figures;
mod floor;
mod hearing;
mod history;
mod measure;
mod office;
mod plan;
mod plot;
mod process;
mod report;
mod request;
mod subject;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures Dovetail beside a floor and its peers.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Command {
    #[command(subcommand)]
    what: What,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum What {
    /// Measure.
    Run(Box<Options>),
    /// Be the floor: the bare loop that the others are compared with.
    Floor(floor::Options),
}

/// What is measured, and where the parts are.
#[derive(Debug, Clone, clap::Args)]
struct Options {
    /// RabbitMQ.
    #[arg(long)]
    amqp: String,
    /// PostgreSQL, with a database that exists.
    #[arg(long)]
    postgres: String,
    /// The dovetail program.
    #[arg(long)]
    dovetail: PathBuf,
    /// The folder with the mappings of the load program.
    #[arg(long)]
    mappings: PathBuf,
    /// The folder with the Node peer and its modules.
    #[arg(long)]
    node: Option<PathBuf>,
    /// The folder with the FastStream peer.
    #[arg(long)]
    faststream: Option<PathBuf>,
    /// The Python that has FastStream.
    #[arg(long)]
    python: Option<PathBuf>,
    /// A folder for files of the run.
    #[arg(long)]
    folder: PathBuf,
    /// Fewer requests and fewer rounds: some four minutes.
    #[arg(long)]
    quick: bool,
    /// Only these measurements.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// How many requests each measurement of a rate takes.
    #[arg(long, short = 'n')]
    requests: Option<usize>,
    /// How often the rates are measured, in turns.
    #[arg(long)]
    rounds: Option<usize>,
    /// How many closed requests make a long history, in thousands.
    #[arg(long, default_value_t = 500)]
    closed: usize,
    /// How many requests wait in the end where the memory is measured.
    #[arg(long)]
    waiting: Option<usize>,
    /// What the requests' contents are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long after its answer the stub says that a job is done, in milliseconds.
    #[arg(long, default_value_t = 10)]
    work_ms: u64,
    /// Where the plot of rate and latency over time is written (SVG).
    #[arg(long)]
    plot: Option<PathBuf>,
    /// `json`: the last line is one JSON object.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// How the figures are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For people, and one JSON object on the last line.
    Json,
}

/// One part of the measurements. The floor is part of each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Dovetail on PostgreSQL.
    Postgres,
    /// Dovetail on SQLite.
    Sqlite,
    /// Three routers on one PostgreSQL.
    Replicas,
    /// XML, SOAP and form beside JSON.
    Formats,
    /// Node and FastStream, with and without a naive ledger.
    Peers,
    /// The time added at a tenth of the floor's rate.
    Latency,
    /// One system hangs: the others' p99.
    Bulkhead,
    /// The memory with a backlog waiting in the ledger.
    Memory,
    /// The rate with many closed requests in the ledger, and how long one of them takes to be found.
    History,
}

fn main() -> anyhow::Result<ExitCode> {
    // An error only says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let command = Command::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match command.what {
            What::Run(options) => plan::run(*options).await,
            What::Floor(options) => floor::run(options).await.map(|()| ExitCode::SUCCESS),
        }
    });
    // The client's own threads must not find the runtime taken apart under them.
    std::mem::forget(runtime);
    result
}
