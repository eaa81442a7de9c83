//! What a node's order says, row by row, kept beside the node as the rows are written: so that what is to hold of all of it can be looked at
//! after every step, and costs no more than what the step has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use kith_core::Result;
use kith_core::replica::payload::Named;
use kith_core::replica::{
    Kind, MemberId, Payload, Place, Receipt, Rejection, Replica, Role, StateRead, TransactionId, receipt,
};

/// What an accepted transaction changes of who has which role.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Joins(MemberId, Role),
    Goes(MemberId),
    Raised(MemberId, Role),
    Lowered(MemberId, Role),
}

/// A transaction at its place.
#[derive(Clone, Debug)]
struct Row {
    author: MemberId,
    kind: u8,
    /// It was executed, and counts.
    accepted: bool,
    /// The least role that its author has to have there, if it has to have one.
    needs: Option<Role>,
    change: Option<Change>,
    /// It acts on others wherever those sort.
    cutter: bool,
    /// An admission that does not count since its invitation was revoked.
    voided: bool,
    prints: Prints,
}

/// Names an order, and what came of it: sums over all rows, so that each row's share can be taken out again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prints {
    /// Of the places.
    pub(crate) order: u128,
    /// Of the receipts that no application gives.
    pub(crate) governance: u128,
    /// Of the receipts of calls; what applications say to people is no part of it.
    pub(crate) calls: u128,
}

impl Prints {
    fn of(place: &Place, kind: u8, receipt: Option<&Receipt>) -> Self {
        let print = |hasher: &blake3::Hasher| {
            hasher.finalize().as_bytes().iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&place.key());
        let order = print(&hasher);
        if let Some(receipt) = receipt {
            let (verdict, output) = match &receipt.outcome {
                Ok(output) => (u8::MAX, &output[..]),
                // The first byte says which rejection it is.
                Err(why) => {
                    (borsh::to_vec(why).ok().and_then(|why| why.first().copied()).unwrap_or(0), &[][..])
                }
            };
            hasher.update(&[verdict]).update(&(output.len() as u64).to_le_bytes()).update(output);
            for (name, data) in &receipt.emitted {
                hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                hasher.update(&(data.len() as u64).to_le_bytes()).update(data);
            }
        }
        let receipt = print(&hasher);
        let (governance, calls) = if kind == Kind::Call as u8 { (0, receipt) } else { (receipt, 0) };
        Self { order, governance, calls }
    }

    fn add(&mut self, other: Self) {
        self.order = self.order.wrapping_add(other.order);
        self.governance = self.governance.wrapping_add(other.governance);
        self.calls = self.calls.wrapping_add(other.calls);
    }

    fn remove(&mut self, other: Self) {
        self.order = self.order.wrapping_sub(other.order);
        self.governance = self.governance.wrapping_sub(other.governance);
        self.calls = self.calls.wrapping_sub(other.calls);
    }
}

/// Who has which role, and since which place.
type Roles = BTreeMap<MemberId, (Role, Place)>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    rows: BTreeMap<Place, Row>,
    prints: Prints,
    /// The roles behind each transaction that changed them.
    roles: BTreeMap<Place, Rc<Roles>>,
    /// From where on they are not what they were.
    changed_from: Option<Place>,
    unchecked: BTreeSet<Place>,
    voided: usize,
    /// The process has just started.
    fresh: bool,
}

impl Ledger {
    /// The whole order of a node, as its process finds it.
    pub(crate) fn read(replica: &Replica, tables: &dyn StateRead) -> Result<Self> {
        let mut ledger = Self { fresh: true, ..Self::default() };
        let mut last = None;
        loop {
            let page = replica.order(tables, last.as_ref(), 500)?;
            let Some(end) = page.last() else { return Ok(ledger) };
            last = Some(*end);
            for place in page {
                ledger.take(replica, tables, place)?;
            }
        }
    }

    /// A row was written. What it is, if it counts.
    pub(crate) fn take(
        &mut self,
        replica: &Replica,
        tables: &dyn StateRead,
        place: Place,
    ) -> Result<Option<Option<Kind>>> {
        let Some(at) = replica.location(tables, &place.id)? else { return Ok(None) };
        let receipt = receipt(tables, &place.id)?;
        let kind = Kind::from_number(at.kind);
        let accepted = receipt.as_ref().is_some_and(Receipt::accepted);
        let mut row = Row {
            author: at.author,
            kind: at.kind,
            accepted,
            needs: Some(Role::Reader),
            change: None,
            cutter: false,
            voided: matches!(
                receipt.as_ref().map(|receipt| &receipt.outcome),
                Some(Err(Rejection::InvitationRevoked))
            ),
            prints: Prints::of(&place, at.kind, receipt.as_ref()),
        };
        if accepted && kind == Some(Kind::Call) {
            row.needs = Some(Role::Writer);
        } else if accepted {
            let transaction = replica.transaction(tables, &place.id)?;
            let payload = transaction.and_then(|t| Payload::decode(t.header.kind, t.plaintext()));
            row.govern(payload.as_ref());
        }
        self.put(place, row);
        Ok(accepted.then_some(kind))
    }

    fn put(&mut self, place: Place, row: Row) {
        self.unchecked.insert(place);
        self.prints.add(row.prints);
        self.voided += usize::from(row.voided);
        let changes = row.change.is_some();
        let old = self.rows.insert(place, row);
        if let Some(old) = &old {
            self.prints.remove(old.prints);
            self.voided -= usize::from(old.voided);
        }
        if changes || old.is_some_and(|old| old.change.is_some()) {
            self.changed_from = Some(self.changed_from.map_or(place, |from| from.min(place)));
        }
    }

    /// Whether this is asked for the first time.
    pub(crate) const fn is_fresh(&mut self) -> bool {
        std::mem::replace(&mut self.fresh, false)
    }

    /// See [`Prints`].
    #[must_use]
    pub(crate) const fn prints(&self) -> Prints {
        self.prints
    }

    /// The first transaction that counts though its author's role at its place does not allow it, among those that were written or
    /// that sort behind a change of roles. To be asked once everything is executed.
    pub(crate) fn beyond_its_role(&mut self, genesis: &TransactionId) -> Option<String> {
        if let Some(from) = self.changed_from.take() {
            self.roles.split_off(&from);
            let mut roles =
                self.roles.last_key_value().map(|(_, roles)| (**roles).clone()).unwrap_or_default();
            for (place, row) in self.rows.range(from..) {
                if let Some(change) = &row.change {
                    roles = after(roles, *place, change);
                    self.roles.insert(*place, Rc::new(roles.clone()));
                }
                self.unchecked.insert(*place);
            }
        }
        std::mem::take(&mut self.unchecked).into_iter().find_map(|place| self.wrong(&place, genesis))
    }

    fn wrong(&self, place: &Place, genesis: &TransactionId) -> Option<String> {
        let row = self.rows.get(place).filter(|row| row.accepted)?;
        let id = place.id;
        match Kind::from_number(row.kind) {
            Some(Kind::Genesis) if id == *genesis => return None,
            Some(Kind::Fork) => return None,
            Some(Kind::Genesis | Kind::Vote | Kind::SetPolicy | Kind::Upgrade) | None => {
                return Some(format!("{id} of kind {} counts, which is not in force", row.kind));
            }
            _ => {}
        }
        let roles = self.roles.range(..*place).next_back().map(|(_, roles)| roles);
        let has = roles.and_then(|roles| roles.get(&row.author)).map(|(role, _)| *role);
        // What was decided stays in force, also if a revocation takes away later what made its author an admin: then only a replay can tell.
        let decided = row.cutter && self.voided > 0;
        let wrong = has < row.needs && !decided;
        wrong.then(|| format!("{id} of kind {} counts, and its author is {has:?} there", row.kind))
    }
}

impl Row {
    /// What an accepted transaction needs and changes that is no call.
    fn govern(&mut self, payload: Option<&Payload>) {
        let admin = Some(Role::Admin);
        match payload {
            Some(Payload::Genesis(_)) => {
                (self.needs, self.change) = (None, Some(Change::Joins(self.author, Role::Admin)));
            }
            Some(Payload::Fork(fork)) => {
                (self.needs, self.change) = (None, Some(Change::Goes(fork.member)));
            }
            Some(Payload::Invite(_)) => self.needs = admin,
            Some(Payload::RevokeInvite(_) | Payload::Skip(_)) => (self.needs, self.cutter) = (admin, true),
            Some(Payload::Add(add)) => {
                self.needs = if add.redeemed.is_none() { admin } else { Some(Role::Reader) };
                self.change = Some(Change::Joins(add.member, add.role));
            }
            Some(Payload::Remove(remove)) => {
                (self.needs, self.cutter) = (admin, true);
                self.change = Some(Change::Goes(remove.member));
            }
            Some(Payload::Leave) => self.change = Some(Change::Goes(self.author)),
            Some(Payload::SetRole(set)) => {
                (self.needs, self.cutter) = (admin, set.last.is_some());
                let change = if set.last.is_some() { Change::Lowered } else { Change::Raised };
                self.change = Some(change(set.member, set.role));
            }
            Some(Payload::SetName(set)) if set.whose == Named::Context => self.needs = admin,
            _ => {}
        }
    }
}

/// The roles behind a transaction that counts. A context with members has an admin: the first of those with the highest role.
fn after(mut roles: Roles, place: Place, change: &Change) -> Roles {
    match change {
        Change::Joins(member, role) => {
            roles.insert(*member, (*role, place));
        }
        Change::Goes(member) => {
            roles.remove(member);
        }
        Change::Raised(member, role) => {
            roles.entry(*member).and_modify(|(has, _)| *has = (*role).max(*has));
        }
        Change::Lowered(member, role) => {
            roles.entry(*member).and_modify(|(has, _)| *has = (*role).min(*has));
        }
    }
    if roles.values().all(|(role, _)| *role < Role::Admin)
        && let Some(heir) = roles.values_mut().min_by_key(|(role, since)| (std::cmp::Reverse(*role), *since))
    {
        heir.0 = Role::Admin;
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: MemberId = MemberId([1; 32]);
    const OTHER: MemberId = MemberId([2; 32]);

    fn place(lamport: u64) -> Place {
        Place::tail(lamport, TransactionId([lamport as u8; 32]))
    }

    fn row(author: MemberId, kind: Kind, needs: Option<Role>, change: Option<Change>) -> Row {
        let kind = kind as u8;
        Row {
            author,
            kind,
            accepted: true,
            needs,
            change,
            cutter: false,
            voided: false,
            prints: Prints::default(),
        }
    }

    /// Genesis at 1, a reader at 2, a promotion at 4, a demotion at 6; and the other's call where one is wanted.
    fn ledger(calls: &[u64]) -> Ledger {
        let mut ledger = Ledger::default();
        let admin = |kind, change| row(ADMIN, kind, Some(Role::Admin), Some(change));
        ledger.put(place(1), row(ADMIN, Kind::Genesis, None, Some(Change::Joins(ADMIN, Role::Admin))));
        ledger.put(place(2), admin(Kind::Add, Change::Joins(OTHER, Role::Reader)));
        ledger.put(place(4), admin(Kind::SetRole, Change::Raised(OTHER, Role::Writer)));
        ledger.put(place(6), admin(Kind::SetRole, Change::Lowered(OTHER, Role::Reader)));
        for at in calls {
            ledger.put(place(*at), row(OTHER, Kind::Call, Some(Role::Writer), None));
        }
        ledger
    }

    #[test]
    fn a_role_counts_at_the_places_at_which_it_is_had() {
        let genesis = place(1).id;
        for (at, right) in [(3, false), (5, true), (7, false)] {
            assert_eq!(ledger(&[at]).beyond_its_role(&genesis).is_none(), right, "a call at {at}");
        }
        assert!(ledger(&[]).beyond_its_role(&place(9).id).is_some(), "another context's genesis");
    }

    #[test]
    fn what_comes_late_is_held_against_what_sorts_behind_it() {
        let genesis = place(1).id;
        let mut ledger = ledger(&[5]);
        assert_eq!(ledger.beyond_its_role(&genesis), None);
        // The same promotion does not count any more, and the call still does.
        ledger.put(place(4), Row { accepted: false, ..row(ADMIN, Kind::SetRole, None, None) });
        assert!(ledger.beyond_its_role(&genesis).is_some());
        // Who is left becomes an admin.
        ledger.put(place(3), row(ADMIN, Kind::Leave, Some(Role::Reader), Some(Change::Goes(ADMIN))));
        ledger.put(place(6), Row { accepted: false, ..row(ADMIN, Kind::SetRole, None, None) });
        assert_eq!(ledger.beyond_its_role(&genesis), None);
    }

    #[test]
    fn another_receipt_and_another_order_have_other_prints() {
        let prints = |at, outcome| Prints::of(&place(at), 2, Some(&Receipt { outcome, emitted: Vec::new() }));
        let one = prints(1, Ok(vec![1]));
        assert_eq!((one.order == prints(1, Ok(vec![2])).order, one == prints(1, Ok(vec![2]))), (true, false));
        assert_ne!(one.order, prints(2, Ok(vec![1])).order);
        let rejected = |why| prints(1, Err(why));
        assert_ne!(rejected(Rejection::NotMember), rejected(Rejection::Cut));
        let text = |text: &str| rejected(Rejection::Application(text.into()));
        assert_eq!(text("one"), text("other"), "what is said to people is no part of it");
        // What was put in can be taken out again.
        let mut sum = Prints::default();
        sum.add(one);
        sum.add(text("one"));
        sum.remove(one);
        assert_eq!(sum, text("other"));
    }
}
