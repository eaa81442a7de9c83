//! A transaction that arrives late and belongs 10,000 places back: what taking it in costs, and what is executed again.

use std::sync::Arc;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use kith_core::application::{Application, kv};
use kith_core::replica::payload::{Add, CallPayload, KeyPackage};
use kith_core::replica::{
    ContextId, Creation, Payload, Replica, Role, Signer, StateKey, Step, Transaction, Verdict,
};
use kith_core::storage::{self, Batch, ContextTables, Durability, StorageEngine, Store, add_writes};

use crate::{Result, Setting, check, figure, load};

struct Member {
    key: SigningKey,
    store: Arc<dyn Store>,
    replica: Replica,
    drawn: u64,
    _folder: tempfile::TempDir,
}

fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

impl Member {
    /// A member with an empty copy of a context.
    fn new(number: u8, engine: StorageEngine, context: ContextId) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = storage::open(folder.path(), engine, None, None)?;
        let replica = {
            let snapshot = store.snapshot()?;
            Replica::open(context, &ContextTables::new(&*snapshot, 1))?
        };
        Ok(Self { key: signing_key(number), store, replica, drawn: 0, _folder: folder })
    }

    fn commit(&self, step: &mut Step) -> Result<()> {
        let mut batch = Batch::default();
        add_writes(&mut batch, 1, std::mem::take(&mut step.writes));
        Ok(self.store.commit(&batch, Durability::Process)?)
    }

    fn create(&mut self, application: &dyn Application) -> Result<Transaction> {
        let drawn = &mut self.drawn;
        let mut random = || draw(drawn);
        let mut signer = Signer { key: &self.key, timestamp: 1, random: &mut random };
        let creation = Creation { application: "kv".into(), ..Creation::default() };
        let (replica, genesis, mut step) = {
            let snapshot = self.store.snapshot()?;
            Replica::create(&mut signer, creation, &ContextTables::new(&*snapshot, 1), application)?
        };
        self.replica = replica;
        self.commit(&mut step)?;
        Ok(genesis)
    }

    fn write(&mut self, payload: Payload, application: &dyn Application) -> Result<Vec<Transaction>> {
        let drawn = &mut self.drawn;
        let mut random = || draw(drawn);
        let mut signer = Signer { key: &self.key, timestamp: 1, random: &mut random };
        let (written, mut step) = {
            let snapshot = self.store.snapshot()?;
            let tables = ContextTables::new(&*snapshot, 1);
            self.replica.author(&mut signer, payload, &tables, Some(application))?
        };
        self.commit(&mut step)?;
        Ok(written)
    }

    fn call(&mut self, (method, arguments): kv::Encoded, kv: &dyn Application) -> Result<Vec<Transaction>> {
        self.write(Payload::Call(CallPayload { method: method.into(), arguments }), kv)
    }

    /// Takes transactions in, as one batch; gives what the step did and how long it took, in µs.
    fn receive(&mut self, transactions: &[Transaction], kv: &dyn Application) -> Result<(Step, f64)> {
        let start = Instant::now();
        let mut step = {
            let snapshot = self.store.snapshot()?;
            let tables = ContextTables::new(&*snapshot, 1);
            self.replica.receive(&tables, transactions, Some(kv))?
        };
        self.commit(&mut step)?;
        let time = crate::machine::micros(start.elapsed());
        let valid = step.verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Valid).count();
        check(valid == transactions.len(), || format!("the verdicts are {:?}", step.verdicts))?;
        Ok((step, time))
    }
}

fn draw(drawn: &mut u64) -> [u8; 32] {
    *drawn += 1;
    *blake3::hash(&drawn.to_le_bytes()).as_bytes()
}

/// Three histories: later calls that read nothing; that read and write other keys; that read and write the key that the late one writes.
pub(crate) fn measure(setting: Setting) -> Result<()> {
    let places = 10_000 / setting.share;
    let same = StateKey::of("bench", "counter");
    let blind = |number: usize| kv::put(&load::key(number), load::value(number));
    let elsewhere = |number: usize| kv::add(&load::key(number), 1);
    let readers = |_: usize| kv::add(&same, 1);

    let (again, late, on_time) = history(setting.engine, places, &blind, (kv::put(&same, vec![0; 8]), 21))?;
    check(again == 0, || format!("{again} blind writes were executed again"))?;
    figure("late.blind.again", again as f64);
    figure("late.blind.us", late);
    figure("late.on_time.us", on_time);
    let (again, late, _) = history(setting.engine, places, &elsewhere, (kv::add(&same, 1), 21))?;
    check(again == 0, || format!("{again} calls that read other keys were executed again"))?;
    figure("late.elsewhere.again", again as f64);
    figure("late.elsewhere.us", late);
    // That the count counts. (The first two may sort before the late one: a member begins with a note.)
    let (again, late, _) = history(setting.engine, places, &readers, (kv::add(&same, 1), 1))?;
    check((places - 2..=places).contains(&again), || {
        format!("{again} of {places} readers were executed again")
    })?;
    figure("late.readers.again", again as f64);
    figure("late.readers.us", late / places as f64);
    Ok(())
}

/// One member writes `places` calls; another one's calls (`late.1` of them), written before it had seen any of these, arrive
/// after them, one by one. Gives how many were executed again, the µs that a late one takes, and those that one on time takes (medians).
fn history(
    engine: StorageEngine,
    places: usize,
    call: &dyn Fn(usize) -> kv::Encoded,
    late: (kv::Encoded, usize),
) -> Result<(usize, f64, f64)> {
    let kv = kv::KeyValue;
    let mut here = Member::new(1, engine, ContextId::default())?;
    let genesis = here.create(&kv)?;
    let context = here.replica.context();
    let mut there = Member::new(2, engine, context)?;
    let key = there.key.clone();
    let request = Add::request(&context, &key, Role::Writer, KeyPackage::default(), None);
    let admission = here.write(Payload::Add(request), &kv)?;
    there.receive(&[genesis], &kv)?;
    there.receive(&admission, &kv)?;
    let belated: Vec<_> = (0..late.1).map(|_| there.call(late.0.clone(), &kv)).collect::<Result<_>>()?;

    let mut on_time = Vec::new();
    for number in 0..places {
        let written = here.call(call(number), &kv)?;
        // A reader that keeps up, for what a call on time costs.
        if number < 200 {
            on_time.push(there.receive(&written, &kv)?.1);
        }
    }
    let (mut again, mut times) = (0, Vec::new());
    for transactions in &belated {
        let (step, time) = here.receive(transactions, &kv)?;
        check(step.reordered.is_some(), || "it did not sort before what was there".into())?;
        again += step.executed_again;
        times.push(time);
    }
    // Genesis, the admission, the note that a new member's first call follows.
    let all = (3 + places + belated.len()) as u64;
    check(here.replica.transactions() == all, || "transactions are missing".into())?;
    Ok((again, middle(times)?, middle(on_time)?))
}

fn middle(mut times: Vec<f64>) -> Result<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().ok_or_else(|| "nothing was timed".into())
}
