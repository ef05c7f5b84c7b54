//! Dovetail: the router between a council's CRM and its back offices.
//!
//! A request's way through the code, in order: [`bus`] or [`api`] receives it, [`intake`] reads it,
//! [`ledger`] accepts it, [`dispatch`] makes the call its mapping describes, [`complete`] takes the
//! system's word that the work is done, [`closing`] decides what that means for the ticket, and
//! [`relay`] publishes the closure.

pub mod api;
pub mod app;
pub mod aside;
pub mod backlog;
pub mod bus;
pub mod cli;
pub mod clock;
pub mod closing;
pub mod complete;
pub mod config;
pub mod console;
pub mod demo;
pub mod dispatch;
pub mod envelope;
pub mod event;
pub mod failpoint;
pub mod files;
pub mod gate;
pub mod harvest;
pub mod home;
pub mod inlet;
pub mod intake;
pub mod ledger;
pub mod library;
pub mod listen;
mod news;
mod probing;
pub mod reading;
pub mod reconcile;
pub mod relay;
pub mod report;
pub mod rescue;
pub mod retry;
pub mod rounds;
pub mod scenario;
pub mod secrets;
pub mod share;
pub mod sla;
mod stage;
pub mod telemetry;
pub mod timeline;
pub mod undo;
pub mod unpack;
