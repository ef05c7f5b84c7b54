//! Form fields.
