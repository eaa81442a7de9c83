//! Calls that read the history, what it says of itself, and events.

use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use kith::context::*;
use kith::events::*;
use kith::lists::*;
use kith::receipt::*;
use kith::status::kith_status;
use kith::subscription::*;
use kith::verify::*;

use super::reading::{on_event, read_event, text, touch};
use super::words::{HistoryCall, key, place};
use super::{Program, nothing, picked};

impl Program {
    pub(super) fn history(&mut self, call: &HistoryCall) {
        let mut id = [0; 32];
        // SAFETY: as the module above says: handles are alive, NULL or of another kind; texts end in NUL; data has its length.
        unsafe {
            match call {
                HistoryCall::History { at: pick, after, capacity, .. } => {
                    let (context, after) = (self.context(*pick), self.after(*after));
                    let found = page(after.as_deref(), *capacity, |after, room, capacity, count| {
                        kith_context_history(context, after, room, capacity, count)
                    });
                    self.know(found.iter().take(4).map(|found| found.id));
                }
                HistoryCall::Transaction { at: pick, id } => {
                    let id = self.id(*id);
                    let mut found = MaybeUninit::<kith_transaction>::uninit();
                    let status =
                        kith_context_transaction(self.context(*pick), place(&id), found.as_mut_ptr());
                    if status as u32 == 0 {
                        assert_eq!(Some(found.assume_init().id), id.map(|id| *id));
                    }
                }
                HistoryCall::Receipt { at: pick, id } => {
                    let (id, mut receipt) = (self.id(*id), null_mut());
                    if kith_context_receipt(self.context(*pick), place(&id), &mut receipt) as u32 == 0 {
                        self.receipts.push(receipt);
                    }
                }
                HistoryCall::ReadReceipt { at: pick, index } => {
                    let receipt = picked(&self.receipts, *pick);
                    let (mut length, mut data, mut name) = (0, null(), null());
                    text(kith_receipt_method(receipt));
                    text(kith_receipt_reason(receipt));
                    let arguments = kith_receipt_arguments(receipt, &mut length);
                    touch(arguments, length);
                    let answer = kith_receipt_answer(receipt, &mut length);
                    touch(answer, length);
                    let mut found = MaybeUninit::uninit();
                    kith_receipt_transaction(receipt, found.as_mut_ptr());
                    let count = kith_receipt_emitted_count(receipt);
                    let status = kith_receipt_emitted_at(
                        receipt,
                        usize::from(*index),
                        &mut name,
                        &mut data,
                        &mut length,
                    );
                    assert_eq!(status as u32 == 0, usize::from(*index) < count);
                }
                HistoryCall::Facts { at: pick, out: wanted } => {
                    let context = self.context(*pick);
                    let place = if *wanted { id.as_mut_ptr() } else { null_mut() };
                    let mut role = 0;
                    kith_context_id(context, place);
                    kith_context_me(context, place);
                    kith_context_commitment(context, place);
                    kith_context_role(context, &mut role);
                    for get in [kith_context_application, kith_context_name, kith_context_status] {
                        let mut out = nothing();
                        let status = get(context, &mut out);
                        self.buffer(status, out);
                    }
                }
                HistoryCall::WaitSynced { at: pick } => {
                    kith_context_wait_synced(self.context(*pick), 1);
                }
                HistoryCall::Events { at: pick, after } => {
                    let mut events = null_mut();
                    let after = after.as_ref().map_or(null(), |after| &raw const *after);
                    if kith_context_events(self.context(*pick), after, &mut events) as u32 == 0 {
                        self.events.push(events);
                    }
                }
                HistoryCall::Next { at: pick, ms } => {
                    let mut event = null_mut();
                    let events = picked(&self.events, *pick);
                    if kith_events_next(events, u64::from(*ms % 4), &mut event) as u32 == 0 {
                        read_event(event);
                        self.event.push(event);
                    }
                    read_event(picked(&self.event, *pick));
                }
                HistoryCall::Subscribe { at: pick, after, callback } => {
                    let mut subscription = null_mut();
                    let after = after.as_ref().map_or(null(), |after| &raw const *after);
                    let callback: kith_event_callback = if *callback { Some(on_event) } else { None };
                    let context = self.context(*pick);
                    if kith_context_on_event(context, after, callback, null_mut(), None, &mut subscription)
                        as u32
                        == 0
                    {
                        self.subscriptions.push(subscription);
                    }
                }
                HistoryCall::Verify(pick) => {
                    let mut report = MaybeUninit::<kith_verification>::uninit();
                    if kith_context_verify(self.context(*pick), report.as_mut_ptr()) as u32 == 0 {
                        assert_eq!(
                            report.assume_init().part,
                            KITH_PART_NONE,
                            "the tables are not what history says"
                        );
                    }
                }
                HistoryCall::Explain { at: pick, key: name, after, capacity } => {
                    let (context, key, after) = (self.context(*pick), key(*name), self.after(*after));
                    let found = page(after.as_deref(), *capacity, |after, room, capacity, count| {
                        kith_context_explain(context, place(&key), after, room, capacity, count)
                    });
                    self.know(found.iter().map(|found| found.transaction.id));
                }
            }
        }
    }
}

/// What a call says that fills a page behind a place; nothing if it refuses.
fn page<T>(
    after: Option<&[u8]>,
    capacity: u8,
    call: impl FnOnce(*const u8, *mut T, usize, *mut usize) -> kith_status,
) -> Vec<T> {
    let capacity = usize::from(capacity % 20);
    let (mut room, mut count) = (Vec::with_capacity(capacity), 0);
    let status = call(after.map_or(null(), <[u8]>::as_ptr), room.as_mut_ptr(), capacity, &mut count);
    if status as u32 == 0 {
        assert!(count <= capacity);
        // SAFETY: so many have been written.
        unsafe { room.set_len(count) };
    }
    room
}
