//! Nothing: see the `[patch.crates-io]` of the package above.
