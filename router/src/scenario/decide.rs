//! What a person decides in a scenario, through the commands that a person has for it.

use mappings::domain::{Disposition, Job, SystemName, Ticket};
use mappings::mapping::yaml::Node;

use super::World;
use super::read::Reader;
use crate::cli::{ChoiceArgs, DecisionArgs, LedgerArgs, LinkArgs, Means, ResolveArgs, link_at, resolve_at};

/// The keys of `a person decides:`.
const KEYS: &[&str] =
    &["close", "keep open", "was done", "send again", "status means", "links", "say", "reason", "system"];

/// What a person decides.
#[derive(Debug, Clone)]
pub(super) struct Decides {
    pub(super) about: Option<Ticket>,
    choice: Choice,
    say: Option<String>,
    reason: Option<String>,
    system: Option<SystemName>,
}

#[derive(Debug, Clone)]
enum Choice {
    Close(Disposition),
    KeepOpen,
    WasDone(Option<Job>),
    SendAgain,
    StatusMeans(Means),
    Links(String),
}

/// Reads `a person decides: {…}`.
pub(super) fn read(reader: &mut Reader<'_>, node: &Node, about: Option<Ticket>) -> Option<Decides> {
    if !reader.keys(node, "a person decides", KEYS) {
        return None;
    }
    let deeds: Vec<&str> = KEYS[..6].iter().copied().filter(|key| node.get(key).is_some()).collect();
    let [deed] = deeds.as_slice() else {
        reader.wrong(node.line, node.shown(), format!("a person decides: one of {}", KEYS[..6].join(", ")));
        return None;
    };
    let value = node.get(deed)?;
    let choice = match *deed {
        "close" => Choice::Close(reader.parsed(value, "close: a disposition")?),
        "keep open" => Choice::KeepOpen,
        "was done" if value.as_text() == Some("yes") => Choice::WasDone(None),
        "was done" => Choice::WasDone(Some(reader.parsed(value, "was done: the job, or yes")?)),
        "send again" => Choice::SendAgain,
        "status means" => Choice::StatusMeans(reader.parsed(value, "status means: a word of ours")?),
        _ => Choice::Links(reader.text(value, "links: the job that the news names")?),
    };
    let mut text = |key: &str| node.get(key).and_then(|node| reader.text(node, key));
    let (say, reason) = (text("say"), text("reason"));
    let system = node.get("system").and_then(|node| reader.parsed(node, "system"));
    Some(Decides { about, choice, say, reason, system })
}

impl World<'_> {
    /// Has a person decide, and keeps what they read then.
    pub(super) async fn decide(&mut self, decides: &Decides) -> anyhow::Result<()> {
        let (council, ticket) = self.subject(decides.about.as_ref())?;
        let decision = DecisionArgs {
            council: Some(council),
            because: "they looked into it".to_owned(),
            by: Some("adviser-17".to_owned()),
            ledger: LedgerArgs { database: None },
        };
        let system = decides.system.clone();
        let books = (&self.ledger, &self.catalogue);
        let (lessee, now) = (&self.undo.lessee, self.clock.now());
        let shown = if let Choice::Links(named) = &decides.choice {
            let args = LinkArgs { named: named.clone(), ticket, system, decision };
            link_at(&args, books, lessee, now).await?
        } else {
            let args = ResolveArgs {
                ticket,
                choice: decides.choice.args(),
                say: decides.say.clone(),
                reason: decides.reason.clone(),
                always: false,
                system,
                decision,
            };
            resolve_at(&args, books, lessee, now).await?
        };
        self.person_read = shown.text;
        Ok(())
    }
}

impl Choice {
    fn args(&self) -> ChoiceArgs {
        let mut args = ChoiceArgs {
            was_done: None,
            send_again: false,
            close: None,
            keep_open: false,
            status_means: None,
        };
        match self {
            Self::Close(disposition) => args.close = Some(*disposition),
            Self::KeepOpen => args.keep_open = true,
            Self::WasDone(job) => args.was_done = Some(job.clone()),
            Self::SendAgain => args.send_again = true,
            Self::StatusMeans(means) => args.status_means = Some(*means),
            Self::Links(_) => {}
        }
        args
    }
}
