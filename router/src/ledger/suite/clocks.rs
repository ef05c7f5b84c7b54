//! What clocks tell, each thing once, and who owns the work.

use std::sync::Arc;

use jiff::civil::date;
use jiff::{SignedDuration, Timestamp};
use mappings::domain::{Request, RequestState, Revision};
use mappings::mapping::{Catalogue, Owner, Source};
use serde_json::{Value, json};

use super::fixture::*;
use super::{Fixture, both};
use crate::event::Event;
use crate::ledger::{
    Arrival, Change, ClockSetting, Completion, Correlated, Direction, History, InboxKey, Ledger, Lessee,
    Look, OwnerChange, OwnerChanged, Written,
};
use crate::report::Scope;
use crate::sla;

const WASTE: &str = "system: waste\nname: Waste\nrole: back_office\n\
    owner: {team: Waste operations, contact: waste@example.org, senior: head@example.org}\n\
    connection: {base_url: \"http://waste.invalid\", auth: none}\nidempotency: none\n";
const BIN: &str = "service: waste.missed-bin\nname: Missed bin\ncreate: {post: /, json: {}}\n\
    target: {within: 2 working days, paused_while: [scheduled], chase: 100 days}\n\
    feedback: {after: 6 weeks, percent: 100}\n";

fn catalogue_of(bin: &str) -> Arc<Catalogue> {
    let files = [
        ("systems/waste/system.yaml", WASTE.to_owned()),
        ("systems/waste/bin.yaml", bin.to_owned()),
        ("systems/housing/system.yaml", WASTE.replace("waste", "housing").replace("Waste", "Housing")),
        (
            "systems/housing/bin.yaml",
            "service: waste.missed-bin\nname: B\ncreate: {post: /, json: {}}\n".into(),
        ),
        ("routes.yaml", "routes: [{service: waste.missed-bin, to: [waste]}]\n".to_owned()),
    ];
    let sources = files.map(|(path, text)| Source { path: path.to_owned(), text });
    match crate::library::compile(&sources, &|_| None) {
        Ok(catalogue) => Arc::new(catalogue),
        Err(error) => panic!("{error}"),
    }
}

/// A time as a clock on a wall in London shows it in winter.
fn on(text: &str) -> Timestamp {
    format!("{text}:00Z").parse().expect("a time")
}

/// A request that was called in at a time.
fn asked(
    catalogue: &Catalogue,
    delivery: &str,
    ticket: &str,
    systems: &[&str],
    raised_at: Timestamp,
) -> Arrival {
    asked_of("harlow", catalogue, delivery, ticket, systems, raised_at)
}

fn asked_of(
    council: &str,
    catalogue: &Catalogue,
    delivery: &str,
    ticket: &str,
    systems: &[&str],
    raised_at: Timestamp,
) -> Arrival {
    let document = json!({"ticket": ticket, "council": council, "service": "waste.missed-bin",
        "raised_at": raised_at.to_string(), "summary": "Grey bin missed"});
    let request = Request::parse(document).expect("a request");
    let systems: Vec<_> = systems.iter().map(|name| system(name)).collect();
    let clock = sla::start(&request, &systems, catalogue, raised_at);
    Arrival {
        key: InboxKey { source: "/crm".into(), id: delivery.into() },
        change: Change::Submitted { request, systems, clock },
        traceparent: None,
        received_at: raised_at,
        sent_with: None,
    }
}

async fn look_with(
    ledger: &dyn Ledger,
    lessee: &Lessee,
    catalogue: &Arc<Catalogue>,
    now: Timestamp,
) -> usize {
    let catalogue = Arc::clone(catalogue);
    let look: Look = Arc::new(move |clocked| sla::look(clocked, &catalogue, now));
    let mut looked = 0;
    loop {
        let count = ledger.claim_clocks(now, 10, &look, lessee).await.expect("a look");
        looked += count;
        if count == 0 {
            return looked;
        }
    }
}

impl Fixture {
    async fn look(&self, catalogue: &Arc<Catalogue>, now: Timestamp) -> usize {
        look_with(&*self.ledger, &self.lessee, catalogue, now).await
    }

    /// Looks every hour.
    async fn look_from(&self, catalogue: &Arc<Catalogue>, from: Timestamp, days: i64) -> usize {
        let mut looked = 0;
        for hour in 0..days * 24 {
            looked += self.look(catalogue, from + SignedDuration::from_hours(hour)).await;
        }
        looked
    }

    /// Submits a missed bin, and has waste take it.
    async fn hand_over(&self, catalogue: &Catalogue, ticket: &str, raised_at: Timestamp) {
        let work =
            self.accept(&[asked(catalogue, ticket, ticket, &["waste"], raised_at)]).await.work.remove(0);
        let mut settled = settle(&work, delivered(&format!("W-{ticket}")));
        settled.attempt.ended_at = raised_at;
        self.record(&[settled]).await;
    }

    async fn say(&self, ticket: &str, word: &str, at: Timestamp) -> Written<Correlated> {
        let mut completion = said("waste", &format!("{ticket} {word} {at}"), &format!("W-{ticket}"), word);
        completion.received_at = at;
        self.complete(&[completion]).await
    }

    /// Waste has done the work, and the CRM takes the closure.
    async fn close(&self, ticket: &str, at: Timestamp) {
        let closure = self.say(ticket, "Completed", at).await.work.remove(0);
        self.record(&[settle(&closure, delivered("CRM"))]).await;
        assert_eq!(self.history(ticket).await.line.state, RequestState::Closed);
    }

    async fn change(
        &self,
        ticket: &str,
        system_name: &str,
        direction: Direction,
        team: &str,
        at: Timestamp,
    ) -> OwnerChanged {
        let change = OwnerChange {
            council: council(),
            ticket: self::ticket(ticket),
            system: system(system_name),
            direction,
            owner: Owner { team: team.into(), contact: format!("{team}@example.org"), senior: None },
            by: "Ann".into(),
            reason: Some("it lies on a private road".into()),
            at,
        };
        let written = self.ledger.change_owner(&[change], &self.lessee).await.expect("written");
        *written.replies[0].as_ref().expect("a reply")
    }
}

/// The events that clocks wrote, each with what matters of it.
fn told(history: &History) -> Vec<String> {
    let told = history.events.iter().filter_map(|event| {
        let of = |key: &str| event.data.get(key).map(Value::to_string).unwrap_or_default();
        Some(match event.kind.word() {
            "ticket.warned" => format!("warned {}", of("used")),
            "ticket.escalated" => format!("escalated {}", of("because")),
            "ticket.overdue" => "overdue".to_owned(),
            "ticket.chased" => format!("chased {}", of("system")),
            "ticket.feedback-due" => "feedback".to_owned(),
            _ => return None,
        })
    });
    told.collect()
}

fn event<'h>(history: &'h History, word: &str) -> &'h Event {
    history.events.iter().find(|event| event.kind.word() == word).expect(word)
}

both! {
    async fn a_clock_runs_from_the_call_and_tells_each_milestone_once(fixture: &Fixture) {
        let (catalogue, raised) = (catalogue_of(BIN), on("2026-11-22T09:15"));
        fixture.hand_over(&catalogue, "CRM-1", raised).await;
        assert_eq!(fixture.look(&catalogue, on("2026-11-23T16:59")).await, 0, "not before half of it is used");
        let looked = fixture.look_from(&catalogue, raised, 65).await;
        let history = fixture.history("CRM-1").await;
        let expected = [
            "warned 50", "warned 75", "warned 90", "escalated \"target\"", "escalated \"age\"", "overdue",
        ];
        assert_eq!(told(&history), expected);
        assert_eq!(looked, expected.len(), "a clock is looked at when it has something to tell");
        let escalated = event(&history, "ticket.escalated");
        assert_eq!(escalated.data["seniors"], json!(["head@example.org"]));
        assert_eq!(escalated.data["due"], "2026-11-24T17:00:00Z");
        assert_eq!(escalated.data["owners"][0]["job"], "W-CRM-1");
        assert!(escalated.at >= on("2026-11-24T17:00") && escalated.at < on("2026-11-24T18:15"));
        assert_eq!(history.line.state, RequestState::Open, "a clock tells, and changes nothing");
    }

    async fn what_a_clock_tells_is_published(fixture: &Fixture) {
        let catalogue = catalogue_of(BIN);
        fixture.hand_over(&catalogue, "CRM-1", on("2026-11-16T09:00")).await;
        let full = full_lessee();
        look_with(&*fixture.ledger, &full, &catalogue, on("2026-11-18T17:00")).await;
        let events = fixture.ledger.claim_outbox(100, full.worker).await.expect("claimed");
        assert_eq!(events.iter().map(Event::routing_key).collect::<Vec<_>>(), ["harlow.ticket.escalated"]);
        assert_eq!(events[0].data["because"], "target");
    }

    async fn routers_that_look_at_once_tell_nothing_twice(fixture: &Fixture) {
        let (catalogue, raised) = (catalogue_of(BIN), on("2026-11-16T09:00"));
        let batch: Vec<_> = (0..60)
            .map(|n| asked(&catalogue, &n.to_string(), &format!("CRM-{n}"), &["waste"], raised))
            .collect();
        fixture.accept(&batch).await;
        let (other, other_lessee) = fixture.another().await;
        for at in ["2026-11-17T13:00", "2026-11-18T11:00", "2026-11-18T17:00"] {
            let (one, two) = tokio::join!(
                look_with(&*fixture.ledger, &fixture.lessee, &catalogue, on(at)),
                look_with(&*other, &other_lessee, &catalogue, on(at)),
            );
            assert_eq!(one + two, 60, "each clock is looked at once at {at}");
        }
        for n in 0..60 {
            let history = fixture.history(&format!("CRM-{n}")).await;
            assert_eq!(told(&history), ["warned 50", "warned 75", "escalated \"target\""]);
        }
    }

    async fn a_closed_ticket_has_no_clock_but_for_feedback(fixture: &Fixture) {
        let (catalogue, raised) = (catalogue_of(BIN), on("2026-11-16T09:00"));
        let silent = catalogue_of(&BIN.replace("feedback: {after: 6 weeks, percent: 100}\n", ""));
        fixture.hand_over(&catalogue, "CRM-1", raised).await;
        fixture.hand_over(&silent, "CRM-2", raised).await;
        for ticket in ["CRM-1", "CRM-2"] {
            fixture.close(ticket, on("2026-11-16T12:00")).await;
        }
        assert_eq!(fixture.look(&catalogue, on("2026-12-28T23:58")).await, 1, "one look sets the time");
        assert_eq!(told(&fixture.history("CRM-1").await), Vec::<String>::new());
        assert_eq!(fixture.look_from(&catalogue, on("2026-12-28T23:59"), 40).await, 1);
        let history = fixture.history("CRM-1").await;
        assert_eq!(told(&history), ["feedback"]);
        assert_eq!(event(&history, "ticket.feedback-due").data["disposition"], "completed");
        assert_eq!(told(&fixture.history("CRM-2").await), Vec::<String>::new());
        let scope = Scope { from: date(2026, 11, 16), to: date(2026, 11, 16), council: None };
        let courses = fixture.ledger.courses(&scope, None, 9).await.expect("a page").courses;
        assert_eq!(courses.len(), 2);
        let due = on("2026-11-18T17:00");
        assert!(courses.iter().all(|course| course.target_at == Some(due)), "what was promised is known still");
    }

    async fn a_ticket_that_is_opened_again_goes_on_from_the_first_call(fixture: &Fixture) {
        let (catalogue, raised) = (catalogue_of(BIN), on("2026-11-16T09:00"));
        fixture.hand_over(&catalogue, "CRM-1", raised).await;
        fixture.close("CRM-1", on("2026-11-16T12:00")).await;
        // The CRM opens it again as a new request, with a later call.
        let again = asked(&catalogue, "again", "CRM-1", &["waste"], on("2026-12-18T09:00"));
        fixture.accept(&[again]).await;
        fixture.look(&catalogue, on("2026-12-18T09:00")).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(told(&history), ["escalated \"target\"", "escalated \"age\""]);
        // The first opening is over: nobody is asked what they think of it.
        assert_eq!(fixture.look_from(&catalogue, on("2026-12-18T10:00"), 40).await, 1);
        assert_eq!(told(&fixture.history("CRM-1").await).last().map(String::as_str), Some("overdue"));
    }

    async fn a_ticket_that_a_revision_opens_again_goes_on_from_the_first_call(fixture: &Fixture) {
        let (catalogue, raised) = (catalogue_of(BIN), on("2026-11-16T09:00"));
        fixture.hand_over(&catalogue, "CRM-1", raised).await;
        fixture.close("CRM-1", on("2026-11-16T12:00")).await;
        let again = revised("again", "CRM-1", Revision::Reopened, json!({"reason": "it is back"}));
        fixture.accept(&[Arrival { received_at: on("2026-11-20T09:00"), ..again }]).await;
        fixture.look(&catalogue, on("2026-11-20T09:00")).await;
        assert_eq!(told(&fixture.history("CRM-1").await), ["escalated \"target\""]);
    }

    async fn a_closed_ticket_that_a_person_must_decide_about_again_has_its_clock_back(fixture: &Fixture) {
        let (catalogue, raised) = (catalogue_of(BIN), on("2026-11-16T09:00"));
        fixture.hand_over(&catalogue, "CRM-1", raised).await;
        fixture.close("CRM-1", on("2026-11-16T12:00")).await;
        fixture.look(&catalogue, on("2026-11-16T18:00")).await;
        let amended = revised("again", "CRM-1", Revision::Amended, json!({"reason": "the gate is locked"}));
        fixture.accept(&[Arrival { received_at: on("2026-11-20T09:00"), ..amended }]).await;
        assert_eq!(fixture.look(&catalogue, on("2026-11-20T09:00")).await, 1);
        assert_eq!(told(&fixture.history("CRM-1").await), ["escalated \"target\""]);
    }

    async fn a_clock_is_set_anew_when_a_rule_changes_and_tells_nothing_again(fixture: &Fixture) {
        let (short, raised) = (catalogue_of(BIN), on("2026-11-16T09:00"));
        fixture.hand_over(&short, "CRM-1", raised).await;
        fixture.look_from(&short, raised, 1).await;
        fixture.look(&short, on("2026-11-17T13:00")).await;
        assert_eq!(told(&fixture.history("CRM-1").await), ["warned 50"]);
        // The promise is made longer: half of it is used up later, and was told already.
        let long = catalogue_of(&BIN.replace("2 working days", "10 working days"));
        assert_ne!(short.clock_rule(), long.clock_rule());
        let now = on("2026-11-17T14:00");
        assert_eq!(fixture.ledger.unset_clocks(short.clock_rule(), now, 10).await.expect("unset"), 0);
        assert_eq!(fixture.ledger.unset_clocks(long.clock_rule(), now, 10).await.expect("unset"), 1);
        assert_eq!(fixture.look(&long, now).await, 1);
        assert_eq!(fixture.ledger.unset_clocks(long.clock_rule(), now, 10).await.expect("unset"), 0);
        fixture.look_from(&long, now, 9).await;
        assert_eq!(told(&fixture.history("CRM-1").await), ["warned 50", "warned 75"]);
        // It is made shorter than what has passed: it is reached at once.
        assert_eq!(fixture.ledger.unset_clocks(short.clock_rule(), on("2026-11-26T14:00"), 10).await.expect("unset"), 1);
        fixture.look(&short, on("2026-11-26T14:00")).await;
        assert_eq!(told(&fixture.history("CRM-1").await), ["warned 50", "warned 75", "escalated \"target\""]);
    }

    async fn the_clock_stands_still_while_the_system_says_that_it_waits(fixture: &Fixture) {
        let (catalogue, raised) = (catalogue_of(BIN), on("2026-11-16T09:00"));
        fixture.hand_over(&catalogue, "CRM-1", raised).await;
        fixture.say("CRM-1", "Scheduled", on("2026-11-16T13:00")).await;
        fixture.look_from(&catalogue, on("2026-11-16T13:00"), 7).await;
        assert_eq!(told(&fixture.history("CRM-1").await), Vec::<String>::new());
        fixture.say("CRM-1", "In Progress", on("2026-11-23T13:00")).await;
        fixture.look_from(&catalogue, on("2026-11-23T13:00"), 4).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(told(&history), ["warned 50", "warned 75", "warned 90", "escalated \"target\""]);
        assert_eq!(event(&history, "ticket.escalated").data["due"], "2026-11-25T17:00:00Z");
    }

    async fn the_owner_of_each_silent_handover_is_chased_until_there_is_news(fixture: &Fixture) {
        let bin = "service: waste.missed-bin\nname: Missed bin\ncreate: {post: /, json: {}}\n\
                   target: {within: 90 days, chase: 5 working days}\n";
        let (catalogue, raised) = (catalogue_of(bin), on("2026-11-02T10:00"));
        let works = fixture.accept(&[asked(&catalogue, "1", "CRM-1", &["waste", "housing"], raised)]).await.work;
        let mut settled = [settle(&works[0], delivered("W-CRM-1")), settle(&works[1], delivered("H-1"))];
        settled.iter_mut().for_each(|settled| settled.attempt.ended_at = raised);
        fixture.record(&settled).await;
        let passed_on = fixture.change("CRM-1", "housing", Direction::Over, "Contractor", raised).await;
        assert_eq!(passed_on, OwnerChanged::Written);
        fixture.look_from(&catalogue, raised, 2).await;
        fixture.say("CRM-1", "In Progress", on("2026-11-04T10:00")).await;
        fixture.look_from(&catalogue, on("2026-11-04T10:00"), 14).await;
        let history = fixture.history("CRM-1").await;
        assert_eq!(
            told(&history),
            ["chased \"housing\"", "chased \"waste\"", "chased \"housing\""],
            "housing on the 9th and 16th, waste on the 11th"
        );
        let chased: Vec<&Event> = history.events.iter().filter(|e| e.kind.word() == "ticket.chased").collect();
        assert_eq!(chased[0].data["owner"]["team"], "Contractor");
        assert_eq!(chased[1].data["owner"]["contact"], "waste@example.org");
        assert!(chased[0].at >= on("2026-11-09T17:00") && chased[0].at < on("2026-11-09T18:00"));
        assert!(chased[1].at >= on("2026-11-11T17:00") && chased[1].at < on("2026-11-11T18:00"));
    }

    async fn a_handover_names_its_owner_and_people_pass_it_on(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["waste"]).await.remove(0);
        let mut settled = settle(&work, delivered("W-1"));
        let owner = Owner { team: "Waste".into(), contact: "w@example.org".into(), senior: Some("h@example.org".into()) };
        settled.owner = Some(owner);
        fixture.record(&[settled]).await;
        let history = fixture.history("CRM-1").await;
        let expected = json!({"team": "Waste", "contact": "w@example.org", "senior": "h@example.org"});
        assert_eq!(event(&history, "ticket.handed-over").data["owner"], expected);
        assert_eq!(fixture.change("CRM-1", "waste", Direction::Back, "Contact centre", at(20)).await, OwnerChanged::Written);
        let history = fixture.history("CRM-1").await;
        let taken = event(&history, "ticket.taken-back");
        assert_eq!(taken.data["owner"]["team"], "Contact centre");
        assert_eq!((taken.data["by"].as_str(), taken.data["job"].as_str()), (Some("Ann"), Some("W-1")));
        assert_eq!(fixture.change("CRM-1", "housing", Direction::Over, "X", at(20)).await, OwnerChanged::NoSuchHandover);
        assert_eq!(fixture.change("CRM-9", "waste", Direction::Over, "X", at(20)).await, OwnerChanged::NoSuchTicket);
        let mut done = said("waste", "k1", "W-1", "Completed");
        done.received_at = at(30);
        let closure = fixture.complete(&[done]).await.work.remove(0);
        fixture.record(&[settle(&closure, delivered("CRM"))]).await;
        assert_eq!(fixture.change("CRM-1", "waste", Direction::Over, "X", at(40)).await, OwnerChanged::Closed);
    }

    async fn a_request_without_a_promise_has_a_clock_for_its_age(fixture: &Fixture) {
        let catalogue = catalogue_of("service: waste.missed-bin\nname: B\ncreate: {post: /, json: {}}\n");
        let raised = on("2026-11-16T09:00");
        let arrival = asked(&catalogue, "1", "CRM-1", &["waste"], raised);
        let Change::Submitted { clock, .. } = &arrival.change else { panic!("a request") };
        let rule = catalogue.clock_rule().to_owned();
        let next_at = Some(on("2026-11-23T17:00"));
        assert_eq!(*clock, ClockSetting { next_at, target_at: None, rule, feedback: false });
        fixture.accept(&[arrival]).await;
        fixture.look_from(&catalogue, raised, 62).await;
        assert_eq!(told(&fixture.history("CRM-1").await), ["escalated \"age\"", "overdue"]);
    }

    async fn in_a_year_of_requests_every_clock_tells_what_an_independent_count_says(fixture: &Fixture) {
        let catalogue = catalogue_of(BIN);
        let year = year();
        let beginning = on("2026-01-05T00:00");
        let mut looked = 0;
        for hour in (0..(365 + 70) * 24).step_by(6) {
            let now = beginning + SignedDuration::from_hours(hour);
            let came = year.iter().filter(|life| life.raised == hour);
            let batch: Vec<Arrival> = came
                .map(|life| asked_of("epping", &catalogue, &life.ticket, &life.ticket, &["waste"], now))
                .collect();
            let works = fixture.accept(&batch).await.work;
            let settled: Vec<_> = works
                .iter()
                .map(|work| {
                    let mut settled = settle(work, delivered(&format!("W-{}", work.ticket)));
                    settled.attempt.ended_at = now;
                    settled
                })
                .collect();
            fixture.record(&settled).await;
            let done: Vec<Completion> = year
                .iter()
                .filter(|life| life.closed == Some(hour))
                .map(|life| {
                    let job = format!("W-{}", life.ticket);
                    Completion { received_at: now, ..said("waste", &life.ticket, &job, "Completed") }
                })
                .collect();
            fixture.complete(&done).await;
            looked += fixture.look(&catalogue, now).await;
        }
        let mut all = 0;
        for life in &year {
            let history = fixture.ledger.ticket(None, &ticket(&life.ticket)).await.expect("a read").expect("a ticket");
            let told = told(&history);
            let has = |what: &str| told.iter().filter(|told| told.contains(what)).count();
            let open_for = life.closed.map_or(i64::MAX, |closed| closed - life.raised);
            let count = |is: bool| usize::from(is);
            // Two working days of January to December are at most six days and a half, and at least two.
            if open_for <= 48 {
                assert_eq!(has("target"), 0, "{}: {told:?}", life.ticket);
            }
            if open_for > 8 * 24 {
                assert_eq!(has("target"), 1, "{}: {told:?}", life.ticket);
            }
            assert_eq!(has("age"), count(open_for > 31 * 24), "{}: {told:?}", life.ticket);
            assert_eq!(has("overdue"), count(open_for > 61 * 24), "{}: {told:?}", life.ticket);
            assert!(has("warned") <= 3 && has("target") <= 1);
            assert_eq!(has("feedback"), count(life.closed.is_some_and(|at| at + 43 * 24 < (365 + 70) * 24)));
            all += told.len();
        }
        assert!(all > year.len() * 2, "{all} things were told");
        assert!(looked < all + 2 * year.len(), "{looked} looks told {all} things");
    }
}

/// One request of the year, in hours since its beginning.
struct Life {
    ticket: String,
    raised: i64,
    closed: Option<i64>,
}

/// Requests at all hours, of which most are done soon, some late, and some never.
fn year() -> Vec<Life> {
    let mut state = 1_u64;
    let mut draw = |most: i64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(state >> 33).unwrap_or(0) % most
    };
    (0..400)
        .map(|number| {
            let raised = draw(365 * 4) * 6;
            let after = match draw(10) {
                0 => None,
                1 | 2 => Some(32 * 24 + draw(28 * 4) * 6),
                3 | 4 => Some(62 * 24 + draw(20 * 4) * 6),
                5 | 6 => Some(9 * 24 + draw(20 * 4) * 6),
                _ => Some(6 + draw(7) * 6),
            };
            let closed = after.map(|after| raised + after).filter(|at| *at < (365 + 70) * 24);
            Life { ticket: format!("Y-{number}"), raised, closed }
        })
        .collect()
}
