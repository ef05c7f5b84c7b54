//! `[http]` and `[console]`: the two listeners, and what may listen where.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Config, Key, Span};

/// `[http]`: the doors, which other programs call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port.
    pub listen: String,
    /// The names under which the doors are called; empty for any.
    pub hosts: Vec<String>,
    /// The most connections.
    pub connections: usize,
    /// The most connections of one address; those of this machine are not counted.
    pub connections_per_address: usize,
    /// The most requests that are read or answered at once.
    pub requests_at_once: usize,
    /// The largest body that is read.
    pub max_body_bytes: usize,
    /// Bytes of bodies held at once.
    pub bodies_bytes: usize,
    /// The header that a key may stand in where a caller can send no `Authorization`.
    pub key_header: String,
    /// Who may come in.
    pub keys: Vec<Key>,
}

/// `[console]`: the pages that people read, and the metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Console {
    /// Address and port.
    pub listen: String,
    /// The names under which the console is called, beside `localhost` and the address that it listens on.
    pub hosts: Vec<String>,
    /// Whether it may listen where other machines reach it, though it asks nobody who they are.
    pub expose_personal_data_without_sign_in: bool,
    /// The most connections.
    pub connections: usize,
    /// The most connections of one address; those of this machine are not counted.
    pub connections_per_address: usize,
    /// The most pages that are made at once.
    pub pages_at_once: usize,
}

/// `[listeners]`: what holds for both.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listeners {
    /// For the head of a request.
    pub header_timeout: Span,
    /// For the body of a request.
    pub body_timeout: Span,
    /// For the next bytes of a body or an answer.
    pub idle_timeout: Span,
    /// For the next request after an answer.
    pub keep_alive_timeout: Span,
    /// The descriptors that are kept for calls, the database and files.
    pub reserved_descriptors: usize,
}

/// Where a setting is wrong, and what is wrong with it.
type Finding = (&'static str, String);

/// Checks that pages with personal data are neither where other machines reach them, unless that is set, nor where the
/// doors are.
///
/// # Errors
/// The setting, with what was found, what was expected and a hint.
pub(super) fn check(config: &Config) -> Result<(), Finding> {
    let (http, console) = (&config.http, &config.console);
    check_limits(config)?;
    for (path, listen) in [("http.listen", &http.listen), ("console.listen", &console.listen)] {
        if !is_address(listen) {
            let reason =
                format!("{listen:?} is no address: expected a host and a port, as in 127.0.0.1:8080");
            return Err((path, reason));
        }
    }
    if !console.expose_personal_data_without_sign_in && !is_loopback(&console.listen) {
        let reason = format!(
            "{} can be reached from other machines, and the console shows personal data to whoever asks: it has no \
             sign-in. Expected an address of this machine alone, as in 127.0.0.1:8081. Hint: reach it through an SSH \
             tunnel or a reverse proxy that asks for a sign-in; or accept the exposure, behind a firewall, with \
             console.expose_personal_data_without_sign_in = true",
            console.listen
        );
        return Err(("console.listen", reason));
    }
    if console.listen == http.listen && !http.listen.ends_with(":0") {
        let reason = format!(
            "{} is where the doors listen (http.listen): expected another port, so that who may call the doors does \
             not see the pages",
            console.listen
        );
        return Err(("console.listen", reason));
    }
    Ok(())
}

/// Checks that every time-out is a time and every limit lets something in.
fn check_limits(config: &Config) -> Result<(), Finding> {
    let Config { http, console, listeners, .. } = config;
    for (path, time) in [
        ("listeners.header_timeout", listeners.header_timeout),
        ("listeners.body_timeout", listeners.body_timeout),
        ("listeners.idle_timeout", listeners.idle_timeout),
        ("listeners.keep_alive_timeout", listeners.keep_alive_timeout),
    ] {
        if time.given().is_none() {
            return Err((path, "0s would close every connection: expected a time such as 10s".to_owned()));
        }
    }
    for (path, most) in [
        ("http.connections", http.connections),
        ("http.connections_per_address", http.connections_per_address),
        ("http.requests_at_once", http.requests_at_once),
        ("console.connections", console.connections),
        ("console.connections_per_address", console.connections_per_address),
        ("console.pages_at_once", console.pages_at_once),
    ] {
        if most == 0 {
            return Err((path, "0 would let nobody in: expected 1 at least".to_owned()));
        }
    }
    Ok(())
}

/// Whether this is a host and a port. A name is looked up when it is listened on.
fn is_address(listen: &str) -> bool {
    let parts = listen.rsplit_once(':');
    listen.parse::<SocketAddr>().is_ok()
        || parts.is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains(':') && port.parse::<u16>().is_ok()
        })
}

/// Whether only this machine reaches it. Of names only `localhost` is known to be so.
fn is_loopback(listen: &str) -> bool {
    match listen.parse::<SocketAddr>() {
        Ok(address) => is_own(address.ip()),
        Err(_) => listen.rsplit_once(':').is_some_and(|(host, _)| host.eq_ignore_ascii_case("localhost")),
    }
}

fn is_own(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl Console {
    /// Checks where it listens in truth: `localhost` may be said to be elsewhere.
    ///
    /// # Errors
    /// What was found and expected, where other machines can reach it and that is not set.
    pub fn check_bound(&self, address: SocketAddr) -> anyhow::Result<()> {
        let is_allowed = self.expose_personal_data_without_sign_in || is_own(address.ip());
        anyhow::ensure!(
            is_allowed,
            "console.listen: {} is {address} on this machine, which others can reach; expected a loopback address. \
             Hint: write 127.0.0.1 in place of the name",
            self.listen
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn layered(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::layer(Some(("my.toml", text)), variables, &|_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_console_listens_where_only_this_machine_reaches_it_unless_its_exposure_is_set() {
        for listen in
            ["127.0.0.1:8081", "127.0.0.9:0", "[::1]:8081", "[::ffff:127.0.0.1]:1", "localhost:8081"]
        {
            layered(&format!("[console]\nlisten = {listen:?}"), &[]).expect(listen);
        }
        for listen in
            ["0.0.0.0:8081", "[::]:8081", "10.0.0.5:8081", "[::ffff:10.0.0.5]:1", "console.example:8081"]
        {
            let text = format!("[console]\n\nlisten = {listen:?}\n");
            let error = layered(&text, &[]).expect_err(listen);
            assert!(error.starts_with("my.toml:3 (console.listen)"), "{error}");
            assert!(error.contains("console.expose_personal_data_without_sign_in = true"), "{error}");
            layered(&format!("{text}expose_personal_data_without_sign_in = true"), &[]).expect(listen);
        }
    }

    #[test]
    fn the_environment_is_held_to_the_same() {
        let everywhere = ("DOVETAIL__CONSOLE__LISTEN", "0.0.0.0:8081");
        let error = layered("", &[everywhere]).expect_err("refused");
        assert!(error.starts_with("DOVETAIL__CONSOLE__LISTEN: 0.0.0.0:8081 can be reached"), "{error}");
        let exposed = "DOVETAIL__CONSOLE__EXPOSE_PERSONAL_DATA_WITHOUT_SIGN_IN";
        layered("", &[everywhere, (exposed, "true")]).expect("taken");
        let error = layered("", &[everywhere, (exposed, "maybe")]).expect_err("refused");
        assert!(error.starts_with(exposed) && error.contains("expected a boolean"), "{error}");
        let hosts = ("DOVETAIL__CONSOLE__HOSTS", "console.example, other.example");
        assert_eq!(layered("", &[hosts]).expect("taken").console.hosts, ["console.example", "other.example"]);
        assert!(layered("", &[("DOVETAIL__CONSOLE__HOSTS", "")]).expect("taken").console.hosts.is_empty());
    }

    #[test]
    fn pages_and_doors_do_not_share_an_address_and_what_is_no_address_is_named() {
        let error = layered("[console]\nlisten = \"127.0.0.1:8080\"", &[]).expect_err("refused");
        assert!(error.contains("is where the doors listen"), "{error}");
        for listen in ["8080", ":8080", "::1:8080:x", "127.0.0.1", "127.0.0.1:99999"] {
            let error = layered(&format!("[http]\nlisten = {listen:?}"), &[]).expect_err(listen);
            assert!(error.contains("is no address: expected a host and a port"), "{error}");
        }
    }

    #[test]
    fn limits_and_times_that_would_let_nobody_in_are_named() {
        for (section, key) in [("listeners", "idle_timeout = \"0s\""), ("console", "pages_at_once = 0")] {
            let error = layered(&format!("[{section}]\n{key}"), &[]).expect_err(key);
            assert!(error.starts_with("my.toml:2") && error.contains("expected"), "{error}");
        }
    }

    #[test]
    fn a_name_that_turns_out_to_be_elsewhere_is_refused() {
        let config = Config::defaults().expect("valid");
        let elsewhere = "10.0.0.5:8081".parse().expect("an address");
        assert!(config.console.check_bound(elsewhere).is_err());
        config.console.check_bound("127.0.0.1:8081".parse().expect("an address")).expect("here");
    }
}
