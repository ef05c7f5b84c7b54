//! Who comes in over HTTP: keys in whatever way a CRM can send them, what each speaks for, what is told of those who are
//! refused, and how keys and secrets are changed while the router is in use.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use reqwest::header::{ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CONTENT_ENCODING, WWW_AUTHENTICATE};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Program, dovetail};
use crate::services::{FreshSqlite, http};

const SYSTEM: &str = "system: acme\nname: Works team (acme)\nrole: back_office\n\
     owner: {team: Works, contact: works@example.org}\n\
     connection: {base_url: \"http://127.0.0.1:9\", auth: none, timeout: 1s}\nidempotency: none\n\
     completion:\n  webhook:\n    path: PATH\n    verify: VERIFY\n    \
     reports: {job: $.number, status: $.status}\n\
     statuses:\n  Open: {progress: received}\n  Done: {disposition: completed}\n";

const JOB: &str = "service: works.job\nname: A job\nclose: {automatically: [completed]}\n\
     create: {post: /jobs, json: {reference: $.ticket}, accepted: {when: {status: 201}, job: $.job}}\n";

const KEYS: &str = "keys = [\n\
     {name = \"test\", key = \"the-key-of-the-tests\", councils = [\"*\"]},\n\
     {name = \"harlow forms\", key = \"the-key-of-harlow-now\", old_key = \"the-key-of-harlow-before\", \
      councils = [\"harlow\"]},\n\
     {name = \"both\", key = \"the-key-of-two-councils\", councils = [\"harlow\", \"epping\"]},\n]\n";

const KEY: &str = "the-key-of-the-tests";
const HARLOW: &str = "the-key-of-harlow-now";
const BOTH: &str = "the-key-of-two-councils";
const BASIC: &str = "{basic: {username: acme, password: not-a-secret, old_password: not-a-secret-before}}";

/// The doors with one system, whose webhook is at a path.
struct Stage {
    ledger: FreshSqlite,
    mappings: TempDir,
}

impl Stage {
    fn new() -> Self {
        Self::with("/callbacks/acme", BASIC)
    }

    fn with(path: &str, verify: &str) -> Self {
        let stage = Self { ledger: FreshSqlite::new(), mappings: tempfile::tempdir().expect("a folder") };
        stage.write("systems/acme/job.yaml", JOB);
        stage.write("routes.yaml", "routes:\n  - {service: works.job, to: [acme]}\n");
        stage.webhook("acme", path, verify);
        stage
    }

    fn webhook(&self, name: &str, path: &str, verify: &str) {
        let system = SYSTEM.replace("system: acme", &format!("system: {name}"));
        let system = system.replace("PATH", path).replace("VERIFY", verify);
        self.write(&format!("systems/{name}/system.yaml"), &system);
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.mappings.path().join(file);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn config(&self, keys: &str) -> String {
        format!(
            "[http]\n{keys}[ledger]\nurl = \"{}\"\n[mappings]\nfolder = \"{}\"\n",
            self.ledger.url(),
            self.mappings.path().display()
        )
    }

    async fn start(&self) -> Program {
        Program::serve_with(&self.config(KEYS), &[]).await
    }

    async fn refused(&self, keys: &str, environment: &[(&str, &str)]) -> String {
        let environment: Vec<(String, String)> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        match Program::try_serve(&self.config(keys), &environment).await {
            Ok(_) => panic!("it starts"),
            Err(said) => said,
        }
    }

    async fn lint(&self) -> String {
        let folder = self.mappings.path().display().to_string();
        let output = dovetail(&["lint", &folder]).await;
        assert!(!output.status.success(), "the lint has nothing to say");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    async fn output(&self, arguments: &[&str]) -> String {
        let output = dovetail(&[arguments, &["--database", &self.ledger.url()]].concat()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn request(ticket: &str, council: &str) -> Value {
    json!({"ticket": ticket, "council": council, "service": "works.job", "raised_at": "2026-11-23T09:00:00Z",
        "summary": "Bin broken"})
}

fn event(id: &str, kind: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/crm/test", "type": format!("uk.dovetail.request.{kind}.v1"),
        "data": data})
}

fn submitted(number: usize) -> String {
    event(&format!("e-{number}"), "submitted", &request(&format!("CRM-{number}"), "harlow")).to_string()
}

fn posted(program: &Program, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
    http().post(program.url(path)).header("content-type", "application/cloudevents+json").body(body)
}

async fn answer(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

async fn status(request: RequestBuilder) -> u16 {
    answer(request).await.status().as_u16()
}

fn header(response: &Response, name: impl reqwest::header::AsHeaderName) -> String {
    let values = response.headers().get_all(name).iter();
    values.map(|value| value.to_str().expect("text").to_owned()).collect::<Vec<_>>().join("; ")
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(body).expect("packed");
    packer.finish().expect("packed")
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut packer = ZlibEncoder::new(Vec::new(), Compression::default());
    packer.write_all(body).expect("packed");
    packer.finish().expect("packed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_comes_in_by_each_way_that_a_crm_can_send_it() {
    let stage = Stage::new();
    let program = stage.start().await;
    for (number, (name, value)) in [
        ("authorization", format!("Bearer {KEY}")),
        ("authorization", format!("bearer {KEY}")),
        ("authorization", format!("BEARER   {KEY}")),
        ("x-api-key", KEY.to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        let sent = posted(&program, "/v1/requests", submitted(number)).header(name, &value);
        assert_eq!(status(sent).await, 202, "{name}: {value}");
    }
    let sent = posted(&program, "/v1/requests", submitted(10)).basic_auth("test", Some(KEY));
    assert_eq!(status(sent).await, 202);
    let sent = posted(&program, "/v1/requests/", submitted(11)).bearer_auth(KEY);
    assert_eq!(status(sent).await, 202, "a slash at the end");
    let sent = posted(&program, "/v1/requests", submitted(12)).basic_auth("another", Some(KEY));
    assert_eq!(status(sent).await, 401, "the key of another name");
    let sent = answer(posted(&program, "/v1/requests", submitted(13))).await;
    assert_eq!(sent.status(), 401);
    let expected = header(&sent, WWW_AUTHENTICATE);
    for scheme in ["Bearer realm=", "Basic realm=", "header=\"x-api-key\""] {
        assert!(expected.contains(scheme), "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_body_is_taken_within_its_bound_and_another_encoding_is_told_what_is() {
    let stage = Stage::new();
    let program = stage.start().await;
    let packed = |body: Vec<u8>, encoding: &'static str| {
        posted(&program, "/v1/requests", body).bearer_auth(KEY).header(CONTENT_ENCODING, encoding)
    };
    assert_eq!(status(packed(gzip(submitted(1).as_bytes()), "gzip")).await, 202);
    assert_eq!(status(packed(gzip(submitted(2).as_bytes()), "x-gzip")).await, 202);
    assert_eq!(status(packed(deflate(submitted(3).as_bytes()), "deflate")).await, 202);
    assert_eq!(status(packed(submitted(4).into_bytes(), "identity")).await, 202);
    let refused = answer(packed(submitted(5).into_bytes(), "br")).await;
    assert_eq!(refused.status(), 415);
    assert_eq!(header(&refused, ACCEPT_ENCODING), "gzip, deflate");
    assert_eq!(status(packed(submitted(6).into_bytes(), "gzip")).await, 400, "not packed at all");

    let before = program.peak_memory().expect("its memory");
    let bomb = gzip(&vec![b' '; 1 << 30]);
    assert!(bomb.len() < 2 << 20, "a gigabyte in {} bytes", bomb.len());
    for _ in 0..3 {
        let refused = answer(packed(bomb.clone(), "gzip")).await;
        assert_eq!(refused.status(), 413);
        assert!(refused.text().await.expect("a text").contains("larger than it may be"));
    }
    let swollen = program.peak_memory().expect("its memory") - before;
    assert!(swollen < 256 << 20, "{swollen} bytes more");

    let event = json!({"number": "W-1", "status": "Open"}).to_string();
    let callback = http()
        .post(program.url("/callbacks/acme"))
        .basic_auth("acme", Some("not-a-secret"))
        .header("content-type", "application/json")
        .header(CONTENT_ENCODING, "gzip")
        .body(gzip(event.as_bytes()));
    assert_eq!(status(callback).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_looks_whether_a_door_is_there_is_told_how_it_is_used() {
    let stage = Stage::new();
    let program = stage.start().await;
    let options = |path: &str| http().request(Method::OPTIONS, program.url(path));
    for path in ["/v1/requests", "/callbacks/acme", "/callbacks/acme/"] {
        let asked = options(path)
            .header("WebHook-Request-Origin", "eventgrid.azure.net")
            .header("WebHook-Request-Rate", "120");
        let permitted = answer(asked).await;
        assert_eq!(permitted.status(), 200, "{path}");
        assert_eq!(header(&permitted, "webhook-allowed-origin"), "eventgrid.azure.net");
        assert_eq!(header(&permitted, "webhook-allowed-rate"), "120");
        assert_eq!(header(&permitted, ALLOW), "OPTIONS, POST");
        let plain = answer(options(path)).await;
        assert_eq!((plain.status().as_u16(), header(&plain, "webhook-allowed-origin").as_str()), (204, ""));
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let looked = answer(http().request(method.clone(), program.url(path))).await;
            assert_eq!(looked.status(), 405, "{method} {path}");
            let allowed = header(&looked, ALLOW);
            assert!(allowed.contains("POST") && allowed.contains("OPTIONS"), "{allowed}");
        }
    }
    let lower = "basic YWNtZTpub3QtYS1zZWNyZXQ=";
    for path in ["/callbacks/acme", "/callbacks/acme/"] {
        let callback = http()
            .post(program.url(path))
            .header(AUTHORIZATION, lower)
            .body("{\"number\": \"W-1\", \"status\": \"Open\"}");
        assert_eq!(status(callback).await, 200, "{path}");
    }
    let stranger = answer(http().post(program.url("/callbacks/acme")).body("{}")).await;
    assert_eq!(stranger.status(), 401);
    assert_eq!(header(&stranger, WWW_AUTHENTICATE), "Basic realm=\"dovetail\", charset=\"UTF-8\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_speaks_for_its_councils_only_also_in_what_is_refused() {
    let stage = Stage::new();
    let program = stage.start().await;
    let sent = |key: &str, body: String| posted(&program, "/v1/requests", body).bearer_auth(key);
    assert_eq!(
        status(sent(KEY, event("1", "submitted", &request("CRM-1", "epping")).to_string())).await,
        202
    );
    // What is about another council's ticket is refused before anything is kept, well formed or not.
    let cancelled = json!({"ticket": "CRM-1", "council": "epping", "reason": "changed their mind"});
    let mut of_another = vec![
        event("2", "submitted", &request("CRM-2", "epping")).to_string(),
        event("3", "withdrawn", &cancelled).to_string(),
        event("4", "amended", &json!({"ticket": "CRM-1", "council": "epping", "changes": {"summary": "x"}}))
            .to_string(),
        event("5", "reopened", &cancelled).to_string(),
        event("6", "unheard-of", &cancelled).to_string(),
        event("7", "submitted", &json!({"ticket": "CRM-1", "council": "epping", "service": 7})).to_string(),
    ];
    let mut without_id = event("8", "submitted", &request("CRM-1", "epping"));
    without_id.as_object_mut().expect("an object").remove("id");
    of_another.push(without_id.to_string());
    let whole = event("9", "submitted", &request("CRM-1", "epping")).to_string();
    of_another.push(whole[..whole.len() - 1].to_owned());
    for body in &of_another {
        let refused = answer(sent(HARLOW, body.clone())).await;
        assert_eq!(refused.status(), 403, "{body}");
        let said = refused.text().await.expect("a text");
        assert!(said.contains("harlow forms") && said.contains("epping"), "{said}");
    }
    let batch = json!([
        event("10", "submitted", &request("CRM-10", "harlow")),
        event("11", "submitted", &request("CRM-11", "epping"))
    ]);
    let refused =
        sent(HARLOW, batch.to_string()).header("content-type", "application/cloudevents-batch+json");
    let refused = http().execute({
        let mut built = refused.build().expect("a request");
        built
            .headers_mut()
            .insert("content-type", "application/cloudevents-batch+json".parse().expect("a type"));
        built
    });
    assert_eq!(refused.await.expect("an answer").status(), 403, "the whole batch");
    assert_eq!(
        status(sent(HARLOW, whole.trim_end_matches('}').to_owned())).await,
        422,
        "nothing could be read"
    );
    // A ticket whose council is not said may be another's: the one council of a key is taken for it, or the ticket left out.
    for (key, id) in [(HARLOW, "12"), (BOTH, "13")] {
        let unsaid = event(id, "submitted", &json!({"ticket": "CRM-1", "service": "works.job"})).to_string();
        assert_eq!(status(sent(key, unsaid)).await, 422);
    }
    let problems = stage.output(&["problems", "--output", "json"]).await;
    let problems: Value = serde_json::from_str(&problems).expect("JSON");
    let mut refused: Vec<(Value, Value, Value)> = problems["problems"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|problem| problem["kind"] == "refused")
        .map(|problem| (problem["sent_with"].clone(), problem["council"].clone(), problem["ticket"].clone()))
        .collect();
    refused.sort_by_key(|(name, _, ticket)| format!("{name} {ticket}"));
    let expected = [
        (json!("both"), Value::Null, Value::Null),
        (json!("harlow forms"), json!("harlow"), json!("CRM-1")),
        (json!("harlow forms"), json!("harlow"), Value::Null),
    ];
    assert_eq!(refused, expected);
    let told = stage.output(&["tickets", "show", "CRM-1", "--council", "epping"]).await;
    assert!(!told.contains("could not be understood") && !told.contains("does not want it"), "{told}");
    assert!(told.contains("Sent with the key “test”"), "{told}");
    let own = event("14", "withdrawn", &cancelled).to_string().replace("epping", "harlow");
    assert_eq!(status(sent(HARLOW, own)).await, 202, "its own ticket, early");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_counted_and_cannot_flood_the_log_and_whoever_is_known_is_named() {
    let stage = Stage::new();
    let program = stage.start().await;
    for number in 0..50 {
        let sent = posted(&program, "/v1/requests", submitted(number)).bearer_auth("hunter-two-and-more");
        assert_eq!(status(sent).await, 401);
        let called =
            http().post(program.url("/callbacks/acme")).basic_auth("acme", Some("hunter-two")).body("{}");
        assert_eq!(status(called).await, 401);
    }
    let of_another = event("1", "submitted", &request("CRM-1", "epping")).to_string();
    assert_eq!(status(posted(&program, "/v1/requests", of_another).bearer_auth(HARLOW)).await, 403);
    let sent = posted(&program, "/v1/requests", submitted(77)).bearer_auth(HARLOW);
    assert_eq!(status(sent).await, 202);
    let log = program.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("a caller was not let in")).collect();
    assert_eq!(lines.len(), 2, "one a door, {log}");
    assert!(lines.iter().all(|line| line.contains("127.0.0.1")), "{log}");
    assert!(!log.contains("hunter"), "what was offered in place of a secret is not shown");
    let metrics = answer(http().get(program.page("/metrics"))).await.text().await.expect("a text");
    for line in [
        "dovetail_http_denied_total{door=\"requests\",reason=\"wrong\"} 50",
        "dovetail_http_denied_total{door=\"acme\",reason=\"wrong\"} 50",
        "dovetail_http_denied_total{door=\"requests\",reason=\"council\"} 1",
        "dovetail_http_keys_used_total{name=\"harlow forms\",secret=\"current\"} 2",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let told = stage.output(&["tickets", "show", "CRM-77", "--council", "harlow"]).await;
    assert!(told.contains("Sent with the key “harlow forms”") && !told.contains(HARLOW), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_and_a_secret_are_changed_while_both_are_valid_and_the_old_ones_are_refused_afterwards() {
    let stage = Stage::new();
    let program = stage.start().await;
    let sent = |program: &Program, number: usize, key: &str| {
        posted(program, "/v1/requests", submitted(number)).bearer_auth(key)
    };
    let called = |program: &Program, password: &str| {
        let event = json!({"number": "W-1", "status": "Open"}).to_string();
        http().post(program.url("/callbacks/acme")).basic_auth("acme", Some(password)).body(event)
    };
    assert_eq!(status(sent(&program, 1, "the-key-of-harlow-before")).await, 202);
    assert_eq!(status(sent(&program, 2, HARLOW)).await, 202);
    assert_eq!(status(called(&program, "not-a-secret-before")).await, 200);
    assert_eq!(status(called(&program, "not-a-secret")).await, 200);
    let metrics = answer(http().get(program.page("/metrics"))).await.text().await.expect("a text");
    for line in [
        "dovetail_http_keys_used_total{name=\"harlow forms\",secret=\"old\"} 1",
        "dovetail_http_keys_used_total{name=\"harlow forms\",secret=\"current\"} 1",
        "dovetail_webhook_secrets_used_total{system=\"acme\",secret=\"old\"} 1",
        "dovetail_webhook_secrets_used_total{system=\"acme\",secret=\"current\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    program.stop().await;

    stage.webhook("acme", "/callbacks/acme", "{basic: {username: acme, password: not-a-secret}}");
    let without_old = KEYS.replace("old_key = \"the-key-of-harlow-before\", ", "");
    let program = Program::serve_with(&stage.config(&without_old), &[]).await;
    assert_eq!(status(sent(&program, 3, "the-key-of-harlow-before")).await, 401);
    assert_eq!(status(sent(&program, 3, HARLOW)).await, 202);
    assert_eq!(status(called(&program, "not-a-secret-before")).await, 401);
    assert_eq!(status(called(&program, "not-a-secret")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_secret_stops_the_start_and_is_named() {
    let stage = Stage::with("/callbacks/acme", "{basic: {username: acme, password: \"${ACME_PASSWORD}\"}}");
    for blank in ["", "  "] {
        let said = stage.refused(KEYS, &[("ACME_PASSWORD", blank)]).await;
        assert!(said.contains("systems/acme/system.yaml:10: found basic with an empty password"), "{said}");
        assert!(said.contains("${ACME_PASSWORD} is set, but empty"), "{said}");
    }
    let said = stage.refused(KEYS, &[]).await;
    assert!(said.contains("systems/acme/system.yaml") && said.contains("not set: ACME_PASSWORD"), "{said}");
    let keys = "keys = [{name = \"web forms\", key = \"${FORMS_KEY}\", councils = [\"*\"]}]\n";
    let said = stage.refused(keys, &[("FORMS_KEY", ""), ("ACME_PASSWORD", "x")]).await;
    assert!(
        said.contains("the key of \"web forms\": key is empty") && said.contains("${FORMS_KEY}"),
        "{said}"
    );
    stage.webhook("acme", "/callbacks/acme", "{standard_webhooks: {secret: \"no base 64!\"}}");
    let said = stage.refused(KEYS, &[]).await;
    assert!(said.contains("systems/acme/system.yaml") && said.contains("whsec_ and Base64"), "{said}");
    stage.webhook("acme", "/callbacks/acme", "{hmac_sha256: {header: X-Signature, secret: \"\"}}");
    assert!(stage.lint().await.contains("hmac_sha256 with an empty secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_cannot_be_reached_where_it_says_is_refused_by_lint_and_at_the_start() {
    for path in [
        "/v1/requests",
        "/metrics",
        "/health/live",
        "\"/callbacks/{job}\"",
        "\"/callbacks/*\"",
        "/callbacks/acme/",
        "callbacks",
    ] {
        let stage = Stage::with(path, BASIC);
        let (linted, said) = (stage.lint().await, stage.refused(KEYS, &[]).await);
        for told in [&linted, &said] {
            assert!(told.contains("systems/acme/system.yaml:9: found path: "), "{path}: {told}");
            assert!(told.contains("expected a plain path such as /callbacks/waste"), "{path}: {told}");
            assert!(!told.contains("panicked"), "{path}: {told}");
        }
    }
    let stage = Stage::new();
    stage.webhook("other", "/callbacks/acme", BASIC);
    let (linted, said) = (stage.lint().await, stage.refused(KEYS, &[]).await);
    for told in [&linted, &said] {
        assert!(
            told.contains("systems/other/system.yaml")
                && told.contains("the webhook path /callbacks/acme of acme"),
            "{told}"
        );
    }
}
