//! The short set of faults; `tests/faults` plays them all. Each ends with the checker.

use router::failpoint::{Point, Write};

use tests::matrix::{Database, Played, Row, Strike, play};

async fn holds(row: Row, seed: u64) -> Played {
    let played = play(&row, seed).await;
    played.verdict.assert_holds();
    assert!(played.verdict.tally.closed > 0, "{}: tickets closed", row.name);
    played
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_after_it_accepted_and_before_it_acknowledged_loses_nothing() {
    holds(Row::crash(Point::After(Write::Accept)), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_while_a_call_is_under_way_finds_out_what_came_of_it() {
    holds(Row::crash(Point::Sent), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_before_an_outcome_is_written_does_nothing_twice() {
    holds(Row::crash(Point::Before(Write::Record)), 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_after_a_completion_is_written_closes_once() {
    holds(Row::crash(Point::After(Write::Complete)), 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_killed_before_a_confirmed_event_is_marked_tells_it_under_the_same_id() {
    holds(Row::crash(Point::Confirmed), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_whose_disk_was_full_goes_on_when_there_is_room_again_and_ends_when_it_is_told_to() {
    holds(Row::new("full-disk", Strike::FullDisk, Database::Sqlite, 1), 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_router_killed_and_started_again_refuses_no_more_webhooks_than_one_that_goes_on() {
    holds(Row::new("only-router", Strike::OnlyRouter, Database::Postgres, 1), 13).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_says_nothing_for_five_seconds_loses_nothing() {
    holds(Row::new("silent-database", Strike::SilentDatabase, Database::Postgres, 1), 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_routers_killed_at_random_lose_nothing_and_do_nothing_twice() {
    holds(Row::new("kill", Strike::Kill, Database::Postgres, 3), 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_carried_out_and_reported_as_failed_changes_nothing_for_any_ticket() {
    holds(Row::new("late-writes", Strike::LateWrites, Database::Postgres, 1), 7).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_that_stood_still_for_longer_than_its_leases_does_nothing_twice() {
    holds(Row::new("freeze", Strike::Freeze, Database::Postgres, 3), 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_kills_whoever_reads_it_is_refused_and_its_neighbours_close() {
    let played = holds(Row::new("deadly", Strike::Deadly, Database::Postgres, 1), 11).await;
    let log = played.logs.join("\n");
    assert!(log.contains("a delivery that routers did not survive is refused"), "{log}");
    assert_eq!(log.matches("aborted on purpose by what was read").count(), 4, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_nested_lists_is_refused_in_little_memory_and_its_neighbours_close() {
    holds(Row::new("nested-lists", Strike::NestedLists, Database::Sqlite, 1), 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_callers_on_every_connection_of_both_listeners_keep_no_ticket_from_closing() {
    holds(Row::new("slow-clients", Strike::SlowClients, Database::Sqlite, 1), 13).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_with_few_descriptors_keeps_enough_of_them_for_its_calls() {
    holds(Row::new("descriptors", Strike::Descriptors, Database::Postgres, 1), 14).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_call_in_twenty_costs_each_its_own_time_and_no_more() {
    holds(Row::new("one-in-twenty", Strike::OneInTwenty, Database::Sqlite, 1), 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fail_point_is_come_by_in_a_journey() {
    let played = holds(Row::new("tour", Strike::Tour, Database::Postgres, 1), 9).await;
    let log = played.logs.join("\n");
    let missed: Vec<&str> = Point::all()
        .into_iter()
        .map(Point::as_str)
        .filter(|name| !log.contains(&format!("point=\"{name}\"")))
        .collect();
    assert!(missed.is_empty(), "a crash at these points would prove nothing: {missed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_acknowledges_before_it_writes_is_caught_by_the_checker() {
    let row = Row::new("acknowledges-first", Strike::AcknowledgesFirst, Database::Postgres, 1);
    let played = play(&row, 10).await;
    let tally = played.verdict.tally;
    assert!(tally.lost > 0 && tally.closed > 0, "{tally:?}");
    assert!(played.verdict.findings.iter().any(|finding| finding.contains("nobody has it")));
}
