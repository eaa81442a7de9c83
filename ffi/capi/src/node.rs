//! Nodes.

use std::ffi::c_char;

use kith_core::node::{Context, CreateOptions, JoinOptions, Node};
use kith_core::replica::ContextId;
use kith_core::{Error, ErrorKind};

use crate::border::{border, run_quietly};
use crate::bytes::{array, bytes, kith_buffer, list_output, optional_text, output, text};
use crate::context::kith_context;
use crate::handle::{borrow, give, handles, take};
use crate::lists::{kith_context_info, kith_invitation_info};
use crate::options::{kith_node_options, node_options, timeout_of};
use crate::status::kith_status;
use crate::wait::{wait, wait_in_any_case};

/// A node: a store, an endpoint in the network, and any number of contexts. All functions may be called from any thread,
/// and from several at once.
#[allow(non_camel_case_types)]
pub struct kith_node {
    _private: [u8; 0],
}

handles! {
    kith_node => Node = 1;
    kith_context => Context = 2;
}

/// Opens a node in a directory, which is made if it does not exist. A directory that another node has open is KITH_BUSY at once.
/// With `path` NULL everything is kept in memory and gone when the node is closed. `options` may be NULL: the defaults.
/// Blocks while the store opens.
///
/// # Safety
/// `path` is NULL or ends in NUL; `options` is NULL or was filled by kith_node_options_init.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_open(
    path: *const c_char,
    options: *const kith_node_options,
    node: *mut *mut kith_node,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (place, options) =
            unsafe { (output(node, "node")?, node_options(optional_text(path, "path")?, options)?) };
        place.set(give(wait(Node::open(options))?));
        Ok(())
    }
}

/// Closes the node: finishes what was begun, closes connections and the store, and releases its files. Blocks until that is
/// done. From then on all calls with the node and its contexts are KITH_CLOSED. Twice is fine. The handle is still to be freed.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_shutdown(node: *mut kith_node) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        wait_in_any_case(unsafe { borrow(node)? }.shutdown())
    }
}

/// Frees a node. One that was not shut down closes in the background, which does not block; call kith_node_shutdown before, to
/// know that it has closed. Contexts of the node are freed on their own, before or after.
///
/// # Safety
/// `node` is a node of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_free(node: *mut kith_node) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(node) }));
}

/// The node's id in the network, as text.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_id(node: *const kith_node, id: *mut kith_buffer) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, place) = unsafe { (borrow(node)?, output(id, "id")?) };
        place.set(kith_buffer::from_vec(node.id().into_bytes()));
        Ok(())
    }
}

/// Where the node listens: multiaddresses with /p2p/…, one a line.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_addresses(
    node: *const kith_node,
    addresses: *mut kith_buffer,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, place) = unsafe { (borrow(node)?, output(addresses, "addresses")?) };
        let lines: Vec<u8> = node.addresses().into_iter().flat_map(|line| (line + "\n").into_bytes()).collect();
        place.set(kith_buffer::from_vec(lines));
        Ok(())
    }
}

/// How it stands with the node and the peers it knows, as a JSON object:
///  - id; addresses; contexts: their ids;
///  - peers: of each peer, connected, relayed (the link goes through a relay), addresses, last_failure, next_attempt_in (ms);
///  - relays: of each of kith_node_options.relays relay (as it was given), address (where others reach this node through it; null: it gives no
///    place), longest (ms that a connection through it may last, if it says so), most_bytes (that may go through one), reason (why it gave no place the last
///    time, as a kind: "Unreachable", "Timeout", "Busy" …), last_failure (the same for people), next_attempt_in (ms);
///  - sealed: whether everything in the directory is sealed under a key that the host keeps; key_file: whether that key lies in a file beside the store, since
///    the host gave none, so that whoever can read the directory can read everything in it;
///  - copied: whether the directory is a copy of another node's, or an import that nobody has adopted: it signs nothing (kith_node_adopt);
///  - strangers: nodes that connected and did not prove to be a member's, counted since the node was opened or resumed (anybody may connect, so there are no events of
///    it): linked (now), ended (links that are over for no reason of these:), refused (too many connections), unfinished (no link came of them: the other side went, or
///    is no node of Kith; members drop all connections but the first), misbehaved (the protocol or its limits were broken), version (no common one), timeout;
///  - suspended: then there are no peers and no addresses;
///  - storage: "sled", "redb", or null: in memory.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_status(node: *const kith_node, json: *mut kith_buffer) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, place) = unsafe { (borrow(node)?, output(json, "json")?) };
        place.set(json_of(&wait(node.status())?)?);
        Ok(())
    }
}

/// Connects to a peer by a multiaddress with /p2p/…, and keeps it connected from then on. Blocks until it is reached or not.
///
/// # Safety
/// `node` is a node of this library or NULL; `address` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_connect(node: *const kith_node, address: *const c_char) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, address) = unsafe { (borrow(node)?, text(address, "address")?) };
        wait(node.connect(address))
    }
}

/// Creates a context with this node as its first member and admin. `application` is "kv" (or NULL for it) or one that
/// was registered; `arguments` are what the application is set up with, none for "kv"; `name` is what people call the context, at most 128 bytes, or NULL.
/// What is written there is sealed as by default (KITH_ENCRYPTION_X25519): kith_node_create_context_with for another way.
///
/// # Safety
/// `node` is a node of this library or NULL; texts end in NUL; `arguments` has `arguments_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_create_context(
    node: *mut kith_node,
    application: *const c_char,
    arguments: *const u8,
    arguments_length: usize,
    name: *const c_char,
    context: *mut *mut kith_context,
) -> kith_status {
    border! {
        let mut options = CreateOptions::default();
        // SAFETY: as the caller vouches.
        let (node, place) = unsafe {
            if let Some(application) = optional_text(application, "application")? {
                application.clone_into(&mut options.application);
            }
            options.arguments = bytes(arguments, arguments_length, "arguments")?.to_vec();
            optional_text(name, "name")?.unwrap_or_default().clone_into(&mut options.name);
            (borrow(node)?, output(context, "context")?)
        };
        place.set(give(wait(node.create_context(options))?));
        Ok(())
    }
}

/// Reads an invitation. Joins nothing.
///
/// # Safety
/// `node` is a node of this library or NULL; `invitation` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_inspect(
    node: *const kith_node,
    invitation: *const c_char,
    info: *mut kith_invitation_info,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, invitation, place) =
            unsafe { (borrow(node)?, text(invitation, "invitation")?, output(info, "info")?) };
        place.set(kith_invitation_info::of(&node.inspect(invitation)?));
        Ok(())
    }
}

/// Joins a context by an invitation. Blocks until this node is a member and has caught up, for at most `timeout_ms`. If it fails,
/// nothing of the context stays. Joining a context that this node is a member of gives that context.
///
/// # Safety
/// `node` is a node of this library or NULL; `invitation` ends in NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_join(
    node: *mut kith_node,
    invitation: *const c_char,
    timeout_ms: u64,
    context: *mut *mut kith_context,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, invitation, place) =
            unsafe { (borrow(node)?, text(invitation, "invitation")?, output(context, "context")?) };
        let mut options = JoinOptions::default();
        options.timeout = Some(timeout_of(timeout_ms));
        place.set(give(wait(node.join(invitation, options))?));
        Ok(())
    }
}

/// The ids of the contexts that this node holds: 32 bytes each, one after the other.
///
/// # Safety
/// `node` is a node of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_contexts(node: *const kith_node, ids: *mut kith_buffer) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, place) = unsafe { (borrow(node)?, output(ids, "ids")?) };
        let ids = node.contexts()?.into_iter().flat_map(|context| context.id.0).collect();
        place.set(kith_buffer::from_vec(ids));
        Ok(())
    }
}

/// The contexts that this node holds, with their names. At most `capacity` are written; `count` gets how many there are.
///
/// # Safety
/// `node` is a node of this library or NULL; `contexts` has room for `capacity`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_context_infos(
    node: *const kith_node,
    contexts: *mut kith_context_info,
    capacity: usize,
    count: *mut usize,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, list) = unsafe { (borrow(node)?, list_output(contexts, capacity, count)?) };
        list.set(node.contexts()?.iter().map(kith_context_info::of));
        Ok(())
    }
}

/// A context that this node holds, by its id of 32 bytes; KITH_NOT_FOUND if it does not. Each call gives a handle of its own, to be freed.
///
/// # Safety
/// `node` is a node of this library or NULL; `id` has 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_node_context(
    node: *const kith_node,
    id: *const u8,
    context: *mut *mut kith_context,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (node, id, place) =
            unsafe { (borrow(node)?, array(id, "id")?, output(context, "context")?) };
        place.set(give(node.context(ContextId(id))?));
        Ok(())
    }
}

pub(crate) fn json_of(value: &impl serde::Serialize) -> kith_core::Result<kith_buffer> {
    let json = serde_json::to_vec(value)
        .map_err(|error| Error::new(ErrorKind::Internal, format!("the status is no JSON: {error}")))?;
    Ok(kith_buffer::from_vec(json))
}
