//! The listeners over real sockets: each way of being slow, and what goes on beside it.

use std::time::Duration;

use axum::body::to_bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::*;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A listener with a path that answers, one that reads a body, one that never answers, and one with a large answer.
struct Rig {
    address: SocketAddr,
    crowd: Arc<Crowd>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Rig {
    async fn start(allowance: Allowance) -> Self {
        let never = get(|| async { std::future::pending::<&'static str>().await });
        let reads = post(async |body: axum::body::Body| match to_bytes(body, 1 << 20).await {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(error) => format!("{error:?}"),
        });
        let endpoints = [
            Endpoint::get("/", Needs::Nothing, get(|| async { "here" })),
            Endpoint::get("/health/live", Needs::Nothing, get(|| async { "live" })),
            Endpoint::get("/never", Needs::Nothing, never),
            Endpoint::get("/large", Needs::Nothing, get(|| async { vec![b'x'; 64 << 20] })),
            Endpoint::post("/read", Needs::Nothing, reads),
        ];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let crowd = Arc::new(Crowd::new("doors", allowance));
        let router = router(&endpoints, Router::new());
        let server = Server::new(listener, &crowd, router, Hosts::any_or(&[]));
        let (address, stop) = (server.address().expect("an address"), CancellationToken::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(server.run(stop.clone()));
        Self { address, crowd, stop, tasks }
    }

    async fn open(&self, sends: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        stream.write_all(sends.as_bytes()).await.expect("sent");
        stream
    }

    async fn ask(&self, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        rest(&mut self.open(&request).await).await
    }

    /// Tells it to stop, and waits until it has.
    async fn stops(mut self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.tasks.join_next()).await;
        ended.expect("it stops").expect("a task").expect("no panic");
    }
}

/// What comes until the other end closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    // A connection that is closed before all it sent was read is reset.
    drop(read);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What comes of one answer on a connection that is kept alive.
async fn first(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("here") {
        let byte =
            tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("an answer").expect("a byte");
        text.push(char::from(byte));
    }
    text
}

const GET: &str = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const HALF_A_HEAD: &str = "GET / HTTP/1.1\r\nHo";
const HALF_A_BODY: &str = "POST /read HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf";
const NEVER: &str = "GET /never HTTP/1.1\r\nHost: here\r\n\r\n";

#[tokio::test]
async fn what_is_answered_stays_open_for_the_next_request() {
    let rig = Rig::start(Allowance::for_tests()).await;
    let mut stream = rig.open(GET).await;
    assert!(first(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream.write_all(GET.as_bytes()).await.expect("sent");
    assert!(first(&mut stream).await.starts_with("HTTP/1.1 200"));
    let whole = format!("{HALF_A_BODY} whole\r\n").replace("\r\nContent", "\r\nConnection: close\r\nContent");
    assert!(rest(&mut rig.open(&whole).await).await.ends_with("10 bytes"));
    rig.stops().await;
}

#[tokio::test]
async fn each_way_of_being_slow_ends_in_its_own_time_and_a_body_is_told_why() {
    let short = Duration::from_millis(100);
    let header = Allowance { header: short, ..Allowance::for_tests() };
    for sends in ["", HALF_A_HEAD] {
        let rig = Rig::start(header).await;
        assert_eq!(rest(&mut rig.open(sends).await).await, "", "{sends:?}");
        rig.stops().await;
    }
    for allowance in [
        Allowance { body: short, ..Allowance::for_tests() },
        Allowance { idle: short, ..Allowance::for_tests() },
    ] {
        let rig = Rig::start(allowance).await;
        let answer = rest(&mut rig.open(HALF_A_BODY).await).await;
        assert!(answer.contains("TooSlow"), "{answer}");
        rig.stops().await;
    }
    let rig = Rig::start(Allowance { kept_alive: short, ..Allowance::for_tests() }).await;
    assert!(rest(&mut rig.open(GET).await).await.ends_with("here"));
    rig.stops().await;
    // A caller who does not take the answer. What the system buffers of it has an end.
    let rig = Rig::start(Allowance { idle: short, ..Allowance::for_tests() }).await;
    let unread = rig.open("GET /large HTTP/1.1\r\nHost: here\r\n\r\n").await;
    let gone = async {
        while rig.crowd.count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it is closed");
    drop(unread);
    rig.stops().await;
}

#[tokio::test]
async fn bytes_that_drip_in_do_not_make_the_time_longer() {
    let times = Allowance {
        header: Duration::from_millis(200),
        body: Duration::from_millis(200),
        ..Allowance::for_tests()
    };
    for begin in [HALF_A_HEAD, HALF_A_BODY] {
        let rig = Rig::start(times).await;
        let mut stream = rig.open(&begin.replace("10", "1000000")).await;
        let mut drip = tokio::time::interval(Duration::from_millis(5));
        let dripping = async {
            while stream.write_all(b"x").await.is_ok() {
                drip.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, dripping).await.expect("it is closed");
        rig.stops().await;
    }
}

#[tokio::test]
async fn however_many_are_slow_others_are_answered_at_once_and_it_is_told() {
    let few = Allowance { connections: 20, requests: 5, ..Allowance::for_tests() };
    for sends in ["", HALF_A_HEAD, HALF_A_BODY, GET] {
        let rig = Rig::start(few).await;
        let mut slow = Vec::new();
        for _ in 0..50 {
            slow.push(rig.open(sends).await);
            assert!(rig.ask("/").await.starts_with("HTTP/1.1 200"), "{sends:?}");
        }
        assert!(rig.crowd.count() <= 20);
        assert!(!rig.crowd.reports.tell(Instant::now()).is_empty(), "{sends:?}");
        rig.stops().await;
    }
}

#[tokio::test]
async fn requests_beyond_those_at_once_are_told_to_come_again_and_health_is_not() {
    let rig = Rig::start(Allowance { requests: 2, ..Allowance::for_tests() }).await;
    let _busy = [rig.open(NEVER).await, rig.open(NEVER).await];
    let full = async {
        while rig.crowd.answering() < 2 {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(PATIENCE, full).await.expect("both are being answered");
    let answer = rig.ask("/").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    assert!(rig.ask("/health/live").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stop_waits_for_nobody_who_is_silent() {
    let rig = Rig::start(Allowance::for_tests()).await;
    let mut slow = Vec::new();
    for sends in ["", HALF_A_HEAD, HALF_A_BODY, GET, "GET /large HTTP/1.1\r\nHost: here\r\n\r\n"] {
        slow.push(rig.open(sends).await);
    }
    assert!(rig.ask("/").await.starts_with("HTTP/1.1 200"));
    rig.stops().await;
}
