//! Placeholder for the model.
