//! One suite for every database: what the trait promises, each promise a sentence.

mod accepting;
mod fixture;

use fixture::{Fixture, both};
