//! The jobs of one simulated back office: found by number or reference, moved along, their changes listed.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

use super::Pace;

/// A word or a text that is mostly one of the system's own.
pub(super) type Text = Cow<'static, str>;

/// The place of a job in its book.
pub(super) type Index = usize;

/// The way a job goes when nobody interferes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    /// The states on the way, the first at once; never empty.
    pub(super) steps: &'static [&'static str],
    /// What comes after the last step; `None`: a person has to say.
    pub(super) last: Option<Last>,
}

/// What comes after the last step of a course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Last {
    pub(super) status: Text,
    pub(super) note: Option<Text>,
    /// Work that follows, in words.
    pub(super) follow_on: Option<Text>,
    /// Whether the job is over; a word nobody has heard of leaves it open.
    pub(super) ends: bool,
}

impl Last {
    /// The job is over with this word.
    pub(super) fn over(status: &'static str) -> Self {
        Self { status: Text::Borrowed(status), note: None, follow_on: None, ends: true }
    }

    /// The job rests with this word until a person says more.
    pub(super) fn open(status: &'static str) -> Self {
        Self { ends: false, ..Self::over(status) }
    }

    /// The same with a note.
    pub(super) fn noting(self, note: &'static str) -> Self {
        Self { note: Some(Text::Borrowed(note)), ..self }
    }
}

/// Whether a job still moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Moving,
    /// A person has to say how it goes on.
    Waiting,
    Ended,
}

/// An order as the system took it.
#[derive(Debug, Default)]
pub(super) struct Order {
    pub(super) reference: String,
    pub(super) key: Option<String>,
    /// What the system gives back about the order when it is read.
    pub(super) about: Vec<(&'static str, String)>,
}

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) order: Order,
    pub(super) status: Text,
    pub(super) note: Option<Text>,
    pub(super) follow_on: Option<Text>,
    pub(super) phase: Phase,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
    /// What callers added to it.
    pub(super) remarks: Vec<String>,
    course: Course,
    step: usize,
    previous: Option<Index>,
}

impl Job {
    /// What the order said about this, or nothing.
    pub(super) fn about(&self, name: &str) -> &str {
        self.order.about.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    pub(super) fn ended(&self) -> bool {
        self.phase == Phase::Ended
    }
}

/// One change of one job's status.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) at: Timestamp,
    pub(super) job: Index,
    pub(super) status: Text,
    pub(super) note: Option<Text>,
    /// Whether the job still moved with it.
    pub(super) phase: Phase,
}

/// How often a reference or key was delivered and applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Create calls that carried it.
    pub(super) delivered: u32,
    /// Jobs made for it.
    pub(super) applied: u32,
    latest: Option<Index>,
}

/// Running totals.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) creates: u64,
    pub(super) refused: u64,
    pub(super) ended: u64,
    /// Jobs beyond the first for the same key, or reference where there are no keys.
    pub(super) doubled: u64,
    pub(super) pushed: u64,
    pub(super) push_failures: u64,
    pub(super) pushes_given_up: u64,
}

/// All jobs of one system.
#[derive(Debug)]
pub(super) struct Book {
    prefix: &'static str,
    first: u64,
    pace: Pace,
    dice: StdRng,
    jobs: Vec<Job>,
    references: HashMap<Box<str>, Tally>,
    keys: HashMap<Box<str>, Tally>,
    changes: Vec<Change>,
    /// How many of them are in no list any more.
    forgotten: usize,
    due: BinaryHeap<Reverse<(Instant, Index)>>,
    /// Names that jobs were given instead of their numbers, and those for the jobs to come.
    names: Vec<(String, Index)>,
    pub(super) next_names: VecDeque<String>,
    /// Jobs that the system no longer knows.
    lost: HashSet<Index>,
    /// Identities of messages that are taken once, other than orders.
    pub(super) taken: HashSet<Box<str>>,
    /// Changes to be pushed, oldest first; none are kept where nobody takes them.
    outgoing: Option<VecDeque<usize>>,
    /// When the mover looks again by itself.
    alarm: Option<Instant>,
    pub(super) counts: Counts,
}

impl Book {
    /// An empty book whose jobs are called `prefix` and a number from `first` on, and whose changes are kept
    /// to be pushed or not.
    pub(super) fn new(prefix: &'static str, first: u64, pace: Pace, seed: u64, pushes: bool) -> Self {
        Self {
            prefix,
            first,
            pace,
            dice: StdRng::seed_from_u64(seed),
            jobs: Vec::new(),
            references: HashMap::new(),
            keys: HashMap::new(),
            changes: Vec::new(),
            forgotten: 0,
            due: BinaryHeap::new(),
            names: Vec::new(),
            next_names: VecDeque::new(),
            lost: HashSet::new(),
            taken: HashSet::new(),
            outgoing: pushes.then(VecDeque::new),
            alarm: None,
            counts: Counts::default(),
        }
    }

    /// Counts a create call; returns how many came before it for the same key or reference, and the job
    /// that the key already made.
    pub(super) fn receive(&mut self, reference: &str, key: Option<&str>) -> (u32, Option<Index>) {
        self.counts.creates += 1;
        let tally = tally(&mut self.references, reference);
        tally.delivered += 1;
        let before = tally.delivered - 1;
        let Some(key) = key else { return (before, None) };
        let tally = self::tally(&mut self.keys, key);
        tally.delivered += 1;
        (tally.delivered - 1, tally.latest)
    }

    /// Makes a job of an order.
    pub(super) fn open(&mut self, order: Order, course: Course, now: Timestamp) -> Index {
        let index = self.jobs.len();
        self.names.extend(self.next_names.pop_front().map(|name| (name, index)));
        let tally = tally(&mut self.references, &order.reference);
        let previous = tally.latest.replace(index);
        tally.applied += 1;
        let mut applied = tally.applied;
        if let Some(key) = &order.key {
            let tally = self::tally(&mut self.keys, key);
            tally.latest = Some(index);
            tally.applied += 1;
            applied = tally.applied;
        }
        self.counts.doubled += u64::from(applied > 1);
        self.jobs.push(Job {
            order,
            status: Text::Borrowed(course.steps.first().copied().unwrap_or_default()),
            note: None,
            follow_on: None,
            phase: Phase::Moving,
            created: now,
            updated: now,
            remarks: Vec::new(),
            course,
            step: 0,
            previous,
        });
        self.arrive(index, now);
        index
    }

    /// The job's name in the system.
    pub(super) fn id(&self, index: Index) -> String {
        match self.names.iter().find(|(_, named)| *named == index) {
            Some((name, _)) => name.clone(),
            None => self.number(index),
        }
    }

    /// The job's number, whatever it was named instead.
    pub(super) fn number(&self, index: Index) -> String {
        format!("{}{}", self.prefix, self.first + index as u64)
    }

    /// The job of this name, where it was not lost.
    pub(super) fn find(&self, id: &str) -> Option<Index> {
        self.named(id).filter(|index| !self.lost.contains(index))
    }

    fn named(&self, id: &str) -> Option<Index> {
        if let Some((_, index)) = self.names.iter().find(|(name, _)| name == id.trim()) {
            return Some(*index);
        }
        let number: u64 = id.trim().strip_prefix(self.prefix)?.parse().ok()?;
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (index < self.jobs.len()).then_some(index)
    }

    pub(super) fn job(&self, index: Index) -> &Job {
        &self.jobs[index]
    }

    pub(super) fn job_mut(&mut self, index: Index) -> &mut Job {
        &mut self.jobs[index]
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// The jobs made for a reference, newest first.
    pub(super) fn of_reference(&self, reference: &str) -> impl Iterator<Item = Index> {
        let newest = self.references.get(reference).and_then(|tally| tally.latest);
        std::iter::successors(newest, |index| self.jobs[*index].previous)
    }

    /// How often the job's order was delivered and applied.
    pub(super) fn tally_of(&self, index: Index) -> Tally {
        let order = &self.jobs[index].order;
        match &order.key {
            Some(key) => self.keys.get(key.as_str()),
            None => self.references.get(order.reference.as_str()),
        }
        .copied()
        .unwrap_or_default()
    }

    /// The number of a change, which no other simulator with another seed gives.
    pub(super) fn serial(&self, change: usize) -> u64 {
        self.first + change as u64
    }

    /// No list of changes has any of those before this moment.
    pub(super) fn forget_changes(&mut self) {
        self.forgotten = self.changes.len();
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.clear();
        }
    }

    /// The job is not known any more.
    pub(super) fn lose(&mut self, index: Index) {
        self.lost.insert(index);
    }

    /// How many changes there were.
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn change(&self, change: usize) -> &Change {
        &self.changes[change]
    }

    /// All changes of status from a time on, oldest first, each with its number.
    pub(super) fn changes_since(
        &self,
        since: Timestamp,
    ) -> impl DoubleEndedIterator<Item = (usize, &Change)> {
        let start = self.changes.partition_point(|change| change.at < since);
        self.changes.iter().enumerate().skip(start.max(self.forgotten))
    }

    /// Puts a job into a status, by a person or a call; it no longer moves by itself.
    pub(super) fn say(
        &mut self,
        index: Index,
        status: Text,
        note: Option<Text>,
        phase: Phase,
        now: Timestamp,
    ) {
        let job = &mut self.jobs[index];
        let ended = job.ended();
        job.status = status;
        job.note = note;
        job.phase = phase;
        self.counts.ended += u64::from(phase == Phase::Ended && !ended);
        self.note_change(index, now);
    }

    /// Moves one job one step; `unheard` is the word that takes the place of its ending, where it is given.
    pub(super) fn step(&mut self, index: Index, unheard: impl FnOnce() -> Option<Text>, now: Timestamp) {
        let job = &mut self.jobs[index];
        if job.phase != Phase::Moving {
            return;
        }
        job.step += 1;
        if let Some(status) = job.course.steps.get(job.step) {
            job.status = Text::Borrowed(status);
            return self.arrive(index, now);
        }
        let Some(last) = job.course.last.clone() else { return };
        let (status, note, phase) = match unheard() {
            Some(word) => (word, None, Phase::Waiting),
            None => {
                job.follow_on = last.follow_on;
                (last.status, last.note, if last.ends { Phase::Ended } else { Phase::Waiting })
            }
        };
        self.say(index, status, note, phase, now);
    }

    /// Changes that nobody has begun to push, oldest first.
    pub(super) fn take_outgoing(&mut self) -> VecDeque<usize> {
        self.outgoing.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Whether the mover would look too late, and whether changes wait to be pushed.
    pub(super) fn wants(&self) -> (bool, bool) {
        let late = match (self.next_due(), self.alarm) {
            (Some(due), Some(alarm)) => due < alarm,
            (Some(_), None) => true,
            (None, _) => false,
        };
        (late, self.outgoing.as_ref().is_some_and(|outgoing| !outgoing.is_empty()))
    }

    /// The jobs whose next step is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Index> {
        let mut due = Vec::new();
        while !self.pace.paused && self.due.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            due.extend(self.due.pop().map(|Reverse((_, index))| index));
        }
        due
    }

    /// When the next step is due, noted as the time the mover looks again; `None` while nothing moves.
    pub(super) fn set_alarm(&mut self) -> Option<Instant> {
        self.alarm = self.next_due();
        self.alarm
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.peek().filter(|_| !self.pace.paused).map(|Reverse((at, _))| *at)
    }

    /// Whether jobs stand still.
    pub(super) fn paused(&self) -> bool {
        self.pace.paused
    }

    pub(super) fn pause(&mut self, paused: bool) {
        self.pace.paused = paused;
    }

    /// Notes the step that a job has come to, and when it takes the next.
    fn arrive(&mut self, index: Index, now: Timestamp) {
        let job = &mut self.jobs[index];
        if job.step + 1 >= job.course.steps.len() && job.course.last.is_none() {
            job.phase = Phase::Waiting;
            return self.note_change(index, now);
        }
        self.note_change(index, now);
        let share = self.dice.random_range(0.5..=1.5);
        let wait = Duration::from_secs_f64(self.pace.step.as_secs_f64() * share);
        self.due.push(Reverse((Instant::now() + wait, index)));
    }

    fn note_change(&mut self, index: Index, now: Timestamp) {
        // The list is searched by time, so it never goes back with the clock.
        let at = self.changes.last().map_or(now, |last| last.at.max(now));
        let job = &mut self.jobs[index];
        job.updated = at;
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.push_back(self.changes.len());
        }
        self.changes.push(Change {
            at,
            job: index,
            status: job.status.clone(),
            note: job.note.clone(),
            phase: job.phase,
        });
    }
}

fn tally<'a>(tallies: &'a mut HashMap<Box<str>, Tally>, name: &str) -> &'a mut Tally {
    tallies.entry(name.into()).or_default()
}
