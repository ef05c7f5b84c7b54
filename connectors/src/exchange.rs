//! One request out, one answer in, bounded in time and size.

use std::error::Error;
use std::time::Duration;

use http::Version;
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use mappings::mapping::{Answer, Received};
use reqwest::{Client, Response, Url};

use crate::draft::Draft;
use crate::handshake;
use crate::mask::{HIDDEN, Mask, is_sensitive_header};

/// The most that is read of an answer that is no list, after decompression.
pub(crate) const LARGEST: usize = 1 << 20;
/// The most that is kept of an answer's text for the record.
const KEPT: usize = 16 << 10;

/// How much of an answer is read, and whether it may be a list, of which one item may be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// One document of at most so many bytes, read whole or not at all.
    Document(usize),
    /// A list of at most so many bytes.
    List(usize),
}

impl Room {
    fn most(self) -> usize {
        match self {
            Self::Document(most) | Self::List(most) => most,
        }
    }

    /// What can be done about a larger one.
    fn hint(self) -> &'static str {
        match self {
            Self::Document(_) => "",
            Self::List(_) => {
                "; raise limits.answer, or let the call end at $.dovetail.until, so that less is asked for at once"
            }
        }
    }
}

/// No complete answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// No connection: the system has seen nothing of the call.
    NotSent(String),
    /// The call, or part of it, was sent: the system may have carried it out.
    NotAnswered(String),
}

/// Sends a request and reads its answer, which must begin within `patience` and is read as far as there is `room`.
pub(crate) async fn send(
    client: &Client,
    draft: &Draft,
    patience: Duration,
    room: Room,
) -> Result<Received, Broken> {
    let origin = draft.url.origin().ascii_serialization();
    let request = client
        .request(draft.method.clone(), draft.url.clone())
        .headers(draft.headers.clone())
        .body(draft.body.clone());
    // Connecting is given up sooner, so that whatever is still silent by then has been sent.
    let Ok(response) = tokio::time::timeout(patience, request.send()).await else {
        let reason = format!("{origin} did not begin to answer within {} s", patience.as_secs_f64());
        return Err(Broken::NotAnswered(reason));
    };
    let response = response.map_err(|error| unanswered(&error, &origin))?;
    read(response, room).await.map_err(|error| broken(&error, &origin))
}

async fn read(mut response: Response, room: Room) -> Result<Received, reqwest::Error> {
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let is_open_ended = is_open_ended(&response);
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > room.most() {
            let reason = format!("the answer is larger than {}{}", size(room.most()), room.hint());
            return Ok(Received::too_large(status, headers, reason));
        }
        bytes.extend_from_slice(&chunk);
    }
    let received = match room {
        Room::Document(_) => Received::new(status, headers, &bytes),
        Room::List(_) => Received::marked(status, headers, bytes),
    };
    Ok(Received { is_open_ended, ..received })
}

/// Whether nothing but the end of the connection ends the body (RFC 9112, section 6.3, rule 8).
fn is_open_ended(response: &Response) -> bool {
    let headers = response.headers();
    let closes = headers.get(CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"));
    // The client takes the length away from a body that it unpacked; such a one knows its own end.
    response.version() < Version::HTTP_2
        && (closes || response.version() < Version::HTTP_11)
        && !headers.contains_key(CONTENT_LENGTH)
        && !headers.contains_key(TRANSFER_ENCODING)
}

/// A size for people.
fn size(bytes: usize) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// No byte of an answer came. A handshake that the system broke off is a connection that was never made, although under
/// TLS 1.3 the call may be on its way by then: nothing of it was looked at.
fn unanswered(error: &reqwest::Error, origin: &str) -> Broken {
    match handshake::broken_off(error) {
        Some(reason) => Broken::NotSent(format!("cannot connect to {origin}: {reason}")),
        None => broken(error, origin),
    }
}

/// A connection that was never made is told from everything that may have happened after it.
fn broken(error: &reqwest::Error, origin: &str) -> Broken {
    if error.is_connect() {
        Broken::NotSent(format!("cannot connect to {origin}: {}", because(error)))
    } else if error.is_timeout() {
        Broken::NotAnswered(format!("{origin} did not answer in time"))
    } else {
        Broken::NotAnswered(format!("{origin} broke off before the answer was complete: {}", because(error)))
    }
}

/// Why a system cannot be reached.
pub(crate) fn unreached(error: &reqwest::Error, base: &Url) -> String {
    match unanswered(error, &base.origin().ascii_serialization()) {
        Broken::NotSent(reason) | Broken::NotAnswered(reason) => reason,
    }
}

/// The innermost cause, which says what a person can act on.
fn because(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// The answer as text for the record: status line, headers, body; secrets hidden before it is cut.
pub(crate) fn text(answer: &Answer, mask: &Mask) -> String {
    let reason = http::StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    let mut text = format!("HTTP/1.1 {} {}", answer.status, reason.unwrap_or_default());
    for (name, value) in &answer.headers {
        text.push_str(&format!("\n{name}: {}", if is_sensitive_header(name) { HIDDEN } else { value }));
    }
    text.push_str("\n\n");
    text.push_str(&answer.body);
    cut(mask.text(&text))
}

fn cut(mut text: String) -> String {
    const MARK: &str = "\n… cut";
    if text.len() > KEPT {
        text.truncate(text.floor_char_boundary(KEPT - MARK.len()));
        text.push_str(MARK);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mappings::mapping::{Auth, Body, Call, Connection, Secret};
    use tokio::net::TcpListener;

    use super::*;
    use crate::connector::client;
    use crate::scripted::{Scripted, Turn, answer, cut_answer};

    const WHOLE: Duration = Duration::from_millis(500);

    async fn exchange(url: &str, call: Call) -> (Result<Received, Broken>, String) {
        exchange_within(url, call, WHOLE).await
    }

    async fn exchange_within(
        url: &str,
        call: Call,
        answer_timeout: Duration,
    ) -> (Result<Received, Broken>, String) {
        let connection = Connection {
            base_url: url.to_owned(),
            auth: Auth::Basic { username: "u".into(), password: Secret::new("p4ssword".into()) },
            timeout: WHOLE,
            connect_timeout: Duration::from_millis(300),
            answer_timeout,
            headers: vec![("X-Council".into(), "harlow".into())],
        };
        let base = mappings::mapping::address::base(url).expect("a base URL");
        let client = client(&connection, &base, 1).expect("a client");
        let draft = Draft::new(&base, &connection, &call, None).expect("a draft");
        (send(&client, &draft, answer_timeout, Room::Document(LARGEST)).await, draft.text(&Mask::default()))
    }

    fn post(body: Body) -> Call {
        Call { method: "POST", path: "/jobs?x=1".into(), headers: Vec::new(), body }
    }

    async fn reply(turn: Turn) -> Received {
        let system = Scripted::start([turn]).await;
        exchange(&system.url, post(Body::Json("{}".into()))).await.0.expect("an answer")
    }

    #[tokio::test]
    async fn the_text_of_a_call_is_what_goes_over_the_wire() {
        for (method, body) in [
            ("POST", Body::Json("{\"a\":\"é\"}".into())),
            ("POST", Body::None),
            ("GET", Body::None),
            ("DELETE", Body::None),
        ] {
            let system = Scripted::start([answer(204, &[], "")]).await;
            let (_, text) = exchange(&system.url, Call { method, ..post(body) }).await;
            let sent = system.requests().remove(0).replace("\r\n", "\n");
            let sent = sent.replace("authorization: Basic dTpwNHNzd29yZA==", "authorization: ***");
            let lines = |text: &str| {
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                lines.sort();
                lines
            };
            assert_eq!(lines(&text), lines(&sent));
            assert_eq!(text.lines().next(), sent.lines().next());
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        drop(listener);
        let broken = exchange(&url, post(Body::None)).await.0.expect_err("broken");
        let Broken::NotSent(reason) = broken else { panic!("{broken:?}") };
        assert!(reason.starts_with(&format!("cannot connect to {url}: Connection refused")), "{reason}");
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_not_sent() {
        let broken = exchange("http://nowhere.invalid", post(Body::None)).await.0.expect_err("broken");
        assert!(matches!(broken, Broken::NotSent(_)), "{broken:?}");
    }

    #[tokio::test]
    async fn a_tls_handshake_that_hangs_or_fails_is_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let broken = exchange(&url, post(Body::None)).await.0.expect_err("broken");
        let Broken::NotSent(reason) = broken else { panic!("{broken:?}") };
        assert_eq!(reason, format!("cannot connect to {url}: it took too long"));

        let plain = Scripted::start([answer(200, &[], "not TLS")]).await;
        let url = plain.url.replace("http:", "https:");
        let broken = exchange(&url, post(Body::None)).await.0.expect_err("broken");
        assert!(matches!(broken, Broken::NotSent(_)), "{broken:?}");
    }

    #[tokio::test]
    async fn a_time_out_after_the_call_was_read_may_have_been_carried_out() {
        let system = Scripted::start([Turn::Silence]).await;
        let broken = exchange(&system.url, post(Body::None)).await.0.expect_err("broken");
        let Broken::NotAnswered(reason) = broken else { panic!("{broken:?}") };
        assert_eq!(reason, format!("{} did not answer in time", system.url));
        assert_eq!(system.requests().len(), 1);
    }

    #[tokio::test]
    async fn a_connection_into_a_black_hole_is_given_up_in_its_own_time_and_is_not_sent() {
        // A listener that takes nobody in, with its queue full: the kernel drops what else knocks.
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
        let listener = socket.listen(1).expect("listening");
        let address = listener.local_addr().expect("an address");
        let mut knocking = Vec::new();
        loop {
            let knock = tokio::net::TcpStream::connect(address);
            match tokio::time::timeout(Duration::from_millis(200), knock).await {
                Ok(taken) => knocking.push(taken.expect("queued")),
                Err(_) => break,
            }
        }
        let begun = std::time::Instant::now();
        let url = format!("http://{address}");
        let broken = exchange(&url, post(Body::None)).await.0.expect_err("broken");
        let Broken::NotSent(reason) = broken else { panic!("{broken:?}") };
        assert_eq!(reason, format!("cannot connect to {url}: it took too long"));
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(250), "connect_timeout was not used: {took:?}");
    }

    #[tokio::test]
    async fn an_answer_that_does_not_begin_is_given_up_before_the_whole_time_is_over() {
        let system = Scripted::start([Turn::Silence]).await;
        let patience = Duration::from_millis(100);
        let (reply, _) = exchange_within(&system.url, post(Body::None), patience).await;
        let Err(Broken::NotAnswered(reason)) = reply else { panic!("{reply:?}") };
        assert_eq!(reason, format!("{} did not begin to answer within 0.1 s", system.url));
        assert_eq!(system.requests().len(), 1);
    }

    #[tokio::test]
    async fn an_answer_that_comes_drop_by_drop_is_given_up_when_the_whole_time_is_over() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
        let system = Scripted::start([Turn::Drip(head, Duration::from_millis(20))]).await;
        let patience = Duration::from_millis(400);
        let (reply, _) = exchange_within(&system.url, post(Body::None), patience).await;
        let Err(Broken::NotAnswered(reason)) = reply else { panic!("{reply:?}") };
        assert_eq!(reason, format!("{} did not answer in time", system.url));
    }

    #[tokio::test]
    async fn an_answer_that_stops_in_the_middle_is_none() {
        let turns = [
            cut_answer(200, &["content-type: application/json"], b"{\"job\":", 100),
            Turn::Say(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()),
            Turn::Say(b"garbage\r\n\r\n".to_vec()),
            Turn::Say(Vec::new()),
        ];
        for turn in turns {
            let system = Scripted::start([turn]).await;
            let broken = exchange(&system.url, post(Body::None)).await.0.expect_err("broken");
            assert!(matches!(broken, Broken::NotAnswered(_)), "{broken:?}");
            assert_eq!(system.requests().len(), 1, "sent once and not again");
        }
    }

    #[tokio::test]
    async fn an_answer_in_another_character_set_becomes_text() {
        let latin1 = reply(answer(200, &["content-type: text/plain; charset=iso-8859-1"], b"caf\xe9")).await;
        assert_eq!(latin1.answer.body, "café");
        let xml = b"<?xml version='1.0' encoding='windows-1252'?><note>\x80 5 \x96 paid</note>";
        let windows = reply(answer(200, &["content-type: text/xml"], xml)).await;
        assert!(windows.answer.body.ends_with("<note>€ 5 – paid</note>"), "{}", windows.answer.body);
    }

    #[tokio::test]
    async fn an_answer_that_is_not_text_is_unreadable_and_says_so() {
        let reply = reply(answer(200, &["content-type: application/json"], b"\"caf\xe9\"")).await;
        assert_eq!(
            (reply.answer.body.as_str(), reply.unreadable.as_deref()),
            ("", Some("the body is not valid UTF-8"))
        );
    }

    #[tokio::test]
    async fn an_answer_is_read_up_to_1_mib() {
        let most = reply(answer(200, &[], vec![b'a'; LARGEST])).await;
        assert_eq!((most.answer.body.len(), most.unreadable), (LARGEST, None));
        let more = reply(answer(200, &[], vec![b'a'; LARGEST + 1])).await;
        assert_eq!(more.unreadable.as_deref(), Some("the answer is larger than 1 MiB"));
        let endless = reply(cut_answer(200, &[], &vec![b'a'; LARGEST * 3], usize::MAX >> 1)).await;
        assert_eq!(endless.unreadable.as_deref(), Some("the answer is larger than 1 MiB"));
    }

    #[tokio::test]
    async fn a_compressed_answer_is_unpacked() {
        // `printf '{"job":"7"}' | gzip -n`
        let small = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV\xca\xcaOR\xb2R2W\xaa\x05\x00L\x88o\"\x0b\x00\x00\x00";
        let reply = reply(answer(200, &["content-encoding: gzip"], small)).await;
        assert_eq!(reply.answer.body, "{\"job\":\"7\"}");
    }

    #[tokio::test]
    async fn an_answer_that_only_the_end_of_the_connection_ends_says_so() {
        let say = |head: &str, body: &[u8]| Turn::Say([head.as_bytes(), b"\r\n\r\n", body].concat());
        let open = reply(say("HTTP/1.0 200 OK\r\ncontent-type: text/plain", b"1234")).await;
        assert_eq!((open.answer.body.as_str(), open.is_open_ended), ("1234", true));
        let closed = reply(say("HTTP/1.1 200 OK\r\nconnection: close", b"1234")).await;
        assert!(closed.is_open_ended);
        let measured = reply(answer(200, &[], "1234")).await;
        assert!(!measured.is_open_ended);
        let chunked = say(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked",
            b"4\r\n1234\r\n0\r\n\r\n",
        );
        assert!(!reply(chunked).await.is_open_ended);
    }

    #[tokio::test]
    async fn a_body_whose_own_end_is_missing_is_none() {
        let chunks =
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n4\r\n1234\r\n"
                .to_vec();
        // Half of `printf '{"job":"7"}' | gzip -n`
        let half = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV\xca\xca";
        let zipped = [b"HTTP/1.0 200 OK\r\ncontent-encoding: gzip\r\n\r\n".as_slice(), half].concat();
        for turn in [Turn::Say(chunks), Turn::Say(zipped)] {
            let system = Scripted::start([turn]).await;
            let broken = exchange(&system.url, post(Body::None)).await.0.expect_err("broken");
            assert!(matches!(broken, Broken::NotAnswered(_)), "{broken:?}");
        }
    }

    #[tokio::test]
    async fn the_root_part_of_a_mime_message_is_the_answer() {
        let kind = "content-type: multipart/related; type=\"application/xop+xml\"; boundary=b; start=\"<r>\"";
        let body = b"--b\r\nContent-ID: <photo>\r\n\r\n\xff\xd8\r\n--b\r\nContent-ID: <r>\r\n\
                     Content-Type: application/xop+xml; charset=iso-8859-1\r\n\r\n<No>\xe9</No>\r\n--b--";
        let whole = reply(answer(200, &[kind], body)).await;
        assert_eq!((whole.answer.body.as_str(), whole.unreadable), ("<No>é</No>", None));
        let cut = reply(answer(200, &[kind], &body[..body.len() - 6])).await;
        assert!(cut.unreadable.is_some_and(|reason| reason.contains("cut short")));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        let system =
            Scripted::start([answer(302, &["location: /elsewhere"], ""), answer(200, &[], "")]).await;
        let reply = exchange(&system.url, post(Body::None)).await.0.expect("an answer");
        assert_eq!(reply.answer.status, 302);
        assert_eq!(system.requests().len(), 1);
    }

    #[test]
    fn the_kept_text_is_16_kib_at_most_and_never_ends_in_half_a_character() {
        let answer = Answer { status: 200, headers: Vec::new(), body: "€".repeat(10_000) };
        let text = text(&answer, &Mask::default());
        assert!(text.len() <= KEPT && text.len() > KEPT - 8);
        assert!(text.ends_with("€\n… cut"));
    }

    #[test]
    fn cookies_are_not_kept() {
        let headers = vec![("set-cookie".into(), "session=abc".into()), ("etag".into(), "\"1\"".into())];
        let text = text(&Answer { status: 204, headers, body: String::new() }, &Mask::default());
        assert_eq!(text, "HTTP/1.1 204 No Content\nset-cookie: ***\netag: \"1\"\n\n");
    }
}
