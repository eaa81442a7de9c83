//! An application of the program's own: what a call's arguments say, it does with the call and with the state.

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use arbitrary::{Arbitrary, Unstructured};
use kith::application::*;
use kith::call::*;
use kith::context::*;
use kith::node::kith_node;
use kith::status::kith_status;

use super::reading::touch;
use super::words::{Data, Pick, Text, at, key, place};
use super::{nothing, ok};

pub(super) const NAME: &std::ffi::CStr = c"odd";

#[derive(Arbitrary, Debug)]
enum Step {
    Get(Pick),
    Put(Pick, Data),
    Delete(Pick),
    Entries(Data, Pick, u8),
    Emit(Text, Data),
    Answer(Data),
    Reject(Text),
    Fault(Text),
}

/// # Safety
/// The node is alive.
pub(super) unsafe fn register(node: *mut kith_node) {
    let mut application = MaybeUninit::<kith_application>::uninit();
    // SAFETY: it may be written, and is set by the first call; the callbacks use nothing of their own.
    unsafe {
        kith_application_init(application.as_mut_ptr());
        let mut application = application.assume_init();
        application.initialise = Some(run);
        application.execute = Some(run);
        application.query = Some(run);
        ok(kith_node_register(node, NAME.as_ptr(), &application));
    }
}

/// Every member comes to the same end: nothing but the call and the state is looked at.
unsafe extern "C" fn run(
    _user_data: *mut c_void,
    call: *mut kith_call,
    state: *mut kith_state,
) -> kith_status_of_host {
    // SAFETY: both are alive until this returns; outputs may be written.
    unsafe {
        let mut length = 0;
        let method = kith_call_method(call, &mut length);
        touch(method.cast(), length);
        let _ = kith_call_is(call, c"put".as_ptr());
        touch(kith_call_member(call), 32);
        touch(kith_call_transaction(call), 32);
        let _ = (kith_call_role(call), kith_call_timestamp(call));
        let arguments = kith_call_arguments(call, &mut length);
        touch(arguments, length);
        let said = if arguments.is_null() { &[][..] } else { std::slice::from_raw_parts(arguments, length) };
        let mut said = Unstructured::new(said);
        for _ in 0..16 {
            if said.is_empty() {
                break;
            }
            let Ok(step) = Step::arbitrary(&mut said) else { break };
            do_it(&step, call, state);
        }
    }
    kith_status::KITH_OK as u32
}

/// # Safety
/// Both are alive.
unsafe fn do_it(step: &Step, call: *mut kith_call, state: *mut kith_state) {
    // SAFETY: as the caller vouches; texts end in NUL, data has its length.
    unsafe {
        match step {
            Step::Get(name) => {
                let (key, mut value) = (key(*name), nothing());
                if kith_state_get(state, place(&key), &mut value) as u32 == 0 {
                    touch(value.data, value.length);
                    kith::bytes::kith_buffer_free(&mut value);
                }
            }
            Step::Put(name, value) => {
                let (key, value) = (key(*name), value.given());
                kith_state_put(state, place(&key), value.at(), value.1);
            }
            Step::Delete(name) => {
                let key = key(*name);
                kith_state_delete(state, place(&key));
            }
            Step::Entries(prefix, after, limit) => {
                let (prefix, after, mut entries) = (prefix.given(), key(*after), null_mut());
                let limit = usize::from(*limit);
                let status =
                    kith_state_entries(state, prefix.at(), prefix.1, place(&after), limit, &mut entries);
                if status as u32 == 0 {
                    for index in 0..kith_entries_count(entries) {
                        let (mut key, mut value, mut length) = (null(), null(), 0);
                        ok(kith_entries_at(entries, index, &mut key, &mut value, &mut length));
                        touch(key, 32);
                        touch(value, length);
                    }
                    kith_entries_free(entries);
                }
            }
            Step::Emit(name, data) => {
                let (name, data) = (name.owned(), data.given());
                kith_state_emit(state, at(&name), data.at(), data.1);
            }
            Step::Answer(answer) => {
                let answer = answer.given();
                kith_call_answer(call, answer.at(), answer.1);
            }
            Step::Reject(reason) => {
                let reason = reason.owned();
                kith_call_reject(call, at(&reason));
            }
            Step::Fault(cause) => {
                let cause = cause.owned();
                kith_call_fault(call, at(&cause));
            }
        }
    }
}
