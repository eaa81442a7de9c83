//! What a step changed of the membership.

use std::collections::BTreeSet;

use super::governance::{Governance, Member};
use super::{MemberId, Role};

/// A change of the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MembershipChange {
    Joined {
        member: MemberId,
        role: Role,
    },
    Left {
        member: MemberId,
    },
    Removed {
        member: MemberId,
    },
    RoleChanged {
        member: MemberId,
        role: Role,
    },
    /// It calls itself something else.
    Renamed {
        member: MemberId,
        name: String,
    },
    /// The context is called something else.
    ContextRenamed {
        name: String,
    },
}

/// What changed between two outcomes; `first_name` is what genesis calls the context.
pub(super) fn membership_changes(
    old: &Governance,
    new: &Governance,
    first_name: &String,
) -> Vec<MembershipChange> {
    let all: BTreeSet<&MemberId> = old.members.keys().chain(new.members.keys()).collect();
    let facts = |governance: &Governance, member: &MemberId| -> Option<Member> {
        governance.members.get(member).cloned()
    };
    let change = |member: &MemberId| match (facts(old, member), facts(new, member)) {
        (None, Some(facts)) => Some(MembershipChange::Joined { member: *member, role: facts.role }),
        (Some(_), None) if new.removed.contains(member) => {
            Some(MembershipChange::Removed { member: *member })
        }
        (Some(_), None) => Some(MembershipChange::Left { member: *member }),
        (Some(before), Some(after)) if before.role != after.role => {
            Some(MembershipChange::RoleChanged { member: *member, role: after.role })
        }
        _ => None,
    };
    let renamed = |member: &MemberId| {
        let (before, after) = (old.members.get(member)?, new.members.get(member)?);
        (before.name != after.name)
            .then(|| MembershipChange::Renamed { member: *member, name: after.name.clone() })
    };
    let context = (old.name != new.name).then(|| {
        let name = new.name.as_ref().unwrap_or(first_name).clone();
        MembershipChange::ContextRenamed { name }
    });
    let changes = all.iter().filter_map(|member| change(member));
    changes.chain(all.iter().filter_map(|member| renamed(member))).chain(context).collect()
}
