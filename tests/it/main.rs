//! What holds for the whole: the architecture, the documents, the deployment files, and the journeys of a
//! request through real parts. `tests/run` starts the parts and runs this.

mod deploy;
mod documents;
mod program;
mod project;
mod readme;
mod services;
mod supply;
mod tidy;
mod wait;
