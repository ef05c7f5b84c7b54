//! Who has the work: a person hands it over or takes it back, and the rules that clocks are set by change.

use anyhow::{Context as _, ensure};
use mappings::domain::{SystemName, Ticket};
use mappings::mapping::Owner;
use mappings::mapping::yaml::Node;

use super::World;
use super::read::Reader;
use crate::ledger::{Direction, OwnerChange, OwnerChanged};

const KEYS: &[&str] = &["system", "team", "contact", "senior", "reason"];

/// A person says who has the work.
#[derive(Debug, Clone)]
pub(super) struct PassesOn {
    about: Option<Ticket>,
    system: SystemName,
    direction: Direction,
    /// Without one, the contact centre has it back.
    owner: Option<Owner>,
    reason: Option<String>,
}

/// Reads `a person hands the work over: {…}` and `a person takes the work back: {…}`.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    back: bool,
    about: Option<Ticket>,
) -> Option<PassesOn> {
    let what = if back { "a person takes the work back" } else { "a person hands the work over" };
    if !reader.keys(node, what, KEYS) {
        return None;
    }
    let Some(system) = node.get("system") else {
        reader.wrong(node.line, node.shown(), format!("{what}: system: whose handover it is"));
        return None;
    };
    let system = reader.parsed(system, "system")?;
    let mut text = |key: &str| node.get(key).and_then(|node| reader.text(node, key));
    let (team, contact, senior, reason) = (text("team"), text("contact"), text("senior"), text("reason"));
    let owner = team.zip(contact).map(|(team, contact)| Owner { team, contact, senior });
    if owner.is_none() && !back {
        reader.wrong(node.line, node.shown(), format!("{what}: team: and contact: of who has it now"));
        return None;
    }
    let direction = if back { Direction::Back } else { Direction::Over };
    Some(PassesOn { about, system, direction, owner, reason })
}

impl World<'_> {
    pub(super) async fn pass_on(&self, passes: &PassesOn) -> anyhow::Result<()> {
        let (council, ticket) = self.subject(passes.about.as_ref())?;
        let contact_centre = || self.catalogue.contact_centre(&council).cloned();
        let owner = passes.owner.clone().or_else(contact_centre).context("no contact_centre is named")?;
        let change = OwnerChange {
            council,
            ticket,
            system: passes.system.clone(),
            direction: passes.direction,
            owner,
            by: "adviser-17".to_owned(),
            reason: passes.reason.clone(),
            at: self.clock.now(),
        };
        let written = self.ledger.change_owner(&[change], &self.undo.lessee).await?;
        let reply = written.replies.into_iter().next().context("no reply")??;
        ensure!(reply == OwnerChanged::Written, "the work could not be passed on: {reply:?}");
        Ok(())
    }

    /// Goes on with the next rules, as a router does that is started anew.
    pub(super) async fn change_rules(&mut self) -> anyhow::Result<()> {
        let catalogue = self.later.pop_front().context("no rules were made ready")?;
        let timekeeper = self.timekeeper.as_mut().context("no clock runs: name a calendar under given")?;
        timekeeper.catalogue = std::sync::Arc::clone(&catalogue);
        timekeeper.apply_rules(self.clock.now()).await?;
        self.catalogue = catalogue;
        Ok(())
    }
}
