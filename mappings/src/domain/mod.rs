//! The vocabulary of Dovetail: one type for each word, parsed at the edge and valid inside.

mod disposition;
mod ids;
mod request;
mod revision;
mod state;

pub use disposition::{Disposition, Progress};
pub use ids::{CallId, Council, EventId, HandoverId, InvalidId, Job, RequestId, Service, SystemName, Ticket};
pub use request::{
    Address, Attachment, Customer, InvalidRequest, Location, Priority, Request, Sharing, Submitted, schema,
};
pub use revision::{Revised, Revision, merge_patch, schema_of};
pub use state::{HandoverState, Operation, ParkClass, Phase, RequestState};
