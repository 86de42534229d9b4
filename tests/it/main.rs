//! What is claimed of Weft, each claim a test: one file per area, one binary, so that it links once.
#![cfg(test)]

mod two_sidecars;
