//! One measurement: a subject, a batch of requests, and what came of them.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::Options;
use crate::broker::Broker;
use crate::database::{Counts, Database};
use crate::figures::{Backlog, Delay, Rate, percentile};
use crate::hearing::{Heard, Hearing};
use crate::history;
use crate::office::Office;
use crate::process::Usage;
use crate::request::{Batch, Format};
use crate::subject::{Around, Running, Subject};

/// How long nothing may be heard before a measurement has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// After the last event: acknowledgements and confirms that are still to be written.
const REST: Duration = Duration::from_millis(500);
/// The width of a point in the plots of a rate.
const STEP: Duration = Duration::from_millis(250);
/// What is left out of the delays: connections are being made.
const WARM_UP: Duration = Duration::from_secs(1);

/// Where measurements are made.
pub(crate) struct Stand<'a> {
    pub(crate) options: &'a Options,
    made: usize,
    /// A ledger with a long history.
    history: Option<Database>,
    /// So that two runs on one server never meet.
    run: String,
}

/// One measurement's parts, ready for a subject.
struct Scene {
    batch: Batch,
    broker: Broker,
    office: Office,
    hearing: Hearing,
    name: String,
}

impl<'a> Stand<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self { options, made: 0, history: None, run: format!("{:x}", std::process::id()) }
    }

    async fn scene(&mut self, count: usize, formats: &[Format]) -> anyhow::Result<Scene> {
        self.made += 1;
        let name = format!("load_{}_{}", self.run, self.made);
        let batch = Batch {
            prefix: format!("L{}X{}", self.run.to_uppercase(), self.made),
            count,
            seed: self.options.seed,
            formats: formats.to_vec(),
        };
        Database::checkpoint(&self.options.postgres).await?;
        let broker = Broker::declare(&self.options.amqp, &name).await?;
        let office = Office::open(batch.clone(), Duration::from_millis(self.options.work_ms)).await?;
        let hearing = Hearing::start(&broker, batch.clone()).await?;
        Ok(Scene { batch, broker, office, hearing, name })
    }

    /// The rate at which a subject works off a backlog.
    pub(crate) async fn rate(
        &mut self,
        subject: Subject,
        count: usize,
        format: Format,
    ) -> anyhow::Result<Rate> {
        let scene = self.scene(count, &[format]).await?;
        scene.broker.fill(&scene.batch).await?;
        let around = Around { history: self.history.as_ref(), ..scene.around(self.options) };
        let mut running = Running::start(subject, &around).await?;
        let begun = scene.hearing.until("the first event", PATIENCE, |progress| progress.events > 0);
        running.while_it_lives(begun).await?;
        let before = running.usage()?;
        let counted = running.counts().await?;
        // Three events a request.
        let done = scene.hearing.until("all closures", PATIENCE, |progress| progress.events >= 3 * count);
        running.while_it_lives(done).await?;
        tokio::time::sleep(REST).await;
        let after = running.usage()?;
        let counted_after = running.stop().await?;
        let rate = {
            let heard = scene.hearing.heard();
            heard.check(&scene.batch, &[format]).with_context(|| subject.name())?;
            rate(&heard, before, after, counted.zip(counted_after))?
        };
        scene.office.check(&[format]).with_context(|| subject.name())?;
        let (left, _) = scene.broker.intake().await?;
        anyhow::ensure!(left == 0, "{}: {left} requests were not acknowledged", subject.name());
        scene.end().await?;
        Ok(rate)
    }

    /// Makes a ledger in which so many thousands of requests are closed.
    pub(crate) async fn grow_old(&mut self, thousands: usize) -> anyhow::Result<()> {
        const FIRST: usize = 5_000;
        let scene = self.scene(FIRST, &[Format::Json]).await?;
        scene.broker.fill(&scene.batch).await?;
        let mut running = Running::start(Subject::Postgres(1), &scene.around(self.options)).await?;
        let done = scene.hearing.until("all closures", PATIENCE, |progress| progress.events >= 3 * FIRST);
        running.while_it_lives(done).await?;
        tokio::time::sleep(REST).await;
        let database = running.leave().await?;
        scene.end().await?;
        history::copy(&database, (thousands * 1_000 / FIRST).max(1)).await?;
        self.history = Some(database);
        Ok(())
    }

    /// How long it takes to show a ticket that is closed long since.
    pub(crate) async fn found(&mut self) -> anyhow::Result<Delay> {
        let scene = self.scene(0, &[Format::Json]).await?;
        let around = Around { history: self.history.as_ref(), ..scene.around(self.options) };
        let mut running = Running::start(Subject::Aged, &around).await?;
        running.ready(&scene.broker).await?;
        let taken = running.show_some().await?;
        running.stop().await?;
        scene.end().await?;
        Ok(Delay {
            p50: percentile(&taken, 50),
            p95: percentile(&taken, 95),
            p99: percentile(&taken, 99),
            series: Vec::new(),
        })
    }

    /// Takes the history away.
    pub(crate) async fn forget(&mut self) -> anyhow::Result<()> {
        match self.history.take() {
            Some(database) => database.drop().await,
            None => Ok(()),
        }
    }

    /// What a subject adds to each request at a steady rate.
    pub(crate) async fn delay(
        &mut self,
        subject: Subject,
        per_second: f64,
        lasts: Duration,
    ) -> anyhow::Result<Delay> {
        let scene = self.scene(requests(per_second, lasts), &[Format::Json]).await?;
        let mut running = Running::start(subject, &scene.around(self.options)).await?;
        running.ready(&scene.broker).await?;
        let published = scene.broker.pace(&scene.batch, per_second).await?;
        let count = scene.batch.count;
        let done = scene.hearing.until("all closures", PATIENCE, |progress| progress.events >= 3 * count);
        running.while_it_lives(done).await?;
        running.stop().await?;
        scene.office.check(&[Format::Json]).with_context(|| subject.name())?;
        let delay = {
            let heard = scene.hearing.heard();
            heard.check(&scene.batch, &[Format::Json]).with_context(|| subject.name())?;
            let work = Duration::from_millis(self.options.work_ms);
            delay(&heard, &published, work, |_| true)
        };
        scene.end().await?;
        Ok(delay)
    }

    /// The delays of the requests to one system, while another hangs on every call, or does not.
    pub(crate) async fn neighbours(
        &mut self,
        hangs: bool,
        per_second: f64,
        lasts: Duration,
    ) -> anyhow::Result<Delay> {
        let formats = [Format::Json, Format::Json, Format::Json, Format::Json, Format::Form];
        let scene = self.scene(requests(per_second, lasts), &formats).await?;
        scene.office.hang(Format::Form, hangs);
        let mut running = Running::start(Subject::Postgres(1), &scene.around(self.options)).await?;
        running.ready(&scene.broker).await?;
        let published = scene.broker.pace(&scene.batch, per_second).await?;
        let (count, batch) = (scene.batch.count, &scene.batch);
        let expected = if hangs { &[Format::Json][..] } else { &[Format::Json, Format::Form] };
        let closing = (0..count).filter(|number| expected.contains(&batch.format(*number))).count();
        let done = scene.hearing.until("the neighbours' closures", PATIENCE, |progress| {
            progress.closed >= closing && progress.accepted >= count
        });
        running.while_it_lives(done).await?;
        tokio::time::sleep(REST).await;
        // Its calls hang: waiting for them would take half a minute.
        running.kill().await?;
        scene.office.check(expected)?;
        let delay = {
            let heard = scene.hearing.heard();
            heard.check(batch, expected)?;
            let work = Duration::from_millis(self.options.work_ms);
            delay(&heard, &published, work, |number| batch.format(number) == Format::Json)
        };
        scene.end().await?;
        Ok(delay)
    }

    /// The memory while a backlog waits in the ledger, since the only system hangs.
    pub(crate) async fn backlog(&mut self, waiting: usize) -> anyhow::Result<Backlog> {
        let scene = self.scene(waiting, &[Format::Json]).await?;
        scene.office.hang(Format::Json, true);
        let mut running = Running::start(Subject::Postgres(1), &scene.around(self.options)).await?;
        running.ready(&scene.broker).await?;
        let filling = scene.broker.fill(&scene.batch);
        let watching = async {
            let some = scene.hearing.until("a tenth", PATIENCE, |progress| progress.accepted * 10 >= waiting);
            some.await?;
            let at_a_tenth = running.usage()?.resident;
            scene.hearing.until("all", PATIENCE, |progress| progress.accepted >= waiting).await?;
            anyhow::Ok((at_a_tenth, running.usage()?.resident))
        };
        let ((), (at_a_tenth, at_all)) = tokio::try_join!(filling, watching)?;
        running.kill().await?;
        scene.end().await?;
        Ok(Backlog { waiting, at_a_tenth: megabytes(at_a_tenth), at_all: megabytes(at_all) })
    }
}

impl Scene {
    fn around<'a>(&'a self, options: &'a Options) -> Around<'a> {
        Around { options, broker: &self.broker, office: &self.office, history: None, name: &self.name }
    }

    async fn end(self) -> anyhow::Result<()> {
        self.hearing.end();
        self.office.close().await;
        self.broker.remove().await
    }
}

fn rate(
    heard: &Heard,
    before: Usage,
    after: Usage,
    counted: Option<(Counts, Counts)>,
) -> anyhow::Result<Rate> {
    let (first, last) = heard.first.zip(heard.last_closed).context("nothing was heard")?;
    let count = heard.tickets.len() as f64;
    let mut series = vec![0_u32; ((last - first).as_millis() / STEP.as_millis() + 1) as usize];
    for closed_at in heard.tickets.iter().filter_map(|ticket| ticket.closed_at) {
        let step = (closed_at - first).as_millis() / STEP.as_millis();
        if let Some(closures) = series.get_mut(step as usize) {
            *closures += 1;
        }
    }
    let point = |(step, closures): (usize, u32)| {
        (step as f64 * STEP.as_secs_f64(), f64::from(closures) / STEP.as_secs_f64())
    };
    Ok(Rate {
        rate: count / (last - first).as_secs_f64(),
        cpu: (after.cpu - before.cpu).as_secs_f64() * 1e6 / count,
        peak: megabytes(after.peak),
        commits: counted.map(|(before, after)| (after.commits - before.commits) as f64 / count),
        wal: counted.map(|(before, after)| (after.wal - before.wal) as f64 / count),
        pages: counted.map(|(before, after)| (after.pages - before.pages) as f64 / count),
        series: series.into_iter().enumerate().map(point).collect(),
    })
}

/// The delays from publishing to closure, less the stub's own time.
fn delay(heard: &Heard, published: &[Instant], work: Duration, counts: impl Fn(usize) -> bool) -> Delay {
    let Some(began) = published.first().copied() else { return Delay::default() };
    let mut all = Vec::with_capacity(published.len());
    let mut seconds: Vec<Vec<Duration>> = Vec::new();
    for (number, (published, ticket)) in published.iter().zip(&heard.tickets).enumerate() {
        let Some(closed_at) = ticket.closed_at.filter(|_| counts(number)) else { continue };
        let since = *published - began;
        let delay = (closed_at - *published).saturating_sub(work);
        let second = since.as_secs() as usize;
        seconds.resize(seconds.len().max(second + 1), Vec::new());
        seconds[second].push(delay);
        if since >= WARM_UP {
            all.push(delay);
        }
    }
    all.sort_unstable();
    let series = seconds.into_iter().enumerate().map(|(second, mut delays)| {
        delays.sort_unstable();
        (second as f64, percentile(&delays, 50))
    });
    Delay {
        p50: percentile(&all, 50),
        p95: percentile(&all, 95),
        p99: percentile(&all, 99),
        series: series.collect(),
    }
}

fn requests(per_second: f64, lasts: Duration) -> usize {
    (per_second * lasts.as_secs_f64()) as usize
}

fn megabytes(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}
