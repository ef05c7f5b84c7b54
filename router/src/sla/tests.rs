//! Clocks over facts.
