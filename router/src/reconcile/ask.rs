//! One call about one open job or many, and what its answer says of each.

use std::collections::{HashMap, HashSet};

use connectors::ReadFailure;
use mappings::domain::Job;
use mappings::mapping::{BadItem, Facts, Reading, Report, Steps, context};
use serde_json::Value;

use crate::complete::Listener;
use crate::ledger::OpenJob;

/// What a system told of one job.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// How it stands.
    Says(Vec<Report>),
    /// It is not in the answer.
    Nothing,
    /// The answer cannot be understood.
    Unreadable(String),
    /// There was no answer.
    Unanswered(String),
}

/// An answer, in the order of the jobs.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) told: Vec<Told>,
    /// Items that cannot be read.
    pub(super) set_aside: Vec<BadItem>,
}

impl Answered {
    /// Whether the system answered.
    pub(super) fn is_answered(&self) -> bool {
        !self.told.iter().all(|told| matches!(told, Told::Unanswered(_)))
    }

    /// Whether every job is in the answer, or there is none to look into.
    pub(super) fn is_whole(&self) -> bool {
        !self.told.contains(&Told::Nothing)
    }
}

/// Asks about some jobs in one call. Only an answer about many must name each.
pub(super) async fn ask(listener: &Listener, steps: &Steps, many: bool, jobs: &[OpenJob]) -> Answered {
    let now = listener.clock.now();
    let mut facts = Facts::at(now);
    if many {
        facts.jobs = jobs.iter().map(|job| job.check.job.clone()).collect();
        let mut named = HashSet::new();
        facts.jobs.retain(|job| named.insert(job.clone()));
    } else if let Some(job) = jobs.first() {
        facts.job = Some(job.check.job.clone());
        facts.handover = Some(job.check.handover);
    }
    let read = listener.connector.read(steps, context(&Value::Null, &facts), now).await;
    let mut set_aside = Vec::new();
    let told = match read {
        Err(failure) => vec![failed(&failure); jobs.len()],
        Ok(reading) => told(reading, many, jobs, &mut set_aside),
    };
    Answered { told, set_aside }
}

fn failed(failure: &ReadFailure) -> Told {
    match failure.status {
        Some(200..300) => Told::Unreadable(failure.reason.clone()),
        Some(_) | None => Told::Unanswered(failure.reason.clone()),
    }
}

/// What an answer says of each job. Rows about other jobs say nothing.
fn told(reading: Reading, many: bool, jobs: &[OpenJob], set_aside: &mut Vec<BadItem>) -> Vec<Told> {
    let Reading { reports, set_aside: bad, .. } = reading;
    let unread = bad.first().map(|item| item.reason.clone());
    *set_aside = bad;
    let mut rows: HashMap<Option<Job>, Vec<Report>> = HashMap::new();
    for report in reports {
        rows.entry(report.job.clone()).or_default().push(report);
    }
    let of = |job: &OpenJob| {
        if let Some(rows) = rows.get(&Some(job.check.job.clone())) {
            return understood(rows.clone());
        }
        match rows.get(&None) {
            Some(rows) if !many => understood(rows.clone()),
            Some(_) if jobs.len() == 1 => {
                Told::Unreadable("the answer does not say which job it is about".to_owned())
            }
            // What cannot be read may be about this job.
            None if jobs.len() == 1 && unread.is_some() => {
                Told::Unreadable(unread.clone().unwrap_or_default())
            }
            Some(_) | None if many || rows.is_empty() => Told::Nothing,
            Some(_) | None => Told::Unreadable("the answer is about another job".to_owned()),
        }
    };
    jobs.iter().map(of).collect()
}

fn understood(rows: Vec<Report>) -> Told {
    if rows.iter().any(|row| row.said.is_empty()) {
        return Told::Unreadable("the answer gives no status".to_owned());
    }
    Told::Says(rows)
}

#[cfg(test)]
mod tests {
    use mappings::domain::{Council, HandoverId, Service, Ticket};
    use uuid::Uuid;

    use super::*;
    use crate::ledger::Check;

    fn open(job: &str) -> OpenJob {
        let handover = HandoverId(Uuid::nil());
        let check = Check {
            handover,
            council: Council::parse("harlow").expect("valid"),
            ticket: Ticket::parse("CRM-1").expect("valid"),
            service: Service::parse("waste.missed-bin").expect("valid"),
            job: Job::parse(job).expect("valid"),
        };
        OpenJob {
            check,
            progress: None,
            said: None,
            said_at: None,
            place: (jiff::Timestamp::UNIX_EPOCH, handover),
        }
    }

    fn row(job: Option<&str>, said: &str) -> Report {
        let job = job.map(|job| Job::parse(job).expect("valid"));
        Report {
            key: None,
            job,
            reference: None,
            said: said.into(),
            at: None,
            note: None,
            one_of_several: false,
        }
    }

    fn of(reports: Vec<Report>) -> Reading {
        Reading { reports, ..Reading::default() }
    }

    #[test]
    fn what_cannot_be_read_is_told_of_the_job_that_is_missing_and_of_no_other() {
        let bad = BadItem::new("half a character", "{}");
        let reading = |reports| Reading { reports, set_aside: vec![bad.clone()], passed_over: 0 };
        let jobs = [open("7"), open("8")];
        let mut aside = Vec::new();
        let both = told(reading(vec![row(Some("7"), "Done")]), true, &jobs, &mut aside);
        assert!(matches!(&both[..], [Told::Says(_), Told::Nothing]), "{both:?}");
        assert_eq!(aside, std::slice::from_ref(&bad));
        let alone = told(reading(Vec::new()), true, &jobs[1..], &mut aside);
        assert_eq!(alone, [Told::Unreadable("half a character".into())]);
    }

    #[test]
    fn an_answer_about_one_job_need_not_name_it_and_may_not_name_another() {
        let told = |reports| told(of(reports), false, &[open("7")], &mut Vec::new()).remove(0);
        assert!(matches!(told(vec![row(None, "Open")]), Told::Says(rows) if rows.len() == 1));
        assert!(matches!(told(vec![row(Some("7"), "Open")]), Told::Says(_)));
        assert!(
            matches!(told(vec![row(Some("8"), "Open")]), Told::Unreadable(why) if why.contains("another"))
        );
        assert!(matches!(told(vec![row(Some("7"), "")]), Told::Unreadable(why) if why.contains("no status")));
        assert_eq!(told(vec![]), Told::Nothing);
    }

    #[test]
    fn an_answer_about_many_says_of_each_what_its_rows_say() {
        let jobs = [open("7"), open("8"), open("9")];
        let rows =
            vec![row(Some("9"), "Done"), row(Some("7"), "Open"), row(Some("5"), "Done"), row(None, "Done")];
        let told = |reports, jobs: &[OpenJob]| told(of(reports), true, jobs, &mut Vec::new());
        let answer = Answered { told: told(rows, &jobs), set_aside: Vec::new() };
        assert!(matches!(&answer.told[..], [Told::Says(_), Told::Nothing, Told::Says(_)]), "{answer:?}");
        assert!(answer.is_answered() && !answer.is_whole());
        let alone = told(vec![row(Some("5"), "Done")], &jobs[..1]);
        assert_eq!(alone, [Told::Nothing], "a row about another job says nothing");
        let unnamed = told(vec![row(None, "Done")], &jobs[..1]);
        assert!(matches!(&unnamed[..], [Told::Unreadable(_)]), "{unnamed:?}");
    }
}
