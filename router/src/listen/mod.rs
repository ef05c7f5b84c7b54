//! The listeners: which are there, what each serves, and who is let in.

mod endpoint;
mod hosts;

use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use hosts::Hosts;

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

/// One listener and what it serves.
pub(crate) struct Server {
    name: &'static str,
    listener: TcpListener,
    router: Router,
    hosts: Hosts,
}

impl Server {
    /// The doors: `fallback` answers what is no endpoint.
    pub(crate) fn doors(
        listener: TcpListener,
        endpoints: &[Endpoint],
        fallback: Router,
        hosts: &[String],
    ) -> Self {
        let router = router(endpoints, fallback);
        Self { name: "doors", listener, router, hosts: Hosts::any_or(hosts) }
    }

    /// The console likewise, which takes no unknown name.
    pub(crate) fn console(
        listener: TcpListener,
        endpoints: &[Endpoint],
        fallback: Router,
        hosts: &[String],
    ) -> Self {
        let router = router(endpoints, fallback);
        Self { name: "console", listener, router, hosts: Hosts::only(hosts) }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until shutdown.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let Self { name, listener, router, hosts } = self;
        let own = listener.local_addr().map_or(IpAddr::from([127, 0, 0, 1]), |address| address.ip());
        let router = router.layer(from_fn_with_state((hosts, own), admit));
        let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(listener = name, error = %error, "a listener closed");
        }
    }
}

async fn admit(State((hosts, own)): State<(Hosts, IpAddr)>, request: Request, next: Next) -> Response {
    match hosts.admit(request.uri(), request.headers(), own) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
