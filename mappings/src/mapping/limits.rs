//! What a system can bear: calls at once, calls in a time, failures in a row, and the hours at which it is closed.

use std::time::Duration;

use super::check::Check;
use super::closed::ClosedHours;
use super::yaml::{Node, Yaml};

const KEYS: [&str; 7] = ["concurrency", "rate", "breaker", "closed", "zone", "answer", "item"];
/// The least that `answer` and `item` may be.
const SMALLEST: usize = 1 << 10;
/// The most that they may be.
const LARGEST: usize = 1 << 30;

/// What a system can bear, all routers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls under way at once; 8 unless the mapping says otherwise.
    pub concurrency: usize,
    /// Calls begun in a time; as many as come unless the mapping says otherwise.
    pub rate: Option<Rate>,
    /// When it is left alone because it does not answer; `None` where the mapping says `none`.
    pub breaker: Option<BreakerRule>,
    /// When it takes no calls.
    pub closed: ClosedHours,
    /// The most that is read of a list that it answers, all pages together, in bytes; 64 MiB unless the mapping says
    /// otherwise.
    pub answer: usize,
    /// The largest item of its lists that is read, in bytes; 1 MiB unless the mapping says otherwise.
    pub item: usize,
}

/// How many calls may begin in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many calls.
    pub calls: u32,
    /// In this time: a second, a minute or an hour.
    pub per: Duration,
}

/// When a system that does not answer is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerRule {
    /// Technical failures in a row.
    pub failures: u32,
    /// The first pause; each that follows without an answer between is twice as long.
    pub pause: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 8,
            rate: None,
            breaker: Some(BreakerRule::default()),
            closed: ClosedHours::default(),
            answer: 64 << 20,
            item: 1 << 20,
        }
    }
}

impl Default for BreakerRule {
    /// Five failures in a row, half a minute, growing to a quarter of an hour.
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(30), most: Duration::from_secs(900) }
    }
}

impl BreakerRule {
    /// The pause after so many openings without an answer between, from 0.
    pub fn pause_after(&self, openings: u32) -> Duration {
        let factor = 1_u32.checked_shl(openings).unwrap_or(u32::MAX);
        self.pause.saturating_mul(factor).min(self.most)
    }
}

impl Limits {
    /// Reads `limits:`.
    pub(super) fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let fields = check.fields(node, "limits", &KEYS)?;
        let usual = Self::default();
        let concurrency = match fields.get("concurrency") {
            Some(node) => check.number(node, "concurrency", 1, 1_000).and_then(|n| usize::try_from(n).ok()),
            None => Some(usual.concurrency),
        };
        let rate = match fields.get("rate") {
            Some(node) => Rate::compile(check, node).map(Some),
            None => Some(None),
        };
        let breaker = match fields.get("breaker") {
            Some(node) => BreakerRule::compile(check, node),
            None => Some(usual.breaker),
        };
        let closed = ClosedHours::compile(check, fields);
        let mut size = |key: &str, usual: usize| match fields.get(key) {
            Some(node) => check.size(node, key, SMALLEST, LARGEST),
            None => Some(usual),
        };
        let (answer, item) = (size("answer", usual.answer)?, size("item", usual.item)?);
        if item > answer {
            check.error(
                node.line,
                "item larger than answer",
                "an item no larger than the answer that holds it",
            );
        }
        Some(Self {
            concurrency: concurrency?,
            rate: rate?,
            breaker: breaker?,
            closed: closed?,
            answer,
            item,
        })
    }
}

impl Rate {
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Self> {
        let text = check.text(node, "rate")?;
        let parts = text.split_once('/').map(|(calls, per)| (calls.trim().parse(), per.trim()));
        let per = match &parts {
            Some((_, "s")) => Some(Duration::from_secs(1)),
            Some((_, "m")) => Some(Duration::from_secs(60)),
            Some((_, "h")) => Some(Duration::from_secs(3_600)),
            Some((_, _)) | None => None,
        };
        match (parts, per) {
            (Some((Ok(calls @ 1..=100_000), _)), Some(per)) => Some(Self { calls, per }),
            (parts, _) => {
                let number = parts.map_or_else(|| text.trim().parse::<u32>(), |(calls, _)| calls);
                let hint = match number {
                    Ok(calls @ 1..=100_000) => format!("for example {calls}/s"),
                    Ok(_) | Err(_) => "for example 20/s".to_owned(),
                };
                let expected =
                    "rate: calls from 1 to 100000 in a second, a minute or an hour, as 20/s, 60/m or 500/h";
                check.hinted(node.line, node.shown(), expected, hint);
                None
            }
        }
    }
}

impl BreakerRule {
    /// `Some(None)` where the mapping wants none.
    fn compile(check: &mut Check<'_>, node: &Node) -> Option<Option<Self>> {
        if node.as_text() == Some("none") {
            return Some(None);
        }
        if !matches!(node.value, Yaml::Map(_)) {
            let expected = "breaker: {failures, pause, most} or none";
            check.hinted(node.line, node.shown(), expected, "for example {failures: 5, pause: 30s}");
            return None;
        }
        let fields = check.fields(node, "breaker", &["failures", "pause", "most"])?;
        let usual = Self::default();
        let failures = match fields.get("failures") {
            Some(node) => check.number(node, "failures", 1, 1_000).and_then(|n| u32::try_from(n).ok()),
            None => Some(usual.failures),
        };
        let mut time = |key: &str, usual: Duration| match fields.get(key) {
            Some(node) => check.duration(node, key),
            None => Some(usual),
        };
        let pause = time("pause", usual.pause)?;
        let most = time("most", usual.most.max(pause))?;
        if pause.is_zero() || pause > most {
            check.error(node.line, "pause of nothing, or longer than most", "a first pause up to most");
        }
        Some(Some(Self { failures: failures?, pause, most }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::tests::lower;
    use super::super::yaml;
    use super::*;

    fn limits(text: &str) -> Result<Limits, String> {
        let mut check = Check::new("f.yaml", &lower);
        let limits = Limits::compile(&mut check, &yaml::parse(text).expect("yaml"));
        let found: Vec<String> = check.findings.iter().map(ToString::to_string).collect();
        if found.is_empty() { Ok(limits.expect("limits")) } else { Err(found.join("\n")) }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_not_said_is_as_usual() {
        let usual = Limits::default();
        assert_eq!(limits("{concurrency: 8}"), Ok(usual.clone()));
        assert_eq!(
            usual.breaker.map(|rule| rule.failures),
            Some(5),
            "a breaker is on unless it is said not to be"
        );
        let rate = Some(Rate { calls: 20, per: seconds(1) });
        assert_eq!(limits("{rate: 20/s}"), Ok(Limits { rate, ..usual.clone() }));
        assert_eq!(limits("{rate: 60/m}").expect("limits").rate, Some(Rate { calls: 60, per: seconds(60) }));
        assert_eq!(limits("{rate: 5/h}").expect("limits").rate, Some(Rate { calls: 5, per: seconds(3600) }));
        assert_eq!(limits("{breaker: none}"), Ok(Limits { breaker: None, ..usual }));
    }

    #[test]
    fn a_breaker_keeps_to_what_it_is_told() {
        let rule =
            limits("{breaker: {failures: 3, pause: 20m}}").expect("limits").breaker.expect("a breaker");
        assert_eq!(rule, BreakerRule { failures: 3, pause: seconds(1200), most: seconds(1200) });
        let rule = BreakerRule::default();
        let pauses = [0, 1, 2, 3, 4, 5, 40].map(|openings| rule.pause_after(openings).as_secs());
        assert_eq!(pauses, [30, 60, 120, 240, 480, 900, 900]);
    }

    #[test]
    fn wrong_limits_say_what_is_expected_and_what_may_have_been_meant() {
        let cases = [
            (
                "{concurency: 3}",
                "f.yaml:1: found unknown key concurency in limits; expected one of concurrency",
            ),
            ("{concurrency: 0}", "a whole number from 1 to 1000"),
            (
                "{rate: 20}",
                "found 20; expected rate: calls from 1 to 100000 in a second, a minute or an hour",
            ),
            ("{rate: 20}", "hint: for example 20/s"),
            ("{rate: 7/sec}", "hint: for example 7/s"),
            ("{rate: 0/s}", "hint: for example 20/s"),
            ("{rate: fast}", "found \"fast\""),
            ("{breaker: off}", "found \"off\"; expected breaker: {failures, pause, most} or none"),
            ("{breaker: {failures: 0}}", "a whole number from 1"),
            ("{breaker: {pause: 1m, most: 30s}}", "a first pause up to most"),
            ("{breaker: {faliures: 3}}", "did you mean failures?"),
        ];
        for (text, expected) in cases {
            let found = limits(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
