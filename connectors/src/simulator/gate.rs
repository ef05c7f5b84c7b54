//! The listening side: connections that can be refused, cut before the answer or within it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Pause before the next try where accepting or binding failed.
const PAUSE: Duration = Duration::from_millis(10);

const BACKLOG: u32 = 1024;

/// One connection as a handler sees it: how much of the next answer goes out.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Arc<AtomicUsize>);

impl Line {
    const CUT: usize = usize::MAX;

    /// Nothing more goes out: the connection closes without an answer.
    pub(super) fn cut(&self) {
        self.0.store(Self::CUT, Ordering::Release);
    }

    /// The last `bytes` of the answer do not go out, and the connection closes there.
    pub(super) fn withhold(&self, bytes: usize) {
        self.0.store(bytes, Ordering::Release);
    }
}

impl Connected<IncomingStream<'_, Gate>> for Line {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Self {
        stream.io().line.clone()
    }
}

/// Until when connections are refused; `None`: they are taken.
pub(super) type Refusal = Option<Instant>;

/// A listener whose port can be closed for a while: connections are then refused by the kernel, and open
/// ones end.
#[derive(Debug)]
pub(super) struct Gate {
    address: SocketAddr,
    listener: Option<TcpListener>,
    refusal: watch::Receiver<Refusal>,
    open: CancellationToken,
}

impl Gate {
    pub(super) fn new(address: SocketAddr, listener: TcpListener, refusal: watch::Receiver<Refusal>) -> Self {
        Self { address, listener: Some(listener), refusal, open: CancellationToken::new() }
    }

    /// Closes the port and holds it, so that no one else is given it, until the time has come.
    async fn refuse(&mut self) {
        self.open.cancel();
        self.open = CancellationToken::new();
        self.listener = None;
        let mut held = None;
        while self.listener.is_none() {
            if held.is_none() {
                held = bind(self.address).ok();
            }
            let until = *self.refusal.borrow_and_update();
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => {
                    let until = if held.is_none() { Instant::now() + PAUSE } else { until };
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => {}
                        // The sender lives as long as the simulator; without it nobody can open the port early.
                        changed = self.refusal.changed() => if changed.is_err() {
                            tokio::time::sleep_until(until).await;
                        }
                    }
                }
                None => match held.take().map(|socket| socket.listen(BACKLOG)) {
                    Some(Ok(listener)) => self.listener = Some(listener),
                    Some(Err(_)) | None => tokio::time::sleep(PAUSE).await,
                },
            }
        }
    }
}

impl Listener for Gate {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        loop {
            let refused = self.refusal.borrow_and_update().is_some_and(|until| until > Instant::now());
            let Some(listener) = self.listener.as_ref().filter(|_| !refused) else {
                self.refuse().await;
                continue;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Ok(()) = self.refusal.changed() => continue,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // Only a matter of speed: answers are small and must not wait for one another.
                    let _ = stream.set_nodelay(true);
                    let closed = Box::pin(self.open.clone().cancelled_owned());
                    return (Wire { stream, line: Line::default(), closed }, peer);
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A connection that ends when its [`Gate`] closes, and sends no more than its [`Line`] allows.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    line: Line,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // The server writes head and body from one buffer, so its end is the end of the answer.
        let allowed = buf.len().saturating_sub(self.line.0.load(Ordering::Acquire));
        if allowed == 0 && !buf.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, &buf[..allowed])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Method;

    use crate::simulator::Kind;
    use crate::simulator::rig::{Rig, send, still};

    #[tokio::test]
    async fn a_closed_port_refuses_connections_until_it_opens_again() {
        let rig = Rig::start(Kind::Crm, still()).await;
        rig.get("/_sim").await;
        rig.sim.refuse_for(Duration::from_secs(3_600));
        let refused =
            async || send(rig.call(Method::GET, "/_sim")).await.is_err_and(|error| error.is_connect());
        while !refused().await {
            tokio::task::yield_now().await;
        }
        assert!(refused().await, "it stays closed");
        rig.sim.refuse_for(Duration::ZERO);
        while refused().await {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.get("/_sim").await["system"], "crm");
    }

    #[tokio::test]
    async fn a_closed_port_opens_by_itself_when_its_time_has_come() {
        let rig = Rig::start(Kind::Crm, still()).await;
        rig.post("/_sim/refuse", r#"{"for_ms": 60}"#).await;
        while send(rig.call(Method::GET, "/_sim")).await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(rig.get("/_sim").await["system"], "crm");
    }
}
