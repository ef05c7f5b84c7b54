//! The long runs of faults: every row of the matrix with every seed. `tests/faults` starts the parts and runs this.

mod arguments;

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::checker::{HEADER, Tally, Verdict, line};
use tests::matrix::{Played, Row, play};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(mistake) => {
            complain(&mistake);
            return ExitCode::from(2);
        }
    };
    let all = runtime().block_on(run(&arguments));
    let failed = all.iter().filter(|run| !run.verdict.holds()).count();
    if arguments.json {
        let rows: Vec<Value> = all.iter().map(Run::json).collect();
        say(&json!({"runs": all.len(), "failed": failed, "rows": rows}).to_string());
    } else {
        say(&format!("\n{} runs, {failed} failed", all.len()));
    }
    ExitCode::from(u8::from(failed > 0))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// One row with one seed, played.
struct Run {
    row: Row,
    seed: u64,
    verdict: Verdict,
    took: Duration,
}

async fn run(arguments: &Arguments) -> Vec<Run> {
    if !arguments.json {
        say(HEADER);
    }
    let places = Arc::new(Semaphore::new(arguments.at_once));
    let mut plays = JoinSet::new();
    for seed in arguments.seeds.clone() {
        for row in arguments.rows.clone() {
            let places = Arc::clone(&places);
            plays.spawn(async move {
                let _place = places.acquire_owned().await.expect("the places stay");
                let began = Instant::now();
                let playing = row.clone();
                // On a thread of its own, so that a stage that breaks is a row that failed.
                let mut stage = JoinSet::new();
                stage.spawn_blocking(move || runtime().block_on(play(&playing, seed)));
                let played = stage.join_next().await.expect("one play");
                let played = played.unwrap_or_else(|broken| Played {
                    verdict: Verdict {
                        tally: Tally::default(),
                        findings: vec![format!("the stage broke: {}", text(broken))],
                    },
                    took: began.elapsed(),
                    logs: Vec::new(),
                });
                (row, seed, played)
            });
        }
    }
    let mut all = Vec::new();
    while let Some(played) = plays.join_next().await {
        let (row, seed, Played { verdict, took, logs }) = played.expect("a play is reported");
        let run = Run { row, seed, verdict, took };
        run.report(arguments, &logs);
        all.push(run);
    }
    all
}

fn text(broken: tokio::task::JoinError) -> String {
    let panic = broken.into_panic();
    let said = panic.downcast_ref::<String>().cloned();
    said.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

impl Run {
    fn report(&self, arguments: &Arguments, logs: &[String]) {
        if !arguments.json {
            say(&line(&self.row.name, self.seed, &self.verdict.tally, self.took.as_secs_f64()));
        }
        if self.verdict.holds() {
            return;
        }
        for finding in &self.verdict.findings {
            complain(&format!("  {finding}"));
        }
        complain(&format!("  again: tests/faults --only {} --seed {}", self.row.name, self.seed));
        if let Some(folder) = &arguments.logs {
            let file = Path::new(folder).join(format!("{}-{}.log", self.row.name, self.seed));
            let kept = std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&file, logs.join("\n──── the next router ────\n")));
            match kept {
                Ok(()) => complain(&format!("  logs: {}", file.display())),
                Err(error) => complain(&format!("  logs: {} cannot be written: {error}", file.display())),
            }
        }
    }

    fn json(&self) -> Value {
        let Tally {
            published,
            closed,
            held,
            parked,
            open,
            rejected,
            lost,
            delivered_twice,
            applied_twice,
            closed_twice,
        } = self.verdict.tally;
        json!({
            "row": self.row.name, "seed": self.seed, "published": published, "closed": closed, "held": held,
            "parked": parked, "open": open, "rejected": rejected, "lost": lost, "delivered_twice": delivered_twice,
            "applied_twice": applied_twice, "closed_twice": closed_twice, "seconds": self.took.as_secs_f64(),
            "findings": self.verdict.findings,
        })
    }
}

fn say(text: &str) {
    // Where standard output is gone, the exit code is all that is left to say.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
