//! A node's rest: what systems that stop apps in the background ask for.

use kith_core::replica::ContextId;

use crate::border::border;
use crate::bytes::{kith_buffer, optional_output, output};
use crate::handle::borrow;
use crate::node::kith_node;
use crate::options::timeout_of;
use crate::status::kith_status;
use crate::wait::{wait, wait_in_any_case};

/// Puts the node to rest, for systems that stop apps in the background: finishes what was begun, closes connections, sockets and the store, and
/// gives back its files and their locks, so that another process may open the directory. Blocks until that is done, whatever the thread has
/// bound by kith_cancel_bind. Handles stay good and streams of events wait. Until kith_node_resume, calls that need the store or the network are KITH_CLOSED;
/// kith_node_contexts, kith_node_status and what handles know by themselves go on. Twice is fine. A node without a directory keeps its
/// store in memory.
///
/// KITH_TIMEOUT if that is not done within `deadline_ms`, since an application does not return from a call: it goes on in the background. KITH_STORAGE if the
/// store cannot be closed in order: the node is suspended all the same, files and locks are given back, and resuming opens the store anew.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_suspend(node: *mut kith_node, deadline_ms: u64) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        wait_in_any_case(unsafe { borrow(node)? }.suspend(timeout_of(deadline_ms)))
    }
}

/// Takes a suspended node up again: opens the store, listens at the ports from before where they are free, and dials the known peers. Blocks
/// while the store opens. A directory that another process has open by now is KITH_BUSY, and the node stays suspended. Of a node that is not
/// suspended nothing changes. Cancelling it lets it finish in the background.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_resume(node: *mut kith_node) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        wait(unsafe { borrow(node)? }.resume())
    }
}

/// Whether the node is suspended, or is being so. Also true once it is shut down.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_is_suspended(node: *const kith_node, suspended: *mut bool) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, place) = unsafe { (borrow(node)?, output(suspended, "suspended")?) };
        place.set(node.is_suspended());
        Ok(())
    }
}

/// For the short times in which systems let apps run in the background: dials all known members' nodes at once, and returns when every context is in step
/// with those that are reached, when nobody is reached, or when the budget (at most a day) is used up. A suspended node is resumed for it and suspended
/// again, which may take up to 10 s more; an error of that is the answer, its text says how far the round had come, and what is there the next one tells. Cancelling it
/// lets it finish in the background.
///
/// Of the outputs each may be NULL. `peers`: how many peers are connected at its end. `synced`: the ids (32 bytes each, one after the other) of the contexts that
/// hold what a connected member's node holds, and nothing else is known of; `behind`: of those of which that is not known.
///
/// # Safety
/// `node` is a node of this library or NULL; the outputs are NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_sync_once(
    node: *mut kith_node,
    budget_ms: u64,
    peers: *mut usize,
    synced: *mut kith_buffer,
    behind: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let report = wait(unsafe { borrow(node)? }.sync_once(timeout_of(budget_ms)))?;
        let ids = |ids: Vec<ContextId>| kith_buffer::from_vec(ids.into_iter().flat_map(|id| id.0).collect());
        // SAFETY: as the caller vouches.
        unsafe {
            if let Some(place) = optional_output(peers) {
                place.set(report.peers);
            }
            if let Some(place) = optional_output(synced) {
                place.set(ids(report.synced));
            }
            if let Some(place) = optional_output(behind) {
                place.set(ids(report.behind));
            }
        }
        Ok(())
    }
}
