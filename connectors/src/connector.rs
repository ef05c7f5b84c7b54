//! The way to one system.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Connection, Report, Steps, System};
use reqwest::{Client, Url, redirect};
use serde_json::Value;

use crate::draft;
use crate::exchange;
use crate::mask::Mask;
use crate::outcome::{Error, Performed, ReadFailure};
use crate::stored::Stored;
use crate::walk::Walk;

/// An idle connection is given up before common servers close it (Apache does after 5 s), so that a call
/// is seldom sent into a connection that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(4);

/// The way to one system: a pooled HTTP client with its time-outs, credentials and kept answers.
///
/// An attempt is one attempt: nothing is sent a second time in here, redirects are not followed, and how
/// many attempts run at once is for the caller to limit.
pub struct Connector {
    pub(crate) system: SystemName,
    pub(crate) connection: Connection,
    pub(crate) base: Url,
    pub(crate) client: Client,
    pub(crate) mask: Mask,
    pub(crate) stored: Stored,
}

impl Connector {
    /// Makes the way to a system as its `connection` says. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error`] when the base URL cannot be used, or the host has no CA certificates and the URL is https.
    pub fn new(system: &System) -> Result<Self, Error> {
        let connection = system.connection.clone();
        let base = draft::base(&connection.base_url).map_err(|reason| Error::Address {
            system: system.name.to_string(),
            found: connection.base_url.clone(),
            reason,
        })?;
        let client = client(&connection, &base, system.limits.concurrency)
            .map_err(|source| Error::Client { system: system.name.to_string(), source })?;
        Ok(Self {
            system: system.name.clone(),
            connection,
            base,
            client,
            mask: Mask::of(system),
            stored: Stored::default(),
        })
    }

    /// Makes the calls of an operation in order, once, and says what came of them.
    ///
    /// The verdict is that of the last step that is not optional; an optional step that fails leaves a note.
    /// Where a step was carried out and a later one is to be sent again, the outcome is `Unknown`: the
    /// operation as a whole must not be repeated blindly.
    pub async fn perform(&self, steps: &Steps, context: Value, now: Timestamp) -> Performed {
        Walk::new(self, context, now).perform(steps).await
    }

    /// Makes the calls of a poll or a read-back in order, and reads the reports out of their answers.
    /// A job the system does not know gives no reports.
    ///
    /// # Errors
    /// [`ReadFailure`] when a call that is not optional was not answered as its mapping expects.
    pub async fn read(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
    ) -> Result<Vec<Report>, ReadFailure> {
        Walk::new(self, context, now).read(steps).await
    }

    /// Asks the base URL for its headers, without credentials: any answer at all is good, and the time it
    /// took is returned.
    ///
    /// # Errors
    /// Why the system cannot be reached, in plain words.
    pub async fn reach(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        match self.client.head(self.base.clone()).send().await {
            Ok(_) => Ok(begun.elapsed()),
            Err(error) => Err(exchange::unreached(&error, &self.base)),
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("system", &self.system).field("base", &self.base.as_str()).finish()
    }
}

pub(crate) fn client(
    connection: &Connection,
    base: &Url,
    concurrency: usize,
) -> Result<Client, reqwest::Error> {
    // Another part of the process may have chosen the same provider already; that is all the error says.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let whole = connection.timeout;
    let mut builder = Client::builder()
        // Ends before the whole does, so that a connection never made is told from an answer never given.
        .connect_timeout(connection.connect_timeout.min(connection.answer_timeout * 9 / 10))
        .timeout(whole)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(concurrency)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy();
    if base.scheme() == "http" {
        // Without TLS no CA certificates are needed; a slim container has none.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}
