//! What holds for the whole: the architecture, the documents, the deployment files, and the journeys of a
//! request through real parts. `tests/run` starts the parts and runs this.

mod admission;
mod canary;
mod clock;
mod comeback;
mod crms;
mod crowded;
mod deadly;
mod deploy;
mod documents;
mod dresses;
mod endpoints;
mod faults;
mod filed;
mod first_steps;
mod isolation;
mod journeys;
mod lists;
mod measured;
mod parts;
mod poison;
mod pressure;
mod project;
mod readiness;
mod reading;
mod readme;
mod replayed;
mod reported;
mod restarted;
mod revisions;
mod running;
mod scenarios;
mod supply;
mod tidy;
mod traces;
mod tracker;
mod unheard;

use tests::{checker, council, messages, program, services, wait};
