//! `dovetail reconcile`: asks systems about the jobs that are still open, and repairs what was not told.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use connectors::Connector;
use mappings::mapping::{Catalogue, Role, System};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::open::{self, Books};
use super::{Exit, Mistake, ReconcileArgs, Shown};
use crate::clock::Clock;
use crate::complete::Listener;
use crate::config::{self, Config};
use crate::dispatch::{Asker, Halts};
use crate::ledger::Writer;
use crate::library;
use crate::reconcile::{Difference, Reconciler, Report, Step, Verdict};

/// Asks the systems that are meant, one after the other.
///
/// # Errors
/// When there is no such system, the mappings cannot be used, or the ledger fails.
pub(super) async fn run(args: &ReconcileArgs, config: &Config) -> anyhow::Result<Shown> {
    let Books { ledger, .. } = open::open(&args.ledger, config).await?;
    // Unlike a command that only reads, this one calls: it needs the credentials.
    let sources = library::read(config.mappings.folder())?;
    let books = Books {
        ledger,
        catalogue: Arc::new(library::compile_only(&sources, &config.mappings.systems, &config::resolve)?),
    };
    with(args, &books, open::has_bus(&args.ledger, config)).await
}

async fn with(args: &ReconcileArgs, books: &Books, has_bus: bool) -> anyhow::Result<Shown> {
    let systems = meant(args, &books.catalogue)?;
    let lessee = open::lessee(has_bus);
    let (_keep, halts) = watch::channel(Halts::of(books.ledger.halts().await?));
    let (events, _) = mpsc::unbounded_channel();
    let (work, _) = mpsc::unbounded_channel();
    let (writer, writes) = Writer::new(Arc::clone(&books.ledger), lessee.clone(), events, work);
    let stop = CancellationToken::new();
    let asking = async {
        let mut steps = Vec::new();
        for system in systems {
            let reconciler = Reconciler {
                listener: Listener {
                    catalogue: Arc::clone(&books.catalogue),
                    system: system.name.clone(),
                    connector: Asker::alone(Arc::new(Connector::new(system)?)),
                    ledger: Arc::clone(&books.ledger),
                    writer: writer.clone(),
                    clock: Clock::started_at(books.ledger.now().await?),
                    halts: halts.clone(),
                },
                worker: lessee.worker,
                rate: system.limits.rate,
            };
            let step = if args.preview { reconciler.preview().await } else { reconciler.at_once().await };
            steps.push((system, step.with_context(|| format!("{} could not be reconciled", system.name))?));
        }
        anyhow::Ok(steps)
    };
    tokio::select! {
        steps = asking => Ok(shown(&steps?, args.preview)),
        () = writes.run(stop) => anyhow::bail!("the ledger's writes ended"),
    }
}

/// The systems that are meant: the one that is named, or all that do work.
fn meant<'c>(args: &ReconcileArgs, catalogue: &'c Catalogue) -> Result<Vec<&'c System>, Mistake> {
    let Some(name) = &args.system else {
        let work = catalogue.systems().filter(|system| system.role == Role::BackOffice);
        return Ok(work.map(AsRef::as_ref).collect());
    };
    let found = catalogue.system(name).ok_or_else(|| {
        let names: Vec<&str> = catalogue.systems().map(|system| system.name.as_str()).collect();
        Mistake::new(
            format!("there is no system {name}: expected one of {}", names.join(", ")),
            "dovetail system list shows them; --config names other mappings",
        )
    })?;
    Ok(vec![found.as_ref()])
}

fn shown(steps: &[(&System, Step)], preview: bool) -> Shown {
    let (mut text, mut systems, mut exit) = (String::new(), Vec::new(), Exit::Ok);
    for (system, step) in steps {
        let name = &system.name;
        let (word, mut json) = match step {
            Step::Done(report) => {
                let _ = writeln!(text, "{name}: {}.", told(report, preview));
                for difference in &report.differences {
                    let _ = writeln!(text, "  {}", differs(difference, preview));
                }
                if let Some(why) = &report.stopped {
                    let _ = writeln!(text, "  Not all were asked about: {why}");
                }
                ("asked", report.json())
            }
            Step::PutOff(why) => {
                let _ = writeln!(text, "{name}: put off. {why}");
                ("put_off", json!({"why": why}))
            }
            Step::NoWay => {
                let _ = writeln!(
                    text,
                    "{name}: cannot be asked: its mapping has no completion.status. Look at its open work by hand."
                );
                ("no_way", json!({}))
            }
            Step::Busy | Step::Idle => {
                let _ = writeln!(
                    text,
                    "{name}: a router is asking it now. `dovetail system list` shows the result."
                );
                ("busy", json!({}))
            }
        };
        if needs_somebody(step) {
            exit = Exit::NotOk;
        }
        json["system"] = name.as_str().into();
        json["outcome"] = word.into();
        systems.push(json);
    }
    if preview {
        text.push_str("Nothing was changed.\n");
    }
    Shown { text, json: json!({"preview": preview, "systems": Value::Array(systems)}), exit }
}

/// Whether something is left that did not come right by itself.
fn needs_somebody(step: &Step) -> bool {
    match step {
        Step::Done(report) => {
            report.stopped.is_some()
                || report.counts.keys().any(|verdict| !matches!(verdict, Verdict::Agreed | Verdict::Repaired))
        }
        Step::PutOff(_) => true,
        Step::NoWay | Step::Busy | Step::Idle => false,
    }
}

/// The numbers, in a sentence without its full stop.
fn told(report: &Report, preview: bool) -> String {
    let jobs = if report.asked() == 1 { "job" } else { "jobs" };
    let mut parts = vec![format!("asked about {} open {jobs}", report.asked())];
    for (verdict, count) in &report.counts {
        let words = match verdict {
            Verdict::Agreed => "are open there, too",
            Verdict::Repaired if preview => "would be repaired",
            Verdict::Repaired => "repaired",
            Verdict::Held if preview => "would be held for a person",
            Verdict::Held => "held for a person",
            Verdict::Unknown => "not known there",
            Verdict::Unreadable => "not understood",
            Verdict::Unanswered => "not answered",
        };
        parts.push(format!("{count} {words}"));
    }
    parts.join(", ")
}

fn differs(difference: &Difference, preview: bool) -> String {
    let Difference { council, ticket, job, verdict, detail } = difference;
    let what = match verdict {
        Verdict::Agreed => "is open there, too".to_owned(),
        Verdict::Repaired if preview => format!("ended as “{detail}”"),
        Verdict::Repaired => format!("had ended as “{detail}”, which was not told; repaired"),
        Verdict::Held => format!("stands as “{detail}”, about which a person must decide"),
        Verdict::Unknown => "is not known there; nothing was changed, a person must look".to_owned(),
        Verdict::Unreadable => format!("was answered in a way that is not understood: {detail}"),
        Verdict::Unanswered => format!("was not answered: {detail}"),
    };
    format!("{ticket} ({council}), job {job}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::LedgerArgs;
    use crate::console::tests::seed::{Seed, at};
    use crate::ledger::Switch;
    use mappings::domain::SystemName;

    fn args(system: Option<&str>) -> ReconcileArgs {
        let system = system.map(|name| SystemName::parse(name).expect("a name"));
        ReconcileArgs { system, preview: false, ledger: LedgerArgs { database: None } }
    }

    #[tokio::test]
    async fn a_system_that_cannot_be_asked_or_is_paused_is_told_as_such() {
        let seed = Seed::new().await;
        let switch = Switch::Pause { by: "jo".into(), reason: None };
        let housing = SystemName::parse("housing").expect("a name");
        seed.ledger.switch(&housing, &switch, at(0)).await.expect("paused");
        let books = Books { ledger: Arc::clone(&seed.ledger), catalogue: Arc::clone(&seed.catalogue) };
        let all = with(&args(None), &books, false).await.expect("shown");
        assert!(
            all.text.contains("waste: cannot be asked: its mapping has no completion.status"),
            "{}",
            all.text
        );
        assert!(all.text.contains("housing: put off. Housing repairs is paused by jo"), "{}", all.text);
        assert_eq!(all.exit, Exit::NotOk);
        let error = with(&args(Some("wast")), &books, false).await.map(|_| ()).expect_err("refused");
        assert!(error.to_string().contains("there is no system wast: expected one of"), "{error}");
    }
}
