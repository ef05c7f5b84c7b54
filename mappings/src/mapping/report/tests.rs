//! Reports read from answers, lists and rows.

use serde_json::json;

use super::super::check::tests::lower;
use super::super::yaml;
use super::*;

fn reports(mapping: &str) -> Reports {
    let mut check = Check::new("f.yaml", &lower);
    let reports = Reports::compile(&mut check, &yaml::parse(mapping).expect("yaml"));
    assert!(check.findings.is_empty(), "{:?}", check.findings);
    reports.expect("compiled")
}

fn whole(mapping: &str, body: &str) -> Result<Reading, ReadError> {
    let reports = reports(mapping);
    let mut answer = Answer { status: 200, headers: vec![], body: body.into() };
    let list = reports.separate(&mut answer, &[])?;
    reports.read(&answer, list.as_ref(), None, &[])
}

fn read(mapping: &str, body: &str) -> Result<Vec<Report>, ReadError> {
    whole(mapping, body).map(|reading| reading.reports)
}

const LIST: &str = r#"
    each: $..Worksheet
    job: "@.Id"
    reference: "@.Ref"
    status: "@.Status"
    at: {from: "@.When", date: {input: "%d/%m/%Y %H:%M", zone: Europe/London}}
    note: {join: ["@.Note[*]"], with: "; "}
    key: {template: "{@.Id}-{@.When}"}"#;

#[test]
fn one_element_and_many_read_alike() {
    let one =
        "<R><Worksheet><Id>7</Id><Status> Not Out </Status><When>01/07/2026 10:15</When></Worksheet></R>";
    let report = Report {
        key: Some("7-01/07/2026 10:15".into()),
        job: Job::parse("7").ok(),
        reference: None,
        said: "Not Out".into(),
        at: "2026-07-01T09:15:00Z".parse().ok(),
        note: None,
        one_of_several: false,
    };
    assert_eq!(read(LIST, one), Ok(vec![report.clone()]));
    let two = "<R><Worksheet><Id>7</Id><Status>Not Out</Status><When>01/07/2026 10:15</When></Worksheet>\
               <Worksheet><Ref>CRM-1</Ref><When>soon</When><Note>a</Note><Note>b</Note></Worksheet></R>";
    let read = read(LIST, two).expect("readable");
    assert_eq!(read[0], report);
    assert_eq!(read[1].reference, Ticket::parse("CRM-1").ok());
    assert_eq!((read[1].said.as_str(), read[1].at, read[1].note.as_deref()), ("", None, Some("a; b")));
}

#[test]
fn an_empty_list_is_no_report() {
    for body in ["<R/>", "<R><Worksheet/></R>"] {
        assert_eq!(read(LIST, body), Ok(vec![]), "{body}");
    }
    assert!(read(LIST, "<html/>").is_err());
    let jobs = "{each: $.result.jobs, job: \"@.id\", status: \"@.s\"}";
    for body in [r#"{"result": {"jobs": []}}"#, r#"{"result": {}}"#, r#"{"result": null}"#] {
        assert_eq!(read(jobs, body), Ok(vec![]), "{body}");
    }
    let nothing = Answer { status: 204, headers: vec![], body: String::new() };
    assert_eq!(reports(jobs).read(&nothing, None, None, &[]), Ok(Reading::default()));
}

#[test]
fn an_answer_without_the_place_of_the_list_is_no_empty_list() {
    let jobs = "{each: $.result.jobs, job: \"@.id\", status: \"@.s\"}";
    for body in ["", "OK", "7", "{}", r#"{"message": "maintenance"}"#, "[]"] {
        let error = read(jobs, body).expect_err(body);
        assert!(error.reason.contains("where a list was expected at $.result.jobs"), "{error}");
    }
    assert!(read(LIST, "").is_err());
}

#[test]
fn a_single_event_must_name_its_job() {
    let mapping = "{job: $.id, status: $.state}";
    assert_eq!(read(mapping, r#"{"id": 7, "state": "done"}"#).map(|reports| reports.len()), Ok(1));
    assert!(read(mapping, r#"{"state": "done"}"#).expect_err("refused").reason.contains("neither a job"));
    assert!(read(mapping, "").is_err());
}

fn said(mapping: &str, body: &str) -> Vec<(Option<String>, Option<String>, Option<String>)> {
    let text = |report: &Report| {
        let job = report.job.as_ref().map(ToString::to_string);
        (report.key.clone(), job, report.reference.as_ref().map(ToString::to_string))
    };
    read(mapping, body).expect("readable").iter().map(text).collect()
}

#[test]
fn an_item_that_names_several_of_our_references_is_a_report_for_each() {
    let mapping =
        "{each: \"$.jobs[*]\", job: \"@.no\", reference: \"@.refs\", status: \"@.s\", key: \"@.no\"}";
    let some = |text: &str| Some(text.to_owned());
    let expected = ["CRM-1", "CRM-2", "CRM-7"].map(|of| (some(&format!("W-1/{of}")), some("W-1"), some(of)));
    for refs in [
        r#""CRM-1, CRM-2;CRM-7""#,
        r#""CRM-1 ;CRM-2,, CRM-7, CRM-1;""#,
        r#"["CRM-1", "CRM-2", "CRM-7"]"#,
        r#"["CRM-1", "CRM-2;CRM-7", null]"#,
    ] {
        let body = format!("{{\"jobs\": [{{\"no\": \"W-1\", \"refs\": {refs}, \"s\": \"Done\"}}]}}");
        assert_eq!(said(mapping, &body), expected, "{refs}");
        let several = read(mapping, &body).expect("readable");
        assert!(several.iter().all(|report| report.one_of_several));
    }
    let alone = r#"{"jobs": [{"no": "W-1", "refs": "CRM 1", "s": "Done"}]}"#;
    assert_eq!(said(mapping, alone), [(some("W-1"), some("W-1"), some("CRM 1"))]);
    let xml = "<R><Job><No>W-1</No><Refs><Ref>CRM-1/aa</Ref><Ref>CRM-2/bb</Ref></Refs></Job></R>";
    let mapping = "{each: $.R.Job, job: \"@.No\", reference: {from: \"@.Refs.Ref\", replace: {pattern: \"/.*$\", with: \"\"}}, status: \"@.S\"}";
    let references: Vec<_> = said(mapping, xml).into_iter().map(|(.., reference)| reference).collect();
    assert_eq!(references, [some("CRM-1"), some("CRM-2")]);
}

#[test]
fn what_separates_references_is_said_by_the_mapping() {
    let references = |split: &str, refs: &str| -> Vec<Option<String>> {
        let mapping = format!("{{job: $.no, reference: {{from: $.refs, split: {split}}}, status: $.s}}");
        let body = json!({"no": "W-1", "refs": refs}).to_string();
        said(&mapping, &body).into_iter().map(|(.., reference)| reference).collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(references("\"[|/ ]+\"", "A-1 | A-2/A-3"), [some("A-1"), some("A-2"), some("A-3")]);
    assert_eq!(references("none", "Smith, 12; A"), [some("Smith, 12; A")]);
    assert_eq!(references("\"[,; ]+\"", "A-1"), [some("A-1")]);
    let many = (0..=MOST_REFERENCES).map(|n| format!("A-{n}")).collect::<Vec<_>>().join(",");
    let error = read("{job: $.no, reference: $.refs}", &json!({"no": 1, "refs": many}).to_string());
    assert!(error.expect_err("too many").reason.contains("at most 200"));
}

#[test]
fn an_item_that_cannot_be_one_is_set_aside_with_its_text_and_the_others_are_heard() {
    let mapping = "{each: \"$.jobs[*]\", job: \"@.no\", reference: \"@.ref\", status: \"@.s\", \
                   at: {from: \"@.at\", required: true}}";
    let at = "2026-11-23T09:00:00Z";
    let items = [
        json!({"no": "W-1", "s": "Done", "at": at}),
        json!({"no": "x".repeat(10_000), "s": "Done", "at": at}),
        json!({"s": "Done", "at": at}),
        json!({"no": "W-2", "s": "Done", "at": "soon"}),
        json!({"no": "W-3", "s": "Done"}),
        json!({"ref": "y".repeat(500), "s": "Done", "at": at}),
        json!({"no": "W-4", "ref": format!("CRM-4,{}", "z".repeat(500)), "s": "Done", "at": at}),
        json!({}),
    ];
    let found = whole(mapping, &json!({"jobs": items}).to_string()).expect("readable");
    let jobs: Vec<_> = found.reports.iter().map(|report| report.job.clone()).collect();
    assert_eq!(jobs, [Job::parse("W-1").ok(), Job::parse("W-4").ok()]);
    let reasons: Vec<_> = found.set_aside.iter().map(|bad| bad.reason.as_str()).collect();
    for (reason, part) in reasons.iter().zip([
        "a job that cannot be one, of 10000 letters",
        "neither a job nor our reference",
        "a time that cannot be read",
        "at: @.at is absent or empty",
        "a reference that is no ticket's, of 500 letters",
        "a reference that is no ticket's, of 500 letters",
    ]) {
        assert!(reason.starts_with(part), "{reason}");
    }
    assert_eq!(reasons.len(), 6);
    assert_eq!(found.set_aside[1].text, items[2].to_string());
    let lenient = mapping.replace("{from: \"@.at\", required: true}", "\"@.at\"");
    let found = whole(&lenient, &json!({"jobs": items}).to_string()).expect("readable");
    assert_eq!(found.reports.len(), 4, "a date that is not required may be wrong");
}

#[test]
fn rows_of_others_are_passed_over_and_counted() {
    let mapping = "{each: \"$.jobs[*]\", when: {path: \"@.ref\", matches: \"^CRM-\"}, job: \"@.no\", reference: \"@.ref\", status: \"@.s\"}";
    let body =
        r#"{"jobs": [{"no": 1, "ref": "CRM-1"}, {"no": 2, "ref": "COUNTER-17"}, {"no": 3}, {"s": "?"}]}"#;
    let found = whole(mapping, body).expect("readable");
    assert_eq!((found.reports.len(), found.passed_over, found.set_aside.len()), (1, 3, 0));
    let row = reports("{when: {path: $.Ref, matches: \"^CRM-\"}, job: $.No, reference: $.Ref, status: $.S}");
    let of = |ours: &str| row.of_row(&json!({"No": "1", "Ref": ours, "S": "Done"})).expect("a row");
    assert!(matches!(of("CRM-1, CRM-2"), Row::Says(reports) if reports.len() == 2));
    assert_eq!(of("APP:88123"), Row::PassedOver);
    let alone = whole("{when: {path: $.mine, is: \"yes\"}, job: $.no}", r#"{"no": 1, "mine": "no"}"#);
    assert_eq!(alone.map(|reading| (reading.reports.len(), reading.passed_over)), Ok((0, 1)));
}

#[test]
fn an_item_about_one_job_need_not_name_it() {
    let mapping = reports("{each: \"$.history[*]\", job: \"@.no\", status: \"@.s\"}");
    let answer = Answer { status: 200, headers: vec![], body: r#"{"history": [{"s": "Done"}]}"#.into() };
    let about = Job::parse("W-1").expect("a job");
    let found = mapping.read(&answer, None, Some(&about), &[]).expect("readable");
    assert_eq!(found.reports[0].job, Some(about));
    let found = mapping.read(&answer, None, None, &[]).expect("readable");
    assert_eq!((found.reports.len(), found.set_aside.len()), (0, 1));
}

#[test]
fn a_long_list_is_read_item_by_item_and_one_that_is_no_list_is_not() {
    let item = json!({"no": "W-1", "s": "Open", "note": "x".repeat(200)}).to_string();
    let long = format!("{{\"code\": 0, \"jobs\": [{}]}}", vec![item; 20_000].join(", "));
    assert!(long.len() > TREE);
    let mapping = reports("{each: \"$.jobs[*]\", job: \"@.no\", status: \"@.s\"}");
    let mut answer = Answer { status: 200, headers: vec![], body: long.clone() };
    let list = mapping.separate(&mut answer, &[]).expect("a list");
    assert!(answer.body.len() < 500, "what its rules look at is small: {}", answer.body.len());
    assert_eq!(mapping.read(&answer, list.as_ref(), None, &[]).expect("readable").reports.len(), 20_000);
    let sliced = reports("{each: \"$.jobs[0:9]\", job: \"@.no\", status: \"@.s\"}");
    let mut answer = Answer { status: 200, headers: vec![], body: long };
    let refused = sliced.separate(&mut answer, &[]).map(|list| list.is_some()).expect_err("too large");
    assert!(refused.reason.contains("larger than 4 MiB"), "{refused}");
}

#[test]
fn an_item_that_is_too_large_is_set_aside() {
    let mapping = "{each: \"$.jobs[*]\", job: \"@.no\", status: \"@.s\"}";
    let jobs = [json!({"no": 1}), json!({"no": 2, "note": "x".repeat(2 << 20)}), json!({"no": 3})];
    let found = whole(mapping, &json!({"jobs": jobs}).to_string()).expect("readable");
    assert_eq!((found.reports.len(), found.set_aside.len()), (2, 1));
    let bad = &found.set_aside[0];
    assert!(bad.reason.ends_with("expected at most 1 MiB") && bad.text.len() <= 16 << 10, "{}", bad.reason);
    assert!(bad.size > 2 << 20);
}

/// The catalogue of the shipped mappings, with something for every variable.
fn shipped() -> crate::mapping::Catalogue {
    let sources: Vec<_> = crate::mapping::shipped();
    let value = |name: &str| match name {
        name if name.ends_with("_URL") => Some("https://system.test".to_owned()),
        name if name.contains("SFTP") || name.contains("INBOX") => None,
        _ => Some("c2VjcmV0".to_owned()),
    };
    let catalogue = crate::mapping::Catalogue::compile(&sources, &value);
    catalogue.unwrap_or_else(|found| panic!("{found:?}"))
}

#[test]
fn the_shipped_lists_are_heard_with_some_thousand_updates_at_once() {
    let partner: String = (0..8_000)
        .map(|n| {
            format!(
                "<request_update><update_id>{n}</update_id><service_request_id>S-{n}</service_request_id>\
                 <customer_reference>CRM-{n}</customer_reference><status>fixed</status>\
                 <updated_datetime>2026-11-22T10:00:00Z</updated_datetime><description>{}</description></request_update>",
                if n == 17 { "left by&nbsp;the gate" } else { "Filled and levelled." }
            )
        })
        .collect();
    let partner = format!("<service_request_updates>{partner}</service_request_updates>");
    let waste: String = (0..8_000)
        .map(|n| {
            format!(
                "<Worksheet><WorksheetId>{n}</WorksheetId><WorksheetRef>CRM-{n}/0123456789ab</WorksheetRef>\
                 <WorksheetStatusName>Completed</WorksheetStatusName><CompletedDate>2026-11-22T10:00:00</CompletedDate>\
                 <ModifiedDate>2026-11-22T10:00:00</ModifiedDate><WorksheetNotes>{}</WorksheetNotes></Worksheet>",
                "Collected. ".repeat(5)
            )
        })
        .collect();
    let waste = format!(
        "<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body><R><ErrorCode>0</ErrorCode>\
         <Worksheets>{waste}</Worksheets></R></s:Body></s:Envelope>"
    );
    let catalogue = shipped();
    for (system, call, body, good, bad) in
        [("partner", "updates", partner, 7_999, 1), ("waste", "changed-worksheets", waste, 8_000, 0)]
    {
        assert!(body.len() > 2 << 20, "{system}: {}", body.len());
        let name = crate::domain::SystemName::parse(system).expect("a name");
        let step = &catalogue.system(&name).and_then(|found| found.call(call)).expect("a call").steps[0];
        let headers = vec![("Content-Type".to_owned(), "text/xml; charset=utf-8".to_owned())];
        let mut received = crate::mapping::Received::from(Answer { status: 200, headers, body });
        let list = step.separate(&mut received);
        assert!(list.is_some(), "{system}");
        assert!(matches!(step.read(&received), crate::mapping::Verdict::Accepted { .. }), "{system}");
        let found = step.reports(&received.answer, list.as_ref(), None).expect("readable");
        assert_eq!((found.reports.len(), found.set_aside.len()), (good, bad), "{system}");
        assert_eq!(found.reports[1].reference, Ticket::parse("CRM-1").ok(), "{system}");
    }
}
