//! Help for tests of programs that use the library: nodes in memory that meet without sockets.

use kith_core::network::{Hub, PeerId};
use kith_core::node::{Node, Options};
use kith_core::{Error, Result};

use crate::border::{border, run_quietly};
use crate::bytes::output;
use crate::handle::{borrow, give, handles, take};
use crate::node::kith_node;
use crate::status::kith_status;
use crate::wait::wait;

/// Where nodes of this process meet without sockets (kith_node_options.hub).
#[allow(non_camel_case_types)]
pub struct kith_hub {
    _private: [u8; 0],
}

handles! {
    kith_hub => Hub = 11;
}

/// A fresh hub.
///
/// # Safety
/// `hub` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_hub_new(hub: *mut *mut kith_hub) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        unsafe { output(hub, "hub")? }.set(give(Hub::new()));
        Ok(())
    }
}

/// Frees the handle. Nodes that were opened with the hub go on to meet there.
///
/// # Safety
/// `hub` is a hub of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_hub_free(hub: *mut kith_hub) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(hub) }));
}

/// Breaks the link between two nodes of the hub and keeps them apart until `kith_hub_heal`.
///
/// # Safety
/// `hub`, `one` and `other` are of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_hub_partition(
    hub: *const kith_hub,
    one: *const kith_node,
    other: *const kith_node,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (hub, one, other) = unsafe { (borrow(hub)?, borrow(one)?, borrow(other)?) };
        hub.partition(peer(one)?, peer(other)?);
        Ok(())
    }
}

/// Lets two nodes meet again; they do so by themselves.
///
/// # Safety
/// `hub`, `one` and `other` are of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_hub_heal(
    hub: *const kith_hub,
    one: *const kith_node,
    other: *const kith_node,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (hub, one, other) = unsafe { (borrow(hub)?, borrow(one)?, borrow(other)?) };
        hub.heal(peer(one)?, peer(other)?);
        Ok(())
    }
}

fn peer(node: &Node) -> Result<PeerId> {
    node.id().parse().map_err(|error| Error::internal(format!("the id of a node is none: {error}")))
}

/// For tests: two nodes that keep everything in memory and reach each other and nobody else. They meet when one joins a context of the
/// other. Both are to be shut down and freed as others are.
///
/// # Safety
/// `one` and `other` are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_test_nodes(
    one: *mut *mut kith_node,
    other: *mut *mut kith_node,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (one, other) = unsafe { (output(one, "one")?, output(other, "other")?) };
        let hub = Hub::new();
        let first = wait(Node::open(Options::in_memory(&hub)))?;
        let second = wait(Node::open(Options::in_memory(&hub)))?;
        one.set(give(first));
        other.set(give(second));
        Ok(())
    }
}
