//! Against a server of rustls on the loopback. The certificate is its own authority, so that it can vouch for clients too.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use mappings::mapping::{Auth, Body, Call, Connection};
use reqwest::{Certificate, Client};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion, version};

use crate::draft::Draft;
use crate::exchange::{self, Broken};

const CERTIFICATE: &[u8] = include_bytes!("loopback.crt");
const KEY: &[u8] = include_bytes!("loopback.key");

/// A server of one TLS version that takes one connection, and what it read over it before the connection ended.
fn serve(
    version: &'static SupportedProtocolVersion,
    wants_certificate: bool,
) -> (String, tokio::task::JoinHandle<String>) {
    // Another test may have chosen the same provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("a key");
    let builder = ServerConfig::builder_with_protocol_versions(&[version]);
    let builder = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("an authority");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let config = Arc::new(builder.with_single_cert(vec![certificate], key).expect("a server"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address"));
    let served = tokio::task::spawn_blocking(move || {
        let (socket, _) = listener.accept().expect("a connection");
        let mut stream = StreamOwned::new(ServerConnection::new(config).expect("a session"), socket);
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        if head.ends_with(b"\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("an answer");
        } else {
            // The alert goes out, and what the client sent meanwhile is taken off the wire: a connection that is closed
            // over unread bytes is reset.
            while stream.conn.wants_write() && stream.conn.write_tls(&mut stream.sock).is_ok() {}
            stream.sock.shutdown(std::net::Shutdown::Write).expect("an end");
            while matches!(stream.sock.read(&mut [0; 1024]), Ok(1..)) {}
        }
        String::from_utf8_lossy(&head).into_owned()
    });
    (url, served)
}

async fn post(url: &str) -> Result<u16, Broken> {
    let second = Duration::from_secs(10);
    let connection = Connection {
        base_url: url.to_owned(),
        auth: Auth::None,
        timeout: second,
        connect_timeout: second,
        answer_timeout: second,
        headers: Vec::new(),
    };
    let call =
        Call { method: "POST", path: "/jobs".into(), headers: Vec::new(), body: Body::Json("{}".into()) };
    let base = mappings::mapping::address::base(url).expect("a base URL");
    let draft = Draft::new(&base, &connection, &call, None).expect("a draft");
    let trusted = Certificate::from_pem(CERTIFICATE).expect("a certificate");
    let client = Client::builder().tls_certs_only([trusted]).no_proxy().timeout(second).build();
    let reply = exchange::send(
        &client.expect("a client"),
        &draft,
        second,
        exchange::Room::Document(exchange::LARGEST),
    )
    .await;
    reply.map(|reply| reply.answer.status)
}

#[tokio::test]
async fn a_system_that_wants_a_client_certificate_was_not_reached_under_each_version_of_tls() {
    for version in [&version::TLS12, &version::TLS13] {
        let (url, served) = serve(version, true);
        let broken = post(&url).await.expect_err("refused");
        assert_eq!(served.await.expect("served"), "", "it has seen nothing of the call");
        let Broken::NotSent(reason) = broken else { panic!("{version:?}: {broken:?}") };
        let expected = format!("cannot connect to {url}: the system wants a client certificate");
        assert!(reason.starts_with(&expected), "{version:?}: {reason}");
    }
}

#[tokio::test]
async fn a_system_that_wants_none_answers_under_each_version_of_tls() {
    for version in [&version::TLS12, &version::TLS13] {
        let (url, served) = serve(version, false);
        assert_eq!(post(&url).await.expect("an answer"), 204, "{version:?}");
        assert!(served.await.expect("served").starts_with("POST /jobs HTTP/1.1"), "{version:?}");
    }
}

#[tokio::test]
async fn other_ends_of_a_connection_say_nothing_of_certificates() {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    assert_eq!(super::broken_off(&reset), None);
    let alert = |alert| std::io::Error::other(rustls::Error::AlertReceived(alert));
    for other in [rustls::AlertDescription::InternalError, rustls::AlertDescription::DecodeError] {
        assert_eq!(super::broken_off(&alert(other)), None, "{other:?}");
    }
    let denied = super::broken_off(&alert(rustls::AlertDescription::AccessDenied));
    assert!(denied.is_some_and(|why| why.ends_with("(TLS alert AccessDenied)")));
}
