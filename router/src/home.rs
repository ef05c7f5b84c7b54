//! Where a router runs, and whether another of the same place has ended.
//!
//! A router that ended without a word is not told from one that is silent, but by the machine it ran on: there, the
//! system knows. Each router holds a Unix socket with an abstract name of its own (unix(7)), which the kernel takes away
//! when the last thread of the process has ended, and not before. Abstract names belong to a network namespace; one is
//! known by its number as long as it lives, within one boot of the machine. So whoever finds the name of a router free, in
//! the very place that the router said it is, knows that it has ended, whatever became of the network or the database.

use std::io;

use crate::ledger::WorkerId;

/// The place of this router, held as long as it runs.
#[derive(Debug)]
pub struct Home {
    name: String,
    /// Shows others of the same place that this router lives.
    _alive: Alive,
}

impl Home {
    /// Takes the place in which this process runs; `None` where the system cannot tell who lives.
    pub fn take(worker: WorkerId) -> Option<Self> {
        match (place(), hold(worker)) {
            (Ok(name), Ok(alive)) => Some(Self { name, _alive: alive }),
            (Err(error), _) | (_, Err(error)) => {
                tracing::info!(error = %error, "a restart will wait until this router is known to be silent");
                None
            }
        }
    }

    /// The place, the same for all that can see each other end.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a router that said it is in this place has ended for sure.
    pub fn saw_end_of(&self, worker: WorkerId) -> bool {
        hold(worker).is_ok()
    }
}

#[cfg(target_os = "linux")]
type Alive = std::os::unix::net::UnixListener;

#[cfg(target_os = "linux")]
fn hold(worker: WorkerId) -> io::Result<Alive> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener};

    let address = SocketAddr::from_abstract_name(format!("dovetail/router/{}", worker.0))?;
    UnixListener::bind_addr(&address)
}

/// One boot of one machine, and the network namespace within it.
#[cfg(target_os = "linux")]
fn place() -> io::Result<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let network = std::fs::read_link("/proc/self/ns/net")?;
    Ok(format!("{}/{}/{}", boot.trim(), host.trim(), network.display()))
}

#[cfg(not(target_os = "linux"))]
type Alive = ();

#[cfg(not(target_os = "linux"))]
fn hold(_worker: WorkerId) -> io::Result<Alive> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn place() -> io::Result<String> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_router_has_ended_only_when_nobody_holds_its_name_any_more() {
        let [one, other] = [(); 2].map(|()| WorkerId(Uuid::now_v7()));
        let (ours, theirs) = (Home::take(one).expect("a place"), Home::take(other).expect("a place"));
        assert_eq!(ours.name(), theirs.name());
        assert!(!ours.saw_end_of(other), "it lives");
        assert!(!ours.saw_end_of(one), "so do we");
        drop(theirs);
        assert!(ours.saw_end_of(other));
        assert!(ours.saw_end_of(other), "asking leaves nothing behind");
    }
}
