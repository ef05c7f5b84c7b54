//! Correlating what systems say with handovers, and applying it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{Council, HandoverId, HandoverState, Job, RequestId, SystemName, Ticket};

use super::draft::{Draft, store_changes};
use super::inbox::short;
use super::openings::{self, Openings};
use super::store::{Row, Statement, Tx};
use crate::ledger::opening::{Effects, Opening};
use crate::ledger::{self, Closer, Completion, Correlated, Error, Reader, Way};

/// What is to be heard.
pub(super) struct Heard<'a> {
    /// The systems' words, in the order in which they are to be heard.
    pub(super) completions: &'a [Completion],
    /// The ledger has kept them already, waiting.
    pub(super) kept: bool,
    /// What follows from them happens no earlier than this.
    pub(super) not_before: Option<Timestamp>,
}

impl Links {
    fn is_none(&self) -> bool {
        self.by_job.is_none() && self.by_reference.is_none()
    }
}

/// What became of a word, and the request it is about.
struct Verdict<'a> {
    completion: &'a Completion,
    correlated: Correlated,
    request: Option<(Council, RequestId)>,
}

/// What became of all of them.
pub(super) struct Verdicts<'a> {
    /// In the order of the completions.
    pub(super) replies: Vec<Correlated>,
    /// Those that were not known before.
    new: Vec<Verdict<'a>>,
}

/// What the ledger has on some completions before anything is locked, by their places.
pub(super) struct Found {
    /// The requests that may answer.
    requests: Vec<BTreeMap<RequestId, Council>>,
    /// Those it has heard already.
    known: Vec<bool>,
    /// What a person said they are about.
    links: Vec<Links>,
}

/// The pieces of work that a completion is about because a person said so.
#[derive(Debug, Clone, Default)]
struct Links {
    by_job: Option<HandoverId>,
    by_reference: Option<HandoverId>,
}

/// Correlates completions and applies them; what nobody answers to waits.
pub(super) async fn hear(
    tx: &mut Tx,
    heard: &Heard<'_>,
    closer: &Closer,
    reader: &Reader,
    draft: &mut Draft<'_>,
) -> Result<Vec<Correlated>, Error> {
    let completions = heard.completions;
    let mut found = correlate(tx, completions).await?;
    if !heard.kept {
        let systems = unanswered(completions, &found);
        if !systems.is_empty() {
            tx.close_gates(&systems).await?;
            found = correlate(tx, completions).await?;
        }
    }
    let mut openings = Openings::lock(tx, found.all()).await?;
    let verdicts = judge(heard, &found, &mut openings, closer, reader, draft);
    keep(tx, heard, &verdicts).await?;
    store_changes(tx, &mut openings.all).await?;
    Ok(verdicts.replies)
}

impl Found {
    /// All the requests that may answer.
    pub(super) fn all(&self) -> impl Iterator<Item = (RequestId, Council)> {
        self.requests.iter().flatten().map(|(request, council)| (*request, council.clone()))
    }
}

/// Applies completions to the openings they are about, which are locked.
pub(super) fn judge<'a>(
    heard: &Heard<'a>,
    found: &Found,
    openings: &mut Openings,
    closer: &Closer,
    reader: &Reader,
    draft: &mut Draft<'_>,
) -> Verdicts<'a> {
    let completions = heard.completions;
    let mut known = HashSet::new();
    let mut verdicts = Verdicts {
        replies: Vec::with_capacity(completions.len()),
        new: Vec::with_capacity(completions.len()),
    };
    for ((completion, was_known), links) in completions.iter().zip(&found.known).zip(&found.links) {
        let first = known.insert((completion.system.clone(), short(&completion.key)));
        if !heard.kept && (*was_known || !first) {
            verdicts.replies.push(Correlated::Duplicate);
            continue;
        }
        let mut verdict = Verdict { completion, correlated: Correlated::Waiting, request: None };
        for (request, handover) in targets(&openings.all, completion, links) {
            let doubtful = links.is_none() && is_doubtful(&openings.all, request, completion);
            let Some(opening) = openings.get(request) else { continue };
            let meaning = reader(&completion.system, &opening.service, completion);
            let at = heard.not_before.map_or(completion.received_at, |at| at.max(completion.received_at));
            let mut effects = Effects::default();
            let correlated = if doubtful && !opening.is_ended(handover) {
                opening.doubted(completion, at, &mut effects)
            } else {
                opening.heard(handover, completion, meaning, at, &**closer, &mut effects)
            };
            if verdict.request.is_none() {
                verdict.correlated = correlated;
                verdict.request = Some((opening.council.clone(), request));
            }
            openings::add(draft, opening, effects);
        }
        verdicts.replies.push(verdict.correlated);
        verdicts.new.push(verdict);
    }
    verdicts
}

/// Keeps the completions with what became of them.
pub(super) async fn keep(tx: &mut Tx, heard: &Heard<'_>, verdicts: &Verdicts<'_>) -> Result<(), Error> {
    if heard.kept { update(tx, &verdicts.new).await } else { insert(tx, &verdicts.new).await }
}

/// The systems of completions that nobody answers to.
pub(super) fn unanswered(completions: &[Completion], found: &Found) -> Vec<Arc<str>> {
    let mut systems = BTreeSet::new();
    for (place, completion) in completions.iter().enumerate() {
        if found.requests[place].is_empty() && !found.known[place] {
            systems.insert(completion.system.as_str());
        }
    }
    systems.into_iter().map(Arc::from).collect()
}

/// The requests that may answer to each completion: by job reference, else by ours.
///
/// Nothing is locked yet. A completion that another transaction hears at this moment is found by its key when it is
/// inserted, and the batch is heard again.
pub(super) async fn correlate(tx: &mut Tx, completions: &[Completion]) -> Result<Found, Error> {
    if completions.is_empty() {
        return Ok(Found { requests: Vec::new(), known: Vec::new(), links: Vec::new() });
    }
    let statement = Statement::new(
        "with v as ({rows}) select v.n, 'job', h.council, h.request, h.id from v join handovers h \
         on h.system = v.system and h.job = v.job where h.closure = 0 \
         union all select v.n, 'job', h.council, h.request, h.id from v join handovers h \
         on h.system = v.system and h.former_job = v.job where h.closure = 0 \
         union all select v.n, 'reference', h.council, h.request, h.id from v join handovers h \
         on h.system = v.system and h.ticket = v.reference where h.closure = 0 \
         union all select v.n, 'linked job', l.council, l.request, l.handover from v join links l \
         on l.system = v.system and l.kind = 'job' and l.word = v.job \
         union all select v.n, 'linked reference', l.council, l.request, l.handover from v join links l \
         on l.system = v.system and l.kind = 'reference' and l.word = v.reference \
         union all select v.n, 'known', null, null, null from v join completions c \
         on c.system = v.system and c.key = v.key",
    )
    .ints("n", 0..completions.len(), |n| i64::try_from(n).unwrap_or(i64::MAX))
    .texts("system", completions, |completion| completion.system.as_str())
    .texts("key", completions, |completion| short(&completion.key))
    .texts("job", completions, |completion| completion.job.as_ref().map(Job::as_str))
    .texts("reference", completions, |completion| completion.reference.as_ref().map(Ticket::as_str));
    let mut by_job = vec![BTreeMap::new(); completions.len()];
    let mut by_reference = by_job.clone();
    let mut known = vec![false; completions.len()];
    let mut links = vec![Links::default(); completions.len()];
    for mut row in tx.run(statement).await? {
        let n: usize = row.number("n")?;
        let how = row.text("how")?;
        let Some(council) = row.maybe("handovers.council", Council::parse)? else {
            known[n] = true;
            continue;
        };
        let id = row.get("handovers.request", RequestId::parse)?;
        let handover = row.get("handovers.id", HandoverId::parse)?;
        let hits = match how.as_str() {
            "linked job" => {
                links[n].by_job = Some(handover);
                &mut by_job
            }
            "linked reference" => {
                links[n].by_reference = Some(handover);
                &mut by_reference
            }
            "job" => &mut by_job,
            _ => &mut by_reference,
        };
        hits[n].insert(id, council);
    }
    for (hits, by_reference) in by_job.iter_mut().zip(by_reference) {
        if hits.is_empty() {
            *hits = by_reference;
        }
    }
    Ok(Found { requests: by_job, known, links })
}

/// The handovers that answer to a completion.
///
/// By job reference: those that have not ended, else the latest; a job that serves several tickets speaks
/// for them all. By ours: the only one that has not ended, else the latest, where one council has them all. What a
/// person linked counts as if it named the piece itself.
fn targets(openings: &[Opening], completion: &Completion, links: &Links) -> Vec<(RequestId, HandoverId)> {
    let mut by_job = Vec::new();
    let mut by_reference = Vec::new();
    for opening in openings {
        for piece in opening.pieces.iter().filter(|piece| !piece.closure && piece.system == completion.system)
        {
            let linked = links.by_job == Some(piece.id);
            let ours = completion.reference.as_ref() == Some(&opening.ticket)
                || linked
                || links.by_reference == Some(piece.id);
            let found = (opening, piece, ours);
            if linked || completion.job.as_ref().is_some_and(|job| piece.is_known_by(job)) {
                by_job.push(found);
            } else if ours {
                by_reference.push(found);
            }
        }
    }
    let named_too = by_job.iter().any(|(.., ours)| *ours);
    by_job.retain(|(.., ours)| *ours || !named_too);
    let by_job_found = !by_job.is_empty();
    let mut found = if by_job_found { by_job } else { by_reference };
    let open = |state: HandoverState| state != HandoverState::Ended;
    let any_open = found.iter().any(|(_, piece, _)| open(piece.state));
    found.retain(|(_, piece, _)| open(piece.state) || !any_open);
    found.sort_by_key(|(opening, piece, _)| (opening.request, piece.id));
    let several_councils = found.windows(2).any(|pair| pair[0].0.council != pair[1].0.council);
    let chosen = if any_open {
        if !by_job_found && found.len() > 1 { &[] } else { found.as_slice() }
    } else if several_councils {
        &[]
    } else {
        &found[found.len().saturating_sub(1)..]
    };
    chosen.iter().map(|(opening, piece, _)| (opening.request, piece.id)).collect()
}

/// Whether a completion names a ticket that was opened more than once, and not the job: it may be about the work of
/// an earlier opening.
fn is_doubtful(openings: &[Opening], request: RequestId, completion: &Completion) -> bool {
    let Some(target) = openings.iter().find(|opening| opening.request == request) else { return false };
    if completion.reference.as_ref() != Some(&target.ticket) {
        return false;
    }
    let mut ours = 0;
    let same = |opening: &&Opening| opening.council == target.council && opening.ticket == target.ticket;
    for opening in openings.iter().filter(same) {
        let pieces =
            || opening.pieces.iter().filter(|piece| !piece.closure && piece.system == completion.system);
        // A job that we know speaks for itself; one that we do not may become known with the answer to our order.
        let known = |job: &Job| pieces().any(|piece| piece.is_known_by(job));
        let unanswered = || pieces().any(|piece| piece.job.is_none() && piece.state != HandoverState::Ended);
        if completion.job.as_ref().is_some_and(|job| known(job) || unanswered()) {
            return false;
        }
        ours += usize::from(pieces().next().is_some());
    }
    ours > 1
}

async fn insert(tx: &mut Tx, verdicts: &[Verdict<'_>]) -> Result<(), Error> {
    if verdicts.is_empty() {
        return Ok(());
    }
    let mut sorted: Vec<&Verdict<'_>> = verdicts.iter().collect();
    sorted.sort_by_key(|verdict| (verdict.completion.system.clone(), verdict.completion.key.clone()));
    let statement = Statement::new(
        "with v as ({rows}) insert into completions (system, key, job, reference, said, note, said_at, received_at, \
         way, state, council, request) select system, key, job, reference, said, note, said_at, received_at, way, \
         state, council, request from v",
    )
    .texts("system", &sorted, |verdict| verdict.completion.system.as_str())
    .texts("key", &sorted, |verdict| short(&verdict.completion.key))
    .texts("job", &sorted, |verdict| verdict.completion.job.as_ref().map(Job::as_str))
    .texts("reference", &sorted, |verdict| verdict.completion.reference.as_ref().map(Ticket::as_str))
    .texts("said", &sorted, |verdict| verdict.completion.said.as_str())
    .texts("note", &sorted, |verdict| verdict.completion.note.as_deref())
    .ints("said_at", &sorted, |verdict| verdict.completion.said_at.map(Timestamp::as_millisecond))
    .ints("received_at", &sorted, |verdict| verdict.completion.received_at.as_millisecond())
    .texts("way", &sorted, |verdict| verdict.completion.way.as_str())
    .texts("state", &sorted, |verdict| verdict.correlated.as_str())
    .texts("council", &sorted, |verdict| verdict.request.as_ref().map(|(council, _)| council.as_str()))
    .texts("request", &sorted, |verdict| verdict.request.as_ref().map(|(_, request)| request.to_string()));
    tx.write(statement).await
}

async fn update(tx: &mut Tx, verdicts: &[Verdict<'_>]) -> Result<(), Error> {
    let moved: Vec<&Verdict<'_>> =
        verdicts.iter().filter(|verdict| verdict.correlated != Correlated::Waiting).collect();
    if moved.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(
        "with v as ({rows}) update completions set state = v.state, council = v.council, request = v.request \
         from v where completions.system = v.system and completions.key = v.key",
    )
    .texts("system", &moved, |verdict| verdict.completion.system.as_str())
    .texts("key", &moved, |verdict| short(&verdict.completion.key))
    .texts("state", &moved, |verdict| verdict.correlated.as_str())
    .texts("council", &moved, |verdict| verdict.request.as_ref().map(|(council, _)| council.as_str()))
    .texts("request", &moved, |verdict| verdict.request.as_ref().map(|(_, request)| request.to_string()));
    tx.write(statement).await
}

/// Reads a completion as it is kept.
pub(super) fn completion(row: &mut Row) -> Result<ledger::Heard, Error> {
    let completion = Completion {
        system: row.get("completions.system", SystemName::parse)?,
        key: row.text("completions.key")?,
        job: row.maybe("completions.job", Job::parse)?,
        reference: row.maybe("completions.reference", Ticket::parse)?,
        said: row.text("completions.said")?,
        note: row.maybe_text("completions.note")?,
        said_at: row.maybe_time("completions.said_at")?,
        received_at: row.time("completions.received_at")?,
        way: row.get("completions.way", |word| {
            Way::ALL
                .into_iter()
                .find(|way| way.as_str() == word)
                .ok_or("webhook, poll, queue, file or reconciliation")
        })?,
    };
    let correlated = row.get("completions.state", |word| {
        Correlated::ALL.into_iter().find(|state| state.as_str() == word).ok_or("a verdict of the correlator")
    })?;
    Ok(ledger::Heard { completion, correlated })
}
