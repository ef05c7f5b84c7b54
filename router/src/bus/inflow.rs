//! How much the broker may send us: while too many bytes wait for their acknowledgement, its connection is not read.
//!
//! A prefetch counts messages, and RabbitMQ knows none in bytes: 500 messages of 15 MB would all be sent at once. What is
//! not read from the socket stays with the broker.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use async_rs::Tokio;
use async_rs::traits::Reactor;
use futures::Stream;
use futures::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Sleep;

/// While nothing else is read, so much is at each [`TRICKLE`]: the heartbeats of the broker must get through.
const SIP: usize = 4096;
const TRICKLE: Duration = Duration::from_millis(500);

/// The deliveries that are not acknowledged yet.
#[derive(Debug)]
pub(super) struct Inflow {
    most: usize,
    bytes: AtomicUsize,
    messages: AtomicUsize,
    readers: Mutex<Vec<Waker>>,
    changed: Notify,
}

/// One delivery that counts until this is dropped.
#[derive(Debug)]
pub(super) struct Weight {
    inflow: Arc<Inflow>,
    bytes: usize,
}

impl Inflow {
    /// An inflow that stops at so many bytes. One delivery is always taken, however large it is.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            bytes: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
            readers: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Counts a delivery.
    pub(super) fn take(self: &Arc<Self>, bytes: usize) -> Weight {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        self.messages.fetch_add(1, Ordering::SeqCst);
        Weight { inflow: Arc::clone(self), bytes }
    }

    /// Whether nothing more is read.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= self.most
    }

    /// Waits until more is read.
    pub(super) async fn has_room(&self) {
        self.until(|inflow| !inflow.is_full()).await;
    }

    /// Waits until no more than so many deliveries are held.
    pub(super) async fn holds_at_most(&self, messages: usize) {
        self.until(|inflow| inflow.messages.load(Ordering::SeqCst) <= messages).await;
    }

    async fn until(&self, reached: impl Fn(&Self) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if reached(self) {
                return;
            }
            changed.await;
        }
    }

    /// Whether a reader must wait; it is woken when it need not any more.
    fn holds_back(&self, reader: &Waker) -> bool {
        if !self.is_full() {
            return false;
        }
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if !readers.iter().any(|known| known.will_wake(reader)) {
            readers.push(reader.clone());
        }
        drop(readers);
        // What was released in between has woken nobody.
        self.is_full()
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        let Self { inflow, bytes } = self;
        inflow.bytes.fetch_sub(*bytes, Ordering::SeqCst);
        inflow.messages.fetch_sub(1, Ordering::SeqCst);
        if !inflow.is_full() {
            let readers = std::mem::take(&mut *inflow.readers.lock().unwrap_or_else(PoisonError::into_inner));
            readers.into_iter().for_each(Waker::wake);
        }
        inflow.changed.notify_waiters();
    }
}

/// Connections whose reading waits for the inflow.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    tokio: Tokio,
    handle: Handle,
    inflow: Arc<Inflow>,
}

impl Measured {
    /// To be made within the runtime that the connections live in.
    pub(super) fn new(inflow: Arc<Inflow>) -> Self {
        Self { tokio: Tokio::current(), handle: Handle::current(), inflow }
    }
}

impl Reactor for Measured {
    type TcpStream = Socket;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.tokio.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Socket>> + Send + 'static {
        let connecting = self.tokio.tcp_connect_addr(address);
        let (handle, inflow) = (self.handle.clone(), Arc::clone(&self.inflow));
        async move { Ok(Socket { stream: connecting.await?, handle, inflow, pause: None }) }
    }
}

/// A connection to the broker, read only while the inflow has room.
pub(super) struct Socket {
    stream: <Tokio as Reactor>::TcpStream,
    handle: Handle,
    inflow: Arc<Inflow>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.inflow.holds_back(cx.waker()) {
            this.pause = None;
            return Pin::new(&mut this.stream).poll_read(cx, out);
        }
        let handle = &this.handle;
        let pause = this.pause.get_or_insert_with(|| {
            let _runtime = handle.enter();
            Box::pin(tokio::time::sleep(TRICKLE))
        });
        ready!(pause.as_mut().poll(cx));
        this.pause = None;
        let sip = out.len().min(SIP);
        Pin::new(&mut this.stream).poll_read(cx, &mut out[..sip])
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::io::AsyncReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_read_by_sips_while_too_much_is_held_and_at_once_when_it_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inflow = Arc::new(Inflow::new(1000));
        let mut socket = Measured::new(Arc::clone(&inflow)).tcp_connect_addr(address).await.unwrap();
        let (mut broker, _) = listener.accept().await.unwrap();
        broker.write_all(&[7; 64 * 1024]).await.unwrap();
        let mut out = vec![0; 64 * 1024];
        let large = inflow.take(5000);
        let began = Instant::now();
        let read = socket.read(&mut out).await.unwrap();
        assert!(read <= SIP && began.elapsed() >= TRICKLE, "{read} after {:?}", began.elapsed());
        let mut rest = std::pin::pin!(socket.read_exact(&mut out[read..]));
        assert!(futures::poll!(rest.as_mut()).is_pending());
        drop(large);
        rest.await.unwrap();
        assert!(out.iter().all(|byte| *byte == 7));
    }

    #[tokio::test]
    async fn those_who_wait_for_room_or_for_the_last_delivery_are_told() {
        let inflow = Arc::new(Inflow::new(10));
        let (one, other) = (inflow.take(10), inflow.take(1));
        assert!(inflow.is_full());
        let mut room = std::pin::pin!(inflow.has_room());
        let mut last = std::pin::pin!(inflow.holds_at_most(0));
        assert!(futures::poll!(room.as_mut()).is_pending());
        drop(one);
        room.await;
        assert!(futures::poll!(last.as_mut()).is_pending());
        drop(other);
        last.await;
    }
}
