use http::{HeaderName, HeaderValue};
use mappings::mapping::{Catalogue, Source};

use super::*;

/// The example of the Standard Webhooks specification.
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNED: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        })
        .collect()
}

fn standard(signature: &str, timestamp: &str, now: i64) -> Result<SecretAge, Refused> {
    let headers = headers(&[
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", timestamp),
        ("webhook-signature", signature),
    ]);
    let secret = Secrets::one(Secret::new(KEY.into()));
    let now = Timestamp::from_second(now).expect("a time");
    verify(&Verify::StandardWebhooks { secret }, &headers, BODY, now)
}

#[test]
fn the_example_of_the_standard_webhooks_specification_is_believed() {
    assert_eq!(standard(SIGNED, "1614265330", 1_614_265_330), Ok(SecretAge::Current));
    let at = Timestamp::from_second(1_614_265_330).expect("a time");
    let ours = sign(&Secret::new(KEY.into()), "msg_p5jXN8AQM9LWM0D4loKWxJek", at, BODY);
    assert_eq!(ours.as_deref(), Ok(SIGNED));
}

#[test]
fn one_of_several_signatures_is_enough() {
    let several = format!("v1,AAAA v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B v1,?? {SIGNED}");
    assert_eq!(standard(&several, "1614265330", 1_614_265_330), Ok(SecretAge::Current));
}

#[test]
fn a_signature_of_another_secret_or_time_is_wrong() {
    let wrong = Err(Refused::Wrong("webhook-signature".into()));
    assert_eq!(standard("v1,AAAA", "1614265330", 1_614_265_330), wrong);
    assert_eq!(standard(SIGNED, "1614265331", 1_614_265_330), wrong);
    assert_eq!(standard(&SIGNED.replace("v1,", "v2,"), "1614265330", 1_614_265_330), wrong);
}

#[test]
fn a_replayed_timestamp_is_stale_before_and_after() {
    assert_eq!(standard(SIGNED, "1614265330", 1_614_265_630), Ok(SecretAge::Current));
    assert_eq!(standard(SIGNED, "1614265330", 1_614_265_631), Err(Refused::Stale(301)));
    assert_eq!(standard(SIGNED, "1614265330", 1_614_265_029), Err(Refused::Stale(301)));
}

#[test]
fn missing_and_malformed_headers_are_named() {
    let secret = Secrets::one(Secret::new(KEY.into()));
    let verdict =
        verify(&Verify::StandardWebhooks { secret }, &HeaderMap::new(), BODY, Timestamp::UNIX_EPOCH);
    assert_eq!(verdict, Err(Refused::Missing("webhook-id".into())));
    let verdict = standard(SIGNED, "yesterday", 0);
    assert_eq!(
        verdict.expect_err("refused").to_string(),
        "webhook-timestamp is not of its form: expected seconds since 1970"
    );
    assert!(standard(SIGNED, "99999999999999999", 0).is_err());
}

#[test]
fn an_empty_or_broken_key_believes_nobody() {
    for key in ["", "whsec_", "whsec_%%%"] {
        let signed = sign(&Secret::new(key.into()), "a", Timestamp::UNIX_EPOCH, BODY);
        assert_eq!(signed, Err(Refused::Unusable), "{key:?}");
    }
}

#[test]
fn a_shared_secret_in_a_header_must_be_the_very_one() {
    let rule = Verify::SharedSecret {
        place: SecretPlace::Header("X-Poke".into()),
        value: Secrets::one(Secret::new("s3cret".into())),
    };
    let check = |headers: &HeaderMap| verify(&rule, headers, b"", Timestamp::UNIX_EPOCH);
    assert_eq!(check(&headers(&[("x-poke", "s3cret")])), Ok(SecretAge::Current));
    for wrong in ["s3cre", "s3cret1", "S3CRET", ""] {
        assert_eq!(check(&headers(&[("x-poke", wrong)])), Err(Refused::Wrong("X-Poke".into())), "{wrong}");
    }
    assert_eq!(check(&HeaderMap::new()), Err(Refused::Missing("X-Poke".into())));
}

#[test]
fn a_shared_secret_in_the_body_is_found_by_its_path() {
    let text = "system: waste\nname: Waste\nrole: back_office\n\
                owner: {team: Waste, contact: waste@example.gov.uk}\n\
                connection: {base_url: \"http://waste.example\", auth: none, timeout: 1s, connect_timeout: 1s}\n\
                limits: {concurrency: 1}\nidempotency: none\n\
                completion:\n  webhook:\n    path: /callbacks/waste\n\
                \x20   verify: {shared_secret: {path: $..Poke.secret, value: \"${POKE}\"}}\n\
                \x20   reports: {job: $..Poke.id, status: $..Poke.status}\n";
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.into() };
    let sources = [source("systems/waste/system.yaml", text), source("routes.yaml", "routes: []\n")];
    let catalogue = Catalogue::compile(&sources, &|_| Some("s3cret".into())).expect("compiles");
    let system = catalogue.system(&"waste".parse().expect("a name")).expect("waste");
    let rule = &system.webhook.as_ref().expect("a webhook").verify;
    let check = |body: &str| verify(rule, &HeaderMap::new(), body.as_bytes(), Timestamp::UNIX_EPOCH);

    assert_eq!(check("<Body><Poke><id>7</id><secret>s3cret</secret></Poke></Body>"), Ok(SecretAge::Current));
    let large = format!("<Poke>{}<secret>s3cret</secret></Poke>", "<a/>".repeat(10_000));
    assert!(matches!(check(&large), Err(Refused::Excess(Excess::Nodes { found: 10_002, limit: 10_000 }))));
    let deep = format!("<Poke><secret>s3cret</secret>{}", "<a>".repeat(65));
    assert!(matches!(check(&deep), Err(Refused::Excess(Excess::Depth { .. }))));
    let wrong = Err(Refused::Wrong("the secret in the body".into()));
    assert_eq!(check("<Body><Poke><secret>guess</secret></Poke></Body>"), wrong);
    let missing = Err(Refused::Missing("the secret in the body".into()));
    for body in [
        "<Body><Poke/></Body>",
        "",
        "<Body",
        "{}",
        "<!DOCTYPE a [<!ENTITY e 's3cret'>]><Poke><secret>&e;</secret></Poke>",
    ] {
        assert_eq!(check(body), missing, "{body}");
    }
}

#[test]
fn basic_credentials_must_match_in_both_parts() {
    let rule = Verify::Basic {
        username: "Aladdin".into(),
        password: Secrets::one(Secret::new("open sesame".into())),
    };
    let check =
        |value: &str| verify(&rule, &headers(&[("authorization", value)]), b"", Timestamp::UNIX_EPOCH);
    assert_eq!(check("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(SecretAge::Current));
    assert_eq!(check("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(SecretAge::Current));
    let wrong = STANDARD.encode("Aladdin:open");
    assert_eq!(check(&format!("Basic {wrong}")), Err(Refused::Wrong("authorization".into())));
    for malformed in ["Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Basic", "Basic ???", "Basic QWxh"] {
        assert!(matches!(check(malformed), Err(Refused::Malformed { .. })), "{malformed}");
    }
}

#[test]
fn an_hmac_of_the_body_is_believed_in_hex_and_in_base64() {
    // RFC 4231, test case 2.
    let body = b"what do ya want for nothing?";
    let hex = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let base64 = STANDARD.encode(from_hex(hex).expect("hexadecimal"));
    let upper = hex.to_uppercase();
    for (encoding, prefix, value) in [
        (Encoding::Hex, "sha256=", format!("sha256={hex}")),
        (Encoding::Hex, "", upper),
        (Encoding::Base64, "", base64),
    ] {
        let rule = Verify::HmacSha256 {
            header: "X-Signature".into(),
            secret: Secrets::one(Secret::new("Jefe".into())),
            encoding,
            prefix: prefix.into(),
        };
        let headers = headers(&[("x-signature", &value)]);
        let check = |body: &[u8]| verify(&rule, &headers, body, Timestamp::UNIX_EPOCH);
        assert_eq!(check(body), Ok(SecretAge::Current), "{value}");
        assert_eq!(check(b"tampered"), Err(Refused::Wrong("X-Signature".into())));
    }
}

#[test]
fn an_hmac_that_is_no_signature_is_malformed_not_a_panic() {
    let rule = Verify::HmacSha256 {
        header: "x-signature".into(),
        secret: Secrets::one(Secret::new("Jefe".into())),
        encoding: Encoding::Hex,
        prefix: "sha256=".into(),
    };
    for value in ["", "sha256=abc", "sha256=zz", "md5=00"] {
        let verdict = verify(&rule, &headers(&[("x-signature", value)]), b"", Timestamp::UNIX_EPOCH);
        assert!(matches!(verdict, Err(Refused::Malformed { .. })), "{value}: {verdict:?}");
    }
    let headers = headers(&[("x-signature", "sha256=00")]);
    assert!(verify(&rule, &headers, b"", Timestamp::UNIX_EPOCH).is_err());
}

#[test]
fn what_the_headers_give_away_is_refused_before_the_body_is_there() {
    let now = Timestamp::from_second(1_614_265_330).expect("a time");
    let secret = || Secrets::one(Secret::new(KEY.into()));
    let hmac = Verify::HmacSha256 {
        header: "x-signature".into(),
        secret: secret(),
        encoding: Encoding::Hex,
        prefix: "sha256=".into(),
    };
    let header = Verify::SharedSecret {
        place: SecretPlace::Header("X-Poke".into()),
        value: Secrets::one(Secret::new("s3cret".into())),
    };
    let basic = Verify::Basic { username: "u".into(), password: Secrets::one(Secret::new("p".into())) };
    let standard = Verify::StandardWebhooks { secret: secret() };
    let stamped = |timestamp, signature| {
        headers(&[("webhook-id", "1"), ("webhook-timestamp", timestamp), ("webhook-signature", signature)])
    };
    for (rule, wrong) in [
        (&hmac, HeaderMap::new()),
        (&hmac, headers(&[("x-signature", "sha256=zz")])),
        (&header, headers(&[("x-poke", "guess")])),
        (&basic, headers(&[("authorization", "Basic dTpx")])),
        (&standard, HeaderMap::new()),
        (&standard, stamped("1", "v1,AAAA")),
        (&standard, stamped("1614265330", "v2,AAAA")),
    ] {
        assert!(verify_headers(rule, &wrong, now).is_err(), "{rule:?} {wrong:?}");
    }
    for (rule, right) in [
        (&hmac, headers(&[("x-signature", "sha256=00")])),
        (&header, headers(&[("x-poke", "s3cret")])),
        (&basic, headers(&[("authorization", "Basic dTpw")])),
        (&standard, stamped("1614265330", "v1,AAAA")),
        (&Verify::None, HeaderMap::new()),
    ] {
        assert_eq!(verify_headers(rule, &right, now), Ok(()), "{rule:?}");
    }
}

#[test]
fn an_event_is_decoded_by_its_charset() {
    let headers = headers(&[("content-type", "text/plain; charset=iso-8859-1")]);
    assert_eq!(event(&headers, b"caf\xe9").map(|event| event.body), Ok("café".into()));
    let marked = event(&HeaderMap::new(), b"\"caf\xe9\"").expect("marked where it is no text");
    let refused = marked.document(&[]).expect_err("not read as a whole");
    assert!(refused.reason.contains("bytes that are not text"), "{refused}");
}

/// What a caller sends who has a secret.
type Sent = fn(&Secret) -> HeaderMap;

/// Each way to verify with a new and an old secret, and what a caller sends who has one of them.
fn rotated() -> Vec<(Verify, Sent)> {
    const BODY_HMAC: &str = "x-signature";
    let pair = |new: &str, old: &str| Secrets {
        current: Secret::new(new.to_owned()),
        old: Some(Secret::new(old.to_owned())),
    };
    let hmac = |secret: &Secret| {
        let mac = keyed(secret.expose().as_bytes()).expect("a key").chain_update(BODY);
        headers(&[(BODY_HMAC, &STANDARD.encode(mac.finalize().into_bytes()))])
    };
    let standard = |secret: &Secret| {
        let signature = sign(secret, "1", at(), BODY).expect("signed");
        let second = at().as_second().to_string();
        headers(&[("webhook-id", "1"), ("webhook-timestamp", &second), ("webhook-signature", &signature)])
    };
    vec![
        (
            Verify::SharedSecret { place: SecretPlace::Header("X-Poke".into()), value: pair("new", "old") },
            |secret| headers(&[("x-poke", secret.expose())]),
        ),
        (Verify::Basic { username: "u".into(), password: pair("new", "old") }, |secret| {
            headers(&[(
                "authorization",
                &format!("Basic {}", STANDARD.encode(format!("u:{}", secret.expose()))),
            )])
        }),
        (
            Verify::HmacSha256 {
                header: BODY_HMAC.into(),
                secret: pair("new", "old"),
                encoding: Encoding::Base64,
                prefix: String::new(),
            },
            hmac,
        ),
        (Verify::StandardWebhooks { secret: pair("whsec_bmV3", "whsec_b2xk") }, standard),
    ]
}

fn at() -> Timestamp {
    Timestamp::from_second(1_614_265_330).expect("a time")
}

#[test]
fn while_a_secret_is_changed_both_are_believed_and_told_from_each_other() {
    for (mut rule, sent_with) in rotated() {
        let secrets = rule.secrets().expect("secrets").clone();
        let (new, old) = (secrets.current.clone(), secrets.old.clone().expect("an old one"));
        let stranger = Secret::new("whsec_c3RyYW5nZXI=".into());
        let said = |rule: &Verify, secret: &Secret| {
            let headers = sent_with(secret);
            let early = verify_headers(rule, &headers, at());
            verify(rule, &headers, BODY, at()).inspect(|_| assert_eq!(early, Ok(())))
        };
        assert_eq!(said(&rule, &new), Ok(SecretAge::Current), "{rule:?}");
        assert_eq!(said(&rule, &old), Ok(SecretAge::Old), "{rule:?}");
        assert!(matches!(said(&rule, &stranger), Err(Refused::Wrong(_))), "{rule:?}");
        // When the old one is taken out of the mapping, it is believed no more.
        match &mut rule {
            Verify::None => panic!("no secrets"),
            Verify::SharedSecret { value: secrets, .. }
            | Verify::Basic { password: secrets, .. }
            | Verify::HmacSha256 { secret: secrets, .. }
            | Verify::StandardWebhooks { secret: secrets } => secrets.old = None,
        }
        assert_eq!(said(&rule, &new), Ok(SecretAge::Current), "{rule:?}");
        assert!(matches!(said(&rule, &old), Err(Refused::Wrong(_))), "{rule:?}");
    }
}
