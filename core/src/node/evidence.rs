//! What a member makes of it when peers show that it was removed, in transactions whose past it does not have.

use std::collections::{BTreeMap, BTreeSet};

use crate::replica::{MemberId, Payload, Replica, Role};

/// Who removed this member, by what is known here and by what others signed, of which nothing else is known. Who may not remove it by that is
/// not believed: any member can sign a `Remove`.
pub(super) fn removed_by(
    replica: &Replica,
    me: &MemberId,
    signed: &[(MemberId, Payload)],
) -> Option<MemberId> {
    let may_remove = |author: &MemberId| replica.may_remove(author, me);
    let demotes = |(author, payload): &(MemberId, Payload)| matches!(payload, Payload::SetRole(set) if set.member == *me && set.role < Role::Admin && may_remove(author));
    // Who is no admin, or is none any more, gives way to every one.
    let gives_way =
        replica.member(me).is_some_and(|facts| facts.role < Role::Admin) || signed.iter().any(demotes);
    let admins = if gives_way { admins(replica, signed) } else { BTreeSet::new() };
    let removes = |(author, payload): &&(MemberId, Payload)| match payload {
        Payload::Remove(remove) => remove.member == *me && (may_remove(author) || admins.contains(author)),
        Payload::Fork(fork) => fork.member == *me && fork.proves(&replica.context()),
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
