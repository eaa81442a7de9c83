//! What is remembered besides the keys, whatever is in its rows, in a context that has an epoch.

use ed25519_dalek::SigningKey;

use super::{Book, HELD, Keeper, Prepared, Stored, row_key, writes};
use crate::application::kv::KeyValue;
use crate::encryption::{Scope, Suite};
use crate::fuzzing::{Input, signing_key};
use crate::keyring::fuzzing::row;
use crate::keyring::ring::{Change, Key};
use crate::keyring::stored::encode;
use crate::replica::{
    ContextId, Creation, MemberId, MemoryTables, Payload, Replica, Signer, StateRead as _, Table,
    TransactionId,
};
use crate::{ErrorKind, Result};

const NOW: u64 = 1_767_225_600_000;
const NEW: TransactionId = TransactionId([9; 32]);

/// A context of one, with an epoch of its own.
struct Made {
    replica: Replica,
    tables: MemoryTables,
    me: MemberId,
    epoch: TransactionId,
}

thread_local! {
    static MADE: Made = made().expect("a context can be made");
}

fn made() -> Result<Made> {
    let key: SigningKey = signing_key(2);
    let me = MemberId(key.verifying_key().to_bytes());
    let mut drawn = 0;
    let mut random = || {
        drawn += 1;
        [drawn; 32]
    };
    let mut signer = Signer { key: &key, timestamp: NOW, random: &mut random };
    let suite = Suite::X25519 as u8;
    let (key_package, keys) = Keeper::first_keys(suite, ContextId::default(), me, [77; 32])?;
    let creation =
        Creation { application: "kv".into(), arguments: Vec::new(), name: String::new(), suite, key_package };
    let mut tables = MemoryTables::default();
    let (mut replica, _, step) = Replica::create(&mut signer, creation, &tables, &KeyValue)?;
    tables.apply(step.writes);
    tables.apply(keys);
    let mut keeper = Keeper::new(replica.context(), me);
    keeper.now = NOW;
    let Prepared::Write(payload) = keeper.prepare(&replica.everything(&tables), || Ok([7; 32]))? else {
        panic!("a first epoch is due");
    };
    let (written, step) =
        replica.author_with(&mut signer, *payload, &tables, Some(&KeyValue), Some(&mut keeper))?;
    tables.apply(step.writes);
    let epoch = written.last().map(|last| last.header.id()).unwrap_or_default();
    Ok(Made { replica, tables, me, epoch })
}

impl Made {
    /// With a row as the input has it.
    fn with(&self, key: &Key, input: &Input<'_>) -> MemoryTables {
        let mut tables = self.tables.clone();
        tables.apply(vec![(Table::Keys, row_key(key), Some(input.bytes.to_vec()))]);
        tables
    }

    fn keeper(&self) -> Keeper {
        let mut keeper = Keeper::new(self.replica.context(), self.me);
        keeper.now = NOW;
        keeper
    }
}

fn after(tables: &MemoryTables, changes: Vec<Change>) -> MemoryTables {
    let mut tables = tables.clone();
    tables.apply(writes(changes));
    tables
}

/// Keys are asked for and held as the book says, and of no more epochs than may be.
pub(crate) fn book(input: &Input<'_>) {
    let known = row::<Book>(input);
    MADE.with(|made| {
        let (tables, mut keeper) = (made.with(&Key::Book, input), made.keeper());
        let past = made.replica.everything(&tables);
        let Some(known) = known else {
            let damaged = |kind| matches!(kind, ErrorKind::Corrupt | ErrorKind::VersionMismatch);
            assert!(keeper.ask(&tables).is_err_and(|error| damaged(error.kind())));
            assert!(keeper.prepare(&past, || Ok([5; 32])).is_err_and(|error| damaged(error.kind())));
            return;
        };
        let mut asked = tables.clone();
        asked.apply(keeper.ask(&tables).expect("the row is whole"));
        let found = Keeper::book(&asked).expect("what was written decodes");
        assert_eq!(found, Book { asked: true, ..known.clone() });

        let due = keeper.prepare(&past, || Ok([5; 32])).expect("the rows are whole");
        let said = keeper.standing(&past).expect("the rows are whole");
        assert_eq!(said.epoch, Some(made.epoch), "the only one there is");
        match due {
            Prepared::Ready => assert!(!known.asked && said.pending.is_none()),
            Prepared::Write(payload) => match *payload {
                Payload::Epoch(_) => assert!(said.pending.is_some()),
                Payload::RefreshKey(_) => assert!(!known.asked && said.pending.is_none()),
                other => panic!("{other:?} is nothing about keys"),
            },
        }

        let rows = Stored::new(&tables);
        let scope = Scope { suite: Suite::X25519, context: made.replica.context() };
        let changes = keeper.hold(&past, &keeper.ring(scope, &rows), NEW, Some(false));
        let tables = after(&tables, changes.expect("the rows are whole"));
        let found = Keeper::book(&tables).expect("what was written decodes");
        assert!(!found.asked && found.last == known.last, "what was asked for is made");
        let mut held = known.held.clone();
        held.push((NEW, NOW));
        let dropped = held.len().saturating_sub(HELD);
        assert_eq!(found.held, held[dropped..], "the oldest go");
        let there = |held: &[(TransactionId, u64)]| held.iter().any(|(id, _)| *id == made.epoch);
        let envelope = Keeper::row::<[u8; 32]>(&tables, &Key::Envelope(made.epoch));
        assert_eq!(envelope.expect("the row is whole").is_none(), there(&held[..dropped]));
    });
}

/// The list of epochs whose wraps are still to come.
pub(crate) fn wanted(input: &Input<'_>) {
    let known = row::<Vec<TransactionId>>(input);
    MADE.with(|made| {
        let (tables, keeper) = (made.with(&Key::Wanted, input), made.keeper());
        let past = made.replica.everything(&tables);
        let found = keeper.wanted(&tables);
        assert_eq!(found.ok(), known);
        let Some(known) = known else {
            assert!(keeper.want(&past, &NEW).is_err() && keeper.give_up(&past, &NEW).is_err());
            return;
        };
        let changes = keeper.want(&past, &NEW).expect("the row is whole");
        let tables = after(&tables, changes);
        let wanted = made.keeper().wanted(&tables).expect("what was written decodes");
        assert!(wanted.len() <= HELD && wanted.len() <= known.len() + 1);
        let past = made.replica.everything(&tables);
        let given_up = made.keeper().give_up(&past, &NEW).expect("the row is whole");
        let mut tables = tables.clone();
        tables.apply(given_up);
        assert!(!made.keeper().wanted(&tables).expect("what was written decodes").contains(&NEW));
    });
}

// ------------------------------------------------------------------------------------------------------------------ seeds

pub(crate) fn books() -> Vec<Vec<u8>> {
    let there = MADE.with(|made| made.tables.get(Table::Keys, &row_key(&Key::Book)).ok().flatten());
    let epoch = MADE.with(|made| made.epoch);
    let full = Book {
        last: Some(NEW),
        held: (0..40).map(|number| (TransactionId([number; 32]), u64::from(number))).collect(),
        refreshed: 1,
        asked: false,
    };
    let asked = Book { last: Some(epoch), held: vec![(epoch, NOW)], refreshed: NOW, asked: true };
    let ready = Book { asked: false, ..asked.clone() };
    let mut all: Vec<Vec<u8>> = [full, asked, ready].iter().map(|book| encode(book).to_vec()).collect();
    all.extend(there);
    all
}

pub(crate) fn some_wanted() -> Vec<Vec<u8>> {
    let ids: Vec<TransactionId> = (0..40).map(|number| TransactionId([number; 32])).collect();
    [&ids[..], &ids[..1], &[]].map(|ids| encode(&ids.to_vec()).to_vec()).into()
}
