//! The `dovetail` command.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use router::cli::{self, Cli, Exit};

/// Much of what a request costs is in small texts that live as long as it does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    run(cli).unwrap_or_else(|error| {
        // Where standard error is gone too, the exit code is all that is left to say.
        let _ = write!(std::io::stderr(), "{}", cli::report(&error));
        Exit::Failed.into()
    })
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    // An error only says that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime could not be started")?;
    let result = runtime.block_on(cli::run(cli));
    // Every part has ended by now. Taking the runtime apart would make lapin's own threads panic over tasks of
    // a connection that never came about; the process ends anyhow.
    std::mem::forget(runtime);
    result
}
