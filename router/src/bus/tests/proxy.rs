//! A TCP link to the broker that fails on purpose.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

/// What goes to the broker with a first byte that is not UTF-8; no client here could send that itself.
pub(super) const SPOILT: &[u8] = b"~spoilt";

/// What the link carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carry {
    /// Everything.
    Both,
    /// Only what goes to the broker.
    Up,
    /// Nothing, but the connections stay open: a dead link.
    Nothing,
    /// Nothing; who connects is turned away.
    Nobody,
}

/// The link; dropping it cuts every connection.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    carry: watch::Sender<Carry>,
    cuts: watch::Sender<u64>,
    injected: broadcast::Sender<Vec<u8>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(broker: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (carry, cuts) = (watch::Sender::new(Carry::Both), watch::Sender::new(0));
        let injected = broadcast::Sender::new(4);
        let mut tasks = JoinSet::new();
        let (carried, cutting, injecting) = (carry.clone(), cuts.clone(), injected.clone());
        tasks.spawn(async move {
            let mut links = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let carry = carried.subscribe();
                if *carry.borrow() == Carry::Nobody {
                    continue;
                }
                let (mut cut, injected) = (cutting.subscribe(), injecting.subscribe());
                let broker = broker.clone();
                links.spawn(async move {
                    let Ok(server) = TcpStream::connect(broker).await else { return };
                    // A cut is a reset, as a fallen firewall or a killed host makes it.
                    client.set_zero_linger().unwrap();
                    server.set_zero_linger().unwrap();
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let writes = AtomicBool::new(false);
                    tokio::select! {
                        biased;
                        _ = cut.changed() => {}
                        () = up(from_client, to_server, carry.clone(), &writes) => {}
                        () = down(from_server, to_client, carry, injected, &writes) => {}
                    }
                });
            }
        });
        Self { address, carry, cuts, injected, _tasks: tasks }
    }

    /// Cuts every connection that is open now.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    pub(super) fn carry(&self, carry: Carry) {
        self.carry.send_replace(carry);
    }

    /// Lets the broker say something on channel 0 of the connection that writes, as it blocks only those.
    pub(super) fn say_to_writer(&self, method: &[u8]) {
        let size = u32::try_from(method.len()).unwrap().to_be_bytes();
        let frame = [&[1, 0, 0], size.as_slice(), method, &[0xce]].concat();
        self.injected.send(frame).unwrap();
    }
}

async fn up(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut carry: watch::Receiver<Carry>,
    writes: &AtomicBool,
) {
    const NAME: &[u8] = b"(writing)";
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if buffer[..read].windows(NAME.len()).any(|window| window == NAME) {
            writes.store(true, Ordering::Relaxed);
        }
        for at in 0..read.saturating_sub(SPOILT.len()) {
            if &buffer[at..at + SPOILT.len()] == SPOILT {
                buffer[at] = 0xff;
            }
        }
        if carry.wait_for(|carry| *carry != Carry::Nothing).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Carries whole frames, so that others can be put between.
async fn down(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut carry: watch::Receiver<Carry>,
    mut injected: broadcast::Receiver<Vec<u8>>,
    writes: &AtomicBool,
) {
    loop {
        let mut head = [0; 7];
        let mut have = 0;
        while have < head.len() {
            tokio::select! {
                read = from.read(&mut head[have..]) => match read {
                    Ok(read @ 1..) => have += read,
                    Ok(_) | Err(_) => return,
                },
                Ok(frame) = injected.recv(), if have == 0 => {
                    if writes.load(Ordering::Relaxed) && to.write_all(&frame).await.is_err() {
                        return;
                    }
                }
            }
        }
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut frame = head.to_vec();
        frame.resize(head.len() + size + 1, 0);
        if from.read_exact(&mut frame[head.len()..]).await.is_err() {
            return;
        }
        if carry.wait_for(|carry| *carry == Carry::Both).await.is_err() || to.write_all(&frame).await.is_err()
        {
            return;
        }
    }
}
