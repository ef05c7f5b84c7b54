//! What holds for the whole: the architecture, the documents, the deployment files, and the journeys of a
//! request through real parts. `tests/run` starts the parts and runs this.

mod council;
mod deploy;
mod documents;
mod journeys;
mod messages;
mod poison;
mod program;
mod project;
mod proxy;
mod readme;
mod scenarios;
mod services;
mod supply;
mod tidy;
mod traces;
mod wait;
