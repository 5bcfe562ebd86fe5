//! The scheduler: snapshot in, decision out.
