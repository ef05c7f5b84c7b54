//! One suite for every database: what the trait promises, each promise a sentence.

mod accepting;
mod clocks;
mod closing;
mod completing;
mod fixture;
mod leasing;
mod model;
mod polling;
mod publishing;
mod reading;
mod recording;
mod writing;

use fixture::{Fixture, both};
