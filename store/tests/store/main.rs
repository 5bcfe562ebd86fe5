//! The store as others see it.

mod scripts;
