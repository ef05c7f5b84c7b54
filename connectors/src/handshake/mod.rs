//! A TLS handshake that the system broke off, however late that is told.
//!
//! Under TLS 1.2 a client hears of it while it connects. Under TLS 1.3 (RFC 8446, section 4.4.2.4) it may send first: that
//! the system wants a certificate of it comes as an alert on the first read, where an answer would begin. The system has
//! not looked at the call then.

use std::error::Error;
use std::io;

use rustls::AlertDescription;

/// What a server says that wants a certificate of a client that shows none, or does not take the one it shows.
const OF_CERTIFICATES: [AlertDescription; 9] = [
    AlertDescription::CertificateRequired,
    AlertDescription::NoCertificate,
    AlertDescription::BadCertificate,
    AlertDescription::UnsupportedCertificate,
    AlertDescription::CertificateRevoked,
    AlertDescription::CertificateExpired,
    AlertDescription::CertificateUnknown,
    AlertDescription::UnknownCA,
    AlertDescription::AccessDenied,
];

/// What a person can act on, where a system broke off the handshake because of who we are; else `None`.
pub(crate) fn broken_off(error: &(dyn Error + 'static)) -> Option<String> {
    let alert = alert(error)?;
    let reason = if OF_CERTIFICATES.contains(&alert) {
        "the system wants a client certificate"
    } else if alert == AlertDescription::HandshakeFailure {
        // Before TLS 1.3 this alert stands for much.
        "the system wants a client certificate, or has no TLS version or cipher in common with us"
    } else {
        return None;
    };
    Some(format!("{reason} (TLS alert {alert:?})"))
}

/// The alert that a system sent, be it the cause or wrapped in errors of reading or writing.
fn alert(error: &(dyn Error + 'static)) -> Option<AlertDescription> {
    if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() {
        return Some(*alert);
    }
    // The source of an error of reading or writing is that of the error it wraps, not the error itself.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => alert(wrapped),
        None => error.source().and_then(alert),
    }
}

#[cfg(test)]
mod tests;
