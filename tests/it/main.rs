//! What holds for the whole: the architecture, the documents, the deployment files, and the journeys of a
//! request through real parts. `tests/run` starts the parts and runs this.

mod clock;
mod deploy;
mod documents;
mod faults;
mod journeys;
mod parts;
mod poison;
mod project;
mod readme;
mod running;
mod supply;
mod tidy;
mod traces;

use tests::{checker, council, messages, program, services, wait};
