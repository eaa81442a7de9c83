//! What a member makes of it when peers show that it was removed, in transactions whose past it does not have.

use std::collections::{BTreeMap, BTreeSet};

use crate::replica::payload::Tip;
use crate::replica::{MemberId, Payload, Replica, Role};

/// By whose word this member is one: each that has let in the one before it, and the number of the transaction that did.
pub(super) type Lineage = Vec<(MemberId, u64)>;

/// Who removed this member, or one by whose word it is one, by what is known here and by what others signed, of which nothing else is known. Who
/// may not remove them by that is not believed: any member can sign a `Remove`.
pub(super) fn removed_by(
    replica: &Replica,
    me: &MemberId,
    lineage: &Lineage,
    signed: &[(MemberId, Payload)],
) -> Option<MemberId> {
    let let_in = |last: &[Tip], number: &u64| last.iter().any(|tip| tip.sequence >= *number);
    let admits = lineage
        .iter()
        .find_map(|(member, number)| removes(replica, member, signed, |last| !let_in(last, number)));
    removes(replica, me, signed, |_| true).or(admits)
}

/// Who removed a member, with the last of its transactions that count so that it matters.
fn removes(
    replica: &Replica,
    member: &MemberId,
    signed: &[(MemberId, Payload)],
    matters: impl Fn(&[Tip]) -> bool,
) -> Option<MemberId> {
    let may_remove = |author: &MemberId| replica.may_remove(author, member);
    let demotes = |(author, payload): &(MemberId, Payload)| matches!(payload, Payload::SetRole(set) if set.member == *member && set.role < Role::Admin && may_remove(author));
    // Who is no admin, or is none any more, gives way to every one.
    let gives_way =
        replica.member(member).is_some_and(|facts| facts.role < Role::Admin) || signed.iter().any(demotes);
    let admins = if gives_way { admins(replica, signed) } else { BTreeSet::new() };
    let removes = |(author, payload): &&(MemberId, Payload)| match payload {
        Payload::Remove(remove) => {
            remove.member == *member
                && matters(&remove.last)
                && (may_remove(author) || admins.contains(author))
        }
        Payload::Fork(fork) => {
            fork.member == *member && matters(&fork.last) && fork.proves(&replica.context())
        }
        _ => false,
    };
    signed.iter().find(removes).map(|(author, _)| *author)
}

/// The admins that are known here, and whom those made admins, and so on. They could all do themselves what is done by whom they made one.
fn admins(replica: &Replica, signed: &[(MemberId, Payload)]) -> BTreeSet<MemberId> {
    let mut made: BTreeMap<MemberId, Vec<MemberId>> = BTreeMap::new();
    for (author, payload) in signed {
        let member = match payload {
            Payload::Add(add) if add.role == Role::Admin => add.member,
            Payload::SetRole(set) if set.role == Role::Admin => set.member,
            _ => continue,
        };
        made.entry(*author).or_default().push(member);
    }
    let known = replica.members().filter(|(_, facts)| facts.role == Role::Admin).map(|(member, _)| *member);
    let (mut admins, mut new): (BTreeSet<MemberId>, Vec<MemberId>) = (BTreeSet::new(), known.collect());
    while let Some(admin) = new.pop() {
        if admins.insert(admin) {
            new.extend(made.remove(&admin).into_iter().flatten());
        }
    }
    admins
}
