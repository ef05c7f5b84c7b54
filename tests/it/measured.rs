//! What `/metrics` says of a router that has done some work.

use std::io::Write as _;
use std::process::{Command, Stdio};

use router::telemetry::METRICS;

use crate::council::{Council, Crm, submit};
use crate::journeys::settled;
use crate::services::{FreshSqlite, amqp_url, http};

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_a_router_at_work_has_its_text_and_type_and_promtool_finds_no_fault() {
    let ledger = FreshSqlite::new();
    let council = Council::new(&ledger.url(), &amqp_url(), Crm::Simulated, 17).await;
    let program = council.start().await;
    let tickets = council.open_simulated(4).await;
    for (number, ticket) in tickets.iter().enumerate() {
        submit(&program, &format!("measured-{ticket}"), ticket, number).await;
    }
    let stranger = http().post(program.url("/v1/requests")).bearer_auth("not a key").body("{}");
    assert_eq!(stranger.send().await.expect("an answer").status(), 401);
    let _hears = council.broker.connect().await;
    settled(&ledger.url(), 4).await;
    let answer = http().get(program.page("/metrics")).send().await.expect("an answer");
    let text = answer.text().await.expect("text");
    for metric in METRICS {
        let name = metric.name;
        assert!(
            text.contains(&format!("\n# HELP {name} ")) || text.starts_with(&format!("# HELP {name} ")),
            "{name} has no text"
        );
        let sampled = ["", "_sum"].iter().any(|suffix| {
            text.lines().any(|line| {
                line.strip_prefix(&format!("{name}{suffix}")).is_some_and(|rest| rest.starts_with([' ', '{']))
            })
        });
        assert!(sampled, "{name} has no value:\n{text}");
    }
    // Others describe their own, as what waits: each name has its text and its type.
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let sample = line.split([' ', '{']).next().unwrap_or_default();
        let bare = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| sample.strip_suffix(suffix));
        for word in ["HELP", "TYPE"] {
            let has = |name: &str| text.lines().any(|line| line.starts_with(&format!("# {word} {name} ")));
            assert!(has(sample) || bare.is_some_and(has), "{sample} has no {word}");
        }
    }

    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs: tests/services install puts it there");
    promtool.stdin.take().expect("its input").write_all(text.as_bytes()).expect("it reads");
    let checked = promtool.wait_with_output().expect("it ends");
    let said =
        format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert!(checked.status.success() && said.trim().is_empty(), "{said}\n{text}");
    assert!(program.stop().await.success());
}
