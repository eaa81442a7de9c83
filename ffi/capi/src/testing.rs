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

/// Breaks the link between two nodes and keeps them apart until kith_hub_heal.
///
/// # Safety
/// `hub` is a hub of this library or NULL, and so are the nodes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_hub_partition(
    hub: *const kith_hub,
    one: *const kith_node,
    other: *const kith_node,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (hub, one, other) = unsafe { (borrow(hub)?, peer(one)?, peer(other)?) };
        hub.partition(one, other);
        Ok(())
    }
}

/// Lets two nodes meet again; they do so by themselves.
///
/// # Safety
/// `hub` is a hub of this library or NULL, and so are the nodes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_hub_heal(
    hub: *const kith_hub,
    one: *const kith_node,
    other: *const kith_node,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (hub, one, other) = unsafe { (borrow(hub)?, peer(one)?, peer(other)?) };
        hub.heal(one, other);
        Ok(())
    }
}

/// # Safety
/// `node` is a node of this library or NULL.
unsafe fn peer(node: *const kith_node) -> Result<PeerId> {
    // SAFETY: passed on.
    let id = unsafe { borrow(node)? }.id();
    id.parse().map_err(|error| Error::internal(format!("`{id}` is no node's id: {error}")))
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
