//! A system's call to us: read it, and make sure who it is from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use mappings::bounds::{Bounds, Excess};
use mappings::mapping::{Answer, Encoding, ReadError, Received, Secret, SecretPlace, Verify};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How far a signed timestamp may be off, before or after.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// Why a callback is not believed. None of the texts holds a secret or what was offered in its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing stands where the proof should be.
    #[error("{0} is missing")]
    Missing(String),
    /// The proof is not of its form.
    #[error("{place} is not of its form: expected {expected}")]
    Malformed {
        /// Where it stands.
        place: String,
        /// The form that is accepted.
        expected: &'static str,
    },
    /// The secret, or the signature made with it, is another.
    #[error("{0} is wrong")]
    Wrong(String),
    /// The signed time is too far off: the callback may be an old one, sent again by a stranger.
    #[error("webhook-timestamp is {0} s away from now: at most 300 s are accepted")]
    Stale(i64),
    /// The secret would stand in a body that is larger than is read of a stranger.
    #[error("the secret in the body is not looked for: {0}")]
    Excess(#[from] Excess),
    /// Our own setting is at fault.
    #[error("the secret in the mapping cannot be used: expected whsec_ and Base64")]
    Unusable,
}

/// The event of a callback as text: what the webhook's `reports` read.
///
/// # Errors
/// [`ReadError`] when the character set that it is said to be in is not known, or it is no whole MIME message.
pub fn event(headers: &HeaderMap, body: &[u8]) -> Result<Answer, ReadError> {
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    // Bytes that are no text cost only the item of a list that they stand in.
    let Received { answer, unreadable, .. } = Received::marked(200, headers, body.to_vec());
    match unreadable.filter(|_| answer.is_text()) {
        Some(reason) => Err(ReadError { reason }),
        None => Ok(answer),
    }
}

/// What is read of a body before its sender is known: a secret stands beside one event, not beside thousands.
const OF_A_STRANGER: Bounds = Bounds { bytes: 1024 * 1024, depth: 64, nodes: 10_000 };

/// Refuses what the headers alone give away, before the body is read: a wrong secret or password, and a signature that
/// is missing, malformed or too old.
///
/// # Errors
/// As [`verify`], which is still to be asked when the body is there.
pub fn verify_headers(verify: &Verify, headers: &HeaderMap, now: Timestamp) -> Result<(), Refused> {
    match verify {
        Verify::None | Verify::SharedSecret { place: SecretPlace::Path(_), .. } => Ok(()),
        Verify::SharedSecret { place: SecretPlace::Header(header), value } => {
            believe(same(text(headers, header)?, value.expose()), || header.clone())
        }
        Verify::Basic { username, password } => basic(headers, username, password),
        Verify::HmacSha256 { header, encoding, prefix, .. } => {
            offered_hmac(headers, header, *encoding, prefix).map(drop)
        }
        Verify::StandardWebhooks { .. } => {
            text(headers, ID)?;
            let signatures = text(headers, SIGNATURE)?;
            signed_at(headers, now)?;
            believe(signatures.split(' ').any(|signature| signature.starts_with("v1,")), || SIGNATURE.into())
        }
    }
}

/// Makes sure that a callback comes from the system. Secrets and signatures are compared in constant time.
///
/// # Errors
/// [`Refused`], whose text is for our log; the caller learns no more than 401.
pub fn verify(verify: &Verify, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), Refused> {
    match verify {
        Verify::None => Ok(()),
        Verify::SharedSecret { place: SecretPlace::Header(header), value } => {
            believe(same(text(headers, header)?, value.expose()), || header.clone())
        }
        Verify::SharedSecret { place: place @ SecretPlace::Path(_), value } => {
            let name = || "the secret in the body".to_owned();
            OF_A_STRANGER.admit(body.len())?;
            let event = event(headers, body).map_err(|_| Refused::Missing(name()))?;
            OF_A_STRANGER.measure(&event.body)?;
            let found = place.find(&event);
            believe(same(&found.ok_or_else(|| Refused::Missing(name()))?, value.expose()), name)
        }
        Verify::Basic { username, password } => basic(headers, username, password),
        Verify::HmacSha256 { header, secret, encoding, prefix } => {
            let offered = offered_hmac(headers, header, *encoding, prefix)?;
            let mac = keyed(secret.expose().as_bytes())?.chain_update(body);
            believe(mac.verify_slice(&offered).is_ok(), || header.clone())
        }
        Verify::StandardWebhooks { secret } => standard_webhooks(headers, body, secret, now),
    }
}

/// The `webhook-signature` of a body: Standard Webhooks 1.0.0, symmetric, `v1`.
///
/// # Errors
/// [`Refused::Unusable`] when the secret is not Base64, with or without `whsec_`.
pub fn sign(secret: &Secret, id: &str, at: Timestamp, body: &[u8]) -> Result<String, Refused> {
    let mac = signed(secret, id, &at.as_second().to_string(), body)?;
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn basic(headers: &HeaderMap, username: &str, password: &Secret) -> Result<(), Refused> {
    let name = "authorization";
    let offered = text(headers, name)?;
    let malformed = || Refused::Malformed { place: name.into(), expected: "Basic and Base64 (RFC 7617)" };
    let (scheme, pair) = offered.split_once(' ').ok_or_else(malformed)?;
    let pair = STANDARD.decode(pair.trim()).ok().and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.filter(|_| scheme.eq_ignore_ascii_case("basic")).ok_or_else(malformed)?;
    let (offered_name, offered_password) = pair.split_once(':').ok_or_else(malformed)?;
    believe(same(offered_name, username) & same(offered_password, password.expose()), || name.into())
}

/// Standard Webhooks 1.0.0: several signatures may stand in the header while a key is changed; those of
/// other versions are passed over.
fn standard_webhooks(
    headers: &HeaderMap,
    body: &[u8],
    secret: &Secret,
    now: Timestamp,
) -> Result<(), Refused> {
    let id = text(headers, ID)?;
    let timestamp = text(headers, TIMESTAMP)?;
    let signatures = text(headers, SIGNATURE)?;
    signed_at(headers, now)?;
    let mac = signed(secret, id, timestamp, body)?;
    let believed = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .any(|signature| mac.clone().verify_slice(&signature).is_ok());
    believe(believed, || SIGNATURE.into())
}

/// Refuses a signed time that is too far off.
fn signed_at(headers: &HeaderMap, now: Timestamp) -> Result<(), Refused> {
    let malformed = || Refused::Malformed { place: TIMESTAMP.into(), expected: "seconds since 1970" };
    let at: i64 = text(headers, TIMESTAMP)?.parse().map_err(|_| malformed())?;
    let at = Timestamp::from_second(at).map_err(|_| malformed())?;
    let off = now.duration_since(at).abs();
    if off > TOLERANCE { Err(Refused::Stale(off.as_secs())) } else { Ok(()) }
}

/// The signature of a body as a header offers it.
fn offered_hmac(
    headers: &HeaderMap,
    header: &str,
    encoding: Encoding,
    prefix: &str,
) -> Result<Vec<u8>, Refused> {
    let form = || Refused::Malformed { place: header.to_owned(), expected: "the prefix and a signature" };
    let offered = text(headers, header)?.strip_prefix(prefix).ok_or_else(form)?;
    let offered = match encoding {
        Encoding::Hex => from_hex(offered),
        Encoding::Base64 => STANDARD.decode(offered).ok(),
    };
    offered.ok_or_else(form)
}

fn signed(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> Result<Hmac<Sha256>, Refused> {
    let key = secret.expose();
    let key = STANDARD.decode(key.strip_prefix("whsec_").unwrap_or(key)).map_err(|_| Refused::Unusable)?;
    if key.is_empty() {
        return Err(Refused::Unusable);
    }
    Ok(keyed(&key)?.chain_update(format!("{id}.{timestamp}.")).chain_update(body))
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, Refused> {
    Hmac::<Sha256>::new_from_slice(key).map_err(|_| Refused::Unusable)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Refused> {
    let value = headers.get(name).ok_or_else(|| Refused::Missing(name.to_owned()))?;
    let malformed = |_| Refused::Malformed { place: name.to_owned(), expected: "ASCII text" };
    value.to_str().map(str::trim).map_err(malformed)
}

fn believe(believed: bool, name: impl FnOnce() -> String) -> Result<(), Refused> {
    if believed { Ok(()) } else { Err(Refused::Wrong(name())) }
}

/// Compares digests, so that neither content nor length of the secret shows in the time it takes.
fn same(offered: &str, expected: &str) -> bool {
    Sha256::digest(offered).ct_eq(&Sha256::digest(expected)).into()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
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

    fn standard(signature: &str, timestamp: &str, now: i64) -> Result<(), Refused> {
        let headers = headers(&[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", timestamp),
            ("webhook-signature", signature),
        ]);
        let secret = Secret::new(KEY.into());
        let now = Timestamp::from_second(now).expect("a time");
        verify(&Verify::StandardWebhooks { secret }, &headers, BODY, now)
    }

    #[test]
    fn the_example_of_the_standard_webhooks_specification_is_believed() {
        assert_eq!(standard(SIGNED, "1614265330", 1_614_265_330), Ok(()));
        let at = Timestamp::from_second(1_614_265_330).expect("a time");
        let ours = sign(&Secret::new(KEY.into()), "msg_p5jXN8AQM9LWM0D4loKWxJek", at, BODY);
        assert_eq!(ours.as_deref(), Ok(SIGNED));
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let several = format!("v1,AAAA v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B v1,?? {SIGNED}");
        assert_eq!(standard(&several, "1614265330", 1_614_265_330), Ok(()));
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
        assert_eq!(standard(SIGNED, "1614265330", 1_614_265_630), Ok(()));
        assert_eq!(standard(SIGNED, "1614265330", 1_614_265_631), Err(Refused::Stale(301)));
        assert_eq!(standard(SIGNED, "1614265330", 1_614_265_029), Err(Refused::Stale(301)));
    }

    #[test]
    fn missing_and_malformed_headers_are_named() {
        let secret = Secret::new(KEY.into());
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
            value: Secret::new("s3cret".into()),
        };
        let check = |headers: &HeaderMap| verify(&rule, headers, b"", Timestamp::UNIX_EPOCH);
        assert_eq!(check(&headers(&[("x-poke", "s3cret")])), Ok(()));
        for wrong in ["s3cre", "s3cret1", "S3CRET", ""] {
            assert_eq!(
                check(&headers(&[("x-poke", wrong)])),
                Err(Refused::Wrong("X-Poke".into())),
                "{wrong}"
            );
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

        assert_eq!(check("<Body><Poke><id>7</id><secret>s3cret</secret></Poke></Body>"), Ok(()));
        let large = format!("<Poke>{}<secret>s3cret</secret></Poke>", "<a/>".repeat(10_000));
        assert!(matches!(
            check(&large),
            Err(Refused::Excess(Excess::Nodes { found: 10_002, limit: 10_000 }))
        ));
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
        let rule = Verify::Basic { username: "Aladdin".into(), password: Secret::new("open sesame".into()) };
        let check =
            |value: &str| verify(&rule, &headers(&[("authorization", value)]), b"", Timestamp::UNIX_EPOCH);
        assert_eq!(check("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(()));
        assert_eq!(check("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), Ok(()));
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
                secret: Secret::new("Jefe".into()),
                encoding,
                prefix: prefix.into(),
            };
            let headers = headers(&[("x-signature", &value)]);
            let check = |body: &[u8]| verify(&rule, &headers, body, Timestamp::UNIX_EPOCH);
            assert_eq!(check(body), Ok(()), "{value}");
            assert_eq!(check(b"tampered"), Err(Refused::Wrong("X-Signature".into())));
        }
    }

    #[test]
    fn an_hmac_that_is_no_signature_is_malformed_not_a_panic() {
        let rule = Verify::HmacSha256 {
            header: "x-signature".into(),
            secret: Secret::new("Jefe".into()),
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
        let secret = || Secret::new(KEY.into());
        let hmac = Verify::HmacSha256 {
            header: "x-signature".into(),
            secret: secret(),
            encoding: Encoding::Hex,
            prefix: "sha256=".into(),
        };
        let header = Verify::SharedSecret {
            place: SecretPlace::Header("X-Poke".into()),
            value: Secret::new("s3cret".into()),
        };
        let basic = Verify::Basic { username: "u".into(), password: Secret::new("p".into()) };
        let standard = Verify::StandardWebhooks { secret: secret() };
        let stamped = |timestamp, signature| {
            headers(&[
                ("webhook-id", "1"),
                ("webhook-timestamp", timestamp),
                ("webhook-signature", signature),
            ])
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
}
