//! A ledger with tickets in every state, made by the ledger's own transitions.

use std::sync::Arc;

use jiff::Timestamp;
use mappings::domain::{Council, Disposition, Job, ParkClass, Request, SystemName, Ticket};
use mappings::mapping::Catalogue;
use serde_json::json;
use uuid::Uuid;

use crate::ledger::{
    self, Accepted, Arrival, Attempt, Change, ClockSetting, Completion, Correlated, InboxKey, KeptAs, Ledger,
    Lessee, Next, Outbox, Problem, Recorded, Refusal, Room, Settlement, Way, Work, WorkerId,
};

/// A ledger in a file of its own, and whoever writes to it.
pub(crate) struct Seed {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) catalogue: Arc<Catalogue>,
    /// How many messages the broker has set aside.
    pub(super) dead_letters: u64,
    lessee: Lessee,
    _folder: tempfile::TempDir,
}

/// Minutes after nine on a Monday.
pub(crate) fn at(minutes: i64) -> Timestamp {
    let nine: Timestamp = "2026-11-23T09:00:00Z".parse().expect("a time");
    nine + jiff::SignedDuration::from_mins(minutes)
}

impl Seed {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let catalogue = Arc::new(crate::timeline::tests::fixture::catalogue());
        let (closer, reader) = crate::closing::rules(&catalogue);
        let address = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let ledger = ledger::open(&address, closer, reader, 2).await.expect("a ledger");
        let systems = ["waste", "housing", "crm"].map(|name| (system(name), 100));
        let room = Room::new(systems);
        let lessee = Lessee { worker: WorkerId(Uuid::now_v7()), room, outbox: Outbox::Off };
        Self { ledger, catalogue, dead_letters: 0, lessee, _folder: folder }
    }

    /// Accepts a request for a missed bin; returns the call to be made.
    pub(super) async fn submitted(&self, council: &str, ticket: &str) -> Work {
        let document = json!({
            "ticket": ticket, "council": council, "service": "waste.missed-bin", "summary": "Grey bin missed",
            "raised_at": at(0).to_string(), "customer": {"surname": "Lamb", "phone": "07700900123"},
        });
        let arrival = Arrival {
            key: key(&format!("{council}/{ticket}")),
            change: Change::Submitted {
                request: Request::parse(document).expect("a request"),
                systems: vec![system("waste")],
                clock: ClockSetting::default(),
            },
            traceparent: None,
            received_at: at(1),
            sent_with: None,
        };
        let mut written = self.ledger.accept(&[arrival], &self.lessee).await.expect("accepted");
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_))]), "{:?}", written.replies);
        written.work.remove(0)
    }

    /// Has the system take the job.
    pub(crate) async fn delivered(&self, council: &str, ticket: &str, job: &str) {
        let work = self.submitted(council, ticket).await;
        let job = Some(Job::parse(job).expect("a job"));
        self.settled(work, "delivered", None, Next::Delivered { job, note: None }).await;
    }

    /// What falls due at the waste system, claimed.
    pub(crate) async fn due(&self) -> Vec<Work> {
        let now = self.ledger.now().await.expect("the time");
        self.ledger.claim_due(&system("waste"), 100, now, self.lessee.worker).await.expect("a claim")
    }

    /// Parks the call of a new ticket.
    pub(crate) async fn parked(&self, ticket: &str, class: ParkClass, reason: &str) {
        let work = self.submitted("harlow", ticket).await;
        let next = Next::Park { class, reason: reason.to_owned() };
        self.settled(work, "not_sent", Some(reason), next).await;
    }

    /// Writes what an attempt came to; closes the ticket in the CRM where that follows.
    pub(crate) async fn settled(&self, work: Work, outcome: &str, reason: Option<&str>, next: Next) {
        let attempt = Attempt {
            started_at: at(2),
            ended_at: at(3),
            outcome: outcome.to_owned(),
            status: None,
            reason: reason.map(str::to_owned),
            call: Some("POST /worksheets\n\n{\"surname\": \"Lamb\"}".to_owned()),
            answer: None,
        };
        let written =
            self.ledger.record(&[Settlement { work, attempt, next, owner: None }], &self.lessee).await;
        assert_eq!(written.expect("recorded").replies, [Ok(Recorded::Written)]);
    }

    /// Hears a system's word on a job; returns the call to the CRM where the ticket closes.
    pub(crate) async fn heard(&self, job: &str, said: &str, note: Option<&str>) -> (Correlated, Vec<Work>) {
        let completion = Completion {
            system: system("waste"),
            key: format!("{job}/{said}"),
            job: Some(Job::parse(job).expect("a job")),
            reference: None,
            said: said.to_owned(),
            note: note.map(str::to_owned),
            said_at: Some(at(20)),
            received_at: at(25),
            way: Way::Webhook,
        };
        let written = self.ledger.complete(&[completion], &self.lessee).await.expect("heard");
        (*written.replies[0].as_ref().expect("a reply"), written.work)
    }

    /// Closes a ticket all the way.
    pub(super) async fn closed(&self, ticket: &str, job: &str, note: Option<&str>) {
        self.delivered("harlow", ticket, job).await;
        let (_, mut work) = self.heard(job, "Completed", None).await;
        let next = Next::Delivered { job: None, note: note.map(str::to_owned) };
        self.settled(work.remove(0), "delivered", note, next).await;
    }

    /// Keeps a delivery that could not be understood.
    pub(super) async fn refused(&self, ticket: &str, path: &str, reason: &str) {
        let refusal = Refusal {
            key: key("broken"),
            council: Some(Council::parse("harlow").expect("a council")),
            ticket: Some(Ticket::parse(ticket).expect("a ticket")),
            path: Some(path.to_owned()),
            reason: reason.to_owned(),
            revision: None,
            body: b"{}".to_vec(),
            kept_as: KeptAs::Event,
            received_at: at(5),
            traceparent: None,
            sent_with: None,
        };
        self.ledger.refuse(&[refusal], &self.lessee).await.expect("refused");
    }

    /// Keeps an event that could not be routed; returns the name of the problem.
    pub(crate) async fn refused_body(&self, ticket: &str, body: Vec<u8>) -> String {
        let refusal = Refusal {
            key: InboxKey { source: "/crm/harlow".to_owned(), id: "e1".to_owned() },
            council: Council::parse("harlow").ok(),
            ticket: Ticket::parse(ticket).ok(),
            path: Some("service".to_owned()),
            reason: "no route".to_owned(),
            revision: None,
            body,
            kept_as: KeptAs::Event,
            received_at: at(5),
            traceparent: None,
            sent_with: None,
        };
        self.ledger.refuse(&[refusal], &self.lessee).await.expect("refused");
        let problems = self.ledger.problems(9).await.expect("problems");
        let name = problems.into_iter().find_map(|problem| match problem {
            Problem::Refused { name, .. } => Some(name),
            Problem::Held { .. }
            | Problem::Parked { .. }
            | Problem::ParkedAlike { .. }
            | Problem::Orphan(_)
            | Problem::Orphans { .. }
            | Problem::Contradiction { .. }
            | Problem::Early { .. }
            | Problem::RefusedAlike { .. } => None,
        });
        name.expect("a refused delivery")
    }

    /// One ticket of each state, an orphan and a refused delivery.
    pub(crate) async fn town() -> Self {
        let seed = Self::new().await;
        seed.closed("CRM-1", "1001", None).await;
        seed.closed("CRM-2", "1002", Some("a person had closed it already")).await;
        seed.delivered("harlow", "CRM-3", "1003").await;
        seed.heard("1003", "In Progress", Some("Crew 4 <script>alert(1)</script>")).await;
        seed.delivered("harlow", "CRM-4", "1004").await;
        seed.heard("1004", "Not Out", None).await;
        seed.parked("CRM-5", ParkClass::Data, "Uprn: nothing at $.location.uprn").await;
        let work = seed.submitted("harlow", "CRM-6").await;
        let (at, phase) = (at(45), work.phase);
        seed.settled(work, "retry", Some("the connection was refused"), Next::Again { at, phase }).await;
        seed.submitted("harlow", "CRM-7").await;
        seed.submitted("epping", "CRM-7").await;
        let work = seed.submitted("harlow", "CRM/8 #é").await;
        let next = Next::Rejected {
            disposition: Disposition::Duplicate,
            reason: "already open".to_owned(),
            say: Some("This bin was reported already.".to_owned()),
        };
        seed.settled(work, "rejected", Some("a worksheet is already open"), next).await;
        seed.heard("9999", "Completed", None).await;
        seed.refused("CRM-9", "location.uprn", "invalid type: integer 7, expected a string").await;
        seed
    }
}

fn key(id: &str) -> InboxKey {
    InboxKey { source: "/crm".to_owned(), id: id.to_owned() }
}

fn system(name: &str) -> SystemName {
    SystemName::parse(name).expect("a system")
}
