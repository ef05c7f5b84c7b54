//! Where a webhook may listen.

use super::check::Check;
use super::yaml::Node;

/// The first parts of the paths that the router listens at itself. The router's own test holds this list to its routes.
pub const OWN_PATHS: [&str; 6] = ["v1", "health", "metrics", "tickets", "problems", "console.css"];

/// Says what is wrong with the path of a webhook: one that is no plain path would listen elsewhere than it says, or
/// nowhere.
pub(super) fn check_path(check: &mut Check<'_>, node: &Node, path: &str) {
    let Some((found, hint)) = wrong(path, node.as_text().unwrap_or(path)) else { return };
    let found = format!("path: {}, {found}", node.shown());
    check.hinted(node.line, found, "a plain path such as /callbacks/waste", hint);
}

/// What is wrong with a path, and what to do; `written` is what it was before its variables were filled.
fn wrong(path: &str, written: &str) -> Option<(String, String)> {
    let say = |found: &str, hint: &str| Some((found.to_owned(), hint.to_owned()));
    let Some(rest) = path.strip_prefix('/') else {
        return say(
            "which does not begin with a slash",
            "write the path alone, without the host: /callbacks/…",
        );
    };
    if rest.is_empty() {
        return say("which is the router's own page", "give it a name below /callbacks/");
    }
    if let Some(letter) = path.chars().find(|c| "?#".contains(*c)) {
        return say(
            &format!("with {letter:?}"),
            "the system may add a query to the address that it calls; the path is what stands before it",
        );
    }
    if path.contains('%') {
        return say(
            "with percent escapes",
            "write the letters themselves, and only ASCII letters, digits and -._~",
        );
    }
    if let Some(letter) = path.chars().find(|c| "{}*:".contains(*c)) {
        return say(
            &format!("with {letter:?}, as patterns have it"),
            "one webhook has one path; what differs from call to call belongs into the body",
        );
    }
    // A variable whose value is not there yet stands in angle brackets.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~/".contains(c);
    let filled = |c: char| "<>".contains(c) && written.contains("${");
    if let Some(letter) = path.chars().find(|c| !plain(*c) && !filled(*c)) {
        return say(&format!("with {letter:?}"), "only ASCII letters, digits and -._~ between slashes");
    }
    if path.ends_with('/') {
        return say("with a slash at its end", "leave it away: a call with one is taken, too");
    }
    if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return say("with an empty part, . or ..", "clients and proxies write such a path differently");
    }
    let first = rest.split('/').next().unwrap_or_default();
    let own = OWN_PATHS.iter().find(|own| own.eq_ignore_ascii_case(first))?;
    say(&format!("where /{own} is the router's own"), "give it a path below /callbacks/")
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn said(path: &str) -> Option<String> {
        wrong(path, path).map(|(found, hint)| format!("{found}; {hint}"))
    }

    #[test]
    fn a_plain_path_is_taken() {
        for path in ["/c", "/callbacks/waste", "/hooks/v1/waste.asmx", "/v2/events", "/a-b_c~d", "/healthy"] {
            assert_eq!(said(path), None, "{path}");
        }
        assert_eq!(wrong("/callbacks/<TOWN>", "/callbacks/${TOWN}"), None);
    }

    #[test]
    fn a_path_that_is_no_plain_path_is_refused_with_its_reason() {
        for (path, expected) in [
            ("", "does not begin with a slash"),
            ("callbacks/waste", "does not begin with a slash"),
            ("https://dovetail.example/callbacks/waste", "without the host"),
            (" /callbacks/waste", "does not begin with a slash"),
            ("/", "the router's own page"),
            ("/callbacks/waste/", "with a slash at its end"),
            ("/callbacks//waste", "with an empty part"),
            ("//callbacks", "with an empty part"),
            ("/callbacks/../metrics", "with an empty part, . or .."),
            ("/callbacks/waste?key=1", "with '?'"),
            ("/callbacks/waste#1", "with '#'"),
            ("/callbacks/{system}", "with '{'"),
            ("/callbacks/*", "with '*'"),
            ("/callbacks/:system", "with ':'"),
            ("/callbacks/wa ste", "with ' '"),
            ("/callbacks/wa%20ste", "with percent escapes"),
            ("/callbacks/wäste", "with 'ä'"),
            ("/callbacks/<waste>", "with '<'"),
            ("/callbacks/waste\\n", "with '\\\\'"),
            ("/v1/requests", "where /v1 is the router's own"),
            ("/V1/requests", "where /v1 is the router's own"),
            ("/metrics", "where /metrics is the router's own"),
            ("/health/live", "where /health is the router's own"),
            ("/tickets/harlow/CRM-1", "where /tickets is the router's own"),
        ] {
            let found = said(path).unwrap_or_else(|| panic!("{path} is taken"));
            assert!(found.contains(expected), "{path}: {found}");
        }
    }

    #[test]
    fn what_is_found_is_told_with_its_line() {
        let mut check = Check::new("f.yaml", &lower);
        let node = yaml::parse("path: /metrics").expect("yaml");
        check_path(&mut check, node.get("path").expect("a path"), "/metrics");
        assert_eq!(
            check.findings[0].to_string(),
            "f.yaml:1: found path: \"/metrics\", where /metrics is the router's own; expected a plain path such as \
             /callbacks/waste; hint: give it a path below /callbacks/"
        );
    }
}
