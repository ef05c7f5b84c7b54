pub(crate) mod seed;

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use tower::ServiceExt as _;

use super::*;
use crate::clock::Clock;
use seed::{Seed, at};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    html: String,
}

impl Answer {
    /// The words of the page, without its marks.
    fn text(&self) -> String {
        let mut text = String::new();
        let mut inside = false;
        for c in self.html.chars() {
            match c {
                '<' => inside = true,
                '>' => {
                    inside = false;
                    text.push(' ');
                }
                c if !inside => text.push(c),
                _ => {}
            }
        }
        let text = text.replace("&#39;", "'").replace("&#34;", "\"");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn says(&self, words: &str) {
        let text = self.text();
        assert!(text.contains(words), "{words:?} is not in: {text}");
    }
}

async fn ask(seed: &Seed, method: Method, path: &str) -> Answer {
    let clock = Clock::stopped_at(at(30));
    let readiness = watch::Sender::new(Readiness { dead_letters: seed.dead_letters, ..Readiness::default() });
    let desk = Desk {
        ledger: Arc::clone(&seed.ledger),
        catalogue: Arc::clone(&seed.catalogue),
        clock,
        readiness: readiness.subscribe(),
        crowds: Crowds::new(&crate::config::Config::defaults().expect("valid")),
    };
    let routes = crate::listen::router(&endpoints(&desk, None), fallback());
    let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
    let response = routes.oneshot(request).await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    Answer { status, headers, html: String::from_utf8(body.to_vec()).expect("UTF-8") }
}

async fn get(seed: &Seed, path: &str) -> Answer {
    ask(seed, Method::GET, path).await
}

#[tokio::test]
async fn what_the_broker_has_set_aside_waits_for_a_person() {
    let mut seed = Seed::new().await;
    seed.dead_letters = 2;
    let page = get(&seed, "/problems").await;
    page.says("The broker has set messages aside: 2.");
    page.says("dovetail dead list");
    assert!(!page.text().contains("Nothing waits"), "{}", page.text());
}

#[tokio::test]
async fn problems_are_paged_and_the_last_page_ends_them() {
    let seed = Seed::new().await;
    for number in 0..60 {
        seed.delivered("harlow", &format!("CRM-{number}"), &number.to_string()).await;
        seed.heard(&number.to_string(), "Not Out", None).await;
    }
    let page = get(&seed, "/problems").await;
    page.says("60 wait: 60 held.");
    page.says("10 more held: the next page");
    let (_, link) = page.html.split_once("/problems?kind=held&#38;after=").expect("a link");
    let after = link.split('"').next().expect("its end");
    let last = get(&seed, &format!("/problems?kind=held&after={after}")).await;
    last.says("All that waits for a person");
    last.says("dovetail problems --kind held --after");
    assert_eq!(last.html.matches("came in").count(), 10);
    assert!(!last.text().contains("the next page"));
    assert_eq!(get(&seed, "/problems?kind=nonsense").await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&seed, "/problems?after=1.2").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_first_page_has_the_search_box_and_the_newest_tickets() {
    let seed = Seed::town().await;
    let page = get(&seed, "/").await;
    assert_eq!(page.status, StatusCode::OK);
    page.says("Ticket reference");
    page.says("CRM-1 harlow Missed bin Closed: the work was done 23 Nov 2026, 09:01");
    page.says("CRM-4 harlow Missed bin Waiting for a decision");
    page.says("CRM-5 harlow Missed bin Open, stuck: a person is needed");
    assert!(page.html.contains(r#"<label for="reference">"#) && page.html.contains(r#"id="reference""#));
}

#[tokio::test]
async fn an_empty_ledger_says_so() {
    let seed = Seed::new().await;
    get(&seed, "/").await.says("No ticket has come in yet.");
    get(&seed, "/problems").await.says("Nothing waits for a person.");
}

#[tokio::test]
async fn a_reference_leads_to_the_page_of_its_ticket() {
    let seed = Seed::town().await;
    let found = get(&seed, "/tickets?reference=+CRM-3+").await;
    assert_eq!(found.status, StatusCode::SEE_OTHER);
    assert_eq!(found.headers[LOCATION], "/tickets/harlow/CRM-3");
    let odd = get(&seed, "/tickets?reference=CRM%2F8+%23%C3%A9").await;
    let page = get(&seed, odd.headers[LOCATION].to_str().expect("an address")).await;
    page.says("Ticket CRM/8 #é");
    page.says("dovetail tickets show 'CRM/8 #é' --council harlow");
    assert_eq!(get(&seed, "/tickets?reference=").await.headers[LOCATION], "/");
    assert_eq!(get(&seed, "/tickets").await.headers[LOCATION], "/");
}

#[tokio::test]
async fn a_reference_of_several_councils_lets_the_reader_choose() {
    let seed = Seed::town().await;
    let page = get(&seed, "/tickets?reference=CRM-7").await;
    assert_eq!(page.status, StatusCode::OK);
    page.says("Several councils have a ticket with this reference");
    assert!(page.html.contains("/tickets/harlow/CRM-7") && page.html.contains("/tickets/epping/CRM-7"));
}

#[tokio::test]
async fn a_ticket_that_is_not_known_is_said_in_plain_words_with_the_search_box() {
    let seed = Seed::town().await;
    for path in
        ["/tickets?reference=CRM-99", "/tickets/harlow/CRM-99", "/tickets/epping/CRM-1", "/tickets/X!/CRM-99"]
    {
        let page = get(&seed, path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        page.says("Dovetail does not know a ticket “CRM-");
        page.says("Find a ticket");
    }
    for path in ["/tickets?reference=a&reference=b", "/tickets/harlow/%FF"] {
        let page = get(&seed, path).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{path}");
        page.says("That is not a ticket’s reference");
    }
    let page = get(&seed, "/nowhere").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    page.says("There is no such page");
}

#[tokio::test]
async fn a_ticket_in_work_tells_who_has_it_and_quotes_them_harmlessly() {
    let seed = Seed::town().await;
    let page = get(&seed, "/tickets/harlow/CRM-3").await;
    page.says("With Environmental services: it is being worked on.");
    page.says("Team Waste operations Contact waste@example.gov.uk Their reference 1003");
    page.says("A crew is on its way.");
    page.says("What happens next? Environmental services tells us when something changes, and is also asked every 15 minutes.");
    page.says("Target: 2 working days, due Wed 25 Nov 17:00, 2 % used.");
    assert!(
        page.html.contains("<blockquote><p>In Progress – Crew 4 &#60;script&#62;alert(1)"),
        "{}",
        page.html
    );
    assert!(!page.html.contains("<script"), "{}", page.html);
}

#[tokio::test]
async fn a_ticket_that_does_not_get_through_says_when_it_is_tried_next() {
    let seed = Seed::town().await;
    let page = get(&seed, "/tickets/harlow/CRM-6").await;
    page.says("Not with Environmental services yet: it did not get through.");
    page.says("The next try is today at 09:45. It is try 2 of 3");
}

#[tokio::test]
async fn closed_tickets_say_how_they_ended_and_what_the_customer_is_told() {
    let seed = Seed::town().await;
    let page = get(&seed, "/tickets/harlow/CRM-1").await;
    page.says("Closed: the work was done.");
    page.says("Nothing: it is finished.");
    page.says("The customer is told: The bin has been emptied.");
    page.says("The ticket was closed in Council CRM.");
    get(&seed, "/tickets/harlow/CRM-2")
        .await
        .says("Nothing: it is finished. A person had closed it already.");
    let refused = get(&seed, "/tickets/harlow/CRM%2F8%20%23%C3%A9").await;
    refused.says("it had been reported already");
    refused.says("it refused: it had been reported already. a worksheet is already open");
}

#[tokio::test]
async fn what_waits_for_a_person_is_listed_by_kind_with_reasons() {
    let seed = Seed::town().await;
    let page = get(&seed, "/problems").await;
    page.says("Tickets that need a decision");
    page.says("CRM-4 Missed bin, harlow");
    page.says("Environmental services says they came, but could not get in: “Not Out”");
    page.says("The request lacks something: the contact centre can help.");
    page.says("Uprn: nothing at $.location.uprn.");
    page.says("News of work that Dovetail did not order");
    page.says("their reference 9999");
    page.says("Ticket CRM-9");
    page.says("location.uprn : A number; expected a string.");
}

#[tokio::test]
async fn no_page_shows_the_customer_or_a_script_and_every_page_forbids_them() {
    let seed = Seed::town().await;
    for path in
        ["/", "/problems", "/tickets/harlow/CRM-5", "/tickets/harlow/CRM-6", "/tickets?reference=CRM-7", "/x"]
    {
        let page = get(&seed, path).await;
        assert!(!page.html.contains("Lamb") && !page.html.contains("07700"), "{path}");
        assert!(!page.html.contains("<script"), "{path}");
        let policy = page.headers[CONTENT_SECURITY_POLICY].to_str().expect("text");
        assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"), "{policy}");
        assert!(
            page.html.contains(r#"<html lang="en-GB">"#) && page.html.contains(r#"<main id="main""#),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_console_has_a_stylesheet_and_takes_no_writes() {
    let seed = Seed::new().await;
    let styles = get(&seed, "/console.css").await;
    assert_eq!(styles.headers["content-type"], "text/css; charset=utf-8");
    for path in ["/", "/problems", "/tickets", "/tickets/harlow/CRM-1"] {
        assert_eq!(ask(&seed, Method::POST, path).await.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
}
