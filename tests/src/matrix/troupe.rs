//! The routers of one play, and what becomes of them.

use std::net::SocketAddr;
use std::time::Duration;

use super::Plans;
use crate::council::Council;
use crate::program::Program;
use crate::wait::until;

/// How often a router may fall at its start before something else is wrong.
const TRIES: usize = 20;

/// How long a router is given to become ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Some routers on one ledger.
pub(super) struct Troupe<'a> {
    council: &'a Council,
    later: String,
    count: usize,
    routers: Vec<Program>,
    /// How many ended by themselves.
    pub(super) fell: usize,
    /// What those that ended have logged.
    pub(super) logs: Vec<String>,
}

/// A log without the colours of a terminal.
fn plain(log: &str) -> String {
    let mut plain = String::with_capacity(log.len());
    for (number, part) in log.split('\u{1b}').enumerate() {
        plain.push_str(if number == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) });
    }
    plain
}

impl<'a> Troupe<'a> {
    /// Starts so many routers by their plan; what falls at its start is started again.
    pub(super) async fn start(council: &'a Council, count: usize, plans: &Plans) -> Self {
        let mut troupe = Self {
            council,
            later: plans.later.clone(),
            count,
            routers: Vec::new(),
            fell: 0,
            logs: Vec::new(),
        };
        for _ in 0..count {
            troupe.add(&plans.first).await;
        }
        troupe.fill().await;
        troupe
    }

    /// Starts one router by a plan, and returns when it is ready or has fallen.
    pub(super) async fn add(&mut self, plan: &str) {
        match self.council.start_failing(plan).await {
            Ok(mut program) => {
                let council = self.council;
                // A busy host may take longer; what never comes is seen by the drain.
                let ready = until("the router is ready or has fallen", PATIENCE * 2, async || {
                    council.is_ready(&mut program).await
                });
                drop(tokio::time::timeout(PATIENCE, ready).await);
                self.routers.push(program);
            }
            Err(said) => {
                self.fell += 1;
                self.logs.push(plain(&said));
            }
        }
        self.point();
    }

    /// Starts routers in place of those that have ended.
    pub(super) async fn fill(&mut self) {
        for _ in 0..TRIES {
            self.bury();
            if self.routers.len() >= self.count {
                return;
            }
            let later = self.later.clone();
            self.add(&later).await;
        }
        panic!("a router did not start in {TRIES} tries:\n{}", self.logs.last().map_or("", String::as_str));
    }

    /// Waits until a router has fallen by its plan; `false` when none does.
    pub(super) async fn fallen(&mut self, most: Duration) -> bool {
        self.fallen_times(1, most).await
    }

    /// Waits until so many routers have fallen since the start; `false` when no more do.
    pub(super) async fn fallen_times(&mut self, times: usize, most: Duration) -> bool {
        let began = std::time::Instant::now();
        while began.elapsed() < most {
            self.bury();
            if self.fell >= times {
                return true;
            }
            crate::wait::pass(Duration::from_millis(20)).await;
        }
        false
    }

    /// Waits until every router says that it is ready.
    pub(super) async fn ready(&mut self) {
        for program in &mut self.routers {
            let council = self.council;
            until("the router is ready again", PATIENCE * 2, async || council.is_ready(program).await).await;
        }
    }

    /// Where the doors and the console of each router are.
    pub(super) fn addresses(&self) -> Vec<(SocketAddr, SocketAddr)> {
        self.routers.iter().map(|program| (program.address(), program.console())).collect()
    }

    /// The most memory that a router which runs has held, in bytes.
    pub(super) fn peak_memory(&self) -> u64 {
        self.routers.iter().filter_map(Program::peak_memory).max().unwrap_or_default()
    }

    /// Whether a router that runs has logged this.
    pub(super) fn said(&self, text: &str) -> bool {
        self.routers.iter().any(|program| plain(&program.log()).contains(text))
    }

    /// How often routers have logged this, those that ended too.
    pub(super) fn times_said(&self, text: &str) -> usize {
        let ended = self.logs.iter().map(|log| log.matches(text).count());
        let running = self.routers.iter().map(|program| plain(&program.log()).matches(text).count());
        ended.chain(running).sum()
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self, which: usize) {
        self.bury();
        if self.routers.is_empty() {
            return;
        }
        let program = self.routers.remove(which % self.routers.len());
        self.logs.push(plain(&program.log()));
        program.kill();
        self.point();
    }

    /// Sends a signal, to which the process may end.
    pub(super) fn signal(&mut self, which: usize, name: &str) {
        self.bury();
        if let Some(program) = self.routers.get(which % self.routers.len().max(1)) {
            program.signal(name);
        }
    }

    /// Whether no router holds a delivery that it has not acknowledged. The broker counts only what waits.
    pub(super) async fn holds_nothing(&self) -> bool {
        for program in &self.routers {
            let asked = async { reqwest::get(program.page("/metrics")).await?.text().await };
            let Ok(Ok(metrics)) = tokio::time::timeout(PATIENCE, asked).await else { return false };
            let held = |line: &&str| line.starts_with("dovetail_bus_unacknowledged{");
            let held: Vec<&str> = metrics.lines().filter(held).collect();
            // One line for each queue: a router that says nothing of them proves nothing.
            if held.len() != 2 || held.iter().any(|line| !line.ends_with(" 0")) {
                return false;
            }
        }
        true
    }

    /// Asks every router to end, and waits until it has.
    pub(super) async fn stop(&mut self) {
        for program in &mut self.routers {
            program.signal("TERM");
            until("a router ends after SIGTERM", Duration::from_secs(60), async || program.ended()).await;
        }
        self.logs.extend(self.routers.drain(..).map(|program| plain(&program.log())));
    }

    fn bury(&mut self) {
        for mut program in std::mem::take(&mut self.routers) {
            if program.ended().is_some() {
                self.fell += 1;
                self.logs.push(plain(&program.log()));
            } else {
                self.routers.push(program);
            }
        }
        self.point();
    }

    fn point(&self) {
        self.council.point_to_any(self.routers.iter().map(Program::address).collect());
    }
}
