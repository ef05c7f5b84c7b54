//! The stage that journeys and faults are played on: simulated back offices, the router as a program, the real
//! RabbitMQ and database between them, and the checker that every play ends with.
//!
//! `it/` holds the tests themselves. What is here panics where a stage cannot be set up: its callers are tests.

pub mod checker;
pub mod council;
pub mod disk;
pub mod matrix;
pub mod messages;
pub mod program;
pub mod proxy;
pub mod schemas;
pub mod services;
pub mod slow;
pub mod wait;
pub mod year;
