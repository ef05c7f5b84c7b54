//! Mappings: documents that say how a request becomes calls, and how answers and events are read back.
//!
//! A [`Catalogue`] is compiled once from [`Source`]s; every expression, path, pattern and table in them is
//! checked then, and all mistakes are told at once as [`Finding`]s. Afterwards rendering and reading cannot
//! fail for a reason that lies in the mapping alone.

pub mod address;
mod answer;
mod calendars;
mod call;
mod cases;
mod catalogue;
mod check;
mod close;
mod closed;
mod completion;
mod connection;
mod context;
mod date;
mod escape;
mod expression;
mod failure;
mod files;
mod finding;
#[cfg(test)]
mod fixture;
mod folder;
mod harvest;
mod in_use;
mod inquiry;
mod intake;
mod limits;
mod lint;
mod list;
mod lookup;
mod modifier;
mod path;
mod place;
mod promises;
mod reading;
mod render;
mod report;
mod routes;
mod rules;
mod scope;
mod secret;
mod service;
mod source;
mod statuses;
mod steps;
mod system;
mod targets;
mod template;
mod test;
mod unmatched;
mod webhook_path;
pub mod wire;
pub mod yaml;

pub use answer::{Answer, ByStatus, ReadError, Received, Verdict};
pub use call::{Body, Call};
pub use cases::{CaseResult, Message, Rehearsal, rehearse, run_cases};
pub use catalogue::Catalogue;
pub use close::{CloseRules, FollowOn, InDoubt, Together, When};
pub use closed::ClosedHours;
pub use completion::{Encoding, Poll, SecretPath, SecretPlace, Verify, Webhook};
pub use connection::{Auth, Connection, Credentials, OAuth2};
pub use context::{Facts, add_step, context, context_of};
pub use files::{Columns, Files, Format, HostKey, Login, Sftp};
pub use finding::{Finding, Severity, nearest};
pub use harvest::Harvest;
pub use in_use::Unrouted;
pub use inquiry::StatusQuery;
pub use intake::{Intake, Subject};
pub use limits::{BreakerRule, Limits, Rate};
pub use lint::lint;
pub use reading::{BadItem, Reading};
pub use report::{BadRow, List, Report, Row};
pub use secret::{Secret, SecretAge, Secrets};
pub use source::{Source, shipped};
pub use statuses::Meaning;
pub use steps::{RenderError, Rendered, Step, Steps};
pub use system::{Idempotency, Orphans, Owner, RetryRule, Role, System};
pub use targets::Asked;
pub use webhook_path::OWN_PATHS;
