//! Wrong shapes and sizes, at each limit and one past it.

use std::sync::Arc;
use std::time::Duration;

use kith_core::application::kv::{self, KeyValue};
use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::invitation::{Invitation, Unsigned};
use kith_core::node::{CreateOptions, Encryption, InviteOptions, Level, Node, Options};
use kith_core::replica::{ContextId, Role, StateKey, TransactionId};
use kith_core::{ErrorKind, limits};

use crate::faulty::{Faulty, key, node_on};
use crate::table::Table;

pub(crate) async fn shapes_and_sizes(table: &mut Table) {
    table.case("keys of other lengths");
    for length in [0, 1, 31, 33, 64] {
        table.shows(
            "StateKey::from_slice",
            ErrorKind::InvalidArgument,
            StateKey::from_slice(&vec![7; length]),
        );
    }
    for text in ["", "zz", &"7".repeat(63), &"7".repeat(65), &"g".repeat(64), &"ä".repeat(32)] {
        table.shows("StateKey::from_hex", ErrorKind::InvalidArgument, StateKey::from_hex(text));
    }
    StateKey::from_slice(&[7; 32]).unwrap();
    StateKey::from_hex(&"7".repeat(64)).unwrap();

    let (node, context, _) = node_on(&Faulty::new()).await;

    table.case("methods and arguments at their limits");
    let past = ErrorKind::LimitExceeded;
    table.shows("Context::execute", ErrorKind::InvalidArgument, context.execute("", &[]).await);
    let at_limit = context.execute(&"m".repeat(limits::METHOD), &[]).await;
    table.shows("Context::execute", ErrorKind::Rejected, at_limit);
    table.shows("Context::execute", past, context.execute(&"m".repeat(limits::METHOD + 1), &[]).await);
    let most = vec![0; limits::ARGUMENTS + 1];
    table.shows("Context::execute", ErrorKind::Rejected, context.execute("no", &most[1..]).await);
    table.shows("Context::execute", past, context.execute("no", &most).await);
    table.shows("Context::query", ErrorKind::Rejected, context.query("no such query", &[]).await);

    table.case("values at their limit");
    let value = vec![1; limits::VALUE + 1];
    context.put(key(), &value[1..]).await.unwrap();
    table.shows("Context::put", past, context.put(key(), &value).await);
    let large = StateKey::of("errors", "large");
    context.compare_and_set(large, None, Some(&value[1..])).await.unwrap();
    table.shows("Context::compare_and_set", past, context.compare_and_set(large, None, Some(&value)).await);
    let grown = StateKey::of("errors", "grown");
    context.append(grown, &value[1..]).await.unwrap();
    table.shows("Context::append", past, context.append(grown, &value).await);
    table.shows("Context::append", ErrorKind::Rejected, context.append(grown, b"1").await);
    let half = |n: u8| kv::Operation::Put(kv::Put { key: StateKey([n; 32]), value: vec![n; 1 << 19] });
    context.batch(vec![half(1)]).await.unwrap();
    table.shows("Context::batch", past, context.batch(vec![half(1), half(2), half(3)]).await);

    table.case("what the application refuses");
    let small = StateKey::of("errors", "small");
    context.put(small, b"no counter").await.unwrap();
    table.shows("Context::add", ErrorKind::Rejected, context.add(small, 1).await);
    table.shows(
        "Context::compare_and_set",
        ErrorKind::Rejected,
        context.compare_and_set(small, None, None).await,
    );
    let add = kv::Operation::Add(kv::Add { key: small, delta: 1 });
    table.shows("Context::batch", ErrorKind::Rejected, context.batch(vec![add]).await);

    table.case("prefixes longer than a key");
    context.entries(&[0; 32], None, 1, Level::Tentative).await.unwrap();
    let prefix = context.entries(&[0; 33], None, 1, Level::Tentative).await;
    table.shows("Context::entries", ErrorKind::InvalidArgument, prefix);
    let prefix = context.entries_blocking(&[0; 33], None, 10, Level::Tentative);
    table.shows("Context::entries_blocking", ErrorKind::InvalidArgument, prefix);

    table.case("notes and names at their limits");
    let mut options = InviteOptions::default();
    options.note = "n".repeat(limits::NOTE);
    let made = context.invite(options.clone()).await.unwrap();
    options.note.push('n');
    table.shows("Context::invite", past, context.invite(options.clone()).await);
    (options.note, options.max_uses) = (String::new(), 0);
    table.shows("Context::invite", ErrorKind::InvalidArgument, context.invite(options).await);
    let unsigned = |application: &str| Unsigned {
        context: ContextId([1; 32]),
        access_key: [2; 32],
        invite: TransactionId([3; 32]),
        secret: [4; 32],
        suite: 1,
        application: application.into(),
        role: Role::Writer,
        not_after: 0,
        note: String::new(),
        addresses: vec![],
    };
    let signer = made.key();
    Invitation::sign(unsigned("kv"), &signer).unwrap();
    table.shows(
        "Invitation::sign",
        past,
        Invitation::sign(unsigned(&"a".repeat(limits::INVITATION)), &signer),
    );
    let name = "n".repeat(limits::NOTE + 1);
    context.set_name(&name[1..]).await.unwrap();
    table.shows("Context::set_name", ErrorKind::LimitExceeded, context.set_name(&name).await);
    context.set_display_name(&name[1..]).await.unwrap();
    let outcome = context.set_display_name(&name).await;
    table.shows("Context::set_display_name", ErrorKind::LimitExceeded, outcome);
    let long = "a".repeat(limits::APPLICATION_NAME + 1);
    node.register(&long[1..], Arc::new(KeyValue)).unwrap();
    for name in [long.as_str(), "", "kv"] {
        table.shows("Node::register", ErrorKind::InvalidArgument, node.register(name, Arc::new(KeyValue)));
    }
    let mut options = CreateOptions::default();
    options.name = "n".repeat(limits::NOTE);
    node.create_context(options.clone()).await.unwrap();
    options.name.push('n');
    table.shows("Node::create_context", past, node.create_context(options).await);

    table.case("waiting in vain");
    let none = Duration::from_millis(20);
    table.shows("Context::wait_synced", ErrorKind::Timeout, context.wait_synced(none).await);
    let mut events = context.events(None).await.unwrap();
    let outcome = tokio::task::block_in_place(|| events.next_blocking(Some(none)));
    table.shows("Events::next_blocking", ErrorKind::Timeout, outcome);
    node.shutdown().await.unwrap();

    table.case("a cursor that is too old");
    let mut options = Options::default();
    options.event_retention = 2;
    let node = Node::open(options).await.unwrap();
    let context = node.create_context(CreateOptions::default()).await.unwrap();
    for _ in 0..10 {
        context.put(key(), b"another event").await.unwrap();
    }
    table.shows("Context::events", ErrorKind::CursorExpired, context.events(Some(1)).await);
    let mut slow = context.events(None).await.unwrap();
    for _ in 0..10 {
        context.put(key(), b"more than is kept").await.unwrap();
    }
    // A slow reader is told how much it missed, and not cut off.
    slow.next().await.unwrap();
    node.shutdown().await.unwrap();
}

/// It counts what a call asks for: so many keys, or a value of such a size.
struct Writer;

impl Application for Writer {
    fn execute(&self, call: &Call<'_>, state: &mut dyn State) -> Result<Vec<u8>, ApplicationError> {
        let count = u32::from_le_bytes(*call.arguments.first_chunk().unwrap_or(&[0; 4]));
        for number in 0..count {
            let name = number.to_string();
            state.put(&StateKey::of(call.method, &name), &[])?;
        }
        Ok(Vec::new())
    }
}

pub(crate) async fn an_application_of_the_hosts_own(table: &mut Table) {
    let directory = tempfile::tempdir().unwrap();
    let options = || {
        let mut options = Options::default();
        options.path = Some(directory.path().to_owned());
        options
    };
    let node = Node::open(options()).await.unwrap();
    let mut create = CreateOptions::default();
    create.application = "writer".into();

    table.case("an application that is not registered");
    let missing = ErrorKind::ApplicationMissing;
    table.shows("Node::create_context", missing, node.create_context(create.clone()).await);
    node.register("writer", Arc::new(Writer)).unwrap();
    let context = node.create_context(create).await.unwrap();
    let id = context.id();

    table.case("a call that writes too much");
    let keys = u32::try_from(limits::WRITE_KEYS).unwrap();
    context.execute("most", &keys.to_le_bytes()).await.unwrap();
    let outcome = context.execute("more", &(keys + 1).to_le_bytes()).await;
    table.shows("Context::execute", ErrorKind::LimitExceeded, outcome);

    table.case("the calls of another application");
    let all = crate::faulty::calls(&context, || ()).await;
    let kv_only = all.into_iter().filter(|(call, _)| *call != "Context::execute").collect();
    table.all(ErrorKind::Unsupported, kv_only);
    node.shutdown().await.unwrap();

    table.case("an application that is not registered after a restart");
    let node = Node::open(options()).await.unwrap();
    let context = node.context(id).unwrap();
    table.shows("Context::execute", missing, context.execute("most", &[]).await);
    table.shows("Context::query", missing, context.query("any", &[]).await);
    table.shows("Context::verify", missing, context.verify().await);
    node.shutdown().await.unwrap();
}

pub(crate) async fn what_is_not_there_yet(table: &mut Table) {
    table.case("what is not there yet");
    let (node, context, _) = node_on(&Faulty::new()).await;
    let kind = ErrorKind::Unsupported;
    table.shows("Context::get", kind, context.get(key(), Level::Final).await);
    table.shows("Context::entries", kind, context.entries(&[], None, 1, Level::Final).await);
    table.shows("Context::get_blocking", kind, context.get_blocking(key(), Level::Final));
    table.shows("Context::entries_blocking", kind, context.entries_blocking(&[], None, 1, Level::Final));
    let mut options = CreateOptions::default();
    options.encryption = Encryption::Off;
    let open = node.create_context(options).await.unwrap();
    table.shows("Context::rotate_keys", kind, open.rotate_keys().await);
    node.shutdown().await.unwrap();
}
