//! Journeys, faults and the architecture's own tests live in `it/`.
