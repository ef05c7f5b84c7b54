//! The fault switches: what goes wrong with a call, how often, and a seeded draw that says when.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Something that goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The connection is closed without an answer, and nothing was carried out.
    Down,
    /// Nothing is carried out or answered for [`Faults::hold`]; then the connection is closed.
    Hang,
    /// The answer is 500, and nothing was carried out.
    Error500,
    /// The answer is 503 with `Retry-After`, and nothing was carried out.
    Error503,
    /// A gateway's sign-in page with status 200, and nothing was carried out.
    HtmlAnswer,
    /// The call is carried out, but nothing is answered for [`Faults::hold`]. Writing calls only.
    TimeoutAfterApplying,
    /// The call is carried out, and the connection is cut before the answer. Writing calls only.
    LostAnswer,
    /// The call is carried out; the answer holds a byte that is not of the character set it declares.
    WrongCharset,
    /// The call is carried out; the answer has no body.
    EmptyAnswer,
    /// The call is carried out; the connection is cut in the middle of the answer's body.
    TruncatedAnswer,
    /// A completion is pushed twice.
    DoubleCallback,
    /// A job ends in a status nobody has heard of.
    UnknownStatus,
}

impl Fault {
    /// Every fault, in the order in which they are drawn for a call.
    pub const ALL: [Self; 12] = [
        Self::Down,
        Self::Hang,
        Self::Error500,
        Self::Error503,
        Self::HtmlAnswer,
        Self::TimeoutAfterApplying,
        Self::LostAnswer,
        Self::WrongCharset,
        Self::EmptyAnswer,
        Self::TruncatedAnswer,
        Self::DoubleCallback,
        Self::UnknownStatus,
    ];

    /// The name of its switch.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Hang => "hang",
            Self::Error500 => "error_500",
            Self::Error503 => "error_503",
            Self::HtmlAnswer => "html_answer",
            Self::TimeoutAfterApplying => "timeout_after_applying",
            Self::LostAnswer => "lost_answer",
            Self::WrongCharset => "wrong_charset",
            Self::EmptyAnswer => "empty_answer",
            Self::TruncatedAnswer => "truncated_answer",
            Self::DoubleCallback => "double_callback",
            Self::UnknownStatus => "unknown_status",
        }
    }

    /// Whether it can strike a call that changes something, or one that does not.
    pub(super) fn strikes(self, writes: bool) -> bool {
        match self {
            Self::Down
            | Self::Hang
            | Self::Error500
            | Self::Error503
            | Self::HtmlAnswer
            | Self::WrongCharset
            | Self::EmptyAnswer
            | Self::TruncatedAnswer => true,
            Self::TimeoutAfterApplying | Self::LostAnswer => writes,
            Self::DoubleCallback | Self::UnknownStatus => false,
        }
    }
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Switch {
    /// Never.
    #[default]
    Off,
    /// With this probability, 0 to 1, at each call.
    Rate(f64),
    /// At each of the next so many calls.
    Next(u32),
}

impl FromStr for Switch {
    type Err = InvalidSwitch;

    fn from_str(text: &str) -> Result<Self, InvalidSwitch> {
        let wrong = || InvalidSwitch {
            found: text.to_owned(),
            expected: "off, a probability from 0 to 1, or next:N".to_owned(),
        };
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Some(count) = text.strip_prefix("next:") {
            return count.parse().map(Self::Next).map_err(|_| wrong());
        }
        match text.parse::<f64>() {
            Ok(0.0) => Ok(Self::Off),
            Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(Self::Rate(rate)),
            Ok(_) | Err(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Rate(rate) => write!(f, "{rate}"),
            Self::Next(count) => write!(f, "next:{count}"),
        }
    }
}

/// Which calls the faults of a call strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Every call.
    #[default]
    All,
    /// Calls that change something.
    Writes,
    /// Calls that only read: polls, look-ups, read-backs.
    Reads,
}

/// A fault switch that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {found:?}; expected {expected}")]
pub struct InvalidSwitch {
    /// What stood there.
    pub found: String,
    /// What is accepted.
    pub expected: String,
}

/// All switches of one simulator.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    pub(super) switches: [Switch; Fault::ALL.len()],
    /// How long every call takes at least.
    pub delay: Duration,
    /// How long a hanging call is held before its connection is closed.
    pub hold: Duration,
    /// The seconds told in `Retry-After` with a 503.
    pub retry_after: u64,
    /// Which calls are struck.
    pub only: Scope,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            switches: Default::default(),
            delay: Duration::ZERO,
            hold: Duration::from_secs(60),
            retry_after: 1,
            only: Scope::All,
        }
    }
}

impl Faults {
    /// These faults with one switch set.
    #[must_use]
    pub fn with(mut self, fault: Fault, switch: Switch) -> Self {
        self.switches[fault as usize] = switch;
        self
    }

    /// How one fault is switched.
    pub fn switch(&self, fault: Fault) -> Switch {
        self.switches[fault as usize]
    }

    /// Sets one switch by its name, as the command line and the control API write it:
    /// `error_500` to `0.1`, `lost_answer` to `next:2`, `delay_ms` to `50`, `only` to `writes`.
    ///
    /// # Errors
    /// [`InvalidSwitch`] names what was found and what is accepted.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), InvalidSwitch> {
        let number = || {
            value.parse::<u64>().map_err(|_| InvalidSwitch {
                found: format!("{name}={value}"),
                expected: format!("a whole number for {name}"),
            })
        };
        match name {
            "delay_ms" => self.delay = Duration::from_millis(number()?),
            "hold_ms" => self.hold = Duration::from_millis(number()?),
            "retry_after" => self.retry_after = number()?,
            "only" => {
                self.only = match value {
                    "all" => Scope::All,
                    "writes" => Scope::Writes,
                    "reads" => Scope::Reads,
                    other => {
                        let expected = "all, writes or reads".to_owned();
                        return Err(InvalidSwitch { found: format!("only={other}"), expected });
                    }
                }
            }
            other => {
                let Some(fault) = Fault::ALL.into_iter().find(|fault| fault.as_str() == other) else {
                    let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
                    let expected = format!("delay_ms, hold_ms, retry_after, only, {}", names.join(", "));
                    return Err(InvalidSwitch { found: other.to_owned(), expected });
                };
                self.switches[fault as usize] = value.parse()?;
            }
        }
        Ok(())
    }

    /// Every switch by its name and value, in the form that [`Faults::set`] takes.
    pub fn named(&self) -> Vec<(&'static str, String)> {
        let only = match self.only {
            Scope::All => "all",
            Scope::Writes => "writes",
            Scope::Reads => "reads",
        };
        let mut all = vec![
            ("delay_ms", self.delay.as_millis().to_string()),
            ("hold_ms", self.hold.as_millis().to_string()),
            ("retry_after", self.retry_after.to_string()),
            ("only", only.to_owned()),
        ];
        all.extend(Fault::ALL.iter().map(|fault| (fault.as_str(), self.switch(*fault).to_string())));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_reads_a_probability_a_count_or_off() {
        let mut faults = Faults::default();
        faults.set("error_500", "0.25").unwrap();
        faults.set("lost_answer", "next:2").unwrap();
        faults.set("delay_ms", "30").unwrap();
        faults.set("only", "writes").unwrap();
        assert_eq!(faults.switch(Fault::Error500), Switch::Rate(0.25));
        assert_eq!(faults.switch(Fault::LostAnswer), Switch::Next(2));
        assert_eq!(faults.delay, Duration::from_millis(30));
        let mut again = Faults::default();
        for (name, value) in faults.named() {
            again.set(name, &value).unwrap();
        }
        assert_eq!(again, faults);
    }

    #[test]
    fn an_unknown_switch_or_value_is_refused_with_what_is_accepted() {
        let mut faults = Faults::default();
        let error = faults.set("lost_anwser", "1").unwrap_err();
        assert!(error.to_string().contains("lost_answer"), "{error}");
        assert!(faults.set("down", "1.5").is_err());
        assert!(faults.set("delay_ms", "soon").is_err());
        assert!(faults.set("only", "some").is_err());
    }
}
