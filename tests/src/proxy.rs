//! A TCP proxy in front of a part: its address stays while the part moves, and the link can be made to fail.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A proxy that ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    open: Arc<Mutex<CancellationToken>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port; until it is [pointed](Self::point) somewhere, connections are closed at once.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let target = Arc::new(Mutex::new(None));
        let open = Arc::new(Mutex::new(CancellationToken::new()));
        #[expect(clippy::disallowed_methods, reason = "the task is aborted when the proxy is dropped")]
        let task = tokio::spawn(forward(listener, Arc::clone(&target), Arc::clone(&open)));
        Self { address, target, open, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to this address from now on.
    pub fn point(&self, target: SocketAddr) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// Cuts every open connection.
    pub fn cut(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *open, CancellationToken::new()).cancel();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
        self.task.abort();
    }
}

async fn forward(
    listener: TcpListener,
    target: Arc<Mutex<Option<SocketAddr>>>,
    open: Arc<Mutex<CancellationToken>>,
) {
    let mut links = tokio::task::JoinSet::new();
    while let Ok((mut near, _)) = listener.accept().await {
        let Some(target) = *target.lock().unwrap_or_else(PoisonError::into_inner) else { continue };
        let cut = open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        links.spawn(async move {
            let Ok(mut far) = TcpStream::connect(target).await else { return };
            tokio::select! {
                () = cut.cancelled() => {}
                _ = copy_bidirectional(&mut near, &mut far) => {}
            }
        });
        while links.try_join_next().is_some() {}
    }
}
