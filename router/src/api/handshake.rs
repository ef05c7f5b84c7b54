//! `OPTIONS`: what can be done at a door, and the permission that CloudEvents asks for before it delivers (HTTP 1.1 Web
//! Hooks for Event Delivery 1.0.2, section 4).

use axum::http::header::ALLOW;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

/// Who wants to deliver.
const ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
/// How many requests a minute it wants to send.
const RATE: HeaderName = HeaderName::from_static("webhook-request-rate");
const ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");
/// No limit of ours: who sends too much at once is answered 503 with `Retry-After`.
const UNLIMITED: HeaderValue = HeaderValue::from_static("*");

/// Permits whoever asks to deliver: only who holds a key, or can sign, is let in when it does.
pub(super) async fn permit(headers: HeaderMap) -> Response {
    let mut answer = HeaderMap::new();
    answer.insert(ALLOW, HeaderValue::from_static("OPTIONS, POST"));
    let Some(origin) = headers.get(&ORIGIN).filter(|origin| !origin.is_empty()) else {
        return (StatusCode::NO_CONTENT, answer).into_response();
    };
    answer.insert(ALLOWED_ORIGIN, origin.clone());
    if let Some(rate) = headers.get(&RATE) {
        let number = rate.to_str().ok().filter(|rate| rate.trim().parse::<u32>().is_ok_and(|rate| rate > 0));
        let granted = number.map_or(UNLIMITED, |_| rate.clone());
        answer.insert(ALLOWED_RATE, granted);
    }
    (StatusCode::OK, answer).into_response()
}
