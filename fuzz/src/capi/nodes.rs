//! Calls about nodes, and about nothing in particular.

use std::ffi::{CString, c_char};
use std::mem::MaybeUninit;
use std::ptr::{null, null_mut};

use kith::cancel::*;
use kith::context::kith_context_wait_synced;
use kith::keys::*;
use kith::life::*;
use kith::lists::*;
use kith::log::*;
use kith::node::*;
use kith::options::*;
use kith::status::kith_status_name;
use kith::testing::*;
use kith::version::*;

use super::reading::{on_log, text};
use super::words::{Application, NodeCall, Pick, Text, at, place};
use super::{Program, application, nodes, nothing, odd, ok};

impl Program {
    pub(super) fn node(&mut self, call: &NodeCall) {
        let mut id = [0; 32];
        let mut out = nothing();
        let node = |pick: Pick| odd(pick).unwrap_or(nodes().node[usize::from(pick % 2)]);
        // SAFETY: as the module above says: handles are alive, NULL or of another kind; texts end in NUL; data has its length.
        unsafe {
            match call {
                NodeCall::Create { application, arguments, name } => {
                    let application = match application {
                        Application::Kv => Some(c"kv".into()),
                        Application::Odd => Some(application::NAME.into()),
                        Application::Other(text) => text.owned(),
                    };
                    let (arguments, name, mut context) = (arguments.given(), name.owned(), null_mut());
                    let status = kith_node_create_context(
                        nodes().node[0],
                        at(&application),
                        arguments.at(),
                        arguments.1,
                        at(&name),
                        &mut context,
                    );
                    self.keep(status, context);
                }
                NodeCall::Open(pick) => {
                    let (id, mut context) = (self.id(*pick), null_mut());
                    let status = kith_node_context(node(*pick), place(&id), &mut context);
                    self.keep(status, context);
                }
                NodeCall::Cancel { bind, fire } => {
                    let mut cancel = null_mut();
                    ok(kith_cancel_new(&mut cancel));
                    if *bind {
                        kith_cancel_bind(cancel);
                    }
                    if *fire {
                        kith_cancel_fire(cancel);
                        kith_context_wait_synced(nodes().context, 1);
                    }
                    assert_eq!(kith_cancel_fired(cancel), *fire);
                    kith_cancel_bind(null());
                    kith_cancel_free(cancel);
                }
                NodeCall::Key { collection, name } => {
                    let (collection, name) = (collection.owned(), name.owned());
                    let mut prefix = [0; 16];
                    kith_state_key_of(at(&collection), at(&name), id.as_mut_ptr());
                    kith_state_key_collection(at(&collection), prefix.as_mut_ptr());
                    ok(kith_state_key_random(id.as_mut_ptr()));
                }
                NodeCall::LastError { room } => {
                    let mut buffer: Box<[c_char]> = vec![0x55; usize::from(*room)].into();
                    let mut needed = 0;
                    ok(kith::border::kith_last_error(buffer.as_mut_ptr(), buffer.len(), &mut needed));
                    if !buffer.is_empty() {
                        text(buffer.as_ptr());
                    }
                }
                NodeCall::Node { at: pick, what, text: said, capacity } => {
                    let (node, said) = (node(*pick), said.owned());
                    let status = match what % 7 {
                        0 => kith_node_id(node, &mut out),
                        1 => kith_node_addresses(node, &mut out),
                        2 => kith_node_status(node, &mut out),
                        3 => kith_node_contexts(node, &mut out),
                        4 => kith_default_directory(at(&said), &mut out),
                        5 => {
                            kith_node_connect(node, at(&said));
                            return;
                        }
                        _ => {
                            let capacity = usize::from(*capacity % 5);
                            let mut room: Vec<kith_context_info> = Vec::with_capacity(capacity);
                            let mut count = 0;
                            let status =
                                kith_node_context_infos(node, room.as_mut_ptr(), capacity, &mut count);
                            if status as u32 == 0 {
                                room.set_len(count.min(capacity));
                                self.know(room.iter().map(|info| info.id));
                            }
                            return;
                        }
                    };
                    self.buffer(status, out);
                }
                NodeCall::OpenNode { listen, durability, retention, size, hub } => {
                    let texts: Vec<Option<CString>> = listen.iter().take(3).map(Text::owned).collect();
                    let listen: Vec<*const c_char> = texts.iter().map(at).collect();
                    let mut options = MaybeUninit::<kith_node_options>::uninit();
                    kith_node_options_init(options.as_mut_ptr());
                    let mut options = options.assume_init();
                    // Only in the hub: nothing of this opens a socket.
                    options.hub =
                        odd(*hub).filter(|odd: &*mut kith_hub| !odd.is_null()).unwrap_or(nodes().hub);
                    options.discovery = false;
                    options.durability = u32::from(*durability % 4);
                    options.event_retention = *retention;
                    options.bootstrap = listen.as_ptr();
                    options.bootstrap_count = listen.len();
                    if let Some(size) = size {
                        options.struct_size = usize::from(*size);
                    }
                    let mut node = null_mut();
                    if kith_node_open(null(), &options, &mut node) as u32 == 0 {
                        kith_node_shutdown(node);
                        kith_node_free(node);
                    }
                }
                NodeCall::StatusName(number) => text(kith_status_name(*number)),
                NodeCall::Life { sync, twice } => {
                    let (node, mut suspended) = (nodes().node[1], false);
                    let (mut peers, mut synced, mut behind) = (0, nothing(), nothing());
                    kith_node_suspend(node, 100);
                    if *twice {
                        kith_node_suspend(node, 0);
                    }
                    ok(kith_node_is_suspended(node, &mut suspended));
                    assert!(suspended);
                    if *sync {
                        let status = kith_node_sync_once(node, 1, &mut peers, &mut synced, &mut behind);
                        self.buffer(status, synced);
                        self.buffer(status, behind);
                    }
                    ok(kith_node_resume(node));
                }
                NodeCall::Hub { one, other, hub, heal } => {
                    let hub = odd(*hub).unwrap_or(nodes().hub);
                    kith_hub_partition(hub, node(*one), node(*other));
                    if *heal {
                        kith_hub_heal(hub, node(*one), node(*other));
                    }
                    let mut own = null_mut();
                    ok(kith_hub_new(&mut own));
                    kith_hub_free(own);
                }
                NodeCall::Log(level) => {
                    let level = u32::from(*level % 7);
                    let status = kith_log_set(level, Some(on_log), null_mut(), None);
                    assert_eq!(status as u32 == 0, level <= KITH_LOG_TRACE);
                    ok(kith_log_set(KITH_LOG_OFF, None, null_mut(), None));
                }
                NodeCall::Version => {
                    text(kith_version());
                    assert_eq!(kith_abi_version(), KITH_ABI_VERSION);
                }
            }
        }
    }
}
