//! What is served where, line by line, and what each line needs. A new endpoint without a line here fails.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use connectors::simulator::{Credentials, Kind};
use mappings::mapping::OWN_PATHS;
use router::app::App;
use router::config::Config;
use router::listen::{Endpoint, Needs, Sockets};
use tokio::net::TcpListener;

use crate::program::{Program, dovetail_with};
use crate::services::{FreshSqlite, http};

/// Listener, method, path, what it needs, and what a stranger is answered who brings nothing.
type Line = (&'static str, &'static str, &'static str, Needs, u16);

const LINES: [Line; 15] = [
    ("doors", "POST", "/v1/requests", Needs::Key, 401),
    ("doors", "POST", "/v1/requests/{crm}", Needs::Key, 401),
    ("doors", "GET", "/v1/tickets/{council}/{reference}", Needs::Key, 401),
    ("doors", "POST", "/callbacks/partner", Needs::Proof, 401),
    ("doors", "POST", "/callbacks/waste", Needs::Proof, 401),
    ("doors", "GET", "/health/live", Needs::Nothing, 200),
    ("doors", "GET", "/health/ready", Needs::Nothing, 200),
    ("console", "GET", "/", Needs::Nothing, 200),
    ("console", "GET", "/tickets", Needs::Nothing, 303),
    ("console", "GET", "/tickets/{council}/{reference}", Needs::Nothing, 404),
    ("console", "GET", "/problems", Needs::Nothing, 200),
    ("console", "GET", "/console.css", Needs::Nothing, 200),
    // The recorder is one for a process, and other tests run beside this one.
    ("console", "GET", "/metrics", Needs::Nothing, 404),
    ("console", "GET", "/health/live", Needs::Nothing, 200),
    ("console", "GET", "/health/ready", Needs::Nothing, 200),
];

/// A router in this process, on the shipped mappings, whose systems are all away.
async fn start(database: &FreshSqlite) -> App {
    let away: Vec<(&str, String)> = Kind::ALL
        .iter()
        .flat_map(|kind| Credentials::default().environment(*kind, "http://127.0.0.1:9"))
        .collect();
    let resolve = |name: &str| away.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let mut config = Config::defaults().expect("valid");
    config.ledger.url = database.url();
    config.mappings.systems = Kind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect();
    let sources = router::library::read(None).expect("mappings");
    let doors = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let console = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let _tls = http();
    App::start(&config, &sources, &resolve, Sockets { doors, console }, None).await.expect("it starts")
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> u16 {
    let method = method.parse().expect("a method");
    // A redirection is an answer.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.timeout(std::time::Duration::from_secs(20)).build().expect("a client");
    let asked = client.request(method, format!("http://{address}{path}")).send().await;
    asked.expect("an answer").status().as_u16()
}

fn address(app: &App, listener: &str) -> SocketAddr {
    if listener == "doors" { app.address } else { app.console }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_is_listed_and_a_stranger_gets_no_more_than_its_line_says() {
    let database = FreshSqlite::new();
    let app = start(&database).await;
    let line = |listener: &'static str, endpoint: &Endpoint| {
        format!("{listener} {} {} {:?}", endpoint.method, endpoint.path, endpoint.needs)
    };
    let mut served: Vec<String> = app
        .endpoints
        .iter()
        .flat_map(|(listener, endpoints)| endpoints.iter().map(|endpoint| line(listener, endpoint)))
        .collect();
    let mut listed: Vec<String> = LINES
        .iter()
        .map(|(listener, method, path, needs, _)| format!("{listener} {method} {path} {needs:?}"))
        .collect();
    served.sort();
    listed.sort();
    assert_eq!(served, listed, "what is served has a line in {}, and what has one is served", file!());

    let first = |path: &str| path.split('/').nth(1).unwrap_or_default().to_owned();
    let all = app.endpoints.iter().flat_map(|(_, endpoints)| endpoints);
    let own: BTreeSet<String> =
        all.filter(|endpoint| endpoint.needs != Needs::Proof).map(|endpoint| first(&endpoint.path)).collect();
    let refused = OWN_PATHS.iter().map(ToString::to_string).chain([String::new()]).collect();
    assert_eq!(own, refused, "no webhook may have a path of ours");

    for (listener, method, pattern, needs, expected) in LINES {
        let slashed = format!("{}/", pattern.trim_end_matches('/'));
        let other = if method == "GET" { "POST" } else { "GET" };
        assert_eq!(ask(address(&app, listener), other, &slashed).await, 405, "{listener} {other} {slashed}");
        let path =
            pattern.replace("{crm}", "crm").replace("{council}", "harlow").replace("{reference}", "CRM-1");
        assert_eq!(ask(address(&app, listener), method, &path).await, expected, "{listener} {method} {path}");
        if needs != Needs::Nothing {
            assert_eq!(expected, 401, "{path} needs {needs:?}");
        }
        for other in ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().filter(|other| *other != method) {
            assert_eq!(ask(address(&app, listener), other, &path).await, 405, "{listener} {other} {path}");
        }
        let is_on_both = pattern.starts_with("/health/");
        let elsewhere = if listener == "doors" { "console" } else { "doors" };
        let there = ask(address(&app, elsewhere), method, &path).await;
        assert!(is_on_both || there == 404, "{method} {path} on {elsewhere}: {there}");
    }
    for listener in ["doors", "console"] {
        for path in ["/nowhere", "/v1", "/v1/", "/callbacks/", "/callbacks/housing", "/health", "//"] {
            assert_eq!(ask(address(&app, listener), "GET", path).await, 404, "{listener} {path}");
        }
    }
    app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_answers_no_name_but_its_own_and_the_doors_only_theirs_where_they_have_some() {
    let database = FreshSqlite::new();
    let config = format!(
        "[http]\nhosts = [\"doors.example\"]\n[console]\nhosts = [\"console.example\"]\n[ledger]\nurl = {:?}\n",
        database.url()
    );
    let program = Program::serve(&config).await;
    let called = async |url: String, host: &str| {
        let answer = http().get(url).header("host", host).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    for path in
        ["/", "/problems", "/tickets/harlow/CRM-1", "/metrics", "/health/ready", "/console.css", "/nowhere"]
    {
        let (status, text) = called(program.page(path), "evil.example").await;
        assert_eq!(status, 421, "{path}: {text}");
        assert!(text.contains("no name of this server"), "{text}");
    }
    for host in ["console.example", "localhost", "127.0.0.1:1", "[::1]"] {
        assert_eq!(called(program.page("/"), host).await.0, 200, "{host}");
    }
    assert_eq!(called(program.url("/health/live"), "evil.example").await.0, 421);
    assert_eq!(called(program.url("/health/live"), "console.example").await.0, 421);
    assert_eq!(called(program.url("/health/live"), "doors.example").await.0, 200);
    assert!(program.stop().await.success());
}

#[tokio::test]
async fn pages_without_a_sign_in_are_not_exposed_unless_that_is_said() {
    let variable = |name: &str, value: &str| (format!("DOVETAIL__CONSOLE__{name}"), value.to_owned());
    let everywhere = variable("LISTEN", "0.0.0.0:0");
    for command in ["serve", "check"] {
        let output = dovetail_with(&[command], std::slice::from_ref(&everywhere)).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{command}: {said}");
        assert!(
            said.contains("DOVETAIL__CONSOLE__LISTEN: 0.0.0.0:0 can be reached from other machines"),
            "{said}"
        );
        assert!(said.contains("console.expose_personal_data_without_sign_in = true"), "{said}");
    }
    let database = FreshSqlite::new();
    let config = format!("[ledger]\nurl = {:?}\n", database.url());
    let exposed =
        [everywhere, variable("EXPOSE_PERSONAL_DATA_WITHOUT_SIGN_IN", "true")].map(|pair| pair.to_owned());
    let away =
        Kind::ALL.iter().flat_map(|kind| Credentials::default().environment(*kind, "http://127.0.0.1:9"));
    let environment: Vec<(String, String)> =
        away.map(|(name, value)| (name.to_owned(), value)).chain(exposed).collect();
    let systems = crate::program::SYSTEMS;
    let program =
        Program::serve_with(&format!("{config}[mappings]\nsystems = {systems}\n"), &environment).await;
    assert!(program.console().ip().is_unspecified());
    let page = http().get(format!("http://127.0.0.1:{}/", program.console().port())).send().await;
    assert_eq!(page.expect("a page").status(), 200);
}
