//! Who owns a piece of work, as people say it.

use std::collections::HashMap;

use async_trait::async_trait;
use mappings::domain::{Council, RequestId, RequestState, Ticket};
use serde_json::json;

use super::draft::Draft;
use super::openings::Openings;
use super::store::{Statement, Tx};
use super::transition::Transition;
use crate::event::Kind;
use crate::ledger::{Direction, Error, OwnerChange, OwnerChanged};

/// Changes owners.
pub(super) struct ChangeOwner;

#[async_trait]
impl Transition for ChangeOwner {
    type Item = OwnerChange;
    type Reply = OwnerChanged;

    async fn write(
        &self,
        tx: &mut Tx,
        batch: &[OwnerChange],
        draft: &mut Draft<'_>,
    ) -> Result<Vec<OwnerChanged>, Error> {
        let latest = latest(tx, batch).await?;
        let of = |change: &OwnerChange| latest.get(&(change.council.clone(), change.ticket.clone()));
        let wanted = batch.iter().filter_map(|change| Some((*of(change)?, change.council.clone())));
        let mut openings = Openings::lock(tx, wanted).await?;
        let replies = batch.iter().map(|change| {
            let Some(opening) = of(change).and_then(|request| openings.get(*request)) else {
                return OwnerChanged::NoSuchTicket;
            };
            let piece = opening.pieces.iter().find(|piece| piece.system == change.system && !piece.closure);
            let Some(piece) = piece else { return OwnerChanged::NoSuchHandover };
            if opening.state == RequestState::Closed {
                return OwnerChanged::Closed;
            }
            let kind = match change.direction {
                Direction::Over => Kind::HandedOver,
                Direction::Back => Kind::TakenBack,
            };
            let owner = &change.owner;
            let data = json!({
                "system": change.system.as_str(), "job": piece.job.as_ref().map(|job| job.as_str()),
                "owner": {"team": owner.team, "contact": owner.contact, "senior": owner.senior},
                "by": change.by, "reason": change.reason,
            });
            draft.event(opening.event(kind, change.at, data));
            OwnerChanged::Written
        });
        Ok(replies.collect())
    }
}

/// The latest openings of tickets.
async fn latest(tx: &mut Tx, batch: &[OwnerChange]) -> Result<HashMap<(Council, Ticket), RequestId>, Error> {
    let statement = Statement::new(
        "with v as ({rows}) select r.council, r.ticket, r.id from v join requests r on r.ticket = v.ticket \
         and r.council = v.council order by r.opening",
    )
    .texts("council", batch, |change| change.council.as_str())
    .texts("ticket", batch, |change| change.ticket.as_str());
    let rows = tx.run(statement).await?;
    rows.into_iter()
        .map(|mut row| {
            let council = row.get("requests.council", Council::parse)?;
            let ticket = row.get("requests.ticket", Ticket::parse)?;
            Ok(((council, ticket), row.get("requests.id", RequestId::parse)?))
        })
        .collect()
}
