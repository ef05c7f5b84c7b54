//! Addresses of databases and brokers, which may hold a password.

/// What stands where a password stood.
const HIDDEN: &str = "***";

/// The names in the query of an address whose values are secret: PostgreSQL takes its password there, too.
const SECRET: [&str; 4] = ["password", "passwd", "secret", "token"];

/// An address without its password, for logs and messages.
pub fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (rest, query) = match rest.rsplit_once('?') {
        // A password may hold a question mark; what comes before the host is never taken for a query.
        Some((rest, query)) if !query.contains('@') => (rest, Some(query)),
        Some(_) | None => (rest, None),
    };
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{user}:{HIDDEN}@{host}")
        }
        None => rest.to_owned(),
    };
    let query = query.map(|query| format!("?{}", query.split('&').map(hidden).collect::<Vec<_>>().join("&")));
    format!("{scheme}://{rest}{}", query.unwrap_or_default())
}

fn hidden(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if SECRET.iter().any(|word| name.to_lowercase().contains(word)) => {
            format!("{name}={HIDDEN}")
        }
        Some(_) | None => pair.to_owned(),
    }
}

/// Whether an address has room for a password, and nothing stands there: its variable is set and empty.
pub(super) fn lacks_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let user = rest.rsplit_once('@').map(|(user, _)| user);
    let in_query = rest.rsplit_once('?').map(|(_, query)| query).unwrap_or_default();
    let blank = |password: &str| password.trim().is_empty();
    user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| blank(password))
        || in_query
            .split('&')
            .any(|pair| pair.split_once('=').is_some_and(|(name, value)| name == "password" && blank(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hidden_wherever_an_address_may_hold_it() {
        for (url, shown) in [
            ("amqp://u:p@h:5672/%2f?heartbeat=10", "amqp://u:***@h:5672/%2f?heartbeat=10"),
            ("amqps://u:p@ss?w0rd@h/%2f", "amqps://u:***@h/%2f"),
            (
                "postgres://h/d?user=u&password=p&sslmode=require",
                "postgres://h/d?user=u&password=***&sslmode=require",
            ),
            ("postgres://u:p@h/d?sslpassword=p", "postgres://u:***@h/d?sslpassword=***"),
            ("postgres://u@h/d", "postgres://u:***@h/d"),
            ("sqlite:dovetail.db", "sqlite:dovetail.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn an_empty_password_is_told_from_none() {
        for lacking in ["postgres://u:@h/d", "amqp://u: @h/%2f", "postgres://h/d?user=u&password="] {
            assert!(lacks_password(lacking), "{lacking}");
        }
        for sound in [
            "postgres://u:p@h/d",
            "postgres://u@h/d",
            "amqp://h:5672/%2f",
            "sqlite:a.db",
            "",
            "postgres:///d?host=/run",
        ] {
            assert!(!lacks_password(sound), "{sound}");
        }
    }
}
