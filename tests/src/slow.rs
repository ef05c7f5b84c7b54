//! Callers who are slow: connections that ask for nothing, or for half of something.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::council::KEY;

/// What a slow caller sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slow {
    /// Nothing.
    Nothing,
    /// Half a head.
    HalfAHead,
    /// A head that says more of a body than comes.
    HalfABody,
    /// A whole request, and nothing after its answer.
    StaysOpen,
}

impl Slow {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Nothing, Self::HalfAHead, Self::HalfABody, Self::StaysOpen];

    fn bytes(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::HalfAHead => "POST /v1/requests HTTP/1.1\r\nHost: localh".to_owned(),
            Self::HalfABody => format!(
                "POST /v1/requests HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
                 Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{{\"half\":"
            ),
            Self::StaysOpen => "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        }
    }

    /// Opens so many connections of this form. They end when they are dropped; one that the other end has closed already
    /// is among them.
    pub async fn open(self, address: SocketAddr, count: usize) -> Vec<TcpStream> {
        let bytes = self.bytes();
        let mut opened = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            // An error only says that it was closed to make room.
            let _closed = stream.write_all(bytes.as_bytes()).await;
            opened.push(stream);
        }
        opened
    }
}
