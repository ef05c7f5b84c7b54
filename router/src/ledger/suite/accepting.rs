//! Deliveries, those that are understood and those that are not.

use mappings::domain::{Disposition, HandoverState, Operation, RequestState, Revision};
use serde_json::json;

use super::fixture::*;
use super::{Fixture, both};
use crate::event::Kind;
use crate::ledger::{Accepted, Correlated, InboxKey, KeptAs, Next, Problem, Recorded, Refusal, Settlement};

fn refusal(id: &str, reference: Option<&str>) -> Refusal {
    Refusal {
        key: InboxKey { source: "amqp:dovetail.intake".into(), id: id.into() },
        council: None,
        ticket: reference.map(ticket),
        path: Some("location.uprn".into()),
        reason: "12345 is not text".into(),
        revision: None,
        body: b"{\"a\0b\": \xff}".to_vec(),
        kept_as: KeptAs::Event,
        received_at: at(0),
        traceparent: None,
        sent_with: None,
    }
}

both! {
    async fn a_ticket_goes_round_the_loop_and_closes(fixture: &Fixture) {
        let written = fixture.accept(&[arrival("1", "CRM-1", &["waste"])]).await;
        assert_eq!(written.events.len(), 1);
        assert_eq!(operations(&written.work), [Operation::Create]);
        let work = &written.work[0];
        assert_eq!((work.attempt, work.lease.0, work.rescued), (1, 1, false));
        assert_eq!(work.document["summary"], "Grey bin missed");

        let written = fixture.record(&[settle(work, delivered("W-1"))]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
        let written = fixture.complete(&[said("waste", "k1", "W-1", "Completed")]).await;
        assert_eq!(written.replies, [Ok(Correlated::Applied)]);
        assert_eq!(operations(&written.work), [Operation::Close]);
        let close = &written.work[0];
        assert_eq!(close.system.as_str(), "crm");
        assert_eq!(close.document["summary"], "Grey bin missed");
        let payload = close.payload.as_ref().expect("a closure");
        assert_eq!(payload["disposition"], "completed");
        assert_eq!(payload["evidence"][0]["said"], "Completed");
        assert_eq!(fixture.history("CRM-1").await.line.state, RequestState::Closing);

        let written = fixture.record(&[settle(close, delivered("7"))]).await;
        assert_eq!(written.replies, [Ok(Recorded::Written)]);
        let history = fixture.history("CRM-1").await;
        assert_eq!(history.line.state, RequestState::Closed);
        assert_eq!(history.line.disposition, Some(Disposition::Completed));
        assert_eq!(words(&history), ["ticket.accepted", "ticket.handed-over", "ticket.closed"]);
        assert!(history.handovers.iter().all(|handover| handover.state == HandoverState::Ended));
        assert_eq!(history.attempts.len(), 2);
        let counts = fixture.ledger.counts().await.expect("counts");
        assert_eq!((counts.due, counts.leased), (0, 0));
    }

    async fn a_second_delivery_is_recognised_in_a_batch_and_after_it(fixture: &Fixture) {
        let one = arrival("1", "CRM-1", &["waste"]);
        let written = fixture.accept(&[one.clone(), one.clone()]).await;
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_)), Ok(Accepted::DuplicateDelivery)]));
        let written = fixture.accept(&[one]).await;
        assert_eq!(written.replies, [Ok(Accepted::DuplicateDelivery)]);
        assert!(written.work.is_empty() && written.events.is_empty());
        assert_eq!(fixture.ledger.counts().await.expect("counts").duplicates, 2);
    }

    async fn an_id_that_was_used_for_something_else_is_told_and_never_taken_for_a_duplicate(fixture: &Fixture) {
        let (one, other) = (arrival("1", "CRM-1", &["waste"]), arrival("1", "CRM-2", &["waste"]));
        let written = fixture.accept(&[one.clone(), other.clone(), one.clone()]).await;
        assert!(matches!(
            written.replies[..],
            [Ok(Accepted::New(_)), Ok(Accepted::IdInUse), Ok(Accepted::DuplicateDelivery)]
        ));
        let written = fixture.accept(&[other, one]).await;
        assert_eq!(written.replies, [Ok(Accepted::IdInUse), Ok(Accepted::DuplicateDelivery)]);
        assert!(written.work.is_empty() && written.events.is_empty());
        // A CRM that gives all events of a ticket one id.
        let mut withdrawn = revised_of("harlow", "1", "CRM-1", Revision::Withdrawn, json!({"reason": "sold"}));
        withdrawn.key.source = "/crm".to_owned();
        let written = fixture.accept(&[withdrawn]).await;
        assert_eq!(written.replies, [Ok(Accepted::IdInUse)]);
    }

    async fn a_second_change_under_a_used_id_is_told_and_the_same_in_another_order_is_a_duplicate(fixture: &Fixture) {
        fixture.accept(&[arrival("1", "CRM-1", &["waste"])]).await;
        let amended = |data| revised_of("harlow", "amended", "CRM-1", Revision::Amended, data);
        let first = amended(json!({"summary": "two bins", "priority": "urgent"}));
        let again = amended(json!({"priority": "urgent", "summary": "two bins"}));
        let other = amended(json!({"summary": "three bins", "priority": "urgent"}));
        let written = fixture.accept(&[first, again, other]).await;
        assert!(matches!(
            written.replies[..],
            [Ok(Accepted::New(_)), Ok(Accepted::DuplicateDelivery), Ok(Accepted::IdInUse)]
        ));
    }

    async fn another_delivery_of_an_open_ticket_is_a_duplicate_in_a_batch_and_after_it(fixture: &Fixture) {
        let written = fixture
            .accept(&[arrival("1", "CRM-1", &["waste"]), arrival("2", "CRM-1", &["waste"])])
            .await;
        let Ok(Accepted::New(request)) = written.replies[0] else { panic!("{:?}", written.replies) };
        assert_eq!(written.replies[1], Ok(Accepted::DuplicateTicket(request)));
        assert_eq!(written.work.len(), 1);
        let written = fixture.accept(&[arrival("3", "CRM-1", &["waste"])]).await;
        assert_eq!(written.replies, [Ok(Accepted::DuplicateTicket(request))]);
        let written = fixture.accept(&[arrival("3", "CRM-1", &["waste"])]).await;
        assert_eq!(written.replies, [Ok(Accepted::DuplicateDelivery)]);
        assert_eq!(fixture.ledger.counts().await.expect("counts").duplicates, 3);
    }

    async fn the_same_ticket_of_another_council_is_another_ticket(fixture: &Fixture) {
        let batch = [arrival_of("harlow", "1", "T-1", &["waste"]), arrival_of("epping", "1", "T-1", &["waste"])];
        let written = fixture.accept(&batch).await;
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_)), Ok(Accepted::New(_))]));
    }

    async fn a_closed_ticket_that_is_submitted_again_is_a_new_opening(fixture: &Fixture) {
        let batch = [arrival_of("epping", "1", "T-1", &["waste"])];
        let work = fixture.accept(&batch).await.work.remove(0);
        fixture.record(&[settle(&work, rejected(Disposition::Declined))]).await;
        let written = fixture.accept(&[arrival_of("epping", "2", "T-1", &["waste"])]).await;
        let Ok(Accepted::New(second)) = written.replies[0] else { panic!("{:?}", written.replies) };
        assert_ne!(second, work.request);
        assert_eq!(written.work.len(), 1);
    }

    async fn a_request_for_two_systems_gets_a_call_for_each(fixture: &Fixture) {
        let work = fixture.submit("CRM-1", &["housing", "waste"]).await;
        assert_eq!(work.iter().map(|work| work.system.as_str()).collect::<Vec<_>>(), ["housing", "waste"]);
        assert_eq!(fixture.history("CRM-1").await.handovers.len(), 2);
    }

    async fn what_finds_no_room_is_left_to_be_claimed(fixture: &Fixture) {
        let written = fixture
            .ledger
            .accept(&[arrival("1", "CRM-1", &["waste"])], &full_lessee())
            .await
            .expect("accept");
        assert!(written.work.is_empty() && written.events.is_empty());
        let claimed = fixture.claim("waste", 10, at(0)).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].attempt, claimed[0].lease.0), (1, 1));
        assert_eq!(claimed[0].document["summary"], "Grey bin missed");
        let events = fixture.ledger.claim_outbox(10, fixture.lessee.worker).await.expect("a claim");
        assert_eq!(events.len(), 1);
    }

    async fn a_write_takes_its_places_once_and_a_duplicate_takes_none(fixture: &Fixture) {
        let free = fixture.lessee.room.of(&system("waste")).free();
        fixture.submit("CRM-1", &["waste"]).await;
        fixture.accept(&[arrival("CRM-1", "CRM-1", &["waste"])]).await;
        assert_eq!(fixture.lessee.room.of(&system("waste")).free(), free - 1);
    }

    async fn two_routers_that_accept_one_ticket_at_once_open_it_once(fixture: &Fixture) {
        let (other, other_lessee) = fixture.another().await;
        for round in 0..10 {
            let tickets: Vec<String> = (0..20).map(|n| format!("CRM-{round}-{n}")).collect();
            let ours: Vec<_> = tickets.iter().map(|t| arrival(&format!("a{t}"), t, &["waste"])).collect();
            let theirs: Vec<_> = tickets.iter().rev().map(|t| arrival(&format!("b{t}"), t, &["waste"])).collect();
            let (one, two) = tokio::join!(
                fixture.ledger.accept(&ours, &fixture.lessee),
                other.accept(&theirs, &other_lessee),
            );
            let replies = one.expect("accept").replies.into_iter().chain(two.expect("accept").replies);
            let new = replies.filter(|reply| matches!(reply, Ok(Accepted::New(_)))).count();
            assert_eq!(new, tickets.len());
        }
    }

    async fn a_row_that_cannot_be_written_does_not_take_its_neighbours_along(fixture: &Fixture) {
        let calls = fixture
            .accept(&[
                arrival("1", "CRM-1", &["waste"]),
                arrival("2", "CRM-2", &["waste"]),
                arrival("3", "CRM-3", &["waste"]),
            ])
            .await
            .work;
        // An attempt with a number that is in the ledger already breaks the key of the attempts.
        fixture.record(&[settle(&calls[1], again(at(3), calls[1].phase))]).await;
        let mut poison = fixture.claim("waste", 1, at(4)).await.remove(0);
        poison.attempt = 1;
        let batch: Vec<Settlement> = [&calls[0], &poison, &calls[2]]
            .into_iter()
            .zip(["W-1", "W-2", "W-3"])
            .map(|(work, job)| settle(work, delivered(job)))
            .collect();
        let written = fixture.record(&batch).await;
        assert_eq!(written.replies[0], Ok(Recorded::Written));
        assert!(written.replies[1].is_err(), "{:?}", written.replies);
        assert_eq!(written.replies[2], Ok(Recorded::Written));
        assert_eq!(fixture.history("CRM-3").await.handovers[0].state, HandoverState::Awaiting);
        assert_eq!(fixture.history("CRM-2").await.handovers[0].state, HandoverState::Due);
    }

    async fn a_text_with_a_nul_and_a_key_of_any_length_are_kept(fixture: &Fixture) {
        let mut odd = arrival("1", "CRM-1", &["waste"]);
        odd.key = InboxKey { source: "a\0b".into(), id: "x".repeat(100_000) };
        let mut other = arrival("1", "CRM-2", &["waste"]);
        other.key = InboxKey { source: "a\0b".into(), id: format!("{}y", "x".repeat(99_999)) };
        let written = fixture.accept(&[odd.clone(), other]).await;
        assert!(matches!(written.replies[..], [Ok(Accepted::New(_)), Ok(Accepted::New(_))]));
        assert_eq!(fixture.accept(&[odd]).await.replies, [Ok(Accepted::DuplicateDelivery)]);

        let reason = Next::Park { class: mappings::domain::ParkClass::Data, reason: "a\0b".into() };
        let reply = fixture.record(&[settle(&written.work[0], reason)]).await.replies;
        assert_eq!(reply, [Ok(Recorded::Written)]);
        let mut word = said_of("waste", &"k".repeat(100_000), "CRM-1", "Comp\0leted");
        word.note = Some("\0".into());
        assert_eq!(fixture.hear(word).await, Correlated::Held);
    }

    async fn an_empty_batch_changes_nothing(fixture: &Fixture) {
        assert!(fixture.accept(&[]).await.replies.is_empty());
        assert!(fixture.record(&[]).await.replies.is_empty());
        assert!(fixture.complete(&[]).await.replies.is_empty());
        assert!(fixture.ledger.begin(&[]).await.expect("begin").is_empty());
        fixture.ledger.mark_published(&[]).await.expect("nothing");
    }

    async fn a_refusal_is_kept_once_and_answered_where_its_ticket_is_known(fixture: &Fixture) {
        let batch = [refusal("1", Some("CRM-1")), refusal("2", None), refusal("1", Some("CRM-1"))];
        let written = fixture.ledger.refuse(&batch, &fixture.lessee).await.expect("refuse");
        assert_eq!(written.replies, [Ok(true), Ok(true), Ok(false)]);
        assert_eq!(written.events.len(), 1);
        assert_eq!(written.events[0].kind, Kind::Rejected);
        assert_eq!(written.events[0].routing_key(), "unknown.request.rejected");
        let again = fixture.ledger.refuse(&batch, &fixture.lessee).await.expect("refuse");
        assert_eq!(again.replies, [Ok(false), Ok(false), Ok(false)]);
        let problems = fixture.ledger.problems(10).await.expect("problems");
        assert_eq!(problems.len(), 2);
        let Problem::Refused { reason, path, .. } = &problems[0] else { panic!("{problems:?}") };
        assert_eq!((reason.as_str(), path.as_deref()), ("12345 is not text", Some("location.uprn")));
    }
}
