//! Calls that write the state, and that read it.

use std::ptr::{null, null_mut};

use kith::context::*;
use kith::kv::*;
use kith::status::kith_status;

use super::reading::touch;
use super::words::{StateCall, at, key, place};
use super::{Program, nothing, ok, picked};

impl Program {
    pub(super) fn state(&mut self, call: &StateCall) {
        let mut id = [0; 32];
        let mut out = nothing();
        // SAFETY: as the module above says: handles are alive, NULL or of another kind; texts end in NUL; data has its length.
        unsafe {
            match call {
                StateCall::Execute { at: pick, method, arguments, out: wanted } => {
                    let (method, arguments) = (method.owned(), arguments.given());
                    let answer = if *wanted { &raw mut out } else { null_mut() };
                    let context = self.context(*pick);
                    let status = kith_context_execute(
                        context,
                        at(&method),
                        arguments.at(),
                        arguments.1,
                        id.as_mut_ptr(),
                        answer,
                    );
                    self.took(status, id);
                    self.buffer(if *wanted { status } else { kith_status::KITH_CLOSED }, out);
                }
                StateCall::Query { at: pick, method, arguments } => {
                    let (method, arguments) = (method.owned(), arguments.given());
                    let context = self.context(*pick);
                    let status =
                        kith_context_query(context, at(&method), arguments.at(), arguments.1, &mut out);
                    self.buffer(status, out);
                }
                StateCall::Put { at: pick, key: name, value } => {
                    let (key, value) = (key(*name), value.given());
                    let status = kith_context_put(
                        self.context(*pick),
                        place(&key),
                        value.at(),
                        value.1,
                        id.as_mut_ptr(),
                    );
                    self.took(status, id);
                }
                StateCall::Delete { at: pick, key: name } => {
                    let key = key(*name);
                    let status = kith_context_delete(self.context(*pick), place(&key), id.as_mut_ptr());
                    self.took(status, id);
                }
                StateCall::Add { at: pick, key: name, number } => {
                    let (key, mut now) = (key(*name), 0);
                    kith_context_add(self.context(*pick), place(&key), *number, &mut now);
                }
                StateCall::Compare { at: pick, key: name, expected, value } => {
                    let (key, expected, value) = (key(*name), expected.given(), value.given());
                    let status = kith_context_compare_and_set(
                        self.context(*pick),
                        place(&key),
                        expected.at(),
                        expected.1,
                        value.at(),
                        value.1,
                        id.as_mut_ptr(),
                    );
                    self.took(status, id);
                }
                StateCall::Append { at: pick, key: name, data } => {
                    let (key, data) = (key(*name), data.given());
                    kith_context_append(self.context(*pick), place(&key), data.at(), data.1, null_mut());
                }
                StateCall::Get { at: pick, key: name, level } => {
                    let key = key(*name);
                    let level = u32::from(*level % 3);
                    let status = kith_context_get(self.context(*pick), place(&key), level, &mut out);
                    self.buffer(status, out);
                }
                StateCall::Entries { at: pick, prefix, after, limit, level } => {
                    let (prefix, after, mut entries) = (prefix.given(), key(*after), null_mut());
                    let status = kith_context_entries(
                        self.context(*pick),
                        prefix.at(),
                        prefix.1,
                        place(&after),
                        usize::from(*limit),
                        u32::from(*level % 3),
                        &mut entries,
                    );
                    if status as u32 == 0 {
                        self.entries.push(entries);
                    }
                }
                StateCall::EntriesAt { at: pick, index, out: wanted } => {
                    let entries = picked(&self.entries, *pick);
                    let (mut key, mut value, mut length) = (null(), null(), 0);
                    let count = kith_entries_count(entries);
                    let index = if *index % 4 == 0 {
                        usize::from(*index)
                    } else {
                        usize::from(*index) % count.max(1)
                    };
                    let length_at = if *wanted { &raw mut length } else { null_mut() };
                    let status = kith_entries_at(entries, index, &mut key, &mut value, length_at);
                    if status as u32 == 0 {
                        assert!(index < count);
                        touch(key, 32);
                        touch(value, length);
                    }
                }
                StateCall::Batch => {
                    let mut batch = null_mut();
                    ok(kith_batch_new(&mut batch));
                    self.batches.push(batch);
                }
                StateCall::BatchStep { at: pick, what, key: name, value, other } => {
                    let (batch, key) = (picked(&self.batches, *pick), key(*name));
                    let (value, other) = (value.given(), other.given());
                    match what % 5 {
                        0 => kith_batch_put(batch, place(&key), value.at(), value.1),
                        1 => kith_batch_delete(batch, place(&key)),
                        2 => kith_batch_add(batch, place(&key), i64::from(*name)),
                        3 => kith_batch_append(batch, place(&key), value.at(), value.1),
                        _ => kith_batch_compare_and_set(
                            batch,
                            place(&key),
                            value.at(),
                            value.1,
                            other.at(),
                            other.1,
                        ),
                    };
                }
                StateCall::Commit { at: pick, batch } => {
                    let batch = picked(&self.batches, *batch);
                    let status = kith_context_batch(self.context(*pick), batch, id.as_mut_ptr());
                    self.took(status, id);
                }
            }
        }
    }
}
