//! The vocabulary of Dovetail: one type for each word, parsed at the edge and valid inside.

mod disposition;
mod ids;
mod request;
mod state;

pub use disposition::{Disposition, Progress};
pub use ids::{CallId, Council, EventId, HandoverId, InvalidId, Job, RequestId, Service, SystemName, Ticket};
pub use request::{
    Address, Attachment, Customer, InvalidRequest, Location, Priority, Request, Sharing, Submitted, schema,
};
pub use state::{HandoverState, Operation, ParkClass, Phase, RequestState};
