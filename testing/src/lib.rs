//! Helpers for tests: conditions with deadlines, and the checks on the tree itself.
