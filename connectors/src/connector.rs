//! The way to one system.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use mappings::domain::SystemName;
use mappings::mapping::{Auth, Connection, Reading, Steps, System, address};
use reqwest::{Client, Url, redirect};
use serde_json::Value;

use crate::carried::Carried;
use crate::exchange;
use crate::mask::Mask;
use crate::outcome::{Error, Gathered, Performed, ReadFailure};
use crate::stored::Stored;
use crate::token::Tokens;
use crate::walk::Walk;

/// An idle connection is given up before common servers close it (Apache does after 5 s), so that a call
/// is seldom sent into a connection that is just being closed, which would leave its outcome unknown.
const IDLE: Duration = Duration::from_secs(4);

/// The way to one system: a pooled HTTP client with its time-outs, credentials and kept answers.
///
/// An attempt is one attempt: nothing is sent a second time in here, redirects are not followed, and how
/// many attempts run at once is for the caller to limit. The one exception are credentials that the system no longer
/// honours, an access token or what a step stored: they are fetched anew and the call, which was not carried out, is sent
/// with the new ones.
pub struct Connector {
    pub(crate) system: SystemName,
    pub(crate) connection: Connection,
    pub(crate) base: Url,
    pub(crate) client: Client,
    pub(crate) mask: Mask,
    pub(crate) stored: Stored,
    pub(crate) tokens: Option<Tokens>,
    /// The most that is read of a list, all its pages together.
    pub(crate) largest_list: usize,
}

impl Connector {
    /// Makes the way to a system as its `connection` says. Connects to nothing yet.
    ///
    /// # Errors
    /// [`Error`] when the base URL cannot be used, or the host has no CA certificates and the URL is https.
    pub fn new(system: &System) -> Result<Self, Error> {
        let connection = system.connection.clone();
        let named = || system.name.to_string();
        let unusable = |key, found: &str, reason| Error::Address {
            system: named(),
            key,
            found: address::shown(found),
            reason,
        };
        let base = address::base(&connection.base_url)
            .map_err(|reason| unusable("base_url", &connection.base_url, reason))?;
        let pool = |url: &Url, concurrency: usize| {
            client(&connection, url, concurrency).map_err(|source| Error::Client { system: named(), source })
        };
        let client = pool(&base, system.limits.concurrency)?;
        let tokens = match &connection.auth {
            Auth::OAuth2(oauth2) => {
                let url = Tokens::url(&oauth2.token_url)
                    .map_err(|reason| unusable("token_url", &oauth2.token_url, reason))?;
                let client = pool(&url, 1)?;
                Some(Tokens::new(oauth2.clone(), url, client, system.connection.answer_timeout))
            }
            Auth::None
            | Auth::Basic { .. }
            | Auth::Bearer(_)
            | Auth::Token(_)
            | Auth::ApiKey { .. }
            | Auth::WsSecurity { .. } => None,
        };
        Ok(Self {
            system: system.name.clone(),
            connection,
            base,
            client,
            mask: Mask::of(system),
            stored: Stored::default(),
            tokens,
            largest_list: system.limits.answer,
        })
    }

    /// Makes the calls of an operation in order, once, and says what came of them.
    ///
    /// The verdict is that of the last step that is not optional; an optional step that fails leaves a note.
    /// Where a step was carried out and a later one is to be sent again, the outcome is `Unknown`: the
    /// operation as a whole must not be repeated blindly. Where that later step only reads, it is `Pending`.
    pub async fn perform(&self, steps: &Steps, context: Value, now: Timestamp) -> Performed {
        Walk::new(self, context, now).perform(steps).await
    }

    /// Makes the calls that are left of an operation whose outcome was `Pending`.
    pub async fn resume(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
        carried: &Carried,
    ) -> Performed {
        Walk::new(self, context, now).after(carried).perform(steps).await
    }

    /// Makes the calls of a poll or a read-back in order, and reads the reports out of their answers.
    /// A job the system does not know gives no reports; an item that cannot be read costs only itself. Where
    /// `$.dovetail.job` says which job is asked about, the answer need not name it.
    ///
    /// # Errors
    /// [`ReadFailure`] when a call that is not optional was not answered as its mapping expects.
    pub async fn read(&self, steps: &Steps, context: Value, now: Timestamp) -> Result<Reading, ReadFailure> {
        Walk::new(self, context, now).read(steps).await
    }

    /// Makes the calls of an operation that only reads in order, and gives what was answered.
    ///
    /// # Errors
    /// [`ReadFailure`] when a call that is not optional was not answered as its mapping expects.
    pub async fn gather(
        &self,
        steps: &Steps,
        context: Value,
        now: Timestamp,
    ) -> Result<Gathered, ReadFailure> {
        Walk::new(self, context, now).gather(steps).await
    }

    /// Asks the base URL for its headers, without credentials: any answer at all is good, and the time it
    /// took is returned. Of a system that wants access tokens one is fetched as well.
    ///
    /// # Errors
    /// Why the system cannot be reached, in plain words.
    pub async fn reach(&self) -> Result<Duration, String> {
        let begun = Instant::now();
        if let Err(error) = self.client.head(self.base.clone()).send().await {
            return Err(exchange::unreached(&error, &self.base));
        }
        if let Some(tokens) = &self.tokens {
            tokens.token(None, Timestamp::MIN).await.map_err(|failure| self.mask.text(&failure.reason))?;
        }
        Ok(begun.elapsed())
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
