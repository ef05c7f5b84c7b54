//! Where a call goes: the URL that its path becomes, and where a link in an answer leads.

use url::Url;

use super::RenderError;

/// Reads a base URL.
///
/// # Errors
/// What is wrong with it and what is expected, in plain words.
pub fn base(text: &str) -> Result<Url, String> {
    let expected = "expected http://host or https://host, with a port and a path where needed";
    let url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("the scheme is {:?}; {expected}", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or password; these belong under auth".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("it holds a query or fragment; {expected}"));
    }
    Ok(url)
}

/// An address for messages: without a user's password, and without the values of its query, which may hold keys.
pub fn shown(url: &str) -> String {
    const HIDDEN: &str = "***";
    let (rest, query) = match url.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (url, None),
    };
    let (scheme, rest) = match rest.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), rest),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{HIDDEN}@{host}"),
        None => authority.to_owned(),
    };
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, _)) => format!("{name}={HIDDEN}"),
        None => HIDDEN.to_owned(),
    };
    let query = query.map(|query| format!("?{}", query.split('&').map(pair).collect::<Vec<_>>().join("&")));
    format!("{scheme}{authority}{path}{}", query.unwrap_or_default())
}

/// The URL of a call. A value out of a request can neither climb out of its path nor name another host.
///
/// # Errors
/// [`RenderError`] where the path leads away from the system or cannot be one.
pub fn url(base: &Url, path: &str) -> Result<Url, RenderError> {
    let text = if path.starts_with('/') {
        format!("{}{path}", base.as_str().trim_end_matches('/'))
    } else {
        path.to_owned()
    };
    let before_query =
        text.split(['?', '#']).next().unwrap_or_default().replace("%2e", ".").replace("%2E", ".");
    if before_query.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
        return Err(wrong("a part of it is only dots".to_owned()));
    }
    let url = Url::parse(&text).map_err(|error| wrong(format!("it is not a path: {error}")))?;
    if url.origin() != base.origin() || !url.username().is_empty() || url.password().is_some() {
        let own = base.origin().ascii_serialization();
        return Err(wrong(format!("it leads away from the system's own address, {own}")));
    }
    if url.fragment().is_some() {
        return Err(wrong("it holds a '#'".to_owned()));
    }
    Ok(url)
}

/// Where a link in the answer of a call leads, kept to the system's own address: behind a proxy a system may know
/// itself by another name.
pub fn beside(url: &Url, base: &Url, link: &str) -> Option<String> {
    let url = url.join(link).ok()?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{}{}{query}", base.origin().ascii_serialization(), url.path()))
}

/// Path and query of a URL as a mapping writes them: below the base URL.
pub(super) fn below(base: &Url, url: &Url) -> String {
    let path = url.path();
    let under = path.strip_prefix(base.path().trim_end_matches('/')).filter(|rest| rest.starts_with('/'));
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}{query}", under.unwrap_or(path))
}

fn wrong(reason: String) -> RenderError {
    RenderError { field: "path".into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_below_the_base_and_a_link_on_its_host() {
        let base = base("https://waste.example:8443/ws/").expect("a base");
        let url = url(&base, "/jobs/7?a=é b").expect("a path");
        assert_eq!(url.as_str(), "https://waste.example:8443/ws/jobs/7?a=%C3%A9%20b");
        assert_eq!(below(&base, &url), "/jobs/7?a=%C3%A9%20b");
        let next = beside(&url, &base, "https://internal/ws/jobs?cursor=b64%2F%2B%3D").expect("a link");
        assert_eq!(next, "https://waste.example:8443/ws/jobs?cursor=b64%2F%2B%3D");
        assert_eq!(below(&base, &super::url(&base, &next).expect("its own")), "/jobs?cursor=b64%2F%2B%3D");
        assert_eq!(
            beside(&url, &base, "?page=2").as_deref(),
            Some("https://waste.example:8443/ws/jobs/7?page=2")
        );
        assert_eq!(
            below(&base, &super::url(&base, "https://waste.example:8443/other").expect("same host")),
            "/other"
        );
    }
}
