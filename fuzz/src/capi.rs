//! A C program that calls what it likes with what it likes, within what `include/kith.h` asks of it: handles are alive or NULL or of
//! another kind, lengths are those of what is pointed at, outputs may be written or are NULL. Under AddressSanitizer, which sees
//! every byte that the library reads and writes of the program's, and of its own.

mod application;
mod history;
mod members;
mod nodes;
mod reading;
mod sealing;
mod state;
mod words;

use std::collections::VecDeque;
use std::ffi::CString;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use arbitrary::{Arbitrary, Unstructured};
use kith::bytes::{kith_buffer, kith_buffer_free};
use kith::context::*;
use kith::events::*;
use kith::kv::*;
use kith::membership::kith_context_leave;
use kith::node::*;
use kith::receipt::*;
use kith::status::*;
use kith::subscription::*;
use kith::testing::*;

use self::reading::touch;
use self::words::{Call, NOTHING, Pick, STRANGER, Token};
use crate::{Defect, defect, show};

/// Most calls of an input.
const STEPS: usize = 40;

/// Plays an input.
pub fn play(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let mut program = Program::start();
    for _ in 0..STEPS {
        let Ok(call) = Call::arbitrary(&mut input) else { break };
        if show() {
            eprintln!("{call:?}");
        }
        program.call(&call);
        if input.is_empty() {
            break;
        }
    }
    program.end();
}

struct Nodes {
    node: [*mut kith_node; 2],
    context: *mut kith_context,
    hub: *mut kith_hub,
}

// SAFETY: handles may be used from any thread.
unsafe impl Send for Nodes {}
// SAFETY: as above.
unsafe impl Sync for Nodes {}

/// Two nodes that stay, with an application of ours, and with a context that stays.
fn nodes() -> &'static Nodes {
    static NODES: OnceLock<Nodes> = OnceLock::new();
    NODES.get_or_init(|| {
        let (mut one, mut other, mut context, mut hub) = (null_mut(), null_mut(), null_mut(), null_mut());
        // SAFETY: the outputs may be written, the handles are alive.
        unsafe {
            ok(kith_test_nodes(&mut one, &mut other));
            ok(kith_hub_new(&mut hub));
            for node in [one, other] {
                application::register(node);
            }
            ok(kith_node_create_context(one, c"kv".as_ptr(), null(), 0, c"stays".as_ptr(), &mut context));
        }
        Nodes { node: [one, other], context, hub }
    })
}

fn nothing() -> kith_buffer {
    kith_buffer { data: null_mut(), length: 0 }
}

fn ok(status: kith_status) {
    assert_eq!(status as u32, kith_status::KITH_OK as u32);
}

/// Everything that the program holds; all of it is freed at the end.
struct Program {
    contexts: VecDeque<*mut kith_context>,
    entries: Vec<*mut kith_entries>,
    receipts: Vec<*mut kith_receipt>,
    events: Vec<*mut kith_events>,
    event: Vec<*mut kith_event>,
    batches: Vec<*mut kith_batch>,
    subscriptions: Vec<*mut kith_subscription>,
    token: Option<CString>,
    ids: Vec<[u8; 32]>,
}

impl Program {
    fn start() -> Self {
        Self {
            contexts: VecDeque::from([nodes().context]),
            entries: Vec::new(),
            receipts: Vec::new(),
            events: Vec::new(),
            event: Vec::new(),
            batches: Vec::new(),
            subscriptions: Vec::new(),
            token: None,
            ids: Vec::new(),
        }
    }

    fn context(&self, pick: Pick) -> *mut kith_context {
        let index = usize::from(pick) % self.contexts.len();
        odd(pick).unwrap_or_else(|| self.contexts[index])
    }

    fn id(&self, pick: Pick) -> Option<Box<[u8; 32]>> {
        let known =
            self.ids.len().checked_sub(1).map(|last| self.ids[last - usize::from(pick) % self.ids.len()]);
        (pick != NOTHING).then(|| Box::new(known.filter(|_| pick < 250).unwrap_or([pick; 32])))
    }

    fn took(&mut self, status: kith_status, id: [u8; 32]) {
        if status as u32 == 0 && self.ids.len() < 64 {
            self.ids.push(id);
        }
    }

    /// Takes what a call put out: nothing, if it failed.
    fn buffer(&self, status: kith_status, mut buffer: kith_buffer) {
        if status as u32 != 0 {
            assert!(buffer.data.is_null() && buffer.length == 0, "an output of a call that failed");
            return;
        }
        let kept = buffer.data;
        // SAFETY: the library gave so many bytes and a NUL behind them; freeing twice is allowed.
        unsafe {
            touch(buffer.data, buffer.length);
            kith_buffer_free(&mut buffer);
            kith_buffer_free(&mut buffer);
            if defect() == Defect::Broken && !kept.is_null() {
                touch(kept, 1);
            }
        }
    }

    fn call(&mut self, call: &Call) {
        match call {
            Call::State(call) => self.state(call),
            Call::History(call) => self.history(call),
            Call::Member(call) => self.member(call),
            Call::Node(call) => self.node(call),
            Call::Sealing(call) => self.sealing(call),
            Call::Free { kind, at } => self.free(*kind, *at),
        }
    }

    /// Remembers ids, to ask for.
    fn know(&mut self, ids: impl IntoIterator<Item = [u8; 32]>) {
        self.ids.extend(ids);
        self.ids.truncate(64);
    }

    /// A place, of 48 bytes.
    fn after(&self, pick: Option<Pick>) -> Option<Box<[u8]>> {
        let id = self.id(pick?)?;
        Some([&[0; 16], &id[..]].concat().into())
    }

    /// # Safety
    /// The handle is one of the library's if the call worked.
    unsafe fn keep(&mut self, status: kith_status, context: *mut kith_context) {
        if status as u32 != 0 {
            assert!(context.is_null(), "an output of a call that failed");
            return;
        }
        // SAFETY: alive.
        unsafe {
            let mut id = [0; 32];
            ok(kith_context_id(context, id.as_mut_ptr()));
            self.ids.push(id);
        }
        self.contexts.push_back(context);
    }

    fn token(&self, token: &Token) -> Option<CString> {
        match token {
            Token::Real => self.token.clone(),
            Token::Damaged(place, by) => {
                let mut bytes = self.token.clone()?.into_bytes();
                let place = usize::from(*place) % bytes.len().max(1);
                *bytes.get_mut(place)? ^= by;
                CString::new(bytes).ok()
            }
            Token::Other(text) => text.owned(),
        }
    }

    /// Frees something before the end; or NULL, or something of another kind, which frees nothing.
    fn free(&mut self, kind: u8, pick: Pick) {
        // SAFETY: what is alive is taken out of the list, and nobody uses it any more.
        unsafe {
            match kind % 6 {
                0 => kith_entries_free(odd(pick).unwrap_or_else(|| self.entries.pop().unwrap_or(null_mut()))),
                1 => {
                    kith_receipt_free(odd(pick).unwrap_or_else(|| self.receipts.pop().unwrap_or(null_mut())))
                }
                2 => kith_events_free(odd(pick).unwrap_or_else(|| self.events.pop().unwrap_or(null_mut()))),
                3 => kith_event_free(odd(pick).unwrap_or_else(|| self.event.pop().unwrap_or(null_mut()))),
                4 => kith_batch_free(odd(pick).unwrap_or_else(|| self.batches.pop().unwrap_or(null_mut()))),
                _ => kith_subscription_free(
                    odd(pick).unwrap_or_else(|| self.subscriptions.pop().unwrap_or(null_mut())),
                ),
            }
        }
    }

    fn end(mut self) {
        // SAFETY: all of them are alive, and nobody uses them any more. The first context stays.
        unsafe {
            self.subscriptions.drain(..).for_each(|subscription| kith_subscription_free(subscription));
            self.event.drain(..).for_each(|event| kith_event_free(event));
            self.events.drain(..).for_each(|events| kith_events_free(events));
            self.entries.drain(..).for_each(|entries| kith_entries_free(entries));
            self.receipts.drain(..).for_each(|receipt| kith_receipt_free(receipt));
            self.batches.drain(..).for_each(|batch| kith_batch_free(batch));
            for context in self.contexts.drain(1..) {
                let (mut id, mut stays) = ([0; 32], [0; 32]);
                kith_context_id(nodes().context, stays.as_mut_ptr());
                kith_context_id(context, id.as_mut_ptr());
                if id != stays {
                    kith_context_leave(context);
                }
                kith_context_free(context);
            }
        }
    }
}

/// NULL, or a handle of another kind.
fn odd<T>(pick: Pick) -> Option<*mut T> {
    match pick {
        NOTHING => Some(null_mut()),
        STRANGER if std::any::type_name::<T>().ends_with("kith_hub") => Some(nodes().node[0].cast()),
        STRANGER => Some(nodes().hub.cast()),
        _ => None,
    }
}

fn picked<T>(all: &[*mut T], pick: Pick) -> *mut T {
    let some = all.len().checked_sub(1).map(|last| all[last - usize::from(pick) % all.len()]);
    odd(pick).unwrap_or(some.unwrap_or(null_mut()))
}
