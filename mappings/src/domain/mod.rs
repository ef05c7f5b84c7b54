//! The vocabulary of Dovetail: one type for each word, parsed at the edge and valid inside.

#[cfg(test)]
mod agreement;
mod disposition;
mod ids;
mod line;
mod request;
mod revision;
mod state;
mod wire;

pub use disposition::{Disposition, Progress};
pub use ids::{CallId, Council, EventId, HandoverId, InvalidId, Job, RequestId, Service, SystemName, Ticket};
pub use line::{OneLine, cut, escaped, is_harmful};
pub use request::{
    Address, Attachment, Customer, InvalidRequest, Location, Priority, Request, Sharing, Submitted, schema,
};
pub use revision::{Revised, Revision, merge_patch, schema_of};
pub use state::{HandoverState, Operation, ParkClass, Phase, RequestState};
pub use wire::read;
