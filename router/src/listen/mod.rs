//! The listeners: which are there, what each serves, who is let in, and how long and how many at once.

mod connection;
mod crowd;
mod descriptors;
mod endpoint;
mod hosts;
mod limit;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Listeners};
use connection::Service;
use crowd::Crowd;
use hosts::Hosts;
use limit::Limit;

pub(crate) use connection::TooSlow;
pub(crate) use endpoint::router;
pub use endpoint::{Endpoint, Needs};

/// The sockets of a router.
#[derive(Debug)]
pub struct Sockets {
    /// For the doors.
    pub doors: TcpListener,
    /// For the console and the metrics.
    pub console: TcpListener,
}

/// How many a listener takes at once, and how long it waits for a caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    connections: usize,
    per_address: usize,
    requests: usize,
    /// For the head of a request, from its first byte on; and for that byte on a new connection.
    header: Duration,
    /// For the body of a request.
    body: Duration,
    /// For the next bytes of a body, and for the caller to take the next bytes of an answer.
    idle: Duration,
    /// For the next request after an answer.
    kept_alive: Duration,
}

impl Allowance {
    fn new([connections, per_address, requests]: [usize; 3], times: &Listeners) -> Self {
        Self {
            connections,
            per_address: per_address.max(1),
            requests: requests.max(1),
            header: times.header_timeout.0,
            body: times.body_timeout.0,
            idle: times.idle_timeout.0,
            kept_alive: times.keep_alive_timeout.0,
        }
    }

    /// How often it is looked whether a connection is overdue.
    fn look(&self) -> Duration {
        let shortest = self.header.min(self.idle).min(self.kept_alive);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    #[cfg(test)]
    fn for_tests() -> Self {
        let long = Duration::from_secs(600);
        Self {
            connections: 100,
            per_address: 100,
            requests: 100,
            header: long,
            body: long,
            idle: long,
            kept_alive: long,
        }
    }
}

/// Who is connected to each listener.
#[derive(Debug, Clone)]
pub struct Crowds {
    doors: Arc<Crowd>,
    console: Arc<Crowd>,
}

impl Crowds {
    /// Raises the limit of descriptors as far as it may be, and gives each listener its part of it.
    pub fn new(config: &Config) -> Self {
        let limit = descriptors::raise();
        let (http, console, common) = (&config.http, &config.console, &config.listeners);
        let wanted = [http.connections, console.connections];
        let given = descriptors::shares(wanted, limit, common.reserved_descriptors);
        if given != wanted {
            let means = "the limit of descriptors leaves fewer connections than are set; hint: raise it (ulimit -n, LimitNOFILE)";
            tracing::warn!(
                limit,
                reserved = common.reserved_descriptors,
                ?wanted,
                ?given,
                means,
                "fewer connections"
            );
        }
        let doors = [given[0], http.connections_per_address, http.requests_at_once];
        let pages = [given[1], console.connections_per_address, console.pages_at_once];
        Self {
            doors: Arc::new(Crowd::new("doors", Allowance::new(doors, common))),
            console: Arc::new(Crowd::new("console", Allowance::new(pages, common))),
        }
    }

    /// The limits that were reached in the last minute, as `doors.connections`, each with what that means.
    pub fn limits_reached(&self) -> BTreeMap<String, &'static str> {
        let now = Instant::now();
        [&self.doors, &self.console].into_iter().flat_map(|crowd| crowd.reports.tell(now)).collect()
    }

    /// The doors.
    pub(crate) fn doors(&self, listener: TcpListener, router: Router, hosts: &[String]) -> Server {
        Server::new(listener, &self.doors, router, Hosts::any_or(hosts))
    }

    /// The console, which takes no unknown name.
    pub(crate) fn console(&self, listener: TcpListener, router: Router, hosts: &[String]) -> Server {
        Server::new(listener, &self.console, router, Hosts::only(hosts))
    }
}

/// One listener and what it serves.
pub(crate) struct Server {
    listener: TcpListener,
    crowd: Arc<Crowd>,
    service: Arc<Service>,
}

/// How long nothing is accepted after it failed.
const PAUSE: Duration = Duration::from_millis(50);

impl Server {
    fn new(listener: TcpListener, crowd: &Arc<Crowd>, router: Router, hosts: Hosts) -> Self {
        let allowance = crowd.allowance();
        Self { listener, crowd: Arc::clone(crowd), service: Arc::new(Service { router, hosts, allowance }) }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown, and then until what is being answered has been.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self { listener, crowd, service } = self;
        let connections = TaskTracker::new();
        loop {
            let next = async {
                crowd.room().await;
                listener.accept().await
            };
            let Some(accepted) = shutdown.run_until_cancelled(next).await else { break };
            match accepted {
                Ok((stream, peer)) => {
                    if let Some(place) = crowd.enter(peer.ip()) {
                        let service = Arc::clone(&service);
                        connections.spawn(connection::serve(stream, place, service, shutdown.clone()));
                    }
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    let is_short =
                        [Some(Errno::MFILE), Some(Errno::NFILE)].contains(&Errno::from_io_error(&error));
                    if is_short {
                        crowd.reports.reached(Limit::Descriptors, Instant::now());
                        crowd.give_back();
                    } else {
                        tracing::error!(error = %error, "a connection could not be accepted");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

/// Whether the connection went before it was accepted, which says nothing of others.
fn is_of_one_connection(error: &io::Error) -> bool {
    [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionRefused]
        .contains(&error.kind())
}
