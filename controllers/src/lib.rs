//! Controllers: one module per upstream controller, each a pure function.
