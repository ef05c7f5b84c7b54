//! A TCP proxy in front of a part: its address stays while the part moves, and the link can be made to fail.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What the link does with what it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carry {
    /// It carries it at once.
    Everything,
    /// It carries it so much later, piece by piece.
    Late(Duration),
    /// It carries nothing, and says nothing: a black hole. Connections stay open and can be made.
    Nothing,
    /// It takes no new connection; those that are open go on.
    Nobody,
}

/// How the open connections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// As when the other side ends.
    Closed,
    /// By RST, as from a fallen host or a firewall that forgot.
    Reset,
}

/// A proxy that ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    carry: watch::Sender<Carry>,
    ends: watch::Sender<End>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port; until it is [pointed](Self::point) somewhere, connections are closed at once.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let targets = Arc::new(Mutex::new(Vec::new()));
        let (carry, ends) = (watch::Sender::new(Carry::Everything), watch::Sender::new(End::Closed));
        #[expect(clippy::disallowed_methods, reason = "the task is aborted when the proxy is dropped")]
        let task = tokio::spawn(forward(listener, Arc::clone(&targets), carry.clone(), ends.clone()));
        Self { address, targets, carry, ends, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to this address from now on.
    pub fn point(&self, target: SocketAddr) {
        self.point_to_any(vec![target]);
    }

    /// New connections go to the first of these addresses that takes them.
    pub fn point_to_any(&self, targets: Vec<SocketAddr>) {
        *self.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// What the link does from now on.
    pub fn carry(&self, carry: Carry) {
        self.carry.send_replace(carry);
    }

    /// Closes every open connection.
    pub fn cut(&self) {
        self.ends.send_replace(End::Closed);
    }

    /// Resets every open connection.
    pub fn reset(&self) {
        self.ends.send_replace(End::Reset);
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
    targets: Arc<Mutex<Vec<SocketAddr>>>,
    carry: watch::Sender<Carry>,
    ends: watch::Sender<End>,
) {
    let mut links = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while links.try_join_next().is_some() {}
        if *carry.borrow() == Carry::Nobody {
            // Errors only say that it has gone already.
            drop(near.set_zero_linger());
            continue;
        }
        let targets = targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (carry, mut end) = (carry.subscribe(), ends.subscribe());
        links.spawn(async move {
            let Some(far) = first(&targets).await else { return };
            let ((from_near, mut to_near), (from_far, mut to_far)) = (near.into_split(), far.into_split());
            let how = tokio::select! {
                _ = end.changed() => *end.borrow(),
                _ = async {
                    tokio::join!(copy(from_near, &mut to_far, carry.clone()), copy(from_far, &mut to_near, carry))
                } => End::Closed,
            };
            if how == End::Reset {
                for half in [to_near, to_far] {
                    // An error only says that it has gone already.
                    drop(half.as_ref().set_zero_linger());
                    // A half that is dropped would say goodbye first.
                    half.forget();
                }
            }
        });
    }
}

async fn first(targets: &[SocketAddr]) -> Option<TcpStream> {
    for target in targets {
        if let Ok(stream) = TcpStream::connect(target).await {
            return Some(stream);
        }
    }
    None
}

/// Carries one direction to its end, as the link does at each moment.
async fn copy(mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, mut carry: watch::Receiver<Carry>) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let Ok(carry) = carry.wait_for(|carry| *carry != Carry::Nothing).await.map(|carry| *carry) else {
            break;
        };
        if let Carry::Late(by) = carry {
            tokio::time::sleep(by).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    // An error only says that it has gone already.
    drop(to.shutdown().await);
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Instant;

    use super::*;

    /// A proxy in front of a part that says everything back, and a connection through it.
    async fn linked() -> (Proxy, TcpStream, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let proxy = Proxy::start().await;
        proxy.point(listener.local_addr().expect("an address"));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut echoes = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                echoes.spawn(async move {
                    let (mut from, mut to) = stream.split();
                    drop(tokio::io::copy(&mut from, &mut to).await);
                });
            }
        });
        let stream = TcpStream::connect(proxy.address()).await.expect("connected");
        (proxy, stream, tasks)
    }

    async fn echo(stream: &mut TcpStream) -> std::io::Result<u8> {
        stream.write_all(b"x").await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn a_link_carries_both_ways_and_as_late_as_it_is_told() {
        let (proxy, mut stream, _tasks) = linked().await;
        assert_eq!(echo(&mut stream).await.expect("an echo"), b'x');
        proxy.carry(Carry::Late(Duration::from_millis(50)));
        let began = Instant::now();
        assert_eq!(echo(&mut stream).await.expect("an echo"), b'x');
        assert!(began.elapsed() >= Duration::from_millis(100), "late on each way");
    }

    #[tokio::test]
    async fn a_black_hole_says_nothing_until_it_carries_again() {
        let (proxy, mut stream, _tasks) = linked().await;
        proxy.carry(Carry::Nothing);
        let patience = Duration::from_millis(100);
        assert!(tokio::time::timeout(patience, echo(&mut stream)).await.is_err(), "nothing is said");
        proxy.carry(Carry::Everything);
        assert_eq!(stream.read_u8().await.expect("what was held back"), b'x');
    }

    #[tokio::test]
    async fn a_cut_is_an_end_and_a_reset_is_an_error() {
        let (proxy, mut stream, _tasks) = linked().await;
        echo(&mut stream).await.expect("an echo");
        proxy.cut();
        assert_eq!(stream.read_u8().await.expect_err("closed").kind(), ErrorKind::UnexpectedEof);
        let mut stream = TcpStream::connect(proxy.address()).await.expect("connected");
        echo(&mut stream).await.expect("an echo");
        proxy.reset();
        assert_eq!(stream.read_u8().await.expect_err("reset").kind(), ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn who_is_turned_away_hears_a_reset_and_others_go_on() {
        let (proxy, mut stream, _tasks) = linked().await;
        echo(&mut stream).await.expect("an echo");
        proxy.carry(Carry::Nobody);
        assert!(match TcpStream::connect(proxy.address()).await {
            Ok(mut turned_away) => echo(&mut turned_away).await.is_err(),
            Err(_) => true,
        });
        assert_eq!(echo(&mut stream).await.expect("an echo"), b'x');
    }
}
