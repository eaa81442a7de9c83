//! Transactions that no member may take: each breaks one rule of validity.

use kith_core::replica::payload::{Add, CallPayload, Fork, Remove, RevokeInvite, SignedRun, Skip, Tip};
use kith_core::replica::{Kind, Parent, Payload, Role, Transaction, TransactionId};

use super::actions::{Stance, redeem};
use super::sealing;
use super::world::{Entry, Standpoint, World, actor, actor_key, key, member, sign_again};

/// How many ways there are.
pub const JUNK: u8 = 24;

/// Makes a transaction that breaks a rule, if what it takes is there, and sometimes one that builds on it.
pub fn junk(world: &mut World, from: &Standpoint, how: u8, pick: u8) {
    let Some(broken) = broken(world, from, how, pick) else { return };
    if pick.is_multiple_of(2) {
        let id = broken.header.id();
        let by = usize::from(pick / 2) % super::world::ACTORS;
        if let Some(standpoint) = world.standpoint(by, Stance::Honest)
            && standpoint.actor != from.actor
            && standpoint.previous.is_some()
        {
            let mut draft = world.draft(&standpoint, Kind::Note, Vec::new());
            let header = &broken.header;
            draft.parents.retain(|parent| parent.author != header.author);
            draft.parents.push(Parent { author: header.author, sequence: header.sequence, id });
            draft.lamport = draft.lamport.max(header.lamport.saturating_add(1)).min(u64::MAX - 1);
            world.junk.push(draft.sign(actor_key(by)));
        }
    }
    world.junk.push(broken);
}

fn broken(world: &mut World, from: &Standpoint, how: u8, pick: u8) -> Option<Transaction> {
    let signer = actor_key(from.actor);
    let mut draft = world.draft(from, Kind::Note, Vec::new());
    let mut says = |payload: Payload| {
        draft.kind = payload.kind();
        draft.plaintext = payload.encode();
    };
    let subject = usize::from(pick) % super::world::ACTORS;
    let request = || Add::request(&world.context, actor_key(subject), Role::Admin, world.package(), None);
    let find = |wanted: &dyn Fn(&Entry) -> bool| world.nameable(from, wanted).last();
    let is_call = |entry: &Entry| entry.transaction.header.kind == Kind::Call as u8;
    let is_invite = |entry: &Entry| matches!(entry.payload, Some(Payload::Invite(_)));
    match how {
        0 => draft.lamport += 1 + u64::from(pick),
        1 => draft.lamport = draft.lamport.saturating_sub(1),
        2 => draft.lamport = u64::MAX,
        3 => draft.parents.first_mut()?.sequence += 1,
        4 => {
            let parent = draft.parents.first_mut()?;
            if parent.author == actor(subject) {
                return None;
            }
            parent.author = actor(subject);
        }
        5 => draft.sequence += 1,
        6 => draft.context.0[0] ^= 1,
        7 => {
            let parents = std::mem::take(&mut draft.parents);
            draft.sequence = 1;
            draft.previous = TransactionId::default();
            draft.parents = parents.into_iter().take(1).collect();
            return (!draft.parents.is_empty()).then(|| draft.sign(&key("stranger", 0)));
        }
        8 => {
            let mut add = request();
            add.consent[usize::from(pick) % 64] ^= 1;
            says(Payload::Add(add));
        }
        9 => {
            let Payload::Add(mut add) = redeem(world, find(&is_invite)?, subject) else { return None };
            add.redeemed.as_mut()?.signature[usize::from(pick) % 64] ^= 1;
            says(Payload::Add(add));
        }
        10 => {
            let Payload::Add(mut add) = redeem(world, find(&is_invite)?, subject) else { return None };
            add.role = if add.role == Role::Admin { Role::Writer } else { Role::Admin };
            says(Payload::Add(add));
        }
        11 => {
            let other = find(&|entry| entry.author != subject)?;
            let tip = Tip { sequence: world.entries[other].sequence(), id: world.id(other) };
            says(Payload::Remove(Remove { member: actor(subject), last: vec![tip] }));
        }
        12 => {
            let other = find(&|entry| entry.author == subject)?;
            let tip = Tip { sequence: world.entries[other].sequence() + 1, id: world.id(other) };
            says(Payload::Remove(Remove { member: actor(subject), last: vec![tip] }));
        }
        13 => says(Payload::Skip(Skip { transaction: world.id(find(&|entry| !is_call(entry))?) })),
        14 => {
            // One that does not decode is an invitation all the same: rejected at its place, but named rightly.
            let is_another = |entry: &Entry| entry.transaction.header.kind != Kind::Invite as u8;
            says(Payload::RevokeInvite(RevokeInvite { invite: world.id(find(&is_another)?) }))
        }
        15 => {
            let entry = &world.entries[find(&|entry| entry.author == subject)?];
            let header = entry.transaction.header.clone();
            let run = SignedRun { headers: vec![header], signature: entry.transaction.signature? };
            says(Payload::Fork(Fork {
                member: actor(subject),
                one: run.clone(),
                other: run,
                last: Vec::new(),
            }));
        }
        16 => {
            draft.kind = Kind::Add;
            draft.plaintext = vec![1, 2, 3];
        }
        17 => {
            // A reference that is not before the transaction that names it.
            let late =
                world.entries.iter().find(|entry| is_call(entry) && entry.lamport() >= from.lamport)?;
            says(Payload::Skip(Skip { transaction: late.id }));
        }
        19 => {
            // Sealed where nothing is, or not sealed where calls are.
            says(Payload::Call(CallPayload { method: "put".into(), arguments: vec![pick] }));
            let signed = draft.sign(signer);
            return Some(match world.suite {
                0 => sealing::seal(signed, world.id(usize::from(pick) % world.entries.len()), signer),
                _ => signed,
            });
        }
        20 | 21 => {
            // Under what is no epoch, or none that is before it.
            let is_epoch = |entry: &Entry| entry.transaction.header.kind == Kind::Epoch as u8;
            let wrong = if how == 20 {
                find(&|entry| !is_epoch(entry))?
            } else {
                world.entries.iter().position(|entry| is_epoch(entry) && entry.lamport() >= from.lamport)?
            };
            says(Payload::Call(CallPayload { method: "put".into(), arguments: vec![pick] }));
            return Some(sealing::seal(draft.sign(signer), world.id(wrong), signer));
        }
        22 => {
            // With keys of another suite, or with those of somebody else.
            let links = from.parents.iter().chain(&from.previous);
            let past = links.flat_map(|number| world.closed(*number));
            let mut adds = past.filter_map(|number| match &world.entries[number].payload {
                Some(Payload::Add(add)) => Some(add),
                _ => None,
            });
            let used = adds.next_back()?;
            let package = match world.suite {
                0 => sealing::package(1, usize::from(pick)),
                _ => used.key_package.clone(),
            };
            let add = Add::request(&world.context, actor_key(subject), Role::Writer, package, None);
            says(Payload::Add(add));
        }
        18 => {
            let mut signed = draft.sign(signer);
            signed.payload.push(0);
            return Some(signed);
        }
        _ => {
            // Nobody has ever had this parent: it is never more than "not yet".
            draft.lamport += 1;
            draft.parents.truncate(15);
            let nobody = key("stranger", 1);
            draft.parents.push(Parent {
                author: member(&nobody),
                sequence: 3,
                id: TransactionId([pick; 32]),
            });
            return Some(sign_again(draft.sign(signer), signer));
        }
    }
    Some(draft.sign(signer))
}
