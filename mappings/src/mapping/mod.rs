//! One mapping document, parsed, checked and compiled.
