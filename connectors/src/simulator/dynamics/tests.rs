use reqwest::Method;
use serde_json::{Value, json};

use crate::simulator::Kind;
use crate::simulator::rig::{Answered, Rig, send, still};

const DATA: &str = "/api/data/v9.2";

async fn ask(rig: &Rig, scope: &str, secret: &str) -> Answered {
    let body =
        format!("grant_type=client_credentials&scope={scope}&client_id=dovetail&client_secret={secret}");
    rig.post("/tenant/oauth2/v2.0/token", &body).await
}

async fn token(rig: &Rig) -> String {
    let scope = format!("{}/.default", rig.sim.url());
    let answer = ask(rig, &scope, "dovetail").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn call(rig: &Rig, token: &str, method: Method, path: &str, body: Value) -> Answered {
    let call = rig.call(method, &format!("{DATA}/{path}")).bearer_auth(token).body(body.to_string());
    send(call).await.unwrap()
}

async fn read(rig: &Rig, token: &str, number: &str) -> Value {
    let path = format!("incidents?$filter=ticketnumber%20eq%20'{number}'");
    call(rig, token, Method::GET, &path, json!({})).await.json()["value"][0].clone()
}

fn opened(title: &str) -> Value {
    json!({"title": title, "customerid_contact@odata.bind": format!("/contacts({})", super::CUSTOMER)})
}

fn resolution(id: &Value, status: i64) -> Value {
    json!({"IncidentResolution": {"@odata.type": "Microsoft.Dynamics.CRM.incidentresolution", "subject": "Done",
           "description": "All done.", "incidentid@odata.bind": format!("/incidents({})", id.as_str().unwrap())},
           "Status": status})
}

#[tokio::test]
async fn a_token_is_given_for_the_right_secret_and_scope_only() {
    let rig = Rig::start(Kind::CrmDynamics, still()).await;
    let scope = format!("{}/.default", rig.sim.url());
    let wrong = ask(&rig, &scope, "guess").await;
    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &json!("invalid_client")));
    let wrong = ask(&rig, "elsewhere", "dovetail").await;
    assert_eq!((wrong.status, &wrong.json()["error"]), (400, &json!("invalid_scope")));
    let wrong = rig.post("/tenant/oauth2/v2.0/token", "grant_type=password").await;
    assert_eq!((wrong.status, &wrong.json()["error"]), (400, &json!("unsupported_grant_type")));
    assert_eq!(call(&rig, "guess", Method::GET, "incidents", json!({})).await.status, 401);
    let good = token(&rig).await;
    assert_eq!(call(&rig, &good, Method::GET, "incidents", json!({})).await.status, 400, "no filter");
    assert_eq!(rig.get("/_sim/counts").await["tokens"], 1);
    let revoked = send(rig.call(Method::DELETE, "/_sim/tokens")).await.unwrap();
    assert_eq!(revoked.json(), json!({"revoked": 1}));
    assert_eq!(call(&rig, &good, Method::GET, "incidents", json!({})).await.status, 401);
}

#[tokio::test]
async fn a_case_is_resolved_once_and_then_refuses() {
    let rig = Rig::start(Kind::CrmDynamics, still()).await;
    let token = token(&rig).await;
    let made = call(&rig, &token, Method::POST, "incidents", opened("Bin missed")).await;
    assert_eq!((made.status, made.body.as_str()), (204, ""));
    let case = read(&rig, &token, "1").await;
    assert_eq!((&case["statecode"], &case["title"]), (&json!(0), &json!("Bin missed")));
    let closed = call(&rig, &token, Method::POST, "CloseIncident", resolution(&case["incidentid"], 5)).await;
    assert_eq!((closed.status, closed.body.as_str()), (204, ""));
    let again = call(&rig, &token, Method::POST, "CloseIncident", resolution(&case["incidentid"], 5)).await;
    assert_eq!(again.status, 400);
    assert!(again.json()["error"]["message"].as_str().unwrap().contains("already been resolved"));
    assert_eq!(read(&rig, &token, "1").await["statecode"], 1);
    let ticket = rig.get("/_sim/tickets/1").await;
    assert_eq!((&ticket["closures"], &ticket["messages"]), (&json!(1), &json!(["All done."])));
}

#[tokio::test]
async fn a_note_under_one_id_is_one_note() {
    let rig = Rig::start(Kind::CrmDynamics, still()).await;
    let token = token(&rig).await;
    let case = read(&rig, &token, "CAS-1").await;
    let bind = format!("/incidents({})", case["incidentid"].as_str().unwrap());
    let body = json!({"notetext": "said", "objectid_incident@odata.bind": bind});
    let path = "annotations(0191f2aa-5d1c-7c3e-8f21-3d6f9b1deb4d)";
    for _ in 0..2 {
        assert_eq!(call(&rig, &token, Method::PATCH, path, body.clone()).await.status, 204);
    }
    let notes = &rig.get("/_sim/tickets/CAS-1").await["notes"];
    assert_eq!(*notes, json!({"0191f2aa-5d1c-7c3e-8f21-3d6f9b1deb4d": "said"}));
    let elsewhere = json!({"objectid_incident@odata.bind": "/incidents(gone)"});
    assert_eq!(call(&rig, &token, Method::PATCH, path, elsewhere).await.status, 404);
}

#[tokio::test]
async fn a_case_is_cancelled_under_its_version() {
    let rig = Rig::start(Kind::CrmDynamics, still()).await;
    let token = token(&rig).await;
    let case = read(&rig, &token, "CAS-1").await;
    rig.post("/_sim/tickets/CAS-1/set", r#"{"status": "stalled"}"#).await;
    let path = format!("incidents({})", case["incidentid"].as_str().unwrap());
    let cancel = async |etag: &Value| {
        let url = format!("{DATA}/{path}");
        let call =
            rig.call(Method::PATCH, &url).bearer_auth(&token).header("if-match", etag.as_str().unwrap());
        send(call.body(r#"{"statecode": 2, "statuscode": 6}"#)).await.unwrap()
    };
    let stale = cancel(&case["@odata.etag"]).await;
    assert_eq!((stale.status, &stale.json()["error"]["code"]), (412, &json!("0x80060882")));
    let fresh = read(&rig, &token, "CAS-1").await["@odata.etag"].clone();
    assert_eq!(cancel(&fresh).await.status, 204);
    assert_eq!(read(&rig, &token, "CAS-1").await["statecode"], 2);
}

#[tokio::test]
async fn a_case_under_an_id_of_the_callers_own_is_opened_once_and_connected() {
    let rig = Rig::start(Kind::CrmDynamics, still()).await;
    let token = token(&rig).await;
    let first = read(&rig, &token, "CAS-1").await["incidentid"].clone();
    let key = "0191f2aa-5d1c-7c3e-8f21-3d6f9b1deb4d";
    let only_new = async |path: &str, body: Value| {
        let call = rig.call(Method::PATCH, &format!("{DATA}/{path}({key})")).bearer_auth(&token);
        send(call.header("if-none-match", "*").body(body.to_string())).await.unwrap().status
    };
    assert_eq!(only_new("incidents", json!({"title": "Whose?"})).await, 400, "nobody's case");
    assert_eq!(only_new("incidents", opened("Wheels")).await, 204);
    assert_eq!(only_new("incidents", opened("Wheels")).await, 412);
    let bind = |id: &str| format!("/incidents({id})");
    let ends = json!({"record1id_incident@odata.bind": bind(first.as_str().unwrap()),
                      "record2id_incident@odata.bind": bind(key)});
    assert_eq!(only_new("connections", ends.clone()).await, 204);
    assert_eq!(only_new("connections", ends).await, 412);
    let new = call(&rig, &token, Method::GET, &format!("incidents({key})?$select=title"), json!({})).await;
    assert_eq!((&new.json()["incidentid"], &new.json()["title"]), (&json!(key), &json!("Wheels")));
    let all = rig.get("/_sim/tickets").await;
    assert_eq!(all.as_array().map(Vec::len), Some(2));
    assert_eq!((&all[1]["refers_to"], &all[1]["subject"]), (&json!("CAS-1"), &json!("Wheels")));
    let gone =
        json!({"record1id_incident@odata.bind": bind("gone"), "record2id_incident@odata.bind": bind(key)});
    assert_eq!(only_new("connections", gone).await, 404);
}

#[tokio::test]
async fn whose_a_case_is_and_what_that_is_are_said_when_they_are_asked_for() {
    let rig = Rig::start(Kind::CrmDynamics, still()).await;
    let token = token(&rig).await;
    let case = read(&rig, &token, "CAS-1").await;
    let url = format!("{DATA}/incidents({})?$select=_customerid_value", case["incidentid"].as_str().unwrap());
    let prefer = "odata.include-annotations=\"Microsoft.Dynamics.CRM.lookuplogicalname\"";
    let asked = rig.call(Method::GET, &url).bearer_auth(&token).header("prefer", prefer);
    let said = send(asked).await.unwrap().json();
    assert_eq!(said["_customerid_value"], json!(super::CUSTOMER));
    assert_eq!(said["_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"], "contact");
    assert_eq!(case["_customerid_value"], Value::Null, "nobody asked");
}

#[tokio::test]
async fn errors_are_codes_and_messages() {
    let rig = Rig::start(Kind::CrmDynamics, still()).await;
    let token = token(&rig).await;
    let case = read(&rig, &token, "CAS-1").await;
    let wrong = call(&rig, &token, Method::POST, "CloseIncident", resolution(&case["incidentid"], 7)).await;
    assert_eq!((wrong.status, &wrong.json()["error"]["code"]), (400, &json!("0x80048408")));
    let gone = json!("2f6b1c1e-7a55-4e11-0000-0000000000ff");
    let wrong = call(&rig, &token, Method::POST, "CloseIncident", resolution(&gone, 5)).await;
    assert_eq!(wrong.status, 404);
    assert_eq!(call(&rig, &token, Method::GET, "accounts", json!({})).await.status, 404);
    assert_eq!(read(&rig, &token, "77").await, Value::Null, "a number that was never given");
}
