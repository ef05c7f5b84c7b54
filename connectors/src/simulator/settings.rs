//! What a simulator is told when it starts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Faults, InvalidSwitch, clock};

/// Which system is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Housing repairs: JSON, HACT messages, polled for each job.
    Housing,
    /// Revenues and benefits: XML notifications, a list of receipts, some reviewed by a person.
    Revenues,
    /// Environmental services: SOAP, thin pokes to be read back.
    Waste,
    /// A partner agency: Open311 forms in, XML out, updates pushed or polled.
    Partner,
    /// A CRM: Request Tracker's REST 2.
    Crm,
    /// A CRM: cases of Dynamics 365, behind OAuth 2.
    CrmDynamics,
}

impl Kind {
    /// Every system that can be simulated.
    pub const ALL: [Self; 6] =
        [Self::Housing, Self::Revenues, Self::Waste, Self::Partner, Self::Crm, Self::CrmDynamics];

    /// The name of the system's folder among the mappings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Housing => "housing",
            Self::Revenues => "revenues",
            Self::Waste => "waste",
            Self::Partner => "partner",
            Self::Crm => "crm",
            Self::CrmDynamics => "crm-dynamics",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = InvalidSwitch;

    fn from_str(text: &str) -> Result<Self, InvalidSwitch> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| InvalidSwitch {
            found: text.to_owned(),
            expected: "one of housing, revenues, waste, partner, crm, crm-dynamics".to_owned(),
        })
    }
}

/// All that a simulator needs to know at its start.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The base URL of the router, for example `http://127.0.0.1:8080`; completions are pushed to
    /// `/callbacks/<system>` below it. Without it nothing is pushed, and the system has to be polled.
    pub callback: Option<String>,
    /// What callers must show, and what the simulator shows when it calls back.
    pub credentials: Credentials,
    /// How fast jobs move along.
    pub pace: Pace,
    /// What goes wrong from the start.
    pub faults: Faults,
    /// Seeds every draw, so that a run can be repeated.
    pub seed: u64,
    /// Whether jobs end by themselves.
    pub ending: Ending,
    /// Where it has its time from.
    pub time: Time,
    /// A partner that speaks GeoReport v2 and no more: no service request updates, open and closed only.
    pub plain: bool,
}

/// Where a simulator has its time from: the wall clock, or whoever drives it.
#[derive(Clone, Default)]
pub struct Time(Option<Arc<dyn Fn() -> Timestamp + Send + Sync>>);

impl Time {
    /// The time is what `tell` says.
    pub fn told(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.as_ref().map_or_else(clock::now, |tell| tell())
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "told" } else { "the wall clock" })
    }
}

/// How fast jobs move along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The mean time between two states of a job; each step takes between half and one and a half of it.
    pub step: Duration,
    /// Whether jobs stand still until they are stepped or resumed.
    pub paused: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { step: Duration::from_millis(500), paused: false }
    }
}

/// Whether jobs end by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ending {
    /// As the marker words of the request say, and completed where it has none.
    #[default]
    Marked,
    /// Only when a person says so through the control API.
    ByHand,
}

/// What callers must show. The defaults are the same for every simulator, and no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name: WS-Security of `waste`, basic authentication of `revenues` and `crm`, client of `crm-dynamics`.
    pub user: String,
    /// Password or client secret that goes with it.
    pub password: String,
    /// API key of `housing` and `partner`.
    pub key: String,
    /// Jurisdiction that `partner` answers for.
    pub jurisdiction: String,
    /// The secret of pokes from `waste`, and of signed updates from `partner` (`whsec_…`).
    pub callback_secret: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            user: "dovetail".to_owned(),
            password: "dovetail".to_owned(),
            key: "dovetail".to_owned(),
            jurisdiction: "dovetail.example".to_owned(),
            callback_secret: "whsec_ZG92ZXRhaWwtc2ltdWxhdG9yLXNlY3JldA==".to_owned(),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The variables that the shipped mapping of a system needs to reach its simulator at `url`.
    pub fn environment(&self, kind: Kind, url: &str) -> Vec<(&'static str, String)> {
        let token_url = format!("{}/tenant/oauth2/v2.0/token", url.trim_end_matches('/'));
        let pairs: &[(&'static str, &str)] = match kind {
            Kind::Housing => &[("HOUSING_URL", url), ("HOUSING_KEY", &self.key)],
            Kind::Revenues => {
                &[("REVENUES_URL", url), ("REVENUES_USER", &self.user), ("REVENUES_PASSWORD", &self.password)]
            }
            Kind::Waste => &[
                ("WASTE_URL", url),
                ("WASTE_USER", &self.user),
                ("WASTE_PASSWORD", &self.password),
                ("WASTE_POKE_SECRET", &self.callback_secret),
            ],
            Kind::Partner => &[
                ("PARTNER_URL", url),
                ("PARTNER_KEY", &self.key),
                ("PARTNER_JURISDICTION", &self.jurisdiction),
                ("PARTNER_WEBHOOK_SECRET", &self.callback_secret),
            ],
            Kind::Crm => &[("CRM_URL", url), ("CRM_USER", &self.user), ("CRM_PASSWORD", &self.password)],
            Kind::CrmDynamics => &[
                ("CRM_DYNAMICS_URL", url),
                ("CRM_DYNAMICS_TOKEN_URL", &token_url),
                ("CRM_DYNAMICS_CLIENT_ID", &self.user),
                ("CRM_DYNAMICS_CLIENT_SECRET", &self.password),
            ],
        };
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_system_is_known_by_the_name_of_its_folder() {
        for kind in Kind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("parking".parse::<Kind>().is_err());
    }

    #[test]
    fn credentials_are_not_shown_when_printed() {
        let text = format!("{:?}", Settings::default());
        assert!(!text.contains("whsec_"), "{text}");
    }
}
