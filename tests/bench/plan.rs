//! What is measured in which order. Subjects take turns, so that a slow minute of the machine meets all of them.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::figures::Figures;
use crate::measure::Stand;
use crate::request::Format;
use crate::subject::{Memory, Subject};
use crate::{Options, Output, Part, plot, report};

/// The sizes of a run.
struct Size {
    requests: usize,
    rounds: usize,
    lasts: Duration,
    turns: usize,
    backlog: usize,
}

/// Measures, prints, and says by the exit code whether everything was verified.
pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let size = Size {
        requests: options.requests.unwrap_or(if options.quick { 8_000 } else { 30_000 }),
        rounds: options.rounds.unwrap_or(3),
        lasts: Duration::from_secs(if options.quick { 8 } else { 30 }),
        turns: if options.quick { 2 } else { 3 },
        backlog: options.waiting.unwrap_or(if options.quick { 20_000 } else { 100_000 }),
    };
    let mut figures = Figures::default();
    let mut out = std::io::stdout();
    let measured = measure(&options, &size, &mut figures).await;
    if let Err(error) = &measured {
        writeln!(std::io::stderr(), "not verified: {error:#}")?;
        if options.output == Output::Json {
            let failed =
                serde_json::json!({"verified": false, "error": format!("{error:#}"), "seed": options.seed});
            writeln!(out, "{failed}")?;
        }
        return Ok(ExitCode::FAILURE);
    }
    write!(out, "{}", report::table(&figures))?;
    if let Some(file) = &options.plot {
        std::fs::write(file, plot::svg(&figures)).with_context(|| format!("{}", file.display()))?;
    }
    if options.output == Output::Json {
        writeln!(out, "{}", report::json(&figures, options.seed, size.requests))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(options: &Options, size: &Size, figures: &mut Figures) -> anyhow::Result<()> {
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let mut stand = Stand::new(options);
    // It takes as long as all the rest of a quick run.
    let aged = if options.only.is_empty() { !options.quick } else { wanted(Part::History) };
    if aged {
        say(&format!("a history of {} thousand closed requests", options.closed));
        stand.grow_old(options.closed).await?;
    }
    for round in 0..size.rounds {
        rate(&mut stand, figures, round, Subject::Floor, Format::Json, size.requests).await?;
        let mut subjects = Vec::new();
        if wanted(Part::Postgres) || aged {
            subjects.push(Subject::Postgres(1));
        }
        if aged {
            subjects.push(Subject::Aged);
        }
        if wanted(Part::Sqlite) {
            subjects.push(Subject::Sqlite);
        }
        if wanted(Part::Peers) {
            subjects.push(Subject::Node(Memory::NaiveLedger));
        }
        // In quick runs, what no goal names is measured once.
        let seldom = !options.quick || round == 0;
        if wanted(Part::Peers) && seldom {
            subjects.push(Subject::Node(Memory::Nothing));
            subjects.push(Subject::FastStream(Memory::Nothing));
            subjects.push(Subject::FastStream(Memory::NaiveLedger));
        }
        if wanted(Part::Replicas) && seldom {
            subjects.push(Subject::Postgres(3));
        }
        for subject in subjects {
            // The slow one is given less, or most of the run would be spent on it.
            let count = match subject {
                Subject::FastStream(_) => size.requests / 4,
                Subject::Floor
                | Subject::Postgres(_)
                | Subject::Aged
                | Subject::Sqlite
                | Subject::Node(_) => size.requests,
            };
            rate(&mut stand, figures, round, subject, Format::Json, count).await?;
        }
        if wanted(Part::Formats) && seldom {
            for format in Format::ALL.into_iter().filter(|format| *format != Format::Json) {
                rate(&mut stand, figures, round, Subject::Postgres(1), format, size.requests).await?;
            }
        }
    }
    if aged {
        say("closed tickets are shown");
        figures.found = Some((options.closed, stand.found().await?));
        stand.forget().await?;
    }
    figures.tenth = figures.median("floor", |rate| rate.rate).unwrap_or_default() / 10.0;
    if wanted(Part::Latency) {
        for _ in 0..size.turns {
            for subject in [Subject::Floor, Subject::Postgres(1)] {
                say(&format!("{} at {:.0} a second", subject.name(), figures.tenth));
                let delay = stand.delay(subject, figures.tenth, size.lasts).await?;
                figures.delays.entry(subject.name().to_owned()).or_default().push(delay);
            }
        }
    }
    if wanted(Part::Bulkhead) {
        for _ in 0..size.turns {
            for (name, hangs) in [("calm", false), ("hanging", true)] {
                say(&format!("neighbours of a system that is {name}"));
                let delay = stand.neighbours(hangs, figures.tenth, size.lasts).await?;
                figures.delays.entry(name.to_owned()).or_default().push(delay);
            }
        }
    }
    if wanted(Part::Memory) {
        say(&format!("memory with {} waiting", size.backlog));
        figures.backlog = Some(stand.backlog(size.backlog).await?);
    }
    Ok(())
}

async fn rate(
    stand: &mut Stand<'_>,
    figures: &mut Figures,
    round: usize,
    subject: Subject,
    format: Format,
    count: usize,
) -> anyhow::Result<()> {
    let name = match format {
        Format::Json => subject.name(),
        Format::Xml | Format::Soap | Format::Form => format.word(),
    };
    let rate = stand.rate(subject, count, format).await?;
    say(&format!(
        "round {} {name}: {:.0}/s, {:.0} us a request, {:.0} MB",
        round + 1,
        rate.rate,
        rate.cpu,
        rate.peak
    ));
    figures.rates.entry(name.to_owned()).or_default().push((round, rate));
    Ok(())
}

fn say(what: &str) {
    // Where standard error is gone, nobody follows the progress.
    let _ = writeln!(std::io::stderr(), "{what}");
}
