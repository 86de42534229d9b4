//! The decision, told step by step.
