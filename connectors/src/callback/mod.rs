//! A system's call to us: read it, and make sure who it is from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use mappings::bounds::{Bounds, Excess};
use mappings::mapping::{
    Answer, Encoding, ReadError, Received, Secret, SecretAge, SecretPlace, Secrets, Verify,
};
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

impl Refused {
    /// The reason in a word, for a metric.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Missing(_) => "missing",
            Self::Malformed { .. } => "malformed",
            Self::Wrong(_) => "wrong",
            Self::Stale(_) => "stale",
            Self::Excess(_) => "excess",
            Self::Unusable => "unusable",
        }
    }
}

/// What `WWW-Authenticate` says to a caller who could not prove who it is (RFC 9110, section 11.6.1); none where nobody
/// has to. It names the place of the proof, and nothing of the proof.
pub fn challenge(verify: &Verify) -> Option<String> {
    let rest = "realm=\"dovetail\"";
    match verify {
        Verify::None => None,
        Verify::Basic { .. } => Some(format!("Basic {rest}, charset=\"UTF-8\"")),
        Verify::SharedSecret { place: SecretPlace::Header(header), .. } => {
            Some(format!("Shared-Secret {rest}, header=\"{header}\""))
        }
        Verify::SharedSecret { place: SecretPlace::Path(_), .. } => {
            Some(format!("Shared-Secret {rest}, in=\"body\""))
        }
        Verify::HmacSha256 { header, .. } => Some(format!("HMAC-SHA256 {rest}, header=\"{header}\"")),
        Verify::StandardWebhooks { .. } => Some(format!("Standard-Webhooks {rest}, header=\"{SIGNATURE}\"")),
    }
}

/// Refuses a way to verify whose secrets nobody can sign with.
///
/// # Errors
/// [`Refused::Unusable`] when the key of Standard Webhooks is not Base64, with or without `whsec_`.
pub fn usable(verify: &Verify) -> Result<(), Refused> {
    match verify {
        Verify::None | Verify::SharedSecret { .. } | Verify::Basic { .. } | Verify::HmacSha256 { .. } => {
            Ok(())
        }
        Verify::StandardWebhooks { secret } => {
            secret.each().try_for_each(|(_, secret)| signed(secret, "", "", b"").map(drop))
        }
    }
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
            known(value, text(headers, header)?, || header.clone()).map(drop)
        }
        Verify::Basic { username, password } => basic(headers, username, password).map(drop),
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

/// Makes sure that a callback comes from the system, and says which of two secrets it goes by. Secrets and signatures are
/// compared in constant time.
///
/// # Errors
/// [`Refused`], whose text is for our log; the caller learns no more than 401.
pub fn verify(
    verify: &Verify,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<SecretAge, Refused> {
    match verify {
        Verify::None => Ok(SecretAge::Current),
        Verify::SharedSecret { place: SecretPlace::Header(header), value } => {
            known(value, text(headers, header)?, || header.clone())
        }
        Verify::SharedSecret { place: place @ SecretPlace::Path(_), value } => {
            let name = || "the secret in the body".to_owned();
            OF_A_STRANGER.admit(body.len())?;
            let event = event(headers, body).map_err(|_| Refused::Missing(name()))?;
            OF_A_STRANGER.measure(&event.body)?;
            let found = place.find(&event);
            known(value, &found.ok_or_else(|| Refused::Missing(name()))?, name)
        }
        Verify::Basic { username, password } => basic(headers, username, password),
        Verify::HmacSha256 { header, secret, encoding, prefix } => {
            let offered = offered_hmac(headers, header, *encoding, prefix)?;
            signed_with(secret, header, |secret| {
                let mac = keyed(secret.expose().as_bytes())?.chain_update(body);
                Ok(mac.verify_slice(&offered).is_ok())
            })
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

fn basic(headers: &HeaderMap, username: &str, password: &Secrets) -> Result<SecretAge, Refused> {
    let name = "authorization";
    let offered = text(headers, name)?;
    let malformed = || Refused::Malformed { place: name.into(), expected: "Basic and Base64 (RFC 7617)" };
    let (scheme, pair) = offered.split_once(' ').ok_or_else(malformed)?;
    let pair = STANDARD.decode(pair.trim()).ok().and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.filter(|_| scheme.eq_ignore_ascii_case("basic")).ok_or_else(malformed)?;
    let (offered_name, offered_password) = pair.split_once(':').ok_or_else(malformed)?;
    let age =
        password.find(|password| same(offered_password, password.expose()) & same(offered_name, username));
    age.ok_or_else(|| Refused::Wrong(name.into()))
}

/// Standard Webhooks 1.0.0: several signatures may stand in the header while a key is changed; those of
/// other versions are passed over.
fn standard_webhooks(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &Secrets,
    now: Timestamp,
) -> Result<SecretAge, Refused> {
    let id = text(headers, ID)?;
    let timestamp = text(headers, TIMESTAMP)?;
    let signatures = text(headers, SIGNATURE)?;
    signed_at(headers, now)?;
    signed_with(secrets, SIGNATURE, |secret| {
        let mac = signed(secret, id, timestamp, body)?;
        Ok(signatures
            .split(' ')
            .filter_map(|signature| signature.strip_prefix("v1,"))
            .filter_map(|signature| STANDARD.decode(signature).ok())
            .any(|signature| mac.clone().verify_slice(&signature).is_ok()))
    })
}

/// The age of the secret that a signature was made with. One that cannot be used does not stand in the way of the other.
fn signed_with(
    secrets: &Secrets,
    name: &str,
    is_made_with: impl Fn(&Secret) -> Result<bool, Refused>,
) -> Result<SecretAge, Refused> {
    let found = secrets.find(|secret| is_made_with(secret).unwrap_or(false));
    match found {
        Some(age) => Ok(age),
        None => {
            is_made_with(&secrets.current)?;
            Err(Refused::Wrong(name.to_owned()))
        }
    }
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

/// The age of the secret that is offered.
fn known(secrets: &Secrets, offered: &str, name: impl FnOnce() -> String) -> Result<SecretAge, Refused> {
    secrets.find(|secret| same(offered, secret.expose())).ok_or_else(|| Refused::Wrong(name()))
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
mod tests;
