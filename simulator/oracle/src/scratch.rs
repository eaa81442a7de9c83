//! The oracle's execution: one call over a plain map.

use std::collections::{BTreeMap, BTreeSet};

use kith_core::application::{Application, ApplicationError, Call, State};
use kith_core::replica::payload::{CallPayload, Genesis};
use kith_core::replica::{Receipt, Rejection, Role, StateKey};

use super::oracle::{Known, Oracle, rejected};
use super::words::plaintext;

const VALUE: usize = 1_048_576;
const WRITE_BYTES: usize = 4 * 1_048_576;
const WRITE_KEYS: usize = 10_000;
const READS: usize = 100_000;
const OUTPUT: usize = 1_052_672;
const NAME: usize = 255;
const PAGE_ENTRIES: usize = 1_000;
const PAGE_BYTES: usize = 1_048_576;

type Entries = BTreeMap<StateKey, Vec<u8>>;

/// What one call reads, writes and says.
struct Scratch<'a> {
    below: &'a Entries,
    written: BTreeMap<StateKey, Option<Vec<u8>>>,
    bytes: usize,
    read: BTreeSet<StateKey>,
    emitted: Vec<(String, Vec<u8>)>,
    passed: Option<&'static str>,
}

impl Scratch<'_> {
    fn over(below: &Entries) -> Scratch<'_> {
        Scratch {
            below,
            written: BTreeMap::new(),
            bytes: 0,
            read: BTreeSet::new(),
            emitted: Vec::new(),
            passed: None,
        }
    }

    fn limit(&mut self, passed: bool, which: &'static str) -> Result<(), ApplicationError> {
        if passed {
            self.passed = Some(which);
        }
        match self.passed {
            Some(which) => Err(ApplicationError::Rejected(which.into())),
            None => Ok(()),
        }
    }

    fn write(&mut self, key: &StateKey, value: Option<&[u8]>) -> Result<(), ApplicationError> {
        self.limit(value.is_some_and(|value| value.len() > VALUE), "value")?;
        let size = |value: &Option<Vec<u8>>| 32 + value.as_ref().map_or(0, Vec::len);
        let value = value.map(<[u8]>::to_vec);
        self.bytes += size(&value);
        if let Some(before) = self.written.insert(*key, value) {
            self.bytes -= size(&before);
        }
        self.limit(self.written.len() > WRITE_KEYS, "keys written")?;
        self.limit(self.bytes > WRITE_BYTES, "bytes written")
    }
}

impl State for Scratch<'_> {
    fn get(&mut self, key: &StateKey) -> Result<Option<Vec<u8>>, ApplicationError> {
        self.limit(false, "")?;
        if let Some(value) = self.written.get(key) {
            return Ok(value.clone());
        }
        self.read.insert(*key);
        self.limit(self.read.len() > READS, "reads")?;
        Ok(self.below.get(key).cloned())
    }

    fn put(&mut self, key: &StateKey, value: &[u8]) -> Result<(), ApplicationError> {
        self.write(key, Some(value))
    }

    fn delete(&mut self, key: &StateKey) -> Result<(), ApplicationError> {
        self.write(key, None)
    }

    fn entries(
        &mut self,
        prefix: &[u8],
        after: Option<&StateKey>,
        limit: usize,
    ) -> Result<Vec<(StateKey, Vec<u8>)>, ApplicationError> {
        self.limit(false, "")?;
        let mut merged = self.below.clone();
        for (key, value) in &self.written {
            match value {
                Some(value) => merged.insert(*key, value.clone()),
                None => merged.remove(key),
            };
        }
        merged.retain(|key, _| key.0.starts_with(prefix) && after.is_none_or(|after| key > after));
        let mut page: Vec<(StateKey, Vec<u8>)> = Vec::new();
        let mut bytes = 0;
        for (key, value) in merged.into_iter().take(limit.min(PAGE_ENTRIES)) {
            bytes += 32 + value.len();
            if bytes > PAGE_BYTES && !page.is_empty() {
                break;
            }
            page.push((key, value));
        }
        Ok(page)
    }

    fn emit(&mut self, name: &str, data: &[u8]) -> Result<(), ApplicationError> {
        self.emitted.push((name.into(), data.to_vec()));
        let bytes: usize = self.emitted.iter().map(|(name, data)| 16 + name.len() + data.len()).sum();
        self.limit(name.len() > NAME || bytes > OUTPUT, "emitted")
    }
}

fn finish(answer: Result<Vec<u8>, ApplicationError>, scratch: Scratch<'_>) -> (Receipt, Vec<Write>) {
    let Scratch { passed, written, emitted, .. } = scratch;
    match (answer, passed) {
        (_, Some(which)) => (rejected(Rejection::Limit(which.into())), Vec::new()),
        (Ok(output), None) if output.len() > OUTPUT => {
            (rejected(Rejection::Limit("output".into())), Vec::new())
        }
        (Ok(output), None) => (Receipt { outcome: Ok(output), emitted }, written.into_iter().collect()),
        (Err(ApplicationError::Rejected(text)), None) => (rejected(Rejection::Application(text)), Vec::new()),
        (Err(error), None) => panic!("no faults in these tests: {error}"),
    }
}

type Write = (StateKey, Option<Vec<u8>>);

fn apply(state: &mut Entries, writes: Vec<Write>) {
    for (key, value) in writes {
        match value {
            Some(value) => state.insert(key, value),
            None => state.remove(&key),
        };
    }
}

pub fn call(
    t: &Known,
    payload: &CallPayload,
    role: Role,
    state: &mut Entries,
    application: &dyn Application,
) -> Receipt {
    let call = Call {
        method: &payload.method,
        arguments: &payload.arguments,
        member: t.author(),
        role,
        transaction: t.id,
        timestamp: t.transaction.header.timestamp,
    };
    let mut scratch = Scratch::over(state);
    let answer = application.execute(&call, &mut scratch);
    let (receipt, writes) = finish(answer, scratch);
    apply(state, writes);
    receipt
}

pub fn initialise(genesis: &Genesis, state: &mut Entries, application: &dyn Application) -> Receipt {
    let mut scratch = Scratch::over(state);
    let answer = application.initialise(&genesis.arguments, &mut scratch).map(|()| Vec::new());
    let (receipt, writes) = finish(answer, scratch);
    apply(state, writes);
    receipt
}

/// The state commitment, from all entries at once.
pub fn commitment(oracle: &Oracle) -> [u8; 32] {
    let mut lanes = [0u16; 1024];
    let mut add = |table: u8, key: &[u8], value: &[u8]| {
        let mut hasher = blake3::Hasher::new_derive_key("kith 2026 state commitment element");
        hasher.update(&[table]);
        hasher.update(&(key.len() as u32).to_le_bytes());
        hasher.update(key);
        hasher.update(value);
        let mut element = [0; 2048];
        hasher.finalize_xof().fill(&mut element);
        for (lane, bytes) in lanes.iter_mut().zip(element.chunks(2)) {
            *lane = lane.wrapping_add(u16::from_le_bytes([bytes[0], bytes[1]]));
        }
    };
    for (key, value) in &oracle.state {
        add(0, &key.0, value);
    }
    let key = |letter: u8, id: &[u8; 32]| [&[letter][..], id].concat();
    for (letter, members) in [(b'm', &oracle.governance.members), (b'f', &oracle.governance.former)] {
        for (id, member) in members {
            let value = borsh::to_vec(&(member.role, member.added, &member.made, &member.name)).unwrap();
            add(1, &key(letter, &id.0), &value);
        }
    }
    if let Some(name) = &oracle.governance.name {
        add(1, b"n", &borsh::to_vec(name).unwrap());
    }
    for id in &oracle.governance.removed {
        add(1, &key(b'r', &id.0), &[]);
    }
    for (id, state) in &oracle.governance.invitations {
        let known = &oracle.history[id];
        // The plaintext is the encoded `Invite`.
        let rest = borsh::to_vec(&(known.author(), state.uses, state.revoked)).unwrap();
        add(1, &key(b'i', &id.0), &[plaintext(&known.transaction), &rest].concat());
    }
    for id in &oracle.decided {
        add(1, &key(b'c', &id.0), &[]);
    }
    let bytes: Vec<u8> = lanes.iter().flat_map(|lane| lane.to_le_bytes()).collect();
    blake3::derive_key("kith 2026 state commitment", &bytes)
}
