//! Operations that go on where they stopped, and credentials that are fetched anew on the way.

use std::time::Duration;

use super::tests::{Depot, delivered, made, page, token};
use crate::scripted::{Turn, answer};
use crate::{Carried, Outcome, Performed};

fn carried(performed: Performed) -> (Carried, Option<Duration>, String) {
    let Outcome::Pending { after, reason, carried } = performed.outcome else {
        panic!("{:?}", performed.outcome)
    };
    (*carried, after, reason)
}

fn job(carried: &Carried) -> Option<&str> {
    carried.job.as_ref().map(|job| job.as_str())
}

#[tokio::test]
async fn a_number_that_comes_later_is_asked_for_and_the_order_is_not_made_again() {
    let turns = [
        token("a-secret"),
        page(r#"{"token": "T-1"}"#),
        page("{}"),
        answer(503, &["retry-after: 60"], ""),
        Turn::Silence,
        page(r#"{"id": "293944"}"#),
    ];
    let depot = Depot::start(turns).await;
    let (first, after, reason) = carried(depot.perform("with-number").await);
    assert_eq!((job(&first), after), (Some("T-1"), None), "until then it is known by the token");
    assert_eq!(reason, "no number yet; step submit was carried out and is not repeated");
    let (second, after, _) = carried(depot.resume("with-number", &first).await);
    assert_eq!((&second, after), (&first, Some(Duration::from_secs(60))), "busy is not yet, too");
    let (third, ..) = carried(depot.resume("with-number", &second).await);
    assert_eq!(third, first, "and so is silence: nothing was asked but a question");
    assert_eq!(delivered(&depot.resume("with-number", &third).await.outcome), (Some("293944"), None));
    let number = "GET /tokens/T-1";
    assert_eq!(depot.asked(), ["POST /token", "POST /jobs", number, number, number, number]);
    assert!(!format!("{first:?}").contains("a-secret"), "what is stored is a secret: {first:?}");
}

#[tokio::test]
async fn what_goes_on_in_another_router_fetches_what_was_stored_there() {
    let depot = Depot::start([token("a"), page(r#"{"token": "T-1"}"#), page("{}")]).await;
    let (first, ..) = carried(depot.perform("with-number").await);
    let heir = Depot::start([token("b"), page(r#"{"id": "293944"}"#)]).await;
    assert_eq!(delivered(&heir.resume("with-number", &first).await.outcome).0, Some("293944"));
    assert_eq!(heir.asked(), ["POST /token", "GET /tokens/T-1"]);
}

#[tokio::test]
async fn a_step_that_the_mapping_has_no_more_leaves_the_job_as_it_is_known() {
    let depot = Depot::start([token("a"), page(r#"{"token": "T-1"}"#), page("{}")]).await;
    let (first, ..) = carried(depot.perform("with-number").await);
    let depot = Depot::start([]).await;
    let performed = depot.resume("order", &first).await;
    assert_eq!(delivered(&performed.outcome), (Some("T-1"), None));
    assert!(depot.asked().is_empty());
}

#[tokio::test]
async fn a_stored_token_that_is_refused_is_fetched_anew_in_the_same_attempt() {
    for status in [401, 403] {
        let turns = [token("first"), made("1"), answer(status, &[], "no"), token("second"), made("2")];
        let depot = Depot::start(turns).await;
        assert_eq!(delivered(&depot.perform("with-token").await.outcome).0, Some("1"));
        assert_eq!(delivered(&depot.perform("with-token").await.outcome).0, Some("2"), "{status}");
        let asked = depot.asked();
        assert_eq!(asked, ["POST /token", "POST /jobs", "POST /jobs", "POST /token", "POST /jobs"]);
        assert!(depot.scripted.requests()[4].contains("authorization: Bearer second"));
    }
}

#[tokio::test]
async fn a_token_that_is_refused_again_is_a_matter_of_trying_later() {
    let turns = [
        token("1"),
        made("1"),
        answer(401, &[], ""),
        token("2"),
        answer(401, &[], ""),
        token("3"),
        made("2"),
    ];
    let depot = Depot::start(turns).await;
    depot.perform("with-token").await;
    assert_eq!(depot.perform("with-token").await.outcome.word(), "retry", "once an attempt");
    assert_eq!(delivered(&depot.perform("with-token").await.outcome).0, Some("2"), "both were thrown away");
}

#[tokio::test]
async fn a_refusal_that_only_the_mapping_knows_has_a_token_fetched_anew_and_the_order_stands() {
    for status in [200, 400] {
        let over = || answer(status, &["content-type: application/json"], r#"{"error": "session over"}"#);
        let turns = [
            token("first"),
            page(r#"{"token": "T-1"}"#),
            page(r#"{"id": "1"}"#),
            page(r#"{"token": "T-2"}"#),
            over(),
            token("second"),
            page(r#"{"id": "2"}"#),
        ];
        let depot = Depot::start(turns).await;
        assert_eq!(delivered(&depot.perform("with-number").await.outcome).0, Some("1"));
        assert_eq!(delivered(&depot.perform("with-number").await.outcome).0, Some("2"), "{status}");
        let asked = depot.asked()[3..].join(", ");
        assert_eq!(asked, "POST /jobs, GET /tokens/T-2, POST /token, GET /tokens/T-2", "ordered once");
        assert!(depot.scripted.requests()[6].contains("x-token: second"));
    }
}

#[tokio::test]
async fn without_anything_to_fetch_anew_such_a_refusal_is_a_matter_of_trying_later() {
    let over = page(r#"{"error": "session over"}"#);
    let depot = Depot::start([token("first"), page(r#"{"token": "T-1"}"#), over]).await;
    let (_, _, reason) = carried(depot.perform("with-number").await);
    assert!(reason.starts_with("the session is over"), "{reason}");
    assert_eq!(depot.asked().len(), 3, "the token had just been fetched");
}
