//! A back office that answers by script, byte for byte, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the system does with one request, after it has read it whole.
pub(crate) enum Turn {
    /// Sends these bytes and closes the connection.
    Say(Vec<u8>),
    /// Never answers.
    Silence,
    /// Sends these bytes, then for ever one more after each pause.
    Drip(Vec<u8>, Duration),
}

/// A complete answer.
pub(crate) fn answer(status: u16, headers: &[&str], body: impl AsRef<[u8]>) -> Turn {
    cut_answer(status, headers, body.as_ref(), body.as_ref().len())
}

/// An answer that promises `promised` bytes of body and sends what there is.
pub(crate) fn cut_answer(status: u16, headers: &[&str], body: &[u8], promised: usize) -> Turn {
    let mut bytes =
        format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {promised}\r\nconnection: close\r\n");
    for header in headers {
        bytes.push_str(header);
        bytes.push_str("\r\n");
    }
    bytes.push_str("\r\n");
    Turn::Say([bytes.as_bytes(), body].concat())
}

/// The running system; it stops when it is dropped.
pub(crate) struct Scripted {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _task: JoinSet<()>,
}

impl Scripted {
    /// Takes the turns in order, one a connection; more requests than turns are not answered.
    pub(crate) async fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut task = JoinSet::new();
        let (turns, seen): (Vec<Turn>, _) = (turns.into_iter().collect(), requests.clone());
        task.spawn(async move {
            let mut open = Vec::new();
            for turn in turns {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let request = read(&mut stream).await;
                seen.lock().expect("not poisoned").push(request);
                match turn {
                    Turn::Say(bytes) => {
                        // The client may have gone already, for example after too large a body.
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Turn::Silence => open.push(stream),
                    Turn::Drip(bytes, pause) => {
                        let mut more = stream.write_all(&bytes).await;
                        while more.is_ok() {
                            tokio::time::sleep(pause).await;
                            more = stream.write_all(b".").await;
                        }
                    }
                }
            }
            std::future::pending::<()>().await;
        });
        Self { url, requests, _task: task }
    }

    /// The requests so far, as they came.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .to_lowercase()
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text.into_owned();
            }
        }
        if stream.read_buf(&mut bytes).await.expect("readable") == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}
