//! Events, pulled one by one.

use std::ffi::{CString, c_char};
use std::sync::Mutex;

use kith_core::node::{Cursor, Event, Events};
use kith_core::{Error, Result};

use crate::border::{border, run_quietly};
use crate::bytes::output;
use crate::context::kith_context;
use crate::handle::{borrow, give, handles, take};
use crate::options::{KITH_NO_ROLE, timeout_of};
use crate::status::kith_status;
use crate::wait::{wait, wait_for};

/// A stream of a context's events. Several threads may pull from it; each event goes to one of them.
#[allow(non_camel_case_types)]
pub struct kith_events {
    _private: [u8; 0],
}

/// One event. It does not change.
#[allow(non_camel_case_types)]
pub struct kith_event {
    _private: [u8; 0],
}

handles! {
    kith_events => Mutex<Events> = 4;
    kith_event => Happened = 5, anywhere;
}

/// A call was executed at its place (transaction, member; again). It may come again with another outcome after KITH_EVENT_REORDERED.
pub const KITH_EVENT_EXECUTED: u32 = 1;
/// Entries of the state changed (keys).
pub const KITH_EVENT_CHANGED: u32 = 2;
/// Something was inserted into the order before what was there (transaction: the first one that moved).
pub const KITH_EVENT_REORDERED: u32 = 3;
/// A transaction of this node's own was accepted when it was made, and counts no more (transaction, text: why).
pub const KITH_EVENT_REJECTED: u32 = 4;
/// Somebody became a member (member, role).
pub const KITH_EVENT_MEMBER_JOINED: u32 = 5;
/// A member left (member).
pub const KITH_EVENT_MEMBER_LEFT: u32 = 6;
/// A member was removed (member).
pub const KITH_EVENT_MEMBER_REMOVED: u32 = 7;
/// A member has another role (member, role).
pub const KITH_EVENT_ROLE_CHANGED: u32 = 8;
/// A member has signed two histories (member, transaction and other transaction: two with the same number).
pub const KITH_EVENT_EQUIVOCATION: u32 = 9;
/// Applying stands still (text: why).
pub const KITH_EVENT_BLOCKED: u32 = 10;
/// The application says something (transaction, text: the name, data).
pub const KITH_EVENT_EMITTED: u32 = 11;
/// How far catch-up with a peer is (text: the peer; done, total: transactions). Not replayed.
pub const KITH_EVENT_SYNC_PROGRESS: u32 = 12;
/// Everything that a peer has is here (text: the peer). Not replayed.
pub const KITH_EVENT_SYNCED: u32 = 13;
/// A member's node is connected (text: the peer, member). Not replayed.
pub const KITH_EVENT_PEER_CONNECTED: u32 = 14;
/// It is no more (text: the peer, reason). Not replayed.
pub const KITH_EVENT_PEER_DISCONNECTED: u32 = 15;
/// The reader was too slow and events were dropped (done: how many): start again from the cursor. Not replayed.
pub const KITH_EVENT_LAGGED: u32 = 16;
/// The context is closed here (text: why). The last event.
pub const KITH_EVENT_CLOSED: u32 = 17;
/// A member calls itself something else (member, text: the name), or the context is called something else (no member, text).
pub const KITH_EVENT_RENAMED: u32 = 18;
/// Keys or a message that a member made cannot be opened here (member, transaction, text: what is wrong and what to do about it). Nothing is lost: what it says
/// comes from another member, or from that one, as soon as one is connected. If it happens again and again with one member, its device or its build is at fault.
pub const KITH_EVENT_KEY_TROUBLE: u32 = 19;
/// A member sent a message under keys that were not to be used (member, transaction): a removed member may be able to read it. Its build is at fault, or it
/// does so on purpose: have it updated, or remove it.
pub const KITH_EVENT_KEY_VIOLATION: u32 = 20;
/// An event that this version of the header does not know.
pub const KITH_EVENT_OTHER: u32 = 0;

/// An event in the shape of the accessors.
#[derive(Default)]
pub struct Happened {
    kind: u32,
    cursor: Cursor,
    transaction: Option<[u8; 32]>,
    other: Option<[u8; 32]>,
    member: Option<[u8; 32]>,
    role: u32,
    again: bool,
    keys: Vec<[u8; 32]>,
    text: CString,
    reason: CString,
    data: Vec<u8>,
    done: u64,
    total: u64,
}

impl Happened {
    pub(crate) fn of(cursor: Cursor, event: Event) -> Self {
        let mut this = Self { cursor, role: KITH_NO_ROLE, ..Self::default() };
        let (kind, text) = match event {
            Event::Executed { transaction, member, again } => {
                (this.transaction, this.member, this.again) = (Some(transaction.0), Some(member.0), again);
                (KITH_EVENT_EXECUTED, None)
            }
            Event::Changed { keys } => {
                this.keys = keys.into_iter().map(|key| key.0).collect();
                (KITH_EVENT_CHANGED, None)
            }
            Event::Reordered { from } => {
                this.transaction = Some(from.0);
                (KITH_EVENT_REORDERED, None)
            }
            Event::Rejected { transaction, reason } => {
                this.transaction = Some(transaction.0);
                (KITH_EVENT_REJECTED, Some(reason))
            }
            Event::MemberJoined { member, role } => {
                (this.member, this.role) = (Some(member.0), role as u32);
                (KITH_EVENT_MEMBER_JOINED, None)
            }
            Event::MemberLeft { member } => {
                this.member = Some(member.0);
                (KITH_EVENT_MEMBER_LEFT, None)
            }
            Event::MemberRemoved { member } => {
                this.member = Some(member.0);
                (KITH_EVENT_MEMBER_REMOVED, None)
            }
            Event::RoleChanged { member, role } => {
                (this.member, this.role) = (Some(member.0), role as u32);
                (KITH_EVENT_ROLE_CHANGED, None)
            }
            Event::Renamed { member, name } => {
                this.member = member.map(|member| member.0);
                (KITH_EVENT_RENAMED, Some(name))
            }
            Event::Equivocation { member, one, other } => {
                (this.member, this.transaction, this.other) = (Some(member.0), Some(one.0), Some(other.0));
                (KITH_EVENT_EQUIVOCATION, None)
            }
            Event::Blocked { cause } => (KITH_EVENT_BLOCKED, Some(cause)),
            Event::Emitted { transaction, name, data } => {
                (this.transaction, this.data) = (Some(transaction.0), data);
                (KITH_EVENT_EMITTED, Some(name))
            }
            Event::SyncProgress { peer, done, total } => {
                (this.done, this.total) = (done, total);
                (KITH_EVENT_SYNC_PROGRESS, Some(peer))
            }
            Event::Synced { peer } => (KITH_EVENT_SYNCED, Some(peer)),
            Event::PeerConnected { peer, member } => {
                this.member = Some(member.0);
                (KITH_EVENT_PEER_CONNECTED, Some(peer))
            }
            Event::PeerDisconnected { peer, reason } => {
                this.reason = c_text(reason);
                (KITH_EVENT_PEER_DISCONNECTED, Some(peer))
            }
            Event::Lagged { missed } => {
                this.done = missed;
                (KITH_EVENT_LAGGED, None)
            }
            Event::Closed { reason } => (KITH_EVENT_CLOSED, Some(reason)),
            Event::KeyTrouble { member, transaction, what } => {
                (this.member, this.transaction) = (Some(member.0), Some(transaction.0));
                (KITH_EVENT_KEY_TROUBLE, Some(what))
            }
            Event::KeyViolation { member, transaction } => {
                (this.member, this.transaction) = (Some(member.0), Some(transaction.0));
                (KITH_EVENT_KEY_VIOLATION, None)
            }
            _ => (KITH_EVENT_OTHER, None),
        };
        this.kind = kind;
        this.text = c_text(text.unwrap_or_default());
        this
    }
}

/// Texts of applications and peers may hold a NUL, where C sees their end.
fn c_text(text: String) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// A stream of the events from now on, or, if `after` is not NULL, of those after that cursor and then from now on.
/// KITH_CURSOR_EXPIRED if what followed the cursor is not kept any more: then start from now and read the state again.
///
/// # Safety
/// `context` is a context of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_context_events(
    context: *const kith_context,
    after: *const u64,
    events: *mut *mut kith_events,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (context, after, place) =
            unsafe { (borrow(context)?, after.as_ref().copied(), output(events, "events")?) };
        place.set(give(Mutex::new(wait(context.events(after))?)));
        Ok(())
    }
}

/// The next event. Blocks until there is one, for at most `timeout_ms`: then KITH_TIMEOUT. After the node was shut down it gives what is
/// left, then KITH_CLOSED, and so it does after KITH_EVENT_CLOSED. Each event goes back by kith_event_free.
///
/// # Safety
/// `events` is a stream of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_events_next(
    events: *mut kith_events,
    timeout_ms: u64,
    event: *mut *mut kith_event,
) -> kith_status {
    border! {
        // SAFETY: as the caller vouches.
        let (events, place) = unsafe { (borrow(events)?, output(event, "event")?) };
        let (cursor, event) = next(events, timeout_ms)?;
        place.set(give(Happened::of(cursor, event)));
        Ok(())
    }
}

fn next(events: &Mutex<Events>, timeout_ms: u64) -> Result<(Cursor, Event)> {
    let mut events = events.lock().map_err(|_| Error::internal("a call with this stream panicked"))?;
    wait_for(events.next(), timeout_of(timeout_ms), "no event in time")
}

/// Ends the subscription. Does not block.
///
/// # Safety
/// `events` is a stream of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_events_free(events: *mut kith_events) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(events) }));
}

/// Frees an event, and with it what its accessors pointed to.
///
/// # Safety
/// `event` is an event of this library or NULL, and is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_free(event: *mut kith_event) {
    // SAFETY: as the caller vouches.
    run_quietly(|| drop(unsafe { take(event) }));
}

/// What happened: KITH_EVENT_…. KITH_EVENT_OTHER for NULL.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_kind(event: *const kith_event) -> u32 {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.map_or(KITH_EVENT_OTHER, |event| event.kind)
}

/// Where in the stream it is: a stream that starts after this cursor goes on behind it. Events that happened together share a cursor.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_cursor(event: *const kith_event) -> u64 {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.map_or(0, |event| event.cursor)
}

/// The transaction's id, 32 bytes; NULL if the event has none. Like all pointers of an event it lives as long as the event.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_transaction(event: *const kith_event) -> *const u8 {
    // SAFETY: as the caller vouches.
    let id = unsafe { borrow(event) }.ok().and_then(|event| event.transaction.as_ref());
    id.map_or(std::ptr::null(), |id| id.as_ptr())
}

/// Of KITH_EVENT_EQUIVOCATION: the other one of two transactions, 32 bytes; NULL if the event has none.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_other_transaction(event: *const kith_event) -> *const u8 {
    // SAFETY: as the caller vouches.
    let id = unsafe { borrow(event) }.ok().and_then(|event| event.other.as_ref());
    id.map_or(std::ptr::null(), |id| id.as_ptr())
}

/// The member's id, 32 bytes; NULL if the event has none.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_member(event: *const kith_event) -> *const u8 {
    // SAFETY: as the caller vouches.
    let id = unsafe { borrow(event) }.ok().and_then(|event| event.member.as_ref());
    id.map_or(std::ptr::null(), |id| id.as_ptr())
}

/// The member's role; KITH_NO_ROLE if the event has none.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_role(event: *const kith_event) -> u32 {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.map_or(KITH_NO_ROLE, |event| event.role)
}

/// Of KITH_EVENT_EXECUTED: whether the transaction was executed before, at another place or on another state.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_again(event: *const kith_event) -> bool {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.is_ok_and(|event| event.again)
}

/// The keys that changed: 32 bytes each, one after the other; `count`, unless NULL, gets how many.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_keys(event: *const kith_event, count: *mut usize) -> *const u8 {
    // SAFETY: as the caller vouches.
    let keys = unsafe { borrow(event) }.map_or(&[][..], |event| &event.keys);
    // SAFETY: as the caller vouches.
    if let Some(count) = unsafe { count.as_mut() } {
        *count = keys.len();
    }
    keys.as_ptr().cast()
}

/// The event's text: a reason, a cause, a peer, a name. Never NULL; empty if the event has none.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_text(event: *const kith_event) -> *const c_char {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.map_or(c"".as_ptr(), |event| event.text.as_ptr())
}

/// Of KITH_EVENT_PEER_DISCONNECTED: why. One of these words, which stay the same, then ": " and, for people, what exactly it was:
/// - closed: by this side, which suspends, shuts down, leaves, or reads its store anew;
/// - gone: by the other side, or the connection is lost;
/// - refused: one of them is no member any more in the other's eyes;
/// - misbehaved: it sent what no honest node sends;
/// - version: it speaks another version of sync;
/// - limit: it sent more than it may, or takes nothing, or comes too fast for this side;
/// - timeout: it stands still where something is due.
///
/// Never NULL; empty if the event has none.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_reason(event: *const kith_event) -> *const c_char {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.map_or(c"".as_ptr(), |event| event.reason.as_ptr())
}

/// Of KITH_EVENT_EMITTED: the data; `length`, unless NULL, gets how many bytes.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_data(event: *const kith_event, length: *mut usize) -> *const u8 {
    // SAFETY: as the caller vouches.
    let data = unsafe { borrow(event) }.map_or(&[][..], |event| &event.data);
    // SAFETY: as the caller vouches.
    if let Some(length) = unsafe { length.as_mut() } {
        *length = data.len();
    }
    data.as_ptr()
}

/// Of KITH_EVENT_SYNC_PROGRESS: how many transactions are here. Of KITH_EVENT_LAGGED: how many events are missing.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_done(event: *const kith_event) -> u64 {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.map_or(0, |event| event.done)
}

/// Of KITH_EVENT_SYNC_PROGRESS: how many transactions there will be.
///
/// # Safety
/// `event` is an event of this library or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kith_event_total(event: *const kith_event) -> u64 {
    // SAFETY: as the caller vouches.
    unsafe { borrow(event) }.map_or(0, |event| event.total)
}
