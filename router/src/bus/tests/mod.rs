//! The bus against a real broker, with a link in between that can be held, silenced and cut.

mod proxy;
mod reading;
mod rig;
mod writing;
