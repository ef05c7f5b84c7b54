//! The names under which a listener may be called (`Host`, RFC 9110 section 7.2).
//!
//! A web page of a stranger can have its own name lead to an address of this machine (DNS rebinding), and then read what is
//! served there through the browser of whoever looks at it. What gives it away is the name.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};

use crate::api::Problem;

/// The names that are taken.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    names: Vec<String>,
    takes_any: bool,
}

impl Hosts {
    /// These names, beside `localhost` and the address itself.
    pub(super) fn only(names: &[String]) -> Self {
        let names = names.iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
        Self { names, takes_any: false }
    }

    /// These names likewise, or any where none is given.
    pub(super) fn any_or(names: &[String]) -> Self {
        Self { takes_any: names.is_empty(), ..Self::only(names) }
    }

    /// Takes a request that came to the address `own`, or says why not.
    ///
    /// # Errors
    /// 400 when it does not say one host, 421 when it says another one.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap, own: IpAddr) -> Result<(), Problem> {
        if self.takes_any {
            return Ok(());
        }
        let mut said = headers.get_all(header::HOST).iter();
        let (first, more) = (said.next(), said.next());
        let said = first.and_then(|host| host.to_str().ok()).filter(|_| more.is_none());
        let parsed = said.and_then(|host| host.parse::<Authority>().ok());
        let Some(parsed) = parsed.filter(|parsed| !parsed.as_str().contains('@')) else {
            let detail = "expected one header Host with the name of this server";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "No host", detail));
        };
        // Of a request that names the host in its target, both must be ours.
        for authority in [Some(&parsed), uri.authority()].into_iter().flatten() {
            if !self.knows(authority.host(), own) {
                let detail = format!(
                    "{:?} is no name of this server. Hint: add it to hosts, in the section of the listener",
                    authority.host()
                );
                return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "Another server's name", detail));
            }
        }
        Ok(())
    }

    fn knows(&self, host: &str, own: IpAddr) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let is_own = address
            .map(|address| address.to_canonical())
            .is_some_and(|address| address.is_loopback() || address == own.to_canonical());
        is_own || host == "localhost" || self.names.contains(&host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(hosts: &Hosts, uri: &str, said: &[&str]) -> u16 {
        let mut headers = HeaderMap::new();
        for host in said {
            headers.append(header::HOST, host.parse().expect("a value"));
        }
        let own = "10.0.0.5".parse().expect("an address");
        let admitted = hosts.admit(&uri.parse().expect("a target"), &headers, own);
        admitted.map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn the_console_is_called_by_its_own_names_alone() {
        let hosts = Hosts::only(&["Console.Example.".to_owned()]);
        for host in [
            "localhost",
            "LocalHost:8081",
            "127.0.0.1:9",
            "[::1]:8081",
            "10.0.0.5:8081",
            "console.example",
            "CONSOLE.example.:8081",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert_eq!(status(&hosts, "/", &[host]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8081",
            "localhost.evil.example",
            "console.example.evil",
            "10.0.0.6",
            "127.0.0.1.evil.example",
            "xconsole.example",
        ] {
            assert_eq!(status(&hosts, "/", &[host]), 421, "{host}");
        }
        for said in
            [&[][..], &["localhost", "localhost"], &["localhost", "evil.example"], &["user@localhost"], &[""]]
        {
            assert_eq!(status(&hosts, "/", said), 400, "{said:?}");
        }
        assert_eq!(status(&hosts, "http://evil.example/", &["localhost"]), 421);
        assert_eq!(status(&hosts, "http://localhost/", &["localhost"]), 200);
    }

    #[test]
    fn the_doors_are_called_by_any_name_until_names_are_set() {
        assert_eq!(status(&Hosts::any_or(&[]), "/", &["whatever.example"]), 200);
        assert_eq!(status(&Hosts::any_or(&[]), "/", &[]), 200);
        let hosts = Hosts::any_or(&["dovetail.example".to_owned()]);
        assert_eq!(status(&hosts, "/", &["whatever.example"]), 421);
        assert_eq!(status(&hosts, "/", &["dovetail.example:443"]), 200);
    }
}
