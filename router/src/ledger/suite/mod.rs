//! One suite for every database: what the trait promises, each promise a sentence.

mod accepting;
mod clocks;
mod closing;
mod completing;
mod fixture;
mod isolating;
mod leasing;
mod linking;
mod model;
mod ordering;
mod pending;
mod polling;
mod publishing;
mod reading;
mod reconciling;
mod recording;
mod reopening;
mod reporting;
mod resolving;
mod suspecting;
mod usable;
mod writing;

use fixture::{Fixture, both};
