//! The program of [the guide](../../../../docs/guide/rust.md), word for word.

include!(concat!(env!("OUT_DIR"), "/guide_list.rs"));
